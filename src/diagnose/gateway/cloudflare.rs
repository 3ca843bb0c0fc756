//! Cloudflare. In: heads and pages. Out: what gives it away, and the cause that its status tells.
//!
//! The rule: its Server and CF-RAY are on relayed responses too; a status of 520 to 530 is its own. Written from
//! Cloudflare's documentation: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Cloudflare.
pub const PRODUCT: Product = Product {
    name: "Cloudflare",
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
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server")
        && let Some(version) = clue::product(&server, "cloudflare")
    {
        found.server("cloudflare", version);
    }
    if header(&head.kept, "cf-ray").is_some() {
        found.note("header CF-RAY");
    }
    if found.identified_by.is_empty() {
        return None;
    }
    if matches!(head.status, 520..=527 | 530) {
        found.own_page = true;
        found.note(format!(
            "status {}, which only Cloudflare writes",
            head.status
        ));
        found.page_cause = match head.status {
            521 => Some("connect-refused"),
            522 => Some("connect-timeout"),
            524 => Some("response-timeout"),
            _ => None,
        };
        found.page_kind = match head.status {
            523 => Some(Kind::Unconnected),
            525 | 526 => Some(Kind::Handshake),
            530 => Some(Kind::Name).filter(|_| clue::holds(body, "1016")),
            _ => None,
        };
    } else if header(&head.kept, "cf-error-type").is_some() {
        found.own_page = true;
        found.note("header cf-error-type");
    } else if clue::holds(body, "<hr><center>cloudflare</center>")
        || clue::text(body).is_some_and(|text| text.starts_with("error code: 5"))
    {
        found.page("Cloudflare error page");
    }
    Some(found)
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("cf-ray") || has("cf-connecting-ip") || has("cdn-loop"))
        .then_some("request carries CF-Ray or its kin")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[521],
        "EdgeResponseStatus 521, OriginResponseStatus 0",
    ),
    row(
        "local-connect-error",
        &[521, 523],
        "EdgeResponseStatus 521 or 523, OriginResponseStatus 0",
    ),
    row(
        "connect-timeout",
        &[522],
        "EdgeResponseStatus 522, OriginResponseStatus 0",
    ),
    row(
        "connect-stale-tuple",
        &[522],
        "EdgeResponseStatus 522, OriginResponseStatus 0",
    ),
    row(
        "listen-queue-overflow",
        &[522, 524],
        "EdgeResponseStatus 522 or 524, OriginResponseStatus 0",
    ),
    row(
        "connect-half-open",
        &[522, 524],
        "EdgeResponseStatus 522 or 524, OriginResponseStatus 0",
    ),
    row(
        "dns-stale-address",
        &[522, 521, 523],
        "EdgeResponseStatus 522 or 521 or 523, OriginResponseStatus 0",
    ),
    row(
        "icmp-host-unreachable",
        &[523],
        "EdgeResponseStatus 523, OriginResponseStatus 0",
    ),
    row(
        "icmp-ttl-exceeded",
        &[523],
        "EdgeResponseStatus 523, OriginResponseStatus 0",
    ),
    row(
        "icmp-net-unreachable",
        &[523],
        "EdgeResponseStatus 523, OriginResponseStatus 0",
    ),
    row(
        "icmp-admin-prohibited",
        &[523],
        "EdgeResponseStatus 523, OriginResponseStatus 0",
    ),
    row(
        "tls-alert-from-upstream",
        &[525, 520],
        "EdgeResponseStatus 525 or 520, OriginResponseStatus 0",
    ),
    row(
        "tls-handshake-reset",
        &[525],
        "EdgeResponseStatus 525, OriginResponseStatus 0",
    ),
    row(
        "tls-handshake-closed",
        &[525],
        "EdgeResponseStatus 525, OriginResponseStatus 0",
    ),
    row(
        "malformed-status-line",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "reset-before-response",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "injected-reset",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "closed-before-response",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "header-too-large",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "response-timeout",
        &[524],
        "EdgeResponseStatus 524, OriginResponseStatus 0",
    ),
    row(
        "loss-stall",
        &[524],
        "EdgeResponseStatus 524, OriginResponseStatus 0",
    ),
    row(
        "path-mtu-blackhole",
        &[524],
        "EdgeResponseStatus 524, OriginResponseStatus 0",
    ),
    row(
        "idle-drop-middlebox",
        &[524, 520],
        "EdgeResponseStatus 524 or 520, OriginResponseStatus 0",
    ),
    row("dns-nxdomain", &[530], "error 1016"),
    row("dns-nodata", &[530], "error 1016"),
    row("dns-servfail", &[530], "error 1016"),
    row(
        "stale-keepalive-reuse",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "closed-mid-head",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "reset-mid-head",
        &[520],
        "EdgeResponseStatus 520, OriginResponseStatus 0",
    ),
    row(
        "request-write-timeout",
        &[524],
        "EdgeResponseStatus 524, OriginResponseStatus 0",
    ),
    row(
        "bad-content-coding",
        &[502],
        "EdgeResponseStatus 502, OriginResponseStatus 200",
    ),
    row("upstream-returned-5xx", &[], "OriginResponseStatus has it"),
    row("relayed-nested", &[], "OriginResponseStatus has it"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "the origin's DNS record in the zone; error 1016.",
    ),
    (
        Family::Connect,
        "allow Cloudflare's address ranges; the port must fit the SSL mode.",
    ),
    (
        Family::Tls,
        "SSL mode Full against Full (strict), and the origin's certificate.",
    ),
    (
        Family::WaitingForHead,
        "524: answer sooner, make the job asynchronous, or raise the limit where the plan allows \
         it.",
    ),
    (
        Family::WaitingForHead,
        "520: the origin's log at that time; size of its headers. Its keep-alive should exceed \
         the pool's.",
    ),
    (
        Family::MalformedHead,
        "response heads are limited: 32 KB in all, 16 KB a header.",
    ),
    (
        Family::NoUpstreamPackets,
        "pools and monitors of the load balancer.",
    ),
    (
        Family::ProtocolMismatch,
        "SSL mode and port: Flexible speaks HTTP to port 80, Full speaks TLS to port 443.",
    ),
    (
        Family::SendingRequest,
        "the write timeout is 30 s; uploads beyond the plan's limit are refused with 413.",
    ),
    (
        Family::Path,
        "522 also when the request is not acknowledged for 90 s: MTU on tunnels to the origin.",
    ),
    (
        Family::Relayed,
        "OriginResponseStatus in Logpush; 502 and 504 of the origin get Cloudflare's page, without cf-error-type.",
    ),
    (
        Family::CouldNotTell,
        "CF-RAY finds the line in Logpush: OriginResponseStatus, OriginTCPHandshakeDurationMs, OriginTLSHandshakeDurationMs.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("connect (522)", Wait::Connect, 19_000),
    timer("proxy read timeout (524)", Wait::Response, 100_000).every(1_000),
    timer("proxy read timeout (524), newer", Wait::Response, 120_000).every(1_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn its_statuses_tell_the_cause() {
        let head = response(
            "HTTP/1.1 521 Origin Down\r\nServer: cloudflare\r\nCF-RAY: 8f-FRA\r\n\
             Content-Type: text/plain; charset=UTF-8\r\nContent-Length: 15\r\n\r\n",
        );
        let found = recognise(&head, b"error code: 521").unwrap();
        assert!(found.own_page);
        assert_eq!(found.page_cause, Some("connect-refused"));
    }

    #[test]
    fn a_relayed_error_is_not_its_own() {
        let head = response(
            "HTTP/1.1 503 Service Unavailable\r\nServer: cloudflare\r\nCF-RAY: 8f-FRA\r\n\r\n",
        );
        let found = recognise(&head, b"<hr><center>nginx</center>").unwrap();
        assert!(found.named_by_server && !found.own_page);
    }

    #[test]
    fn its_requests_carry_its_headers() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nCF-Ray: 8f-FRA\r\nCDN-Loop: cloudflare\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
