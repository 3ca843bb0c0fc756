//! Squid. In: heads and pages. Out: what gives it away, and the cause that it tells in a header.
//!
//! The rule: X-Squid-Error is written with Squid's own errors only; its errno refines the name.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Squid.
pub const PRODUCT: Product = Product {
    name: "Squid",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(65_536),
    response_line_max: None,
    response_lines_max: None,
};

/// Values of X-Squid-Error that tell one cause. The errno is Linux's.
const ERRORS: &[(&str, &str)] = &[
    ("ERR_CONNECT_FAIL 111", "connect-refused"),
    ("ERR_CONNECT_FAIL 110", "connect-timeout"),
    ("ERR_ZERO_SIZE_OBJECT 0", "closed-before-response"),
    ("ERR_READ_ERROR 104", "reset-before-response"),
    ("ERR_READ_TIMEOUT 0", "response-timeout"),
    ("ERR_TOO_BIG 0", "header-too-large"),
    (
        "ERR_CANNOT_FORWARD 0",
        "no-upstream-attempt:no-live-upstream",
    ),
    ("ERR_DNS_FAIL 0", "no-upstream-attempt:dns-cached-failure"),
    ("ERR_ACCESS_DENIED 0", "no-upstream-attempt:policy"),
];

/// Names of errors that stand for several causes of one kind, whatever the errno.
const KINDS: &[(&str, Kind)] = &[
    ("ERR_CONNECT_FAIL", Kind::Unconnected),
    ("ERR_SECURE_CONNECT_FAIL", Kind::Handshake),
    ("ERR_INVALID_RESP", Kind::Content),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server")
        && let Some(version) = clue::product(&server, "squid")
    {
        found.server("squid", version);
    } else if let Some(via) = header(&head.kept, "via")
        && let Some(version) = clue::product(&via, "squid")
    {
        found.version = version;
        found.note("header Via names Squid");
    }
    if let Some(error) = header(&head.kept, "x-squid-error") {
        found.own_page = true;
        found.note("header X-Squid-Error");
        let told = ERRORS.iter().find(|(value, _)| error.trim() == *value);
        found.tells(told.map(|(_, cause)| *cause));
        let name = error.split(' ').next().unwrap_or_default();
        let kind = KINDS.iter().find(|(known, _)| name == *known);
        found.hints(kind.map(|(_, kind)| *kind));
    } else if clue::holds(
        body,
        "<title>ERROR: The requested URL could not be retrieved",
    ) {
        found.page("Squid error page");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let via = header(&head.kept, "via")?;
    clue::product(&via, "squid").map(|_| "Via names Squid")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[503, 502], "ERR_CONNECT_FAIL 111"),
    row("local-connect-error", &[503, 502], ""),
    row("icmp-port-unreachable", &[502, 503], "ERR_CONNECT_FAIL 111"),
    row("icmp-host-unreachable", &[502, 503], "ERR_CONNECT_FAIL 113"),
    row("icmp-ttl-exceeded", &[502, 503], "ERR_CONNECT_FAIL 113"),
    row("icmp-net-unreachable", &[502, 503], "ERR_CONNECT_FAIL 101"),
    row("icmp-admin-prohibited", &[502, 503], "ERR_CONNECT_FAIL 113"),
    row("connect-timeout", &[503, 504, 502], "ERR_CONNECT_FAIL 110"),
    row(
        "connect-stale-tuple",
        &[503, 504, 502],
        "ERR_CONNECT_FAIL 110",
    ),
    row(
        "listen-queue-overflow",
        &[503, 504, 502],
        "ERR_CONNECT_FAIL 110",
    ),
    row(
        "connect-half-open",
        &[503, 504, 502],
        "ERR_CONNECT_FAIL 110",
    ),
    row(
        "dns-stale-address",
        &[503, 504, 502],
        "ERR_CONNECT_FAIL 110",
    ),
    row("tls-alert-from-upstream", &[503], "ERR_SECURE_CONNECT_FAIL"),
    row("tls-handshake-reset", &[503], "ERR_SECURE_CONNECT_FAIL"),
    row("tls-handshake-closed", &[503], "ERR_SECURE_CONNECT_FAIL"),
    row(
        "malformed-status-line",
        &[200, 502],
        "ERR_INVALID_RESP, or nothing: it is taken for HTTP/0.9",
    ),
    row(
        "stale-keepalive-reuse",
        &[502],
        "ERR_ZERO_SIZE_OBJECT; a GET is repeated in silence",
    ),
    row("reset-before-response", &[502], "ERR_READ_ERROR 104"),
    row("injected-reset", &[502], "ERR_READ_ERROR 104"),
    row("closed-before-response", &[502], "ERR_ZERO_SIZE_OBJECT 0"),
    row("reset-mid-head", &[502], "ERR_READ_ERROR 104"),
    row("closed-mid-head", &[502], "ERR_INVALID_RESP"),
    row("header-too-large", &[502], "ERR_TOO_BIG"),
    row("head-timeout", &[504], "ERR_READ_TIMEOUT"),
    row("response-timeout", &[504], "ERR_READ_TIMEOUT"),
    row("loss-stall", &[504], "ERR_READ_TIMEOUT"),
    row("path-mtu-blackhole", &[504], "ERR_READ_TIMEOUT"),
    row("idle-drop-middlebox", &[504, 502], "ERR_READ_TIMEOUT"),
    row("reset-mid-response", &[200], ""),
    row("truncated-body", &[200], "SRV_PREMATURE_EOF"),
    row("bad-header", &[502], "ERR_INVALID_RESP"),
    row("conflicting-framing", &[502], "ERR_INVALID_RESP"),
    row("invalid-content-length", &[502], "ERR_INVALID_RESP"),
    row("unknown-transfer-coding", &[502], "ERR_INVALID_RESP"),
    row("unexpected-upgrade", &[502], "ERR_INVALID_RESP"),
    row("bad-interim-response", &[502], "ERR_ZERO_SIZE_OBJECT"),
    row("request-write-timeout", &[504], "ERR_READ_TIMEOUT"),
    row("bad-chunking", &[200], ""),
    row("truncated-chunked", &[200], ""),
    row("stall-mid-response", &[200], "ERR_READ_TIMEOUT"),
    row("dns-nxdomain", &[503], "ERR_DNS_FAIL"),
    row("dns-nodata", &[503], "ERR_DNS_FAIL"),
    row("dns-servfail", &[503], "ERR_DNS_FAIL"),
    row("dns-refused", &[503], "ERR_DNS_FAIL"),
    row("dns-timeout", &[503], "ERR_DNS_FAIL"),
    row("dns-unreachable", &[503], "ERR_DNS_FAIL"),
    row("no-upstream-attempt", &[503], "ERR_CANNOT_FORWARD"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "`dns_nameservers`, `dns_timeout`; `squidclient mgr:idns`.",
    ),
    (
        Family::Connect,
        "`connect_timeout`, `peer_connect_timeout`, `connect-fail-limit=` on `cache_peer`.",
    ),
    (
        Family::Tls,
        "`tls`, `tls-cafile=` and `ssldomain=` on `cache_peer`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `read_timeout` (15 minutes).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `server_idle_pconn_timeout` (60 s) below the upstream's own.",
    ),
    (Family::MalformedHead, "`reply_header_max_size` (64 KB)."),
    (
        Family::NoUpstreamPackets,
        "dead peers in cache.log; `never_direct`, `cache_peer_access`.",
    ),
    (
        Family::SendingRequest,
        "`write_timeout` (15 min), `request_body_max_size`.",
    ),
    (
        Family::Body,
        "`read_timeout` (15 min) counts between two reads; %err_detail has SRV_PREMATURE_EOF.",
    ),
    (
        Family::Path,
        "`server_idle_pconn_timeout` (1 min) below the limit of what lies between.",
    ),
    (
        Family::Relayed,
        "`%<Hs` in logformat is the peer's own status.",
    ),
    (
        Family::ClientSide,
        "`request_timeout` (5 min), `request_header_max_size`, `client_lifetime`.",
    ),
    (Family::Silent, "`deny_info TCP_RESET` resets on purpose."),
    (
        Family::CouldNotTell,
        "`%err_code/%err_detail` in logformat; `debug_options ALL,1 11,2 17,2` for a while.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("forward_timeout", Wait::Queue, 240_000),
    timer("connect_timeout", Wait::Connect, 60_000).every(1_000),
    timer("peer_connect_timeout", Wait::Connect, 30_000).every(1_000),
    timer("forward_timeout", Wait::Connect, 240_000).every(1_000),
    timer("read_timeout", Wait::Response, 900_000).every(1_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_header_tells_the_cause() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: squid/5.7\r\nMime-Version: 1.0\r\n\
             Content-Type: text/html;charset=utf-8\r\nX-Squid-Error: ERR_ZERO_SIZE_OBJECT 0\r\n\
             Via: 1.1 host (squid/5.7)\r\nConnection: keep-alive\r\n\r\n",
        );
        let found = recognise(&head, b"").unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("5.7"));
        assert_eq!(found.page_cause, Some("closed-before-response"));
    }

    #[test]
    fn an_errno_that_fits_several_tells_none() {
        let head = response(
            "HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 113\r\n\r\n",
        );
        let found = recognise(&head, b"").unwrap();
        assert!(found.own_page);
        assert_eq!(found.page_cause, None);
    }

    #[test]
    fn via_alone_is_no_page() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nVia: 1.1 host (squid/5.7)\r\n\r\n");
        assert!(!recognise(&head, b"oops").unwrap().own_page);
    }

    #[test]
    fn its_page_is_known_by_its_title() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let page = b"<html><head>\n<meta type=\"copyright\" content=\"Copyright (C) 1996-2022 The \
            Squid Software Foundation and contributors\">\n<meta http-equiv=\"Content-Type\" \
            content=\"text/html; charset=utf-8\">\n\
            <title>ERROR: The requested URL could not be retrieved</title>\n";
        assert!(recognise(&head, page).unwrap().own_page);
    }

    #[test]
    fn its_requests_carry_its_via() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 host (squid/5.7)\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
