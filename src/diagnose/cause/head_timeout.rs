//! `head-timeout`. In: an attempt whose response head began and then stood still. Out: the verdict.
//!
//! The rule: the gateway closes first, after a silence; a hole in the capture is no silence.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "head-timeout",
    family: Family::WaitingForHead,
    title: "The upstream never finished its response head",
    explanation: "The upstream sent part of a head and then nothing. The gateway's timer ran out, \
     and it closed the connection. The upstream is stuck inside the writing of its response.",
    signature: "Request; first bytes of a head from the upstream; silence; FIN or RST from the \
     gateway first.",
    is_not: &[
        "response-timeout: there not one byte came.",
        "closed-mid-head: there the upstream closes first.",
        "Interim responses (1xx) are no part of the final head.",
    ],
    root_causes: &[
        "The application flushes its headers one by one and blocks between them.",
        "A server that waits for the rest of the request, or for a lock, after the first write.",
        "Packets of the upstream are lost on the way: look for retransmissions.",
        "A server that never writes the blank line.",
    ],
    next_steps: &[
        "Fetch the raw bytes with `nc` and see where they stop.",
        "Take a thread dump or stack trace of the upstream's worker while it hangs.",
        "Look for retransmissions of the upstream in the same connection: then it is the path.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
