//! lighttpd with mod_proxy. In: heads and pages. Out: what gives it away, what it answers and logs.
//!
//! The rule: it passes the upstream's Server on, so its name means that lighttpd wrote the response.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{Family, Product, Recognised, Row, Source, header, row};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of lighttpd.
pub const PRODUCT: Product = Product {
    name: "lighttpd",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: &[],
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(65_535),
    response_line_max: None,
    response_lines_max: None,
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server");
    if let Some(version) = server
        .as_deref()
        .and_then(|server| clue::product(server, "lighttpd"))
    {
        found.server("lighttpd", version);
    }
    let title = format!("<title>{} ", head.status);
    if (found.named_by_server || server.is_none())
        && body.starts_with(b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>")
        && clue::holds(body, "XHTML 1.0 Transitional")
        && clue::holds(body, &title)
    {
        found.page("lighttpd error page");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    let closes = header(&head.kept, "connection")
        .is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    (closes && has("x-forwarded-for") && has("x-forwarded-host") && has("x-forwarded-proto"))
        .then_some(
            "X-Forwarded-For, -Host and -Proto with Connection: close, as lighttpd sends them",
        )
}

const ROWS: &[Row] = &[
    row("connect-refused", &[503], "connect: Connection refused"),
    row("local-connect-error", &[503, 500], ""),
    row("icmp-port-unreachable", &[500], ""),
    row("icmp-host-unreachable", &[500], ""),
    row("icmp-ttl-exceeded", &[500], ""),
    row("icmp-net-unreachable", &[500], ""),
    row("icmp-admin-prohibited", &[500], ""),
    row("neighbor-unresolved", &[503], ""),
    row("connect-timeout", &[503], ""),
    row("connect-stale-tuple", &[503], ""),
    row("listen-queue-overflow", &[503, 504], ""),
    row("connect-half-open", &[503, 504], ""),
    row("dns-stale-address", &[503, 500], ""),
    row("malformed-status-line", &[502], ""),
    row(
        "reset-before-response",
        &[500],
        "response not received, request sent: N",
    ),
    row(
        "injected-reset",
        &[500],
        "response not received, request sent: N",
    ),
    row(
        "closed-before-response",
        &[500],
        "response not received, request sent: N",
    ),
    row(
        "reset-mid-head",
        &[500],
        "response not received, request sent: N",
    ),
    row(
        "closed-mid-head",
        &[500],
        "response not received, request sent: N",
    ),
    row("header-too-large", &[502], "response headers too large"),
    row("head-timeout", &[504], "read timeout"),
    row("response-timeout", &[504], "read timeout"),
    row("loss-stall", &[504], "read timeout"),
    row("path-mtu-blackhole", &[504], "read timeout"),
    row("idle-drop-middlebox", &[504, 500], "read timeout"),
    row("reset-mid-response", &[200], ""),
    row("truncated-body", &[200], ""),
    row("bad-header", &[502], ""),
    row(
        "no-upstream-attempt",
        &[503],
        "all handlers for ... are down",
    ),
    row("http09-response", &[502], ""),
    row("wrong-service", &[502], ""),
    row("h1-on-h2-port", &[502], ""),
    row("bad-interim-response", &[500], ""),
    row("bad-chunking", &[200], ""),
    row("truncated-chunked", &[200], ""),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`connect-timeout` and `disable-time` of the host in `proxy.server`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `read-timeout` of the host in `proxy.server`; it is checked about once a \
         second.",
    ),
    (
        Family::MalformedHead,
        "the whole response head must stay below 64 KB.",
    ),
    (
        Family::NoUpstreamPackets,
        "a host that failed is left out for `disable-time` seconds.",
    ),
    (
        Family::ProtocolMismatch,
        "mod_proxy speaks HTTP/1 without TLS to its hosts: TLS needs a helper such as stunnel.",
    ),
    (
        Family::SendingRequest,
        "`server.stream-request-body`; by default the whole body is taken first.",
    ),
    (
        Family::Body,
        "`server.stream-response-body`; by default the answer is buffered, so that a fault may become 502.",
    ),
    (
        Family::Path,
        "each request opens a new connection, so that idle limits on the way do not touch it.",
    ),
    (
        Family::Relayed,
        "`proxy.debug = 1`; mod_proxy passes Server on, so that a foreign Server names the author.",
    ),
    (
        Family::ClientSide,
        "`server.max-read-idle` (60 s), `server.max-request-field-size`.",
    ),
    (
        Family::CouldNotTell,
        "`debug.log-state-handling`, `proxy.debug = 1` and %{X-Request-Id}i in accesslog.format.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    const PAGE: &[u8] = b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \
        \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n         \
        \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
        <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  \
        <title>502 Bad Gateway</title>\n </head>\n <body>\n  <h1>502 Bad Gateway</h1>\n </body>\n\
        </html>\n";

    #[test]
    fn its_page_is_its_own() {
        assert!((341..=365).contains(&PAGE.len()), "{}", PAGE.len());
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 341\r\n\
             Server: lighttpd/1.4.69\r\n\r\n",
        );
        let found = recognise(&head, PAGE).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("1.4.69"));
    }

    #[test]
    fn a_page_under_another_status_or_name_is_not() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(recognise(&head, PAGE), None);
        let head = response("HTTP/1.1 502 Bad Gateway\r\nServer: cloudflare\r\n\r\n");
        assert_eq!(recognise(&head, PAGE), None);
    }

    #[test]
    fn its_requests_close() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Host: a\r\n\
                    X-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
