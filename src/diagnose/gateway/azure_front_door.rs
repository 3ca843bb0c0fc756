//! Azure Front Door. In: heads and pages. Out: what gives it away, what it answers.
//!
//! The rule: X-Azure-Ref is on relayed responses too; its page is its own. Written from Microsoft's documentation (the
//! error page, and the values of ErrorInfo in its access log): it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Front Door.
pub const PRODUCT: Product = Product {
    name: "Azure Front Door",
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

/// How its page begins to look, within the part of a page that is kept; the sentence follows the style.
const STYLE: &str =
    "#content { margin-left: auto; margin-right: auto }#message h2 { font-size: 20px";
const SENTENCE: &str = "Our services aren't available right now";

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let marked = header(&head.kept, "x-azure-ref").is_some();
    if marked {
        found.note("header X-Azure-Ref");
    }
    if clue::holds(body, SENTENCE) || marked && clue::holds(body, STYLE) {
        found.page("Front Door error page");
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-azure-fdid") || has("x-azure-clientip") || has("x-azure-ref"))
        .then_some("request carries X-Azure-FDID or its kin")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[], "ErrorInfo OriginConnectionRefused"),
    row("connect-timeout", &[], "ErrorInfo OriginTimeout"),
    row("connect-stale-tuple", &[], "ErrorInfo OriginTimeout"),
    row("listen-queue-overflow", &[], "ErrorInfo OriginTimeout"),
    row("connect-half-open", &[], "ErrorInfo OriginTimeout"),
    row("dns-nxdomain", &[], "ErrorInfo DNSNameNotResolved"),
    row("dns-nodata", &[], "ErrorInfo DNSNameNotResolved"),
    row("dns-servfail", &[], "ErrorInfo DNSFailure"),
    row("dns-timeout", &[], "ErrorInfo DNSFailure"),
    row(
        "tls-alert-from-upstream",
        &[503],
        "ErrorInfo SSLHandshakeError, or OriginInvalidResponse",
    ),
    row("tls-handshake-reset", &[503], "ErrorInfo SSLHandshakeError"),
    row(
        "tls-handshake-closed",
        &[503],
        "ErrorInfo SSLHandshakeError",
    ),
    row(
        "closed-before-response",
        &[],
        "ErrorInfo OriginConnectionAborted",
    ),
    row(
        "reset-before-response",
        &[],
        "ErrorInfo OriginConnectionAborted",
    ),
    row(
        "stale-keepalive-reuse",
        &[],
        "ErrorInfo OriginConnectionAborted",
    ),
    row("injected-reset", &[], "ErrorInfo OriginConnectionAborted"),
    row(
        "malformed-status-line",
        &[],
        "ErrorInfo OriginInvalidResponse",
    ),
    row("bad-header", &[], "ErrorInfo OriginInvalidResponse"),
    row("response-timeout", &[503, 504], "ErrorInfo OriginTimeout"),
    row("loss-stall", &[503, 504], "ErrorInfo OriginTimeout"),
    row("path-mtu-blackhole", &[503, 504], "ErrorInfo OriginTimeout"),
    row(
        "idle-drop-middlebox",
        &[503, 504],
        "ErrorInfo OriginTimeout",
    ),
    row("upstream-returned-5xx", &[], "originStatusCode has it"),
    row("relayed-nested", &[], "originStatusCode has it"),
    row("client-aborted", &[], "ErrorInfo ClientDisconnected"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "the origin's host name must resolve in public DNS.",
    ),
    (
        Family::Connect,
        "allow the service tag AzureFrontDoor.Backend at the origin, on the port of the route.",
    ),
    (
        Family::Tls,
        "the origin's certificate must cover the origin host name.",
    ),
    (
        Family::ProtocolMismatch,
        "forwarding protocol of the route, and the origin's ports.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: origin response timeout (30 s, 16 to 240 s).",
    ),
    (
        Family::NoUpstreamPackets,
        "health probes of the origin group: path, protocol, and the Host header that the origin expects.",
    ),
    (
        Family::Relayed,
        "originStatusCode in the access log; X-Azure-Ref finds the line.",
    ),
    (
        Family::CouldNotTell,
        "ErrorInfo in the access log; X-Azure-Ref finds the line.",
    ),
];

const TIMERS: &[Timer] = &[timer("origin response timeout", Wait::Response, 30_000)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};
    use crate::protocol::observation::PREFIX_MAX;

    #[test]
    fn it_is_known_by_its_page() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\nX-Azure-Ref: 0abc\r\n\r\n");
        assert!(!recognise(&head, b"oops").unwrap().own_page);
        let page = b"<h2>Our services aren't available right now</h2>";
        assert!(recognise(&head, page).unwrap().own_page);
        let cut = b"<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Transitional//EN' \
            'http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd'><html \
            xmlns='http://www.w3.org/1999/xhtml'><head><meta content='text/html; charset=utf-8' \
            http-equiv='content-type'/><style type='text/css'>body { font-family:Arial; margin-left:40px; \
            }img  { border:0 none; }#content { margin-left: auto; margin-right: auto }#message h2 { \
            font-size: 20px; font-weight: normal; color: #000000; ";
        assert!(cut.len() <= PREFIX_MAX);
        assert!(recognise(&head, cut).unwrap().own_page);
        let unmarked = response("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(recognise(&unmarked, cut), None);
    }

    #[test]
    fn its_requests_carry_its_headers() {
        let sent = request("GET / HTTP/1.1\r\nHost: a\r\nX-Azure-FDID: b\r\n\r\n");
        assert!(recognise_request(&sent).is_some());
    }
}
