//! What a gateway does at regular times. In: connections that it opens and requests that it sends while it owes nobody an
//! answer. Out: whether another one falls on the same beat.
//!
//! The rule: a beat is told from equal intervals alone. Clients ask regularly too, so nothing counts that began while one
//! was waiting.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::flow::Endpoint;
use crate::time::Timestamp;

/// Most rhythms that are followed of one gateway: it has fewer upstreams that it checks; the least regular gives way.
const RHYTHMS_MAX: usize = 64;
/// Equal intervals that make a beat: three by chance are rare.
const BEATS_MIN: u32 = 3;
/// Shortest interval of a check, nanoseconds: nobody checks more often than four times a second.
const INTERVAL_NANOS_MIN: i64 = 250_000_000;
/// Longest one, nanoseconds: products check every 30 s at most, by their defaults.
const INTERVAL_NANOS_MAX: i64 = 120_000_000_000;
/// How much an interval may differ from the one before: this part of it.
const JITTER_PART: i64 = 20;
/// And at least this, nanoseconds: event loops have other things to do.
const JITTER_NANOS_MIN: i64 = 30_000_000;
/// Beats that may be missing in between, as a client was waiting then.
const SKIPPED_MAX: i64 = 4;
/// How far from the last beat a moment is compared, in intervals.
const REACH_INTERVALS: i64 = 16;

/// What is repeated: towards whom, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habitual {
    server: Endpoint,
    /// Hash of the request's first line; 0 for a connection that is opened.
    line: u64,
}

impl Habitual {
    /// A connection that is opened.
    #[must_use]
    pub const fn opening(server: Endpoint) -> Self {
        Self { server, line: 0 }
    }

    /// A request.
    #[must_use]
    pub fn request(server: Endpoint, method: &str, target: &str) -> Self {
        let line = FixedState::default().hash_one((method, target));
        Self {
            server,
            line: line.max(1),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rhythm {
    what: Habitual,
    last: Timestamp,
    /// 0 before the second time.
    interval: i64,
    beats: u32,
}

/// The rhythms of one gateway.
#[derive(Clone, Debug, Default)]
pub struct Rhythms(Vec<Rhythm>);

impl Rhythms {
    /// Notes that something was done. False where a rhythm had to be forgotten for it.
    pub fn note(&mut self, what: Habitual, at: Timestamp) -> bool {
        if let Some(known) = self.0.iter_mut().find(|rhythm| rhythm.what == what) {
            known.beat(at);
            return true;
        }
        let fresh = Rhythm {
            what,
            last: at,
            interval: 0,
            beats: 0,
        };
        if self.0.len() < RHYTHMS_MAX {
            self.0.push(fresh);
            return true;
        }
        let least = self
            .0
            .iter_mut()
            .min_by_key(|rhythm| (rhythm.beats, rhythm.last));
        let regular = least
            .as_ref()
            .is_some_and(|rhythm| rhythm.beats >= BEATS_MIN);
        if let Some(slot) = least {
            *slot = fresh;
        }
        !regular
    }

    /// Whether a moment falls on the beat of a rhythm.
    #[must_use]
    pub fn is_on_beat(&self, what: Habitual, at: Timestamp) -> bool {
        self.0
            .iter()
            .find(|rhythm| rhythm.what == what)
            .is_some_and(|rhythm| rhythm.beats >= BEATS_MIN && rhythm.meets(at, REACH_INTERVALS))
    }
}

impl Rhythm {
    fn beat(&mut self, at: Timestamp) {
        let gap = at.nanos_since(self.last);
        if self.interval > 0 && self.meets(at, SKIPPED_MAX) {
            self.beats = self.beats.saturating_add(1);
            if gap < self.interval.saturating_add(self.interval / 2) {
                self.interval = gap;
            }
        } else {
            let counts = (INTERVAL_NANOS_MIN..=INTERVAL_NANOS_MAX).contains(&gap);
            self.interval = if counts { gap } else { 0 };
            self.beats = u32::from(self.interval > 0);
        }
        self.last = at;
    }

    /// Whether a moment lies a whole number of intervals from the last beat, and not none.
    fn meets(&self, at: Timestamp, reach: i64) -> bool {
        let gap = at.nanos_since(self.last);
        let tolerance = (self.interval / JITTER_PART).max(JITTER_NANOS_MIN);
        if self.interval <= 0
            || gap.saturating_abs()
                > self
                    .interval
                    .saturating_mul(reach)
                    .saturating_add(tolerance)
        {
            return false;
        }
        let over = gap.rem_euclid(self.interval);
        over <= tolerance || self.interval - over <= tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp(1_000_000_000_000 + millis * 1_000_000)
    }

    fn server() -> Endpoint {
        Endpoint::new([10, 0, 0, 3].into(), 80)
    }

    fn noted(times: &[i64]) -> Rhythms {
        let mut rhythms = Rhythms::default();
        for time in times {
            rhythms.note(Habitual::opening(server()), at(*time));
        }
        rhythms
    }

    #[test]
    fn a_check_every_two_seconds() {
        let what = Habitual::opening(server());
        let checks = noted(&[0, 2_003, 4_001, 6_004]);
        assert!(checks.is_on_beat(what, at(2_003)));
        assert!(checks.is_on_beat(what, at(8_010)));
        assert!(!checks.is_on_beat(what, at(5_000)));
        let other = Habitual::request(server(), "GET", "/health");
        assert!(!checks.is_on_beat(other, at(2_003)));
        // Three times are no rhythm yet.
        assert!(!noted(&[0, 2_000, 4_000]).is_on_beat(what, at(6_000)));
    }

    #[test]
    fn a_beat_that_was_not_noted_breaks_nothing() {
        let what = Habitual::opening(server());
        let checks = noted(&[0, 2_000, 6_001, 8_003]);
        assert!(checks.is_on_beat(what, at(4_000)));
    }

    #[test]
    fn traffic_has_no_beat() {
        let what = Habitual::opening(server());
        for times in [&[0, 900, 3_100, 3_900, 7_000][..], &[0, 40, 80, 120, 160]] {
            assert!(!noted(times).is_on_beat(what, at(*times.last().unwrap())));
        }
    }

    #[test]
    fn the_least_regular_gives_way() {
        let mut rhythms = noted(&[0, 2_000, 4_000, 6_000]);
        for number in 0..RHYTHMS_MAX as i64 {
            let what = Habitual::request(server(), "GET", &format!("/{number}"));
            assert!(rhythms.note(what, at(6_100 + number)));
        }
        assert_eq!(rhythms.0.len(), RHYTHMS_MAX);
        assert!(rhythms.is_on_beat(Habitual::opening(server()), at(8_000)));
    }
}
