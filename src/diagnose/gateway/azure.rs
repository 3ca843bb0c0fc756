//! Azure Application Gateway and Azure Front Door. In: heads and pages. Out: what gives them away.
//!
//! The rule: two products of one vendor, kept apart because their timers and knobs differ.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Application Gateway.
pub const APPLICATION_GATEWAY: Product = Product {
    name: "Azure Application Gateway",
    recognise: recognise_application_gateway,
    recognise_request: application_gateway_request,
    rows: APPLICATION_GATEWAY_ROWS,
    advice: APPLICATION_GATEWAY_ADVICE,
    timers: &[timer("request timeout", Wait::Response, 20_000)],
    keeps_order: true,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

/// What is known of Front Door.
pub const FRONT_DOOR: Product = Product {
    name: "Azure Front Door",
    recognise: recognise_front_door,
    recognise_request: front_door_request,
    rows: FRONT_DOOR_ROWS,
    advice: FRONT_DOOR_ADVICE,
    timers: FRONT_DOOR_TIMERS,
    keeps_order: true,
    response_head_max: None,
    response_line_max: None,
    response_lines_max: None,
};

/// The name of Application Gateway in Server and on its page.
const TOKEN: &str = "Microsoft-Azure-Application-Gateway";

fn recognise_application_gateway(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
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

fn application_gateway_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-appgw-trace-id") || has("x-original-host"))
        .then_some("request carries X-AppGW-Trace-Id or X-Original-Host")
}

fn recognise_front_door(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if header(&head.kept, "x-azure-ref").is_some() {
        found.note("header X-Azure-Ref");
    }
    if clue::holds(body, "Our services aren't available right now") {
        found.page("Front Door error page");
    }
    found.if_any()
}

fn front_door_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    (has("x-azure-fdid") || has("x-azure-clientip") || has("x-azure-ref"))
        .then_some("request carries X-Azure-FDID or its kin")
}

const APPLICATION_GATEWAY_ROWS: &[Row] = &[
    row("connect-refused", &[502], ""),
    row("local-connect-error", &[502], ""),
    row("connect-timeout", &[502], ""),
    row("connect-stale-tuple", &[502], ""),
    row("listen-queue-overflow", &[502, 504], ""),
    row("connect-half-open", &[502, 504], ""),
    row("dns-stale-address", &[502], ""),
    row("tls-alert-from-upstream", &[502], ""),
    row("response-timeout", &[502, 504], ""),
    row("loss-stall", &[502, 504], ""),
    row("path-mtu-blackhole", &[502, 504], ""),
    row("idle-drop-middlebox", &[502, 504], ""),
    row("upstream-returned-5xx", &[], "serverStatus has it"),
    row("relayed-nested", &[], "serverStatus has it"),
    row("no-upstream-attempt", &[502], ""),
];

const FRONT_DOOR_ROWS: &[Row] = &[
    row(
        "tls-alert-from-upstream",
        &[503],
        "ErrorInfo OriginInvalidResponse",
    ),
    row("response-timeout", &[503, 504], ""),
    row("loss-stall", &[503, 504], ""),
    row("path-mtu-blackhole", &[503, 504], ""),
    row("idle-drop-middlebox", &[503, 504], ""),
    row("upstream-returned-5xx", &[], "originStatusCode has it"),
    row("relayed-nested", &[], "originStatusCode has it"),
];

const APPLICATION_GATEWAY_ADVICE: &[(Family, &str)] = &[
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
];

const FRONT_DOOR_ADVICE: &[(Family, &str)] = &[
    (
        Family::Tls,
        "the origin's certificate must cover the origin host name.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: origin response timeout (30 s, 16 to 240 s).",
    ),
];

const FRONT_DOOR_TIMERS: &[Timer] = &[timer("origin response timeout", Wait::Response, 30_000)];

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
        let found = recognise_application_gateway(&head, page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("v2"));
    }

    #[test]
    fn front_door_is_known_by_its_page() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\nX-Azure-Ref: 0abc\r\n\r\n");
        assert!(!recognise_front_door(&head, b"oops").unwrap().own_page);
        let page = b"<h2>Our services aren't available right now</h2>";
        assert!(recognise_front_door(&head, page).unwrap().own_page);
    }

    #[test]
    fn their_requests_carry_their_headers() {
        let sent = request("GET / HTTP/1.1\r\nHost: a\r\nX-Original-Host: b\r\n\r\n");
        assert!(application_gateway_request(&sent).is_some());
        let sent = request("GET / HTTP/1.1\r\nHost: a\r\nX-Azure-FDID: b\r\n\r\n");
        assert!(front_door_request(&sent).is_some());
    }
}
