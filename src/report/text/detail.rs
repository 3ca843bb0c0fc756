//! One incident in full. In: its first finding. Out: what happened on both legs, why, and what to do.
//!
//! The rule: frames first, conclusions after them; the other findings are one line each.

use crate::report::model::{Attempt, Evidence, Finding, Incident, Report, Sighting};
use crate::report::text::clock::{count, moment, time_of_day};
use crate::report::text::handshake;
use crate::report::text::named::{named, target};
use crate::report::text::page::{FAILURE, FAINT, HEADING, PLAIN, Page, shortened};
use crate::report::view::View;

/// Most frames of one leg.
const TIMELINE_ROWS_MAX: usize = 16;

/// Most characters of a request target: a longer one hides the line it stands in.
const TARGET_SHOWN_MAX: usize = 120;

/// Most characters of what a frame proves.
const SUMMARY_SHOWN_MAX: usize = 300;

/// Most further findings of an incident.
const OTHERS_SHOWN_MAX: usize = 8;

/// Most other places of one connection.
const VIEWS_SHOWN_MAX: usize = 6;

/// Most attempts.
const ATTEMPTS_SHOWN_MAX: usize = 8;

/// The incident's number in this report, itself, and its first finding.
pub type Told<'a> = (usize, &'a Incident, &'a Finding);

/// Writes an incident.
pub fn incident(
    page: &mut Page,
    report: &Report,
    view: &View,
    (number, incident, first): Told<'_>,
) {
    title(page, number, incident, first);
    error(page, first, view);
    client_leg(page, report, first);
    upstream_leg(page, report, first);
    handshake::section(page, first);
    attempts(page, report, &first.attempts);
    why(page, first);
    in_common(page, incident);
    if !first.ruled_out.is_empty() {
        heading(page, "Ruled out");
        for out in &first.ruled_out {
            page.prose(&format!("     {}: ", out.code), &out.reason);
        }
    }
    list(page, "This capture cannot show", &first.not_observable);
    log_wording(page, first);
    list(page, "What to do next", &first.next_steps);
    heading(page, "Wireshark filter");
    page.line(PLAIN, &format!("     {}", first.wireshark_filter));
    others(page, report, incident);
}

/// Whom it touched, and what separates its failures from what went well.
fn in_common(page: &mut Page, incident: &Incident) {
    if incident.count < 2 {
        return;
    }
    let touched = format!(
        "{}, {}, {}",
        count(incident.count, "failure"),
        count(incident.clients, "client"),
        count(incident.targets, "target")
    );
    let rate = match incident.rate_per_minute {
        Some(rate) => format!(", {rate:.1} a minute"),
        None => String::new(),
    };
    let beside = match (incident.went_well, incident.upstream_failed_share) {
        (Some(well), Some(share)) => format!(
            "; at the same upstream {} went well, {:.1} % of its requests failed",
            count(well, "attempt"),
            share * 100.0
        ),
        _ => String::new(),
    };
    heading(page, "All of them");
    page.prose("     ", &format!("{touched}{rate}{beside}"));
    for common in &incident.in_common {
        let others = match common.successes {
            0 => "none".to_owned(),
            some => some.to_string(),
        };
        page.prose(
            "     ",
            &format!(
                "all {}; of the {} that went well {others}",
                common.words, common.successes_total
            ),
        );
    }
}

fn title(page: &mut Page, number: usize, incident: &Incident, first: &Finding) {
    let detail = match &first.cause.detail {
        Some(detail) => format!(" [{}]", shortened(detail, SUMMARY_SHOWN_MAX)),
        None => String::new(),
    };
    page.put(HEADING, &format!("{number}. "))
        .put(FAILURE, first.cause.code)
        .put(HEADING, &detail)
        .put(
            PLAIN,
            &format!(
                "  {}, {}",
                first.cause.confidence,
                count(incident.count, "error")
            ),
        )
        .put(FAINT, &format!("  gwcap --explain {}", first.cause.code))
        .end();
}

/// What the client got: `502 to GET example.com/a at 13:04:05.333 UTC, written by nginx 1.22.1`.
fn error(page: &mut Page, finding: &Finding, view: &View) {
    let mut text = format!(
        "{} to {} at {}, {}",
        what(finding),
        request(finding),
        moment(&finding.time, view),
        writer(finding)
    );
    if !finding.gateway.identified_by.is_empty() {
        text.push_str(&format!(" ({})", finding.gateway.identified_by.join("; ")));
    }
    page.prose("   ", &text);
    if let Some(inner) = &finding.caused_by {
        page.prose(
            "   ",
            &format!("It follows from finding {inner} of the gateway behind this one."),
        );
    }
}

/// What the client got, in a word or a few.
pub fn what(finding: &Finding) -> String {
    let status = finding
        .status
        .map_or_else(|| "An answer".to_owned(), |status| status.to_string());
    match finding.failure {
        "silent-close" => "A close without an answer".to_owned(),
        "raw" => "Bytes without an HTTP head".to_owned(),
        "truncated-relay" => format!("{status}, cut short,"),
        "grpc" => format!("{status} with a gRPC error"),
        "suspected" => "A suspected error, encrypted,".to_owned(),
        _ => status,
    }
}

/// What the client asked for.
pub fn request(finding: &Finding) -> String {
    let exchange = &finding.exchange;
    let target = exchange.target.as_deref().unwrap_or("a request");
    let host = match &exchange.host {
        Some(host) if target.starts_with('/') => host.as_str(),
        _ => "",
    };
    let method = exchange.method.as_deref().unwrap_or_default();
    let separator = if method.is_empty() { "" } else { " " };
    format!(
        "{method}{separator}{}{}",
        shortened(host, TARGET_SHOWN_MAX),
        shortened(target, TARGET_SHOWN_MAX)
    )
}

fn writer(finding: &Finding) -> String {
    let name = match (finding.gateway.product, &finding.gateway.version) {
        (Some(product), Some(version)) => format!("{product} {version}"),
        (Some(product), None) => product.to_owned(),
        (None, _) => "a gateway of unknown product".to_owned(),
    };
    match finding.origin {
        "generated" => format!("written by {name}"),
        "relayed" => format!("relayed from the upstream by {name}"),
        _ => format!("sent by {name}; who wrote it is not known"),
    }
}

fn client_leg(page: &mut Page, report: &Report, finding: &Finding) {
    let exchange = &finding.exchange;
    let stream = stream(exchange.tcp_stream);
    heading(
        page,
        &format!(
            "Client leg    {} -> {}{stream}",
            named(report, &exchange.client),
            named(report, &exchange.gateway)
        ),
    );
    views(page, report, &exchange.views);
    let mut rows: Vec<Row<'_>> = finding
        .evidence
        .iter()
        .filter(|row| row.leg == "client")
        .map(Row::of)
        .collect();
    let request = format!("first byte of {}", request(finding));
    let answer = match finding.failure {
        "silent-close" => "the gateway closes without an answer".to_owned(),
        _ => format!("first byte of the answer: {}", what(finding)),
    };
    let ends = [
        (exchange.input, exchange.frames.request, 0.0, &request),
        (
            exchange.response_input,
            exchange.frames.response,
            millis_between(exchange),
            &answer,
        ),
    ];
    for (input, frame, offset_ms, summary) in ends {
        // Evidence says more of the same frame.
        if !rows
            .iter()
            .any(|row| (row.input, row.frame) == (input, frame))
        {
            rows.push(Row {
                input,
                frame,
                offset_ms,
                leg: "client",
                summary,
            });
        }
    }
    rows.sort_by(|one, other| {
        one.offset_ms
            .total_cmp(&other.offset_ms)
            .then(one.frame.cmp(&other.frame))
    });
    timeline(page, report, &rows);
}

fn millis_between(exchange: &crate::report::model::Exchange) -> f64 {
    let instant = |time: &str| {
        time.parse::<jiff::Timestamp>()
            .ok()
            .map(jiff::Timestamp::as_nanosecond)
    };
    match (
        instant(&exchange.request_time),
        instant(&exchange.response_time),
    ) {
        (Some(asked), Some(answered)) => (answered - asked) as f64 / 1e6,
        _ => 0.0,
    }
}

fn upstream_leg(page: &mut Page, report: &Report, finding: &Finding) {
    let title = match &finding.upstream {
        Some(upstream) => match &upstream.connection {
            Some(connection) => format!(
                "Upstream leg  {} -> {}{}",
                named(report, &connection.client),
                named(report, &connection.server),
                stream(connection.tcp_stream)
            ),
            None => format!(
                "Upstream leg  {}, no connection seen",
                named(report, &upstream.address)
            ),
        },
        None => "Upstream leg  nothing that belongs to this exchange was seen".to_owned(),
    };
    heading(page, &title);
    let connection = finding
        .upstream
        .as_ref()
        .and_then(|up| up.connection.as_ref());
    if let Some(connection) = connection {
        views(page, report, &connection.views);
    }
    let rows: Vec<Row<'_>> = finding
        .evidence
        .iter()
        .filter(|row| row.leg != "client")
        .map(Row::of)
        .collect();
    timeline(page, report, &rows);
}

/// The other places at which a connection was seen.
fn views(page: &mut Page, report: &Report, views: &[Sighting]) {
    for view in views.iter().take(VIEWS_SHOWN_MAX) {
        let input = if report.capture.inputs.len() > 1 {
            format!(" of input {}", view.input)
        } else {
            String::new()
        };
        let line = format!(
            "     seen also as {} -> {} from frame {}{input}{}",
            named(report, &view.client),
            named(report, &view.server),
            view.frame,
            stream(view.tcp_stream)
        );
        page.line(PLAIN, &line);
    }
}

/// One frame of a timeline.
struct Row<'a> {
    input: u16,
    frame: u64,
    offset_ms: f64,
    leg: &'a str,
    summary: &'a str,
}

impl<'a> Row<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        Self {
            input: evidence.input,
            frame: evidence.frame,
            offset_ms: evidence.offset_ms,
            leg: evidence.leg,
            summary: &evidence.summary,
        }
    }
}

fn timeline(page: &mut Page, report: &Report, rows: &[Row<'_>]) {
    for row in rows.iter().take(TIMELINE_ROWS_MAX) {
        let input = if report.capture.inputs.len() > 1 {
            format!("input {} ", row.input)
        } else {
            String::new()
        };
        let leg = match row.leg {
            "dns" => "DNS: ",
            "icmp" => "ICMP: ",
            "link" => "link: ",
            _ => "",
        };
        let label = format!(
            "     {input}frame {:<7} {:>+12.3} ms  {leg}",
            row.frame, row.offset_ms
        );
        page.prose(&label, &shortened(row.summary, SUMMARY_SHOWN_MAX));
    }
    if let Some(more) = rows.len().checked_sub(TIMELINE_ROWS_MAX + 1) {
        page.line(
            PLAIN,
            &format!("     and {}", count(more as u64 + 1, "more frame")),
        );
    }
}

/// Only where there was more than one: a single one is told by the upstream leg.
fn attempts(page: &mut Page, report: &Report, attempts: &[Attempt]) {
    if attempts.len() < 2 {
        return;
    }
    heading(page, &count(attempts.len() as u64, "attempt"));
    for (index, attempt) in attempts.iter().take(ATTEMPTS_SHOWN_MAX).enumerate() {
        let end = attempt
            .end
            .as_deref()
            .map_or_else(|| "open".to_owned(), time_of_day);
        let cause = attempt.cause.unwrap_or("succeeded");
        let upstream = target(report, attempt);
        let start = time_of_day(&attempt.start);
        page.line(
            PLAIN,
            &format!("     {}. {upstream}  {start} to {end}  {cause}", index + 1),
        );
    }
    if let Some(more) = attempts.len().checked_sub(ATTEMPTS_SHOWN_MAX + 1) {
        page.line(PLAIN, &format!("     and {} more", more + 1));
    }
}

fn why(page: &mut Page, finding: &Finding) {
    heading(page, &format!("Why           {}", finding.cause.title));
    if !finding.cause.explanation.is_empty() {
        page.prose("     ", finding.cause.explanation);
    }
    if !finding.contributing.is_empty() {
        page.prose("     Contributing: ", &finding.contributing.join(", "));
    }
    if !finding.confidence_reasons.is_empty() {
        let reasons = finding.confidence_reasons.join("; ");
        page.prose(
            "     ",
            &format!("This is {}: {reasons}", finding.cause.confidence),
        );
    }
}

fn log_wording(page: &mut Page, finding: &Finding) {
    if finding.log_wording.is_empty() {
        return;
    }
    heading(page, "The gateway's own log is expected to say");
    for wording in &finding.log_wording {
        page.line(
            PLAIN,
            &format!("     {}: {}", wording.product, wording.text),
        );
    }
}

fn others(page: &mut Page, report: &Report, incident: &Incident) {
    let others = incident.findings.get(1..).unwrap_or_default();
    let total = others.len();
    if total == 0 {
        return;
    }
    heading(page, &format!("{total} more of the same"));
    let shown = others.iter().take(OTHERS_SHOWN_MAX);
    for finding in shown.filter_map(|id| report.findings.by_id(id)) {
        page.line(
            PLAIN,
            &format!(
                "     {}  frame {:<7} {} to {}  {}",
                time_of_day(&finding.time),
                finding.exchange.frames.response,
                what(&finding),
                request(&finding),
                finding.cause.confidence
            ),
        );
    }
    if let Some(more) = total.checked_sub(OTHERS_SHOWN_MAX + 1) {
        page.line(PLAIN, &format!("     and {} more: use -f json", more + 1));
    }
}

pub(super) fn heading(page: &mut Page, text: &str) {
    page.line(HEADING, &format!("   {text}"));
}

fn list(page: &mut Page, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    heading(page, title);
    for item in items {
        page.prose("     - ", item);
    }
}

fn stream(tcp_stream: Option<u32>) -> String {
    tcp_stream.map_or_else(String::new, |stream| format!("  (tcp.stream {stream})"))
}
