//! `attempt-succeeded-but-error`. In: an error although the upstream answered well. Out: the
//! manual; the verdict decides.
//!
//! The rule: before the gateway is blamed, the pairing of request and attempt is doubted.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "attempt-succeeded-but-error",
    family: Family::CouldNotTell,
    title: "The upstream answered well; the gateway did not",
    explanation: "The upstream's response was complete and no error, yet the client got one. The \
     gateway failed after the answer, refused it by a rule of its own, or the attempt belongs to \
     another request.",
    signature: "Request and a complete response below 500 on the upstream leg, in time; an error \
     status on the client leg.",
    is_not: &[
        "upstream-returned-5xx: there the upstream wrote the error.",
        "bad-header and header-too-large: a response that is complete, but that the gateway \
         cannot take.",
        "response-timeout: there the answer came after the gateway gave up.",
    ],
    contributing: &[
        "Nothing: the upstream's answer is whole, and what failed is inside of the gateway.",
    ],
    root_causes: &[
        "The gateway's own failure: temporary files, disk full, memory, cache.",
        "A filter, plugin, WAF or script in the gateway rejected or broke the response.",
        "A limit on the size of the response, or a body that does not decompress.",
        "A second call failed (authentication subrequest) while the main one was good.",
        "The attempt was paired wrongly: no identity is carried between the legs.",
    ],
    next_steps: &[
        "Read the gateway's error log at that time.",
        "`df -h` and `df -i` for the gateway's temporary and cache directories.",
        "Switch plugins or filters off for this route, one by one.",
        "Let the gateway add a request id upstream (X-Request-ID), so that pairing is certain.",
    ],
    examine: Examine::Whole,
};
