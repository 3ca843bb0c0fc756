//! By what several views of one connection are told. In: its first segments. Out: marks that address translation,
//! tunnels and another capture point leave as they are.
//!
//! The rule: a mark is made of what end hosts choose (numbers, timestamps, IP id), never of addresses and ports.

use std::num::NonZeroU64;

use crate::decode::segment::Segment;
use crate::flow::Direction;
use crate::tcp::copies::{mix, pair};
use crate::time::Timestamp;

/// A hash over what every view of one segment shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Birthmark(NonZeroU64);

impl Birthmark {
    /// Whether the segment had a timestamp or an IP id. Without, a mark is one sequence number, and two
    /// connections of a busy host may share it by chance.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        self.0.get() & 1 == 1
    }

    fn of(segment: &Segment<'_>, kind: u32) -> Self {
        let (value, echo) = segment.timestamps.unwrap_or_default();
        let id = segment.ip_id.unwrap_or_default();
        // The length is left out: offload joins and splits segments, and the first keeps number and id.
        let words = [
            pair(segment.sequence, segment.acknowledgement),
            pair(value, echo),
            pair(kind, u32::from(id)),
        ];
        let hash = words.iter().fold(0, |hash, word| mix(hash ^ word)) & !1;
        let strong = segment.timestamps.is_some() || id != 0;
        Self(NonZeroU64::new(hash | u64::from(strong)).unwrap_or(NonZeroU64::MAX))
    }
}

/// The marks of one connection: of the first SYN and SYN-ACK, and of the first payload each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Birthmarks([Option<(Birthmark, Timestamp)>; 4]);

impl Birthmarks {
    /// The marks that are known, and when they were seen.
    pub fn iter(&self) -> impl Iterator<Item = (Birthmark, Timestamp)> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Those of the client's SYN and of its first payload.
    pub fn of_client(&self) -> impl Iterator<Item = Option<(Birthmark, Timestamp)>> + '_ {
        self.0.iter().step_by(2).copied()
    }

    /// How many are known, 0 to 4.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes a segment; true when it gave a mark.
    pub(super) fn note(&mut self, segment: &Segment<'_>, direction: Direction) -> bool {
        let syn = segment.flags.syn();
        if segment.flags.rst() || !(syn || segment.payload_len > 0) {
            return false;
        }
        let place = match (syn, direction) {
            (true, Direction::ToServer) => 0,
            (true, Direction::ToClient) => 1,
            (false, Direction::ToServer) => 2,
            (false, Direction::ToClient) => 3,
        };
        match self.0.get_mut(place) {
            Some(mark @ None) => {
                let kind = u32::try_from(place).unwrap_or(0);
                *mark = Some((Birthmark::of(segment, kind), segment.mark.time));
                true
            }
            _ => false,
        }
    }
}
