//! AWS Application Load Balancer. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: Server awselb is on its own responses; statuses 460 to 464 and 561 are its alone. Written from AWS's
//! documentation: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of the ALB.
pub const PRODUCT: Product = Product {
    name: "AWS ALB",
    source: Source::Documented,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(32_768),
    response_line_max: None,
    response_lines_max: None,
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let server = header(&head.kept, "server")?;
    let version = clue::product(&server, "awselb")?;
    let mut found = Recognised::default();
    found.server("awselb", version);
    let heading = format!("<center><h1>{} ", head.status);
    if clue::holds(body, &heading) && !clue::holds(body, "<hr>") {
        found.page("ALB error page");
    } else if body.is_empty() && matches!(head.status, 460..=464 | 561) {
        found.own_page = true;
        found.note("a status that only an ALB writes");
    }
    Some(found)
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    header(&head.kept, "x-amzn-trace-id")
        .filter(|trace| trace.starts_with("Root=") || trace.starts_with("Self="))
        .map(|_| "request carries X-Amzn-Trace-Id")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "elb_status_code 502, target_status_code -",
    ),
    row("local-connect-error", &[502], ""),
    row("icmp-port-unreachable", &[502], ""),
    row("icmp-host-unreachable", &[502], ""),
    row("icmp-ttl-exceeded", &[502], ""),
    row("icmp-net-unreachable", &[502], ""),
    row("icmp-admin-prohibited", &[502], ""),
    row(
        "connect-timeout",
        &[504],
        "elb_status_code 504, target_processing_time -1",
    ),
    row(
        "connect-stale-tuple",
        &[504],
        "elb_status_code 504, target_processing_time -1",
    ),
    row(
        "listen-queue-overflow",
        &[504],
        "elb_status_code 504, target_processing_time -1",
    ),
    row(
        "connect-half-open",
        &[504],
        "elb_status_code 504, target_processing_time -1",
    ),
    row(
        "dns-stale-address",
        &[504, 502],
        "elb_status_code 504, target_processing_time -1",
    ),
    row(
        "tls-alert-from-upstream",
        &[502],
        "TargetTLSNegotiationErrorCount",
    ),
    row(
        "tls-handshake-reset",
        &[502],
        "TargetTLSNegotiationErrorCount",
    ),
    row(
        "tls-handshake-closed",
        &[502],
        "TargetTLSNegotiationErrorCount",
    ),
    row(
        "tls-handshake-timeout",
        &[502],
        "TargetTLSNegotiationErrorCount",
    ),
    row("malformed-status-line", &[502], ""),
    row(
        "stale-keepalive-reuse",
        &[502],
        "elb_status_code 502, target_status_code -",
    ),
    row(
        "reset-before-response",
        &[502],
        "elb_status_code 502, target_status_code -",
    ),
    row(
        "injected-reset",
        &[502],
        "elb_status_code 502, target_status_code -",
    ),
    row(
        "closed-before-response",
        &[502],
        "elb_status_code 502, target_status_code -",
    ),
    row("reset-mid-head", &[502], ""),
    row("closed-mid-head", &[502], ""),
    row("header-too-large", &[502], ""),
    row(
        "response-timeout",
        &[504],
        "elb_status_code 504, target_status_code -",
    ),
    row(
        "loss-stall",
        &[504],
        "elb_status_code 504, target_status_code -",
    ),
    row(
        "path-mtu-blackhole",
        &[504, 502],
        "elb_status_code 504, target_status_code -",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "elb_status_code 504, target_status_code -",
    ),
    row("truncated-body", &[200, 504], ""),
    row("upstream-returned-5xx", &[], "target_status_code has it"),
    row("relayed-nested", &[], "target_status_code has it"),
    row(
        "no-upstream-attempt",
        &[503],
        "no registered targets in the target group",
    ),
    row("client-aborted", &[], "elb_status_code 460"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "the resolver of the VPC and private hosted zones.",
    ),
    (
        Family::Connect,
        "security groups of the targets, NACLs with ephemeral ports, target registration.",
    ),
    (
        Family::Tls,
        "protocol of the target group; the target's certificate is not validated, but the \
         handshake has 10 s.",
    ),
    (
        Family::ProtocolMismatch,
        "protocol and protocol version of the target group; 464 means that they do not fit the \
         request.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: idle timeout of the balancer (60 s); Lambda targets have their own.",
    ),
    (
        Family::WaitingForHead,
        "reused connections: the target's keep-alive must be longer than the idle timeout; \
         deregistration delay.",
    ),
    (
        Family::MalformedHead,
        "response heads are limited to 32 KB, which cannot be raised.",
    ),
    (
        Family::NoUpstreamPackets,
        "an empty target group, or the path of the health check.",
    ),
    (
        Family::SendingRequest,
        "413 and resets: targets should read the body to its end; the idle timeout runs while a request is sent.",
    ),
    (
        Family::Body,
        "a Content-Length that exceeds the body makes the balancer wait, and 504 of it.",
    ),
    (
        Family::Path,
        "security groups and NACLs must let ICMP type 3 code 4 pass; NLB and NAT gateway forget connections after 350 s.",
    ),
    (
        Family::Relayed,
        "target_status_code beside elb_status_code in the access log.",
    ),
    (
        Family::ClientSide,
        "460: the client's own timeout is shorter than the balancer's idle timeout.",
    ),
    (
        Family::CouldNotTell,
        "access logs: request_processing_time, target_processing_time, target_status_code; X-Amzn-Trace-Id finds the line.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("target connection timeout", Wait::Connect, 10_000),
    timer("idle timeout", Wait::Response, 60_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_page_has_no_rule_line() {
        let head = response(
            "HTTP/1.1 502 Bad Gateway\r\nServer: awselb/2.0\r\n\
             Date: Fri, 20 Nov 2026 13:18:28 GMT\r\nContent-Type: text/html\r\n\
             Content-Length: 122\r\nConnection: keep-alive\r\n\r\n",
        );
        let page = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
            <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
        assert_eq!(page.len(), 122);
        let found = recognise(&head, page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("2.0"));
    }

    #[test]
    fn its_requests_carry_a_trace() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\n\
                    X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
