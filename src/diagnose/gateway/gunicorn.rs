//! gunicorn, behind a gateway. In: heads and pages. Out: whether gunicorn wrote an answer, and what its log says.
//!
//! The rule: it is an application server, so its name never makes a gateway of who sends it; gateways pass it on. Written
//! from its source: it was not run.

use crate::diagnose::gateway::clue;
use crate::diagnose::gateway::product::{Family, OriginServer, Recognised, header};
use crate::protocol::observation::ResponseHead;

/// What is known of gunicorn.
pub const SERVER: OriginServer = OriginServer {
    name: "gunicorn",
    recognise,
    logs: LOGS,
    advice: ADVICE,
};

fn recognise(head: &ResponseHead, body: &[u8]) -> Option<Recognised> {
    let mut found = Recognised::default();
    let server = header(&head.kept, "server").unwrap_or_default();
    if let Some(version) = clue::product(&server, "gunicorn") {
        found.server("gunicorn", version);
    }
    // What an application behind it writes carries its name too; only this page is its own.
    let heading = clue::between(body, "<h1><p>", "</p></h1>").unwrap_or_default();
    let title = clue::between(body, "<title>", "</title>").unwrap_or_default();
    if !title.is_empty() && title == heading {
        found.page("gunicorn's error page");
    }
    found.if_any()
}

const LOGS: &[(&str, &str)] = &[
    (
        "closed-before-response",
        "[CRITICAL] WORKER TIMEOUT (pid:N), then Worker exiting; or Worker (pid:N) was sent SIGKILL! Perhaps out of memory?",
    ),
    (
        "reset-before-response",
        "[CRITICAL] WORKER TIMEOUT (pid:N), or Worker (pid:N) was sent SIGKILL! Perhaps out of memory?",
    ),
    (
        "upstream-returned-5xx",
        "[ERROR] Error handling request, with the traceback",
    ),
    (
        "response-timeout",
        "nothing before `timeout` (30 s), then [CRITICAL] WORKER TIMEOUT (pid:N)",
    ),
    (
        "stale-keepalive-reuse",
        "nothing: an idle connection was closed as configured (keepalive)",
    ),
];

const ADVICE: &[(Family, &str)] = &[
    (
        Family::Connect,
        "`workers`, `threads` and `backlog` (2048): sync workers serve one connection each.",
    ),
    (
        Family::WaitingForHead,
        "`timeout` (30 s) kills a worker that is busy; `keepalive` (2 s) must exceed the gateway's pool; sync workers close after each answer.",
    ),
    (
        Family::Relayed,
        "the traceback in its error log (`--error-logfile -`, `--capture-output`).",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::response;

    #[test]
    fn its_page_is_its_own_and_its_name_is_not() {
        let head =
            response("HTTP/1.1 500 Internal Server Error\r\nServer: gunicorn/20.1.0\r\n\r\n");
        let page = b"<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    \
            <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n";
        let found = recognise(&head, page).unwrap();
        assert!(found.own_page && found.named_by_server);
        assert_eq!(found.version.as_deref(), Some("20.1.0"));
        assert!(!recognise(&head, b"{\"error\":1}").unwrap().own_page);
        let other = response("HTTP/1.1 500 Internal Server Error\r\nServer: uvicorn\r\n\r\n");
        assert_eq!(recognise(&other, b"<html></html>"), None);
    }
}
