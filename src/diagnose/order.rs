//! The order in which a gateway serves. In: exchanges that went well beside the failed ones. Out: anchors that
//! tell which attempts lie before and after an exchange.
//!
//! The rule: an event loop takes requests and answers in order. How well that holds is measured on the
//! exchanges whose attempt is known by its relayed answer, never assumed.

use std::collections::BTreeSet;

use crate::diagnose::candidate::{Candidate, Gateway, Standing};
use crate::diagnose::timeline::{AttemptId, ExchangeRecord, Timeline};
use crate::protocol::observation::ExchangeId;
use crate::time::Timestamp;

/// Most exchanges that are looked at for anchors around one group.
const EXCHANGES_MAX: usize = 4_096;
/// Neighbours with which an anchor is compared to measure how well order holds.
const NEIGHBOURS: usize = 8;
/// Frames closer than this may have been taken by different processors: no order is read from them.
const NOISE_NANOS: i64 = 5_000;
/// Anchors that contradict one pairing count no more than this.
const CONTRADICTIONS_MAX: u32 = 3;
/// Anchors further apart than this say nothing of each other's order, nanoseconds.
const NEIGHBOUR_NANOS: i64 = 2_000_000;
/// With fewer comparisons than this, how well order holds is unknown.
const COMPARED_MIN: u32 = 6;
/// What is taken for granted then: enough for likely, too little for certain.
const UNMEASURED: f64 = 0.45;

/// A client's exchange that went well, and the attempt whose answer it was.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    asked: Timestamp,
    started: Timestamp,
    answered: Timestamp,
    passed_on: Timestamp,
}

/// What is known of the order in which a gateway serves.
#[derive(Clone, Debug, Default)]
pub struct Order {
    anchors: Vec<Anchor>,
    /// How well attempts begin in the order of requests: from 0 (order means nothing here) to 1.
    pub starts: f64,
    /// How well answers are passed on in the order in which they came.
    pub ends: f64,
    /// Attempts whose answer a client has got.
    pub served: BTreeSet<AttemptId>,
}

impl Order {
    /// Ties the exchanges of `gateway` that went well between `from` and `until` to their attempts.
    #[must_use]
    pub fn measure(
        timeline: &Timeline,
        gateway: &Gateway,
        candidates: &[Candidate],
        from: Timestamp,
        until: Timestamp,
    ) -> Self {
        let mut order = Self::default();
        let Some(host) = timeline.host(gateway.vantage, gateway.endpoint.addr) else {
            return order;
        };
        let well: Vec<(&Candidate, &ExchangeRecord)> = candidates
            .iter()
            .filter(|candidate| candidate.standing == Standing::Well || candidate.whole)
            .filter_map(|candidate| {
                let id = ExchangeId {
                    connection: candidate.id.connection,
                    index: candidate.id.index?,
                };
                Some((candidate, timeline.exchange(id)?.1))
            })
            .collect();
        let first = (
            crate::frame::Mark {
                time: from,
                ..Default::default()
            },
            ExchangeId {
                connection: Default::default(),
                index: 0,
            },
        );
        for (_, id) in host
            .served
            .range(first..)
            .take_while(|(at, _)| at.time <= until)
            .take(EXCHANGES_MAX)
        {
            let Some((_, client)) = timeline.exchange(*id) else {
                continue;
            };
            let open = |candidate: &Candidate| {
                candidate.start.time.nanos_since(client.asked_at().time) > -NOISE_NANOS
            };
            let mut mine = well
                .iter()
                .filter(|(candidate, _)| {
                    open(candidate) && candidate.id.connection != id.connection
                })
                .filter(|(candidate, upstream)| {
                    !order.served.contains(&candidate.id) && relayed(client, upstream)
                });
            let Some((candidate, upstream)) = mine.next() else {
                continue;
            };
            let only = mine.next().is_none();
            order.served.insert(candidate.id);
            // Only an answer that could be no other's says anything of the order.
            if only
                && let (Some(answered), Some(passed_on)) =
                    (upstream.response_at, client.response_at)
            {
                order.anchors.push(Anchor {
                    asked: client.asked_at().time,
                    started: candidate.start.time,
                    answered: answered.time,
                    passed_on: passed_on.time,
                });
            }
        }
        order.starts = order.how_well(|anchor| (anchor.asked, anchor.started));
        order.ends = order.how_well(|anchor| (anchor.answered, anchor.passed_on));
        order
    }

    fn how_well(&self, of: fn(&Anchor) -> (Timestamp, Timestamp)) -> f64 {
        let mut compared = 0_u32;
        let mut crossed = 0_u32;
        let mut pairs: Vec<(Timestamp, Timestamp)> = self.anchors.iter().map(of).collect();
        pairs.sort_unstable();
        for (index, (one, one_then)) in pairs.iter().enumerate() {
            for (other, other_then) in pairs.iter().skip(index + 1).take(NEIGHBOURS) {
                if other.nanos_since(*one) < NEIGHBOUR_NANOS {
                    compared += 1;
                    crossed += u32::from(crosses(*one, *one_then, *other, *other_then));
                }
            }
        }
        if compared < COMPARED_MIN {
            return UNMEASURED;
        }
        (1.0 - 4.0 * f64::from(crossed) / f64::from(compared)).clamp(0.0, 1.0)
    }

    /// What the anchors say against an attempt that began at `started` for an exchange asked at `asked`.
    #[must_use]
    pub fn against(&self, asked: Timestamp, started: Timestamp) -> f64 {
        let crossed = self
            .anchors
            .iter()
            .filter(|anchor| anchor.asked.nanos_since(asked).abs() < 5_000_000)
            .filter(|anchor| crosses(anchor.asked, anchor.started, asked, started))
            .count();
        f64::from(
            u32::try_from(crossed)
                .unwrap_or(u32::MAX)
                .min(CONTRADICTIONS_MAX),
        ) * 0.5
            * self.starts
    }
}

/// Whether two things that began in one order went on in the other.
#[must_use]
pub fn crosses(
    one: Timestamp,
    one_then: Timestamp,
    other: Timestamp,
    other_then: Timestamp,
) -> bool {
    let before = other.nanos_since(one);
    let after = other_then.nanos_since(one_then);
    before.abs() > NOISE_NANOS && after.abs() > NOISE_NANOS && (before > 0) != (after > 0)
}

/// Whether a client's answer is the relay of an upstream's: inside it, same status, same body.
#[must_use]
pub fn relayed(client: &ExchangeRecord, upstream: &ExchangeRecord) -> bool {
    let (Some(to_client), Some(from_upstream)) = (client.response_at, upstream.response_at) else {
        return false;
    };
    let same_body = match (client.response_end, upstream.response_end) {
        (Some(one), Some(other)) => {
            one.body_len == other.body_len && one.body_hash == other.body_hash
        }
        _ => false,
    };
    let same_request = match (&client.request, &upstream.request) {
        (Some(one), Some(other)) => one.method == other.method && one.target == other.target,
        _ => true,
    };
    to_client >= from_upstream && client.status() == upstream.status() && same_body && same_request
}
