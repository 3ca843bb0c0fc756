//! Attempts that are made again. In: a failed attempt and those after it. Out: whether one of them is its retry.
//!
//! The rule: a retry begins when its failure ends, at once or after a wait that products are known to make; one that
//! succeeded is told from a new request by whose answer it became.

use std::net::IpAddr;

use crate::diagnose::candidate::{Candidate, Standing};
use crate::diagnose::order::relayed;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::flow::Vantage;
use crate::frame::Mark;
use crate::protocol::observation::{Protocol, RequestHead};

/// A retry follows its failure within this, nanoseconds: Envoy waits up to 25 ms before the first, 75 ms
/// before the second.
pub const RETRY_PROMPT_NANOS: i64 = 80_000_000;
/// The longest deliberate wait before a retry: HAProxy waits 1 s after a refused connect. Nanoseconds.
const RETRY_WAIT_NANOS: i64 = 1_300_000_000;
/// Most attempts with the same request that are asked whether they are a retry: where so many follow within its time nobody
/// could tell which it was.
const RETRIES_LOOKED_AT_MAX: usize = 1_024;

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
    let request = request_of(timeline, failed);
    let mut waiting = Waiting::new(timeline, failed);
    candidates
        .iter()
        .skip(first)
        .take_while(|next| failed.end.is_none() || next.sent.time <= soon)
        .filter(|next| next.whole || matches!(next.standing, Standing::Well | Standing::Opaque))
        .filter(|next| retry_gap(failed, next).is_some())
        .filter(|next| is_same(request, request_of(timeline, next)))
        .take(RETRIES_LOOKED_AT_MAX)
        .find(|next| waiting.was_retried(next))
}

/// An exchange and its connection.
type Leg<'a> = (&'a ConnectionRecord, &'a ExchangeRecord);

/// Clients that had asked before an attempt failed, as far as they may have got the answer of another: found once for all
/// attempts that may be its retry, because at a busy gateway both are thousands.
struct Waiting<'a> {
    timeline: &'a Timeline,
    failed: &'a Candidate,
    /// Their exchanges, and the host that they asked.
    asked: Option<((Vantage, IpAddr), Vec<Leg<'a>>)>,
    all_served: Option<bool>,
}

impl<'a> Waiting<'a> {
    fn new(timeline: &'a Timeline, failed: &'a Candidate) -> Self {
        Self {
            timeline,
            failed,
            asked: None,
            all_served: None,
        }
    }

    /// When the attempt failed.
    fn end(&self) -> Mark {
        self.failed.end.unwrap_or(self.failed.start)
    }

    /// Whether the failure explains the start of `next` better than a new request does: a client that had asked
    /// before the failed attempt got the answer of `next`, and none that asked between can have got it.
    fn was_retried(&mut self, next: &Candidate) -> bool {
        let timeline = self.timeline;
        let Some(record) = timeline.connection(next.id.connection) else {
            return false;
        };
        let Some(answer) = next.id.index.and_then(|index| record.exchange(index)) else {
            return false;
        };
        let got_it = |(leg, client): Leg<'_>| {
            if client.id.connection == next.id.connection {
                return false;
            }
            // What is encrypted on either leg cannot be compared.
            if next.whole && leg.protocol != Some(Protocol::Tls) {
                return relayed(timeline, client, answer);
            }
            client.response_at >= answer.response_at
                && client.status().is_none_or(|status| status < 500)
        };
        let (vantage, gateway) = (record.facts.vantage, record.facts.client.addr);
        let before = self.asked_of(vantage, gateway);
        if !before.iter().any(|leg| got_it(*leg)) {
            return false;
        }
        let mut between = timeline
            .served_on(vantage, gateway, self.end(), next.start)
            .filter_map(|id| timeline.exchange(id));
        !between.any(got_it) || self.were_all_served()
    }

    /// Who had asked this host before the attempt began, and was answered after it had failed.
    fn asked_of(&mut self, vantage: Vantage, gateway: IpAddr) -> &[Leg<'a>] {
        let (timeline, start, end) = (self.timeline, self.failed.start, self.end());
        let host = (vantage, gateway);
        if self.asked.as_ref().is_none_or(|(of, _)| *of != host) {
            let before = timeline.served_on(vantage, gateway, start.back_seconds(130), start);
            let legs = before.filter_map(|id| timeline.exchange(id));
            let later = legs.filter(|(_, client)| client.response_at.is_some_and(|at| at >= end));
            self.asked = Some((host, later.collect()));
        }
        self.asked.as_ref().map_or(&[], |(_, asked)| asked)
    }

    fn were_all_served(&mut self) -> bool {
        let (timeline, failed) = (self.timeline, self.failed);
        *self
            .all_served
            .get_or_insert_with(|| all_served(timeline, failed))
    }
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

/// What an attempt asks for, where that was seen.
fn request_of<'t>(timeline: &'t Timeline, candidate: &Candidate) -> Option<&'t RequestHead> {
    let record = timeline.connection(candidate.id.connection)?;
    record.exchange(candidate.id.index?)?.request.as_deref()
}

/// Whether both ask for the same, as far as can be seen.
fn is_same(one: Option<&RequestHead>, other: Option<&RequestHead>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.method == other.method && one.target == other.target,
        _ => true,
    }
}
