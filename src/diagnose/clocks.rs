//! The clocks of the inputs. In: what the first look over them estimated. Out: each input's machine, how its clock
//! was corrected, and how far the times of two inputs may still be apart.
//!
//! The rule (causes.md B.5): what is not known of a clock is told and widens tolerances; it never becomes zero.

use crate::flow::Vantage;
use crate::time::ClockError;

/// The clocks of all inputs, by index. An input that is not listed is the first machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    inputs: Vec<InputClock>,
    /// The uncertainty of each machine, by its number.
    machines: Vec<Option<i64>>,
    widest: i64,
}

/// The clock of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputClock {
    /// The machine that captured it.
    pub vantage: Vantage,
    /// How its clock differs from that of the first input; it is corrected by as much.
    pub error: ClockError,
    /// How wrong that may be, nanoseconds; `None` where nothing could be compared, and nothing was corrected.
    pub uncertainty_nanos: Option<i64>,
    /// What it was estimated from; `None` for the first input's own machine, and where nothing could be compared.
    pub estimated_from: Option<EstimatedFrom>,
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EstimatedFrom {
    /// So many packets that both captures hold; along a chain of captures the fewest.
    SharedPackets(u64),
    /// So many exchanges that lie inside those of the other capture.
    NestedExchanges(u64),
}

impl EstimatedFrom {
    /// The weaker of two links of a chain.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        match (self, other) {
            (Self::SharedPackets(one), Self::SharedPackets(two)) => {
                Self::SharedPackets(one.min(two))
            }
            (Self::NestedExchanges(one), Self::NestedExchanges(two)) => {
                Self::NestedExchanges(one.min(two))
            }
            (nested @ Self::NestedExchanges(_), _) | (_, nested) => nested,
        }
    }
}

impl InputClock {
    /// The clock of the first input's machine, by which the timeline goes.
    pub const FIRST: Self = Self {
        vantage: Vantage(0),
        error: ClockError {
            ahead_nanos: 0,
            drift_ppb: 0,
            at: crate::time::Timestamp(0),
        },
        uncertainty_nanos: Some(0),
        estimated_from: None,
    };
}

impl Clocks {
    /// The clocks of inputs in the order in which they were named.
    #[must_use]
    pub fn new(inputs: Vec<InputClock>) -> Self {
        let count = inputs.iter().map(|clock| clock.vantage.0).max();
        let count = count.map_or(0, |last| usize::from(last).saturating_add(1));
        let mut machines = vec![Some(0); count];
        for clock in &inputs {
            if let Some(machine) = machines.get_mut(usize::from(clock.vantage.0)) {
                *machine = clock.uncertainty_nanos;
            }
        }
        let mut known: Vec<i64> = machines.iter().copied().flatten().collect();
        known.sort_unstable();
        let two = known.iter().rev().take(2);
        Self {
            widest: two.fold(0, |sum, next| sum.saturating_add(*next)),
            inputs,
            machines,
        }
    }

    /// The clock of an input.
    #[must_use]
    pub fn of(&self, input: u16) -> InputClock {
        let known = self.inputs.get(usize::from(input)).copied();
        known.unwrap_or(InputClock::FIRST)
    }

    /// How each input's clock is to be corrected, by index.
    #[must_use]
    pub fn errors(&self) -> Vec<ClockError> {
        self.inputs.iter().map(|clock| clock.error).collect()
    }

    /// How far the corrected time of an input may be from the first input's, nanoseconds; `None` where it is not
    /// known.
    #[must_use]
    pub fn uncertainty(&self, input: u16) -> Option<i64> {
        self.of(input).uncertainty_nanos
    }

    /// How far apart two inputs may show the same instant, nanoseconds: 0 for inputs of one machine, `None` where
    /// the clocks could not be compared.
    #[must_use]
    pub fn tolerance(&self, one: u16, other: u16) -> Option<i64> {
        self.between(self.of(one).vantage, self.of(other).vantage)
    }

    /// The same for two machines.
    #[must_use]
    pub fn between(&self, one: Vantage, other: Vantage) -> Option<i64> {
        if one == other {
            return Some(0);
        }
        let unsure = |vantage: Vantage| {
            let known = self.machines.get(usize::from(vantage.0));
            known.copied().unwrap_or(Some(0))
        };
        Some(unsure(one)?.saturating_add(unsure(other)?))
    }

    /// Whether any clock could not be compared with the first one.
    #[must_use]
    pub fn any_unknown(&self) -> bool {
        self.machines.iter().any(Option::is_none)
    }

    /// The largest tolerance between any two inputs that could be compared, nanoseconds.
    #[must_use]
    pub const fn widest(&self) -> i64 {
        self.widest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(vantage: u16, uncertainty_nanos: Option<i64>) -> InputClock {
        InputClock {
            vantage: Vantage(vantage),
            uncertainty_nanos,
            ..InputClock::FIRST
        }
    }

    #[test]
    fn tolerance_adds_up_between_machines_and_is_nothing_inside_one() {
        let clocks = Clocks::new(vec![
            clock(0, Some(0)),
            clock(1, Some(300)),
            clock(1, Some(300)),
            clock(2, Some(20)),
            clock(3, None),
        ]);
        assert_eq!(clocks.tolerance(0, 1), Some(300));
        assert_eq!(clocks.tolerance(1, 2), Some(0));
        assert_eq!(clocks.tolerance(2, 3), Some(320));
        assert_eq!(clocks.tolerance(0, 4), None);
        assert_eq!(clocks.tolerance(4, 4), Some(0));
        assert_eq!(clocks.tolerance(0, 99), Some(0));
        assert_eq!(Clocks::default().tolerance(0, 7), Some(0));
        assert_eq!((clocks.widest(), Clocks::default().widest()), (320, 0));
    }
}
