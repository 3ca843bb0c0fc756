//! `bad-interim-response`. In: an attempt in which 1xx responses came and no final one that counts. Out: the
//! verdict, with their number.
//!
//! The rule: a 100 that was asked for with Expect is no fault (RFC 9110, section 10.1.1).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::record::ExchangeRecord;
use crate::frame::Mark;
use crate::protocol::observation::HttpVersion;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "bad-interim-response",
    family: Family::MalformedHead,
    title: "Interim responses and no final one",
    explanation: "The upstream sent an interim response (100, 102 or 103) and then closed, or \
     sent so many of them that the gateway gave up. An interim response promises a final one; \
     some gateways even take the first for the final one.",
    signature: "Request; one or more 1xx that the request did not ask for; then a close by the \
     upstream without a final response, or a close by the gateway after a flood of them.",
    is_not: &[
        "closed-before-response: there nothing came, or a 100 that the request had asked for.",
        "unexpected-upgrade: 101 is a final answer to the upgrade.",
        "response-timeout: there the gateway waited, and nobody closed.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The worker died between the interim and the final response.",
        "A server sends 100 Continue to every request, whether Expect was there or not.",
        "Early hints (103) or progress (102) sent in a loop, or to a gateway that asks in \
         HTTP/1.0.",
        "An application takes the interim response for the answer and closes.",
    ],
    next_steps: &[
        "`curl -v --http1.1 http://UPSTREAM:PORT/PATH -H 'Host: NAME'` lists each 1xx before the \
         final status.",
        "Switch 102 and 103 off in the application, or send one at most.",
        "Read the upstream's log at the time of the close.",
    ],
    examine: Examine::Attempt(examine),
};

/// Apache takes this many interim responses and no more; nobody sends as many with good reason.
const FLOOD: u32 = 10;
/// Products that count them: Apache takes 10, those in Go take 5.
const LIMIT_THEM: &[&str] = &["Apache httpd", "Caddy", "Traefik"];
/// Products that refuse a single one.
const REFUSE_THEM: &[&str] = &["Varnish"];
/// A gateway that does not take what came closes at once, nanoseconds.
const AT_ONCE_NANOS: i64 = 150_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let interims = exchange.interims.as_deref()?;
    let (count, latest, (status, first)) = (interims.count, interims.latest, interims.first);
    if first.time > attempt.until || attempt.response_start().is_some() {
        return None;
    }
    let flood = count > FLOOD;
    // Where the head of the request was cut, it may have asked for it.
    let asked_for = status == 100 && count == 1 && exchange.expects_continue().unwrap_or(true);
    if asked_for {
        return None;
    }
    let server = attempt.connection.facts.server;
    let told = format!("{server} sends {}", in_words(status, count));
    if let Some(close) = attempt.closed_by_upstream() {
        let at = close.closing.mark.max(exchange.request_at);
        let verdict = attempt
            .asked(Verdict::seen(at))
            .detail(if flood { "flood" } else { "then-close" })
            .proof(first, told)
            .proof(
                at,
                format!(
                    "{server} ends the connection with {} and no final response",
                    attempt.close_words()
                ),
            )
            .not(
                "closed-before-response",
                "the upstream had begun to answer with an interim response",
            );
        return Some(attempt.in_sequence(in_old_http(exchange, first, verdict), close));
    }
    let close = attempt.closed_by_gateway()?.closing;
    // One that was not liked, or one too many: the gateway closes at once and not after a wait.
    let seen = latest.min(close.mark);
    if close.mark.time.nanos_since(seen.time) > AT_ONCE_NANOS {
        return None;
    }
    let verdict = attempt
        .asked(Verdict::gave_up(close.mark))
        .detail(if flood { "flood" } else { "not-taken" })
        .proof(first, told)
        .proof(
            close.mark,
            "the gateway closes at once, before a final response",
        )
        .not(
            "response-timeout",
            "the gateway did not wait before it closed",
        );
    let refuses = if flood { LIMIT_THEM } else { REFUSE_THEM };
    let known = attempt
        .product
        .is_some_and(|product| refuses.contains(&product.name));
    Some(if known {
        verdict
    } else {
        verdict.at_most(
            Confidence::Likely,
            "how many interim responses this gateway takes is not known",
        )
    })
}

/// Notes that a request in HTTP/1.0 cannot be answered so (RFC 9110, section 15.2).
fn in_old_http(exchange: &ExchangeRecord, at: Mark, verdict: Verdict) -> Verdict {
    let old = exchange
        .request
        .as_ref()
        .is_some_and(|head| head.version == HttpVersion::Http10);
    if old {
        verdict.proof(
            at,
            "the request is HTTP/1.0, to which no interim response may be sent",
        )
    } else {
        verdict
    }
}

fn in_words(status: u16, count: u32) -> String {
    match count {
        1 => format!("the interim response {status}"),
        count => format!("{count} interim responses, the first of them {status}"),
    }
}
