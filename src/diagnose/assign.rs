//! Which attempt served which exchange. In: failed exchanges and candidates of one gateway. Out: for each
//! exchange its last attempt, and how close the runner-up came.
//!
//! The rule (causes.md B.6): causality is hard; then identity, the gaps at both ends, and the status decide.
//! When two pairings are as good, and their causes differ, it is said so.

use crate::diagnose::attempt::millis;
use crate::diagnose::candidate::Candidate;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::Product;
use crate::diagnose::identity::{Likeness, likeness};
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::{ExchangeRecord, Timeline};
use crate::frame::Mark;

/// Passes of pairwise exchange after the greedy assignment. Each pass only improves the sum; in practice
/// two suffice.
const IMPROVEMENT_PASSES_MAX: usize = 16;
/// Largest group for which all pairs are compared; above it greedy order alone decides, so that an outage
/// of 100,000 errors stays near linear.
const COMPARED_MAX: usize = 512;
/// Clock noise between two frames of one capture, nanoseconds: timestamps of different CPUs may cross.
const NOISE_NANOS: i64 = 1_000_000;
/// The gateway's own close upstream may follow its answer downstream by this much, nanoseconds.
const CLEAN_UP_NANOS: i64 = 20_000_000;
/// Below this sum a pairing is no pairing.
const SCORE_MIN: f64 = -4.0;

/// How well an attempt fits an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Sum of the weights; only comparisons matter.
    pub score: f64,
    /// What speaks for it, one clause each.
    pub reasons: Vec<String>,
    /// Whether an identity was carried across that no other exchange shares.
    pub decisive: bool,
    /// Whether the product is known not to answer this cause with this status.
    pub status_clash: bool,
}

/// An exchange to which attempts are to be assigned, with those that fit.
#[derive(Debug)]
pub struct Case<'a> {
    /// The failed exchange.
    pub suspect: Suspect,
    /// Its record.
    pub exchange: &'a ExchangeRecord,
    /// Attempts that fit, by index into the group's candidates.
    pub fits: Vec<(usize, Fit)>,
}

/// The outcome for one exchange.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Index of the last attempt among the group's candidates.
    pub candidate: usize,
    /// How well it fits.
    pub fit: Fit,
    /// How much better it is than the next pairing whose cause or upstream differs; infinite when none is.
    pub margin: f64,
    /// That next pairing's candidate.
    pub runner_up: Option<usize>,
    /// Whether equal attempts (same cause, same upstream) could be exchanged for it.
    pub alike: bool,
}

/// How `candidate` fits the failed exchange, or `None` when causality forbids it.
#[must_use]
pub fn fit(
    timeline: &Timeline,
    suspect: &Suspect,
    exchange: &ExchangeRecord,
    candidate: &Candidate,
    trigger: Mark,
    product: Option<&'static Product>,
) -> Option<Fit> {
    let start_gap = candidate.start.time.nanos_since(trigger.time);
    let overdue = candidate.start.time.nanos_since(suspect.at.time);
    if start_gap < -NOISE_NANOS || overdue > NOISE_NANOS {
        return None;
    }
    let mut fit = Fit {
        score: 0.0,
        reasons: Vec::new(),
        decisive: false,
        status_clash: false,
    };
    fit.score += closeness(start_gap);
    fit.reasons
        .push(format!("began {} after the request", millis(start_gap)));
    match candidate.end {
        Some(end) => {
            let gap = suspect.at.time.nanos_since(end.time);
            if gap < -CLEAN_UP_NANOS {
                return None;
            }
            fit.score += closeness(gap) * 1.5;
            fit.reasons.push(if gap >= 0 {
                format!("failed {} before the error", millis(gap))
            } else {
                format!("was closed {} after the error", millis(-gap))
            });
        }
        // An absence has no moment; it fits as well as something that ended ten milliseconds before.
        None => fit.score += 1.5,
    }
    add_status(&mut fit, suspect, candidate, product);
    let attempt = candidate.id.index.and_then(|index| {
        timeline
            .connection(candidate.id.connection)
            .and_then(|record| record.exchange(index))
    });
    if let Some(attempt) = attempt {
        let Likeness {
            score,
            reasons,
            decisive,
        } = likeness(timeline, exchange, attempt)?;
        fit.score += score;
        fit.reasons.extend(reasons);
        fit.decisive = decisive;
    }
    (fit.score > SCORE_MIN).then_some(fit)
}

fn add_status(
    fit: &mut Fit,
    suspect: &Suspect,
    candidate: &Candidate,
    product: Option<&'static Product>,
) {
    let Some(code) = candidate.code else { return };
    if code == "upstream-returned-5xx" {
        let same = candidate.status == suspect.status;
        fit.score += if same { 4.0 } else { -2.0 };
        if same && let Some(status) = candidate.status {
            fit.reasons.push(format!(
                "the upstream's answer carries the same status {status}"
            ));
        }
        return;
    }
    match product.and_then(|product| gateway::status_fits(product, code, suspect.status)) {
        Some(true) => {
            fit.score += 3.0;
            if let (Some(product), Some(status)) = (product, suspect.status) {
                fit.reasons
                    .push(format!("{} answers {status} to this", product.name));
            }
        }
        Some(false) => {
            fit.score -= 4.0;
            fit.status_clash = true;
        }
        None => {}
    }
}

/// 3 for no gap, 2 for a millisecond, 1 for ten, 0 for a hundred, -1 for a second.
fn closeness(gap_nanos: i64) -> f64 {
    let micros = gap_nanos.unsigned_abs() as f64 / 1e3;
    3.0 - (1.0 + micros / 100.0).log10()
}

/// Gives each case at most one candidate and no candidate to two cases (unless `shared`).
#[must_use]
pub fn assign(cases: &[Case<'_>], candidates: &[Candidate]) -> Vec<Option<Assignment>> {
    let mut chosen = greedy(cases, candidates.len());
    if cases.len() <= COMPARED_MAX {
        improve(cases, &mut chosen, candidates.len());
    }
    (0..cases.len())
        .map(|case| explain(cases, candidates, &chosen, case))
        .collect()
}

fn greedy(cases: &[Case<'_>], candidates: usize) -> Vec<Option<usize>> {
    let mut edges: Vec<(f64, usize, usize)> = Vec::new();
    for (case, entry) in cases.iter().enumerate() {
        edges.extend(
            entry
                .fits
                .iter()
                .map(|(candidate, fit)| (fit.score, case, *candidate)),
        );
    }
    edges.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
    });
    let mut chosen = vec![None; cases.len()];
    let mut taken = vec![false; candidates];
    for (_, case, candidate) in edges {
        if let (Some(slot), Some(flag)) = (chosen.get_mut(case), taken.get_mut(candidate))
            && slot.is_none()
            && !*flag
        {
            *slot = Some(candidate);
            *flag = true;
        }
    }
    chosen
}

fn score_of(case: &Case<'_>, candidate: Option<usize>) -> Option<f64> {
    let candidate = candidate?;
    case.fits
        .iter()
        .find(|(index, _)| *index == candidate)
        .map(|(_, fit)| fit.score)
}

/// Moves to free candidates and swaps between two cases while the sum grows.
fn improve(cases: &[Case<'_>], chosen: &mut [Option<usize>], candidates: usize) {
    /// What an unassigned exchange costs: more than any gap, so that all that can be assigned are.
    const UNASSIGNED: f64 = -20.0;
    let value = |case: &Case<'_>, candidate: Option<usize>| match candidate {
        None => Some(UNASSIGNED),
        some => score_of(case, some),
    };
    for _ in 0..IMPROVEMENT_PASSES_MAX {
        let mut better = false;
        for one in 0..cases.len() {
            for other in 0..cases.len() {
                let (Some(a), Some(b)) = (cases.get(one), cases.get(other)) else {
                    continue;
                };
                let (Some(x), Some(y)) = (chosen.get(one).copied(), chosen.get(other).copied())
                else {
                    continue;
                };
                if one == other || x == y {
                    continue;
                }
                let (Some(now_a), Some(now_b)) = (value(a, x), value(b, y)) else {
                    continue;
                };
                let (Some(then_a), Some(then_b)) = (value(a, y), value(b, x)) else {
                    continue;
                };
                if then_a + then_b > now_a + now_b + 1e-9 {
                    chosen.swap(one, other);
                    better = true;
                }
            }
            better |= move_to_free(cases, chosen, one, candidates);
        }
        if !better {
            return;
        }
    }
}

fn move_to_free(
    cases: &[Case<'_>],
    chosen: &mut [Option<usize>],
    one: usize,
    candidates: usize,
) -> bool {
    let Some(case) = cases.get(one) else {
        return false;
    };
    let mut taken = vec![false; candidates];
    for candidate in chosen.iter().flatten() {
        if let Some(flag) = taken.get_mut(*candidate) {
            *flag = true;
        }
    }
    let now = chosen.get(one).copied().flatten();
    let current = score_of(case, now).unwrap_or(f64::NEG_INFINITY);
    let free = case
        .fits
        .iter()
        .filter(|(index, fit)| {
            !taken.get(*index).copied().unwrap_or(true) && fit.score > current + 1e-9
        })
        .max_by(|a, b| a.1.score.total_cmp(&b.1.score));
    match (free, chosen.get_mut(one)) {
        (Some((index, _)), Some(slot)) => {
            *slot = Some(*index);
            true
        }
        _ => false,
    }
}

/// The assignment of one case with its margin over the nearest pairing that would tell another story.
fn explain(
    cases: &[Case<'_>],
    candidates: &[Candidate],
    chosen: &[Option<usize>],
    case: usize,
) -> Option<Assignment> {
    let entry = cases.get(case)?;
    let mine = chosen.get(case).copied().flatten()?;
    let fit = entry
        .fits
        .iter()
        .find(|(index, _)| *index == mine)
        .map(|(_, fit)| fit.clone())?;
    let own = candidates.get(mine)?;
    let mut assignment = Assignment {
        candidate: mine,
        fit,
        margin: f64::INFINITY,
        runner_up: None,
        alike: false,
    };
    for (other, rival) in &entry.fits {
        if *other == mine {
            continue;
        }
        let Some(margin) = loss_of(
            cases,
            chosen,
            case,
            mine,
            *other,
            rival.score,
            assignment.fit.score,
        ) else {
            continue;
        };
        let Some(theirs) = candidates.get(*other) else {
            continue;
        };
        let alike = theirs.code == own.code
            && theirs.upstream == own.upstream
            && theirs.verdict.as_ref().and_then(|v| v.detail.as_ref())
                == own.verdict.as_ref().and_then(|v| v.detail.as_ref());
        if alike {
            assignment.alike |= margin < 1.0;
        } else if margin < assignment.margin {
            assignment.margin = margin;
            assignment.runner_up = Some(*other);
        }
    }
    Some(assignment)
}

/// By how much the sum falls when `case` takes `other` instead of `mine`; `None` when that leaves the present
/// owner of `other` without an attempt.
fn loss_of(
    cases: &[Case<'_>],
    chosen: &[Option<usize>],
    case: usize,
    mine: usize,
    other: usize,
    then: f64,
    now: f64,
) -> Option<f64> {
    let owner = chosen
        .iter()
        .position(|candidate| *candidate == Some(other))
        .filter(|owner| *owner != case);
    let Some(owner) = owner else {
        return Some(now - then);
    };
    let theirs = cases.get(owner)?;
    let swapped = score_of(theirs, Some(mine))?;
    let kept = score_of(theirs, Some(other))?;
    Some(now + kept - then - swapped)
}
