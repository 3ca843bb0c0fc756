//! HAProxy. In: heads and pages. Out: what gives it away, what it answers and logs.
//!
//! The rule: it adds no Server header and passes the upstream's on, so only its page names it.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Kind, Product, Recognised, Row, Source, Timer, Wait, row, timer,
};
use crate::protocol::observation::{RequestHead, ResponseHead};

/// What is known of HAProxy.
pub const PRODUCT: Product = Product {
    name: "HAProxy",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(16_384 - 1_024),
    response_line_max: None,
    response_lines_max: Some(101),
};

/// The sentences of its built-in pages.
const SENTENCES: &[&str] = &[
    "The server returned an invalid or incomplete response.",
    "No server is available to handle this request.",
    "The server didn't respond in time.",
    "An internal server error occurred.",
    "Your browser sent an invalid request.",
    "Your browser didn't send a complete request in time.",
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let opening = format!("<html><body><h1>{} ", head.status);
    if body.starts_with(opening.as_bytes())
        && SENTENCES.iter().any(|sentence| clue::holds(body, sentence))
    {
        found.page("HAProxy error page");
        let timer = clue::holds(body, "The server didn't respond in time.");
        found.hints(timer.then_some(Kind::Timer));
    }
    found.if_any()
}

/// It writes header names in lower case, and so do all who speak HTTP/2: that alone names nobody.
fn recognise_request(_head: &RequestHead) -> Option<&'static str> {
    None
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[503],
        "termination state SC; ECONNREFUSED returned by OS",
    ),
    row(
        "local-connect-error",
        &[503],
        "termination state SC, or RC when local ports or descriptors ran out",
    ),
    row(
        "icmp-port-unreachable",
        &[503],
        "termination state SC; ECONNREFUSED returned by OS",
    ),
    row("icmp-host-unreachable", &[503], "termination state SC"),
    row("icmp-ttl-exceeded", &[503], "termination state SC"),
    row(
        "icmp-net-unreachable",
        &[503],
        "termination state SC; ENETUNREACH returned by OS",
    ),
    row("icmp-admin-prohibited", &[503], "termination state SC"),
    row(
        "neighbor-unresolved",
        &[503],
        "termination state SC; sC when timeout connect ends before the kernel gives up",
    ),
    row("connect-timeout", &[503], "termination state sC"),
    row("connect-stale-tuple", &[503], "termination state sC"),
    row("listen-queue-overflow", &[503, 504], "termination state sC"),
    row("connect-half-open", &[503, 504], "termination state sC"),
    row("dns-stale-address", &[503], "termination state sC"),
    row(
        "connect-reset-after-accept",
        &[502, 503, 0],
        "termination state SC or SH",
    ),
    row(
        "tls-on-http-port",
        &[503],
        "termination state SC; SSL handshake failure",
    ),
    row(
        "tls-version-mismatch",
        &[503],
        "SC--, SSL handshake failure",
    ),
    row(
        "tls-no-shared-cipher",
        &[503],
        "SC--, SSL handshake failure",
    ),
    row("tls-sni-missing", &[503], "SC--, SSL handshake failure"),
    row(
        "tls-sni-unrecognized",
        &[503],
        "SC--, SSL handshake failure",
    ),
    row(
        "tls-client-cert-required",
        &[503, 502],
        "SC--, SSL handshake failure; in TLS 1.3 SH--, SSL fatal error, and 502",
    ),
    row(
        "tls-client-cert-rejected",
        &[503],
        "SC--, SSL handshake failure",
    ),
    row("alpn-mismatch", &[503], "SC--, SSL handshake failure"),
    row("tls-decrypt-error", &[503], "SC--, SSL handshake failure"),
    row("tls-cert-expired", &[503], "SC--, SSL handshake failure"),
    row(
        "tls-cert-not-yet-valid",
        &[503],
        "SC--, SSL handshake failure",
    ),
    row(
        "tls-cert-name-mismatch",
        &[503],
        "SC--, Server presented an SSL certificate different from the expected one",
    ),
    row("tls-untrusted-ca", &[503], "SC--, SSL handshake failure"),
    row("tls-cert-revoked", &[503], "SC--, SSL handshake failure"),
    row(
        "tls-cert-rejected-unknown",
        &[503],
        "SC--, Server presented an SSL certificate different from the expected one; or SSL handshake failure",
    ),
    row(
        "tls-alert-from-upstream",
        &[503, 502],
        "termination state SC; SSL handshake failure",
    ),
    row(
        "tls-handshake-reset",
        &[503],
        "termination state SC; Connection error during SSL handshake",
    ),
    row(
        "tls-handshake-closed",
        &[503],
        "termination state SC; Connection closed during SSL handshake",
    ),
    row(
        "tls-handshake-timeout",
        &[503],
        "termination state sC; Timeout during SSL handshake",
    ),
    row(
        "http-on-tls-port",
        &[502, 400, 0],
        "termination state PH or SH",
    ),
    row("malformed-status-line", &[502], "termination state PH"),
    row("stale-keepalive-reuse", &[502, 0], "termination state SH"),
    row("reset-before-response", &[502, 0], "termination state SH"),
    row("injected-reset", &[502, 0], "termination state SH"),
    row("closed-before-response", &[502, 0], "termination state SH"),
    row("reset-mid-head", &[502, 0], "termination state SH"),
    row("closed-mid-head", &[502, 0], "termination state SH"),
    row("header-too-large", &[502], "termination state PH"),
    row("head-timeout", &[504], "termination state sH"),
    row("response-timeout", &[504], "termination state sH"),
    row("loss-stall", &[504], "termination state sH"),
    row("path-mtu-blackhole", &[504, 503], "termination state sH"),
    row(
        "idle-drop-middlebox",
        &[504, 502, 0],
        "termination state sH",
    ),
    row("reset-mid-response", &[200], "termination state SD"),
    row("truncated-body", &[200], "termination state SD"),
    row("upstream-returned-5xx", &[], "termination state ----"),
    row("relayed-nested", &[], "termination state ----"),
    row(
        "bad-header",
        &[502],
        "termination state PH; `show errors` keeps the bytes",
    ),
    row("http09-response", &[502], "termination state PH"),
    row("wrong-service", &[502], "termination state PH"),
    row("h1-on-h2-port", &[502], "termination state PH"),
    row("too-many-headers", &[502], "termination state PH"),
    row("conflicting-framing", &[502], "termination state PH"),
    row("invalid-content-length", &[502], "termination state PH"),
    row("unknown-transfer-coding", &[502], "termination state PH"),
    row("unexpected-upgrade", &[502], "termination state PH"),
    row("h2-on-h1-port", &[503, 502], "termination state SC"),
    row("proxy-protocol-missing", &[502], "termination state SH"),
    row("proxy-protocol-unexpected", &[502], "termination state SH"),
    row("bad-interim-response", &[502], "termination state SH"),
    row(
        "unsolicited-response",
        &[502, 503, 0],
        "termination state SH",
    ),
    row("request-reset-mid-body", &[502, 0], "termination state SH"),
    row("early-response-abort", &[502, 0], "termination state SH"),
    row(
        "request-write-timeout",
        &[504, 0],
        "termination state sD, or sH where the rest had been handed to the kernel",
    ),
    row(
        "bad-chunking",
        &[502, 200],
        "termination state PH, or SD once the answer had begun",
    ),
    row("truncated-chunked", &[200], "termination state SD"),
    row("stall-mid-response", &[200], "termination state sD"),
    row(
        "dns-nxdomain",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "dns-nodata",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "dns-servfail",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "dns-refused",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "dns-timeout",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "dns-unreachable",
        &[503],
        "server is DOWN for resolution; requests show SC and <NOSRV>",
    ),
    row(
        "no-upstream-attempt",
        &[503],
        "termination state SC with server <NOSRV> and timers of -1; sQ when the queue timed out",
    ),
    row(
        "gateway-silent-close",
        &[0],
        "termination state PR (a rule), SH (later request of a connection) or K-",
    ),
    row("client-aborted", &[], "termination state CC, CH, CQ or CD"),
    row("client-request-timeout", &[408], "termination state cR"),
    row(
        "client-bad-request",
        &[400],
        "termination state PR; `show errors` keeps the bytes",
    ),
    row(
        "zero-window-stall",
        &[],
        "termination state sH or sD: timeout server ran out while data was pending",
    ),
    row(
        "attempt-succeeded-but-error",
        &[500, 502, 503, 504],
        "termination state PH: a rule denied the answer, or rewriting it failed",
    ),
    row(
        "gateway-truncated-relay",
        &[200],
        "termination state SD, sD, cD or PD",
    ),
    row(
        "upstream-leg-not-captured",
        &[],
        "backend and server, the timers Tw/Tc/Tr and the termination state",
    ),
    row(
        "capture-gap",
        &[],
        "the termination state and the timers of that line decide what the packets do not",
    ),
    row(
        "encrypted-inconclusive",
        &[],
        "the termination state and the timers of that line",
    ),
    row(
        "ambiguous",
        &[],
        "the server and the termination state of that line",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "a `resolvers` section with `resolvers NAME` on the server line, and `init-addr`.",
    ),
    (
        Family::Connect,
        "`timeout connect`, and `check` on the server line, so that a dead server is left out.",
    ),
    (
        Family::Tls,
        "`sni`, `verifyhost`, `ca-file` and `ssl-min-ver` on the server line.",
    ),
    (
        Family::ProtocolMismatch,
        "`ssl` on the server line, or its absence; `proto h2` where the server wants HTTP/2.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `timeout server`, and `timeout tunnel` for upgraded connections.",
    ),
    (
        Family::WaitingForHead,
        "SH in the log: read the server's own log; `retry-on empty-response conn-failure` where \
         requests may be repeated.",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `pool-purge-delay`, `http-reuse safe`, `retry-on`.",
    ),
    (
        Family::MalformedHead,
        "`tune.bufsize` for size (the head must leave `tune.maxrewrite` free); `option \
         accept-invalid-http-response` for syntax; `show errors` on the stats socket shows the \
         bytes.",
    ),
    (
        Family::NoUpstreamPackets,
        "health checks, `maxconn`, `timeout queue`; `show servers state` on the stats socket.",
    ),
    (
        Family::SendingRequest,
        "`timeout server` covers writing too; `option http-buffer-request` waits for the body before it connects.",
    ),
    (
        Family::Body,
        "termination state SD or sD: the server's end, or `timeout server` between two reads.",
    ),
    (
        Family::Path,
        "`option srvtcpka` with `srvtcpka-idle` keeps idle server connections known to what lies between.",
    ),
    (
        Family::Relayed,
        "a termination state of ---- with an error status: the server wrote it.",
    ),
    (
        Family::ClientSide,
        "`timeout http-request` and `timeout client`; `option abortonclose`; `show errors` for a bad request.",
    ),
    (
        Family::Silent,
        "`silent-drop` and `reject` rules; on a later request of a connection a failed server connection is closed in silence: `retry-on conn-failure empty-response` prevents it.",
    ),
    (
        Family::CouldNotTell,
        "`unique-id-format` with `unique-id-header X-Request-ID`, and `option httplog`: its timers and its termination state tell where it failed.",
    ),
];

const TIMERS: &[Timer] = &[
    timer(
        "timeout queue (that of connect where unset; 5s in packaged configurations)",
        Wait::Queue,
        5_000,
    ),
    timer(
        "timeout connect (no default; 5s in packaged configurations)",
        Wait::Connect,
        5_000,
    ),
    timer(
        "timeout server (no default; 50s in packaged configurations)",
        Wait::Response,
        50_000,
    ),
    timer(
        "timeout server (no default; 30s is usual)",
        Wait::Response,
        30_000,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    // Taken from HAProxy 2.6.12.
    const PAGES: [(&str, &[u8], usize); 3] = [
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 107\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n\r\n",
            b"<html><body><h1>502 Bad Gateway</h1>\n\
              The server returned an invalid or incomplete response.\n</body></html>\n",
            107,
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\n\
             cache-control: no-cache\r\ncontent-type: text/html\r\n\r\n",
            b"<html><body><h1>503 Service Unavailable</h1>\n\
              No server is available to handle this request.\n</body></html>\n",
            107,
        ),
        (
            "HTTP/1.1 504 Gateway Time-out\r\ncontent-length: 92\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n\r\n",
            b"<html><body><h1>504 Gateway Time-out</h1>\n\
              The server didn't respond in time.\n</body></html>\n",
            92,
        ),
    ];

    #[test]
    fn its_pages_are_its_own() {
        for (head, page, size) in PAGES {
            assert_eq!(page.len(), size);
            let found = recognise(&response(head), page).unwrap();
            assert!(found.own_page);
            assert_eq!(found.identified_by, ["body: HAProxy error page"]);
        }
    }

    #[test]
    fn a_page_under_another_status_is_not() {
        assert_eq!(recognise(&response(PAGES[0].0), PAGES[1].1), None);
    }

    #[test]
    fn lower_case_names_alone_are_nobodys() {
        let sent = "GET /t HTTP/1.1\r\nhost: 127.0.0.1:18082\r\nuser-agent: curl/7.88.1\r\n\r\n";
        assert!(recognise_request(&request(sent)).is_none());
    }
}
