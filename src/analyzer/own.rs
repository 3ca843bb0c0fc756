//! Addresses of the capturing machines. In: who sent frames that went out and frames that came in. Out: which addresses
//! are its own, and which it only passes on.
//!
//! The rule: a machine that forwards, as the host of containers does, sends out frames of others; so an address is its
//! own only while no frame of it was seen to come in. What was told before is taken back at that frame. Senders are
//! noted task by task and judged in order, so that neither tasks nor batches leave a trace.

use std::net::IpAddr;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use crate::analyzer::harvest::Told;
use crate::decode::segment::Packet;
use crate::flow::Vantage;
use crate::frame::{Mark, Way};
use crate::loss::{Loss, LossName};
use crate::protocol::observation::{Observation, Seen};

/// Most addresses of the capturing machine that are told; a container host has hundreds.
const OWN_MAX: usize = 4_096;
/// Most addresses that are remembered in all, about 40 bytes each: as many as a busy gateway has clients in an hour.
const REMEMBERED_MAX: usize = 262_144;
/// Addresses beyond [`REMEMBERED_MAX`]: if one of them is forwarded later, it may be taken for the machine's own until it
/// is seen to come in again.
const NOT_REMEMBERED: LossName = "incoming_addresses_not_remembered";

/// An address as one machine sees it.
type Addr = (Vantage, IpAddr);

/// Senders of the frames of one task: where each was first seen on either way.
#[derive(Debug, Default)]
pub struct Senders {
    first: Vec<((usize, Mark), Addr, Way)>,
    known: HashSet<(Addr, Way)>,
    /// Addresses that were noted lately, with the way, the version of IP and the machine, each in the place of its last bits:
    /// frames of a few senders take turns, and to look each up in `known` takes nearly as long as to read its header.
    latest: [(u128, u32); LATEST],
}

/// Places for the latest senders: a power of two, more than a burst has senders.
const LATEST: usize = 32;

impl Senders {
    /// Notes the sender of a packet that went `way` at a machine; `at` is the place of its frame in the batch, and its mark.
    pub fn note(&mut self, at: (usize, Mark), vantage: Vantage, packet: &Packet<'_>, way: Way) {
        let Some(sender) = packet.sender() else {
            return;
        };
        let addr = (vantage, sender);
        let one = (addr, way);
        if way == Way::Unknown || sender.is_unspecified() {
            return;
        }
        let (bits, six) = match sender {
            IpAddr::V4(addr) => (u128::from(addr.to_bits()), 0),
            IpAddr::V6(addr) => (addr.to_bits(), 1),
        };
        // The second is never 0, which stands for nobody.
        let short = (bits, (way as u32) << 17 | six << 16 | u32::from(vantage.0));
        let place = (bits as usize ^ (way as usize) << 3) % LATEST;
        if let Some(latest) = self.latest.get_mut(place)
            && std::mem::replace(latest, short) == short
        {
            return;
        }
        if self.known.insert(one) {
            self.first.push((at, addr, way));
        }
    }
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Others,
}

/// What is known of addresses.
#[derive(Debug, Default)]
pub struct Own {
    whose: HashMap<Addr, Whose>,
    own: usize,
}

impl Own {
    /// Judges the senders of the next task; what is new goes to `told`.
    pub fn judge(&mut self, senders: &Senders, told: &mut Told, loss: &mut Loss) {
        for ((place, seen), addr, way) in &senders.first {
            let own = *way == Way::Outgoing;
            let full = self.whose.len() >= REMEMBERED_MAX;
            let changed = match self.whose.entry(*addr) {
                Entry::Vacant(_) if full => {
                    loss.add(NOT_REMEMBERED, 1);
                    false
                }
                Entry::Vacant(_) if own && self.own >= OWN_MAX => false,
                Entry::Vacant(entry) => {
                    entry.insert(if own { Whose::Own } else { Whose::Others });
                    own
                }
                Entry::Occupied(mut entry) => !own && entry.insert(Whose::Others) == Whose::Own,
            };
            if changed {
                self.own = if own {
                    self.own.saturating_add(1)
                } else {
                    self.own.saturating_sub(1)
                };
                let what = Seen::Local {
                    vantage: addr.0,
                    addr: addr.1,
                    own,
                };
                told.observations.push(Observation { seen: *seen, what });
                told.place(*place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::segment::Datagram;
    use crate::flow::{Endpoint, Overlay};
    use crate::frame::FrameId;

    fn mark(number: u64) -> Mark {
        Mark {
            frame: FrameId::new(0, number),
            ..Mark::default()
        }
    }

    fn from(last: u8, number: u64) -> Packet<'static> {
        let addr = IpAddr::from([10, 0, 0, last]);
        Packet::Datagram(Datagram {
            source: Endpoint::new(addr, 1),
            destination: Endpoint::new(IpAddr::from([10, 9, 9, 9]), 2),
            overlay: Overlay::default(),
            vantage: Vantage::default(),
            payload: &[],
            payload_len: 0,
            mark: mark(number),
        })
    }

    /// What is told of frames that are handed over `at_once` at a time: number of the frame, last byte, own.
    fn told(frames: &[(u8, Way)], at_once: usize) -> Vec<(u64, String, bool)> {
        let (mut own, mut told, mut number) = (Own::default(), Told::default(), 0);
        for task in frames.chunks(at_once) {
            let mut senders = Senders::default();
            for (last, way) in task {
                number += 1;
                senders.note((0, mark(number)), Vantage(0), &from(*last, number), *way);
            }
            own.judge(&senders, &mut told, &mut Loss::default());
        }
        let one = |told: &Observation| match &told.what {
            Seen::Local { addr, own, .. } => (told.seen.frame.number(), addr.to_string(), *own),
            other => panic!("{other:?}"),
        };
        told.observations.iter().map(one).collect()
    }

    #[test]
    fn who_comes_in_is_not_the_machine_whatever_the_tasks() {
        use Way::{Incoming, Outgoing, Unknown};
        let frames = [
            (1, Outgoing),
            (2, Incoming),
            // Forwarded before it was seen to come in, and after.
            (3, Outgoing),
            (2, Outgoing),
            (4, Unknown),
            (3, Incoming),
            (3, Outgoing),
            (1, Outgoing),
        ];
        let expected = [
            (1, "10.0.0.1".to_owned(), true),
            (3, "10.0.0.3".to_owned(), true),
            (6, "10.0.0.3".to_owned(), false),
        ];
        for at_once in 1..=frames.len() {
            assert_eq!(told(&frames, at_once), expected, "{at_once}");
        }
    }

    #[test]
    fn memory_is_bounded_and_that_is_counted() {
        let mut own = Own::default();
        let mut loss = Loss::default();
        let mut told = Told::default();
        let mut first: Vec<_> = (0..REMEMBERED_MAX as u32 + 5)
            .map(|n| {
                (
                    (0, Mark::default()),
                    (Vantage(0), IpAddr::from(n.to_be_bytes())),
                    Way::Incoming,
                )
            })
            .collect();
        let mut senders = Senders::default();
        senders.first.append(&mut first);
        own.judge(&senders, &mut told, &mut loss);
        assert_eq!(own.whose.len(), REMEMBERED_MAX);
        assert_eq!(loss.get(NOT_REMEMBERED), 5);
        assert!(told.observations.is_empty());
    }
}
