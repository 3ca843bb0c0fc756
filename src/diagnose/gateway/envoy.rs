//! Envoy and Istio's proxy. In: heads and pages. Out: what gives them away, what they answer and log.
//!
//! The rule: Envoy writes its name on relayed responses too; its page is its own only without
//! `x-envoy-upstream-service-time`, which shows that an upstream answered.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of Envoy.
pub const PRODUCT: Product = Product {
    name: "Envoy",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: false,
    hands_over: true,
    response_head_max: Some(61_440),
    response_line_max: None,
    response_lines_max: Some(100),
};

/// How the page of a reset upstream stream begins.
const RESET: &str = "upstream connect error or disconnect/reset before headers";

/// The other pages, and the cause that each tells where it is specific (`code:detail`).
const PAGES: &[(&str, Option<&str>)] = &[
    ("upstream request timeout", Some("response-timeout")),
    (
        "no healthy upstream",
        Some("no-upstream-attempt:no-live-upstream"),
    ),
    ("upstream max stream duration reached", None),
    ("maintenance mode", Some("no-upstream-attempt:policy")),
    (
        "DNS resolution failure",
        Some("no-upstream-attempt:dns-cached-failure"),
    ),
];

/// Reset reasons that tell one cause.
const REASONS: &[(&str, &str)] = &[
    ("connection timeout", "connect-timeout"),
    ("connection termination", "closed-before-response"),
    ("overflow", "no-upstream-attempt:pool-overflow"),
];

/// Reset reasons that stand for several causes of one kind.
const KINDS: &[(&str, Kind)] = &[
    ("connection failure", Kind::Unconnected),
    ("remote connection failure", Kind::Unconnected),
    ("local connection failure", Kind::Unconnected),
    ("protocol error", Kind::Content),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    if let Some(server) = header(&head.kept, "server") {
        if let Some(version) = clue::product(&server, "envoy") {
            found.server("envoy", version);
        } else if let Some(version) = clue::product(&server, "istio-envoy") {
            found.kin = Some("Istio");
            found.server("istio-envoy", version);
        }
    }
    if header(&head.kept, "x-envoy-overloaded").is_some() {
        found.note("header x-envoy-overloaded");
    }
    let page = clue::text(body).and_then(page);
    if let Some((text, cause)) = page {
        if header(&head.kept, "x-envoy-upstream-service-time").is_some() {
            found.note("body: the page of another Envoy");
        } else {
            found.page(&format!("\"{text}\""));
            found.tells(cause);
            found.hints(clue::text(body).and_then(kind));
        }
    }
    if found.own_page && header(&head.kept, "x-envoy-overloaded").is_some() {
        found.tells(Some("no-upstream-attempt:circuit-open"));
    }
    found.if_any()
}

/// The page that `text` is, and the cause that it tells.
fn page(text: &str) -> Option<(&'static str, Option<&'static str>)> {
    if let Some(rest) = text.strip_prefix(RESET) {
        // The kernel refused the socket before a packet left; releases up to 1.2x say so on the page.
        if rest.contains("immediate connect error") || rest.contains("immediate_connect_error") {
            return Some((RESET, Some("local-connect-error")));
        }
        let reason = reason(rest);
        let cause = REASONS.iter().find(|(name, _)| Some(*name) == reason);
        return Some((RESET, cause.map(|(_, code)| *code)));
    }
    PAGES.iter().find(|(page, _)| *page == text).copied()
}

/// The reason of a reset that the page gives.
fn reason(rest: &str) -> Option<&str> {
    let (_, reason) = rest.split_once("reset reason: ")?;
    Some(reason.split(',').next().unwrap_or_default().trim())
}

/// The kind of failure that the reason of a reset stands for. A page that tells of TLS speaks of the handshake.
fn kind(text: &str) -> Option<Kind> {
    let rest = text.strip_prefix(RESET)?;
    let reason = reason(rest)?;
    if rest.contains("TLS error") || rest.contains("TLS_error") {
        return Some(Kind::Handshake);
    }
    KINDS
        .iter()
        .find(|(name, _)| *name == reason)
        .map(|(_, kind)| *kind)
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let has = |name| header(&head.kept, name).is_some();
    if has("x-envoy-expected-rq-timeout-ms") || has("x-envoy-attempt-count") {
        return Some("request carries x-envoy headers");
    }
    (head.lower_case_names && has("x-request-id") && has("x-forwarded-proto"))
        .then_some("lower-case names with x-request-id and x-forwarded-proto, as Envoy sends them")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[503],
        "flag UF; remote_connection_failure, or delayed_connect_error:_Connection_refused",
    ),
    row(
        "local-connect-error",
        &[503],
        "flag UF; immediate_connect_error",
    ),
    row(
        "icmp-port-unreachable",
        &[503],
        "flag UF; delayed_connect_error:_Connection_refused",
    ),
    row(
        "icmp-host-unreachable",
        &[503],
        "flag UF; delayed_connect_error:_No_route_to_host",
    ),
    row(
        "icmp-ttl-exceeded",
        &[503],
        "flag UF; delayed_connect_error:_No_route_to_host",
    ),
    row(
        "icmp-net-unreachable",
        &[503],
        "flag UF; delayed_connect_error:_Network_is_unreachable",
    ),
    row(
        "icmp-admin-prohibited",
        &[503],
        "flag UF; delayed_connect_error:_No_route_to_host",
    ),
    row(
        "neighbor-unresolved",
        &[503],
        "flag UF; delayed_connect_error:_No_route_to_host",
    ),
    row(
        "connect-timeout",
        &[503],
        "flag UF; upstream_reset_before_response_started{connection_timeout}",
    ),
    row(
        "connect-stale-tuple",
        &[503],
        "flag UF; upstream_reset_before_response_started{connection_timeout}",
    ),
    row(
        "listen-queue-overflow",
        &[503, 504],
        "flag UF; upstream_reset_before_response_started{connection_timeout}",
    ),
    row(
        "connect-half-open",
        &[503, 504],
        "flag UF; upstream_reset_before_response_started{connection_timeout}",
    ),
    row(
        "dns-stale-address",
        &[503],
        "flag UF; upstream_reset_before_response_started{connection_timeout}",
    ),
    row("connect-reset-after-accept", &[503], "flag UC or UF"),
    row(
        "tls-on-http-port",
        &[503],
        "flag UF; TLS_error with WRONG_VERSION_NUMBER",
    ),
    row(
        "tls-version-mismatch",
        &[503],
        "UF, TLSV1_ALERT_PROTOCOL_VERSION",
    ),
    row(
        "tls-no-shared-cipher",
        &[503],
        "UF, TLSV1_ALERT_INSUFFICIENT_SECURITY or SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    row(
        "tls-sni-unrecognized",
        &[503],
        "UF, TLSV1_ALERT_UNRECOGNIZED_NAME",
    ),
    row(
        "tls-client-cert-required",
        &[503],
        "UF, SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    row(
        "tls-client-cert-rejected",
        &[503],
        "UF, TLSV1_ALERT_UNKNOWN_CA",
    ),
    row(
        "alpn-mismatch",
        &[503],
        "UF, TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    ),
    row("tls-decrypt-error", &[503], "UF, TLSV1_ALERT_DECRYPT_ERROR"),
    row(
        "tls-cert-expired",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED: verify cert failed: ... certificate has expired",
    ),
    row(
        "tls-cert-not-yet-valid",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED: ... certificate is not yet valid",
    ),
    row(
        "tls-cert-name-mismatch",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED: verify cert failed: SAN matcher, certificate SANs are [...]",
    ),
    row(
        "tls-untrusted-ca",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED: ... unable to get local issuer certificate",
    ),
    row(
        "tls-cert-revoked",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED: ... certificate revoked",
    ),
    row(
        "tls-cert-rejected-unknown",
        &[503],
        "UF, CERTIFICATE_VERIFY_FAILED",
    ),
    row(
        "tls-alert-from-upstream",
        &[503],
        "flag UF; TLS_error with the name of the alert",
    ),
    row(
        "tls-handshake-reset",
        &[503],
        "flag UF; remote_connection_failure or Connection_reset_by_peer",
    ),
    row(
        "tls-handshake-closed",
        &[503],
        "flag UF; remote_connection_failure",
    ),
    row(
        "tls-handshake-timeout",
        &[503],
        "flag UF; connection_timeout",
    ),
    row("http-on-tls-port", &[502, 503, 400], "flag UC or UPE"),
    row(
        "malformed-status-line",
        &[502],
        "flag UPE; upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "stale-keepalive-reuse",
        &[503],
        "flag UC; upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "reset-before-response",
        &[503],
        "flag UC; upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "injected-reset",
        &[503],
        "flag UC; upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "closed-before-response",
        &[503],
        "flag UC; upstream_reset_before_response_started{connection_termination}",
    ),
    row("reset-mid-head", &[502], "flag UPE; {protocol_error}"),
    row("closed-mid-head", &[502], "flag UPE; {protocol_error}"),
    row("header-too-large", &[502], "flag UPE; {protocol_error}"),
    row("head-timeout", &[504], "flag UT; response_timeout"),
    row(
        "response-timeout",
        &[504],
        "flag UT; response_timeout or upstream_per_try_timeout",
    ),
    row(
        "loss-stall",
        &[504],
        "flag UT; response_timeout or upstream_per_try_timeout",
    ),
    row(
        "path-mtu-blackhole",
        &[504, 503],
        "flag UT; response_timeout or upstream_per_try_timeout",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 503],
        "flag UT; response_timeout or upstream_per_try_timeout",
    ),
    row(
        "reset-mid-response",
        &[200],
        "flag UPE or UC; upstream_reset_after_response_started{...}",
    ),
    row(
        "truncated-body",
        &[200],
        "flag UPE or UC; upstream_reset_after_response_started{...}",
    ),
    row("upstream-returned-5xx", &[], "no flag; via_upstream"),
    row("relayed-nested", &[], "no flag; via_upstream"),
    row("bad-header", &[502], "flag UPE; {protocol_error}"),
    row(
        "http09-response",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "wrong-service",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "h1-on-h2-port",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "h2-on-h1-port",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "too-many-headers",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "conflicting-framing",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "invalid-content-length",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "unknown-transfer-coding",
        &[502],
        "flag UPE, upstream_reset_before_response_started{protocol_error}",
    ),
    row(
        "proxy-protocol-unexpected",
        &[503],
        "flag UC, upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "proxy-protocol-missing",
        &[503],
        "flag UC, upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "unsolicited-response",
        &[503],
        "flag UC, upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "bad-interim-response",
        &[503],
        "flag UC, upstream_reset_after_response_started{connection_termination}",
    ),
    row(
        "request-reset-mid-body",
        &[503],
        "flag UC, upstream_reset_before_response_started{connection_termination}",
    ),
    row(
        "early-response-abort",
        &[503],
        "flag UC, upstream_reset_before_response_started{connection_termination}",
    ),
    row("request-write-timeout", &[504], "flag UT, response_timeout"),
    row(
        "bad-chunking",
        &[200],
        "flag UPE, upstream_reset_after_response_started{protocol_error}",
    ),
    row(
        "truncated-chunked",
        &[200],
        "flag UPE, upstream_reset_after_response_started{protocol_error}",
    ),
    row("stall-mid-response", &[200], "flag UT, response_timeout"),
    row(
        "dns-nxdomain",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "dns-nodata",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "dns-servfail",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "dns-refused",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "dns-timeout",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "dns-unreachable",
        &[503],
        "flag UH, or DF with dns_resolution_failure",
    ),
    row(
        "no-upstream-attempt",
        &[503],
        "flag UH with no_healthy_upstream, or UO with {overflow}",
    ),
    row(
        "client-aborted",
        &[],
        "flag DC; downstream_remote_disconnect",
    ),
    row(
        "client-request-timeout",
        &[408],
        "flag SI; stream_idle_timeout, or request_overall_timeout",
    ),
    row(
        "client-bad-request",
        &[400],
        "flag DPE; http1.codec_error or its kin",
    ),
    row("zero-window-stall", &[], "flag UT; response_timeout"),
    row(
        "attempt-succeeded-but-error",
        &[500, 502, 503, 504],
        "no flag; RESPONSE_CODE_DETAILS names the filter that answered",
    ),
    row(
        "gateway-truncated-relay",
        &[200],
        "flag UC, UPE or SI; upstream_reset_after_response_started, or stream_idle_timeout",
    ),
    row(
        "upstream-leg-not-captured",
        &[],
        "UPSTREAM_HOST, RESPONSE_FLAGS and RESPONSE_CODE_DETAILS",
    ),
    row(
        "capture-gap",
        &[],
        "RESPONSE_FLAGS and RESPONSE_CODE_DETAILS decide what the packets do not",
    ),
    row(
        "encrypted-inconclusive",
        &[],
        "RESPONSE_FLAGS, RESPONSE_CODE_DETAILS and UPSTREAM_TRANSPORT_FAILURE_REASON",
    ),
    row("ambiguous", &[], "UPSTREAM_HOST and RESPONSE_CODE_DETAILS"),
    row(
        "gateway-silent-close",
        &[0],
        "status 0 with flag DC, or the connection's own end: max_connection_duration, drain",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "cluster type STRICT_DNS or LOGICAL_DNS, and its `dns_refresh_rate`.",
    ),
    (
        Family::Connect,
        "cluster `connect_timeout`; endpoints in the admin interface under /clusters.",
    ),
    (
        Family::Tls,
        "UpstreamTlsContext: `sni` and the SAN matcher. Istio: PeerAuthentication against the \
         DestinationRule.",
    ),
    (
        Family::ProtocolMismatch,
        "the cluster's `transport_socket` for TLS, `http2_protocol_options` for HTTP/2. Istio: \
         the name of the Service port (http-, https-, grpc-).",
    ),
    (
        Family::WaitingForHead,
        "timeouts: the route's `timeout` (15 s unless set) and `per_try_timeout`.",
    ),
    (
        Family::WaitingForHead,
        "flag UC: cluster `idle_timeout` below the upstream's own; `retry_on: \
         reset-before-request` or `connect-failure,refused-stream`.",
    ),
    (
        Family::MalformedHead,
        "`max_response_headers_kb` (60) and `max_headers_count` (100) in the cluster's HTTP \
         options.",
    ),
    (
        Family::NoUpstreamPackets,
        "outlier detection, circuit breaker thresholds and the panic threshold; /clusters shows \
         health flags.",
    ),
    (
        Family::SendingRequest,
        "`buffer` filter where upstreams refuse long bodies; the route's `timeout` starts when the request is complete.",
    ),
    (
        Family::Body,
        "`stream_idle_timeout` (5 min) and the route's `timeout`, which covers the whole response.",
    ),
    (
        Family::Path,
        "`upstream_connection_options: tcp_keepalive` on the cluster.",
    ),
    (
        Family::Relayed,
        "`%RESPONSE_CODE_DETAILS%` is via_upstream, and x-envoy-upstream-service-time is set.",
    ),
    (
        Family::ClientSide,
        "`request_headers_timeout`, `request_timeout` and `stream_idle_timeout` of the connection manager.",
    ),
    (
        Family::Silent,
        "`max_connection_duration`, a drain of the listener, or the overload manager.",
    ),
    (
        Family::CouldNotTell,
        "`%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_TRANSPORT_FAILURE_REASON% %REQ(X-REQUEST-ID)%` in the access log.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("cluster connect_timeout", Wait::Connect, 5_000),
    timer("route timeout", Wait::Response, 15_000),
    timer("stream_idle_timeout", Wait::Response, 300_000),
    timer("c-ares query timeout", Wait::Resolve, 5_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    const HEAD: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 95\r\n\
        content-type: text/plain\r\ndate: Fri, 20 Nov 2026 13:18:28 GMT\r\nserver: envoy\r\n\r\n";

    fn cause(body: &[u8]) -> Option<&'static str> {
        let found = recognise(&response(HEAD), body).unwrap();
        assert!(found.own_page, "{}", String::from_utf8_lossy(body));
        found.page_cause
    }

    #[test]
    fn pages_tell_the_cause_where_they_are_specific() {
        let terminated: &[u8] = b"upstream connect error or disconnect/reset before headers. \
            reset reason: connection termination";
        assert_eq!(terminated.len(), 95);
        assert_eq!(cause(terminated), Some("closed-before-response"));
        assert_eq!(
            cause(
                b"upstream connect error or disconnect/reset before headers. retried and the \
                  latest reset reason: connection timeout"
            ),
            Some("connect-timeout")
        );
        assert_eq!(
            cause(
                b"upstream connect error or disconnect/reset before headers. reset reason: \
                  remote connection failure, transport failure reason: delayed connect error: 111"
            ),
            None
        );
        assert_eq!(
            cause(
                b"upstream connect error or disconnect/reset before headers. reset reason: \
                  protocol error"
            ),
            None
        );
        assert_eq!(cause(b"upstream request timeout"), Some("response-timeout"));
        assert_eq!(cause(b"no healthy upstream"), Some("no-upstream-attempt"));
    }

    #[test]
    fn a_page_from_behind_is_not_its_own() {
        let head = response(
            "HTTP/1.1 503 Service Unavailable\r\nserver: istio-envoy\r\n\
             x-envoy-upstream-service-time: 3\r\n\r\n",
        );
        let found = recognise(&head, b"no healthy upstream").unwrap();
        assert!(!found.own_page);
        assert_eq!(found.page_cause, None);
        assert_eq!(found.kin, Some("Istio"));
    }

    #[test]
    fn its_name_alone_proves_nothing() {
        let found = recognise(&response(HEAD), b"<html>sorry</html>").unwrap();
        assert!(found.named_by_server && !found.own_page);
    }

    #[test]
    fn its_requests_carry_its_timeout() {
        let sent = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: http\r\nx-request-id: 1\r\n\
                    x-envoy-expected-rq-timeout-ms: 15000\r\n\r\n";
        assert_eq!(
            recognise_request(&request(sent)),
            Some("request carries x-envoy headers")
        );
    }
}
