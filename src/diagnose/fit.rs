//! How well an attempt fits an exchange. In: a failed exchange and an attempt. Out: a weight with its reasons.
//!
//! The rule (causes.md B.6): causality is hard; then identity, the gaps at both ends, and the status count.

use crate::diagnose::attempt::millis;
use crate::diagnose::auxiliary;
use crate::diagnose::backlog::Distance;
use crate::diagnose::candidate::Candidate;
use crate::diagnose::checks;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::Product;
use crate::diagnose::identity::{Likeness, Words, likeness};
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;

/// Clock noise between two frames of one capture point, nanoseconds: frames of two processors may be stamped
/// this much out of order.
const NOISE_NANOS: i64 = 20_000;
/// The gateway's own close upstream may follow its answer downstream by this much, nanoseconds.
const CLEAN_UP_NANOS: i64 = 20_000_000;
/// An absence shorter than this is no patience that ran out, nanoseconds.
const ABSENCE_MIN_NANOS: i64 = 100_000_000;
/// How much more than the first gap the last one counts: from the failure to the error.
const CLOSE_END: f64 = 1.5;
/// What it costs that a failure was not the next one in turn; more between cost less each.
const OUT_OF_TURN_AT_LAST: f64 = 0.7;
/// What of it remains where a gateway takes what waited together in any order.
const UNORDERED: f64 = 0.4;
/// The same for the beginning: a retry has no request of its own.
const OUT_OF_TURN_AT_FIRST: f64 = 0.6;
/// Places beyond this cost no more: they are another matter.
const PLACES_MAX: u64 = 32;
/// What it costs that the gateway's kernel still sent the SYN again after the error.
const SENT_AGAIN: f64 = 4.0;
/// What it costs that the request is the very one that another failed exchange has asked.
const ANOTHERS_REQUEST: f64 = 4.0;
/// What it costs that the gateway's own page tells another kind of failure: as much as a status that does not fit.
const CONTRADICTED: f64 = 4.0;
/// Below this sum a pairing is no pairing.
const SCORE_MIN: f64 = -4.0;

/// How well an attempt fits an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Sum of the weights; only comparisons matter.
    pub score: f64,
    /// What the order of other exchanges says against it: a hint, since one turn of an event loop may take
    /// what arrived together in any order.
    pub order_cost: f64,
    /// What speaks for it, one clause each.
    pub reasons: Words,
    /// Whether an identity was carried across that no other exchange shares.
    pub decisive: bool,
    /// Whether the attempt carries the request that this exchange alone, of those that failed, has asked.
    pub own: bool,
    /// Whether the product is known not to answer this cause with this status.
    pub status_clash: bool,
    /// The failed attempt that it would be the retry of, by index into the candidates, and what that adds to the score.
    pub retry_of: Option<(usize, f64)>,
    /// The part of the score that the two gaps make.
    timed: f64,
    /// How long after what set it off the attempt began, nanoseconds.
    pub start_gap: i64,
    /// How long before the error it ended, nanoseconds; `None` where it has no end.
    pub end_gap: Option<i64>,
    /// When it began.
    start: Mark,
}

impl Fit {
    /// The score with what order says.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.score - self.order_cost
    }

    /// The score without what the gaps say.
    #[must_use]
    pub fn timeless(&self) -> f64 {
        self.score - self.timed
    }

    /// Weighs that the gateway's own page tells another kind of failure.
    pub fn take_contradiction(&mut self) {
        self.score -= CONTRADICTED;
    }

    /// Notes that the attempt would be the retry of `before`, for an exchange that was asked at `asked`.
    pub fn retries(&mut self, before: usize, asked: Mark) {
        let since = self.start.time.nanos_since(asked.time);
        let adds = closeness(self.start_gap) - closeness(since);
        self.retry_of = (adds > 0.0).then_some((before, adds));
    }

    /// Weighs that another failed exchange has asked for just what the attempt carries, and this one has not. A gateway
    /// that rewrites may make one target of another by chance, so that it is not ruled out.
    pub fn take_anothers_request(&mut self) {
        if !self.decisive {
            self.score -= ANOTHERS_REQUEST;
        }
    }

    /// Weighs what a busy gateway had to do before: an event may have waited for its turn, `gap` nanoseconds in all.
    /// One that does not keep order takes what waited together in any.
    pub fn take_last_turn(&mut self, gap: i64, distance: Distance, keeps_order: bool) {
        let together = if keeps_order { 0 } else { distance.waited };
        let off = distance.nanos.saturating_sub(together).max(0);
        let waited = closeness(off) - closeness(gap);
        self.order_cost -= waited.max(0.0) * CLOSE_END;
        self.order_cost += places(distance)
            * if keeps_order {
                OUT_OF_TURN_AT_LAST
            } else {
                OUT_OF_TURN_AT_LAST * UNORDERED
            };
    }

    /// Weighs whether the attempt began when it was the request's turn.
    pub fn take_first_turn(&mut self, distance: Distance, keeps_order: bool) {
        if keeps_order {
            let waited = closeness(distance.nanos) - closeness(self.start_gap);
            self.order_cost -= waited.max(0.0);
        }
        self.order_cost += places(distance) * OUT_OF_TURN_AT_FIRST;
    }
}

/// Whether an attempt may have led to the error by when it began and ended, whatever set it off. Most that are looked at may
/// not, so that this is asked first.
#[must_use]
pub fn is_within(
    timeline: &Timeline,
    suspect: &Suspect,
    exchange: &ExchangeRecord,
    candidate: &Candidate,
) -> bool {
    let unsure = unsure(timeline, suspect, candidate);
    let noise = NOISE_NANOS.saturating_add(unsure);
    if candidate.start.time.nanos_since(suspect.at.time) > noise {
        return false;
    }
    let Some(end) = candidate.end else {
        // Candidates are judged up to the group's last error: an absence must have lasted until this one.
        let start = candidate.begun_since(exchange.request_at);
        return suspect.at.time.nanos_since(start.time) >= ABSENCE_MIN_NANOS;
    };
    let by_gateway = candidate
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.by_gateway);
    let late = match by_gateway {
        true => CLEAN_UP_NANOS.saturating_add(unsure),
        false => noise,
    };
    suspect.at.time.nanos_since(end.time) >= -late
}

/// How far apart the clocks of both may be, nanoseconds. Where nothing is known of a clock the verdict says so; here its times
/// are taken as they are.
fn unsure(timeline: &Timeline, suspect: &Suspect, candidate: &Candidate) -> i64 {
    let unsure = timeline.clock_tolerance(suspect.at.frame, candidate.start.frame);
    unsure.unwrap_or(0)
}

/// How `candidate`, which [lies within](is_within), fits the failed exchange, or `None` when causality forbids it; `attempt` is the
/// request that it carries.
#[must_use]
pub fn fit(
    timeline: &Timeline,
    suspect: &Suspect,
    exchange: &ExchangeRecord,
    (candidate, attempt): (&Candidate, Option<&ExchangeRecord>),
    trigger: Mark,
    product: Option<&'static Product>,
    words: bool,
) -> Option<Fit> {
    let start = candidate.begun_since(exchange.request_at);
    let start_gap = start.time.nanos_since(trigger.time);
    let noise = NOISE_NANOS.saturating_add(unsure(timeline, suspect, candidate));
    if start_gap < -noise {
        return None;
    }
    let mut fit = Fit {
        order_cost: 0.0,
        score: 0.0,
        reasons: Words::new(words),
        decisive: false,
        own: false,
        status_clash: false,
        retry_of: None,
        timed: 0.0,
        start_gap,
        end_gap: None,
        start,
    };
    fit.timed += closeness(start_gap);
    fit.reasons
        .say(|| format!("began {} after the request", millis(start_gap)));
    match candidate.end {
        Some(end) => {
            let gap = suspect.at.time.nanos_since(end.time);
            fit.timed += closeness(gap) * CLOSE_END;
            fit.end_gap = Some(gap);
            fit.reasons.say(|| {
                if gap >= 0 {
                    format!("failed {} before the error", millis(gap))
                } else {
                    format!("was closed {} after the error", millis(-gap))
                }
            });
        }
        // An absence has no moment; it fits as well as something that ended ten milliseconds before.
        None => fit.timed += 1.5,
    }
    fit.score += fit.timed;
    if sent_again_after(timeline, suspect, candidate) {
        fit.score -= SENT_AGAIN;
    }
    add_status(&mut fit, suspect, exchange, candidate, product);
    if let Some(attempt) = attempt {
        if checks::is_not_of(exchange, attempt) {
            return None;
        }
        let Likeness {
            score,
            reasons,
            decisive,
        } = likeness(timeline, exchange, attempt, words)?;
        fit.score += score;
        fit.reasons.append(reasons);
        fit.decisive = decisive;
    }
    (fit.score > SCORE_MIN).then_some(fit)
}

/// Whether a SYN without an answer was sent again when the error was out: who gives up closes the socket, and its
/// kernel is silent from then on. Only a pool that dials for requests to come goes on.
fn sent_again_after(timeline: &Timeline, suspect: &Suspect, candidate: &Candidate) -> bool {
    if candidate.end.is_some() || candidate.id.index.is_some() {
        return false;
    }
    let last = timeline
        .connection(candidate.id.connection)
        .and_then(|record| record.facts.from_client.syns.last());
    last.is_some_and(|last| {
        let unsure = timeline.clock_tolerance(suspect.at.frame, last.frame);
        let noise = CLEAN_UP_NANOS.saturating_add(unsure.unwrap_or(0));
        last.time.nanos_since(suspect.at.time) > noise
    })
}

fn add_status(
    fit: &mut Fit,
    suspect: &Suspect,
    exchange: &ExchangeRecord,
    candidate: &Candidate,
    product: Option<&'static Product>,
) {
    let Some(code) = candidate.code else { return };
    if code == "upstream-returned-5xx" {
        let same = candidate.status == suspect.status;
        fit.score += if same { 4.0 } else { -2.0 };
        if same && let Some(status) = candidate.status {
            fit.reasons
                .say(|| format!("the upstream's answer carries the same status {status}"));
        }
        return;
    }
    match product.and_then(|product| gateway::status_fits(product, code, suspect.status)) {
        Some(true) => {
            fit.score += 3.0;
            if let (Some(product), Some(status)) = (product, suspect.status) {
                fit.reasons
                    .say(|| format!("{} answers {status} to this", product.name));
            }
        }
        Some(false) if product.is_some_and(|it| auxiliary::explains(it, exchange)) => {}
        Some(false) => {
            fit.score -= 4.0;
            fit.status_clash = true;
        }
        None => {}
    }
}

/// How much it counts to be so many places out of turn.
fn places(distance: Distance) -> f64 {
    (1.0 + distance.places.min(PLACES_MAX) as f64).ln()
}

/// 3 for no gap, 2 for two milliseconds, 1 for twenty, 0 for two hundred.
///
/// Convex below two milliseconds, so that of two exchanges and two attempts the pairing that keeps their
/// order wins: an event loop serves in order. Slow beyond, so that a late answer is not out of the question.
fn closeness(gap_nanos: i64) -> f64 {
    let millis = gap_nanos.unsigned_abs() as f64 / 1e6;
    if millis <= 2.0 {
        3.0 - 0.354 * millis.powf(1.5)
    } else {
        2.0 - (millis / 2.0).log10()
    }
}
