//! Where a RST came from. In: an attempt, and the verdict on it. Out: what its packet tells of its sender: a live socket, a
//! host without one, or a device on the way that speaks in the upstream's name.
//!
//! The rule (causes.md D.14): packets of one host come with one hop count, and no answer is faster than the way there and
//! back. What differs is said; only what cannot be the upstream's own is called injected.

use crate::diagnose::attempt::{Attempt, FirstClose, Verdict, millis};
use crate::diagnose::finding::Confidence;
use crate::frame::Mark;

/// The code of a RST that is known to be another's; elsewhere it contributes.
const INJECTED: &str = "injected-reset";
/// Ways of packets of two connections may differ by this many hops; those of one go the same way.
const HOPS: u8 = 2;
/// Shortest way there and back that is long enough to be compared with, nanoseconds.
const ROUND_TRIP_MIN_NANOS: i64 = 5_000_000;
/// What the network turns round is over within this after a RST, nanoseconds: what the upstream sends later, it sends as
/// one who knows of no RST.
const CROSSED_NANOS: i64 = 100_000_000;
/// IP ids of one socket follow each other closer than this, where its host counts them.
const NEXT_IDS: u16 = 16;

/// The upstream's RST, and what is strange about it.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// The close that it is.
    pub close: FirstClose,
    /// Its hop count and the range of all the upstream's other segments, where it lies outside.
    pub foreign: Option<(u8, (u8, u8))>,
    /// A segment of the upstream that no host sends after its own RST.
    pub went_on: Option<Mark>,
    /// How soon it answered the request, and the round trip that this undercuts, nanoseconds.
    pub too_soon: Option<(i64, i64)>,
}

/// Looks at the RST by which the upstream ended the attempt.
#[must_use]
pub fn reset(attempt: &Attempt<'_>) -> Option<Reset> {
    let facts = &attempt.connection.facts;
    let close = attempt.closed_by_upstream().filter(|close| close.reset)?;
    let ttl = close.closing.ttl;
    let same_way = facts.from_server.ttls.map(|usual| (usual, 0));
    let other_way = attempt.server_ttls.map(|usual| (usual, HOPS));
    let foreign = same_way
        .or(other_way)
        .filter(|((low, high), hops)| {
            ttl.saturating_add(*hops) < *low || ttl > high.saturating_add(*hops)
        })
        .map(|(usual, _)| (ttl, usual));
    let went_on = facts
        .server_alive
        .filter(|last| last.time.nanos_since(close.closing.mark.time) > CROSSED_NANOS);
    Some(Reset {
        close,
        foreign,
        went_on,
        too_soon: too_soon(attempt, &close),
    })
}

/// A RST that acknowledges the request and came sooner after it than the upstream's SYN-ACK after the SYN.
fn too_soon(attempt: &Attempt<'_>, close: &FirstClose) -> Option<(i64, i64)> {
    let facts = &attempt.connection.facts;
    let [syn] = facts.from_client.syns[..] else {
        return None;
    };
    let [answer] = facts.from_server.syns[..] else {
        return None;
    };
    let asked = attempt.exchange?.request_end?;
    let answers = close
        .closing
        .acknowledges
        .is_some_and(|bytes| bytes >= asked.end_offset && asked.end_offset > 0);
    let round_trip = answer.time.nanos_since(syn.time);
    let took = close.closing.mark.time.nanos_since(asked.at.time);
    (answers && round_trip >= ROUND_TRIP_MIN_NANOS && (0..round_trip / 2).contains(&took))
        .then_some((took, round_trip))
}

/// Adds what the RST tells of its sender, and `injected-reset` to what contributed where it cannot be told for sure.
#[must_use]
pub fn tell(attempt: &Attempt<'_>, code: &'static str, verdict: Verdict) -> Verdict {
    let Some(reset) = reset(attempt) else {
        return verdict;
    };
    if code == INJECTED || verdict.contributing.contains(&INJECTED) {
        return verdict;
    }
    if reset.foreign.is_none() && reset.too_soon.is_none() {
        return own(attempt, &reset, verdict);
    }
    strange(attempt, &reset, code, verdict).at_most(
        Confidence::Likely,
        "the RST may be another device's, in the upstream's name",
    )
}

/// Adds what does not fit the upstream.
#[must_use]
pub fn strange(
    attempt: &Attempt<'_>,
    reset: &Reset,
    code: &'static str,
    mut verdict: Verdict,
) -> Verdict {
    let server = attempt.connection.facts.server;
    let at = reset.close.closing.mark;
    if let Some((ttl, (low, high))) = reset.foreign {
        let usual = if low == high {
            format!("TTL {low}")
        } else {
            format!("TTL {low} to {high}")
        };
        verdict = verdict.contributes(code, INJECTED).proof(
            at,
            format!(
                "this RST came with TTL {ttl}, the other segments of {server} with {usual}: a device on the way may have sent it"
            ),
        );
    }
    if let Some((took, round_trip)) = reset.too_soon {
        verdict = verdict.contributes(code, INJECTED).proof(
            at,
            format!(
                "this RST answers the request after {}, sooner than the way to {server} and back ({}): a device nearer by may have sent it",
                millis(took),
                millis(round_trip)
            ),
        );
    }
    verdict
}

/// Says that the socket itself was aborted, where the packet shows it.
fn own(attempt: &Attempt<'_>, reset: &Reset, verdict: Verdict) -> Verdict {
    let closing = &reset.close.closing;
    let (Some(id), Some(before)) = (closing.ip_id, closing.ip_id_before) else {
        return verdict;
    };
    let follows = before != 0 && (1..=NEXT_IDS).contains(&id.wrapping_sub(before));
    if !(closing.with_ack && follows) {
        return verdict;
    }
    verdict.proof(
        closing.mark,
        format!(
            "its IP id {id} follows the {before} of the segment of {} before it: the host of that socket sent it",
            attempt.connection.facts.server.addr
        ),
    )
}
