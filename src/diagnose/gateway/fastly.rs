//! Fastly. In: heads and pages. Out: what gives it away, and the cause that its reason phrase tells.
//!
//! The rule: X-Served-By is on relayed responses too; its Guru Meditation page is its own. The reason phrase is lost over
//! HTTP/2. Written from Fastly's documentation of its 503 errors: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Fastly.
pub const PRODUCT: Product = Product {
    name: "Fastly",
    source: Source::Documented,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

/// Reason phrases by which it names one cause.
const REASONS: &[(&str, &str)] = &[
    ("first byte timeout", "response-timeout"),
    ("Connection timed out", "connect-timeout"),
    ("Connection refused", "connect-refused"),
    (
        "All backends failed or unhealthy",
        "no-upstream-attempt:no-live-upstream",
    ),
    (
        "Backend is unhealthy",
        "no-upstream-attempt:no-live-upstream",
    ),
    (
        "Backend.max_conn reached",
        "no-upstream-attempt:pool-overflow",
    ),
    ("Loop detected", "no-upstream-attempt:loop-detected"),
];

/// Reason phrases that stand for several causes of one kind.
const KINDS: &[(&str, Kind)] = &[
    ("Network unreachable", Kind::Unconnected),
    ("SSL handshake error", Kind::Handshake),
    (
        "hostname doesn't match against certificate",
        Kind::Handshake,
    ),
    ("unable to get local issuer certificate", Kind::Handshake),
];

/// Whether the head carries Fastly's marks.
#[must_use]
pub fn marked(head: &ResponseHead) -> bool {
    let of = |name| header(&head.kept, name).unwrap_or_default();
    of("x-served-by").starts_with("cache-") && of("via").contains("varnish")
}

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if !marked(head) {
        return None;
    }
    found.note("headers Via: varnish and X-Served-By: cache-...");
    if clue::holds(body, "Guru Meditation:") {
        found.page("Fastly error page (Guru Meditation)");
        let is = |reason: &str| reason.eq_ignore_ascii_case(&head.reason);
        let told = REASONS.iter().find(|(reason, _)| is(reason));
        found.tells(told.map(|(_, cause)| *cause));
        let hinted = KINDS.iter().find(|(reason, _)| is(reason));
        found.hints(hinted.map(|(_, kind)| *kind));
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let of = |name| header(&head.kept, name).unwrap_or_default();
    (!of("fastly-ff").is_empty() || of("cdn-loop").contains("Fastly"))
        .then_some("request carries Fastly-FF, or Fastly in CDN-Loop")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[503], "Connection refused"),
    row("connect-timeout", &[503], "Connection timed out"),
    row("connect-stale-tuple", &[503], "Connection timed out"),
    row("listen-queue-overflow", &[503], "Connection timed out"),
    row(
        "connect-half-open",
        &[503],
        "Connection timed out, or first byte timeout",
    ),
    row("icmp-net-unreachable", &[503], "Network unreachable"),
    row("tls-alert-from-upstream", &[503], "SSL handshake error"),
    row("tls-handshake-reset", &[503], "SSL handshake error"),
    row("tls-handshake-closed", &[503], "SSL handshake error"),
    row("closed-before-response", &[503], "backend read error"),
    row("reset-before-response", &[503], "backend read error"),
    row("stale-keepalive-reuse", &[503], "backend read error"),
    row("injected-reset", &[503], "backend read error"),
    row("request-reset-mid-body", &[503], "backend write error"),
    row("response-timeout", &[503], "first byte timeout"),
    row("loss-stall", &[503], "first byte timeout"),
    row("path-mtu-blackhole", &[503], "first byte timeout"),
    row("idle-drop-middlebox", &[503], "first byte timeout"),
    row("stall-mid-response", &[200, 503], "between bytes timeout"),
    row(
        "upstream-returned-5xx",
        &[],
        "the origin's own status, without Guru Meditation",
    ),
    row(
        "no-upstream-attempt",
        &[503],
        "All backends failed or unhealthy; Backend is unhealthy; Backend.max_conn reached",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "allow Fastly's address list at the origin; Connection timeout of the host (1 s).",
    ),
    (
        Family::Tls,
        "SNI hostname and Certificate hostname of the host; its CA certificate.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: First byte timeout of the host (15 s), at most 60 s.",
    ),
    (Family::Body, "Between bytes timeout of the host (10 s)."),
    (
        Family::NoUpstreamPackets,
        "health checks of the host, and its Max connections (200 a cache node).",
    ),
    (
        Family::CouldNotTell,
        "log `fastly_info.state` and `obj.response`; over HTTP/2 the reason phrase is not sent.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("Connection timeout", Wait::Connect, 1_000),
    timer("First byte timeout", Wait::Response, 15_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_reason_phrase_tells_the_cause() {
        let head = response(
            "HTTP/1.1 503 first byte timeout\r\nRetry-After: 0\r\nVia: 1.1 varnish\r\nX-Served-By: cache-fra1234-FRA\r\n\r\n",
        );
        let found = recognise(&head, b"<h3>Guru Meditation:</h3>").unwrap();
        assert!(found.own_page);
        assert_eq!(found.page_cause, Some("response-timeout"));
        let relayed = recognise(&head, b"oops").unwrap();
        assert!(!relayed.own_page && relayed.page_cause.is_none());
    }

    #[test]
    fn varnish_itself_is_not_it() {
        let head = response("HTTP/1.1 503 Backend fetch failed\r\nServer: Varnish\r\n\r\n");
        assert_eq!(recognise(&head, b"<h3>Guru Meditation:</h3>"), None);
    }

    #[test]
    fn its_requests_carry_its_headers() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: Fastly\r\nFastly-FF: abc\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
