//! `truncated-body`. In: an attempt whose body ended before its declared length, by FIN. Out: the
//! verdict.
//!
//! The rule: a body without a declared length cannot be shown to be cut; a hole in the capture is
//! no cut.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "truncated-body",
    family: Family::Body,
    title: "The upstream closed inside the response body",
    explanation: "The head was complete and promised more than came: the upstream closed before \
     the Content-Length was reached. The client usually sees the \
     original status and a broken body; a gateway that buffers first may write an error instead.",
    signature: "Complete response head; fewer body bytes than Content-Length; FIN from the \
     upstream.",
    is_not: &[
        "reset-mid-response: the same place, by RST.",
        "truncated-chunked: the same without the last chunk, where no length was given.",
        "closed-mid-head: there the head was unfinished.",
        "A response to HEAD and a 304 have a Content-Length and no body: nothing is cut.",
        "A close first by the gateway or by the client is not the upstream's cut.",
    ],
    contributing: &["Nothing: the upstream's FIN explains itself."],
    root_causes: &[
        "The application failed while it produced the body (exception, database gone, worker \
         killed).",
        "A wrong Content-Length: counted in characters, taken before compression, file changed \
         while sent.",
        "A deploy or restart without draining.",
        "A write timeout of the upstream against a slow reader.",
    ],
    next_steps: &[
        "Compare the declared and the received length: a constant difference means a wrong \
         Content-Length.",
        "`curl -v --http1.1 -o /dev/null http://UPSTREAM:PORT/PATH` from the gateway; error 18 \
         confirms it.",
        "Read the upstream's log at the time of the FIN; look for an exception after the first \
         bytes.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: false,
    other: "reset-mid-response",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_body(attempt)
}
