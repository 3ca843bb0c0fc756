//! AWS API Gateway: REST and HTTP APIs. In: heads and pages. Out: what gives it away, and the cause that it tells.
//!
//! The rule: x-amzn-RequestId is on the answers of every AWS service; only its ids (x-amz-apigw-id, apigw-requestid) and
//! its messages name the gateway. Written from AWS's documentation and from answers that users published: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of API Gateway.
pub const PRODUCT: Product = Product {
    name: "AWS API Gateway",
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

/// The status, the value of "message" in its JSON, and the kind of failure that it tells.
const MESSAGES: &[(u16, &str, Option<Kind>)] = &[
    (504, "Endpoint request timed out", Some(Kind::Timer)),
    (
        504,
        "Network error communicating with endpoint",
        Some(Kind::Broken),
    ),
    (500, "Internal server error", None),
    (502, "Internal server error", None),
    // HTTP APIs write the reason phrase.
    (500, "Internal Server Error", None),
    (503, "Service Unavailable", None),
    (504, "Gateway Timeout", Some(Kind::Timer)),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let of = |name| header(&head.kept, name).unwrap_or_default();
    if !of("x-amz-apigw-id").is_empty() {
        found.note("header x-amz-apigw-id");
    } else if !of("apigw-requestid").is_empty() {
        found.note("header apigw-requestid");
    }
    let error = of("x-amzn-errortype");
    let told = message(body).and_then(|text| {
        MESSAGES
            .iter()
            .find(|(status, message, _)| *status == head.status && *message == text)
    });
    let typed = !error.is_empty() && !of("x-amzn-requestid").is_empty();
    if found.identified_by.is_empty() && !(typed && told.is_some()) {
        return None;
    }
    if let Some((_, message, kind)) = told {
        found.page(&format!("API Gateway's message \"{message}\""));
        found.hints(*kind);
    }
    if !error.is_empty() {
        found.note("header x-amzn-ErrorType");
    }
    found.if_any()
}

/// The value of "message" where the body is a JSON object that holds nothing else.
fn message(body: &[u8]) -> Option<&str> {
    let inside = clue::text(body)?.strip_prefix('{')?.strip_suffix('}')?;
    let value = inside.trim().strip_prefix("\"message\"")?.trim_start();
    let value = value.strip_prefix(':')?.trim();
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('"')).then_some(text)
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let agent = header(&head.kept, "user-agent").unwrap_or_default();
    agent
        .starts_with("AmazonAPIGateway_")
        .then_some("User-Agent begins with AmazonAPIGateway_")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[504, 503, 500],
        "Execution failed due to configuration error, or Network error communicating with endpoint",
    ),
    row(
        "connect-timeout",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "connect-stale-tuple",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "listen-queue-overflow",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "connect-half-open",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "dns-nxdomain",
        &[500, 504],
        "Execution failed due to configuration error: Invalid endpoint address",
    ),
    row(
        "closed-before-response",
        &[504, 503, 500],
        "Network error communicating with endpoint",
    ),
    row(
        "reset-before-response",
        &[504, 503, 500],
        "Network error communicating with endpoint",
    ),
    row(
        "stale-keepalive-reuse",
        &[504, 503, 500],
        "Network error communicating with endpoint",
    ),
    row(
        "injected-reset",
        &[504, 503, 500],
        "Network error communicating with endpoint",
    ),
    row(
        "response-timeout",
        &[504, 503],
        "Execution failed due to a timeout error; message \"Endpoint request timed out\"",
    ),
    row(
        "loss-stall",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "path-mtu-blackhole",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 503],
        "Execution failed due to a timeout error",
    ),
    row(
        "bad-header",
        &[502, 500],
        "Execution failed due to configuration error (of a Lambda function: Malformed Lambda proxy response)",
    ),
    row(
        "upstream-returned-5xx",
        &[],
        "$context.integrationStatus has it",
    ),
    row("relayed-nested", &[], "$context.integrationStatus has it"),
    row(
        "no-upstream-attempt",
        &[500, 503, 504],
        "$context.error.responseType: API_CONFIGURATION_ERROR, AUTHORIZER_FAILURE or THROTTLED",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "the endpoint URL of the integration; a private name needs a VPC link.",
    ),
    (
        Family::Connect,
        "the VPC link's status and its target group; security groups of the targets.",
    ),
    (
        Family::Tls,
        "the endpoint's certificate must be of a known CA and cover the name; else `insecureSkipVerification`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: the integration timeout (29 s for REST, 30 s for HTTP APIs): answer sooner, or make it asynchronous.",
    ),
    (
        Family::MalformedHead,
        "of a Lambda function: `statusCode`, `headers` and a string `body`, and nothing else.",
    ),
    (
        Family::NoUpstreamPackets,
        "authorizer, throttling and mapping templates: `$context.error.message` in the access log.",
    ),
    (
        Family::Relayed,
        "`$context.integrationStatus` beside `$context.status` in the access log.",
    ),
    (
        Family::CouldNotTell,
        "execution logs in CloudWatch, by x-amzn-RequestId or apigw-requestid.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("integration timeout (REST API)", Wait::Response, 29_000),
    timer("integration timeout (HTTP API)", Wait::Response, 30_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    #[test]
    fn a_rest_api_tells_what_failed() {
        let head = response(
            "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: application/json\r\nContent-Length: 56\r\nx-amzn-RequestId: 7977e648-d183-47c2-a416-6f04c23e8e5d\r\nx-amzn-ErrorType: InternalServerErrorException\r\nx-amz-apigw-id: IOIGVEoIrPEFfJg=\r\n\r\n",
        );
        let network = b"{\"message\": \"Network error communicating with endpoint\"}";
        assert_eq!(network.len(), 56);
        let found = recognise(&head, network).unwrap();
        assert!(found.own_page);
        assert_eq!(found.page_kind, Some(Kind::Broken));
        let timed_out = b"{\"message\": \"Endpoint request timed out\"}";
        assert_eq!(
            recognise(&head, timed_out).unwrap().page_kind,
            Some(Kind::Timer)
        );
    }

    #[test]
    fn an_http_api_writes_the_reason_phrase() {
        let head = response(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\napigw-requestid: AbCdEfGhIjKlMnO=\r\n\r\n",
        );
        let found = recognise(&head, b"{\"message\":\"Service Unavailable\"}").unwrap();
        assert!(found.own_page && found.page_kind.is_none());
        assert!(
            !recognise(&head, b"{\"message\":\"my own\"}")
                .unwrap()
                .own_page
        );
        assert!(
            !recognise(&head, b"{\"message\":\"a\",\"b\":\"c\"}")
                .unwrap()
                .own_page
        );
    }

    #[test]
    fn another_service_of_aws_is_not_it() {
        let head = response("HTTP/1.1 503 Slow Down\r\nx-amzn-RequestId: 7977e648\r\n\r\n");
        assert_eq!(
            recognise(&head, b"{\"message\": \"Service Unavailable\"}"),
            None
        );
    }

    #[test]
    fn its_requests_name_it() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: AmazonAPIGateway_a1b2c3d4e5\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_some());
    }
}
