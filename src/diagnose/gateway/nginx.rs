//! nginx and its kin (OpenResty, Tengine, freenginx, Angie, ingress-nginx). In: heads and pages. Out: what
//! gives them away, what they answer and log.
//!
//! The rule: nginx writes its name on relayed responses too; only its page shows that it is the author.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{
    Family, Product, Recognised, Row, Source, Timer, Wait, header, row, timer,
};
use crate::protocol::observation::{HttpVersion, RequestHead, ResponseHead};

/// What is known of nginx.
pub const PRODUCT: Product = Product {
    name: "nginx",
    source: Source::Recorded,
    recognise,
    recognise_request,
    rows: ROWS,
    advice: ADVICE,
    timers: TIMERS,
    keeps_order: true,
    hands_over: false,
    response_head_max: Some(4096),
    response_line_max: None,
    response_lines_max: None,
};

/// The names that it goes by, as they stand in Server and on the page, and in reports.
const KIN: &[(&str, Option<&str>)] = &[
    ("nginx", None),
    ("openresty", Some("OpenResty")),
    ("tengine", Some("Tengine")),
    ("freenginx", Some("freenginx")),
    ("angie", Some("Angie")),
];

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server");
    if let Some((name, kin, version)) = server.as_deref().and_then(of_the_family) {
        found.kin = kin;
        found.server(name, version);
    }
    let line = clue::between(body, "<hr><center>", "</center>");
    if let Some((name, kin, version)) = line.and_then(of_the_family) {
        // Another name or another version on the page is an inner nginx's, which this one passed on.
        let inner = found.named_by_server
            && (found.kin != kin || version.is_some() && version != found.version);
        if inner {
            found.note(format!("body: the page of another {name}"));
        } else {
            found.kin = kin;
            found.version = found.version.or(version);
            found.own_page = true;
            found.note(format!("body: {name} error page"));
        }
    }
    found.if_any()
}

/// The member of the family that `value` names, with its version.
fn of_the_family(value: &str) -> Option<(&'static str, Option<&'static str>, Option<String>)> {
    KIN.iter().find_map(|(name, kin)| {
        clue::product(value, name).map(|version| (kin.unwrap_or(name), *kin, version))
    })
}

fn recognise_request(head: &RequestHead) -> Option<&'static str> {
    let closes = header(&head.kept, "connection")
        .is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    (closes && head.version == HttpVersion::Http10)
        .then_some("request in HTTP/1.0 with Connection: close, as nginx sends it by default")
}

const ROWS: &[Row] = &[
    row(
        "connect-refused",
        &[502],
        "connect() failed (111: Connection refused) while connecting to upstream",
    ),
    row(
        "local-connect-error",
        &[502],
        "connect() failed (101: Network is unreachable), (99: Cannot assign requested address) or (13: Permission denied) while connecting to upstream",
    ),
    row(
        "icmp-port-unreachable",
        &[502],
        "connect() failed (111: Connection refused) while connecting to upstream",
    ),
    row(
        "icmp-host-unreachable",
        &[502],
        "connect() failed (113: No route to host) while connecting to upstream",
    ),
    row(
        "icmp-ttl-exceeded",
        &[502],
        "connect() failed (113: No route to host) while connecting to upstream",
    ),
    row(
        "icmp-net-unreachable",
        &[502],
        "connect() failed (101: Network is unreachable) while connecting to upstream",
    ),
    row(
        "icmp-admin-prohibited",
        &[502],
        "connect() failed (113: No route to host) while connecting to upstream",
    ),
    row(
        "neighbor-unresolved",
        &[502, 504],
        "connect() failed (113: No route to host), or upstream timed out (110: Connection timed out), \
         while connecting to upstream",
    ),
    row(
        "connect-timeout",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "connect-stale-tuple",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "listen-queue-overflow",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while connecting to upstream, or while reading response header from upstream",
    ),
    row(
        "connect-half-open",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while connecting to upstream, or while reading response header from upstream",
    ),
    row(
        "dns-stale-address",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while connecting to upstream",
    ),
    row(
        "connect-reset-after-accept",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "tls-on-http-port",
        &[502],
        "SSL_do_handshake() failed (... wrong version number ...) while SSL handshaking to \
         upstream",
    ),
    row(
        "tls-version-mismatch",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 70) or (... unsupported protocol) while SSL handshaking to upstream",
    ),
    row(
        "tls-no-shared-cipher",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 40 or 71) while SSL handshaking to upstream",
    ),
    row(
        "tls-sni-missing",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 112 or 40) while SSL handshaking to upstream",
    ),
    row(
        "tls-sni-unrecognized",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 112) while SSL handshaking to upstream",
    ),
    row(
        "tls-client-cert-required",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 40) while SSL handshaking; in TLS 1.3 SSL_read() failed (... SSL alert number 116) while reading response header from upstream",
    ),
    row(
        "tls-client-cert-rejected",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 42 to 49) while SSL handshaking to upstream",
    ),
    row(
        "alpn-mismatch",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 120) while SSL handshaking to upstream",
    ),
    row(
        "tls-decrypt-error",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number 51) while SSL handshaking to upstream",
    ),
    row(
        "tls-cert-expired",
        &[502],
        "upstream SSL certificate verify error: (10:certificate has expired)",
    ),
    row(
        "tls-cert-not-yet-valid",
        &[502],
        "upstream SSL certificate verify error: (9:certificate is not yet valid)",
    ),
    row(
        "tls-cert-name-mismatch",
        &[502],
        "upstream SSL certificate does not match \"NAME\"",
    ),
    row(
        "tls-untrusted-ca",
        &[502],
        "upstream SSL certificate verify error: (18: (19: (20: or (21:",
    ),
    row(
        "tls-cert-revoked",
        &[502],
        "upstream SSL certificate verify error: (23:certificate revoked)",
    ),
    row(
        "tls-closed-after-handshake",
        &[502],
        "upstream SSL certificate verify error: ... or upstream SSL certificate does not match ...",
    ),
    row(
        "tls-alert-from-upstream",
        &[502],
        "SSL_do_handshake() failed (... SSL alert number N) while SSL handshaking to upstream",
    ),
    row(
        "tls-handshake-reset",
        &[502],
        "peer closed connection in SSL handshake (104: Connection reset by peer) while SSL \
         handshaking to upstream",
    ),
    row(
        "tls-handshake-closed",
        &[502],
        "peer closed connection in SSL handshake while SSL handshaking to upstream",
    ),
    row(
        "tls-handshake-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while SSL handshaking to upstream",
    ),
    row(
        "http-on-tls-port",
        &[502, 400, 0],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "malformed-status-line",
        &[0, 502],
        "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    ),
    row(
        "stale-keepalive-reuse",
        &[502],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "reset-before-response",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "injected-reset",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "closed-before-response",
        &[502],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "reset-mid-head",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "closed-mid-head",
        &[502],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "header-too-large",
        &[502],
        "upstream sent too big header while reading response header from upstream",
    ),
    row(
        "head-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "response-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "loss-stall",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "path-mtu-blackhole",
        &[504],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "idle-drop-middlebox",
        &[504, 502],
        "upstream timed out (110: Connection timed out) while reading response header from \
         upstream",
    ),
    row(
        "reset-mid-response",
        &[200],
        "readv() failed (104: Connection reset by peer) while reading upstream",
    ),
    row(
        "truncated-body",
        &[200],
        "upstream prematurely closed connection while reading upstream",
    ),
    row(
        "upstream-returned-5xx",
        &[],
        "nothing in the error log; the access log has it in $upstream_status",
    ),
    row(
        "relayed-nested",
        &[],
        "nothing in the error log; the access log has it in $upstream_status",
    ),
    row(
        "bad-header",
        &[502],
        "upstream sent invalid header, or upstream sent duplicate header line, while reading \
         response header from upstream",
    ),
    row(
        "http09-response",
        &[0, 502],
        "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    ),
    row(
        "wrong-service",
        &[0, 502],
        "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    ),
    row(
        "h1-on-h2-port",
        &[0, 502],
        "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    ),
    row(
        "h2-on-h1-port",
        &[502],
        "upstream sent too large http2 frame: 4740180 while reading response header from upstream",
    ),
    row(
        "proxy-protocol-missing",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    ),
    row(
        "too-many-headers",
        &[502],
        "upstream sent too big header while reading response header from upstream",
    ),
    row(
        "conflicting-framing",
        &[502, 200],
        "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time, or upstream sent duplicate header line",
    ),
    row(
        "invalid-content-length",
        &[502],
        "upstream sent invalid \"Content-Length\" header",
    ),
    row(
        "unknown-transfer-coding",
        &[502],
        "upstream sent unknown \"Transfer-Encoding\"",
    ),
    row(
        "unsolicited-response",
        &[502, 503],
        "upstream prematurely closed connection while reading response header from upstream",
    ),
    row(
        "request-reset-mid-body",
        &[502],
        "recv() failed (104: Connection reset by peer) while reading response header from upstream, or while sending request to upstream",
    ),
    row(
        "early-response-abort",
        &[502],
        "(104: Connection reset by peer) while sending request to upstream",
    ),
    row(
        "request-write-timeout",
        &[504],
        "upstream timed out (110: Connection timed out) while sending request to upstream",
    ),
    row(
        "bad-chunking",
        &[0, 200],
        "upstream sent invalid chunked response while reading upstream",
    ),
    row(
        "truncated-chunked",
        &[200],
        "upstream prematurely closed connection while reading upstream",
    ),
    row(
        "content-length-mismatch",
        &[200],
        "upstream sent more data than specified in \"Content-Length\" header",
    ),
    row(
        "bad-content-coding",
        &[0, 200],
        "inflate() failed: 0, -3 while sending to client",
    ),
    row(
        "stall-mid-response",
        &[200],
        "upstream timed out (110: Connection timed out) while reading upstream",
    ),
    row(
        "dns-nxdomain",
        &[502],
        "could not be resolved (3: Host not found)",
    ),
    row(
        "dns-nodata",
        &[502],
        "could not be resolved (3: Host not found)",
    ),
    row(
        "dns-servfail",
        &[502],
        "could not be resolved (2: Server failure)",
    ),
    row(
        "dns-refused",
        &[502],
        "could not be resolved (5: Operation refused)",
    ),
    row(
        "dns-timeout",
        &[502],
        "could not be resolved (110: Operation timed out)",
    ),
    row(
        "dns-unreachable",
        &[502],
        "recv() failed (111: Connection refused) while resolving, then could not be resolved (110: Operation timed out)",
    ),
    row(
        "no-upstream-attempt",
        &[502, 503],
        "no live upstreams while connecting to upstream",
    ),
    row(
        "gateway-silent-close",
        &[0],
        "nothing in the error log; the access log has 444 (return 444) or 000",
    ),
    row(
        "client-aborted",
        &[],
        "client prematurely closed connection; 499 in the access log",
    ),
    row(
        "client-request-timeout",
        &[408],
        "client timed out (110: Connection timed out) while reading client request headers, or body",
    ),
    row(
        "client-bad-request",
        &[400],
        "client sent ... while reading client request line, or headers",
    ),
    row(
        "zero-window-stall",
        &[],
        "upstream timed out (110: Connection timed out) while reading response header from upstream, or while sending request to upstream",
    ),
    row(
        "attempt-succeeded-but-error",
        &[500, 502, 503, 504],
        "what failed after the answer: pwrite() failed (28: No space left on device), a filter's or a script's own line",
    ),
    row(
        "gateway-raw-passthrough",
        &[0],
        "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    ),
    row(
        "gateway-truncated-relay",
        &[200],
        "pwrite() failed (28: No space left on device) while reading upstream, or client timed out (110: Connection timed out) while sending to client",
    ),
    row(
        "upstream-leg-not-captured",
        &[],
        "the upstream stands at the end of the error's line (upstream: \"http://...\"), and in $upstream_addr",
    ),
    row(
        "capture-gap",
        &[],
        "the error's own line at that moment decides what the packets do not",
    ),
    row(
        "encrypted-inconclusive",
        &[],
        "the error's own line at that moment; $upstream_status and $upstream_response_time",
    ),
    row(
        "ambiguous",
        &[],
        "the error's own line at that moment names the upstream and what failed",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::NameResolution,
        "`resolver ADDRESS valid=30s;` and a variable in `proxy_pass` make it resolve again at \
         run time; else reload after an address changed.",
    ),
    (
        Family::Connect,
        "listener and address of the upstream; `proxy_connect_timeout`.",
    ),
    (
        Family::Tls,
        "`proxy_ssl_server_name on;`, `proxy_ssl_name NAME;`, `proxy_ssl_trusted_certificate`, \
         `proxy_ssl_protocols`. SNI is off by default.",
    ),
    (
        Family::ProtocolMismatch,
        "the scheme in `proxy_pass http://` or `https://`; ingress-nginx: annotation \
         `nginx.ingress.kubernetes.io/backend-protocol`.",
    ),
    (
        Family::WaitingForHead,
        "timeouts: `proxy_read_timeout` counts from one read to the next, not the whole response.",
    ),
    (
        Family::WaitingForHead,
        "reused connections: `keepalive_timeout` in the `upstream` block below the upstream's \
         own; `proxy_next_upstream ... non_idempotent` only where a POST may be repeated.",
    ),
    (
        Family::MalformedHead,
        "`proxy_buffer_size 16k;` with `proxy_buffers` to match: the whole head must fit into \
         that one buffer, by default 4k or 8k. ingress-nginx: annotation `proxy-buffer-size`.",
    ),
    (
        Family::NoUpstreamPackets,
        "`max_fails` and `fail_timeout`: by default one failure takes a server out for 10 s; a \
         `zone` shares that state among workers.",
    ),
    (
        Family::SendingRequest,
        "`proxy_send_timeout` (60 s between two writes); `client_max_body_size` no larger than what the upstream takes.",
    ),
    (
        Family::Body,
        "`proxy_read_timeout` counts between two reads; the line ends in \"while reading upstream\"; `proxy_max_temp_file_size` and the disk under `proxy_temp_path`.",
    ),
    (
        Family::Path,
        "`proxy_socket_keepalive on;` keeps idle upstream connections known to what lies between.",
    ),
    (
        Family::Relayed,
        "`$upstream_status` and `$upstream_addr` in `log_format` name the author; `proxy_intercept_errors` replaces its page.",
    ),
    (
        Family::ClientSide,
        "`client_header_timeout` and `client_body_timeout` (60 s), `large_client_header_buffers`; `proxy_ignore_client_abort`.",
    ),
    (
        Family::Silent,
        "`return 444;` closes on purpose; `reset_timedout_connection`; a worker that dies leaves \"exited on signal\" in the error log.",
    ),
    (
        Family::CouldNotTell,
        "`proxy_set_header X-Request-ID $request_id;`, and `$request_id $upstream_addr $upstream_status $upstream_connect_time $upstream_response_time` in `log_format`.",
    ),
];

const TIMERS: &[Timer] = &[
    timer("proxy_connect_timeout", Wait::Connect, 60_000),
    timer(
        "proxy-connect-timeout of ingress-nginx",
        Wait::Connect,
        5_000,
    ),
    timer("proxy_read_timeout", Wait::Response, 60_000),
    timer("resolver_timeout", Wait::Resolve, 30_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::{request, response};

    // Taken from nginx 1.22.1.
    const HEAD: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\
        Date: Fri, 20 Nov 2026 13:18:28 GMT\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\
        Connection: keep-alive\r\n\r\n";
    const PAGE: &[u8] = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
        <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n\
        </body>\r\n</html>\r\n";
    const BARE_PAGE: &[u8] = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
        <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n\
        </body>\r\n</html>\r\n";

    #[test]
    fn its_page_is_its_own() {
        assert_eq!(PAGE.len(), 157);
        let found = recognise(&response(HEAD), PAGE).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("1.22.1"));
        assert_eq!(
            found.identified_by,
            ["Server: nginx/1.22.1", "body: nginx error page"]
        );
    }

    #[test]
    fn a_page_without_server_header_is_its_own() {
        assert_eq!(BARE_PAGE.len(), 150);
        let found = recognise(&response("HTTP/1.1 502 Bad Gateway\r\n\r\n"), BARE_PAGE).unwrap();
        assert!(found.own_page && !found.named_by_server);
    }

    #[test]
    fn its_name_alone_proves_nothing() {
        let found = recognise(&response(HEAD), b"{\"error\":\"no\"}").unwrap();
        assert!(!found.own_page);
    }

    #[test]
    fn another_version_on_the_page_is_an_inner_one() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.27.0\r\n\r\n");
        assert!(!recognise(&head, PAGE).unwrap().own_page);
        assert!(recognise(&head, BARE_PAGE).unwrap().own_page);
    }

    #[test]
    fn kin_is_named() {
        let head = response("HTTP/1.1 502 Bad Gateway\r\nServer: openresty/1.21.4.1\r\n\r\n");
        let page =
            b"<h1>502 Bad Gateway</h1></center>\r\n<hr><center>openresty/1.21.4.1</center>\r\n";
        let found = recognise(&head, page).unwrap();
        assert_eq!(found.kin, Some("OpenResty"));
        assert!(found.own_page);
        assert!(!recognise(&head, BARE_PAGE).unwrap().own_page);
    }

    #[test]
    fn kin_of_its_page_is_not_nginx() {
        let azure = b"<hr><center>Microsoft-Azure-Application-Gateway/v2</center>";
        assert_eq!(
            recognise(&response("HTTP/1.1 502 Bad Gateway\r\n\r\n"), azure),
            None
        );
    }

    #[test]
    fn its_default_request_is_http_1_0() {
        let sent = request(
            "GET /t HTTP/1.0\r\nHost: 127.0.0.1:18090\r\nConnection: close\r\n\
             User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
        );
        assert!(recognise_request(&sent).is_some());
        assert!(recognise_request(&request("GET /t HTTP/1.1\r\nHost: a\r\n\r\n")).is_none());
    }
}
