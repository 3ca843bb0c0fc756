//! Attempts that are made again. In: a failed attempt and those after it. Out: whether one of them is its retry.
//!
//! The rule: a retry begins when its failure ends, at once or after a wait that products are known to make; one that
//! succeeded is told from a new request by whose answer it became.

use crate::diagnose::candidate::{Candidate, Standing};
use crate::diagnose::order::relayed;
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;
use crate::protocol::observation::Protocol;

/// A retry follows its failure within this, nanoseconds: Envoy waits up to 25 ms before the first, 75 ms
/// before the second.
pub const RETRY_PROMPT_NANOS: i64 = 80_000_000;
/// The longest deliberate wait before a retry: HAProxy waits 1 s after a refused connect. Nanoseconds.
const RETRY_WAIT_NANOS: i64 = 1_300_000_000;

/// How long after the failure of `before` the attempt `next` began, nanoseconds, if it may be its retry: at
/// once, or after a deliberate wait at the same upstream. A SYN that nobody answered has no moment of
/// failure: there the next attempt ends the wait.
#[must_use]
pub fn retry_gap(before: &Candidate, next: &Candidate) -> Option<i64> {
    /// The shortest connect timeout that is told from a SYN still on its way, nanoseconds.
    const CONNECT_WAIT_MIN_NANOS: i64 = 300_000_000;
    let Some(end) = before.end else {
        let waited = next.start.time.nanos_since(before.start.time);
        return (waited >= CONNECT_WAIT_MIN_NANOS && before.upstream != next.upstream)
            .then_some(waited);
    };
    let gap = next.start.time.nanos_since(end.time);
    let prompt =
        gap < RETRY_PROMPT_NANOS || (gap < RETRY_WAIT_NANOS && before.upstream == next.upstream);
    (end <= next.start && prompt).then_some(gap)
}

/// The good attempt that followed a failed one at once, with the same request: a retry that succeeded.
#[must_use]
pub fn recovery<'c>(
    timeline: &Timeline,
    failed: &Candidate,
    candidates: &'c [Candidate],
) -> Option<&'c Candidate> {
    let first = candidates.partition_point(|next| next.sent < failed.start);
    let soon = failed
        .end
        .unwrap_or(failed.start)
        .time
        .plus_nanos(RETRY_WAIT_NANOS);
    candidates
        .iter()
        .skip(first)
        .take_while(|next| failed.end.is_none() || next.sent.time <= soon)
        .filter(|next| next.whole || matches!(next.standing, Standing::Well | Standing::Opaque))
        .filter(|next| retry_gap(failed, next).is_some() && same_request(timeline, failed, next))
        .find(|next| retried_not_asked(timeline, failed, next))
}

/// Whether the failure explains the start of `next` better than a new request does: a client that had asked
/// before the failed attempt got the answer of `next`, and none that asked between can have got it.
fn retried_not_asked(timeline: &Timeline, failed: &Candidate, next: &Candidate) -> bool {
    let Some(record) = timeline.connection(next.id.connection) else {
        return false;
    };
    let Some(answer) = next.id.index.and_then(|index| record.exchange(index)) else {
        return false;
    };
    let end = failed.end.unwrap_or(failed.start);
    let served = |from: Mark, until: Mark| {
        timeline
            .served_on(record.facts.vantage, record.facts.client.addr, from, until)
            .any(|id| {
                id.connection != next.id.connection
                    && timeline.exchange(id).is_some_and(|(leg, client)| {
                        // What is encrypted on either leg cannot be compared.
                        if next.whole && leg.protocol != Some(Protocol::Tls) {
                            return relayed(timeline, client, answer);
                        }
                        client.response_at >= answer.response_at
                            && client.status().is_none_or(|status| status < 500)
                    })
            })
    };
    served(failed.start.back_seconds(130), failed.start)
        && (!served(end, next.start) || all_served(timeline, failed))
}

/// Whether every client that had asked the same before the failed request was sent, and had no answer when it
/// failed, was served: whosever the request was, it was repeated.
fn all_served(timeline: &Timeline, failed: &Candidate) -> bool {
    let Some(record) = timeline.connection(failed.id.connection) else {
        return false;
    };
    let Some(attempt) = failed.id.index.and_then(|index| record.exchange(index)) else {
        return false;
    };
    let asked = attempt
        .request
        .as_ref()
        .map(|head| (&head.method, &head.target));
    let end = failed.end.unwrap_or(failed.start);
    let mut open = timeline
        .served_on(
            record.facts.vantage,
            record.facts.client.addr,
            failed.start.back_seconds(130),
            failed.start,
        )
        .filter_map(|id| timeline.exchange(id))
        .map(|(_, client)| client)
        .filter(|client| {
            client
                .request
                .as_ref()
                .map(|head| (&head.method, &head.target))
                == asked
        })
        .filter(|client| client.response_at.is_none_or(|answered| answered > end))
        .peekable();
    open.peek().is_some() && open.all(|client| client.status().is_some_and(|status| status < 500))
}

fn same_request(timeline: &Timeline, one: &Candidate, other: &Candidate) -> bool {
    let head = |candidate: &Candidate| {
        let record = timeline.connection(candidate.id.connection)?;
        record
            .exchange(candidate.id.index?)?
            .request
            .as_ref()
            .map(|head| (head.method.clone(), head.target.clone()))
    };
    match (head(one), head(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
