//! Which attempt served which exchange. In: failed exchanges and candidates of one gateway. Out: for each
//! exchange its last attempt, and how close the runner-up came.
//!
//! The rule (causes.md B.6): the sum of the fits decides, and the order in which the gateway serves. When two
//! pairings are as good, and their causes differ, it is said so.

use crate::diagnose::candidate::Candidate;
use crate::diagnose::fit::Fit;
use crate::diagnose::order::{Order, crosses};
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::workers::{self, Team};

/// Passes of pairwise exchange after the greedy assignment. Each pass only improves the sum; in practice
/// two suffice.
const IMPROVEMENT_PASSES_MAX: usize = 16;
/// Largest group for which all pairs are compared; above it greedy order alone decides, so that an outage
/// of 100,000 errors stays near linear.
const COMPARED_MAX: usize = 160;
/// In a larger group a case is compared with the owners of so many attempts, those that fit it best.
const NEARBY_MAX: usize = 8;
/// Passes over a larger group. What they leave undone shows as a narrow margin.
const NEARBY_PASSES_MAX: usize = 4;
/// What two pairs cost that keep not the order of their beginnings, and of their ends.
const CROSSED_STARTS: f64 = 1.0;
/// See [`CROSSED_STARTS`].
const CROSSED_ENDS: f64 = 0.6;
/// What two waits of one kind cost that do not end in the order in which they began: timers are stricter than
/// event loops.
const CROSSED_WAITS: f64 = 1.3;

/// A wait is unusual that is so much longer than others.
const MUCH_LONGER: f64 = 1.5;

/// An exchange to which attempts are to be assigned, with those that fit.
#[derive(Debug)]
pub struct Case<'a> {
    /// The failed exchange.
    pub suspect: Suspect,
    /// Its record.
    pub exchange: &'a ExchangeRecord,
    /// With whom its connection works, where that is known.
    pub team: Option<Team>,
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
    /// The same without what order says: what identity, status and gaps alone decide.
    pub plain_margin: f64,
    /// That next pairing's candidate.
    pub runner_up: Option<usize>,
    /// How much better it fits here than any exchange that was left without an attempt.
    pub contested: f64,
    /// Whether the attempt was given to another exchange too: requests that wait for one connection fail with
    /// it together.
    pub shared: bool,
    /// Whether equal attempts (same cause, same upstream) could be exchanged for it.
    pub alike: bool,
}

/// Gives each case at most one candidate and no candidate to two cases.
#[must_use]
pub fn assign(
    cases: &[Case<'_>],
    candidates: &[Candidate],
    order: &Order,
) -> Vec<Option<Assignment>> {
    let compared = cases.len() <= COMPARED_MAX;
    let mut board = Board {
        cases,
        candidates,
        chosen: vec![None; cases.len()],
        owners: vec![None; candidates.len()],
        vacant: Vec::new(),
        order,
        compared,
    };
    board.greedy();
    board.make_room();
    if compared {
        board.improve();
    } else {
        board.improve_nearby();
    }
    board.note_vacant();
    (0..cases.len())
        .map(|case| board.explain(case).or_else(|| board.share(case)))
        .collect()
}

/// Cases, candidates, and who has which.
struct Board<'a> {
    cases: &'a [Case<'a>],
    candidates: &'a [Candidate],
    chosen: Vec<Option<usize>>,
    /// The case that has each candidate.
    owners: Vec<Option<usize>>,
    /// Cases without a candidate.
    vacant: Vec<usize>,
    /// How well the gateway keeps order.
    order: &'a Order,
    /// Whether the group is small enough to compare all pairs.
    compared: bool,
}

/// What an unassigned exchange costs: more than any gap, so that all that can be assigned are.
const UNASSIGNED: f64 = -20.0;

impl Board<'_> {
    /// Gives out the best fits first.
    fn greedy(&mut self) {
        let mut edges: Vec<(f64, usize, usize)> = Vec::new();
        for (case, entry) in self.cases.iter().enumerate() {
            let fits = entry.fits.iter();
            edges.extend(fits.map(|(candidate, fit)| (fit.total(), case, *candidate)));
        }
        edges.sort_by(|a, b| {
            b.0.total_cmp(&a.0)
                .then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
        });
        for (_, case, candidate) in edges {
            if self.chosen.get(case) == Some(&None) && self.owner_of(candidate).is_none() {
                self.give(case, Some(candidate));
            }
        }
    }

    /// Gives `candidate` to `case`, which has no other from then on. Who had it before keeps no claim to it.
    fn give(&mut self, case: usize, candidate: Option<usize>) {
        let Some(slot) = self.chosen.get_mut(case) else {
            return;
        };
        let had = std::mem::replace(slot, candidate);
        if let Some(owner) = had.and_then(|had| self.owners.get_mut(had))
            && *owner == Some(case)
        {
            *owner = None;
        }
        if let Some(owner) = candidate.and_then(|candidate| self.owners.get_mut(candidate)) {
            *owner = Some(case);
        }
    }

    /// What a fit loses because the attempt that it would be the retry of is the last of another case: who got its error
    /// for that one did not try again.
    fn no_retry(&self, fit: &Fit, case: usize, without: usize) -> f64 {
        match fit.retry_of {
            Some((before, adds)) => match self.owner_of(before) {
                Some(owner) if owner != case && owner != without => adds,
                _ => 0.0,
            },
            None => 0.0,
        }
    }

    /// What `case` is worth with `candidate`, among the others as they stand except `without`; `None` when
    /// the two do not fit.
    fn worth(&self, case: usize, candidate: Option<usize>, without: usize) -> Option<f64> {
        let Some(index) = candidate else {
            return Some(UNASSIGNED);
        };
        let entry = self.cases.get(case)?;
        let score = entry
            .fits
            .iter()
            .find(|(other, _)| *other == index)
            .map(|(_, fit)| fit)?;
        let mine = self.candidates.get(index)?;
        // A request that is this exchange's alone stands where it stands; the others are placed around it.
        let placed = self.compared && !score.own;
        let others = if placed { self.chosen.len() } else { 0 };
        let crossed: f64 = self
            .chosen
            .iter()
            .take(others)
            .enumerate()
            .filter(|(other, _)| *other != case && *other != without)
            .filter_map(|(other, theirs)| {
                Some((self.cases.get(other)?, self.candidates.get((*theirs)?)?))
            })
            .map(|(other, theirs)| self.crossing(entry, mine, other, theirs))
            .sum();
        Some(score.total() - crossed - self.no_retry(score, case, without))
    }

    /// The worth of two cases with the given candidates, the crossing between them included.
    fn worth_of_two(
        &self,
        one: (usize, Option<usize>),
        other: (usize, Option<usize>),
    ) -> Option<f64> {
        let sum = self.worth(one.0, one.1, other.0)? + self.worth(other.0, other.1, one.0)?;
        let between = match (one.1, other.1) {
            (Some(mine), Some(theirs)) => {
                self.crossing(
                    self.cases.get(one.0)?,
                    self.candidates.get(mine)?,
                    self.cases.get(other.0)?,
                    self.candidates.get(theirs)?,
                ) + self.retried(one.0, mine, theirs)
                    + self.retried(other.0, theirs, mine)
            }
            _ => 0.0,
        };
        Some(sum - between)
    }

    /// What `case` with `mine` loses where it would be the retry of `theirs`, which another has.
    fn retried(&self, case: usize, mine: usize, theirs: usize) -> f64 {
        let fits = self.cases.get(case).map_or(&[][..], |entry| &entry.fits);
        let fit = fits.iter().find(|(index, _)| *index == mine);
        match fit.and_then(|(_, fit)| fit.retry_of) {
            Some((before, adds)) if before == theirs => adds,
            _ => 0.0,
        }
    }

    /// Finds room for each case that has no candidate: one that fits it, whose owner takes another, whose owner takes
    /// another, and so on to one that is free. Cases from which no way leads there are not asked again, so that all
    /// searches together look at each pairing about once.
    fn make_room(&mut self) {
        let mut asked = vec![false; self.cases.len()];
        for case in 0..self.cases.len() {
            if self.chosen.get(case) != Some(&None) {
                continue;
            }
            let mut seen = vec![case];
            if let Some(steps) = self.way_to_free(&mut asked, &mut seen) {
                for (case, candidate) in steps {
                    self.give(case, Some(candidate));
                }
                // Ways may lead through them now as before.
                for case in seen {
                    if let Some(flag) = asked.get_mut(case) {
                        *flag = false;
                    }
                }
            }
        }
    }

    /// The shortest way from the case in `seen` to a free candidate: which case takes which. All cases that were
    /// looked at are added to `seen` and marked in `asked`.
    fn way_to_free(
        &self,
        asked: &mut [bool],
        seen: &mut Vec<usize>,
    ) -> Option<Vec<(usize, usize)>> {
        // For each case in `seen`: the place of the case that wants its candidate.
        let mut wanted_by: Vec<Option<usize>> = vec![None];
        let mut place = 0;
        while let Some(case) = seen.get(place).copied() {
            if let Some(flag) = asked.get_mut(case) {
                *flag = true;
            }
            let fits = self.cases.get(case).map_or(&[][..], |entry| &entry.fits);
            let free = fits
                .iter()
                .filter(|(index, _)| self.owner_of(*index).is_none())
                .max_by(|a, b| a.1.total().total_cmp(&b.1.total()).then(b.0.cmp(&a.0)));
            if let Some((free, _)) = free {
                return Some(self.steps_back(seen, &wanted_by, place, *free));
            }
            for owner in fits.iter().filter_map(|(index, _)| self.owner_of(*index)) {
                if let Some(flag) = asked.get_mut(owner).filter(|flag| !**flag) {
                    *flag = true;
                    seen.push(owner);
                    wanted_by.push(Some(place));
                }
            }
            place += 1;
        }
        None
    }

    /// Who takes what when the case at `place` takes `free`: the one that wanted its candidate takes that, and so on.
    fn steps_back(
        &self,
        seen: &[usize],
        wanted_by: &[Option<usize>],
        place: usize,
        free: usize,
    ) -> Vec<(usize, usize)> {
        let mut steps = Vec::new();
        let mut at = Some(place);
        let mut takes = Some(free);
        while let (Some(place), Some(candidate)) = (at, takes)
            && let Some(case) = seen.get(place).copied()
        {
            steps.push((case, candidate));
            takes = self.chosen.get(case).copied().flatten();
            at = wanted_by.get(place).copied().flatten();
        }
        steps
    }

    /// Notes who has nothing, for the questions that come after the choice.
    fn note_vacant(&mut self) {
        self.vacant = (0..self.cases.len())
            .filter(|case| self.chosen.get(*case) == Some(&None) && self.share(*case).is_none())
            .take(COMPARED_MAX)
            .collect();
    }

    /// For an exchange that was left without an attempt: the failed connect of another, when it fits closely.
    /// Envoy lets the requests that wait for a connection fail with it.
    fn share(&self, case: usize) -> Option<Assignment> {
        /// Both gaps within about a millisecond.
        const CLOSE_FIT: f64 = 6.0;
        let entry = self.cases.get(case)?;
        let connect = |index: usize| {
            self.candidates
                .get(index)
                .is_some_and(|candidate| candidate.id.index.is_none())
        };
        let (candidate, fit) = entry
            .fits
            .iter()
            .filter(|(index, fit)| connect(*index) && fit.score >= CLOSE_FIT)
            .max_by(|a, b| a.1.score.total_cmp(&b.1.score).then(b.0.cmp(&a.0)))?;
        Some(Assignment {
            candidate: *candidate,
            fit: fit.clone(),
            margin: f64::INFINITY,
            plain_margin: f64::INFINITY,
            runner_up: None,
            contested: f64::INFINITY,
            shared: true,
            alike: true,
        })
    }

    fn owner_of(&self, candidate: usize) -> Option<usize> {
        self.owners.get(candidate).copied().flatten()
    }

    /// What it costs that two pairs do not keep the order of their beginnings or of their ends.
    fn crossing(
        &self,
        one: &Case<'_>,
        mine: &Candidate,
        other: &Case<'_>,
        theirs: &Candidate,
    ) -> f64 {
        let starts = crosses(
            one.exchange.asked_at().time,
            mine.begun_since(one.exchange.request_at).time,
            other.exchange.asked_at().time,
            theirs.begun_since(other.exchange.request_at).time,
        );
        if workers::same(one.team, other.team) == Some(false) {
            return 0.0;
        }
        let answers = (one.suspect.at.time, other.suspect.at.time);
        let ends = match (mine.end, theirs.end) {
            (Some(mine), Some(theirs)) => {
                f64::from(u8::from(crosses(
                    answers.0,
                    mine.time,
                    answers.1,
                    theirs.time,
                ))) * CROSSED_ENDS
                    * self.order.ends
            }
            // Waits of the same kind are equally long: the one that began first is given up first.
            (None, None) if mine.code == theirs.code => {
                f64::from(u8::from(crosses(
                    answers.0,
                    mine.start.time,
                    answers.1,
                    theirs.start.time,
                ))) * CROSSED_WAITS
            }
            _ => 0.0,
        };
        f64::from(u8::from(starts)) * CROSSED_STARTS * self.order.starts + ends
    }

    /// Swaps between two cases and moves to free candidates while the sum grows.
    fn improve(&mut self) {
        for _ in 0..IMPROVEMENT_PASSES_MAX {
            let mut better = false;
            for one in 0..self.cases.len() {
                for other in one + 1..self.cases.len() {
                    better |= self.swap_if_better(one, other);
                }
                better |= self.move_if_better(one);
            }
            if !better {
                return;
            }
        }
    }

    /// The same in a group too large to compare all pairs: each case with those that have what fits it best.
    fn improve_nearby(&mut self) {
        let best: Vec<Vec<usize>> = self
            .cases
            .iter()
            .map(|case| {
                let mut fits: Vec<(f64, usize)> = case
                    .fits
                    .iter()
                    .map(|(index, fit)| (fit.total(), *index))
                    .collect();
                fits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                fits.truncate(NEARBY_MAX);
                fits.into_iter().map(|(_, index)| index).collect()
            })
            .collect();
        for _ in 0..NEARBY_PASSES_MAX {
            let mut better = false;
            for (one, wanted) in best.iter().enumerate() {
                for index in wanted {
                    better |= self.take_if_better(one, *index);
                }
            }
            if !better {
                return;
            }
        }
    }

    /// Lets `one` have `wanted`, from its owner in exchange or as it is free, where the sum grows.
    fn take_if_better(&mut self, one: usize, wanted: usize) -> bool {
        let has = self.chosen.get(one).copied().flatten();
        if has == Some(wanted) {
            return false;
        }
        if let Some(other) = self.owner_of(wanted) {
            return self.swap_if_better(one, other);
        }
        let now = self.worth(one, has, one);
        let then = self.worth(one, Some(wanted), one);
        let better = matches!((now, then), (Some(now), Some(then)) if then > now + 1e-9);
        if better {
            self.give(one, Some(wanted));
        }
        better
    }

    fn swap_if_better(&mut self, one: usize, other: usize) -> bool {
        let (Some(x), Some(y)) = (
            self.chosen.get(one).copied(),
            self.chosen.get(other).copied(),
        ) else {
            return false;
        };
        if x == y {
            return false;
        }
        let now = self.worth_of_two((one, x), (other, y));
        let then = self.worth_of_two((one, y), (other, x));
        let better = matches!((now, then), (Some(now), Some(then)) if then > now + 1e-9);
        if better {
            self.give(one, y);
            self.give(other, x);
        }
        better
    }

    fn move_if_better(&mut self, one: usize) -> bool {
        let Some(entry) = self.cases.get(one) else {
            return false;
        };
        let now = self.chosen.get(one).copied().flatten();
        let current = self.worth(one, now, one).unwrap_or(f64::NEG_INFINITY);
        let free = entry
            .fits
            .iter()
            .filter(|(index, _)| self.owner_of(*index).is_none())
            .filter_map(|(index, _)| {
                self.worth(one, Some(*index), one)
                    .map(|worth| (worth, *index))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        match free {
            Some((worth, index)) if worth > current + 1e-9 => {
                self.give(one, Some(index));
                true
            }
            _ => false,
        }
    }

    /// The assignment of one case with its margin over the nearest pairing that would tell another story.
    fn explain(&self, case: usize) -> Option<Assignment> {
        let entry = self.cases.get(case)?;
        let mine = self.chosen.get(case).copied().flatten()?;
        let fit = entry
            .fits
            .iter()
            .find(|(index, _)| *index == mine)
            .map(|(_, fit)| fit.clone())?;
        let own = self.candidates.get(mine)?;
        let mut assignment = Assignment {
            candidate: mine,
            fit,
            margin: f64::INFINITY,
            plain_margin: f64::INFINITY,
            runner_up: None,
            contested: self.contested(case, mine),
            shared: false,
            alike: false,
        };
        for (other, _) in entry.fits.iter().filter(|(other, _)| *other != mine) {
            let (Some(margin), Some(theirs)) =
                (self.margin(case, mine, *other), self.candidates.get(*other))
            else {
                continue;
            };
            if alike(own, theirs) {
                assignment.alike |= margin < 1.0;
            } else {
                let plain = self
                    .plain_margin(case, mine, *other)
                    .unwrap_or(f64::INFINITY);
                assignment.plain_margin = assignment.plain_margin.min(plain);
                if margin < assignment.margin {
                    assignment.margin = margin;
                    assignment.runner_up = Some(*other);
                }
            }
        }
        Some(assignment)
    }

    /// By how much the sum falls when `case` takes `other` instead of `mine`; `None` when that leaves the
    /// present owner of `other` without an attempt.
    fn margin(&self, case: usize, mine: usize, other: usize) -> Option<f64> {
        let owner = self.owner_of(other);
        match owner.filter(|owner| *owner != case) {
            None => {
                Some(self.worth(case, Some(mine), case)? - self.worth(case, Some(other), case)?)
            }
            Some(owner) => {
                let now = self.worth_of_two((case, Some(mine)), (owner, Some(other)))?;
                let then = self.worth_of_two((case, Some(other)), (owner, Some(mine)))?;
                Some(now - then)
            }
        }
    }

    /// How much better `candidate` fits its case than the best of the cases that have none.
    fn contested(&self, case: usize, candidate: usize) -> f64 {
        let fit = |case: &Case<'_>| {
            case.fits
                .iter()
                .find(|(index, _)| *index == candidate)
                .map(|(_, fit)| fit.score)
        };
        let Some(mine) = self.cases.get(case).and_then(fit) else {
            return f64::INFINITY;
        };
        self.vacant
            .iter()
            .filter_map(|other| self.cases.get(*other))
            .filter_map(|other| fit(other).map(|theirs| mine - theirs))
            .fold(f64::INFINITY, f64::min)
    }

    /// The margin without what order says; and without what the gaps say, where the gateway keeps no order and the
    /// exchange of the two would be nothing unusual.
    fn plain_margin(&self, case: usize, mine: usize, other: usize) -> Option<f64> {
        let fit = |case: usize, candidate: usize| {
            let fits = &self.cases.get(case)?.fits;
            let fit = fits.iter().find(|(index, _)| *index == candidate);
            fit.map(|(_, fit)| fit)
        };
        let (own, instead) = (fit(case, mine)?, fit(case, other)?);
        let owner = self.owner_of(other).filter(|owner| *owner != case);
        let Some(owner) = owner else {
            return Some(own.score - instead.score);
        };
        let (theirs, exchanged) = (fit(owner, other)?, fit(owner, mine)?);
        let worth: fn(&Fit) -> f64 = if self.is_usual([own, theirs], [instead, exchanged]) {
            Fit::timeless
        } else {
            |fit| fit.score
        };
        Some(worth(own) + worth(theirs) - worth(instead) - worth(exchanged))
    }

    /// Whether a gateway that keeps no order may as well have had two pairs the other way: no wait were much longer then
    /// than those of the pairs as they stand, or than is usual here.
    fn is_usual(&self, pairs: [&Fit; 2], exchanged: [&Fit; 2]) -> bool {
        let Some((lag_of_starts, lag_of_ends)) = self.order.lags.filter(|_| !self.order.kept)
        else {
            return false;
        };
        let longest = |fits: [&Fit; 2]| {
            fits.iter().fold((0, 0), |(start, end), fit| {
                (
                    fit.start_gap.max(start),
                    fit.end_gap.unwrap_or_default().max(end),
                )
            })
        };
        let (now, then) = (longest(pairs), longest(exchanged));
        let usual = |then: i64, now: i64, lag: i64| {
            then as f64 <= now.max(lag.saturating_mul(2)) as f64 * MUCH_LONGER
        };
        usual(then.0, now.0, lag_of_starts) && usual(then.1, now.1, lag_of_ends)
    }
}

/// Whether two attempts tell the same story: same cause at the same upstream.
fn alike(one: &Candidate, other: &Candidate) -> bool {
    let detail = |candidate: &Candidate| {
        candidate
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.detail.clone())
    };
    one.code == other.code && one.upstream == other.upstream && detail(one) == detail(other)
}
