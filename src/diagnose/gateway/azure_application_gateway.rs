//! Azure Application Gateway, v1 and v2. In: heads and pages. Out: what gives it away.
//!
//! The rule: v2 writes nginx's page under its own name; v1 is built on IIS and writes IIS's page (`iis.rs`), so that only
//! its requests tell it. Written from Microsoft's documentation: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Application Gateway.
pub const PRODUCT: Product = Product {
    name: "Azure Application Gateway",
    source: Source::Documented,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: &[timer("request timeout", Wait::Response, 20_000)],
    keeps_order: true,
    hands_over: false,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

/// The name of Application Gateway in Server and on its page.
const TOKEN: &str = "Microsoft-Azure-Application-Gateway";

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server")
        && let Some(version) = clue::product(&server, TOKEN)
    {
        found.server(TOKEN, version);
    }
    let line = clue::between(body, "<hr><center>", "</center>").unwrap_or_default();
    if clue::product(line, TOKEN).is_some() {
        found.page("Application Gateway error page");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-appgw-trace-id") || has("x-original-host"))
        .then_some("request carries X-AppGW-Trace-Id or X-Original-Host")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[502], ""),
    row("local-connect-error", &[502], ""),
    row(
        "connect-timeout",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row(
        "connect-stale-tuple",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row(
        "listen-queue-overflow",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row(
        "connect-half-open",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row("dns-stale-address", &[502, 504], ""),
    row("tls-alert-from-upstream", &[502], ""),
    row("tls-handshake-reset", &[502], ""),
    row("tls-handshake-closed", &[502], ""),
    row(
        "reset-before-response",
        &[502],
        "errorInfo ERRORINFO_UPSTREAM_CLOSED_CONNECTION",
    ),
    row(
        "closed-before-response",
        &[502],
        "errorInfo ERRORINFO_UPSTREAM_CLOSED_CONNECTION",
    ),
    row(
        "stale-keepalive-reuse",
        &[502],
        "errorInfo ERRORINFO_UPSTREAM_CLOSED_CONNECTION",
    ),
    row(
        "injected-reset",
        &[502],
        "errorInfo ERRORINFO_UPSTREAM_CLOSED_CONNECTION",
    ),
    row(
        "response-timeout",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT; v1 answers 502, v2 504",
    ),
    row(
        "loss-stall",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row(
        "path-mtu-blackhole",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row(
        "idle-drop-middlebox",
        &[502, 504],
        "errorInfo ERRORINFO_UPSTREAM_TIMED_OUT",
    ),
    row("upstream-returned-5xx", &[], "serverStatus has it"),
    row("relayed-nested", &[], "serverStatus has it"),
    row(
        "no-upstream-attempt",
        &[502],
        "errorInfo ERRORINFO_UPSTREAM_NO_LIVE",
    ),
    row(
        "client-aborted",
        &[],
        "httpStatus 499, errorInfo ERRORINFO_CLIENT_CLOSED_REQUEST",
    ),
    row(
        "client-request-timeout",
        &[408],
        "errorInfo ERRORINFO_CLIENT_TIMED_OUT",
    ),
    row(
        "client-bad-request",
        &[400],
        "errorInfo ERRORINFO_INVALID_HEADER",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "custom DNS servers of the virtual network.",
    ),
    (
        Family::Connect,
        "NSG and UDR of the subnet; Backend health in the portal.",
    ),
    (
        Family::Tls,
        "host name and trusted root certificate in the backend setting.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: request timeout in the backend setting (20 s).",
    ),
    (
        Family::WaitingForHead,
        "compare the probe with the application; keep the upstream's keep-alive longer than the \
         gateway's.",
    ),
    (
        Family::NoUpstreamPackets,
        "an empty pool, or an unhealthy probe: by default it asks with Host 127.0.0.1.",
    ),
    (
        Family::ProtocolMismatch,
        "protocol and port in the backend setting.",
    ),
    (
        Family::Relayed,
        "serverStatus and serverRouted in the access log name the author.",
    ),
    (
        Family::ClientSide,
        "httpStatus 499 in the access log: the client left.",
    ),
    (
        Family::CouldNotTell,
        "access log by transactionId: serverRouted, serverStatus, serverResponseLatency, errorInfo.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn application_gateway_writes_like_nginx_under_its_own_name() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: Microsoft-Azure-Application-Gateway/v2\r\n\
             Content-Type: text/html\r\n\r\n",
        );
        let page = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
            <center><h1>502 Bad Gateway</h1></center>\r\n\
            <hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n";
        let found = recognise(&head, page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("v2"));
    }

    #[test]
    fn its_requests_carry_its_headers() {
        let sent = request("GET / HTTP/1.1\r\nHost: a\r\nX-Original-Host: b\r\n\r\n");
        assert!(recognise_request(&sent).is_some());
    }
}
