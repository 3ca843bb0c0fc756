//! IIS with Application Request Routing. In: heads and pages. Out: what gives it away, what it answers and logs.
//!
//! The rule: IIS is an application server first, so its name alone is no gateway: X-Powered-By: ARR or the page of 502 is.
//! Azure Application Gateway v1 writes the same page. Written from Microsoft's documentation: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of IIS with ARR.
pub const PRODUCT: Product = Product {
    name: "IIS ARR",
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

/// The sentence of its short page.
const SENTENCE: &str =
    "Web server received an invalid response while acting as a gateway or proxy server";
/// Titles of its detailed page, and the kind of failure where one is told. The WinHTTP code stands beyond the part of a page
/// that is kept.
const TITLES: &[(&str, Option<Kind>)] = &[
    ("Detailed Error - 502.3 - Bad Gateway", None),
    ("Detailed Error - 502.4 - Bad Gateway", Some(Kind::Nothing)),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let of = |name| header(&head.kept, name).unwrap_or_default();
    let routing = clue::product(&of("x-powered-by"), "ARR");
    let detailed = TITLES.iter().find(|(title, _)| clue::holds(body, title));
    let page = head.status == 502 && (detailed.is_some() || clue::holds(body, SENTENCE));
    if routing.is_none() && !page {
        return None;
    }
    if let Some(version) = clue::product(&of("server"), "Microsoft-IIS") {
        found.server("Microsoft-IIS", version);
    }
    if routing.is_some() {
        found.note("header X-Powered-By: ARR");
    }
    if page {
        found.page("IIS's page of a gateway");
        found.hints(detailed.and_then(|(_, kind)| *kind));
    }
    found.if_any()
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    header(&head.kept, "x-arr-log-id").map(|_| "request carries X-ARR-LOG-ID")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "sc-status 502 3 12029 (ERROR_WINHTTP_CANNOT_CONNECT)",
    ),
    row("icmp-port-unreachable", &[502], "sc-status 502 3 12029"),
    row("icmp-host-unreachable", &[502], "sc-status 502 3 12029"),
    row("icmp-net-unreachable", &[502], "sc-status 502 3 12029"),
    row("icmp-admin-prohibited", &[502], "sc-status 502 3 12029"),
    row("local-connect-error", &[502], "sc-status 502 3 12029"),
    row(
        "connect-timeout",
        &[502],
        "sc-status 502 3 12002 (ERROR_WINHTTP_TIMEOUT)",
    ),
    row("connect-stale-tuple", &[502], "sc-status 502 3 12002"),
    row("listen-queue-overflow", &[502], "sc-status 502 3 12002"),
    row("connect-half-open", &[502], "sc-status 502 3 12002"),
    row(
        "dns-nxdomain",
        &[502],
        "sc-status 502 3 12007 (ERROR_WINHTTP_NAME_NOT_RESOLVED)",
    ),
    row("dns-nodata", &[502], "sc-status 502 3 12007"),
    row("dns-servfail", &[502], "sc-status 502 3 12007"),
    row("dns-timeout", &[502], "sc-status 502 3 12002, or 12007"),
    row(
        "tls-alert-from-upstream",
        &[502],
        "sc-status 502 3 12175 (ERROR_WINHTTP_SECURE_FAILURE)",
    ),
    row(
        "tls-handshake-reset",
        &[502],
        "sc-status 502 3 12030, or 12175",
    ),
    row(
        "tls-handshake-closed",
        &[502],
        "sc-status 502 3 12030, or 12175",
    ),
    row(
        "closed-before-response",
        &[502],
        "sc-status 502 3 12030 (ERROR_WINHTTP_CONNECTION_ERROR)",
    ),
    row("reset-before-response", &[502], "sc-status 502 3 12030"),
    row("stale-keepalive-reuse", &[502], "sc-status 502 3 12030"),
    row("injected-reset", &[502], "sc-status 502 3 12030"),
    row(
        "malformed-status-line",
        &[502],
        "sc-status 502 3 12152 (ERROR_WINHTTP_INVALID_SERVER_RESPONSE)",
    ),
    row("bad-header", &[502], "sc-status 502 3 12152"),
    row("response-timeout", &[502], "sc-status 502 3 12002"),
    row("loss-stall", &[502], "sc-status 502 3 12002"),
    row("path-mtu-blackhole", &[502], "sc-status 502 3 12002"),
    row("idle-drop-middlebox", &[502], "sc-status 502 3 12002"),
    row(
        "no-upstream-attempt",
        &[502],
        "sc-status 502 4 (no server of the farm could be chosen)",
    ),
    row(
        "upstream-returned-5xx",
        &[],
        "the same sc-status without a WinHTTP code",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "the servers of the farm by name: `nslookup` on the ARR host.",
    ),
    (
        Family::Connect,
        "the farm's servers and their ports; Windows Firewall on them.",
    ),
    (
        Family::Tls,
        "the server's certificate must be trusted by the ARR host and cover the name in the farm.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: Proxy settings of the farm, Time-out (30 s, 120 s in newer releases).",
    ),
    (
        Family::MalformedHead,
        "trace WinHTTP: `netsh trace start scenario=internetclient`; code 12152 names the answer.",
    ),
    (
        Family::NoUpstreamPackets,
        "Monitoring and Management of the farm: servers that are unhealthy, unavailable or draining.",
    ),
    (
        Family::CouldNotTell,
        "Failed Request Tracing for 502: ARR_SERVER_ROUTED tells the server, and the WinHTTP code the failure.",
    ),
];

const TIMERS: &[Timer] = &[
    timer(
        "Time-out of the farm's proxy settings",
        Wait::Response,
        30_000,
    ),
    timer(
        "Time-out of the farm's proxy settings, newer",
        Wait::Response,
        120_000,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    const HEAD: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nServer: Microsoft-IIS/10.0\r\nX-Powered-By: ARR/3.0\r\n\r\n";

    #[test]
    fn the_short_page_tells_no_more_than_a_gateway() {
        let page = b"<h2>502 - Web server received an invalid response while acting as a gateway or proxy server.</h2>";
        let found = recognise(&response(HEAD), page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("10.0"));
        assert_eq!(found.page_kind, None);
    }

    #[test]
    fn the_detailed_page_tells_when_no_server_could_be_chosen() {
        let page = b"<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \
            \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\"> \n<html \
            xmlns=\"http://www.w3.org/1999/xhtml\"> \n<head> \n<title>IIS 10.0 Detailed Error - 502.4 - \
            Bad Gateway</title> \n";
        let found = recognise(&response(HEAD), page).unwrap();
        assert!(found.own_page);
        assert_eq!(found.page_kind, Some(Kind::Nothing));
    }

    #[test]
    fn an_application_on_iis_is_no_gateway() {
        let head =
            response("HTTP/1.1 503 Service Unavailable\r\nServer: Microsoft-IIS/10.0\r\n\r\n");
        assert_eq!(recognise(&head, b"<h2>Service Unavailable</h2>"), None);
    }

    #[test]
    fn its_requests_name_it() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-ARR-LOG-ID: 5bd1b1c2\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
