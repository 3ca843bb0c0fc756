//! Kong. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: Via and its request id are on relayed responses too; its Server and messages are its own. It is built on
//! nginx, so its error log speaks nginx's words. Written from its source: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Kong.
pub const PRODUCT: Product = Product {
    name: "Kong",
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

/// Its messages, and the cause where one is told.
const MESSAGES: &[(&str, Option<&str>)] = &[
    (
        "An invalid response was received from the upstream server",
        None,
    ),
    ("The upstream server is timing out", None),
    (
        "name resolution failed",
        Some("no-upstream-attempt:dns-cached-failure"),
    ),
    (
        "failure to get a peer from the ring-balancer",
        Some("no-upstream-attempt:no-live-upstream"),
    ),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let of = |name| header(&head.kept, name).unwrap_or_default();
    if let Some(version) = clue::product(&of("server"), "kong") {
        found.server("kong", version);
    } else if let Some(version) = clue::product(&of("via"), "kong") {
        found.version = version;
        found.note("header Via names Kong");
    } else if !of("x-kong-request-id").is_empty() {
        found.note("header X-Kong-Request-Id");
    }
    let message = MESSAGES
        .iter()
        .find(|(message, _)| clue::holds(body, message));
    if let Some((_, cause)) = message {
        found.page("Kong error message");
        found.tells(*cause);
        let timer = clue::holds(body, "The upstream server is timing out");
        found.hints(timer.then_some(Kind::Timer));
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let via = header(&head.kept, "via").unwrap_or_default();
    (clue::product(&via, "kong").is_some() || header(&head.kept, "x-kong-request-id").is_some())
        .then_some("Via or X-Kong-Request-Id names Kong")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502, 503],
        "connect() failed (111: Connection refused) while connecting to upstream",
    ),
    row("local-connect-error", &[502, 503], ""),
    row(
        "connect-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "connect-stale-tuple",
        &[504],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "listen-queue-overflow",
        &[504],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "connect-half-open",
        &[504],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "dns-stale-address",
        &[504, 502, 503],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "reset-before-response",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "injected-reset",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "closed-before-response",
        &[502],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "response-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "loss-stall",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "path-mtu-blackhole",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row("dns-nxdomain", &[503], "name resolution failed"),
    row("dns-nodata", &[503], "name resolution failed"),
    row("dns-servfail", &[503], "name resolution failed"),
    row("dns-refused", &[503], "name resolution failed"),
    row("dns-timeout", &[503], "name resolution failed"),
    row("dns-unreachable", &[503], "name resolution failed"),
    row(
        "no-upstream-attempt",
        &[503],
        "failure to get a peer from the ring-balancer",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "`dns_resolver`, `dns_order`, and the host of the Service.",
    ),
    (
        Family::Connect,
        "`connect_timeout` of the Service; targets of the Upstream.",
    ),
    (
        Family::Tls,
        "`tls_verify`, `ca_certificates` and `client_certificate` of the Service.",
    ),
    (
        Family::ProtocolMismatch,
        "`protocol` of the Service: http, https, grpc or grpcs.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `read_timeout` of the Service (60 s).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `upstream_keepalive_idle_timeout` (60 s) below the upstream's own.",
    ),
    (
        Family::MalformedHead,
        "`nginx_proxy_proxy_buffer_size` in kong.conf.",
    ),
    (
        Family::NoUpstreamPackets,
        "health checks of the Upstream; `GET /upstreams/NAME/health`.",
    ),
    (
        Family::SendingRequest,
        "`write_timeout` of the Service (60 s), counted between two writes.",
    ),
    (
        Family::Body,
        "`read_timeout` of the Service counts between two reads.",
    ),
    (
        Family::Path,
        "`upstream_keepalive_idle_timeout` (60 s) below the limit of what lies between.",
    ),
    (
        Family::Relayed,
        "`headers = X-Kong-Upstream-Status` in kong.conf tells the upstream's own status.",
    ),
    (
        Family::ClientSide,
        "`nginx_http_client_body_timeout` and its kin in kong.conf.",
    ),
    (
        Family::CouldNotTell,
        "X-Kong-Request-Id is in the error log and in the page; `nginx_http_log_format` with the upstream's variables.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("connect_timeout", Wait::Connect, 60_000),
    timer("read_timeout", Wait::Response, 60_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_message_is_its_own() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json; charset=utf-8\r\n\
             Server: kong/3.4.2\r\nX-Kong-Request-Id: 00ff\r\n\r\n",
        );
        let body =
            b"{\n  \"message\":\"An invalid response was received from the upstream server\",\
                     \n  \"request_id\":\"00ff\"\n}";
        let found = recognise(&head, body).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("3.4.2"));
    }

    #[test]
    fn via_alone_is_no_message() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nVia: 1.1 kong/3.4.2\r\n\r\n");
        assert!(!recognise(&head, b"oops").unwrap().own_page);
    }

    #[test]
    fn its_requests_name_it() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 kong/3.4.2\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
