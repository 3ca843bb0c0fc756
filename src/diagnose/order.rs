//! The order in which a gateway serves. In: exchanges that went well beside the failed ones. Out: anchors that
//! tell which attempts lie before and after an exchange.
//!
//! The rule: an event loop takes requests and answers in order. How well that holds is measured on the
//! exchanges whose attempt is known by its relayed answer, never assumed.

use std::collections::BTreeSet;

use crate::diagnose::candidate::Gateway;
use crate::diagnose::gateway::product::may_hand_over;
use crate::diagnose::hands::Hands;
use crate::diagnose::record::{AttemptId, ExchangeRecord, cut_short};
use crate::diagnose::rewrites;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::workers::{self, Team, Ties, Workers};
use crate::frame::{FrameId, Mark};
use crate::protocol::observation::{Completion, ExchangeId};
use crate::tcp::event::ConnectionId;
use crate::time::Timestamp;

/// Most exchanges that are looked at for anchors around one group.
const EXCHANGES_MAX: usize = 4_096;
/// Neighbours with which an anchor is compared to measure how well order holds.
const NEIGHBOURS: usize = 8;
/// Frames closer than this may have been taken by different processors: no order is read from them.
const NOISE_NANOS: i64 = 5_000;
/// Anchors that contradict one pairing count no more than this.
const CONTRADICTIONS_MAX: u32 = 3;
/// Heads of this size are refused by some gateways, bytes.
const HUGE_HEAD: u32 = 4_096;
/// Anchors that were asked within this of an exchange speak for or against its pairings, nanoseconds.
const NEAR_NANOS: i64 = 5_000_000;
/// Anchors further apart than this say nothing of each other's order, nanoseconds.
const NEIGHBOUR_NANOS: i64 = 2_000_000;
/// With fewer comparisons than this, how well order holds is unknown.
const COMPARED_MIN: u32 = 6;
/// What is taken for granted then: enough for likely, too little for certain.
const UNMEASURED: f64 = 0.35;

/// A client's exchange that went well, and the attempt whose answer it was.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    client: ConnectionId,
    /// With whom the client's connection works, once that is known.
    team: Option<Team>,
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
    /// Whether the product keeps an order at all, as far as known.
    pub kept: bool,
    /// How well answers are passed on in the order in which they came.
    pub ends: f64,
    /// How long requests usually waited before they were passed on, and answers: medians, nanoseconds; `None` where too
    /// few were seen.
    pub lags: Option<(i64, i64)>,
    /// Attempts whose answer a client has got.
    pub served: BTreeSet<AttemptId>,
    /// Which connections work together.
    pub workers: Workers,
    /// When any client asked at the gateway's addresses, and when its answer went out; in no order.
    pub asked: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Order {
    /// Ties the exchanges of `gateway` that went well between `from` and `until` to their attempts.
    #[must_use]
    pub fn measure(
        timeline: &Timeline,
        gateway: &Gateway,
        (from, until): (Timestamp, Timestamp),
        hands: &Hands,
    ) -> Self {
        let mut order = Self::default();
        let mut ties = Ties::default();
        let well = attempts_that_went_well(timeline, gateway, from, until);
        let since = Mark {
            time: from,
            ..Mark::default()
        };
        let last = Mark {
            time: until,
            frame: FrameId::new(u16::MAX, u64::MAX),
        };
        let mut clients: Vec<ExchangeId> = timeline
            .served_on(gateway.vantage, gateway.endpoint.addr, since, last)
            .collect();
        clients.reverse();
        let all = hands.map(&clients, |id| Served::of(timeline, gateway, *id, &well));
        for (id, served) in clients.into_iter().zip(all) {
            let Some(served) = served else {
                continue;
            };
            order.asked.extend(served.asked);
            let mut mine = served
                .relays
                .into_iter()
                .filter_map(|place| well.get(place))
                .filter(|(_, attempt, _)| !order.served.contains(attempt));
            let (first, second) = (mine.next(), mine.next());
            // The answer that came last before it was passed on: a gateway does not sit on an answer.
            let latest = first
                .into_iter()
                .chain(second)
                .chain(mine)
                .max_by_key(|(.., upstream)| upstream.response_at);
            let Some((start, attempt, upstream)) = latest else {
                continue;
            };
            order.served.insert(*attempt);
            // Only an answer that could be no other's says anything of order and workers.
            if second.is_none()
                && let (Some(answered), Some(passed_on)) = (upstream.response_at, served.passed_on)
            {
                ties.tie(id.connection, attempt.connection);
                order.anchors.push(Anchor {
                    client: id.connection,
                    team: None,
                    asked: served.at,
                    started: start.time,
                    answered: answered.time,
                    passed_on,
                });
            }
        }
        order.workers = ties.workers();
        for anchor in &mut order.anchors {
            anchor.team = order.workers.team(anchor.client);
        }
        order
            .anchors
            .sort_unstable_by_key(|anchor| (anchor.asked, anchor.started));
        order.starts = order.how_well(|anchor| (anchor.asked, anchor.started));
        order.kept = gateway.product.is_none_or(|product| product.keeps_order);
        if !order.kept {
            order.starts = 0.0;
        }
        order.ends = order.how_well(|anchor| (anchor.answered, anchor.passed_on));
        order.lags = order
            .median(|anchor| anchor.started.nanos_since(anchor.asked))
            .zip(order.median(|anchor| anchor.passed_on.nanos_since(anchor.answered)));
        order
    }

    /// What half of the anchors do not exceed.
    fn median(&self, of: fn(&Anchor) -> i64) -> Option<i64> {
        let mut all: Vec<i64> = self.anchors.iter().map(of).collect();
        let at = all.len() / 2;
        (all.len() >= COMPARED_MIN as usize).then(|| *all.select_nth_unstable(at).1)
    }

    fn how_well(&self, of: fn(&Anchor) -> (Timestamp, Timestamp)) -> f64 {
        let mut compared = 0_u32;
        let mut crossed = 0_u32;
        let mut pairs: Vec<(Timestamp, Timestamp, ConnectionId, Option<Team>)> = self
            .anchors
            .iter()
            .map(|anchor| (of(anchor).0, of(anchor).1, anchor.client, anchor.team))
            .collect();
        pairs.sort_unstable_by_key(|(one, then, client, _)| (*one, *then, *client));
        for (index, (one, one_then, _, mine)) in pairs.iter().enumerate() {
            for (other, other_then, _, theirs) in pairs.iter().skip(index + 1).take(NEIGHBOURS) {
                if other.nanos_since(*one) >= NEIGHBOUR_NANOS {
                    break;
                }
                if workers::same(*mine, *theirs) != Some(false) {
                    compared += 1;
                    crossed += u32::from(crosses(*one, *one_then, *other, *other_then));
                }
            }
        }
        if compared < COMPARED_MIN {
            return UNMEASURED;
        }
        // One crossing is assumed that was not seen, so that only many comparisons make order certain.
        let share = f64::from(crossed + 1) / f64::from(compared + 4);
        (1.0 - 4.0 * share).clamp(0.0, 1.0)
    }

    /// What the anchors say against an attempt that began at `started` for an exchange asked at `asked`.
    #[must_use]
    pub fn against(&self, client: ConnectionId, asked: Timestamp, started: Timestamp) -> f64 {
        let first = self
            .anchors
            .partition_point(|anchor| anchor.asked.nanos_since(asked) < -NEAR_NANOS);
        let mine = self.workers.team(client);
        let crossed = self
            .anchors
            .iter()
            .skip(first)
            .take_while(|anchor| anchor.asked.nanos_since(asked) < NEAR_NANOS)
            .filter(|anchor| workers::same(mine, anchor.team) != Some(false))
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

/// What a gateway did for one client.
struct Served {
    /// When it was asked.
    at: Timestamp,
    /// When it was asked at one of the gateway's own addresses, and when the answer went out.
    asked: Option<(Timestamp, Option<Timestamp>)>,
    /// When the answer went out, where all of it did.
    passed_on: Option<Timestamp>,
    /// Attempts of which it may be the relay, by their places.
    relays: Vec<usize>,
}

impl Served {
    /// What became of the exchange `id`, among the attempts in `well`.
    fn of(
        timeline: &Timeline,
        gateway: &Gateway,
        id: ExchangeId,
        well: &[Attempt<'_>],
    ) -> Option<Self> {
        let (record, client) = timeline.exchange(id)?;
        let at = client.asked_at();
        let answered = client.response_at.map(|at| at.time);
        let server = record.facts.server.addr;
        let here = server == gateway.endpoint.addr || gateway.addrs.contains(&server);
        // Who got a part only was not served.
        let cut = client.response_end.is_some_and(|end| cut_short(end.how));
        let passed_on = client.response_at.filter(|_| !cut);
        let relays = |passed_on: Mark| {
            let first =
                well.partition_point(|(start, ..)| start.time.nanos_since(at.time) < -NOISE_NANOS);
            let within = well.iter().enumerate().skip(first);
            within
                .take_while(|(_, (start, ..))| *start <= passed_on)
                .filter(|(_, (_, attempt, upstream))| {
                    attempt.connection != id.connection && relayed(timeline, client, upstream)
                })
                .map(|(place, _)| place)
                .collect()
        };
        Some(Self {
            at: at.time,
            asked: here.then_some((at.time, answered)),
            passed_on: passed_on.map(|at| at.time),
            relays: passed_on.map_or(Vec::new(), relays),
        })
    }
}

type Attempt<'a> = (Mark, AttemptId, &'a ExchangeRecord);

/// The latest attempts of a gateway whose answers are whole, by their beginning.
fn attempts_that_went_well<'a>(
    timeline: &'a Timeline,
    gateway: &Gateway,
    from: Timestamp,
    until: Timestamp,
) -> Vec<Attempt<'a>> {
    let mut found = Vec::new();
    for host in gateway
        .addrs
        .iter()
        .filter_map(|addr| timeline.host(gateway.vantage, *addr))
    {
        let recent = host
            .uses
            .iter()
            .rev()
            .skip_while(|(at, _)| at.time > until)
            .take_while(|(at, _)| at.time >= from);
        for (at, id) in recent.take(EXCHANGES_MAX) {
            let Some(index) = id.index else { continue };
            let exchange = timeline.exchange(ExchangeId {
                connection: id.connection,
                index,
            });
            if let Some((record, exchange)) = exchange.filter(|(_, exchange)| exchange.went_well())
                && record.facts.server != gateway.endpoint
                && timeline.is_best_client_view(id.connection, gateway.vantage, &gateway.addrs)
            {
                // A pool that hands over may have dialled for another, who was served meanwhile.
                let dialled = !may_hand_over(gateway.product) && record.opened_for_first_use();
                let fresh = index == 0 && dialled;
                found.push((if fresh { record.facts.opened } else { *at }, *id, exchange));
            }
        }
    }
    found.sort_unstable_by_key(|(start, id, _)| (*start, *id));
    found
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
pub fn relayed(timeline: &Timeline, client: &ExchangeRecord, upstream: &ExchangeRecord) -> bool {
    let (Some(to_client), Some(from_upstream)) = (client.response_at, upstream.response_at) else {
        return false;
    };
    // What is cheap to tell and seldom so comes first: many pairs are looked at, and few are one.
    let same_body = || match (client.response_end, upstream.response_end) {
        // A client that misses bytes of it has not got it, though nothing else came.
        (Some(one), Some(other)) => {
            one.how != Completion::BodyClosed
                && one.body_len == other.body_len
                && one.body_hash == other.body_hash
        }
        _ => false,
    };
    let whole_head = || match (&client.response, &upstream.response) {
        // A gateway adds and drops lines, but does not pass on a huge head as a small one.
        (Some(to), Some(from)) => from.head_len < HUGE_HEAD || to.head_len > from.head_len / 2,
        _ => true,
    };
    let same_request = || match (&client.request, &upstream.request) {
        (Some(one), Some(other)) => {
            one.method == other.method
                && (one.target == other.target
                    || rewrites::seen(timeline, client, one, other).is_some())
        }
        _ => true,
    };
    to_client >= from_upstream
        && same_body()
        && client.status() == upstream.status()
        && whole_head()
        && same_request()
}
