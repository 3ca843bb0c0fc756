//! The whole report as one JSON document, indented, one line end at its end.
//!
//! The rule: the values are exact; characters that act on a terminal are written as `\u` escapes.

use std::io::{self, Write};

use crate::report::escape;
use crate::report::model::Report;
use crate::report::view::View;

/// Writes the document.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, _view: &View, out: &mut dyn Write) -> io::Result<()> {
    let mut escaping = escape::ForJson::new(out);
    serde_json::to_writer_pretty(&mut escaping, report)?;
    escaping.finish()?.write_all(b"\n")
}
