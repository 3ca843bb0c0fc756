//! `injected-reset`. In: an attempt that a RST ended which its upstream cannot have sent. Out: the verdict.
//!
//! The rule: primary only where the upstream goes on as if nothing had happened, or where two signs agree. One sign alone
//! contributes to the cause that the RST makes (`origin.rs`).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::origin;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "injected-reset",
    family: Family::Path,
    title: "A device on the way reset the connection",
    explanation: "The reset that ended the connection carries the upstream's address, but did not \
     come from it: its hop count is another, it came sooner than the upstream can answer, or the \
     upstream goes on sending after it. A firewall, an intrusion prevention system or a balancer \
     sent it.",
    signature: "RST in the upstream's name with another TTL (hop limit) than its other segments; \
     and either segments of the upstream after it, or less time since the request than the way \
     there and back takes.",
    is_not: &[
        "reset-before-response: there nothing speaks against the upstream as its sender.",
        "idle-drop-middlebox: there the connection had been idle, and the device had forgotten it.",
        "The gateway's own RST, after it gave up, is clean-up.",
    ],
    contributing: &[
        "Nothing: it contributes itself, to the cause that its RST makes, where its sender is \
         in doubt.",
    ],
    root_causes: &[
        "An inspection device (IPS, DLP, web filter) did not like the request.",
        "A firewall rule or a change of policy cut running connections.",
        "A balancer that removed its target resets in the target's name.",
        "A second device that holds the same address.",
    ],
    next_steps: &[
        "Capture on both sides of the suspect: where the RST is seen and the upstream has not sent \
         it, the device lies between.",
        "Count hops: the TTL of the RST tells how far away its sender is.",
        "Read the log of the firewall or IPS at the time of the RST.",
        "Repeat the same request with another content: inspection reacts to content.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let reset = origin::reset(attempt)?;
    let answered = attempt.exchange.is_some_and(|exchange| {
        exchange
            .response_end
            .is_some_and(|end| end.how.is_complete())
    });
    if answered || attempt.connection.facts.from_server.syns.is_empty() {
        return None;
    }
    reset.foreign?;
    let at = reset.close.closing.mark;
    let server = attempt.connection.facts.server;
    let verdict = attempt.asked(Verdict::seen(at));
    let verdict = origin::strange(attempt, &reset, CAUSE.code, verdict);
    let verdict = match (reset.went_on, reset.too_soon) {
        (Some(after), _) => verdict.proof(
            after,
            format!("{server} itself still speaks on the connection: it has not reset it"),
        ),
        (None, Some(_)) => verdict.at_most(
            Confidence::Likely,
            "the upstream was not seen to go on after the RST",
        ),
        (None, None) => return None,
    };
    Some(attempt.in_sequence(verdict, reset.close).not(
        "reset-before-response",
        "the RST did not come the way that the upstream's segments come",
    ))
}
