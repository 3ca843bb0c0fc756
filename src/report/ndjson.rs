//! The report as one JSON object a line: findings, incidents, upstream events, warnings, and the summary
//! last, so that a reader knows that it has seen the end.
//!
//! The rule: a line holds the same object as the JSON report, after its `event`.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::escape;
use crate::report::model::{Capture, Finding, Program, Report, Summary};
use crate::report::view::{Revision, View};

/// One line.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    object: &'a T,
}

/// A finding with its place among its revisions. From a file it is the first and the last one.
#[derive(Serialize)]
struct Revised<'a> {
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

/// Writes a finding while the capture goes on.
///
/// # Errors
/// Those of `out`.
pub fn write_news(
    finding: &Finding,
    revision: Revision,
    _view: &View,
    out: &mut dyn Write,
) -> io::Result<()> {
    write_revision(finding, revision.number, revision.last, out)
}

fn write_revision(
    finding: &Finding,
    revision: u32,
    last: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let event = if revision == 0 {
        "finding"
    } else {
        "finding_update"
    };
    let revision = Revised {
        revision,
        r#final: last,
        finding,
    };
    line(out, event, &revision)
}

/// Writes the lines; of findings that were told already only what has changed.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, view: &View, out: &mut dyn Write) -> io::Result<()> {
    for finding in report.findings.iter() {
        match view.told.get(&finding.id) {
            None => write_revision(&finding, 0, true, out)?,
            Some(Revision { last: true, .. }) => {}
            Some(told) => write_revision(&finding, told.number.saturating_add(1), true, out)?,
        }
    }
    for incident in &report.incidents {
        line(out, "incident", incident)?;
    }
    for event in &report.upstream_events {
        line(out, "upstream_event", event)?;
    }
    for event in &report.client_events {
        line(out, "client_event", event)?;
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
