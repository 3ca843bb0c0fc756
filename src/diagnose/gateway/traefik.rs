//! Traefik. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: its errors are the bare status text without a Server header; both must agree. Written from its source:
//! it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Traefik.
pub const PRODUCT: Product = Product {
    name: "Traefik",
    source: Source::Documented,
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

/// Status, page, and the cause that the page tells.
const PAGES: &[(u16, &str, Option<&str>)] = &[
    (500, "Internal Server Error", None),
    (502, "Bad Gateway", None),
    (
        503,
        "no available server",
        Some("no-upstream-attempt:no-live-upstream"),
    ),
    (504, "Gateway Timeout", None),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let plain = header(&head.kept, "content-type")
        .is_none_or(|content_type| content_type.starts_with("text/plain"));
    if header(&head.kept, "server").is_some() || !plain {
        return None;
    }
    let text = clue::text(body)?;
    let (_, _, cause) = PAGES
        .iter()
        .find(|(status, page, _)| *status == head.status && *page == text)?;
    let mut found = Recognised::default();
    found.tells(*cause);
    found.hints((head.status == 504).then_some(Kind::Timer));
    found.page("bare status text without Server header, as Traefik writes it");
    Some(found)
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-forwarded-server") && has("x-forwarded-proto") && has("x-real-ip"))
        .then_some("X-Forwarded-Server with X-Real-Ip, as Traefik sends them")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[502], "connect: connection refused"),
    row("local-connect-error", &[502], ""),
    row(
        "icmp-port-unreachable",
        &[502],
        "connect: connection refused",
    ),
    row("icmp-host-unreachable", &[502], "connect: no route to host"),
    row("icmp-ttl-exceeded", &[502], "connect: no route to host"),
    row(
        "icmp-net-unreachable",
        &[502],
        "connect: network is unreachable",
    ),
    row("icmp-admin-prohibited", &[502], "connect: no route to host"),
    row("connect-timeout", &[504], "i/o timeout"),
    row("connect-stale-tuple", &[504], "i/o timeout"),
    row("listen-queue-overflow", &[504], "i/o timeout"),
    row("connect-half-open", &[504], "i/o timeout"),
    row("dns-stale-address", &[504, 502], "i/o timeout"),
    row(
        "tls-on-http-port",
        &[500, 502],
        "first record does not look like a TLS handshake",
    ),
    row(
        "tls-alert-from-upstream",
        &[502, 500],
        "remote error: tls: ...",
    ),
    row("tls-handshake-reset", &[502], "connection reset by peer"),
    row("tls-handshake-closed", &[502], "EOF"),
    row("malformed-status-line", &[500], "malformed HTTP response"),
    row("reset-before-response", &[502], "connection reset by peer"),
    row("injected-reset", &[502], "connection reset by peer"),
    row("closed-before-response", &[502], "EOF"),
    row("reset-mid-head", &[502, 500], "connection reset by peer"),
    row("closed-mid-head", &[500, 502], "unexpected EOF"),
    row(
        "response-timeout",
        &[504],
        "timeout awaiting response headers",
    ),
    row("loss-stall", &[504], "timeout awaiting response headers"),
    row(
        "path-mtu-blackhole",
        &[504],
        "timeout awaiting response headers",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "timeout awaiting response headers",
    ),
    row("no-upstream-attempt", &[503], "no available server"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`serversTransport.forwardingTimeouts.dialTimeout` (30 s); the port label of the service.",
    ),
    (Family::Tls, "`serversTransport`: `serverName`, `rootCAs`."),
    (
        Family::ProtocolMismatch,
        "`loadbalancer.server.scheme` of the service: http, https or h2c.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `responseHeaderTimeout` (none by default).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `idleConnTimeout` (90 s) below the upstream's own.",
    ),
    (
        Family::NoUpstreamPackets,
        "health checks of the service; Kubernetes: endpoints of the Service.",
    ),
    (
        Family::SendingRequest,
        "the `buffering` middleware (`maxRequestBodyBytes`) where upstreams refuse long bodies.",
    ),
    (
        Family::Body,
        "no timer of its own on bodies; `entryPoints.NAME.transport.respondingTimeouts.writeTimeout`.",
    ),
    (
        Family::Path,
        "`serversTransport.forwardingTimeouts.idleConnTimeout` (90 s) below the limit of what lies between.",
    ),
    (
        Family::Relayed,
        "OriginStatus beside DownstreamStatus in the access log; the `errors` middleware replaces pages.",
    ),
    (
        Family::ClientSide,
        "`entryPoints.NAME.transport.respondingTimeouts.readTimeout` (60 s).",
    ),
    (
        Family::CouldNotTell,
        "access logs in JSON: OriginStatus, OriginDuration, ServiceAddr; `log.level: DEBUG` tells the error.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("dialTimeout", Wait::Connect, 30_000),
    timer("resolv.conf timeout", Wait::Resolve, 5_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_pages_are_status_texts() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nDate: Fri, 20 Nov 2026 13:18:28 GMT\r\n\
             Content-Length: 11\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        );
        assert!(recognise(&head, b"Bad Gateway").unwrap().own_page);
        assert_eq!(recognise(&head, b"Gateway Timeout"), None);
        let none = response("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n");
        let found = recognise(&none, b"no available server\n").unwrap();
        assert_eq!(found.page_cause, Some("no-upstream-attempt"));
    }

    #[test]
    fn a_server_header_means_another() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nServer: gunicorn\r\n\r\n");
        assert_eq!(recognise(&head, b"Bad Gateway"), None);
    }

    #[test]
    fn its_requests_name_server_and_client() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\
                    X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-Server: t\r\nX-Real-Ip: 1.2.3.4\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
