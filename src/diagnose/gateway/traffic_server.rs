//! Apache Traffic Server. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: it writes its name on relayed responses too; its page titles and reason phrases are its own.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Traffic Server.
pub const PRODUCT: Product = Product {
    name: "Apache Traffic Server",
    source: Source::Recorded,
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

/// Titles of its pages.
const TITLES: &[&str] = &[
    "Could Not Connect",
    "Server Connection Closed",
    "Unknown Host",
    "No Valid Host",
    "Inactivity Timeout",
    "Activity Timeout",
    "Web Server Error",
];

/// Reason phrases that are its own, and the cause where one is told.
const REASONS: &[(&str, Option<&str>)] = &[
    ("Connection refused", Some("connect-refused")),
    ("Server Hangup", Some("closed-before-response")),
    ("No route to host", None),
    ("Invalid HTTP Response", None),
    (
        "Origin Server Marked Down",
        Some("no-upstream-attempt:no-live-upstream"),
    ),
    (
        "Origin server congested",
        Some("no-upstream-attempt:pool-overflow"),
    ),
    (
        "Cannot find server.",
        Some("no-upstream-attempt:dns-cached-failure"),
    ),
    (
        "No valid server.",
        Some("no-upstream-attempt:no-live-upstream"),
    ),
    ("Cycle Detected", Some("no-upstream-attempt:loop-detected")),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server")
        && let Some(version) = clue::product(&server, "ATS")
    {
        found.server("ATS", version);
    }
    if let Some(via) = header(&head.kept, "via")
        && let Some(version) = clue::product(&via, "ApacheTrafficServer")
    {
        found.version = found.version.or(version);
        found.note("header Via names ApacheTrafficServer");
    }
    if found.identified_by.is_empty() {
        return None;
    }
    let title = clue::between(body, "<TITLE>", "</TITLE>").unwrap_or_default();
    if TITLES.contains(&title.trim()) {
        found.page("Traffic Server error page");
    }
    let reason = REASONS
        .iter()
        .find(|(reason, _)| reason.eq_ignore_ascii_case(&head.reason));
    if let Some((reason, cause)) = reason {
        found.own_page = true;
        found.note(format!("reason phrase: {reason}"));
        found.tells(*cause);
        found.hints(match *reason {
            "No route to host" => Some(Kind::Ended),
            "Invalid HTTP Response" => Some(Kind::Content),
            _ => None,
        });
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let via = header(&head.kept, "via")?;
    clue::product(&via, "ApacheTrafficServer").map(|_| "Via names ApacheTrafficServer")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "ERR_CONNECT_FAIL; reason phrase Connection refused",
    ),
    row("local-connect-error", &[502], ""),
    row(
        "icmp-port-unreachable",
        &[502],
        "ERR_CONNECT_FAIL; reason phrase Connection refused",
    ),
    row(
        "icmp-host-unreachable",
        &[502],
        "ERR_CONNECT_FAIL; reason phrase No route to host",
    ),
    row(
        "icmp-ttl-exceeded",
        &[502],
        "ERR_CONNECT_FAIL; reason phrase No route to host",
    ),
    row("icmp-net-unreachable", &[502], "ERR_CONNECT_FAIL"),
    row(
        "icmp-admin-prohibited",
        &[502],
        "ERR_CONNECT_FAIL; reason phrase No route to host",
    ),
    row("connect-timeout", &[504, 502], "ERR_CONNECT_FAIL"),
    row("connect-stale-tuple", &[504, 502], "ERR_CONNECT_FAIL"),
    row("listen-queue-overflow", &[504, 502], "ERR_CONNECT_FAIL"),
    row("connect-half-open", &[504, 502], "ERR_CONNECT_FAIL"),
    row("dns-stale-address", &[504, 502], "ERR_CONNECT_FAIL"),
    row(
        "malformed-status-line",
        &[502],
        "reason phrase Invalid HTTP Response",
    ),
    row(
        "reset-before-response",
        &[502],
        "reason phrase Server Hangup",
    ),
    row("injected-reset", &[502], "reason phrase Server Hangup"),
    row(
        "closed-before-response",
        &[502],
        "reason phrase Server Hangup",
    ),
    row("response-timeout", &[504], "page Inactivity Timeout"),
    row("loss-stall", &[504], "page Inactivity Timeout"),
    row("path-mtu-blackhole", &[504], "page Inactivity Timeout"),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "page Inactivity Timeout",
    ),
    row(
        "http09-response",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Invalid HTTP Response",
    ),
    row(
        "wrong-service",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Invalid HTTP Response",
    ),
    row(
        "h1-on-h2-port",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Invalid HTTP Response",
    ),
    row(
        "conflicting-framing",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Invalid HTTP Response",
    ),
    row(
        "invalid-content-length",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Invalid HTTP Response",
    ),
    row(
        "bad-interim-response",
        &[502],
        "ERR_CONNECT_FAIL, with the reason Malformed Server Response",
    ),
    row("bad-chunking", &[200, 0], "ERR_READ_ERROR"),
    row("truncated-chunked", &[200], "ERR_READ_ERROR"),
    row("stall-mid-response", &[200], "ERR_READ_TIMEOUT"),
    row(
        "dns-nxdomain",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "dns-nodata",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "dns-servfail",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "dns-refused",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "dns-timeout",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "dns-unreachable",
        &[500, 502],
        "reason phrase Cannot find server.",
    ),
    row(
        "no-upstream-attempt",
        &[500, 502, 503],
        "reason phrase No valid server., Origin Server Marked Down or Origin server congested",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`proxy.config.http.connect_attempts_timeout` and `connect_attempts_max_retries`.",
    ),
    (
        Family::Tls,
        "`sni.yaml`, `proxy.config.ssl.client.verify.server.policy`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `proxy.config.http.transaction_no_activity_timeout_out` (30 s).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `proxy.config.http.keep_alive_no_activity_timeout_out` (120 s) below \
         the upstream's own.",
    ),
    (
        Family::NoUpstreamPackets,
        "`proxy.config.http.down_server.cache_time`: a server that failed is left out for that \
         long.",
    ),
    (
        Family::NameResolution,
        "`proxy.config.dns.nameservers`, `proxy.config.hostdb.timeout`: failed lookups are remembered.",
    ),
    (
        Family::ProtocolMismatch,
        "the scheme in remap.config: `map http://... https://ORIGIN/`.",
    ),
    (
        Family::MalformedHead,
        "`proxy.config.http.response_header_max_size`; the Via string's codes tell what it thought of the answer.",
    ),
    (
        Family::SendingRequest,
        "`proxy.config.http.transaction_no_activity_timeout_out` runs while the request is sent, too.",
    ),
    (
        Family::Body,
        "`proxy.config.http.transaction_no_activity_timeout_out` (30 s) counts between two reads.",
    ),
    (
        Family::Path,
        "`proxy.config.net.sock_option_flag_out` with SO_KEEPALIVE, and `proxy.config.http.keep_alive_no_activity_timeout_out` (120 s).",
    ),
    (
        Family::Relayed,
        "`%<sssc>` in the log format is the origin's own status, `%<pssc>` its own.",
    ),
    (
        Family::ClientSide,
        "`proxy.config.http.transaction_no_activity_timeout_in`, `proxy.config.http.request_header_max_size`.",
    ),
    (
        Family::CouldNotTell,
        "`%<crc>`, `%<sssc>` and `%<shi>` in logging.yaml; traffic_server's `xdebug` plugin.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("connect_attempts_timeout", Wait::Connect, 30_000),
    timer(
        "transaction_no_activity_timeout_out",
        Wait::Response,
        30_000,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_reason_tells_the_cause() {
        let head = response(
            "HTTP/1.1 502 Connection refused\r\nDate: Fri, 20 Nov 2026 13:18:28 GMT\r\n\
             Connection: keep-alive\r\nVia: http/1.1 host (ApacheTrafficServer/9.2.5)\r\n\
             Server: ATS/9.2.5\r\nCache-Control: no-store\r\nContent-Type: text/html\r\n\r\n",
        );
        let page = b"<HTML>\n<HEAD>\n<TITLE>Could Not Connect</TITLE>\n</HEAD>\n";
        let found = recognise(&head, page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("9.2.5"));
        assert_eq!(found.page_cause, Some("connect-refused"));
    }

    #[test]
    fn its_name_alone_proves_nothing() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nServer: ATS/9.2.5\r\n\r\n");
        assert!(!recognise(&head, b"oops").unwrap().own_page);
    }

    #[test]
    fn its_reason_without_its_name_is_nobodys() {
        let head = response("HTTP/1.1 502 Server Hangup\r\n\r\n");
        assert_eq!(recognise(&head, b""), None);
    }

    #[test]
    fn its_requests_carry_its_via() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\n\
                    Via: http/1.1 host (ApacheTrafficServer/9.2.5)\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
