//! Varnish. In: heads and pages. Out: what gives it away. Fastly, which is built on it, has a file of its own.
//!
//! The rule: X-Varnish and Via are on every response; the Guru Meditation page alone is its own.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::fastly;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Varnish.
pub const PRODUCT: Product = Product {
    name: "Varnish",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(32_768),
    response_line_max: Some(8_192),
    response_lines_max: Some(64),
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if fastly::marked(head) {
        return None;
    }
    let of = |name| header(&head.kept, name).unwrap_or_default();
    if let Some(version) = clue::product(&of("server"), "Varnish") {
        found.server("Varnish", version);
    }
    if let Some(version) = clue::product(&of("via"), "Varnish") {
        found.version = found.version.or(version);
        found.note("header Via names Varnish");
    } else if !of("x-varnish").is_empty() {
        found.note("header X-Varnish");
    }
    if clue::holds(body, "Guru Meditation:") {
        found.page("Varnish error page (Guru Meditation)");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    header(&head.kept, "x-varnish").map(|_| "request carries X-Varnish")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[503],
        "FetchError backend X: fail errno 111 (Connection refused)",
    ),
    row("local-connect-error", &[503], ""),
    row(
        "icmp-port-unreachable",
        &[503],
        "FetchError backend X: fail errno 111 (Connection refused)",
    ),
    row(
        "icmp-host-unreachable",
        &[503],
        "FetchError backend X: fail errno 113 (No route to host)",
    ),
    row(
        "icmp-ttl-exceeded",
        &[503],
        "FetchError backend X: fail errno 113 (No route to host)",
    ),
    row(
        "icmp-net-unreachable",
        &[503],
        "FetchError backend X: fail errno 101 (Network is unreachable)",
    ),
    row(
        "icmp-admin-prohibited",
        &[503],
        "FetchError backend X: fail errno 113 (No route to host)",
    ),
    row(
        "neighbor-unresolved",
        &[503],
        "FetchError backend X: fail errno 113 (No route to host)",
    ),
    row(
        "connect-timeout",
        &[503],
        "FetchError backend X: fail errno 110 (Connection timed out)",
    ),
    row(
        "connect-stale-tuple",
        &[503],
        "FetchError backend X: fail errno 110 (Connection timed out)",
    ),
    row(
        "listen-queue-overflow",
        &[503],
        "FetchError backend X: fail errno 110 (Connection timed out)",
    ),
    row(
        "connect-half-open",
        &[503],
        "FetchError backend X: fail errno 110 (Connection timed out)",
    ),
    row(
        "dns-stale-address",
        &[503],
        "FetchError backend X: fail errno 110 (Connection timed out)",
    ),
    row(
        "connect-reset-after-accept",
        &[503],
        "FetchError HTC eof (-1)",
    ),
    row(
        "http-on-tls-port",
        &[503, 400],
        "FetchError Received junk, or HTC eof (-1)",
    ),
    row(
        "malformed-status-line",
        &[503],
        "FetchError Received junk, or http format error",
    ),
    row(
        "stale-keepalive-reuse",
        &[503],
        "FetchError HTC eof (-1); a GET is repeated once in silence",
    ),
    row("reset-before-response", &[503], "FetchError HTC eof (-1)"),
    row("injected-reset", &[503], "FetchError HTC eof (-1)"),
    row(
        "closed-before-response",
        &[503],
        "FetchError HTC eof (-1), in newer ones backend closed",
    ),
    row("reset-mid-head", &[503], "FetchError HTC eof (-1)"),
    row("closed-mid-head", &[503], "FetchError HTC eof (-1)"),
    row("header-too-large", &[503], "FetchError overflow"),
    row("head-timeout", &[503], "FetchError first byte timeout"),
    row("response-timeout", &[503], "FetchError first byte timeout"),
    row("loss-stall", &[503], "FetchError first byte timeout"),
    row(
        "path-mtu-blackhole",
        &[503],
        "FetchError first byte timeout",
    ),
    row(
        "idle-drop-middlebox",
        &[503],
        "FetchError first byte timeout",
    ),
    row(
        "reset-mid-response",
        &[200],
        "FetchError Connection reset by peer, straight insufficient bytes",
    ),
    row(
        "truncated-body",
        &[200],
        "FetchError straight insufficient bytes",
    ),
    row("upstream-returned-5xx", &[], "BerespStatus has it"),
    row("relayed-nested", &[], "BerespStatus has it"),
    row("bad-header", &[503], "FetchError http format error"),
    row(
        "no-upstream-attempt",
        &[503],
        "FetchError backend X: unhealthy, No backend, or backend X: busy",
    ),
    row("http09-response", &[503], "FetchError: HTC eof (-1)"),
    row("wrong-service", &[503], "FetchError: HTC eof (-1)"),
    row("h1-on-h2-port", &[503], "FetchError: HTC eof (-1)"),
    row(
        "proxy-protocol-unexpected",
        &[503],
        "FetchError: HTC eof (-1)",
    ),
    row("request-reset-mid-body", &[503], "FetchError: HTC eof (-1)"),
    row(
        "conflicting-framing",
        &[503],
        "Error: Body cannot be fetched",
    ),
    row(
        "invalid-content-length",
        &[503],
        "Error: Body cannot be fetched",
    ),
    row(
        "unknown-transfer-coding",
        &[503],
        "Error: Body cannot be fetched",
    ),
    row(
        "unexpected-upgrade",
        &[503],
        "Error: Body cannot be fetched",
    ),
    row(
        "bad-interim-response",
        &[503],
        "Error: Body cannot be fetched",
    ),
    row("too-many-headers", &[503], "FetchError: http format error"),
    row(
        "early-response-abort",
        &[503],
        "FetchError: backend write error: 104 (Connection reset by peer)",
    ),
    row(
        "bad-chunking",
        &[200, 503],
        "FetchError: chunked header non-hex",
    ),
    row(
        "truncated-chunked",
        &[200, 503],
        "FetchError: chunked read err",
    ),
    row(
        "bad-content-coding",
        &[200, 503],
        "FetchError: Invalid Gzip data",
    ),
    row(
        "stall-mid-response",
        &[200],
        "FetchError: straight insufficient bytes",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`.connect_timeout` of the backend (3.5 s); `varnishadm backend.list`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `.first_byte_timeout` and `.between_bytes_timeout` of the backend (60 s).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: parameter `backend_idle_timeout` (60 s) below the upstream's own.",
    ),
    (
        Family::MalformedHead,
        "parameters `http_resp_hdr_len` (one line), `http_resp_size` (all) and `http_max_hdr` \
         (lines).",
    ),
    (
        Family::NoUpstreamPackets,
        "the probe and `.max_connections` of the backend; `varnishlog -g request -q FetchError`.",
    ),
    (
        Family::SendingRequest,
        "`std.cache_req_body()` keeps a body, so that it can be sent again; by default it is streamed once.",
    ),
    (
        Family::Body,
        "`between_bytes_timeout` (60 s); `set beresp.do_stream = false;` finds a broken body before the client does.",
    ),
    (
        Family::Path,
        "`backend_idle_timeout` (60 s) below the limit of what lies between.",
    ),
    (
        Family::Relayed,
        "BerespStatus in `varnishlog -g request`; Via and X-Varnish are on relayed errors too.",
    ),
    (
        Family::ClientSide,
        "`timeout_idle`, `timeout_req` and `http_req_hdr_len`; `varnishlog -q 'Error'`.",
    ),
    (
        Family::CouldNotTell,
        "`varnishlog -g request -q 'FetchError or BerespStatus >= 500'`; the XID of the page names the transaction.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("connect_timeout", Wait::Connect, 3_500),
    timer("first_byte_timeout", Wait::Response, 60_000),
    timer("between_bytes_timeout", Wait::Response, 60_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    const PAGE: &[u8] = b"<!DOCTYPE html>\n<html>\n  <head>\n    <title>503 Backend fetch \
        failed</title>\n  </head>\n  <body>\n    <h1>Error 503 Backend fetch failed</h1>\n    \
        <p>Backend fetch failed</p>\n    <h3>Guru Meditation:</h3>\n    <p>XID: 3</p>\n    <hr>\n    \
        <p>Varnish cache server</p>\n  </body>\n</html>\n";

    #[test]
    fn its_page_is_its_own() {
        let head = response(
            "HTTP/1.1 503 Backend fetch failed\r\nDate: Fri, 20 Nov 2026 13:18:28 GMT\r\n\
             Server: Varnish\r\nContent-Type: text/html; charset=utf-8\r\nRetry-After: 5\r\n\
             X-Varnish: 2\r\nAge: 0\r\nVia: 1.1 host (Varnish/7.1)\r\nContent-Length: 278\r\n\r\n",
        );
        let found = recognise(&head, PAGE).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("7.1"));
        assert_eq!(found.kin, None);
    }

    #[test]
    fn its_headers_are_on_relayed_responses_too() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nX-Varnish: 2\r\nServer: app\r\n\r\n");
        assert!(!recognise(&head, b"oops").unwrap().own_page);
    }

    #[test]
    fn its_requests_carry_its_header() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Varnish: 3\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
