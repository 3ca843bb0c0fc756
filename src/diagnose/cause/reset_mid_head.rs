//! `reset-mid-head`. In: an attempt whose response head was cut by a reset. Out: the verdict.
//!
//! The rule: at least one byte of a head came, its blank line did not, and the upstream sent the
//! RST.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "reset-mid-head",
    family: Family::WaitingForHead,
    title: "The upstream reset inside the response head",
    explanation: "The upstream began a response, and a RST ended the connection before the blank \
     line that ends the head. A reset also throws away bytes that were still on their way.",
    signature: "Request; first bytes of a status line or headers from the upstream; RST from the \
     upstream before the blank line.",
    is_not: &[
        "reset-before-response: there not one byte came.",
        "reset-mid-response: there the head was complete.",
        "closed-mid-head: the same place, by FIN.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The worker was killed or aborted the connection while it wrote the response.",
        "The server answered early, left the rest of the request unread and closed: the kernel \
         then resets.",
        "A firewall or balancer on the way injected the reset, for example on the content of a \
         header.",
    ],
    next_steps: &[
        "Read the upstream's log and `dmesg -T` at the time of the RST.",
        "If the request has a body, check whether the upstream read all of it before it answered.",
        "Compare TTL and IP id of the RST with the upstream's other packets: different means a \
         middlebox.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: true,
    other: "closed-mid-head",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_head(attempt, "reset-before-response")
}
