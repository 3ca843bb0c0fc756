//! The machines and how their clocks differ from the first one's. In: what every two of them have in common. Out: the
//! clock of each input.
//!
//! The rule: from one machine to the next errors and uncertainties add up, and the surest way is gone first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::analyzer::clock::bounds;
use crate::analyzer::clock::estimate::{self, Estimate, Pair};
use crate::analyzer::clock::kin::Shared;
use crate::analyzer::clock::machines::Span;
use crate::analyzer::clock::nesting::{MachineExchanges, Passages};
use crate::diagnose::clocks::{Clocks, InputClock};
use crate::diagnose::finding::Warning;
use crate::flow::Vantage;
use crate::time::Timestamp;

/// Most inputs that a warning names.
const NAMED_MAX: usize = 3;

/// What is known of the machines and of how their clocks differ.
pub struct Atlas<'a> {
    files: &'a [Option<PathBuf>],
    machine_of: Vec<u16>,
    machines: Vec<Machine>,
    /// Packets that two machines hold, by the two; the lower one is the reference.
    packets: BTreeMap<(usize, usize), Vec<Pair>>,
}

/// One machine.
#[derive(Default)]
struct Machine {
    /// When it captured, by its own clock.
    time: Option<(Timestamp, Timestamp)>,
    /// Its clock, once it is known how that differs from the first machine's.
    clock: Option<InputClock>,
}

impl<'a> Atlas<'a> {
    /// Machines by the numbers of their inputs; only the first one's clock is known.
    #[must_use]
    pub fn new(files: &'a [Option<PathBuf>], spans: &[Span], machine_of: Vec<u16>) -> Self {
        let count = machine_of
            .iter()
            .max()
            .map_or(0, |last| usize::from(*last) + 1);
        let mut machines: Vec<Machine> = (0..count).map(|_| Machine::default()).collect();
        for (span, machine) in spans.iter().zip(&machine_of) {
            let machine = machines.get_mut(usize::from(*machine));
            if let (Some(machine), Some((first, last))) = (machine, span.time) {
                let known = machine.time.unwrap_or((first, last));
                machine.time = Some((known.0.min(first), known.1.max(last)));
            }
        }
        if let Some(first) = machines.first_mut() {
            first.clock = Some(InputClock::FIRST);
        }
        Self {
            files,
            machine_of,
            machines,
            packets: BTreeMap::new(),
        }
    }

    /// Puts the packets of all inputs of a machine together: it has one clock.
    pub fn pool(&mut self, shared: &Shared) {
        for ((one, other), pairs) in shared {
            let machine = |input: &usize| self.machine_of.get(*input).map(|it| usize::from(*it));
            let (Some(mine), Some(theirs)) = (machine(one), machine(other)) else {
                continue;
            };
            match mine.cmp(&theirs) {
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Less => {
                    self.packets
                        .entry((mine, theirs))
                        .or_default()
                        .extend(pairs);
                }
                std::cmp::Ordering::Greater => {
                    let turned = pairs.iter().map(|pair| pair.turned());
                    self.packets
                        .entry((theirs, mine))
                        .or_default()
                        .extend(turned);
                }
            }
        }
    }

    /// Whether a machine's clock is not known yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.machines.iter().any(|machine| machine.clock.is_none())
    }

    /// Ties machines to those that are tied already, the surest first.
    pub fn settle_by_packets(&mut self) {
        let mut known: BTreeMap<(usize, usize), Option<Estimate>> = BTreeMap::new();
        loop {
            let mut best: Option<(i64, usize, InputClock)> = None;
            for ((low, high), pairs) in &self.packets {
                for (from, to) in [(*low, *high), (*high, *low)] {
                    let estimate = || match from < to {
                        true => estimate::from_packets(pairs),
                        false => {
                            let turned: Vec<Pair> =
                                pairs.iter().map(|pair| pair.turned()).collect();
                            estimate::from_packets(&turned)
                        }
                    };
                    if !self.is_border(from, to) {
                        continue;
                    }
                    let estimate = known.entry((from, to)).or_insert_with(estimate);
                    let clock = estimate.and_then(|estimate| self.tied(from, to, &estimate));
                    best = surer(best, to, clock);
                }
            }
            let Some((_, to, clock)) = best else { return };
            self.settle(to, clock);
        }
    }

    /// The same by exchanges that lie inside each other, and then by packets again: what was tied may tie others.
    pub fn settle_by_exchanges(&mut self, passages: &[Passages]) {
        let mut of_machine: Vec<MachineExchanges> = Vec::new();
        of_machine.resize_with(self.machines.len(), MachineExchanges::default);
        for (passages, machine) in passages.iter().zip(&self.machine_of) {
            if let Some(exchanges) = of_machine.get_mut(usize::from(*machine)) {
                exchanges.add(passages);
            }
        }
        loop {
            let mut best: Option<(i64, usize, InputClock)> = None;
            for (from, outer) in of_machine.iter().enumerate() {
                for (to, inner) in of_machine.iter().enumerate() {
                    if self.is_border(from, to) {
                        let estimate = bounds::from_exchanges(&outer.pairs(inner));
                        let clock = estimate.and_then(|estimate| self.tied(from, to, &estimate));
                        best = surer(best, to, clock);
                    }
                }
            }
            let Some((_, to, clock)) = best else { return };
            self.settle(to, clock);
            self.settle_by_packets();
        }
    }

    /// Whether the first machine is tied and the second one is not.
    fn is_border(&self, from: usize, to: usize) -> bool {
        let tied = |machine: usize| self.machines.get(machine).map(|it| it.clock.is_some());
        (tied(from), tied(to)) == (Some(true), Some(false))
    }

    /// The clock of `to`, of which `estimate` tells how it differs from that of `from`.
    fn tied(&self, from: usize, to: usize, estimate: &Estimate) -> Option<InputClock> {
        let reference = self.machines.get(from)?.clock?;
        let (begin, end) = self.machines.get(to)?.time?;
        let own = estimate.uncertainty(begin, end);
        let estimated_from = match reference.estimated_from {
            Some(before) => before.weaker(estimate.from),
            None => estimate.from,
        };
        Some(InputClock {
            vantage: vantage(to),
            error: estimate.error.against(reference.error),
            uncertainty_nanos: Some(reference.uncertainty_nanos?.saturating_add(own)),
            estimated_from: Some(estimated_from),
        })
    }

    fn settle(&mut self, machine: usize, clock: InputClock) {
        if let Some(machine) = self.machines.get_mut(machine) {
            machine.clock = Some(clock);
        }
    }

    /// The clock of each input, and a warning for each machine whose clock is not known.
    #[must_use]
    pub fn into_clocks(self) -> (Clocks, Vec<Warning>) {
        let unknown = |machine: usize| InputClock {
            vantage: vantage(machine),
            uncertainty_nanos: None,
            ..InputClock::FIRST
        };
        let clock = |machine: &u16| {
            let machine = usize::from(*machine);
            let known = self.machines.get(machine).and_then(|known| known.clock);
            known.unwrap_or_else(|| unknown(machine))
        };
        let clocks = self.machine_of.iter().map(clock).collect();
        let untied = (0..).zip(&self.machines);
        let untied = untied.filter(|(_, machine)| machine.clock.is_none());
        let warnings = untied.map(|(machine, _)| self.warning(machine)).collect();
        (Clocks::new(clocks), warnings)
    }

    /// Says that the clock of a machine is not known.
    fn warning(&self, machine: u16) -> Warning {
        let (theirs, first) = (self.names(machine), self.names(0));
        Warning {
            code: "clock-not-compared",
            message: format!(
                "The clock of {theirs} could not be compared with that of {first}: they share no packets, and no \
                 exchanges of one lie inside those of the other. Their times were taken as they are; a finding that \
                 rests on both is only possible."
            ),
            remedy: "Capture a leg that both machines see; where one machine captured all, say --one-machine.".to_owned(),
        }
    }

    /// The inputs of a machine in words.
    fn names(&self, machine: u16) -> String {
        let of_machine = |(other, _): &(&u16, _)| **other == machine;
        let files = self.machine_of.iter().zip(self.files).filter(of_machine);
        let name = |(_, file): (_, &Option<PathBuf>)| match file {
            Some(file) => file.display().to_string(),
            None => "-".to_owned(),
        };
        let mut names: Vec<String> = files.map(name).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let mut text = names.join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

/// The surer of two clocks that a machine may be given; of equals the one that was found first.
fn surer(
    best: Option<(i64, usize, InputClock)>,
    machine: usize,
    clock: Option<InputClock>,
) -> Option<(i64, usize, InputClock)> {
    let Some((unsure, clock)) = clock.and_then(|clock| Some((clock.uncertainty_nanos?, clock)))
    else {
        return best;
    };
    match best {
        Some((least, ..)) if least <= unsure => best,
        _ => Some((unsure, machine, clock)),
    }
}

fn vantage(machine: usize) -> Vantage {
    Vantage(u16::try_from(machine).unwrap_or(u16::MAX))
}
