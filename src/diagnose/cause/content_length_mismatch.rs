//! `content-length-mismatch`. In: an attempt whose response is followed by bytes that its length does not cover. Out:
//! the verdict.
//!
//! The rule: most gateways drop the surplus and the client sees nothing; so this is rarely certain.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "content-length-mismatch",
    family: Family::Body,
    title: "More bytes came than the Content-Length says",
    explanation: "The response was longer than its Content-Length: more bytes followed at once. \
     Gateways usually cut at the declared length and do not use the connection again, so the \
     client gets a body that is cut without an error; a strict gateway may refuse the response.",
    signature: "Complete response head with a Content-Length; that many bytes of body; more bytes \
     at once, while no request was open.",
    is_not: &[
        "truncated-body: there fewer bytes came than the length says.",
        "unsolicited-response: there the bytes came later, on the idle connection.",
        "conflicting-framing: there two headers contradict each other.",
        "A second response to a pipelined request is no surplus.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The length is counted in characters and the text has others than ASCII.",
        "The length is taken before a filter that makes the body longer.",
        "A body after a response to HEAD or after 204 or 304, which have none.",
        "A warning or a stack trace printed after the response.",
    ],
    next_steps: &[
        "Compare: `curl -s http://UPSTREAM:PORT/PATH --raw --ignore-content-length | wc -c` with \
         the header.",
        "Let the framework count, after the last filter.",
        "Look at the surplus in the finding: it names what was printed.",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of the surplus that the finding shows.
const SHOWN_MAX: usize = 32;
/// The surplus follows the body within this, nanoseconds.
const AT_ONCE_NANOS: i64 = 20_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange.filter(|_| attempt.rejected)?;
    let head = exchange.response.as_ref()?;
    let length = head.content_length?;
    let end = exchange
        .response_end
        .filter(|end| end.how.is_complete() && head.status < 500)?;
    let (at, surplus) = attempt.connection.unsolicited.as_ref()?;
    let follows = (0..AT_ONCE_NANOS).contains(&at.time.nanos_since(end.at.time));
    let response = surplus.starts_with(b"HTTP/1.");
    if !follows || response || at.time > attempt.until {
        return None;
    }
    let server = attempt.connection.facts.server;
    let first = shown(surplus.get(..SHOWN_MAX).unwrap_or(surplus));
    Some(
        attempt
            .asked(Verdict::seen(*at))
            .detail("longer")
            .proof(
                head.at,
                format!(
                    "{server} answers {} with a body of {length} bytes",
                    head.status
                ),
            )
            .proof(*at, format!("more bytes follow the body: `{first}`"))
            .not("truncated-body", "the declared number of bytes had come")
            .at_most(
                Confidence::Possible,
                "gateways are known to drop such a surplus without an error",
            ),
    )
}
