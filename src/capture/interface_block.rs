//! What pcapng says of an interface. In: the bodies of interface description and statistics blocks. Out: link type,
//! clock and drops.
//!
//! The rule: options that are not needed are passed over; one that is cut ends the list, never the block.

use crate::capture::pcap::CAPTURED_HEADER_MAX;
use crate::capture::source::InputFacts;
use crate::capture::window::Order;
use crate::frame::{LinkType, Way};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Options of an interface description block (section 4.2 of the draft).
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const IF_FCSLEN: u16 = 13;
const IF_TSOFFSET: u16 = 14;
/// Options of an interface statistics block (section 4.6).
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

/// Flags of a packet block (sections 4.3 and A.1 of the draft).
const PACKET_FLAGS: u16 = 2;

/// Most bytes of a recorded filter that are kept for the report.
const RECORDED_FILTER_MAX: usize = 1024;

/// An interface of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    pub(super) link: LinkType,
    /// 0 where the capture was not limited.
    pub(super) snap_length: u32,
    pub(super) clock: Clock,
    /// Bytes of the check sequence at the end of its frames.
    check_len: u32,
    /// The totals of its latest statistics block.
    pub(super) statistics: Statistics,
}

impl Interface {
    /// Reads the body of an interface description block; `None` when it is too short.
    pub(super) fn read(order: Order, body: &[u8], facts: &mut InputFacts) -> Option<Self> {
        let mut clock = Clock::default();
        let mut check_len = 0;
        for (code, value) in options(order, body.get(8..)?) {
            match (code, value) {
                (IF_TSRESOL, [resolution, ..]) => clock.rate = Rate::read(*resolution),
                (IF_TSOFFSET, value) => {
                    let seconds = value.first_chunk().map_or(0, |bytes| order.u64(*bytes));
                    clock.offset_seconds = seconds.cast_signed();
                }
                // The option counts bits; fewer than eight are bytes of a writer that took it for a count of those.
                (IF_FCSLEN, [length @ 0..8, ..]) => check_len = u32::from(*length),
                (IF_FCSLEN, [length, ..]) => check_len = u32::from(*length) / 8,
                (IF_FILTER, [0, text @ ..]) if facts.recorded_filter.is_none() => {
                    let text = text.get(..RECORDED_FILTER_MAX).unwrap_or(text);
                    facts.recorded_filter = Some(String::from_utf8_lossy(text).into_owned());
                }
                _ => {}
            }
        }
        Some(Self {
            link: LinkType(u32::from(order.u16_at(body, 0)?)),
            snap_length: order.u32_at(body, 4)?,
            clock,
            check_len,
            statistics: Statistics::default(),
        })
    }

    /// Most bytes that the capture kept of a frame.
    pub(super) fn captured_max(&self) -> u32 {
        match self.snap_length {
            0 => CAPTURED_HEADER_MAX,
            limit => limit.min(CAPTURED_HEADER_MAX),
        }
    }
}

/// What the options of a packet block say of its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PacketFlags {
    pub(super) way: Way,
    /// Bytes of the check sequence at the end of the frame.
    pub(super) check_len: u32,
}

impl PacketFlags {
    /// Reads the options of a packet block of `interface`. A machine does not see the check sequence of what it sends,
    /// so there only the frame's own word counts.
    pub(super) fn read(order: Order, bytes: &[u8], interface: &Interface) -> Self {
        let flags = options(order, bytes)
            .find(|(code, _)| *code == PACKET_FLAGS)
            .and_then(|(_, value)| order.u32_at(value, 0))
            .unwrap_or(0);
        let way = match flags & 3 {
            1 => Way::Incoming,
            2 => Way::Outgoing,
            _ => Way::Unknown,
        };
        let check_len = match (flags >> 5 & 0xf, way) {
            (0, Way::Outgoing) => 0,
            (0, _) => interface.check_len,
            (own, _) => own,
        };
        Self { way, check_len }
    }
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    rate: Rate,
    offset_seconds: i64,
}

impl Default for Clock {
    /// Microseconds since 1970, which the draft assumes where nothing is said.
    fn default() -> Self {
        Self {
            rate: Rate::read(6),
            offset_seconds: 0,
        }
    }
}

/// How ticks become nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    Times(u64),
    Over(u64),
    /// Ticks of 2^-n seconds.
    Binary(u32),
}

impl Rate {
    /// Reads `if_tsresol`: a power of ten, or of two when the highest bit is set.
    fn read(resolution: u8) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            Self::Binary(exponent)
        } else if exponent <= 9 {
            Self::Times(10_u64.pow(9_u32.saturating_sub(exponent)))
        } else {
            // Finer than 10^-28 s, 64 bits of ticks are less than a nanosecond.
            let exponent = exponent.saturating_sub(9);
            Self::Over(10_u64.checked_pow(exponent).unwrap_or(u64::MAX))
        }
    }
}

impl Clock {
    /// The instant of a count of ticks; one beyond the line of time is the nearest on it.
    pub(super) fn time(self, ticks: u64) -> Timestamp {
        let nanos = match self.rate {
            Rate::Times(factor) => u128::from(ticks).saturating_mul(u128::from(factor)),
            Rate::Over(divisor) => u128::from(ticks.checked_div(divisor).unwrap_or(0)),
            Rate::Binary(exponent) => u128::from(ticks)
                .saturating_mul(NANOS_PER_SECOND as u128)
                .checked_shr(exponent)
                .unwrap_or(0),
        };
        // 2^64 ticks of one second are 2^94 nanoseconds: the sum fits 128 bits.
        let offset = i128::from(self.offset_seconds).saturating_mul(i128::from(NANOS_PER_SECOND));
        let sum = i128::try_from(nanos)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        Timestamp(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Totals of a statistics block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) kernel_drops: u64,
    pub(super) interface_drops: u64,
}

impl Statistics {
    /// Reads the body of an interface statistics block; `None` when it is too short.
    pub(super) fn read(order: Order, body: &[u8]) -> Option<Self> {
        let mut totals = Self::default();
        for (code, value) in options(order, body.get(12..)?) {
            let count = value.first_chunk().map_or(0, |bytes| order.u64(*bytes));
            match code {
                ISB_IFDROP => totals.interface_drops = count,
                ISB_OSDROP => totals.kernel_drops = count,
                _ => {}
            }
        }
        Some(totals)
    }

    /// Raises these totals to `now` and gives what they were before.
    pub(super) fn max_with(&mut self, now: Self) -> Self {
        let before = *self;
        self.kernel_drops = before.kernel_drops.max(now.kernel_drops);
        self.interface_drops = before.interface_drops.max(now.interface_drops);
        before
    }
}

/// The options of a block: code, length, value padded to four bytes (section 3.5 of the draft).
fn options(order: Order, mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = order.u16_at(bytes, 0)?;
        let length = usize::from(order.u16_at(bytes, 2)?);
        if code == 0 {
            return None;
        }
        let value = bytes.get(4..length.saturating_add(4))?;
        let padded = length.next_multiple_of(4).saturating_add(4);
        bytes = bytes.get(padded..).unwrap_or_default();
        Some((code, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(resolution: u8, offset_seconds: i64) -> Clock {
        Clock {
            rate: Rate::read(resolution),
            offset_seconds,
        }
    }

    #[test]
    fn ticks_of_any_resolution_become_nanoseconds() {
        assert_eq!(clock(6, 0).time(1_500_000), Timestamp(1_500_000_000));
        assert_eq!(clock(9, 0).time(7), Timestamp(7));
        assert_eq!(clock(0, 0).time(3), Timestamp(3_000_000_000));
        assert_eq!(clock(12, 0).time(5_999), Timestamp(5));
        assert_eq!(clock(0x80 | 10, 0).time(1536), Timestamp(1_500_000_000));
        assert_eq!(clock(6, 100).time(1), Timestamp(100_000_001_000));
        assert_eq!(clock(6, -1).time(0), Timestamp(-1_000_000_000));
    }

    #[test]
    fn no_count_of_ticks_overflows() {
        for resolution in 0..=u8::MAX {
            for offset in [i64::MIN, -1, 0, i64::MAX] {
                clock(resolution, offset).time(u64::MAX);
            }
        }
        assert_eq!(clock(0, 0).time(u64::MAX), Timestamp(i64::MAX));
        assert_eq!(clock(0xff, 0).time(u64::MAX), Timestamp(0));
    }

    #[test]
    fn options_end_where_they_are_cut() {
        let bytes = [9, 0, 1, 0, 6, 0, 0, 0, 5, 0, 8, 0, 1];
        let read: Vec<_> = options(Order::Little, &bytes).collect();
        assert_eq!(read, [(9, &[6][..])]);
    }
}
