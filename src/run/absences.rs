//! Interfaces that go away and come back while they are watched. In: the facts of the inputs. Out: a line on standard error for
//! each.
//!
//! The rule: who waits is told for what.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use gwcap::capture::InputFacts;

use crate::run::status::Status;

/// The interfaces that are away, and since when.
#[derive(Debug, Default)]
pub struct Absences {
    away: BTreeMap<usize, Instant>,
    quiet: bool,
}

impl Absences {
    /// Tells them, unless the run is to be `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            away: BTreeMap::new(),
            quiet,
        }
    }

    /// Notes which inputs are away now.
    pub fn note(&mut self, inputs: &[InputFacts], status: &mut Option<Status>) {
        for (index, input) in inputs.iter().enumerate() {
            let words = match (input.away, self.away.remove(&index)) {
                (true, since) => {
                    self.away.insert(index, since.unwrap_or_else(Instant::now));
                    if since.is_some() {
                        continue;
                    }
                    format!(
                        "{} went away: waiting until it is back (Ctrl-C ends the run)",
                        input.path
                    )
                }
                (false, Some(since)) => format!(
                    "{} is back after {:.1} s",
                    input.path,
                    since.elapsed().as_secs_f64()
                ),
                (false, None) => continue,
            };
            status.iter_mut().for_each(Status::clear);
            if !self.quiet {
                // Where standard error is closed nobody wants to know.
                let _ = writeln!(io::stderr(), "gwcap: {words}");
            }
        }
    }
}
