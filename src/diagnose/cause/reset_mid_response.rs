//! `reset-mid-response`. In: an attempt whose body was cut by a reset. Out: the verdict.
//!
//! The rule: the head was complete, the body was not, and the upstream sent the RST first.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "reset-mid-response",
    family: Family::Body,
    title: "The upstream reset inside the response body",
    explanation: "The head was complete and part of the body came; then a RST ended the \
     connection. The client usually sees the original status and a broken body.",
    signature: "Complete response head; an incomplete body; RST from the upstream.",
    is_not: &[
        "truncated-body: the same place, by FIN.",
        "reset-mid-head: there the head was unfinished.",
        "A RST after the last byte of a complete response is harmless.",
        "A RST of the gateway because its client left is a consequence.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The worker was killed or aborted while it sent.",
        "The upstream answered early, left the request's body unread and closed.",
        "A firewall, balancer or NAT on the way lost or cut the connection.",
        "The server aborts instead of finishing when its own source fails.",
    ],
    next_steps: &[
        "Read the upstream's log and `dmesg -T` at the time of the RST.",
        "Compare TTL and IP id of the RST with the upstream's other packets: different means a \
         middlebox.",
        "For uploads: see whether the upstream had read the whole body before it answered.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: true,
    other: "truncated-body",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_body(attempt)
}
