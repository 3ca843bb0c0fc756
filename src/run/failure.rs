//! Why a run ends early. In: errors of the rooms. Out: one sentence and an exit code.

use std::io;

use gwcap::capture::CaptureError;

/// Exit codes: the user's scripts depend on them.
pub mod exit {
    /// Analysed, whatever was found.
    pub const DONE: u8 = 0;
    /// Findings, only with --exit-code.
    pub const FINDINGS: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// The input cannot be read, or the interface cannot be opened.
    pub const INPUT: u8 = 3;
    /// Analysed in part; beats [`FINDINGS`].
    pub const PARTIAL: u8 = 4;
    /// The output cannot be written.
    pub const OUTPUT: u8 = 5;
}

/// The end of a run that could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What, and what to do about it.
    pub message: String,
}

impl Failure {
    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            code: exit::USAGE,
            message: message.into(),
        }
    }

    /// The output called `name` cannot be written.
    pub fn output(name: &str, error: &io::Error) -> Self {
        Self {
            code: exit::OUTPUT,
            message: format!("cannot write {name}: {error}"),
        }
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        let code = match error {
            // The expression is the user's own.
            CaptureError::Filter { .. } => exit::USAGE,
            _ => exit::INPUT,
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}
