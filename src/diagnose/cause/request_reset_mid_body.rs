//! `request-reset-mid-body`. In: an attempt whose connection the upstream ended while the
//! request was still on its way. Out: the verdict.
//!
//! The rule: the end comes before the last byte of the request, and no byte of an answer came.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "request-reset-mid-body",
    family: Family::SendingRequest,
    title: "The upstream hung up while the body was sent",
    explanation: "The gateway was still sending the body of the request when the upstream ended \
     the connection, without a byte of an answer. The upstream did not want the rest: a limit, a \
     refusal, or a crash while it read.",
    signature: "Request head and part of its body; RST (or FIN, then RST) from the upstream; no \
     response byte; the gateway had more to send.",
    is_not: &[
        "reset-before-response: there the whole request had been sent.",
        "early-response-abort: there an answer came before the reset.",
        "stale-keepalive-reuse: there the close belongs to the idle time before the request.",
        "request-write-timeout: there the gateway closes first, because nobody reads.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "A limit on the size of uploads that closes instead of answering 413.",
        "The application refuses without reading (login, unknown path) and the server closes with \
         unread data.",
        "The worker crashed, ran out of memory or was killed while it read the upload.",
        "A firewall or balancer on the way limits the size or the time of uploads.",
    ],
    next_steps: &[
        "Read the upstream's log at the time of the RST: limits on the size of bodies are mostly \
         logged.",
        "Compare the bytes sent until the reset over several failures: a constant number is a \
         limit.",
        "`curl -v --http1.1 -X POST --data-binary @FILE http://UPSTREAM:PORT/PATH -H 'Expect:'` \
         with files of growing size.",
        "Let the upstream read the body to its end before it closes (lingering close), so that \
         its answer arrives.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let close = attempt.closed_by_upstream()?;
    // After a FIN alone the upstream may still have read on: only the RST says that it does not.
    attempt.by_now(attempt.connection.facts.from_server.reset)?;
    let at = close.closing.mark;
    if attempt.response_start().is_some() || at < exchange.request_at || !attempt.was_sending_at(at)
    {
        return None;
    }
    let server = attempt.connection.facts.server;
    let word = if close.reset { "rst" } else { "fin" };
    let sent = attempt.sent_of_body(Some(close.closing.peer_sent));
    let verdict = attempt
        .asked(Verdict::seen(at))
        .detail(word)
        .proof(
            at,
            format!("{server} sends {} after {sent}", attempt.close_words()),
        )
        .not("reset-before-response", "the request was not whole yet")
        .not("early-response-abort", "no byte of an answer came")
        .not("stale-keepalive-reuse", attempt.why_not_stale());
    Some(attempt.in_sequence(verdict, close))
}
