//! `relayed-nested`. In: an error that a gateway passed on from another gateway in the capture. Out: the manual;
//! `nested.rs` decides.
//!
//! The rule: the cause is the innermost gateway's whose own cause is known; it stands in the detail.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "relayed-nested",
    family: Family::Relayed,
    title: "The error is an inner gateway's",
    explanation: "The upstream that answered with the error is a gateway too, and the capture \
     shows its own upstream leg. This gateway passed on what the inner one said. The detail is the \
     cause at the innermost gateway that the capture shows; its finding has the proof.",
    signature: "A complete 5xx from the upstream; inside that exchange, the upstream's own failed \
     attempt at a third host.",
    is_not: &[
        "upstream-returned-5xx: there the capture does not show what lies behind the upstream.",
        "closed-before-response and its kin: there the upstream gave no response.",
    ],
    contributing: &[
        "response-timeout, connect-refused and any other: the cause on the innermost leg that \
         is visible has a finding of its own.",
    ],
    root_causes: &[
        "Whatever the inner finding names: follow `caused_by`.",
        "Two gateways with the same timer: the inner one fires first, by milliseconds.",
        "A retry of the outer gateway that meets the same broken host through the inner one.",
    ],
    next_steps: &[
        "Read the finding that `caused_by` names: it has the cause, its frames and its next steps.",
        "Search the inner gateway's log at that time, by the request id.",
        "Let the outer gateway's timer be longer than the inner's, and retries happen in one place.",
    ],
    examine: Examine::Whole,
};
