//! `response-timeout`. In: an attempt whose request nobody answered before the gateway gave up.
//! Out: the verdict.
//!
//! The rule: the gateway closes first, and the request had reached the upstream.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "response-timeout",
    family: Family::WaitingForHead,
    title: "The upstream did not answer in time",
    explanation: "The request was delivered and acknowledged, no byte of a response came, and the \
     gateway's timer ran out: it closed the upstream connection and wrote the error. An \
     acknowledgement is the kernel's; it does not show that the application read the request.",
    signature: "Request from the gateway, acknowledged; silence; FIN or RST from the gateway \
     first, at the moment of the error to the client.",
    is_not: &[
        "closed-before-response: there the upstream closes first.",
        "head-timeout: there part of a head had come.",
        "connect-timeout: there no connection came about.",
        "A client that left first makes the gateway close too; then no error is written.",
    ],
    root_causes: &[
        "A slow query or a slow dependency of the upstream.",
        "All workers busy: the request waits in the upstream's queue.",
        "A deadlock or an exhausted connection pool in the application.",
        "CPU throttling, garbage collection or swapping on the upstream.",
        "The gateway's timer is shorter than a legitimate long operation.",
    ],
    next_steps: &[
        "Compare the wait with the gateway's timer: equal to its default means that it was never \
         set for this route.",
        "On the upstream, during the fault: `ss -tn` (a standing Recv-Q means that nobody reads), \
         thread dump, slow query log.",
        "If a late answer is in the capture, its delay is the true service time: set the timer \
         above it.",
        "Separate queueing from work: compare the gateway's wait with the application's own \
         request time.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
