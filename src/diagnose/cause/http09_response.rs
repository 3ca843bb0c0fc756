//! `http09-response`. In: an attempt whose response begins with its content. Out: the verdict, with the
//! kind of content.
//!
//! The rule: only content that can be told is called so; other bytes are `malformed-status-line`.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::banner::content;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::no_status_line;
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "http09-response",
    family: Family::MalformedHead,
    title: "The answer is content without any head",
    explanation: "The upstream sent the page itself, with no status line and no headers before \
     it, as HTTP/0.9 did. Some gateways take that for the body of a 200, one passes the bytes on \
     as they are, and the others answer with an error.",
    signature: "Request; first response bytes that are markup, JSON or the start of a file.",
    is_not: &[
        "malformed-status-line: there the bytes are neither a status line nor content.",
        "wrong-service: there they are the greeting of another service.",
        "truncated-body: there a head had come.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "A CGI script or hand-written server prints the page without the head.",
        "The head was lost: a server that wrote to a stale buffer, or a filter that strips it.",
        "Left-over bytes of the previous response on a reused connection.",
        "A raw TCP service that serves a file, or a health endpoint made with `nc`.",
    ],
    next_steps: &[
        "`printf 'GET / HTTP/1.1\\r\\nHost: NAME\\r\\n\\r\\n' | nc UPSTREAM PORT | head -c 200` \
         shows what comes first.",
        "Let the application write `HTTP/1.1 200 OK`, its headers and an empty line before the \
         content.",
        "A gateway that let it pass yesterday took it for HTTP/0.9; do not rely on it.",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of the content that the finding shows.
const SHOWN_MAX: usize = 24;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let (fault, at, prefix) = exchange.fault.as_deref()?;
    if fault.rule != Rule::StatusLine || at.time > attempt.until || exchange.response.is_some() {
        return None;
    }
    let kind = content(prefix)?;
    let server = attempt.connection.facts.server;
    let first = shown(prefix.get(..SHOWN_MAX).unwrap_or(prefix));
    Some(
        attempt
            .asked(Verdict::seen(*at))
            .detail(kind)
            .proof(
                *at,
                format!("{server} answers with {kind} and no head before it: `{first}`"),
            )
            .proof(*at, no_status_line())
            .not("closed-before-response", "bytes of an answer came")
            .not(
                "malformed-status-line",
                "the bytes are content, not a broken line",
            ),
    )
}
