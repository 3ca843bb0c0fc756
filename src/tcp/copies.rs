//! Copies of a frame. In: segments of one direction. Out: whether the capture shows the same one again.
//!
//! The rule: a copy is the same packet seen on a second interface, a mirror port or a bridge; a
//! retransmission is another packet, and is never taken for a copy when its IP id or timestamp differs.

use crate::decode::segment::Segment;

/// Latest segments of a direction that a frame is compared with. Interfaces show a burst one after the
/// other, and a burst is seldom longer.
const RECENT_MAX: usize = 8;

/// Longest time between two copies that share an IP id, in nanoseconds: no stack retransmits by timer in
/// less (Linux TCP_RTO_MIN).
const SAME_ID_NANOS_MAX: u64 = 200_000_000;

/// The same where the packet has no IP id (IPv6, or id 0 as Linux sends in SYN-ACKs and in the RSTs of
/// closed sockets), in nanoseconds: copies are microseconds apart.
const NO_ID_NANOS_MAX: u64 = 5_000_000;

/// The latest segments of one direction, by what identifies a packet.
#[derive(Debug, Default)]
pub(super) struct Recent {
    prints: [Print; RECENT_MAX],
    turn: usize,
}

/// One segment: a hash over all header fields that copies share, and its time in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Print {
    hash: u64,
    time: i64,
}

impl Recent {
    /// Whether `segment` is a copy of a recent one; if not it is remembered.
    pub(super) fn is_copy(&mut self, segment: &Segment<'_>) -> bool {
        let has_id = segment.ip_id.is_some_and(|id| id != 0);
        // Bare acknowledgements without an id cannot be told from each other, and do no harm.
        if !has_id && segment.payload_len == 0 && segment.flags.0 & 0x07 == 0 {
            return false;
        }
        let reach = if has_id {
            SAME_ID_NANOS_MAX
        } else {
            NO_ID_NANOS_MAX
        };
        let print = Print {
            hash: fingerprint(segment),
            time: segment.mark.time.0,
        };
        let copy = self
            .prints
            .iter()
            .any(|seen| seen.hash == print.hash && seen.time.abs_diff(print.time) < reach);
        if !copy {
            if let Some(slot) = self.prints.get_mut(self.turn) {
                *slot = print;
            }
            self.turn = (self.turn + 1) % RECENT_MAX;
        }
        copy
    }
}

/// A fixed hash over what copies share. The time to live is left out: a routed copy has one less.
fn fingerprint(segment: &Segment<'_>) -> u64 {
    let (value, echo) = segment.timestamps.unwrap_or_default();
    let words = [
        pair(segment.sequence, segment.acknowledgement),
        pair(segment.payload_len, u32::from(segment.window)),
        pair(value, echo),
        pair(
            u32::from(segment.flags.0),
            segment.ip_id.map_or(1 << 16, u32::from),
        ),
    ];
    // Never zero, which is what an empty place in the ring holds.
    words.iter().fold(0, |hash, word| mix(hash ^ word)) | 1
}

pub(super) const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(super) const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::segment::TcpFlags;
    use crate::frame::Mark;
    use crate::tcp::playbook::endpoint;

    fn segment(ip_id: Option<u16>, flags: u8) -> Segment<'static> {
        Segment {
            source: endpoint(1, 1),
            destination: endpoint(2, 2),
            overlay: Default::default(),
            vantage: Default::default(),
            sequence: 0,
            acknowledgement: 0,
            flags: TcpFlags(flags),
            window: 0,
            window_scale: None,
            timestamps: None,
            multipath: false,
            ip_id,
            ttl: 64,
            payload: b"",
            payload_len: 0,
            mark: Mark::default(),
        }
    }

    #[test]
    fn a_routed_copy_has_another_time_to_live() {
        let mut recent = Recent::default();
        let mut one = segment(Some(9), 0x10);
        assert!(!recent.is_copy(&one));
        one.ttl = 63;
        assert!(recent.is_copy(&one));
    }

    #[test]
    fn repeated_acknowledgements_of_ipv6_are_no_copies() {
        let mut recent = Recent::default();
        assert!(!recent.is_copy(&segment(None, 0x10)));
        assert!(!recent.is_copy(&segment(None, 0x10)));
        assert!(!recent.is_copy(&segment(None, 0x11)));
        assert!(recent.is_copy(&segment(None, 0x11)));
    }

    #[test]
    fn only_the_latest_segments_are_remembered() {
        let mut recent = Recent::default();
        for id in 1..=RECENT_MAX as u16 + 1 {
            assert!(!recent.is_copy(&segment(Some(id), 0x10)));
        }
        assert!(!recent.is_copy(&segment(Some(1), 0x10)));
        assert!(recent.is_copy(&segment(Some(9), 0x10)));
    }
}
