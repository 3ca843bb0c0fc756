//! `invalid-content-length`. In: an attempt whose response names a length that is none. Out: the verdict.
//!
//! The rule: RFC 9110, section 8.6; products differ, so the one that judged the head counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::refused;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "invalid-content-length",
    family: Family::MalformedHead,
    title: "The Content-Length is no number",
    explanation: "The Content-Length of the response is not a row of digits: empty, negative, \
     with a sign or a unit, or text. Nobody can say where the body ends, so most gateways refuse \
     the response.",
    signature: "Request; a complete response head with a Content-Length that is no number; the \
     gateway closes and answers with an error.",
    is_not: &[
        "conflicting-framing: there each value is a number, and they differ.",
        "bad-header: there the line itself is broken.",
        "truncated-body: there the length is a number, and fewer bytes came.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "A variable without a value: `Content-Length: undefined`, `null`, `None` or nothing.",
        "A length of -1, which some libraries use for unknown.",
        "A number with a thousands separator or a decimal point, written for a locale.",
    ],
    next_steps: &[
        "`curl -sI http://UPSTREAM:PORT/PATH -H 'Host: NAME' | grep -i content-length` shows the \
         value.",
        "Let the framework count, or send the body chunked where its length is not known.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    refused(attempt, &[Rule::InvalidLength])
}
