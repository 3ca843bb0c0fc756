//! What two inputs say of each other. In: packets that both hold, and exchanges that lie inside each other. Out: a
//! relation for every two inputs.
//!
//! The rule: where two inputs are compared with a third, one machine has one clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyzer::clock::bounds;
use crate::analyzer::clock::estimate::{self, DRIFT_UNSEEN_PPB, Estimate, Pair};
use crate::analyzer::clock::machines::{Relation, Span};
use crate::analyzer::clock::nesting::{MachineExchanges, Passages};
use crate::analyzer::clock::numbers::part;

/// Packets that two inputs hold, by the two; the earlier input is the reference.
pub type Shared = BTreeMap<(usize, usize), Vec<Pair>>;

/// Copies of one packet in two files of a rotated set, at the border, are this close, nanoseconds.
const BORDER_NANOS: i64 = 200_000_000;

/// The relations of all inputs.
pub struct Kin<'a> {
    spans: &'a [Span],
    /// How the clocks of two inputs differ that share packets; the earlier input is the reference.
    clocks: BTreeMap<(usize, usize), Estimate>,
    /// Which inputs share packets with an input.
    neighbours: BTreeMap<usize, Vec<usize>>,
    /// Pieces of one capture.
    same: BTreeSet<(usize, usize)>,
    /// Names of sets whose exchanges lie inside each other.
    strangers: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Kin<'a> {
    /// Compares all inputs that share packets.
    pub fn new(spans: &'a [Span], shared: &Shared) -> Self {
        let mut kin = Self {
            spans,
            clocks: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            same: BTreeSet::new(),
            strangers: BTreeSet::new(),
        };
        for (inputs, pairs) in shared {
            let Some(estimate) = estimate::from_packets(pairs) else {
                continue;
            };
            let unmoved = pairs.iter().filter(|pair| pair.ahead == 0).count();
            if unmoved.saturating_mul(10) >= pairs.len().saturating_mul(9) {
                kin.same.insert(*inputs);
            }
            if !kin.is_border(*inputs, estimate.error.ahead_nanos) {
                kin.clocks.insert(*inputs, estimate);
                kin.neighbours.entry(inputs.0).or_default().push(inputs.1);
                kin.neighbours.entry(inputs.1).or_default().push(inputs.0);
            }
        }
        kin
    }

    /// Whether what two inputs share are copies at the border of two files of one set.
    fn is_border(&self, inputs: (usize, usize), lag: i64) -> bool {
        let time = |input: usize| self.spans.get(input).and_then(|span| span.time);
        match (time(inputs.0), time(inputs.1)) {
            (Some(one), Some(other)) => {
                one.1.min(other.1) <= one.0.max(other.0) && lag.saturating_abs() < BORDER_NANOS
            }
            _ => false,
        }
    }

    /// What two inputs have in common.
    pub fn relation(&self, one: usize, other: usize) -> Relation {
        let inputs = (one.min(other), one.max(other));
        if self.same.contains(&inputs) {
            return Relation::Same;
        }
        let name = |input: usize| self.spans.get(input).map_or("", |span| &span.stem);
        let names = (name(one), name(other));
        let estranged =
            self.strangers.contains(&names) || self.strangers.contains(&(names.1, names.0));
        if self.clocks.contains_key(&inputs) || estranged {
            return Relation::Elsewhere;
        }
        match self.by_a_third(one, other) {
            Some(false) => Relation::Elsewhere,
            Some(true) => Relation::OneClock,
            None => Relation::Nothing,
        }
    }

    /// Whether two inputs may go by one clock as far as those tell that share packets with both; `None` without such.
    fn by_a_third(&self, one: usize, other: usize) -> Option<bool> {
        let thirds = self.neighbours.get(&one)?;
        let both = |third: &usize| Some((self.clock(*third, one)?, self.clock(*third, other)?));
        let agree = |(one, other): (Estimate, Estimate)| {
            // By the clock that both were compared with.
            let apart = one
                .error
                .ahead_nanos
                .saturating_sub(other.error.ahead_nanos);
            let since = one.error.at.nanos_since(other.error.at).saturating_abs();
            let unsure = one
                .uncertainty_nanos
                .saturating_add(other.uncertainty_nanos);
            apart.saturating_abs() <= unsure.saturating_add(part(since, DRIFT_UNSEEN_PPB))
        };
        let mut told = thirds.iter().filter_map(both).map(agree).peekable();
        told.peek()?;
        Some(told.all(|agree| agree))
    }

    fn clock(&self, from: usize, to: usize) -> Option<Estimate> {
        match from < to {
            true => self.clocks.get(&(from, to)).copied(),
            false => Some(self.clocks.get(&(to, from))?.turned()),
        }
    }

    /// Whether a machine has files of several names, which nothing but time says are one set.
    pub fn are_strange(&self, machine_of: &[u16]) -> bool {
        let mut names: BTreeMap<u16, &str> = BTreeMap::new();
        let mut differ = |(span, machine): (&'a Span, &u16)| {
            span.time.is_some() && *names.entry(*machine).or_insert(&span.stem) != span.stem
        };
        self.spans.iter().zip(machine_of).any(&mut differ)
    }

    /// Notes names whose exchanges lie inside each other although the files were taken for one machine's: only where
    /// the server of the outer ones asks the inner ones, because what a client repeats later looks much the same.
    pub fn estrange(&mut self, machine_of: &[u16], passages: &[Passages]) {
        let mut sets: BTreeMap<(u16, &'a str), MachineExchanges> = BTreeMap::new();
        for ((span, machine), passages) in self.spans.iter().zip(machine_of).zip(passages) {
            let set = sets.entry((*machine, span.stem.as_str())).or_default();
            set.add(passages);
        }
        for ((machine, name), set) in &sets {
            let others = sets.range((*machine, *name)..);
            let others = others.skip(1).take_while(|((its, _), _)| its == machine);
            for ((_, other), exchanges) in others {
                let mut pairs = set.pairs(exchanges);
                pairs.retain(|pair| pair.linked);
                if bounds::from_exchanges(&pairs).is_some() {
                    self.strangers.insert((*name, *other));
                }
            }
        }
    }
}
