//! `stale-keepalive-reuse`. In: an attempt on a reused connection that its server was closing. Out:
//! the verdict.
//!
//! The rule: a response was complete on this connection before, and the close does not answer the
//! request.

use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "stale-keepalive-reuse",
    family: Family::WaitingForHead,
    title: "The gateway reused a connection that was closing",
    explanation: "The gateway sent the request on a pooled connection at the moment at which the \
     upstream closed it for idleness, or after. Nobody is broken: two idle timers race. Gateways \
     usually do not repeat a POST, so the client sees the error.",
    signature: "A complete response earlier on the connection; an idle gap; then the request \
     crosses the upstream's FIN (which does not acknowledge it) or is answered by RST at once.",
    is_not: &[
        "closed-before-response: there the upstream took the request and closed later.",
        "reset-before-response: there the connection was fresh, or not idle.",
        "connect-refused: a restarted upstream refuses the new connection that follows.",
    ],
    root_causes: &[
        "The upstream's keep-alive timeout is shorter than the gateway's (Node 5 s, gunicorn 2 s, \
         Apache 5 s).",
        "Both timers have the same value, so that they meet again and again.",
        "The upstream limits the number of requests on a connection.",
        "A NAT, firewall or balancer between them forgot the idle connection.",
        "The upstream was restarted and the pool kept its old connections.",
    ],
    next_steps: &[
        "Make the upstream keep idle connections longer than the gateway does (a few seconds \
         suffice), or shorten the gateway's pool timeout below the upstream's.",
        "Compare the idle gap of the finding with the `Keep-Alive: timeout=` header of the \
         upstream.",
        "Let the gateway retry requests that are safe to repeat on a fresh connection.",
        "For a middlebox: set TCP keep-alive on the gateway below the device's idle limit.",
    ],
    examine: Examine::Attempt(examine),
};

/// A close that was sent within this of the request crossed it: one round trip and some scheduling,
/// nanoseconds (causes.md A.9).
const CROSSED_MAX_NANOS: i64 = 50_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let facts = &attempt.connection.facts;
    let close = attempt.closed_by_upstream()?;
    let reused = exchange.id.index > 0 || !facts.roles_known;
    if !reused || attempt.response_start().is_some() {
        return None;
    }
    let after_request = close
        .closing
        .mark
        .time
        .nanos_since(exchange.request_at.time);
    let unread = close
        .closing
        .acknowledges
        .is_some_and(|acknowledged| acknowledged <= exchange.request_offset);
    let gone = close.reset && !close.closing.with_ack;
    if !(unread && after_request <= CROSSED_MAX_NANOS || gone) {
        return None;
    }
    let server = facts.server;
    let mut verdict = attempt.asked(Verdict::seen(close.closing.mark.max(exchange.request_at)));
    let crossing = if gone {
        format!("{server} answers with a bare RST: it has no such connection any more")
    } else {
        format!(
            "{server} closes with {}, which does not acknowledge the request: the two crossed",
            attempt.close_words()
        )
    };
    verdict = verdict.proof(close.closing.mark, crossing);
    if let Some(idle) = exchange.idle_since {
        let gap = exchange.request_at.time.nanos_since(idle.time);
        let words = format!(
            "end of the previous answer; the connection was then idle for {}",
            millis(gap)
        );
        verdict = verdict.proof(idle, words);
    }
    if exchange.prior_responses == 0 {
        verdict = verdict.at_most(
            Confidence::Likely,
            "an earlier answer on the connection was not seen whole",
        );
    }
    Some(
        attempt
            .nothing_before(&close.closing, verdict)
            .not(
                "closed-before-response",
                "the close does not acknowledge the request",
            )
            .not("connect-refused", "the connection had been open and in use"),
    )
}
