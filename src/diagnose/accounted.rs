//! What accounts for an answer that cannot be read. In: an encrypted answer of a gateway. Out: whether a good answer of an
//! upstream is what the client got.
//!
//! The rule: gateways pass answers on at once and in order, so each good answer is taken for that of the client that got
//! something first after it. In doubt an answer is accounted for, and nothing is suspected.

use crate::diagnose::candidate::Gateway;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::role::uses_inside;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::frame::{FrameId, Mark};
use crate::protocol::observation::{ExchangeId, Protocol};
use crate::time::Timestamp;

/// An answer of an upstream is passed on within this, nanoseconds: gateways do not sit on answers.
pub const PASSED_ON_NANOS: i64 = 50_000_000;
/// An answer that had come this long before the failed attempt began had been passed on already, nanoseconds.
const PASSED_ON_BEFORE_NANOS: i64 = 5_000_000;
/// Clock noise between two frames of one capture point, nanoseconds.
const NOISE_NANOS: i64 = 20_000;
/// Attempts, and exchanges, around one answer that are looked at.
const AROUND_MAX: usize = 512;
/// How far back the exchanges of other clients may have begun, seconds: the longest usual timer of a gateway.
pub const ASKED_FROM_SECONDS: i64 = 130;

/// A request and the first byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    answered: Timestamp,
    asked: Timestamp,
}

/// Whether an upstream's good answer is what the client of `suspect` got: that of its own request when it was tried again,
/// or of one of which the attempt that failed, which began at `began`, was a mere copy.
#[must_use]
pub fn is_accounted_for(
    timeline: &Timeline,
    gateway: &Gateway,
    suspect: &Suspect,
    exchange: &ExchangeRecord,
    began: Timestamp,
) -> bool {
    let since = began.plus_nanos(-PASSED_ON_BEFORE_NANOS);
    let answers = good_answers(timeline, gateway, suspect, since);
    let mut clients: Vec<(Pair, bool)> = beside(timeline, gateway, suspect)
        .filter(|(_, _, exchange)| !exchange.told && exchange.went_well())
        .map(|(_, answered, exchange)| (pair(exchange, answered.time), false))
        .collect();
    clients.push((pair(exchange, suspect.at.time), true));
    clients.sort_unstable_by_key(|(pair, own)| (pair.answered, *own));
    gets_an_answer(&answers, clients)
}

/// Gives each answer to the client that got something first after it. Whether one goes to the client that is marked.
fn gets_an_answer(answers: &[Pair], mut clients: Vec<(Pair, bool)>) -> bool {
    for answer in answers {
        let fits = |(client, _): &(Pair, bool)| {
            let passed_on = client.answered.nanos_since(answer.answered);
            client.asked.nanos_since(answer.asked) <= NOISE_NANOS
                && (-NOISE_NANOS..=PASSED_ON_NANOS).contains(&passed_on)
        };
        let Some(place) = clients.iter().position(fits) else {
            continue;
        };
        if clients.remove(place).1 {
            return true;
        }
    }
    false
}

fn pair(exchange: &ExchangeRecord, answered: Timestamp) -> Pair {
    Pair {
        answered,
        asked: exchange.request_at.time,
    }
}

/// Good answers that came to the gateway since a moment and right before its client got something, in their order.
fn good_answers(
    timeline: &Timeline,
    gateway: &Gateway,
    suspect: &Suspect,
    since: Timestamp,
) -> Vec<Pair> {
    let from = suspect.at.back_seconds(ASKED_FROM_SECONDS);
    let hosts = gateway.addrs.iter();
    let mut found: Vec<Pair> = hosts
        .filter_map(|addr| timeline.host(gateway.vantage, *addr))
        .flat_map(|host| {
            let all: Vec<AttemptId> = uses_inside(host, from, suspect.at).collect();
            all.into_iter().rev().take(AROUND_MAX)
        })
        .filter_map(|id| {
            let record = timeline.connection(id.connection)?;
            let upstream = record.exchange(id.index?)?;
            let answered = upstream.response_at?.time;
            let before = suspect.at.time.nanos_since(answered);
            (id.connection != suspect.exchange.connection
                && record.facts.server != gateway.endpoint
                && is_good(record, upstream)
                && answered >= since
                && (-NOISE_NANOS..=PASSED_ON_NANOS).contains(&before)
                && timeline.is_best_client_view(id.connection, gateway.vantage, &gateway.addrs))
            .then_some(pair(upstream, answered))
        })
        .collect();
    found.sort_unstable_by_key(|pair| (pair.answered, pair.asked));
    found
}

/// Whether an answer is one that a gateway passes on, as far as it can be read.
fn is_good(record: &ConnectionRecord, upstream: &ExchangeRecord) -> bool {
    match (&upstream.response, record.protocol) {
        (Some(head), _) => head.status < 500 && upstream.fault.is_none(),
        (None, Some(Protocol::Http1)) => false,
        (None, _) => true,
    }
}

/// Exchanges of other clients of the gateway that were answered around a moment, with the first byte of the answer.
pub fn beside<'t>(
    timeline: &'t Timeline,
    gateway: &'t Gateway,
    suspect: &Suspect,
) -> impl Iterator<Item = (&'t ConnectionRecord, Mark, &'t ExchangeRecord)> + 't {
    let (at, own): (Mark, ExchangeId) = (suspect.at, suspect.exchange);
    let until = Mark {
        time: at.time,
        frame: FrameId::new(u16::MAX, u64::MAX),
    };
    let of_client = |record: &ConnectionRecord| {
        record.facts.server == gateway.endpoint
            || (record.facts.server.addr == gateway.endpoint.addr
                && !gateway.addrs.contains(&record.facts.client.addr))
    };
    let from = at.back_seconds(ASKED_FROM_SECONDS);
    timeline
        .served_on(gateway.vantage, gateway.endpoint.addr, from, until)
        .take(AROUND_MAX)
        .filter(move |id| *id != own)
        .filter_map(|id| timeline.exchange(id))
        .filter_map(move |(record, exchange)| {
            let answered = exchange.response_at?;
            let apart = answered.time.nanos_since(at.time).saturating_abs();
            (of_client(record) && apart <= PASSED_ON_NANOS).then_some((record, answered, exchange))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(asked_micros: i64, answered_micros: i64) -> Pair {
        Pair {
            asked: Timestamp(asked_micros * 1_000),
            answered: Timestamp(answered_micros * 1_000),
        }
    }

    /// The client in question asked at 0 and got something at 10 ms.
    fn own() -> (Pair, bool) {
        (pair(0, 10_000), true)
    }

    #[test]
    fn its_own_answer_accounts_for_it() {
        assert!(gets_an_answer(&[pair(500, 9_800)], vec![own()]));
        assert!(!gets_an_answer(&[], vec![own()]));
        // Asked for before the client had asked: somebody else's.
        assert!(!gets_an_answer(&[pair(-500, 9_800)], vec![own()]));
    }

    #[test]
    fn an_answer_that_another_client_got_first_does_not() {
        let other = (pair(100, 9_900), false);
        assert!(!gets_an_answer(&[pair(500, 9_800)], vec![other, own()]));
        // Two good answers, and two clients that got something: none is left over.
        let answers = [pair(400, 9_700), pair(500, 9_800)];
        assert!(gets_an_answer(&answers, vec![other, own()]));
    }

    #[test]
    fn an_answer_is_not_held_back_for_long() {
        let late = (pair(0, 80_000), true);
        assert!(!gets_an_answer(&[pair(500, 9_800)], vec![late]));
    }
}
