//! Caddy. In: heads and pages. Out: what gives it away, what it answers and logs.
//!
//! The rule: its errors have no body, and an upstream's Server replaces its own, so its name on an empty
//! error is its own.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{HttpVersion, RequestHead, ResponseHead};

/// What is known of Caddy.
pub const PRODUCT: Product = Product {
    name: "Caddy",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: true,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server")?;
    found.server("Caddy", clue::product(&server, "Caddy")?);
    if head.content_length == Some(0) && body.is_empty() && head.status >= 500 {
        found.page("empty, as Caddy's errors are");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (head.version == HttpVersion::Http11
        && !head.lower_case_names
        && has("x-forwarded-for")
        && has("x-forwarded-host")
        && has("x-forwarded-proto")
        && !has("x-forwarded-server")
        && !has("x-real-ip")
        && !has("connection")
        && !has("via"))
    .then_some("X-Forwarded-For, -Host and -Proto without Connection, as Caddy sends them")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "dial tcp ...: connect: connection refused",
    ),
    row("local-connect-error", &[502], ""),
    row(
        "icmp-port-unreachable",
        &[502],
        "dial tcp ...: connect: connection refused",
    ),
    row(
        "icmp-host-unreachable",
        &[502],
        "dial tcp ...: connect: no route to host",
    ),
    row(
        "icmp-ttl-exceeded",
        &[502],
        "dial tcp ...: connect: no route to host",
    ),
    row(
        "icmp-net-unreachable",
        &[502],
        "dial tcp ...: connect: network is unreachable",
    ),
    row(
        "icmp-admin-prohibited",
        &[502],
        "dial tcp ...: connect: no route to host",
    ),
    row(
        "neighbor-unresolved",
        &[502],
        "dial tcp ...: connect: no route to host",
    ),
    row("connect-timeout", &[502], "dial tcp ...: i/o timeout"),
    row("connect-stale-tuple", &[502], "dial tcp ...: i/o timeout"),
    row(
        "listen-queue-overflow",
        &[502, 504],
        "dial tcp ...: i/o timeout",
    ),
    row(
        "connect-half-open",
        &[502, 504],
        "dial tcp ...: i/o timeout",
    ),
    row("dns-stale-address", &[502], "dial tcp ...: i/o timeout"),
    row(
        "connect-reset-after-accept",
        &[502],
        "EOF, or connection reset by peer",
    ),
    row(
        "tls-on-http-port",
        &[502],
        "server gave HTTP response to HTTPS client, or first record does not look like a TLS \
         handshake",
    ),
    row(
        "tls-version-mismatch",
        &[502],
        "remote error: tls: protocol version not supported",
    ),
    row(
        "tls-sni-unrecognized",
        &[502],
        "remote error: tls: unrecognized name",
    ),
    row(
        "tls-client-cert-required",
        &[502],
        "remote error: tls: handshake failure; in TLS 1.3 remote error: tls: certificate required",
    ),
    row(
        "tls-cert-expired",
        &[502],
        "x509: certificate has expired or is not yet valid",
    ),
    row(
        "tls-cert-not-yet-valid",
        &[502],
        "x509: certificate has expired or is not yet valid",
    ),
    row(
        "tls-cert-name-mismatch",
        &[502],
        "x509: certificate is valid for X, not Y",
    ),
    row(
        "tls-untrusted-ca",
        &[502],
        "x509: certificate signed by unknown authority",
    ),
    row("tls-cert-rejected-unknown", &[502], "x509: certificate ..."),
    row("tls-alert-from-upstream", &[502], "remote error: tls: ..."),
    row("tls-handshake-reset", &[502], "connection reset by peer"),
    row("tls-handshake-closed", &[502], "EOF"),
    row(
        "tls-handshake-timeout",
        &[504],
        "net/http: TLS handshake timeout",
    ),
    row(
        "http-on-tls-port",
        &[502, 400],
        "malformed HTTP response, or EOF",
    ),
    row(
        "malformed-status-line",
        &[502],
        "malformed HTTP response \"...\"",
    ),
    row(
        "stale-keepalive-reuse",
        &[502],
        "EOF, or connection reset by peer; a GET is repeated in silence",
    ),
    row(
        "reset-before-response",
        &[502],
        "read: connection reset by peer",
    ),
    row("injected-reset", &[502], "read: connection reset by peer"),
    row("closed-before-response", &[502], "EOF"),
    row("reset-mid-head", &[502], "read: connection reset by peer"),
    row("closed-mid-head", &[502], "unexpected EOF"),
    row(
        "head-timeout",
        &[504],
        "net/http: timeout awaiting response headers",
    ),
    row(
        "response-timeout",
        &[504],
        "net/http: timeout awaiting response headers",
    ),
    row(
        "loss-stall",
        &[504],
        "net/http: timeout awaiting response headers",
    ),
    row(
        "path-mtu-blackhole",
        &[504],
        "net/http: timeout awaiting response headers",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "net/http: timeout awaiting response headers",
    ),
    row(
        "reset-mid-response",
        &[200],
        "aborting with incomplete response",
    ),
    row(
        "truncated-body",
        &[200],
        "aborting with incomplete response",
    ),
    row(
        "bad-header",
        &[502],
        "malformed MIME header line, or multiple Content-Length headers",
    ),
    row("http09-response", &[502], "malformed HTTP response"),
    row("wrong-service", &[502], "malformed HTTP response"),
    row("h1-on-h2-port", &[502], "malformed HTTP response"),
    row("proxy-protocol-missing", &[502], "EOF"),
    row(
        "conflicting-framing",
        &[502],
        "http: message cannot contain multiple Content-Length headers",
    ),
    row("invalid-content-length", &[502], "bad Content-Length"),
    row(
        "unknown-transfer-coding",
        &[502],
        "unsupported transfer encoding",
    ),
    row(
        "bad-interim-response",
        &[502],
        "EOF, or too many 1xx informational responses",
    ),
    row("bad-chunking", &[200], "invalid byte in chunk length"),
    row("truncated-chunked", &[200], "unexpected EOF"),
    row(
        "stall-mid-response",
        &[200],
        "reading from backend: i/o timeout",
    ),
    row("dns-nxdomain", &[502], "lookup ...: no such host"),
    row("dns-nodata", &[502], "lookup ...: no such host"),
    row("dns-servfail", &[502], "lookup ...: server misbehaving"),
    row("dns-refused", &[502], "lookup ...: server misbehaving"),
    row("dns-timeout", &[502], "lookup ...: i/o timeout"),
    row("dns-unreachable", &[502], "lookup ...: i/o timeout"),
    row("no-upstream-attempt", &[503], "no upstreams available"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "`dynamic a` or `resolvers` in `reverse_proxy`; Go asks the servers of /etc/resolv.conf.",
    ),
    (
        Family::Connect,
        "`dial_timeout` (3 s), and `lb_try_duration` with more than one upstream.",
    ),
    (
        Family::Tls,
        "`transport http { tls_server_name ...; tls_trust_pool ... }`.",
    ),
    (
        Family::ProtocolMismatch,
        "the scheme of the upstream: `https://`, `h2c://`, or none.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `response_header_timeout` (none by default), `read_timeout`.",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `keepalive` (2 minutes) below the upstream's own.",
    ),
    (
        Family::MalformedHead,
        "`max_response_header`; the parser cannot be loosened.",
    ),
    (
        Family::NoUpstreamPackets,
        "`health_uri`, `fail_duration`, `max_fails`; the admin endpoint /reverse_proxy/upstreams.",
    ),
    (
        Family::SendingRequest,
        "`write_timeout` in `transport http`; `request_body` with `max_size` no larger than what the upstream takes.",
    ),
    (
        Family::Body,
        "`read_timeout` in `transport http`; the log says \"aborting with incomplete response\".",
    ),
    (
        Family::Path,
        "`keepalive` in `transport http` below the limit of what lies between; TCP keep-alive is on.",
    ),
    (
        Family::Relayed,
        "`handle_response` in `reverse_proxy`; with `debug`, \"upstream roundtrip\" has the upstream's status.",
    ),
    (
        Family::ClientSide,
        "`timeouts` of the server: `read_header`, `read_body`.",
    ),
    (Family::Silent, "the `abort` directive closes on purpose."),
    (
        Family::CouldNotTell,
        "`header_up X-Request-ID {http.request.uuid}`, and `debug` in the global options: reverse_proxy then logs each upstream round trip.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("dial_timeout", Wait::Connect, 3_000),
    timer("tls_timeout", Wait::Connect, 10_000),
    timer("resolv.conf timeout", Wait::Resolve, 5_000),
    timer("resolv.conf timeout, two tries", Wait::Resolve, 10_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_errors_are_empty() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: Caddy\r\n\
             Date: Fri, 20 Nov 2026 13:18:28 GMT\r\nContent-Length: 0\r\n\r\n",
        );
        assert!(recognise(&head, b"").unwrap().own_page);
        let relayed =
            response("HTTP/1.1 502 Bad Gateway\r\nServer: Caddy\r\nContent-Length: 4\r\n\r\n");
        assert!(!recognise(&relayed, b"oops").unwrap().own_page);
        let other = response("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(recognise(&other, b""), None);
    }

    #[test]
    fn its_requests_forward_three_fields() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\
                    X-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nAccept-Encoding: gzip\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
