//! `closed-mid-head`. In: an attempt whose response head ended unfinished by FIN. Out: the verdict.
//!
//! The rule: at least one byte of a head came, its blank line did not; a hole in the capture is no
//! proof.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "closed-mid-head",
    family: Family::WaitingForHead,
    title: "The upstream closed inside the response head",
    explanation: "The upstream began a response, and closed with a FIN before the blank line that \
     ends the head. The gateway had no complete head to pass on, so it wrote an error.",
    signature: "Request; first bytes of a status line or headers from the upstream; FIN from the \
     upstream before the blank line.",
    is_not: &[
        "closed-before-response: there not one byte came.",
        "truncated-body: there the head was complete and the body was cut.",
        "reset-mid-head: the same place, by RST.",
        "A capture with a short snap length cuts heads too; such bytes are not counted as missing.",
    ],
    contributing: &["Nothing: the upstream's FIN explains itself."],
    root_causes: &[
        "The worker crashed or was killed while it wrote the response.",
        "A hand-written server or CGI script that ends without the blank line.",
        "An error in middleware after the first header was flushed.",
        "A limit of the application server on the size of its own headers.",
    ],
    next_steps: &[
        "Fetch the raw bytes: `printf 'GET /PATH HTTP/1.1\\r\\nHost: NAME\\r\\nConnection: \
         close\\r\\n\\r\\n' | nc UPSTREAM PORT | xxd | head`.",
        "Read the upstream's log at the time of the FIN for a crash or an exception while writing \
         headers.",
        "Check memory and worker limits at that time: `dmesg -T | grep -i oom`.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: false,
    other: "reset-mid-head",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_head(attempt, "closed-before-response")
}
