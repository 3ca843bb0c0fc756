//! Whose turn it was. In: the exchanges and attempts of one gateway around a group of errors. Out: what the order in
//! which it works says for and against a pairing.
//!
//! The rule: all that the gateway did counts, what went well too, so that an error has a place among thousands of
//! answers and not among errors alone.

use crate::diagnose::backlog::{Backlog, RECOUNT_NANOS, Turn};
use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::Member;
use crate::diagnose::finding::Failure;
use crate::diagnose::fit::Fit;
use crate::diagnose::order::Order;
use crate::diagnose::record::ExchangeRecord;
use crate::time::Timestamp;

/// A gateway that gives up may close upstream a little after it has answered; it had its turn before. Nanoseconds.
const OWN_CLOSE_NANOS: i64 = 1_000_000;

/// A gateway that writes at the end of a turn of its loop has written within this, nanoseconds.
const WRITTEN_LATE_NANOS: i64 = 10_000_000;

/// What is known of a gateway's turns.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Requests that came, attempts that went.
    starts: Backlog,
    /// Answers and failures that came, answers that went.
    ends: Backlog,
    /// When requests were written to connections of the pool, in order.
    pooled: Vec<Timestamp>,
}

impl Turns {
    /// Counts all attempts in `found`, which begin at `since` or later, and what clients asked and got since.
    #[must_use]
    pub fn count(
        members: &[(&Member, &ExchangeRecord)],
        found: &[Candidate],
        order: &Order,
        since: Timestamp,
    ) -> Self {
        // Who asked before is left out with all that became of it, so that the counts agree.
        let asked = || order.asked.iter().filter(|(at, _)| *at >= since);
        let all = || found.iter().map(begun);
        let mut pooled: Vec<Timestamp> = all()
            .filter_map(|(at, dialled)| (!dialled).then_some(at))
            .collect();
        pooled.sort_unstable();
        let came = found.iter().filter_map(|candidate| {
            reacted_to(candidate).or_else(|| Some(candidate.end?.time.plus_nanos(-OWN_CLOSE_NANOS)))
        });
        let silent = members
            .iter()
            .filter(|(member, exchange)| exchange.response_at.is_none() && answers(member))
            .map(|(member, _)| member.suspect.at.time);
        let went = asked().filter_map(|(_, answered)| *answered).chain(silent);
        Self {
            starts: Backlog::new(
                asked().map(|(at, _)| *at).collect(),
                all().map(|(at, _)| at).collect(),
            ),
            ends: Backlog::new(came.collect(), went.collect()),
            pooled,
        }
    }

    /// How many requests may have been read before a SYN at `at` and were written only after it.
    fn written_after(&self, at: Timestamp) -> u64 {
        let until = at.plus_nanos(WRITTEN_LATE_NANOS);
        let before = |time: Timestamp| self.pooled.partition_point(|other| *other <= time);
        u64::try_from(before(until) - before(at)).unwrap_or(u64::MAX)
    }

    /// Whose turn it was to fail when the answer of `member` went out.
    #[must_use]
    pub fn of_answer(&self, member: &Member) -> Option<Turn> {
        self.ends
            .turn(member.suspect.at.time)
            .filter(|_| answers(member))
    }

    /// Whose turn it was to be passed on when `candidate` began.
    #[must_use]
    pub fn of_attempt(&self, candidate: &Candidate) -> Option<Turn> {
        self.starts.turn(begun(candidate).0)
    }

    /// Adds to `fit` what turns say of `candidate` for the exchange of `member`; both turns as told for them.
    pub fn weigh(
        &self,
        fit: &mut Fit,
        (member, exchange, last): (&Member, &ExchangeRecord, Option<Turn>),
        (candidate, first): (&Candidate, Option<Turn>),
    ) {
        let product = member.identified.gateway.product;
        let keeps_order = product.is_none_or(|product| product.keeps_order);
        if let Some(turn) = last
            && let Some(came) = reacted_to(candidate)
        {
            let gap = member.suspect.at.time.nanos_since(came);
            fit.take_last_turn(gap, self.ends.distance(came, turn), keeps_order);
        }
        // Where writes wait for the end of a turn, only what is sent at once tells when the request was read: a SYN.
        let (begun, dialled) = begun(candidate);
        if let Some(turn) = first.filter(|_| keeps_order || dialled) {
            let distance = self.starts.distance(exchange.asked_at().time, turn);
            let waits = if keeps_order {
                0
            } else {
                self.written_after(begun)
            };
            fit.take_first_turn(distance.less_what_waits(waits), keeps_order);
        }
    }
}

/// When the gateway set out for an attempt, and whether it dialled for it: a busy one may send the request much later.
fn begun(candidate: &Candidate) -> (Timestamp, bool) {
    let dialled = candidate
        .dialled
        .filter(|syn| candidate.start.time.nanos_since(syn.time) < RECOUNT_NANOS);
    let at = dialled.unwrap_or(candidate.start);
    (at.time, dialled.is_some())
}

/// The moment of the upstream's doing to which the gateway reacts; `None` where it gave up by itself.
fn reacted_to(candidate: &Candidate) -> Option<Timestamp> {
    let by_gateway = candidate
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.by_gateway);
    // A head that is there is passed on, whatever becomes of the body.
    let passed_on = candidate.answered.filter(|_| candidate.status.is_some());
    let at = passed_on.or(candidate.end.filter(|_| !by_gateway))?;
    Some(at.time)
}

/// Whether the failure is the gateway's reaction to what ended the attempt, and not the end of an answer.
fn answers(member: &Member) -> bool {
    member.suspect.failure != Failure::TruncatedRelay
}
