//! `truncated-chunked`. In: an attempt whose chunked body has no end. Out: the verdict.
//!
//! The rule: only the chunk of size 0 ends such a body; a close does not.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "truncated-chunked",
    family: Family::Body,
    title: "The upstream closed before the last chunk",
    explanation: "The head announced a chunked body, well-formed chunks came, and the upstream \
     closed before the last one, the chunk of size 0. The client usually sees the original status \
     and a broken body; a gateway that buffers first may write an error instead.",
    signature: "Complete response head with Transfer-Encoding chunked; no chunk of size 0; FIN \
     from the upstream.",
    is_not: &[
        "bad-chunking: there a byte of the body breaks the coding.",
        "truncated-body: the same with a Content-Length.",
        "reset-mid-response: the same place, by RST.",
        "A close first by the gateway or by the client is not the upstream's cut.",
    ],
    contributing: &["Nothing: the upstream's FIN explains itself."],
    root_causes: &[
        "The application failed while it produced the body: an exception, a lost database, a \
         killed worker.",
        "A framework that ends a streamed response by closing, because its own time limit was \
         over.",
        "A hand-written chunked body without the last chunk.",
        "A deploy or restart without draining.",
    ],
    next_steps: &[
        "`curl -v --http1.1 -o /dev/null http://UPSTREAM:PORT/PATH` from the gateway; error 18 \
         confirms it.",
        "Read the upstream's log at the time of the FIN; look for an exception after the first \
         bytes.",
        "A cut after a constant time is a limit of the server: compare it with the worker's \
         timeout.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: false,
    other: "reset-mid-response",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let head = attempt.exchange?.response.as_ref()?;
    if !head.chunked {
        return None;
    }
    PAIR.in_body(attempt).map(|verdict| {
        verdict
            .not("bad-chunking", "the chunks that came are well-formed")
            .not("truncated-body", "the body is chunked, without a length")
    })
}
