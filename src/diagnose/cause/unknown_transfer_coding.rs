//! `unknown-transfer-coding`. In: an attempt whose response is coded in a way that gateways do not read. Out: the
//! verdict.
//!
//! The rule: RFC 9112, section 6.1; products differ, so the one that judged the head counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::refused;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "unknown-transfer-coding",
    family: Family::MalformedHead,
    title: "The Transfer-Encoding is not one that is known",
    explanation: "The response names a Transfer-Encoding other than `chunked`. Gateways read no \
     other, and RFC 9112 lets them refuse what they cannot frame.",
    signature: "Request; a complete response head whose Transfer-Encoding is not `chunked` alone; \
     the gateway closes and answers with an error.",
    is_not: &[
        "conflicting-framing: there the coding is known and a Content-Length stands beside it.",
        "bad-chunking: there the coding is `chunked`, and its bytes are broken.",
        "Content-Encoding, which tells how the content is compressed, is another header and does \
         no harm.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "Transfer-Encoding where Content-Encoding is meant: `Transfer-Encoding: gzip`.",
        "`Transfer-Encoding: identity`, which RFC 7230 took out of the protocol, from an old \
         server.",
        "`chunked` twice, from two layers that each add it.",
        "A misspelt or quoted `chunked`.",
    ],
    next_steps: &[
        "`curl -sv --raw -o /dev/null http://UPSTREAM:PORT/PATH -H 'Host: NAME' 2>&1 | grep '^<'` \
         shows the head as the gateway sees it.",
        "Let the server choose the coding itself; remove the line from the application.",
        "Two layers that both add `chunked`: see which one stands behind the other, and switch it \
         off there.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    refused(attempt, &[Rule::UnknownCoding])
}
