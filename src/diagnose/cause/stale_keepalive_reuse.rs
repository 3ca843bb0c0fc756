//! `stale-keepalive-reuse`. In: an attempt on a reused connection that its server was closing. Out:
//! the verdict.
//!
//! The rule: a response was complete on this connection before, and the close does not answer the
//! request.

use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::idle_habit::{self as habit, Habit};
use crate::frame::Mark;

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
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
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

/// Adds what is known of the upstream's way with idle connections: what it announces, what it did to others, and whose
/// default that is. It closed this one `idle` nanoseconds after the answer at `since`.
fn habits(
    attempt: &Attempt<'_>,
    responses: u32,
    idle: i64,
    since: Mark,
    mut verdict: Verdict,
) -> Verdict {
    let server = attempt.connection.facts.server;
    let default = match habit::idle_default(idle) {
        Some(name) => format!(" (equals the default of {name})"),
        None => String::new(),
    };
    let habit = attempt.habit;
    if let Some(known) = habit.and_then(|habit| habit.closes_after(idle)) {
        let others = match known.count {
            1 => "another idle connection".to_owned(),
            count => format!("{count} other idle connections"),
        };
        let words = format!(
            "{server} closed {others} after {}{default}",
            millis(known.nanos)
        );
        verdict = verdict.proof(since, words);
    } else if !default.is_empty() {
        let words = format!("its close came {} after that answer{default}", millis(idle));
        verdict = verdict.proof(since, words);
    }
    if let Some((seconds, at)) = habit.and_then(Habit::announced) {
        let words = format!("{server} announces Keep-Alive: timeout={seconds}");
        verdict = verdict.proof(at, words);
    }
    if let Some(count) = habit.and_then(|habit| habit.closes_at_request(responses)) {
        let default = match habit::limit_default(responses) {
            Some(name) => format!(" (equals the default of {name})"),
            None => String::new(),
        };
        let words = format!(
            "{server} closed {count} other connections right after their answer number {responses}{default}"
        );
        verdict = verdict.proof(since, words);
    }
    verdict
}

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
        let closed = close.closing.mark.time.nanos_since(idle.time);
        verdict = habits(attempt, exchange.prior_responses, closed, idle, verdict);
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
