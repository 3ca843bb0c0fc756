//! `early-response-abort`. In: an attempt that the upstream answered before it had the whole request, and then
//! reset. Out: the verdict, with the answer.
//!
//! The rule: the answer is on the wire, so the cause is the reset behind it; many gateways still deliver it.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "early-response-abort",
    family: Family::SendingRequest,
    title: "An early answer was lost in a reset",
    explanation: "The upstream answered, mostly with 413 or 401, while the gateway was still \
     sending the body, and closed with the rest unread, which resets the connection. The reset \
     can overtake the answer: the gateway then sees only the failed write and reports an error \
     instead of the real answer.",
    signature: "Request head and part of its body; a response from the upstream; RST from the \
     upstream; the gateway answers with an error of its own.",
    is_not: &[
        "request-reset-mid-body: there no byte of an answer came.",
        "reset-mid-response: there the request was whole.",
        "Where the gateway passes the early answer on, nothing failed: nginx, HAProxy and Envoy \
         mostly do.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The upload is larger than the upstream takes: `client_max_body_size`, \
         `LimitRequestBody`, a limit of the framework.",
        "The upstream refuses before it reads: login, missing token, redirect, unknown path.",
        "The server closes at once after an early answer instead of reading the rest (no \
         lingering close).",
    ],
    next_steps: &[
        "The finding shows the answer that was lost: treat its status as the upstream's real \
         message.",
        "Let the upstream read the rest of the body before it closes: nginx `lingering_close \
         always`, Node: consume the request, Go: read up to a limit.",
        "Refuse at the gateway with the same limit, so that the upload never starts (nginx \
         `client_max_body_size`).",
        "Let clients send Expect: 100-continue for large uploads.",
    ],
    examine: Examine::Attempt(examine),
};

/// Server errors begin here (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange.response.as_ref().filter(|head| {
        attempt.rejected && head.at.time <= attempt.until && head.status < SERVER_ERROR
    })?;
    // A FIN may come first: then the RST answers what the gateway went on sending.
    attempt.closed_by_upstream()?;
    let reset = attempt.by_now(attempt.connection.facts.from_server.reset)?;
    if !attempt.was_sending_at(head.at) || reset.mark < head.at {
        return None;
    }
    let server = attempt.connection.facts.server;
    let sent = attempt.sent_of_body(Some(reset.peer_sent));
    let words = if reset.with_ack {
        "RST+ACK"
    } else {
        "a bare RST"
    };
    Some(
        attempt
            .asked(Verdict::seen(reset.mark))
            .detail(head.status.to_string())
            .proof(
                head.at,
                format!(
                    "{server} answers {} before it had the whole request",
                    head.status
                ),
            )
            .proof(reset.mark, format!("{server} sends {words} after {sent}"))
            .not(
                "request-reset-mid-body",
                "an answer had come before the reset",
            )
            .not("reset-mid-response", "the request was not whole yet"),
    )
}
