//! `ambiguous`. In: an error with several explanations of equal weight. Out: the manual; the
//! verdict decides.
//!
//! The rule: two readings are shown, none is chosen.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "ambiguous",
    family: Family::CouldNotTell,
    title: "The capture supports more than one cause",
    explanation: "Several attempts, or several causes, fit this error equally well, and nothing \
     in the packets decides between them. The finding lists them with what speaks for each.",
    signature: "Two or more candidates whose scores lie too close together.",
    is_not: &[
        "capture-gap: there it is loss that keeps the answer back.",
        "encrypted-inconclusive: there it is encryption.",
        "A burst of equal failures is not ambiguous: which attempt belongs to which request does \
         not matter there.",
    ],
    contributing: &[
        "Nothing: the candidates stand side by side under what was ruled out, and none counts \
         as contributing.",
    ],
    root_causes: &[
        "Many parallel requests and no identity that is carried upstream.",
        "The gateway tried several upstreams, and each failed in another way.",
        "Address translation hides which host made the attempt.",
        "Two timers or two closes fall in the same instant.",
    ],
    next_steps: &[
        "Let the gateway add a request id upstream (X-Request-ID or traceparent).",
        "Name gateway and upstream on the command line, so that other hosts are left out.",
        "Capture at the gateway on both sides, in one file with one clock.",
        "Compare the candidates with the gateway's log for the same moment.",
    ],
    examine: Examine::Whole,
};
