//! The Proxy-Status field (RFC 9209). In: its value. Out: the cause that a gateway itself tells in it, whatever product it is.
//!
//! The rule: each gateway adds its entry at the end, so the last one speaks. A type that stands for several causes tells
//! their kind. Written from the RFC's registry.

use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, header, row,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// A gateway of which nothing is known but that it speaks of itself in this field.
pub const PRODUCT: Product = Product {
    name: "a gateway with Proxy-Status",
    source: Source::Documented,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: &[],
    keeps_order: true,
    hands_over: false,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

/// What gives it away.
const CLUE: &str = "header Proxy-Status";

/// Error types of the registry (RFC 9209, section 2.3) and the cause that each is, as `code` or `code:detail`.
const ERRORS: &[(&str, &str)] = &[
    ("dns_timeout", "dns-timeout"),
    ("destination_not_found", "no-upstream-attempt:no-route"),
    (
        "destination_unavailable",
        "no-upstream-attempt:no-live-upstream",
    ),
    ("destination_ip_prohibited", "no-upstream-attempt:policy"),
    ("connection_refused", "connect-refused"),
    ("connection_timeout", "connect-timeout"),
    (
        "connection_limit_reached",
        "no-upstream-attempt:pool-overflow",
    ),
    ("connection_read_timeout", "response-timeout"),
    ("connection_write_timeout", "request-write-timeout"),
    ("http_response_timeout", "response-timeout"),
    ("http_response_header_section_size", "header-too-large"),
    ("http_response_header_size", "header-too-large"),
    ("http_response_transfer_coding", "bad-chunking"),
    ("http_response_content_coding", "bad-content-coding"),
    ("tls_alert_received", "tls-alert-from-upstream"),
    ("proxy_loop_detected", "no-upstream-attempt:loop-detected"),
    ("proxy_configuration_error", "no-upstream-attempt:no-route"),
];

/// Error types that stand for several causes of one kind.
const KINDS: &[(&str, Kind)] = &[
    ("dns_error", Kind::Name),
    ("destination_ip_unroutable", Kind::Ended),
    ("connection_terminated", Kind::Ended),
    ("tls_protocol_error", Kind::Handshake),
    ("tls_certificate_error", Kind::Handshake),
    ("http_upgrade_failed", Kind::Content),
    ("http_protocol_error", Kind::Content),
];

/// What `dns_error` says in `rcode` (RFC 9209, section 2.3.2), and the cause.
const RCODES: &[(&str, &str)] = &[
    ("NXDOMAIN", "dns-nxdomain"),
    ("SERVFAIL", "dns-servfail"),
    ("REFUSED", "dns-refused"),
];

/// Reads the field of `head` into what is recognised already, where the last entry names an error.
pub fn read(head: &ResponseHead, found: &mut Recognised) {
    let Some(value) = header(&head.kept, "proxy-status") else {
        return;
    };
    let last = value.rsplit(',').next().unwrap_or_default();
    let Some(error) = parameter(last, "error=") else {
        return;
    };
    if !found.identified_by.iter().any(|clue| clue == CLUE) {
        found.note(CLUE);
    }
    let named = |table: &[(&str, &'static str)], key: &str| {
        table
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, cause)| *cause)
    };
    let by_rcode = parameter(last, "rcode=")
        .filter(|_| error == "dns_error")
        .and_then(|rcode| named(RCODES, rcode.trim_matches('"')));
    if let Some(cause) = named(ERRORS, error).or(by_rcode) {
        found.tells(Some(cause));
    } else if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == error) {
        found.hints(Some(*kind));
    }
}

/// The value of a parameter of an entry.
fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix(name))
        .map(str::trim)
}

/// An entry with an error is of a response that the gateway made itself (RFC 9209, section 2.1.1), unless the error came
/// after the head.
fn recognise(head: &ResponseHead, _body: &[u8]) -> Option<Recognised> {
    let value = header(&head.kept, "proxy-status")?;
    let error = parameter(value.rsplit(',').next()?, "error=")?;
    let mut found = Recognised {
        own_page: error != "http_response_incomplete",
        ..Recognised::default()
    };
    found.note(CLUE);
    Some(found)
}

fn recognise_request(_head: &RequestHead) -> Option<&'static str> {
    None
}

/// The recommended status of each error type (RFC 9209, section 2.3). What it logs is not known.
const ROWS: &[Row] = &[
    row("dns-timeout", &[504], ""),
    row("dns-nxdomain", &[502], ""),
    row("dns-servfail", &[502], ""),
    row("dns-refused", &[502], ""),
    row("connect-refused", &[502], ""),
    row("connect-timeout", &[504], ""),
    row("response-timeout", &[504], ""),
    row("request-write-timeout", &[504], ""),
    row("closed-before-response", &[502], ""),
    row("reset-before-response", &[502], ""),
    row("tls-alert-from-upstream", &[502], ""),
    row("header-too-large", &[502], ""),
    row("bad-content-coding", &[502], ""),
];

const ADVICE: &[(Family, &str)] = &[(
    Family::CouldNotTell,
    "read `details`, `next-hop` and `received-status` in the field: each gateway on the way adds its entry at the end.",
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::response;

    fn told(value: &str) -> Recognised {
        let head = format!("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: {value}\r\n\r\n");
        let mut found = Recognised::default();
        read(&response(Box::leak(head.into_boxed_str())), &mut found);
        found
    }

    #[test]
    fn the_last_gateway_is_heard() {
        assert_eq!(
            told("proxy.example; error=connection_refused").page_cause,
            Some("connect-refused")
        );
        let two =
            told("inner; error=dns_timeout, outer; error=connection_limit_reached; details=\"x\"");
        assert_eq!(two.page_cause, Some("no-upstream-attempt"));
        assert_eq!(two.page_detail, Some("pool-overflow"));
        assert_eq!(told("outer; received-status=502"), Recognised::default());
        assert_eq!(told(";;,=error=,"), Recognised::default());
    }

    #[test]
    fn a_type_of_several_causes_tells_their_kind() {
        let closed = told("outer; error=connection_terminated");
        assert_eq!(
            (closed.page_cause, closed.page_kind),
            (None, Some(Kind::Ended))
        );
        assert_eq!(told("outer; error=dns_error").page_kind, Some(Kind::Name));
        assert_eq!(
            told("outer; error=dns_error; rcode=\"NXDOMAIN\"").page_cause,
            Some("dns-nxdomain")
        );
        assert_eq!(told("outer; error=proxy_internal_error").page_kind, None);
    }

    #[test]
    fn an_error_is_the_gateways_own_response() {
        let own = |value: &str| {
            let head = format!("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: {value}\r\n\r\n");
            recognise(&response(Box::leak(head.into_boxed_str())), b"").map(|found| found.own_page)
        };
        assert_eq!(own("cache; error=connection_refused"), Some(true));
        assert_eq!(own("cache; error=http_response_incomplete"), Some(false));
        assert_eq!(own("cache; received-status=503"), None);
    }
}
