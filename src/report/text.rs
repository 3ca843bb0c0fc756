//! The report for the person who was woken up. In: a report. Out: text whose first screen answers.
//!
//! The rule: what was read, how many errors and why, what the capture cannot show; only then the details.
//! It leaves out what repeats: JSON has every finding in full.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::report::model::{Finding, Incident, Input, Loss, Report, Warning};
use crate::report::view::{Revision, View};

mod clock;
mod detail;
mod handshake;
mod named;
mod news;
mod page;

use clock::{bytes, count, span};
use named::{named, target};
use page::{CAUTION, FAILURE, FAINT, HEADING, HEALTHY, PLAIN, Page};

/// Most inputs that are listed one by one.
const INPUTS_SHOWN_MAX: usize = 4;

/// Most machines whose clocks are told one by one.
const MACHINES_SHOWN_MAX: usize = 8;

/// Most incidents of the overview: one screen.
const INCIDENTS_LISTED_MAX: usize = 24;

/// Most incidents that are told in full: nobody reads more pages at once.
const INCIDENTS_TOLD_MAX: usize = 12;

/// Most upstream events that are listed.
const EVENTS_SHOWN_MAX: usize = 10;

/// Most warnings that are listed.
const WARNINGS_SHOWN_MAX: usize = 16;

/// Most kinds of loss in the line of loss.
const LOSS_KINDS_SHOWN_MAX: usize = 8;

/// Most damaged places that are listed.
const DAMAGE_SHOWN_MAX: usize = 4;

/// Writes the text.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, view: &View, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(render(report, view).as_bytes())
}

/// Writes one finding in a line, while the capture goes on, and again when it says something else. In quiet mode the
/// summary is all that is wanted.
///
/// # Errors
/// Those of `out`.
pub fn write_news(
    finding: &Finding,
    revision: Revision,
    view: &View,
    out: &mut dyn Write,
) -> io::Result<()> {
    let new = revision.number == 0 || revision.changed;
    if view.quiet || !new {
        return Ok(());
    }
    news::write(finding, revision, view, out)
}

fn render(report: &Report, view: &View) -> String {
    let mut page = Page::new(view.color);
    header(&mut page, report, view);
    verdict(&mut page, report);
    if view.quiet {
        quiet_warnings(&mut page, &report.warnings);
        return page.into_text();
    }
    overview(&mut page, report);
    warnings(&mut page, &report.warnings);
    damage(&mut page, report);
    details(&mut page, report, view);
    upstream_events(&mut page, report);
    client_events(&mut page, report);
    closing(&mut page, report);
    page.into_text()
}

fn header(page: &mut Page, report: &Report, view: &View) {
    let inputs = &report.capture.inputs;
    for (index, input) in inputs.iter().enumerate().take(INPUTS_SHOWN_MAX) {
        if inputs.len() > 1 {
            page.put(FAINT, &format!("input {index}  "));
        }
        page.put(HEADING, &input.path).put(
            PLAIN,
            &format!(
                "  {}, {}, {}",
                input.format,
                count(input.frames, "frame"),
                bytes(input.bytes)
            ),
        );
        if input.tls_secrets > 0 {
            let secrets = count(input.tls_secrets, "TLS secret");
            page.put(PLAIN, &format!(", {secrets} in the file"));
        }
        if let Some(filter) = &input.filter {
            page.put(FAINT, &format!(", filter: {filter}"));
            if input.kernel_filter.is_some() {
                page.put(FAINT, ", and what diagnosis needs beside it");
            }
        }
        page.end();
        if let Some(sha256) = &input.sha256 {
            page.line(FAINT, &format!("sha256 {sha256}"));
        }
    }
    if let Some(more) = inputs.len().checked_sub(INPUTS_SHOWN_MAX + 1) {
        page.line(
            PLAIN,
            &format!("and {}", count(more as u64 + 1, "more input")),
        );
    }
    clocks(page, inputs);
    let first = inputs
        .iter()
        .filter_map(|input| input.first_time.as_ref())
        .min();
    let last = inputs
        .iter()
        .filter_map(|input| input.last_time.as_ref())
        .max();
    if let (Some(first), Some(last)) = (first, last) {
        page.line(PLAIN, &span(first, last, view));
    }
    if report.redaction == "off" {
        page.line(
            CAUTION,
            "Secrets are shown (--show-secrets): do not pass this report on.",
        );
    }
    page.blank();
}

/// One line a machine whose clock was corrected.
fn clocks(page: &mut Page, inputs: &[Input]) {
    let mut told = BTreeSet::from([0]);
    for input in inputs {
        if told.len() > MACHINES_SHOWN_MAX || !told.insert(input.vantage) {
            continue;
        }
        let files = inputs.iter().filter(|other| other.vantage == input.vantage);
        let more = match files.count() {
            0 | 1 => String::new(),
            files => format!(" and {} more", files - 1),
        };
        let reference = inputs.first().map_or("", |first| &first.path);
        if let Some(words) = clock::compared(input, reference) {
            page.line(PLAIN, &format!("{}{more}: {words}", input.path));
        }
    }
}

/// The answer in one line, and in quiet mode one more a cause.
fn verdict(page: &mut Page, report: &Report) {
    let summary = &report.summary;
    if summary.findings == 0 {
        return health(page, report);
    }
    let causes = count(summary.by_cause.len() as u64, "cause");
    page.line(
        FAILURE,
        &format!("{}, {causes}", count(summary.findings, "gateway error")),
    );
    page.blank();
    for incident in report.incidents.iter().take(INCIDENTS_LISTED_MAX) {
        overview_row(page, report, incident);
    }
    if let Some(more) = report.incidents.len().checked_sub(INCIDENTS_LISTED_MAX + 1) {
        page.line(
            PLAIN,
            &format!("  and {}", count(more as u64 + 1, "more incident")),
        );
    }
}

fn health(page: &mut Page, report: &Report) {
    let summary = &report.summary;
    let dropped: u64 = report
        .capture
        .loss
        .counters
        .iter()
        .filter(|(name, _)| name.contains("drop"))
        .map(|(_, count)| count)
        .sum();
    let numbers = format!(
        "{} on {}, {}, {}, {}, {}",
        count(summary.exchanges, "exchange"),
        count(summary.connections, "connection"),
        count(summary.retransmissions, "retransmission"),
        count(summary.client_aborts, "client abort"),
        count(summary.application_errors, "application error"),
        count(dropped, "drop"),
    );
    if summary.exchanges == 0 {
        page.line(
            CAUTION,
            "No HTTP exchange was seen, so nothing can be said.",
        );
        page.line(PLAIN, &format!("Seen: {numbers}"));
    } else {
        page.line(HEALTHY, &format!("No gateway errors: {numbers}"));
    }
}

/// `  2 x  connect-refused  certain  10.1.0.2:80 -> 10.2.0.3:8080  The upstream refused the connection`.
fn overview_row(page: &mut Page, report: &Report, incident: &Incident) {
    let upstream = match &incident.upstream {
        Some(upstream) => named(report, upstream),
        None => "no upstream".to_owned(),
    };
    let (title, confidence) = match first_finding(report, incident) {
        Some(finding) => (finding.cause.title, confidences(incident)),
        None => ("", String::new()),
    };
    page.put(PLAIN, &format!("{:>6} x  ", incident.count))
        .put(FAILURE, incident.cause)
        .put(PLAIN, &format!("  ({confidence})"))
        .end();
    page.prose("          ", title);
    page.line(
        FAINT,
        &format!(
            "          {} -> {upstream}",
            named(report, &incident.gateway)
        ),
    );
}

/// `certain`, or `2 certain, 1 likely` when the findings differ.
fn confidences(incident: &Incident) -> String {
    let counts = &incident.confidences;
    if let (1, Some(word)) = (counts.len(), counts.keys().next()) {
        return (*word).to_owned();
    }
    let words = ["certain", "likely", "possible", "unknown"];
    let counted = words
        .iter()
        .filter_map(|word| counts.get(word).map(|count| format!("{count} {word}")));
    counted.collect::<Vec<_>>().join(", ")
}

fn first_finding(report: &Report, incident: &Incident) -> Option<Finding> {
    report.findings.by_id(incident.findings.first()?)
}

/// The numbers beside the errors.
fn overview(page: &mut Page, report: &Report) {
    let summary = &report.summary;
    if summary.findings > 0 {
        page.blank();
        page.line(
            PLAIN,
            &format!(
                "Seen: {} on {}, {}, {}",
                count(summary.exchanges, "exchange"),
                count(summary.connections, "connection"),
                count(summary.client_aborts, "client abort"),
                count(summary.application_errors, "application error"),
            ),
        );
    }
}

fn warnings(page: &mut Page, warnings: &[Warning]) {
    for warning in warnings.iter().take(WARNINGS_SHOWN_MAX) {
        page.blank();
        page.put(CAUTION, "! ").put(CAUTION, warning.code).end();
        page.prose("  ", &warning.message);
        if !warning.remedy.is_empty() {
            // Most remedies are commands, to be copied as they are.
            page.line(PLAIN, &format!("  Remedy: {}", warning.remedy));
        }
    }
    if let Some(more) = warnings.len().checked_sub(WARNINGS_SHOWN_MAX + 1) {
        page.line(
            PLAIN,
            &format!("  and {}", count(more as u64 + 1, "more warning")),
        );
    }
}

fn quiet_warnings(page: &mut Page, warnings: &[Warning]) {
    if !warnings.is_empty() {
        let codes: Vec<&str> = warnings
            .iter()
            .take(WARNINGS_SHOWN_MAX)
            .map(|warning| warning.code)
            .collect();
        page.put(CAUTION, &count(warnings.len() as u64, "warning"))
            .put(PLAIN, &format!(": {}", codes.join(", ")))
            .end();
    }
}

fn damage(page: &mut Page, report: &Report) {
    let Loss {
        damage, truncated, ..
    } = &report.capture.loss;
    for (places, word) in [(damage, "is damaged"), (truncated, "ends inside a record")] {
        for place in places.iter().take(DAMAGE_SHOWN_MAX) {
            let input = report.capture.inputs.get(usize::from(place.input));
            let path = input.map_or("an input", |input| input.path.as_str());
            page.blank();
            page.put(CAUTION, "! ")
                .put(
                    CAUTION,
                    &match input.is_some_and(|input| input.format == "live") {
                        true => format!("{path} could not be captured on to the end of the run"),
                        false => format!("{path} {word} at byte {}", place.offset),
                    },
                )
                .end();
            page.prose("  ", &place.what);
        }
        if let Some(more) = places.len().checked_sub(DAMAGE_SHOWN_MAX + 1) {
            page.line(
                PLAIN,
                &format!("  and {}", count(more as u64 + 1, "more place")),
            );
        }
    }
}

fn details(page: &mut Page, report: &Report, view: &View) {
    for (index, incident) in report.incidents.iter().take(INCIDENTS_TOLD_MAX).enumerate() {
        if let Some(first) = first_finding(report, incident) {
            page.blank();
            detail::incident(page, report, view, (index + 1, incident, &first));
        }
    }
    if let Some(more) = report.incidents.len().checked_sub(INCIDENTS_TOLD_MAX + 1) {
        page.blank();
        page.line(
            PLAIN,
            &format!(
                "{} not told here: use -f json",
                count(more as u64 + 1, "more incident")
            ),
        );
    }
}

fn upstream_events(page: &mut Page, report: &Report) {
    let events = &report.upstream_events;
    if events.is_empty() {
        return;
    }
    page.blank();
    page.line(
        HEADING,
        &format!(
            "{} that clients did not notice",
            count(events.len() as u64, "failed attempt")
        ),
    );
    for event in events.iter().take(EVENTS_SHOWN_MAX) {
        let attempt = &event.attempt;
        let upstream = target(report, attempt);
        let frames: Vec<String> = attempt
            .frames
            .iter()
            .take(4)
            .map(|frame| frame.frame.to_string())
            .collect();
        let cause = attempt.cause.unwrap_or("no cause");
        page.line(
            PLAIN,
            &format!(
                "  {}  {cause}  {} -> {upstream}  frames {}",
                clock::time_of_day(&attempt.start),
                named(report, &event.gateway),
                frames.join(", "),
            ),
        );
    }
    if let Some(more) = events.len().checked_sub(EVENTS_SHOWN_MAX + 1) {
        page.line(PLAIN, &format!("  and {} more", more + 1));
    }
}

fn client_events(page: &mut Page, report: &Report) {
    let events = &report.client_events;
    if events.is_empty() {
        return;
    }
    page.blank();
    page.line(
        HEADING,
        &format!(
            "{}, no gateway errors",
            count(events.len() as u64, "client event")
        ),
    );
    for event in events.iter().take(EVENTS_SHOWN_MAX) {
        let what = event.evidence.last().map_or("", |last| &last.summary);
        let frames: Vec<String> = event
            .evidence
            .iter()
            .map(|evidence| evidence.frame.to_string())
            .collect();
        page.line(
            PLAIN,
            &format!(
                "  {}  {}  {} -> {}  {what}  frames {}",
                clock::time_of_day(&event.time),
                event.cause,
                event.client,
                event.gateway,
                frames.join(", "),
            ),
        );
    }
    if let Some(more) = events.len().checked_sub(EVENTS_SHOWN_MAX + 1) {
        page.line(PLAIN, &format!("  and {} more", more + 1));
    }
}

/// One line of loss, and where to read on.
fn closing(page: &mut Page, report: &Report) {
    let loss = &report.capture.loss;
    // Told above with their places: what stood there was not seen either.
    let places = [
        (&loss.damage, "damaged place"),
        (&loss.truncated, "cut record"),
    ];
    let places = places.iter().filter(|(places, _)| !places.is_empty());
    let mut shown: Vec<String> = places
        .map(|(places, kind)| count(places.len() as u64, kind))
        .collect();
    let kinds = loss.counters.iter().chain(&loss.skipped);
    shown.extend(kinds.map(|(name, count)| format!("{count} {}", name.replace('_', " "))));
    let more = shown.len().saturating_sub(LOSS_KINDS_SHOWN_MAX);
    shown.truncate(LOSS_KINDS_SHOWN_MAX);
    if more > 0 {
        shown.push(format!("{} (see -f json)", count(more as u64, "more kind")));
    }
    page.blank();
    if shown.is_empty() {
        page.line(FAINT, "Nothing was lost or left undecoded.");
    } else {
        page.line(
            FAINT,
            &format!("Not seen or not decoded: {}", shown.join(", ")),
        );
    }
}

#[cfg(test)]
mod tests;
