//! Google Cloud's application load balancer. In: heads and pages. Out: what gives it away.
//!
//! The rule: Via is on relayed responses too; only its page is its own. Its regional kind is an Envoy. Written from
//! Google's documentation: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Google's balancer.
pub const PRODUCT: Product = Product {
    name: "Google Cloud load balancer",
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

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let via = header(&head.kept, "via").unwrap_or_default();
    if via.split(',').any(|hop| hop.trim() == "1.1 google") {
        found.note("header Via: 1.1 google");
    }
    if clue::holds(body, "<h1>Error: Server Error</h1>")
        && clue::holds(body, "The server encountered a temporary error")
    {
        found.page("Google error page");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let via = header(&head.kept, "via").unwrap_or_default();
    via.split(',')
        .any(|hop| hop.trim() == "1.1 google")
        .then_some("Via: 1.1 google")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502, 503],
        "failed_to_connect_to_backend",
    ),
    row("local-connect-error", &[502, 503], ""),
    row(
        "connect-timeout",
        &[502, 503],
        "failed_to_connect_to_backend",
    ),
    row(
        "connect-stale-tuple",
        &[502, 503],
        "failed_to_connect_to_backend",
    ),
    row(
        "listen-queue-overflow",
        &[502, 503, 504],
        "failed_to_connect_to_backend",
    ),
    row(
        "connect-half-open",
        &[502, 503, 504],
        "failed_to_connect_to_backend",
    ),
    row(
        "dns-stale-address",
        &[502, 503],
        "failed_to_connect_to_backend",
    ),
    row(
        "tls-alert-from-upstream",
        &[502, 503],
        "failed_to_connect_to_backend, or failed_to_negotiate_alpn",
    ),
    row(
        "stale-keepalive-reuse",
        &[502, 503],
        "backend_connection_closed_before_data_sent_to_client",
    ),
    row(
        "reset-before-response",
        &[502, 503],
        "backend_connection_closed_before_data_sent_to_client",
    ),
    row(
        "injected-reset",
        &[502, 503],
        "backend_connection_closed_before_data_sent_to_client",
    ),
    row(
        "closed-before-response",
        &[502, 503],
        "backend_connection_closed_before_data_sent_to_client",
    ),
    row(
        "header-too-large",
        &[502, 503],
        "backend_response_headers_too_long",
    ),
    row("response-timeout", &[502, 503, 504], "backend_timeout"),
    row("loss-stall", &[502, 503, 504], "backend_timeout"),
    row("path-mtu-blackhole", &[502, 503, 504], "backend_timeout"),
    row("idle-drop-middlebox", &[502, 503, 504], "backend_timeout"),
    row(
        "reset-mid-response",
        &[200],
        "backend_connection_closed_after_partial_response_sent",
    ),
    row(
        "truncated-body",
        &[200],
        "backend_connection_closed_after_partial_response_sent",
    ),
    row("upstream-returned-5xx", &[], "response_sent_by_backend"),
    row("relayed-nested", &[], "response_sent_by_backend"),
    row("no-upstream-attempt", &[502, 503], "failed_to_pick_backend"),
    row("bad-chunking", &[502, 503], "backend_response_corrupted"),
    row(
        "early-response-abort",
        &[502],
        "backend_early_response_with_non_error_status",
    ),
    row(
        "bad-content-coding",
        &[502],
        "error_uncompressing_gzipped_body",
    ),
    row(
        "truncated-chunked",
        &[200],
        "backend_connection_closed_after_partial_response_sent",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (Family::NameResolution, "the FQDN of the internet NEG."),
    (
        Family::Connect,
        "firewall rules for 35.191.0.0/16 and 130.211.0.0/22.",
    ),
    (
        Family::Tls,
        "protocol of the backend service, and the backend's certificate chain.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: timeout of the backend service (30 s).",
    ),
    (
        Family::WaitingForHead,
        "reused connections: the backend's keep-alive must exceed 600 s; set 620 s or more.",
    ),
    (
        Family::MalformedHead,
        "the limit on response heads is fixed; statusDetails in the log names it.",
    ),
    (
        Family::NoUpstreamPackets,
        "health checks, and the firewall rule that lets them in.",
    ),
    (
        Family::ProtocolMismatch,
        "protocol of the backend service: HTTP, HTTPS, HTTP2 or H2C.",
    ),
    (
        Family::SendingRequest,
        "the backend must read the request to its end before it answers with success.",
    ),
    (
        Family::Path,
        "MTU of the VPC (1460 by default), and the firewall rule for ICMP.",
    ),
    (
        Family::Relayed,
        "statusDetails response_sent_by_backend: the backend wrote it.",
    ),
    (
        Family::ClientSide,
        "statusDetails client_disconnected_before_any_response, or client_timed_out.",
    ),
    (
        Family::CouldNotTell,
        "jsonPayload.statusDetails in the request log of the load balancer, by X-Cloud-Trace-Context.",
    ),
];

const TIMERS: &[Timer] = &[timer("backend service timeout", Wait::Response, 30_000)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_page_is_its_own() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n");
        let page = b"\n<html><head>\n<title>502 Server Error</title>\n</head>\n<body>\n\
            <h1>Error: Server Error</h1>\n<h2>The server encountered a temporary error and could \
            not complete your request.<p>Please try again in 30 seconds.</h2>\n</body></html>\n";
        assert!(recognise(&head, page).unwrap().own_page);
        let relayed = response("HTTP/1.1 502 Bad Gateway\r\nVia: 1.1 google\r\n\r\n");
        assert!(!recognise(&relayed, b"oops").unwrap().own_page);
    }

    #[test]
    fn its_requests_carry_its_via() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 google\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
