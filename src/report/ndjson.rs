//! The report as one JSON object a line: findings, incidents, upstream events, warnings, and the summary
//! last, so that a reader knows that it has seen the end.
//!
//! The rule: a line holds the same object as the JSON report, after its `event`.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::escape;
use crate::report::model::{Capture, Finding, Program, Report, Summary};
use crate::report::view::View;

/// One line.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    object: &'a T,
}

/// A finding with its place among its revisions. Offline nothing is added later: it is the last one.
#[derive(Serialize)]
struct Revision<'a> {
    revision: u32,
    r#final: bool,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// The last line.
#[derive(Serialize)]
struct Closing<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    schema_version: &'static str,
    gwcap: &'a Program,
    redaction: &'static str,
    capture: &'a Capture,
}

/// Writes the lines.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, _view: &View, out: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        let revision = Revision {
            revision: 0,
            r#final: true,
            finding,
        };
        line(out, "finding", &revision)?;
    }
    for incident in &report.incidents {
        line(out, "incident", incident)?;
    }
    for event in &report.upstream_events {
        line(out, "upstream_event", event)?;
    }
    for warning in &report.warnings {
        line(out, "warning", warning)?;
    }
    let closing = Closing {
        summary: &report.summary,
        schema_version: report.schema_version,
        gwcap: &report.gwcap,
        redaction: report.redaction,
        capture: &report.capture,
    };
    line(out, "summary", &closing)
}

fn line<T: Serialize>(out: &mut dyn Write, event: &'static str, object: &T) -> io::Result<()> {
    let line = serde_json::to_string(&Line { event, object })?;
    out.write_all(escape::for_json(&line).as_bytes())?;
    out.write_all(b"\n")
}
