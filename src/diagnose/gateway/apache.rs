//! Apache httpd with mod_proxy. In: heads and pages. Out: what gives it away, what it answers and logs.
//!
//! The rule: it passes the upstream's Server on, so its name means that Apache wrote the response, here or
//! further behind; the page tells which.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Apache httpd.
pub const PRODUCT: Product = Product {
    name: "Apache httpd",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: None,
    response_line_max: Some(8_192),
    response_lines_max: None,
};

/// Sentences of its own pages, by which they differ from a page that an application wrote.
const SENTENCES: &[&str] = &[
    "Your browser sent a request that this server could not understand",
    "Server timeout waiting for the HTTP request from the client",
    "<h1>Proxy Error</h1>",
    "The server is temporarily unable to service your\nrequest",
    "The gateway did not receive a timely response\nfrom the upstream server",
    "The proxy server received an invalid\r\nresponse from an upstream server",
    "The server encountered an internal error or\nmisconfiguration",
];

/// Reasons on the page of mod_proxy that tell one cause. "Error reading from remote server" stands for a
/// close, a reset and a timeout alike.
const REASONS: &[(&str, &str)] = &[
    (
        "Corrupt status line returned by remote server",
        "malformed-status-line",
    ),
    ("Malformed connection header", "bad-header"),
    ("Unexpected Upgrade", "unexpected-upgrade"),
];

/// Reasons that stand for several causes of one kind.
const KINDS: &[(&str, Kind)] = &[
    ("DNS lookup failure for", Kind::Name),
    (
        "Error during SSL Handshake with remote server",
        Kind::Handshake,
    ),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server")
        && let Some(version) = clue::product(&server, "Apache")
    {
        found.server("Apache", version);
    }
    if &*head.reason == "Proxy Error" {
        found.note("reason phrase: Proxy Error");
    }
    if SENTENCES.iter().any(|sentence| clue::holds(body, sentence)) {
        found.page("Apache httpd error page");
        let reason = clue::between(body, "Reason: <strong>", "</strong>").unwrap_or_default();
        found.page_cause = REASONS
            .iter()
            .find(|(begin, _)| reason.starts_with(begin))
            .map(|(_, code)| *code);
        let kind = KINDS.iter().find(|(begin, _)| reason.starts_with(begin));
        found.hints(kind.map(|(_, kind)| *kind));
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-forwarded-for")
        && has("x-forwarded-host")
        && has("x-forwarded-server")
        && !has("x-real-ip"))
    .then_some("X-Forwarded-For, -Host and -Server together, as Apache sends them")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[503],
        "AH00957 and AH01114 with (111)Connection refused",
    ),
    row(
        "local-connect-error",
        &[503],
        "AH01114 with the errno, or AH00957",
    ),
    row(
        "icmp-port-unreachable",
        &[503],
        "AH00957 and AH01114 with (111)Connection refused",
    ),
    row(
        "icmp-host-unreachable",
        &[503],
        "AH00957 and AH01114 with (113)No route to host",
    ),
    row(
        "icmp-ttl-exceeded",
        &[503],
        "AH00957 and AH01114 with (113)No route to host",
    ),
    row(
        "icmp-net-unreachable",
        &[503],
        "AH00957 and AH01114 with (101)Network is unreachable",
    ),
    row(
        "icmp-admin-prohibited",
        &[503],
        "AH00957 and AH01114 with (113)No route to host",
    ),
    row(
        "neighbor-unresolved",
        &[503],
        "AH00957 and AH01114 with (113)No route to host",
    ),
    row(
        "connect-timeout",
        &[503],
        "AH00957 and AH01114 with (70007)The timeout specified has expired",
    ),
    row(
        "connect-stale-tuple",
        &[503],
        "AH00957 and AH01114 with (70007)The timeout specified has expired",
    ),
    row(
        "listen-queue-overflow",
        &[503, 502],
        "AH00957 and AH01114 with (70007)The timeout specified has expired",
    ),
    row(
        "connect-half-open",
        &[503, 502],
        "AH00957 and AH01114 with (70007)The timeout specified has expired",
    ),
    row(
        "dns-stale-address",
        &[503],
        "AH00957 and AH01114 with (70007)The timeout specified has expired",
    ),
    row("connect-reset-after-accept", &[502, 503, 0], "AH01102"),
    row(
        "tls-on-http-port",
        &[500, 502],
        "AH02003: SSL Proxy connect failed, with wrong version number",
    ),
    row(
        "tls-version-mismatch",
        &[500],
        "AH02003: SSL Proxy connect failed; AH00898: Error during SSL Handshake with remote server",
    ),
    row(
        "tls-sni-unrecognized",
        &[500],
        "AH02003; AH00898: Error during SSL Handshake with remote server",
    ),
    row(
        "tls-client-cert-required",
        &[500, 502],
        "AH02003; AH00898: Error during SSL Handshake with remote server; in TLS 1.3 AH01102 and 502",
    ),
    row(
        "tls-client-cert-rejected",
        &[500],
        "AH02003; AH00898: Error during SSL Handshake with remote server",
    ),
    row(
        "tls-cert-expired",
        &[500],
        "AH02039: Certificate Verification: Error (10): certificate has expired; AH00898",
    ),
    row(
        "tls-cert-not-yet-valid",
        &[500],
        "AH02039: Certificate Verification: Error (9): certificate is not yet valid; AH00898",
    ),
    row(
        "tls-cert-name-mismatch",
        &[500],
        "AH00898: Error during SSL Handshake with remote server; with LogLevel ssl:info AH02411: SSL Proxy: Peer certificate does not match for hostname NAME",
    ),
    row(
        "tls-untrusted-ca",
        &[500],
        "AH02039: Certificate Verification: Error (20): unable to get local issuer certificate; AH00898",
    ),
    row(
        "tls-closed-after-handshake",
        &[500],
        "AH00898: Error during SSL Handshake with remote server; with LogLevel ssl:info AH02411: SSL Proxy: Peer certificate does not match for hostname NAME",
    ),
    row(
        "tls-alert-from-upstream",
        &[500, 502],
        "AH02003: SSL Proxy connect failed, with the alert",
    ),
    row(
        "tls-handshake-reset",
        &[500],
        "AH02003: SSL Proxy connect failed",
    ),
    row(
        "tls-handshake-closed",
        &[500],
        "AH02003: SSL Proxy connect failed",
    ),
    row(
        "tls-handshake-timeout",
        &[500],
        "AH02003: SSL Proxy connect failed",
    ),
    row("http-on-tls-port", &[502, 200, 400, 0], "AH01102"),
    row(
        "malformed-status-line",
        &[200, 502],
        "AH01099, or Corrupt status line returned by remote server",
    ),
    row(
        "stale-keepalive-reuse",
        &[502, 0],
        "AH01102: error reading status line from remote server",
    ),
    row(
        "reset-before-response",
        &[502, 0],
        "AH01102 with (104)Connection reset by peer",
    ),
    row(
        "injected-reset",
        &[502, 0],
        "AH01102 with (104)Connection reset by peer",
    ),
    row(
        "closed-before-response",
        &[502, 0],
        "AH01102 with (20014) or end of file: error reading status line from remote server",
    ),
    row(
        "reset-mid-head",
        &[502, 0],
        "AH01102 with (104)Connection reset by peer",
    ),
    row("closed-mid-head", &[502, 0], "AH01102"),
    row("header-too-large", &[502], "AH10124"),
    row(
        "head-timeout",
        &[502],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "response-timeout",
        &[502],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "loss-stall",
        &[502],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "path-mtu-blackhole",
        &[502, 500],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "idle-drop-middlebox",
        &[502, 0],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "reset-mid-response",
        &[200],
        "AH01110 with (104)Connection reset by peer",
    ),
    row("truncated-body", &[200], "AH01110 with (70008)"),
    row("upstream-returned-5xx", &[], "nothing in the error log"),
    row("relayed-nested", &[], "nothing in the error log"),
    row(
        "bad-header",
        &[502, 500],
        "AH01106, AH10404 or AH01100; AH01107 and AH02476 for framing",
    ),
    row(
        "h1-on-h2-port",
        &[502, 0],
        "AH01102: error reading status line from remote server",
    ),
    row(
        "wrong-service",
        &[502, 0],
        "AH01102: error reading status line from remote server",
    ),
    row(
        "proxy-protocol-missing",
        &[502, 0],
        "AH01102: error reading status line from remote server",
    ),
    row(
        "unsolicited-response",
        &[502, 503, 0],
        "AH01102: error reading status line from remote server",
    ),
    row(
        "invalid-content-length",
        &[502],
        "AH01110: error reading response",
    ),
    row("unexpected-upgrade", &[502], "AH00898: Unexpected Upgrade"),
    row(
        "bad-interim-response",
        &[502],
        "AH00898: Too many (10) interim responses from origin server, or AH01102",
    ),
    row(
        "request-reset-mid-body",
        &[502],
        "(104)Connection reset by peer, AH01102: error reading status line from remote server",
    ),
    row(
        "bad-chunking",
        &[502, 200],
        "AH01110: error reading response",
    ),
    row(
        "truncated-chunked",
        &[200],
        "(70008)Partial results are valid but processing is incomplete, AH01110",
    ),
    row(
        "stall-mid-response",
        &[200],
        "(70007)The timeout specified has expired, AH01110: error reading response",
    ),
    row(
        "dns-nxdomain",
        &[500, 502],
        "AH00898: DNS lookup failure for",
    ),
    row("dns-nodata", &[500, 502], "AH00898: DNS lookup failure for"),
    row(
        "dns-servfail",
        &[500, 502],
        "AH00898: DNS lookup failure for",
    ),
    row(
        "dns-refused",
        &[500, 502],
        "AH00898: DNS lookup failure for",
    ),
    row(
        "dns-timeout",
        &[500, 502],
        "AH00898: DNS lookup failure for",
    ),
    row(
        "dns-unreachable",
        &[500, 502],
        "AH00898: DNS lookup failure for",
    ),
    row(
        "no-upstream-attempt",
        &[503],
        "AH01170, AH01171 or AH00940 (worker in error state); AH00934 or AH00941 when busy",
    ),
    row(
        "client-request-timeout",
        &[408],
        "408 in the access log; AH01382 from mod_reqtimeout",
    ),
    row(
        "client-bad-request",
        &[400],
        "AH00126 (Invalid URI in request) or another AH number; 400 in the access log",
    ),
    row(
        "zero-window-stall",
        &[],
        "AH01102 with (70007)The timeout specified has expired",
    ),
    row(
        "attempt-succeeded-but-error",
        &[500, 502, 503, 504],
        "the error log at that moment: a filter's or a module's own line",
    ),
    row(
        "gateway-truncated-relay",
        &[200],
        "AH01110: error reading response, or nothing where the client's side failed",
    ),
    row(
        "gateway-silent-close",
        &[0],
        "AH01102 on a later request of a connection; nothing in the access log's status",
    ),
    row(
        "upstream-leg-not-captured",
        &[],
        "the AH line names the upstream: HTTP: attempt to connect to, or (backend) failed",
    ),
    row(
        "capture-gap",
        &[],
        "the AH line at that moment decides what the packets do not",
    ),
    row("encrypted-inconclusive", &[], "the AH line at that moment"),
    row(
        "ambiguous",
        &[],
        "the AH line at that moment names the upstream and what failed",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "`disablereuse=On` resolves for each connection; check the TTL of the resolver and the \
         names in `ProxyPassMatch`.",
    ),
    (
        Family::Connect,
        "`connectiontimeout=` and `retry=` on `ProxyPass`: a failed worker is left out for \
         `retry` seconds (60).",
    ),
    (
        Family::Tls,
        "`SSLProxyCheckPeerName`, `SSLProxyCACertificateFile`, `SSLProxyProtocol`.",
    ),
    (
        Family::ProtocolMismatch,
        "the scheme in `ProxyPass` (http, https, h2), and `SSLProxyEngine on`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `ProxyTimeout`, or `timeout=` on `ProxyPass`; Apache answers 502 on them, not \
         504.",
    ),
    (
        Family::WaitingForHead,
        "reused connections (AH01102): `ttl=` below the upstream's keep-alive, or \
         `disablereuse=On`.",
    ),
    (
        Family::MalformedHead,
        "`ResponseFieldSize` (8192) bounds one header line; `ProxyBadHeader` tells what to do \
         with bad ones.",
    ),
    (
        Family::NoUpstreamPackets,
        "`retry=`, `max=` and health checks by mod_proxy_hcheck; the balancer-manager shows \
         worker states.",
    ),
    (
        Family::SendingRequest,
        "`ProxyTimeout` or `timeout=` on ProxyPass; `LimitRequestBody` no larger than what the upstream takes.",
    ),
    (
        Family::Body,
        "`ProxyTimeout` counts between two reads; output filters (mod_deflate, mod_substitute) break bodies too.",
    ),
    (
        Family::Path,
        "`keepalive=On` on ProxyPass, where a firewall drops idle connections; `ttl=` below its limit.",
    ),
    (
        Family::Relayed,
        "`%{BALANCER_WORKER_NAME}e` in LogFormat; `ProxyErrorOverride` replaces the upstream's page.",
    ),
    (
        Family::ClientSide,
        "`RequestReadTimeout` (mod_reqtimeout), `LimitRequestFieldSize`, `LimitRequestLine`.",
    ),
    (
        Family::Silent,
        "on a later request of a connection a failed upstream connection is closed in silence: `disablereuse=On`, or `ttl=` below the upstream's keep-alive.",
    ),
    (
        Family::CouldNotTell,
        "mod_unique_id with `RequestHeader set X-Request-ID %{UNIQUE_ID}e`, and `LogLevel proxy:trace2` for a while.",
    ),
];

const TIMERS: &[Timer] = &[
    timer(
        "connectiontimeout (ProxyTimeout, Timeout)",
        Wait::Connect,
        60_000,
    )
    .every(1_000),
    timer("ProxyTimeout (Timeout)", Wait::Response, 60_000).every(1_000),
    timer(
        "Timeout of older and of packaged configurations",
        Wait::Connect,
        300_000,
    )
    .every(1_000),
    timer(
        "Timeout of older and of packaged configurations",
        Wait::Response,
        300_000,
    )
    .every(1_000),
    timer("resolv.conf timeout", Wait::Resolve, 5_000),
    timer("resolv.conf timeout, two tries", Wait::Resolve, 10_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    // Taken from Apache httpd 2.4.71.
    const ERROR: &str = "HTTP/1.1 502 Proxy Error\r\nDate: Fri, 20 Nov 2026 13:18:31 GMT\r\n\
        Server: Apache/2.4.71 (Debian)\r\nContent-Length: 381\r\n\
        Content-Type: text/html; charset=iso-8859-1\r\n\r\n";
    const ERROR_PAGE: &[u8] = b"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \
        \"http://www.w3.org/TR/html4/strict.dtd\">\n<html><head>\n<title>502 Proxy Error</title>\n\
        </head><body>\n<h1>Proxy Error</h1>\n<p>The proxy server received an invalid\r\n\
        response from an upstream server.<br />\r\n\
        The proxy server could not handle the request<p>Reason: \
        <strong>Error reading from remote server</strong></p></p>\n</body></html>\n";
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nServer: Apache/2.4.71 (Debian)\r\n\
        Content-Length: 339\r\nConnection: close\r\n\
        Content-Type: text/html; charset=iso-8859-1\r\n\r\n";
    const BUSY_PAGE: &[u8] = b"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \
        \"http://www.w3.org/TR/html4/strict.dtd\">\n<html><head>\n\
        <title>503 Service Unavailable</title>\n</head><body>\n<h1>Service Unavailable</h1>\n\
        <p>The server is temporarily unable to service your\nrequest due to maintenance downtime or \
        capacity\nproblems. Please try again later.</p>\n</body></html>\n";

    #[test]
    fn its_pages_are_its_own() {
        for (head, page, size) in [(ERROR, ERROR_PAGE, 381), (BUSY, BUSY_PAGE, 339)] {
            assert_eq!(page.len(), size);
            let found = recognise(&response(head), page).unwrap();
            assert!(found.own_page && found.named_by_server);
            assert_eq!(found.version.as_deref(), Some("2.4.71"));
            assert_eq!(found.page_cause, None);
        }
    }

    #[test]
    fn a_specific_reason_tells_the_cause() {
        let page = b"<h1>Proxy Error</h1>Reason: <strong>Corrupt status line returned by remote \
                     server: HTTP/1.1 abc</strong>";
        let found = recognise(&response(ERROR), page).unwrap();
        assert_eq!(found.page_cause, Some("malformed-status-line"));
    }

    #[test]
    fn a_page_of_an_application_is_not_its_own() {
        let found = recognise(&response(BUSY), b"<html>down for maintenance</html>").unwrap();
        assert!(!found.own_page);
    }

    #[test]
    fn its_requests_name_the_server() {
        let sent = "GET /t HTTP/1.1\r\nHost: 127.0.0.1:18090\r\nUser-Agent: curl/7.88.1\r\n\
                    Accept: */*\r\nX-Forwarded-For: 127.0.0.1\r\n\
                    X-Forwarded-Host: 127.0.0.1:18084\r\nX-Forwarded-Server: localhost\r\n\
                    Connection: Keep-Alive\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
