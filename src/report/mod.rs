//! From findings to what people and programs read: text, JSON, NDJSON.
//!
//! Growth: a file `report/x.rs` and a row in [`FORMATS`].

use std::io::{self, Write};

pub mod assemble;
pub mod escape;
pub mod json;
pub mod model;
pub mod names;
pub mod ndjson;
pub mod redact;
#[cfg(test)]
mod sample;
pub mod secret;
pub mod text;
pub mod view;

pub use assemble::{Analysis, one_finding};
pub use model::{Finding, Report, SCHEMA_VERSION, schema};
pub use view::{Revision, View};

/// Writes a report to `out`.
pub type WriteReport = fn(&Report, &View, &mut dyn Write) -> io::Result<()>;

/// Writes one revision of a finding to `out` while the capture goes on.
pub type WriteNews = fn(&Finding, Revision, &View, &mut dyn Write) -> io::Result<()>;

/// A format of the report.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its writer.
    pub write: WriteReport,
    /// Its writer of findings as they come; none where a report is one piece.
    pub news: Option<WriteNews>,
}

/// The formats; the first is the default.
pub static FORMATS: &[Format] = &[
    Format {
        name: "text",
        write: text::write,
        news: Some(text::write_news),
    },
    Format {
        name: "json",
        write: json::write,
        news: None,
    },
    Format {
        name: "ndjson",
        write: ndjson::write,
        news: Some(ndjson::write_news),
    },
];

/// The format of that name.
#[must_use]
pub fn format_by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

#[cfg(test)]
mod tests;
