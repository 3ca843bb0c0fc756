//! Apache Tomcat, behind a gateway. In: heads and pages. Out: whether Tomcat wrote an answer, and what its log says.
//!
//! The rule: it is an application server, so its page never makes a gateway of who sends it; gateways pass it on. Written
//! from its source: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{Family, OriginServer, Recognised, header};
use crate::protocol::observation::ResponseHead;

/// What is known of Tomcat.
pub const SERVER: OriginServer = OriginServer {
    name: "Tomcat",
    recognise,
    logs: LOGS,
    advice: ADVICE,
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server").unwrap_or_default();
    if let Some(version) = clue::product(&server, "Apache-Coyote") {
        found.server("Apache-Coyote", version);
    }
    // Its name and version stand beyond the part of a page that is kept. The dash in its title is a character of its own (U+2013); releases before 8.5 write a hyphen.
    let title = clue::between(body, "<title>", "</title>").unwrap_or_default();
    let about = format!("HTTP Status {} ", head.status);
    if title.starts_with(&about) {
        found.page("Tomcat's error page");
    }
    found.if_any()
}

const LOGS: &[(&str, &str)] = &[
    (
        "upstream-returned-5xx",
        "localhost.DATE.log: Servlet.service() for servlet ... threw exception; access log: the status",
    ),
    (
        "stale-keepalive-reuse",
        "nothing: an idle connection was closed as configured (keepAliveTimeout)",
    ),
    (
        "listen-queue-overflow",
        "nothing, or All threads (200) are currently busy, waiting (older releases)",
    ),
    (
        "bad-header",
        "Error parsing HTTP request header, of requests only; its own answers are not checked",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`acceptCount` (100), `maxThreads` (200) and `maxConnections` of the Connector; `address` and `port` in server.xml.",
    ),
    (
        Family::WaitingForHead,
        "`keepAliveTimeout` (that of `connectionTimeout`: 20 s in the shipped server.xml, else 60 s) above the gateway's pool; `maxKeepAliveRequests` (100).",
    ),
    (
        Family::SendingRequest,
        "`maxSwallowSize` (2 MB): above it Tomcat resets an upload that it has refused.",
    ),
    (
        Family::Relayed,
        "the stack trace in localhost.DATE.log; a context that failed to start answers 404 or 503.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::response;

    #[test]
    fn its_page_is_read_behind_another_name() {
        let head = response("HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\n\r\n");
        let page = "<!doctype html><html lang=\"en\"><head><title>HTTP Status 503 \u{2013} Service \
            Unavailable</title></head><body><h1>HTTP Status 503 \u{2013} Service Unavailable</h1><hr \
            class=\"line\" /><h3>Apache Tomcat/9.0.65</h3></body></html>";
        let found = recognise(&head, page.as_bytes()).unwrap();
        assert!(found.own_page && !found.named_by_server);
        assert_eq!(
            recognise(&head, b"<title>HTTP Status 404 - x</title>"),
            None
        );
    }
}
