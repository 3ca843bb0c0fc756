//! Failed exchanges of one gateway and all attempts in their window. In: exchanges. Out: which attempt was whose last.
//!
//! The rule: who may be paired is told by time and cause, how well they fit by `fit`, and who is paired by `assign`, for all at
//! once.

mod chain;

use std::collections::{BTreeSet, HashMap};

use crate::diagnose::assign::{Assignment, Case, assign};
use crate::diagnose::backlog::{RECOUNT_NANOS, Turn};
use crate::diagnose::candidate::{
    CANDIDATES_MAX, CLEAN_UP_MILLIS, Candidate, Standing, candidates,
};
use crate::diagnose::conclusion::Member;
use crate::diagnose::fit::{Fit, fit, is_within};
use crate::diagnose::hands::Hands;
use crate::diagnose::order::Order;
use crate::diagnose::page;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::retry::retry_gap;
use crate::diagnose::rewrites;
use crate::diagnose::sidecar;
use crate::diagnose::timeline::{SETTLED_KEPT_NANOS, Timeline};
use crate::diagnose::turns::Turns;
use crate::frame::Mark;

/// What it costs that an upstream connection belongs to the pool of another worker.
const OTHER_WORKER: f64 = 1.5;
/// How far back order and workers are learnt: as long as what went well is remembered. Milliseconds.
const LEARNT_FROM_MILLIS: i64 = SETTLED_KEPT_NANOS / 1_000_000;
/// Failed attempts that one exchange is compared with from each side (latest ends, first beginnings, nobody
/// answered): beyond, the gap alone rules a pairing out, and an outage of 100,000 errors stays near linear.
const NEAR_MAX: usize = 32;
/// Attempts that are looked at to find them.
const SCANNED_MAX: usize = 256;
/// Failed attempts that are looked at as the one before a retry.
const PREDECESSORS_MAX: usize = 16;

/// All attempts of a gateway in the window of a group.
pub struct Scene<'a> {
    /// The failed exchanges.
    pub members: Vec<(&'a Member, &'a ExchangeRecord)>,
    /// By the moment at which they were sent at the latest.
    pub candidates: Vec<Candidate>,
    /// Failed ones with a moment of failure, by that moment.
    by_end: Vec<usize>,
    /// Failed ones without (nobody ever answered), in the order of `candidates`.
    endless: Vec<usize>,
    /// Those with a server error of a service on the gateway's machine for an answer.
    erring: Vec<usize>,
    /// What is asked of each of `candidates` for every error.
    known: Vec<Known<'a>>,
    order: Order,
    turns: Turns,
    /// Whether frames of any connection in it are missing.
    unsettled: bool,
    /// How far apart two machines may show one instant, nanoseconds.
    unsure: i64,
}

/// What is known of an attempt whichever error it may have led to.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    /// The request that it carries.
    attempt: Option<&'a ExchangeRecord>,
    /// How many members have asked for just that.
    askers: usize,
    /// Whose turn it was when it began.
    turn: Option<Turn>,
    /// How many failed ones had ended when it began, and how many that nobody answered had begun.
    before: (usize, usize),
}

impl<'a> Scene<'a> {
    /// Gathers what the members may have in common; `None` where none of them is remembered.
    #[must_use]
    pub fn gather(timeline: &'a Timeline, members: &'a [Member], hands: &Hands) -> Option<Self> {
        let members: Vec<(&Member, &ExchangeRecord)> = members
            .iter()
            .filter_map(|member| Some((member, timeline.exchange(member.suspect.exchange)?.1)))
            .collect();
        let open = members
            .iter()
            .map(|(_, exchange)| exchange.request_at)
            .min()?;
        let from = open.time.plus_millis(-1);
        let until = members
            .iter()
            .map(|(member, _)| member.suspect.at)
            .max()?
            .time;
        let gateway = &members.first()?.0.identified.gateway;
        // What was still to do when the first of them was asked counts too.
        let before = from.plus_nanos(-RECOUNT_NANOS);
        let mut found = candidates(timeline, gateway, (before, until), CANDIDATES_MAX, hands);
        let order = Order::measure(
            timeline,
            gateway,
            (from.plus_millis(-LEARNT_FROM_MILLIS), until),
            hands,
        );
        let turns = Turns::count(&members, &found, &order, before);
        let widest = timeline.clocks.widest();
        found.retain(|candidate| candidate.sent.time >= from.plus_nanos(-widest));
        // An answer that a client has got was not refused, however odd it is.
        let spoken_for = |candidate: &Candidate| {
            candidate.claimed || (candidate.whole && order.served.contains(&candidate.id))
        };
        found.retain(|candidate| !spoken_for(candidate));
        let failed = |ended: bool| {
            let found = &found;
            (0..found.len()).filter(move |index| {
                found.get(*index).is_some_and(|candidate| {
                    candidate.standing == Standing::Failed && candidate.end.is_some() == ended
                })
            })
        };
        let endless = failed(false).collect();
        let places = found.iter().enumerate();
        let erring = places
            .filter_map(|(place, candidate)| {
                sidecar::erred_here(timeline, gateway, candidate).then_some(place)
            })
            .collect();
        let mut by_end: Vec<usize> = failed(true).collect();
        by_end.sort_by_key(|index| {
            found
                .get(*index)
                .map(|candidate| (candidate.end, candidate.id))
        });
        let clients = members
            .iter()
            .map(|(member, _)| member.suspect.exchange.connection);
        let attempts = found.iter().map(|candidate| candidate.id.connection);
        let unsettled = members.len() > 1
            && clients
                .chain(attempts)
                .filter_map(|id| timeline.connection(id))
                .any(ConnectionRecord::is_lossy);
        let mut scene = Self {
            members,
            candidates: found,
            by_end,
            endless,
            erring,
            known: Vec::new(),
            order,
            turns,
            unsettled,
            unsure: timeline.clocks.widest(),
        };
        let mut asked: HashMap<(&str, &str), usize> = HashMap::new();
        for (_, exchange) in &scene.members {
            if let Some(request) = request_of(exchange) {
                *asked.entry(request).or_default() += 1;
            }
        }
        scene.known = hands.map(&scene.candidates, |candidate| {
            let attempt = timeline.attempt(candidate.id);
            let sent = attempt.and_then(request_of);
            Known {
                attempt,
                askers: sent.and_then(|sent| asked.get(&sent).copied()).unwrap_or(0),
                turn: scene.turns.of_attempt(candidate),
                before: scene.before(candidate.start),
            }
        });
        Some(scene)
    }

    /// How many failed attempts had ended at `start`, and how many that nobody answered had begun.
    fn before(&self, start: Mark) -> (usize, usize) {
        let ended = self
            .by_end
            .partition_point(|index| self.end_of(*index).is_some_and(|end| end <= start));
        let begun = self
            .endless
            .partition_point(|index| self.sent_at(*index).is_some_and(|at| at < start));
        (ended, begun)
    }

    fn end_of(&self, index: usize) -> Option<Mark> {
        self.candidates.get(index)?.end
    }

    fn known(&self, index: usize) -> Known<'a> {
        self.known.get(index).copied().unwrap_or_default()
    }

    fn sent_at(&self, index: usize) -> Option<Mark> {
        Some(self.candidates.get(index)?.sent)
    }

    /// Gives each member its last attempt.
    #[must_use]
    pub fn assign(&self, timeline: &Timeline, hands: &Hands) -> Vec<Option<Assignment>> {
        let cases: Vec<Case<'_>> = hands.map(&self.members, |(member, exchange)| {
            let turn = self.turns.of_answer(member);
            let near = self.near(member, exchange);
            let fits = near
                .into_iter()
                .filter_map(|index| {
                    let fit = self.fit(timeline, (member, exchange, turn), index, None)?;
                    Some((index, fit))
                })
                .collect();
            Case {
                suspect: member.suspect,
                exchange,
                team: self.order.workers.team(member.suspect.exchange.connection),
                fits,
            }
        });
        assign(&cases, &self.candidates, &self.order)
    }

    /// The failed attempts that are worth a comparison: those that ended last before the error, those that
    /// began first after the request, and those that nobody answered.
    fn near(&self, member: &Member, exchange: &ExchangeRecord) -> BTreeSet<usize> {
        let at = member.suspect.at.time.plus_millis(CLEAN_UP_MILLIS);
        let (at, asked) = (at.plus_nanos(self.unsure), exchange.request_at);
        let asked = asked.back_nanos(self.unsure);
        let ended = self
            .by_end
            .partition_point(|index| self.end_of(*index).is_some_and(|end| end.time <= at));
        let inside = |index: &usize| {
            self.sent_at(*index)
                .is_some_and(|start| start >= asked && start.time <= at)
        };
        let last = self
            .by_end
            .iter()
            .take(ended)
            .rev()
            .take(SCANNED_MAX)
            .copied()
            .filter(inside)
            .take(NEAR_MAX);
        let begun = self
            .candidates
            .partition_point(|candidate| candidate.sent < asked);
        let first = (begun..self.candidates.len())
            .take(SCANNED_MAX)
            .filter(|index| {
                self.candidates
                    .get(*index)
                    .is_some_and(|c| c.standing == Standing::Failed)
            })
            .filter(inside)
            .take(NEAR_MAX);
        let waited = self
            .endless
            .partition_point(|index| self.sent_at(*index).is_some_and(|start| start < asked));
        let silent = self
            .endless
            .iter()
            .skip(waited)
            .copied()
            .filter(inside)
            .take(NEAR_MAX);
        last.chain(first).chain(silent).collect()
    }

    /// How a candidate fits. `given` are the last attempts of all members once they are known; the words are wanted then.
    fn fit(
        &self,
        timeline: &Timeline,
        (member, exchange, turn): (&Member, &ExchangeRecord, Option<Turn>),
        index: usize,
        given: Option<&BTreeSet<AttemptId>>,
    ) -> Option<Fit> {
        let candidate = self.candidates.get(index)?;
        if !is_within(timeline, &member.suspect, exchange, candidate) {
            return None;
        }
        let known = self.known(index);
        if sidecar::is_of_a_neighbour(
            timeline,
            (&member.suspect, exchange),
            (&self.candidates, &self.erring),
            candidate,
        ) {
            return None;
        }
        let (trigger, before) = self.trigger(timeline, (index, candidate), exchange, given);
        let product = member.identified.gateway.product;
        let mut fit = fit(
            timeline,
            &member.suspect,
            exchange,
            (candidate, known.attempt),
            trigger,
            product,
            given.is_some(),
        )?;
        if let Some(before) = before {
            fit.retries(before, asked_before(candidate, exchange));
        }
        let client = member.suspect.exchange.connection;
        let start = candidate.begun_since(exchange.request_at).time;
        fit.order_cost += self.order.against(client, exchange.asked_at().time, start);
        if self.order.workers.same(client, candidate.id.connection) == Some(false) {
            fit.score -= OTHER_WORKER;
        }
        if candidate
            .code
            .and_then(|code| page::contradicts(member, code))
            == Some(true)
        {
            fit.take_contradiction();
        }
        weigh_request(timeline, &mut fit, exchange, known);
        let turns = &self.turns;
        turns.weigh(&mut fit, (member, exchange, turn), (candidate, known.turn));
        Some(fit)
    }

    /// What set an attempt off inside an exchange: the request, or the failure of an attempt before it, which is named then.
    /// What is the last attempt of a member (`given`) led to no other.
    fn trigger(
        &self,
        timeline: &Timeline,
        (index, candidate): (usize, &Candidate),
        exchange: &ExchangeRecord,
        given: Option<&BTreeSet<AttemptId>>,
    ) -> (Mark, Option<usize>) {
        let asked = asked_before(candidate, exchange);
        let free = |before: &Candidate| given.is_none_or(|given| !given.contains(&before.id));
        let before = self
            .predecessor(timeline, (index, candidate), exchange)
            .and_then(|index| Some((index, self.candidates.get(index)?)))
            .filter(|(_, before)| free(before));
        match before.and_then(|(index, before)| Some((index, before.end?))) {
            Some((index, failed)) if failed > asked => (failed, Some(index)),
            _ => (asked, None),
        }
    }

    /// The failed attempt that `candidate` may be the retry of, inside `exchange`.
    fn predecessor(
        &self,
        timeline: &Timeline,
        (index, candidate): (usize, &Candidate),
        exchange: &ExchangeRecord,
    ) -> Option<usize> {
        let start = candidate.begun_since(exchange.request_at);
        let since_asked = start.time.nanos_since(exchange.asked_at().time);
        let (ended, begun) = match start == candidate.start {
            true => self.known(index).before,
            false => self.before(start),
        };
        let fits = |index: usize, found: Option<(i64, AttemptId, usize)>| {
            let before = self.candidates.get(index)?;
            let gap = retry_gap(before, candidate)?;
            let fits = !before.whole
                && before.id != candidate.id
                && before.sent >= exchange.request_at
                && before.start < start
                && gap < since_asked
                && found.is_none_or(|(least, id, _)| (gap, before.id) < (least, id))
                && !is_anothers(timeline, exchange, self.known(index));
            fits.then_some((gap, before.id, index))
        };
        let mut found: Option<(i64, AttemptId, usize)> = None;
        for index in latest(&self.by_end, ended) {
            // Those that ended last come first: gaps grow, and what is beyond the least is of no use.
            let gap = self
                .end_of(index)
                .map(|end| candidate.start.time.nanos_since(end.time));
            let useless =
                |gap: i64| gap >= since_asked || found.is_some_and(|(least, ..)| gap > least);
            if gap.is_none_or(useless) {
                break;
            }
            found = fits(index, found).or(found);
        }
        for index in latest(&self.endless, begun) {
            found = fits(index, found).or(found);
        }
        found.map(|(.., index)| index)
    }
}

/// The last of a list before `until`, the latest first, as far as they are looked at.
fn latest(list: &[usize], until: usize) -> impl Iterator<Item = usize> + '_ {
    let list = list.get(..until).unwrap_or_default();
    list.iter().rev().take(PREDECESSORS_MAX).copied()
}

/// When `exchange` had asked for what `candidate` carries: its request was whole, or had begun.
fn asked_before(candidate: &Candidate, exchange: &ExchangeRecord) -> Mark {
    let start = candidate.begun_since(exchange.request_at);
    match exchange.request_end {
        Some(end) if end.how.is_complete() && end.at <= start => end.at,
        _ => exchange.asked_at().min(start.max(exchange.request_at)),
    }
}

/// Method and target that a client asked.
fn request_of(exchange: &ExchangeRecord) -> Option<(&str, &str)> {
    let head = exchange.request.as_ref()?;
    Some((&head.method, &head.target))
}

/// Weighs whose request an attempt carries, among those that failed: most gateways pass the target on as it is.
fn weigh_request(timeline: &Timeline, fit: &mut Fit, exchange: &ExchangeRecord, known: Known<'_>) {
    let sent = known.attempt.and_then(request_of);
    let (Some(sent), Some(asked)) = (sent, request_of(exchange)) else {
        return;
    };
    if sent == asked {
        fit.own = known.askers == 1;
    } else if known.askers > 0 && !is_rewritten(timeline, exchange, known) {
        fit.take_anothers_request();
    }
}

/// Whether a failed attempt cannot have been a part of `exchange` though it lies within: it carries another's request.
fn is_anothers(timeline: &Timeline, exchange: &ExchangeRecord, known: Known<'_>) -> bool {
    let sent = known.attempt.and_then(request_of);
    let asked = request_of(exchange);
    known.askers > 0
        && sent.is_some()
        && asked.is_some()
        && sent != asked
        && !is_rewritten(timeline, exchange, known)
}

/// Whether an attempt carries what this gateway is known to make of the client's request.
fn is_rewritten(timeline: &Timeline, exchange: &ExchangeRecord, known: Known<'_>) -> bool {
    let sent = known.attempt.and_then(|attempt| attempt.request.as_ref());
    match (&exchange.request, sent) {
        (Some(asked), Some(sent)) => rewrites::seen(timeline, exchange, asked, sent).is_some(),
        _ => false,
    }
}
