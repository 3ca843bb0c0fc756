//! `reset-mid-response`. In: an attempt whose body was cut by a reset. Out: the verdict.
//!
//! The rule: the head was complete, the body was not, and the upstream sent the RST first.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Completion;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "reset-mid-response",
    family: Family::Body,
    title: "The upstream reset inside the response body",
    explanation: "The head was complete and part of the body came; then a RST ended the \
     connection. The client usually sees the original status and a broken body.",
    signature: "Complete response head; an incomplete body; RST from the upstream.",
    is_not: &[
        "truncated-body: the same place, by FIN.",
        "reset-mid-head: there the head was unfinished.",
        "A RST after the last byte of a complete response is harmless.",
        "A RST of the gateway because its client left is a consequence.",
    ],
    root_causes: &[
        "The worker was killed or aborted while it sent.",
        "The upstream answered early, left the request's body unread and closed.",
        "A firewall, balancer or NAT on the way lost or cut the connection.",
        "The server aborts instead of finishing when its own source fails.",
    ],
    next_steps: &[
        "Read the upstream's log and `dmesg -T` at the time of the RST.",
        "Compare TTL and IP id of the RST with the upstream's other packets: different means a \
         middlebox.",
        "For uploads: see whether the upstream had read the whole body before it answered.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange.response.as_ref()?;
    let end = exchange
        .response_end
        .filter(|end| matches!(end.how, Completion::BodyClosed | Completion::BodyReset))?;
    let close = attempt.closed_by_upstream().filter(|close| close.reset)?;
    let server = attempt.connection.facts.server;
    let promised = match head.content_length {
        Some(length) => format!("{} of {length} bytes of the body", end.body_len),
        None => format!("{} bytes of a body that had not ended", end.body_len),
    };
    Some(
        attempt
            .asked(Verdict::seen(close.closing.mark))
            .proof(head.at, format!("{server} answers {}", head.status))
            .proof(
                close.closing.mark,
                format!("{server} ends the connection with RST after {promised}"),
            )
            .not("truncated-body", "the first sign of the end is a RST"),
    )
}
