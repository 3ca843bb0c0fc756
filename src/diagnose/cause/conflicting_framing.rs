//! `conflicting-framing`. In: an attempt whose response says its length in two ways. Out: the verdict, with the
//! place.
//!
//! The rule: RFC 9112, section 6.3; products differ, so the one that judged the head counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::refused;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "conflicting-framing",
    family: Family::MalformedHead,
    title: "Two headers contradict each other on the length",
    explanation: "The head says in two ways how long the body is: Content-Length together with \
     Transfer-Encoding, or two different Content-Length values. Where two readers could take \
     different ends, a smuggled second response becomes possible; so strict gateways refuse the \
     whole response.",
    signature: "Request; a complete response head with Content-Length and Transfer-Encoding, or \
     with two different values of Content-Length; the gateway closes and answers with an error.",
    is_not: &[
        "invalid-content-length: there one value stands, and it is no number.",
        "unknown-transfer-coding: there the coding itself is not known.",
        "The same Content-Length twice is one length (RFC 9110, section 8.6).",
        "truncated-body: a tolerant gateway takes one of the lengths, and waits for it.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "Two layers each add a length: the framework and the application, or a filter that \
         compresses and one that counts.",
        "A proxy or sidecar behind the gateway adds Transfer-Encoding and leaves the \
         Content-Length standing.",
        "An application relays the headers of another response together with a body of its own.",
    ],
    next_steps: &[
        "`curl -sv --raw -o /dev/null http://UPSTREAM:PORT/PATH -H 'Host: NAME' 2>&1 | grep '^<'` \
         shows the head as the gateway sees it.",
        "Let one layer set the length: drop Content-Length where the body is streamed, and never \
         copy it from another response.",
        "Do not loosen the gateway: a response that two readers end in different places is how \
         responses are smuggled.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    refused(attempt, &[Rule::LengthAndCoding, Rule::TwoLengths])
}
