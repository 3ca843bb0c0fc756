//! The pace of a sender's own clock. In: the timestamps of its segments (RFC 7323). Out: leaps of the capture's clock.
//!
//! The rule: the option counts at a steady rate, mostly a thousand a second, whatever the capture's clock is set to.
//! Where the capture saw a minute pass and the sender a moment, the minute did not pass. A leap ahead shows in nothing
//! else; a clock that is set back shows in the file.

use crate::decode::segment::Segment;
use crate::time::NANOS_PER_SECOND;

/// Shortest time from which a rate is measured, nanoseconds.
const SPAN_NANOS_MIN: i64 = 200_000_000;

/// Shortest leap that is looked for, nanoseconds: less is no timeout.
const LEAP_NANOS_MIN: i64 = 1_000_000_000;

/// Slowest rate that is believed without having been measured, ticks a second. Linux counts 1,000 (100 at least before
/// 2017), Windows, macOS and the BSDs of today the same or more.
const UNMEASURED_RATE_MIN: i64 = 90;

/// Rate that is taken for granted then.
const USUAL_RATE: i64 = 1_000;

/// What is known of the clock of one sender on one connection.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Capture time of the latest timestamp that counted, nanoseconds; 0 before any.
    time: i64,
    value: u32,
    /// Ticks a second, once measured; the highest number stands for all above it.
    rate: u16,
    /// The input whose clock that was: another one has a clock of its own.
    input: u16,
}

impl Pace {
    /// Notes a segment. By how many nanoseconds the capture's clock has leapt ahead since the one before, where it has.
    pub(super) fn note(&mut self, segment: &Segment<'_>) -> Option<i64> {
        let (value, _) = segment.timestamps?;
        let now = segment.mark.time.0;
        let passed = now.saturating_sub(self.time);
        let ticks = i64::from(value.wrapping_sub(self.value).cast_signed());
        let input = segment.mark.frame.input();
        let known = self.time != 0 && self.input == input;
        if known && (0..SPAN_NANOS_MIN).contains(&passed) {
            return None;
        }
        (self.time, self.value, self.input) = (now, value, input);
        // An older value is an older segment, or another machine behind the same address.
        if !known || passed < 0 || ticks < 0 {
            return None;
        }
        let rate = ticks.saturating_mul(1_000) / (passed / 1_000_000).max(1);
        let (slowest, usual) = match i64::from(self.rate) {
            0 => (UNMEASURED_RATE_MIN, USUAL_RATE),
            measured => (measured / 2, measured),
        };
        // Measured anew in any case: a sender that is slow by nature is suspected once.
        self.rate = u16::try_from(rate.max(1)).unwrap_or(u16::MAX);
        if rate >= slowest {
            return None;
        }
        let truly = ticks.saturating_mul(NANOS_PER_SECOND) / usual;
        Some(passed - truly).filter(|leap| *leap >= LEAP_NANOS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameId, Mark};
    use crate::tcp::playbook::endpoint;
    use crate::time::Timestamp;

    const START_MS: i64 = 1_700_000_000_000;

    /// The leaps that segments at these capture times and values show, in whole milliseconds.
    fn leaps(segments: &[(i64, u32)]) -> Vec<i64> {
        leaps_of(segments, |_| 0)
    }

    fn leaps_of(segments: &[(i64, u32)], input: fn(usize) -> u16) -> Vec<i64> {
        let mut pace = Pace::default();
        let note = |(index, (at_ms, value)): (usize, &(i64, u32))| {
            let segment = Segment {
                source: endpoint(1, 1),
                destination: endpoint(2, 2),
                overlay: Default::default(),
                vantage: Default::default(),
                sequence: 0,
                acknowledgement: 0,
                flags: Default::default(),
                window: 0,
                window_scale: None,
                timestamps: Some((*value, 0)),
                multipath: false,
                ip_id: None,
                ttl: 64,
                payload: b"",
                payload_len: 0,
                mark: Mark {
                    time: Timestamp((START_MS + at_ms) * 1_000_000),
                    frame: FrameId::new(input(index), 1),
                },
            };
            pace.note(&segment).map(|nanos| nanos / 1_000_000)
        };
        segments.iter().enumerate().filter_map(note).collect()
    }

    #[test]
    fn a_minute_that_a_sender_did_not_see_did_not_pass() {
        assert_eq!(leaps(&[(0, 500), (60_050, 550)]), [60_000]);
        // Two seconds of it did.
        assert_eq!(leaps(&[(0, 500), (60_000, 2_500)]), [58_000]);
        // With a rate that was measured before, any part of it shows.
        let measured = [(0, 0), (1_000, 1_000), (2_000, 2_000), (32_000, 12_000)];
        assert_eq!(leaps(&measured), [20_000]);
    }

    #[test]
    fn two_inputs_have_two_clocks() {
        let turns = [(0, 500), (3_200, 501), (400, 900), (3_900, 1_200)];
        assert!(leaps_of(&turns, |index| index as u16 % 2).is_empty());
    }

    #[test]
    fn what_a_sender_saw_pass_did() {
        assert!(leaps(&[(0, 500), (60_000, 60_500)]).is_empty());
        // Ticks of 10 ms, of a microsecond, and a number that wraps.
        assert!(leaps(&[(0, 500), (60_000, 6_500)]).is_empty());
        assert!(leaps(&[(0, 500), (60_000, 60_000_500)]).is_empty());
        assert!(leaps(&[(0, u32::MAX - 9), (60_000, 59_990)]).is_empty());
        // Old segments, other machines, a clock that is set back.
        assert!(leaps(&[(0, 90_000), (60_000, 500)]).is_empty());
        assert!(leaps(&[(0, 500), (-9_000, 600), (-8_000, 1_600)]).is_empty());
        // A sender of two ticks a second is suspected once, and never when it was measured in time.
        let slow = [(0, 0), (30_000, 60), (60_000, 120), (90_000, 180)];
        assert_eq!(leaps(&slow).len(), 1);
        assert!(leaps(&[(0, 0), (600, 1), (30_600, 61)]).is_empty());
    }
}
