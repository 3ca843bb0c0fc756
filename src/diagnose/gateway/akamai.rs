//! Akamai. In: heads and pages. Out: what gives it away, and the kind of failure that its reference tells.
//!
//! The rule: AkamaiGHost is on what Akamai writes itself; its page ends in a reference, whose first number is the error's.
//! Written from Akamai's documentation and from pages and a table of numbers that users published: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Akamai.
pub const PRODUCT: Product = Product {
    name: "Akamai",
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

/// First number of a reference, and the kind of failure that it tells.
const NUMBERS: &[(&str, Kind)] = &[
    // ERR_READ_TIMEOUT
    ("1", Kind::Timer),
    // ERR_CONNECT_FAIL
    ("6", Kind::Unconnected),
    // ERR_DNS_FAIL
    ("11", Kind::Name),
    // ERR_ZERO_SIZE_OBJECT
    ("15", Kind::Ended),
    // ERR_ACCESS_DENIED
    ("18", Kind::Nothing),
    // ERR_FWD_SSL_HANDSHAKE
    ("30", Kind::Handshake),
    // ERR_CONNECT_TIMEOUT
    ("97", Kind::Timer),
];

/// How a reference begins, as text and as its HTML writes it.
const REFERENCES: &[(&str, &str)] = &[("Reference #", "."), ("Reference&#32;&#35;", "&#46;")];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server").unwrap_or_default();
    for name in ["AkamaiGHost", "AkamaiNetStorage"] {
        if let Some(version) = clue::product(&server, name) {
            found.server(name, version);
        }
    }
    let number = REFERENCES
        .iter()
        .find_map(|(before, after)| clue::between(body, before, after))
        .filter(|number| is_number(number));
    // Without its name in Server the page may be another's that speaks of a reference.
    let alone = server.is_empty() && header(&head.kept, "mime-version").is_some();
    if let Some(number) = number.filter(|_| found.named_by_server || alone) {
        found.page("Akamai error page with its Reference");
        let told = NUMBERS.iter().find(|(first, _)| *first == number);
        found.hints(told.map(|(_, kind)| *kind));
    }
    found.if_any()
}

fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    let via = header(&head.kept, "via").unwrap_or_default();
    (has("akamai-origin-hop") || via.contains("akamai.net(ghost)"))
        .then_some("request carries Akamai-Origin-Hop, or a Via of a ghost")
}

const ROWS: &[Row] = &[
    row("connect-refused", &[], "ERR_CONNECT_FAIL"),
    row("connect-timeout", &[], "ERR_CONNECT_TIMEOUT"),
    row("connect-stale-tuple", &[], "ERR_CONNECT_TIMEOUT"),
    row("listen-queue-overflow", &[], "ERR_CONNECT_TIMEOUT"),
    row("connect-half-open", &[], "ERR_CONNECT_TIMEOUT"),
    row("dns-nxdomain", &[], "ERR_DNS_FAIL"),
    row("dns-servfail", &[], "ERR_DNS_FAIL"),
    row("dns-timeout", &[], "ERR_DNS_TIMEOUT"),
    row("tls-alert-from-upstream", &[503], "ERR_FWD_SSL_HANDSHAKE"),
    row("tls-handshake-reset", &[503], "ERR_FWD_SSL_HANDSHAKE"),
    row("tls-handshake-closed", &[503], "ERR_FWD_SSL_HANDSHAKE"),
    row(
        "closed-before-response",
        &[],
        "ERR_ZERO_SIZE_OBJECT, or ERR_READ_ERROR",
    ),
    row("reset-before-response", &[], "ERR_READ_ERROR"),
    row(
        "stale-keepalive-reuse",
        &[],
        "ERR_ZERO_SIZE_OBJECT (of a POST), or ERR_READ_ERROR",
    ),
    row("injected-reset", &[], "ERR_READ_ERROR"),
    row("request-reset-mid-body", &[], "ERR_WRITE_ERROR"),
    row("malformed-status-line", &[], "ERR_READ_ERROR"),
    row("response-timeout", &[504], "ERR_READ_TIMEOUT"),
    row("loss-stall", &[504], "ERR_READ_TIMEOUT"),
    row("path-mtu-blackhole", &[504], "ERR_READ_TIMEOUT"),
    row("idle-drop-middlebox", &[504], "ERR_READ_TIMEOUT"),
    row(
        "no-upstream-attempt",
        &[],
        "ERR_NO_GOOD_FWD_IP, or ERR_ACCESS_DENIED",
    ),
    row("client-aborted", &[], "ERR_CLIENT_ABORT"),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "Origin Server Hostname of the property must resolve in public DNS.",
    ),
    (
        Family::Connect,
        "allow the addresses of Site Shield (or Akamai's CIDR blocks) at the origin's firewall; Connect Timeout.",
    ),
    (
        Family::Tls,
        "the origin's certificate: trusted by Akamai, whole chain, and the name that Match CN/SAN To demands.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: Read Timeout of the property; each read counts anew.",
    ),
    (
        Family::WaitingForHead,
        "reused connections: keep the origin's keep-alive longer than Persistent Connection's timeout (300 s).",
    ),
    (
        Family::NoUpstreamPackets,
        "Site Failover and the rules that deny; Translate Error String tells which.",
    ),
    (
        Family::CouldNotTell,
        "Translate Error String in Control Center, with the Reference of the page: soon, its logs live for a day or so.",
    ),
];

const TIMERS: &[Timer] = &[timer("Read Timeout", Wait::Response, 120_000)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    const HEAD: &str = "HTTP/1.1 503 Service Unavailable\r\nServer: AkamaiGHost\r\nMime-Version: 1.0\r\nContent-Type: text/html\r\nContent-Length: 172\r\n\r\n";

    #[test]
    fn its_reference_is_read() {
        let page = b"<HTML><HEAD>\n<TITLE>Error</TITLE>\n</HEAD><BODY>\nAn error occurred while processing your request.<p>\nReference&#32;&#35;30&#46;3598c0ba&#46;1521745157&#46;87201fff\n</BODY></HTML>\n";
        let found = recognise(&response(HEAD), page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.page_kind, Some(Kind::Handshake));
        let plain = b"<H1>Gateway Timeout</H1>\nReference #1.1faa9d50.1386767216.b7ccfbd\n";
        assert_eq!(
            recognise(&response(HEAD), plain).unwrap().page_kind,
            Some(Kind::Timer)
        );
    }

    #[test]
    fn a_reference_of_another_is_not_its_page() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\n\r\n");
        assert_eq!(recognise(&head, b"Reference #30.1"), None);
        let relayed = recognise(&response(HEAD), b"{\"error\":\"ours\"}").unwrap();
        assert!(!relayed.own_page);
        assert!(
            !recognise(&response(HEAD), b"Reference #oops.1")
                .unwrap()
                .own_page
        );
    }

    #[test]
    fn its_requests_name_it() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nAkamai-Origin-Hop: 2\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
