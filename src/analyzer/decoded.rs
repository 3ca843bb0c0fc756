//! One task's part of a batch. In: its records. Out: their packets, which of them each shard takes, and what order decides.
//!
//! The rule: packets lie as they came, and shards find theirs by an index: nothing is moved twice.

use crate::analyzer::own::Senders;
use crate::decode::segment::Packet;
use crate::decode::{self, Fragment, Whole};
use crate::diagnose::clocks::Clocks;
use crate::flow::SHARDS;
use crate::frame::{Batch, Record};
use crate::loss::Loss;

/// What one task decoded.
pub struct Decoded<'a> {
    /// Packets with the places of their frames in the batch and their shards.
    packets: Vec<(u32, u8, Packet<'a>)>,
    /// Indices of packets by shard, in order.
    by_shard: Vec<u32>,
    /// Where the indices of each shard end.
    ends: [u32; SHARDS],
    /// Pieces of packets, with the places of their frames.
    pub fragments: Vec<(usize, Fragment<'a>)>,
    pub senders: Senders,
    pub loss: Loss,
}

impl<'a> Decoded<'a> {
    /// Decodes frames of which the first stands at `place` in the batch.
    pub fn of(batch: &'a Batch, records: &[Record], place: usize, clocks: &Clocks) -> Self {
        let mut part = Self {
            packets: Vec::with_capacity(records.len()),
            by_shard: Vec::new(),
            ends: [0; SHARDS],
            fragments: Vec::new(),
            senders: Senders::default(),
            loss: Loss::default(),
        };
        for (place, record) in (place..).zip(records) {
            let frame = batch.frame(record);
            let vantage = clocks.of(record.mark.frame.input()).vantage;
            match decode::decode(frame, vantage, &mut part.loss) {
                Some(decode::Decoded::Packet { packet, tunnels }) => {
                    if tunnels == 0 {
                        let way = decode::way(&frame);
                        let at = (place, record.mark);
                        part.senders.note(at, vantage, &packet, way);
                    }
                    part.push(place, packet);
                }
                Some(decode::Decoded::Fragment(fragment)) => part.fragments.push((place, fragment)),
                None => {}
            }
        }
        part.sort();
        part
    }

    fn push(&mut self, place: usize, packet: Packet<'a>) {
        let shard = u8::try_from(packet.flow().shard()).unwrap_or(0);
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.packets.push((place, shard, packet));
    }

    /// A counting sort of the packets' indices by shard.
    fn sort(&mut self) {
        let mut next = [0_u32; SHARDS];
        for (_, shard, _) in &self.packets {
            if let Some(count) = next.get_mut(usize::from(*shard)) {
                *count += 1;
            }
        }
        let mut begin = 0;
        for count in &mut next {
            begin += std::mem::replace(count, begin);
        }
        self.by_shard.clear();
        self.by_shard.resize(self.packets.len(), 0);
        for (index, (_, shard, _)) in (0_u32..).zip(&self.packets) {
            if let Some(next) = next.get_mut(usize::from(*shard)) {
                if let Some(slot) = self.by_shard.get_mut(*next as usize) {
                    *slot = index;
                }
                *next += 1;
            }
        }
        self.ends = next;
    }

    /// Adds packets that frames of this part completed, each with the place of the frame that did.
    pub fn complete(&mut self, wholes: impl Iterator<Item = (usize, &'a Whole)>) {
        let before = self.packets.len();
        for (place, whole) in wholes {
            let decoded = decode::decode_whole(whole, &mut self.loss);
            if let Some(decode::Decoded::Packet { packet, .. }) = decoded {
                self.push(place, packet);
            }
        }
        if self.packets.len() > before {
            // A fragment is no packet itself, so no two of them share a place.
            self.packets.sort_by_key(|(place, _, _)| *place);
            self.sort();
        }
    }

    /// The packets of a shard in order, each with its place.
    pub fn of_shard(&self, shard: usize) -> impl Iterator<Item = (usize, &Packet<'a>)> {
        let end = self.ends.get(shard).copied().unwrap_or(0);
        let begin = match shard.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let indices = self.by_shard.get(begin as usize..end as usize);
        indices.unwrap_or_default().iter().filter_map(|index| {
            let (place, _, packet) = self.packets.get(*index as usize)?;
            Some((*place as usize, packet))
        })
    }
}
