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
    let chosen = greedy(cases, candidates.len());
    let compared = cases.len() <= COMPARED_MAX;
    let mut board = Board {
        cases,
        candidates,
        chosen,
        owners: Vec::new(),
        vacant: Vec::new(),
        order,
        compared,
    };
    board.make_room();
    if compared {
        board.improve();
    } else {
        board.improve_nearby();
    }
    board.note_owners();
    (0..cases.len())
        .map(|case| board.explain(case).or_else(|| board.share(case)))
        .collect()
}

fn greedy(cases: &[Case<'_>], candidates: usize) -> Vec<Option<usize>> {
    let mut edges: Vec<(f64, usize, usize)> = Vec::new();
    for (case, entry) in cases.iter().enumerate() {
        edges.extend(
            entry
                .fits
                .iter()
                .map(|(candidate, fit)| (fit.total(), case, *candidate)),
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

/// Cases, candidates, and who has which.
struct Board<'a> {
    cases: &'a [Case<'a>],
    candidates: &'a [Candidate],
    chosen: Vec<Option<usize>>,
    /// The case that has each candidate, once the choice is made.
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
        Some(score.total() - crossed)
    }

    /// The worth of two cases with the given candidates, the crossing between them included.
    fn worth_of_two(
        &self,
        one: (usize, Option<usize>),
        other: (usize, Option<usize>),
    ) -> Option<f64> {
        let sum = self.worth(one.0, one.1, other.0)? + self.worth(other.0, other.1, one.0)?;
        let between = match (one.1, other.1) {
            (Some(mine), Some(theirs)) => self.crossing(
                self.cases.get(one.0)?,
                self.candidates.get(mine)?,
                self.cases.get(other.0)?,
                self.candidates.get(theirs)?,
            ),
            _ => 0.0,
        };
        Some(sum - between)
    }

    /// Finds room for each case that has no candidate: one that fits it, whose owner takes another, whose owner takes
    /// another, and so on to one that is free. Cases from which no way leads there are not asked again, so that all
    /// searches together look at each pairing about once.
    fn make_room(&mut self) {
        let mut owners = self.owners_now();
        let mut asked = vec![false; self.cases.len()];
        for case in 0..self.cases.len() {
            if self.chosen.get(case) != Some(&None) {
                continue;
            }
            let mut seen = vec![case];
            if let Some(steps) = self.way_to_free(&owners, &mut asked, &mut seen) {
                for (case, candidate) in steps {
                    if let (Some(slot), Some(owner)) =
                        (self.chosen.get_mut(case), owners.get_mut(candidate))
                    {
                        *slot = Some(candidate);
                        *owner = Some(case);
                    }
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
        owners: &[Option<usize>],
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
            let owner = |index: usize| owners.get(index).copied().flatten();
            let free = fits
                .iter()
                .filter(|(index, _)| owner(*index).is_none())
                .max_by(|a, b| a.1.total().total_cmp(&b.1.total()).then(b.0.cmp(&a.0)));
            if let Some((free, _)) = free {
                return Some(self.steps_back(seen, &wanted_by, place, *free));
            }
            for owner in fits.iter().filter_map(|(index, _)| owner(*index)) {
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

    /// The case that has each candidate as things stand.
    fn owners_now(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; self.candidates.len()];
        for (case, candidate) in self.chosen.iter().enumerate() {
            if let Some(slot) = candidate.and_then(|candidate| owners.get_mut(candidate)) {
                *slot = Some(case);
            }
        }
        owners
    }

    /// Notes who has what, for the questions that come after the choice.
    fn note_owners(&mut self) {
        let mut owners = vec![None; self.candidates.len()];
        for (case, candidate) in self.chosen.clone().into_iter().enumerate() {
            match candidate.and_then(|candidate| owners.get_mut(candidate)) {
                Some(owner) => *owner = Some(case),
                None if self.share(case).is_none() => self.vacant.push(case),
                None => {}
            }
        }
        self.owners = owners;
        self.vacant.truncate(COMPARED_MAX);
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
            mine.start.time,
            other.exchange.asked_at().time,
            theirs.start.time,
        );
        let clients = (
            one.suspect.exchange.connection,
            other.suspect.exchange.connection,
        );
        if self.order.workers.same(clients.0, clients.1) == Some(false) {
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
        let mut owners = self.owners_now();
        for _ in 0..NEARBY_PASSES_MAX {
            let mut better = false;
            for (one, wanted) in best.iter().enumerate() {
                for index in wanted {
                    better |= self.take_if_better(one, *index, &mut owners);
                }
            }
            if !better {
                return;
            }
        }
    }

    /// Lets `one` have `wanted`, from its owner in exchange or as it is free, where the sum grows.
    fn take_if_better(&mut self, one: usize, wanted: usize, owners: &mut [Option<usize>]) -> bool {
        let has = self.chosen.get(one).copied().flatten();
        if has == Some(wanted) {
            return false;
        }
        let owner = owners.get(wanted).copied().flatten();
        let better = match owner {
            Some(other) => self.swap_if_better(one, other),
            None => {
                let now = self.worth(one, has, one);
                let then = self.worth(one, Some(wanted), one);
                let better = matches!((now, then), (Some(now), Some(then)) if then > now + 1e-9);
                if better && let Some(slot) = self.chosen.get_mut(one) {
                    *slot = Some(wanted);
                }
                better
            }
        };
        if better {
            if let Some(slot) = has.and_then(|has| owners.get_mut(has)) {
                *slot = owner;
            }
            if let Some(slot) = owners.get_mut(wanted) {
                *slot = Some(one);
            }
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
            self.chosen.swap(one, other);
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
            .filter(|(index, _)| !self.chosen.contains(&Some(*index)))
            .filter_map(|(index, _)| {
                self.worth(one, Some(*index), one)
                    .map(|worth| (worth, *index))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        match (free, self.chosen.get_mut(one)) {
            (Some((worth, index)), Some(slot)) if worth > current + 1e-9 => {
                *slot = Some(index);
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

    /// The margin without what order says.
    fn plain_margin(&self, case: usize, mine: usize, other: usize) -> Option<f64> {
        let score = |case: usize, candidate: usize| {
            let fits = &self.cases.get(case)?.fits;
            fits.iter()
                .find(|(index, _)| *index == candidate)
                .map(|(_, fit)| fit.score)
        };
        let own = score(case, mine)? - score(case, other)?;
        let owner = self.owner_of(other);
        match owner.filter(|owner| *owner != case) {
            None => Some(own),
            Some(owner) => Some(own + score(owner, other)? - score(owner, mine)?),
        }
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
