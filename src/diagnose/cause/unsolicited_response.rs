//! `unsolicited-response`. In: an attempt on a connection on which the upstream had said something
//! that nobody asked for. Out: the verdict, with what it said.
//!
//! The rule: the bytes come before the request on the wire; what the gateway makes of them shows in its
//! answer alone.

use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::flow::Endpoint;
use crate::frame::Mark;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "unsolicited-response",
    family: Family::MalformedHead,
    title: "The upstream spoke on an idle connection",
    explanation: "Between two requests the upstream sent bytes on the idle connection, mostly a \
     408 before it closed. The gateway sent its next request on the same connection at that \
     moment, and the request was lost: the effect of a stale connection, announced in words.",
    signature: "A connection with a complete response; bytes from the upstream while no request \
     was open; the next request on it; a close by the upstream without an answer.",
    is_not: &[
        "stale-keepalive-reuse: there the upstream closed the idle connection without a word.",
        "closed-before-response: there nothing had come before the request.",
        "content-length-mismatch: there the bytes follow a response at once; they are its surplus.",
        "A 408 that comes after the request has begun is its answer.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The upstream's idle limit is shorter than the gateway keeps connections, and the server \
         says 408 before it closes.",
        "A server answers one request twice: an error page after the response, or a second write \
         by another thread.",
        "The response to a request that the gateway had given up.",
        "A response to HEAD, 204 or 304 that carries a body all the same.",
    ],
    next_steps: &[
        "Make the upstream's keep-alive longer than the gateway's (HAProxy `timeout \
         http-keep-alive`, Apache `KeepAliveTimeout`), or the gateway's pool shorter.",
        "Let the gateway retry requests that are safe to repeat.",
        "Read what was said in the finding: a 408 is the idle limit, anything else is a fault of \
         the application.",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of what was said that the finding shows.
const SHOWN_MAX: usize = 32;
/// What follows a response within this is its surplus, nanoseconds.
const SURPLUS_NANOS: i64 = 20_000_000;
/// A close that came within this of the request crossed it, nanoseconds.
const CROSSED_NANOS: i64 = 50_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    before_the_request(attempt).or_else(|| crossing(attempt))
}

/// It came before the request.
fn before_the_request(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let (at, said) = attempt.connection.unsolicited.as_ref()?;
    let idle = exchange.idle_since?;
    let close = attempt.closed_by_upstream()?;
    let between = *at >= idle && *at <= close.closing.mark;
    if exchange.id.index == 0 || !between || attempt.response_start().is_some() {
        return None;
    }
    if at.time.nanos_since(idle.time) < SURPLUS_NANOS {
        return None;
    }
    let server = attempt.connection.facts.server;
    let end = close.closing.mark.max(exchange.request_at);
    let verdict = of_status(attempt.asked(Verdict::seen(end)), said)
        .proof(*at, words(server, idle, *at, said))
        .proof(
            close.closing.mark,
            format!(
                "{server} ends the connection with {} and does not answer the request",
                attempt.close_words()
            ),
        )
        .not(
            "stale-keepalive-reuse",
            "the upstream had announced the end of the idle connection in words",
        )
        .not(
            "closed-before-response",
            "the close belongs to what the upstream had said before the request",
        );
    let crossed = close
        .closing
        .mark
        .time
        .nanos_since(exchange.request_at.time)
        < CROSSED_NANOS;
    Some(if crossed {
        verdict
    } else {
        verdict.at_most(
            Confidence::Likely,
            "the upstream closed only some time after the request",
        )
    })
}

/// It crossed the request: the close behind it does not acknowledge a byte of the request, so the upstream had said
/// all of it before it could know of the request.
fn crossing(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let begun = attempt.response_start()?;
    let close = attempt.closed_by_upstream()?.closing;
    let unread = close
        .acknowledges
        .is_some_and(|acknowledged| acknowledged <= exchange.request_offset);
    if exchange.id.index == 0 || !unread || close.mark < begun {
        return None;
    }
    let server = attempt.connection.facts.server;
    let status = match exchange.status() {
        Some(status) => Some(status.to_string()),
        None => status_of(&exchange.body_prefix),
    };
    let what = status
        .as_ref()
        .map_or_else(|| "bytes".to_owned(), |status| format!("a {status}"));
    let verdict = attempt.asked(Verdict::seen(begun));
    let verdict = match status {
        Some(status) => verdict.detail(status),
        None => verdict,
    };
    Some(
        verdict
            .proof(
                begun,
                format!("{server} sends {what} on the idle connection: it crosses the request"),
            )
            .proof(
                close.mark,
                format!(
                    "{server} sends {}, which acknowledges no byte of the request: it had said all of this before",
                    attempt.close_words()
                ),
            )
            .not(
                "upstream-returned-5xx",
                "the upstream had not received the request when it spoke",
            )
            .not("closed-mid-head", "what came was no answer to this request"),
    )
}

fn of_status(verdict: Verdict, said: &[u8]) -> Verdict {
    match status_of(said) {
        Some(status) => verdict.detail(status),
        None => verdict,
    }
}

fn words(server: Endpoint, idle: Mark, at: Mark, said: &[u8]) -> String {
    let after = millis(at.time.nanos_since(idle.time));
    let first = shown(said.get(..SHOWN_MAX).unwrap_or(said));
    format!("{server} says `{first}` on the idle connection, {after} after its last answer")
}

/// The status, where it is a response that nobody asked for.
fn status_of(said: &[u8]) -> Option<String> {
    let digits = said.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    digits.iter().all(u8::is_ascii_digit).then(|| shown(digits))
}
