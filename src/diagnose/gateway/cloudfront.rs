//! AWS CloudFront. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: Via and X-Cache are on relayed errors too; its Server and its sentence are its own. Written from AWS's
//! documentation and from pages that users published: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of CloudFront.
pub const PRODUCT: Product = Product {
    name: "CloudFront",
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

/// Sentences of its page that tell a kind of failure. That it "attempted to establish a connection with the origin, but
/// either the attempt failed or the origin closed the connection" stands on timeouts too and tells none.
const SENTENCES: &[(&str, Kind)] = &[
    (
        "CloudFront wasn't able to connect to the origin",
        Kind::Broken,
    ),
    (
        "CloudFront wasn't able to resolve the origin domain name",
        Kind::Name,
    ),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let of = |name| header(&head.kept, name).unwrap_or_default();
    if let Some(version) = clue::product(&of("server"), "CloudFront") {
        found.server("CloudFront", version);
    }
    if of("via").contains("(CloudFront)") {
        found.note("header Via names CloudFront");
    } else if !of("x-amz-cf-id").is_empty() {
        found.note("header X-Amz-Cf-Id");
    }
    if clue::holds(body, "The request could not be satisfied")
        && (clue::holds(body, "cloudfront") || found.named_by_server)
    {
        found.page("CloudFront error page");
        let told = SENTENCES.iter().find(|(text, _)| clue::holds(body, text));
        found.hints(told.map(|(_, kind)| *kind));
    }
    if of("x-cache").eq_ignore_ascii_case("Error from cloudfront") {
        found.note("X-Cache: Error from cloudfront");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let of = |name| header(&head.kept, name).unwrap_or_default();
    (of("user-agent") == "Amazon CloudFront" || of("via").contains("(CloudFront)"))
        .then_some("Via or User-Agent names CloudFront")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row("local-connect-error", &[502], ""),
    row(
        "icmp-port-unreachable",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row(
        "icmp-host-unreachable",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row(
        "connect-timeout",
        &[504],
        "x-edge-detailed-result-type OriginCommError, or OriginConnectError",
    ),
    row(
        "connect-stale-tuple",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "listen-queue-overflow",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "connect-half-open",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "dns-stale-address",
        &[504, 502],
        "x-edge-detailed-result-type OriginCommError, or OriginConnectError",
    ),
    row(
        "dns-nxdomain",
        &[502],
        "x-edge-detailed-result-type OriginDnsError",
    ),
    row(
        "dns-nodata",
        &[502],
        "x-edge-detailed-result-type OriginDnsError",
    ),
    row(
        "dns-servfail",
        &[502],
        "x-edge-detailed-result-type OriginDnsError",
    ),
    row(
        "dns-refused",
        &[502],
        "x-edge-detailed-result-type OriginDnsError",
    ),
    row(
        "dns-timeout",
        &[502],
        "x-edge-detailed-result-type OriginDnsError",
    ),
    row(
        "tls-alert-from-upstream",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row(
        "tls-handshake-reset",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row(
        "tls-handshake-closed",
        &[502],
        "x-edge-detailed-result-type OriginConnectError",
    ),
    row(
        "closed-before-response",
        &[502, 504],
        "x-edge-detailed-result-type OriginReadError, or OriginZeroSizeObjectError",
    ),
    row(
        "reset-before-response",
        &[502, 504],
        "x-edge-detailed-result-type OriginReadError",
    ),
    row(
        "stale-keepalive-reuse",
        &[502, 504],
        "x-edge-detailed-result-type OriginReadError",
    ),
    row(
        "injected-reset",
        &[502, 504],
        "x-edge-detailed-result-type OriginReadError",
    ),
    row(
        "request-reset-mid-body",
        &[],
        "x-edge-detailed-result-type OriginWriteError",
    ),
    row(
        "malformed-status-line",
        &[],
        "x-edge-detailed-result-type OriginInvalidResponseError",
    ),
    row(
        "bad-header",
        &[],
        "x-edge-detailed-result-type OriginInvalidResponseError",
    ),
    row(
        "header-too-large",
        &[],
        "x-edge-detailed-result-type OriginHeaderTooBigError",
    ),
    row(
        "response-timeout",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "loss-stall",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "path-mtu-blackhole",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "idle-drop-middlebox",
        &[504],
        "x-edge-detailed-result-type OriginCommError",
    ),
    row(
        "upstream-returned-5xx",
        &[],
        "x-edge-detailed-result-type Error, with sc-status the origin's own",
    ),
    row(
        "relayed-nested",
        &[],
        "x-edge-detailed-result-type Error, with sc-status the origin's own",
    ),
    row(
        "no-upstream-attempt",
        &[503],
        "x-edge-result-type LimitExceeded, CapacityExceeded or Error",
    ),
    row(
        "client-aborted",
        &[],
        "x-edge-detailed-result-type ClientHungUpRequest, or ClientCommError",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "the origin's port and firewall; allow the CloudFront prefix list.",
    ),
    (
        Family::Tls,
        "the origin's certificate must cover the origin domain or the forwarded Host, with its \
         whole chain.",
    ),
    (
        Family::ProtocolMismatch,
        "origin protocol policy and ports of the origin.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: origin response timeout (30 s); origin keep-alive timeout (5 s).",
    ),
    (
        Family::NameResolution,
        "the origin domain must resolve in public DNS.",
    ),
    (
        Family::NoUpstreamPackets,
        "limits of the distribution, a Lambda@Edge function that failed, or capacity at the edge.",
    ),
    (
        Family::Relayed,
        "x-edge-detailed-result-type and X-Cache: an origin's own error says Error from cloudfront as well.",
    ),
    (
        Family::CouldNotTell,
        "standard logs by X-Amz-Cf-Id: x-edge-detailed-result-type tells the failure.",
    ),
];

const TIMERS: &[Timer] = &[
    timer(
        "origin connection timeout, one attempt",
        Wait::Connect,
        10_000,
    ),
    timer(
        "origin connection timeout, three attempts",
        Wait::Connect,
        30_000,
    ),
    timer("origin response timeout", Wait::Response, 30_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_page_is_its_own() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: CloudFront\r\nX-Cache: Error from cloudfront\r\n\
             Via: 1.1 0123456789abcdef.cloudfront.net (CloudFront)\r\nX-Amz-Cf-Id: abc==\r\n\r\n",
        );
        let page = b"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" \
            \"http://www.w3.org/TR/html4/loose.dtd\">\n<HTML><HEAD><META HTTP-EQUIV=\"Content-Type\" \
            CONTENT=\"text/html; charset=iso-8859-1\">\n<TITLE>ERROR: The request could not be \
            satisfied</TITLE>\n</HEAD><BODY>\n<H1>502 ERROR</H1>\n<H2>The request could not be \
            satisfied.</H2>\n";
        assert!(recognise(&head, page).unwrap().own_page);
    }

    #[test]
    fn a_relayed_error_is_not() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nX-Cache: Error from cloudfront\r\n\
             Via: 1.1 0123456789abcdef.cloudfront.net (CloudFront)\r\n\r\n",
        );
        let found = recognise(&head, b"oops").unwrap();
        assert!(!found.own_page && !found.named_by_server);
    }

    #[test]
    fn its_requests_name_it() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Amazon CloudFront\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
