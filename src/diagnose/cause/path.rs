//! What the path between gateway and upstream did. In: an attempt, and the verdict on it. Out: payload that never
//! arrived, for the causes that are made of it; for all others the codes that contributed, with their frames.
//!
//! The rule: a sender repeats what was not acknowledged and nothing else, so its repetitions prove the silence even where
//! the capture has holes. They do not tell which way was broken.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::finding::Leg;
use crate::diagnose::gateway::product::Wait;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::time::Timestamp;

/// A window that was shut for less than this is full for a moment, nanoseconds.
const SHUT_MIN_NANOS: i64 = 500_000_000;
/// Repetitions from which a way is broken and not merely lossy.
pub const REPEATS_MIN: u32 = 2;
/// What a timer that doubles may be late, nanoseconds.
const LATE_NANOS: i64 = 500_000_000;

/// Payload of the gateway that was sent again and again, and of which nothing was acknowledged until the end.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    /// When it was sent first.
    pub sent: Mark,
    /// When it was sent last.
    pub last: Mark,
    /// How often it was sent again.
    pub repeats: u32,
    /// Bytes of the segment that was sent again.
    pub len: u32,
    /// How the gateway gave up, where that was seen.
    pub gave_up: Option<Mark>,
}

impl Stuck {
    /// A verdict with what every cause of this kind shows.
    #[must_use]
    pub fn verdict(&self, attempt: &Attempt<'_>) -> Verdict {
        let server = attempt.connection.facts.server;
        let verdict = match self.gave_up {
            Some(at) => Verdict::gave_up(at),
            None => Verdict::absent(),
        };
        let verdict = attempt.asked(verdict).proof(
            self.last,
            format!(
                "the gateway sends {} bytes again ({} times in {}), and {server} never acknowledges them",
                self.len,
                self.repeats,
                attempt.waited(self.sent, self.last)
            ),
        );
        match self.gave_up {
            Some(at) => verdict.proof(
                at,
                format!(
                    "the gateway gives up after {}{}",
                    attempt.waited(self.sent, at),
                    attempt.equal_timers(Wait::Response, self.sent, at)
                ),
            ),
            None => verdict,
        }
    }
}

/// The payload of this attempt that never arrived: nothing of its request (or of its ClientHello) was acknowledged, and
/// the gateway was still repeating it when it gave up.
#[must_use]
pub fn stuck(attempt: &Attempt<'_>) -> Option<Stuck> {
    let (facts, from_client) = (
        &attempt.connection.facts,
        &attempt.connection.facts.from_client,
    );
    if from_client.unanswered_repeats < REPEATS_MIN
        || attempt.response_start().is_some()
        || attempt.closed_by_upstream().is_some()
        || attempt.outlived()
        || !attempt.connected()
    {
        return None;
    }
    let (sent, offset) = match (attempt.exchange, attempt.client_hello()) {
        (Some(exchange), _) => (exchange.request_at, exchange.request_offset),
        (None, hello) => (hello.or(from_client.first_data)?, 0),
    };
    if from_client.acknowledged.is_some_and(|bytes| bytes > offset)
        || facts.from_server.last_data.is_some_and(|last| last > sent)
    {
        return None;
    }
    let gave_up = attempt.closed_by_gateway().map(|close| close.closing.mark);
    let end = gave_up.map_or(attempt.until, |mark| mark.time);
    let last = from_client.last_retransmission?;
    let patience = 2 * last.time.nanos_since(sent.time) + LATE_NANOS;
    (last > sent && end.nanos_since(last.time) <= patience).then_some(Stuck {
        sent,
        last,
        repeats: from_client.unanswered_repeats,
        len: from_client.repeated_len,
        gave_up,
    })
}

/// An answer that the upstream sent and the gateway never got.
#[derive(Clone, Copy, Debug)]
pub struct LostAnswer {
    /// How many bytes of it are missing.
    pub bytes: u64,
    /// The upstream's segment that shows it.
    pub shown: Mark,
    /// When the gateway gave up.
    pub gave_up: Mark,
}

/// The answer of this attempt that never arrived: the upstream's own numbers are beyond what the gateway has, and what lies
/// between was never seen. The capture did not lose it, since the gateway does not acknowledge it either.
#[must_use]
pub fn lost_answer(attempt: &Attempt<'_>) -> Option<LostAnswer> {
    let facts = &attempt.connection.facts;
    let from_server = &facts.from_server;
    attempt.exchange?;
    if attempt.response_start().is_some() || attempt.outlived() {
        return None;
    }
    let gave_up = attempt.closed_by_gateway()?.closing;
    let arrived = gave_up.acknowledges.or(from_server.acknowledged)?;
    let shown = facts.server_alive?;
    // What comes late because the gateway had left is no loss: only what was sent before the upstream could know it.
    let prompt = shown.time.nanos_since(gave_up.mark.time) <= LATE_NANOS;
    let unseen = from_server
        .reached
        .checked_sub(arrived.max(from_server.sent))?;
    (unseen > 0 && prompt).then_some(LostAnswer {
        bytes: unseen,
        shown,
        gave_up: gave_up.mark,
    })
}

/// Adds what the path contributed to a wait that `code` explains.
#[must_use]
pub fn contributed(attempt: &Attempt<'_>, code: &'static str, verdict: Verdict) -> Verdict {
    if !(verdict.by_gateway || verdict.at.is_none()) || !attempt.connected() {
        return verdict;
    }
    let end = verdict.at.map_or(attempt.until, |at| at.time);
    let verdict = shut_window(attempt, code, end, verdict);
    let verdict = too_big(attempt, code, end, verdict);
    repeats(attempt, code, end, verdict)
}

fn shut_window(
    attempt: &Attempt<'_>,
    code: &'static str,
    end: Timestamp,
    mut verdict: Verdict,
) -> Verdict {
    let facts = &attempt.connection.facts;
    for (direction, who) in [
        (Direction::ToClient, "the upstream's application"),
        (Direction::ToServer, "the gateway"),
    ] {
        let Some(since) = facts.half(direction).zero_window else {
            continue;
        };
        let shut = end.nanos_since(since.time);
        if shut >= SHUT_MIN_NANOS {
            let words = format!(
                "a receive window of 0 from here on, for {}: {who} does not read",
                millis(shut)
            );
            verdict = verdict
                .contributes(code, "zero-window-stall")
                .proof(since, words);
        }
    }
    verdict
}

fn too_big(attempt: &Attempt<'_>, code: &'static str, end: Timestamp, verdict: Verdict) -> Verdict {
    let Some((mtu, at)) = told_too_big(attempt) else {
        return verdict;
    };
    let again = attempt.connection.facts.from_client.last_retransmission;
    if at.time > end || again.is_none_or(|again| again < at) {
        return verdict;
    }
    verdict
        .contributes(code, "path-mtu-blackhole")
        .proof_on(Leg::Icmp, at, too_big_words(mtu))
}

/// An ICMP error that says that a packet of this connection was too big, with the MTU that it tells.
#[must_use]
pub fn told_too_big(attempt: &Attempt<'_>) -> Option<(u32, Mark)> {
    attempt
        .connection
        .icmp
        .iter()
        .find_map(|error| match error.reason {
            IcmpReason::TooBig(mtu) => Some((mtu, error.mark)),
            _ => None,
        })
}

/// What such an error says.
#[must_use]
pub fn too_big_words(mtu: u32) -> String {
    format!("ICMP: the packet is too big, packets of more than {mtu} bytes do not pass")
}

fn repeats(
    attempt: &Attempt<'_>,
    code: &'static str,
    end: Timestamp,
    mut verdict: Verdict,
) -> Verdict {
    let facts = &attempt.connection.facts;
    for (direction, who) in [
        (Direction::ToServer, "the gateway"),
        (Direction::ToClient, "the upstream"),
    ] {
        let half = facts.half(direction);
        let inside = |mark: &Mark| mark.time <= end && *mark >= attempt.started();
        let (Some(first), Some(last)) = (half.first_unanswered, half.last_retransmission) else {
            continue;
        };
        if half.unanswered_repeats > 0 && inside(&first) {
            let words = format!(
                "{who} sends {} bytes again ({} times) and gets no acknowledgement",
                half.repeated_len, half.unanswered_repeats
            );
            verdict = verdict.contributes(code, "loss-stall").proof(last, words);
        }
    }
    verdict
}
