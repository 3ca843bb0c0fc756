//! The addresses of the capturing machines. In: which address is whose, and which are asked. Out: all of one machine's.
//!
//! The rule: a machine is asked when any of its addresses is. Whether one is, is a question for nearly every observation, so
//! it is counted and not searched for among all hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::flow::Vantage;

/// Under which name a host is remembered.
type Key = (Vantage, IpAddr);

/// The capturing machines.
#[derive(Debug, Default)]
pub struct Machines(BTreeMap<Vantage, Machine>);

#[derive(Debug, Default)]
struct Machine {
    addrs: BTreeSet<Key>,
    /// How many of them are asked.
    asked: usize,
}

impl Machines {
    /// An address is no longer one machine's, or is now another's; `asked` tells whether it is asked.
    pub fn moved(&mut self, addr: Key, from: Option<Vantage>, to: Option<Vantage>, asked: bool) {
        if let Some(machine) = from.and_then(|from| self.0.get_mut(&from))
            && machine.addrs.remove(&addr)
        {
            machine.asked = machine.asked.saturating_sub(usize::from(asked));
        }
        if let Some(to) = to {
            let machine = self.0.entry(to).or_default();
            if machine.addrs.insert(addr) {
                machine.asked += usize::from(asked);
            }
        }
    }

    /// An address of this machine is asked for the first time.
    pub fn asks(&mut self, machine: Vantage) {
        self.0.entry(machine).or_default().asked += 1;
    }

    /// Whether any address of this machine is asked.
    #[must_use]
    pub fn is_asked(&self, machine: Vantage) -> bool {
        self.0
            .get(&machine)
            .is_some_and(|machine| machine.asked > 0)
    }

    /// The addresses of this machine, in order.
    pub fn addrs(&self, machine: Vantage) -> impl Iterator<Item = &Key> {
        self.0
            .get(&machine)
            .into_iter()
            .flat_map(|machine| &machine.addrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_asked_while_one_of_its_addresses_is() {
        let addr = |last| (Vantage(0), IpAddr::from([10, 0, 0, last]));
        let (one, other) = (Some(Vantage(1)), Some(Vantage(2)));
        let mut machines = Machines::default();
        machines.moved(addr(1), None, one, true);
        machines.moved(addr(2), None, one, false);
        assert!(machines.is_asked(Vantage(1)) && !machines.is_asked(Vantage(2)));
        machines.moved(addr(1), one, other, true);
        assert!(!machines.is_asked(Vantage(1)) && machines.is_asked(Vantage(2)));
        machines.asks(Vantage(1));
        assert!(machines.is_asked(Vantage(1)));
        machines.moved(addr(1), other, None, true);
        assert!(!machines.is_asked(Vantage(2)));
        assert!(machines.addrs(Vantage(1)).eq([&addr(2)]));
    }
}
