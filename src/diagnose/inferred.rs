//! An error that is inferred on an encrypted leg. In: an encrypted answer and the failed attempt that it was given. Out:
//! whether the one can have come of the other, and what is said of it.
//!
//! The rule (causes.md B.4): possible at most, with the clients that may have got it instead.

use crate::diagnose::accounted::{ASKED_FROM_SECONDS, PASSED_ON_NANOS, beside};
use crate::diagnose::candidate::{CLEAN_UP_MILLIS, Candidate};
use crate::diagnose::checks;
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{Confidence, Failure};
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;
use crate::protocol::observation::Protocol;

/// An error page follows the failure within this, nanoseconds: on six products it took less than one millisecond
/// (causes.md B.1).
pub const REACTION_NANOS: i64 = 10_000_000;
/// Largest error page with its head, as records carry it, bytes. The pages of all products are smaller.
const PAGE_BYTES_MAX: u64 = 4_096;
/// A page is sent at once: what goes on for longer is no page, nanoseconds.
const PAGE_NANOS_MAX: i64 = 20_000_000;
/// Clock noise between two frames of one capture point, nanoseconds.
const NOISE_NANOS: i64 = 20_000;
/// Exchanges of other clients that are looked at.
const AROUND_MAX: usize = 512;
/// Other clients that a sentence names.
const NAMED_MAX: usize = 3;

/// Whether an answer has the size of an error page and was sent at once.
#[must_use]
pub fn looks_like_page(record: &ConnectionRecord, exchange: &ExchangeRecord) -> bool {
    if let Some(end) = exchange.response_end {
        return end.body_len <= PAGE_BYTES_MAX;
    }
    let last = record.facts.from_server.last_data;
    matches!((exchange.response_at, last), (Some(begun), Some(last))
        if last.time.nanos_since(begun.time) <= PAGE_NANOS_MAX)
}

/// Whether the attempt that a suspected error was given can have made it: the moments agree, the gateway had nothing to
/// pass on, and it did not merely clean up after a client that left. True of any error that was seen.
#[must_use]
pub fn holds(timeline: &Timeline, member: &Member, chain: &Chain) -> bool {
    if member.suspect.failure != Failure::Suspected {
        return true;
    }
    // Of one failure one error is inferred, though it may have been that of several requests.
    let own = chain.assignment.as_ref().is_some_and(|it| !it.shared);
    let Some(last) = chain.attempts.last().filter(|_| own) else {
        return false;
    };
    let by_gateway = last
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.by_gateway);
    let prompt = last.end.is_none_or(|end| {
        let gap = member.suspect.at.time.nanos_since(end.time);
        let earliest = if by_gateway {
            -CLEAN_UP_MILLIS * 1_000_000
        } else {
            -NOISE_NANOS
        };
        (earliest..=REACTION_NANOS).contains(&gap)
    });
    if !prompt || last.whole || checks::is_check(timeline, last.id) {
        return false;
    }
    !by_gateway || !somebody_left(timeline, member, last)
}

/// Whether a client of the gateway went away, its request unanswered, right before the gateway let go of the attempt.
fn somebody_left(timeline: &Timeline, member: &Member, last: &Candidate) -> bool {
    let Some(end) = last.end else { return false };
    let gateway = &member.identified.gateway;
    let from = last.start.back_seconds(ASKED_FROM_SECONDS);
    timeline
        .served_on(gateway.vantage, gateway.endpoint.addr, from, end)
        .take(AROUND_MAX)
        .filter(|id| *id != member.suspect.exchange)
        .filter_map(|id| timeline.exchange(id))
        .filter(|(_, exchange)| exchange.response_at.is_none_or(|at| at > end))
        .any(|(record, _)| {
            let client = &record.facts.from_client;
            let mut closes = [client.fin, client.reset].into_iter().flatten();
            closes.any(|left| {
                let gap = end.time.nanos_since(left.mark.time);
                (-NOISE_NANOS..=PASSED_ON_NANOS).contains(&gap)
            })
        })
}

/// Says on what a suspected error rests, and no more than that.
pub fn weigh(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    if member.suspect.failure != Failure::Suspected {
        return;
    }
    let exchange = timeline.exchange(member.suspect.exchange);
    let words = match exchange.map(|(_, exchange)| (exchange.response_at, exchange.response_end)) {
        Some((None, _)) => "the client's leg is encrypted: that its request was given up with the attempt is inferred from the close right after the failure".to_owned(),
        Some((_, Some(end))) => format!(
            "the client's leg is encrypted: that the answer of {} bytes, sent right after the failure, was an error is inferred from its time and size",
            end.body_len
        ),
        _ => "the client's leg is encrypted: that the answer, sent right after the failure, was an error is inferred from its time".to_owned(),
    };
    conclusion.at_most(Confidence::Possible, words);
    let others = others_that_may_have_got_it(timeline, member, last);
    if !others.is_empty() {
        conclusion.interchangeable = true;
        conclusion.reasons.push(format!(
            "encrypted answers went to other clients in the same moment ({}): the error may have been one of theirs",
            others.join(", ")
        ));
    }
    conclusion.contributing.push("encrypted-inconclusive");
    conclusion.not_observable.push(
        "the status that the client got: a TLS key log of the client or of the gateway for this connection (--keylog) would show it; or look for this moment in the gateway's own log"
            .to_owned(),
    );
}

/// Other clients that got something encrypted of the size of a page as promptly after the failure.
fn others_that_may_have_got_it(
    timeline: &Timeline,
    member: &Member,
    last: &Candidate,
) -> Vec<String> {
    let failed = last.end.unwrap_or(member.suspect.at).time;
    let mut found: Vec<(Mark, String)> =
        beside(timeline, &member.identified.gateway, &member.suspect)
            .filter(|(record, answered, exchange)| {
                let gap = answered.time.nanos_since(failed);
                record.protocol == Some(Protocol::Tls)
                    && exchange.request_at <= last.start
                    && (-NOISE_NANOS..=REACTION_NANOS).contains(&gap)
                    && looks_like_page(record, exchange)
            })
            .map(|(record, answered, _)| (answered, record.facts.client.to_string()))
            .collect();
    found.sort();
    found.truncate(NAMED_MAX);
    found.into_iter().map(|(_, client)| client).collect()
}
