//! `upstream-returned-5xx`. In: an attempt that got a whole 5xx response. Out: the verdict that the
//! upstream wrote the error.
//!
//! The rule: the upstream's own response must be complete; what the gateway made of it comes
//! second.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "upstream-returned-5xx",
    family: Family::Relayed,
    title: "The upstream itself answered with the error",
    explanation: "The upstream sent a complete, valid response with an error status, and the \
     gateway passed it on. The gateway did its work; the cause is in the upstream, or behind it \
     when it is a gateway too.",
    signature: "Request; complete response head with a status of 500 or above from the upstream; \
     the same status to the client.",
    is_not: &[
        "closed-before-response and its kin: there the upstream gave no response.",
        "attempt-succeeded-but-error: there the upstream's response was good.",
        "no-upstream-attempt: there the upstream was never asked.",
    ],
    contributing: &[
        "Nothing: the error is the upstream's own; why, its log or a capture behind it tells.",
    ],
    root_causes: &[
        "The application failed and says so (exception, maintenance, rate limit, its own \
         dependency).",
        "The upstream is a gateway, and its own upstream failed.",
        "A health check or an overload guard in the application answers 503.",
        "A sidecar wrote the error in the application's name.",
    ],
    next_steps: &[
        "Read the upstream's own log for this request at that time; search by the request id.",
        "If the upstream is a gateway: capture its upstream leg and run the analysis there.",
        "Repeat directly: `curl -v http://UPSTREAM:PORT/PATH -H 'Host: NAME'`.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    /// Server errors (RFC 9110, section 15.6).
    const SERVER_ERRORS: std::ops::RangeInclusive<u16> = 500..=599;
    let exchange = attempt.exchange?;
    let head = exchange
        .response
        .as_ref()
        .filter(|head| SERVER_ERRORS.contains(&head.status) && head.at.time <= attempt.until)?;
    let at = exchange.response_at.unwrap_or(head.at);
    let server = attempt.connection.facts.server;
    Some(
        attempt
            .asked(Verdict::seen(at))
            .detail(head.status.to_string())
            .proof(at, format!("{server} itself answers {}", head.status))
            .not("closed-before-response", "the upstream answered"),
    )
}
