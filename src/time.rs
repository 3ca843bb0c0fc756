//! Capture time. In: what a capture file says of a frame. Out: a point on the UTC line.
//!
//! The rule: nobody in the library reads a clock; every instant comes from a frame.

use std::fmt;

/// Nanoseconds in one second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant in nanoseconds since 1970-01-01T00:00:00 UTC (negative before).
///
/// Arithmetic saturates: the wire chooses these values, so no sum of them may overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest instant that can be told.
    pub const MIN: Self = Self(i64::MIN);

    /// Nanoseconds from `earlier` to `self`; negative when `self` is the earlier one.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `earlier` to `self`, with their fraction.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> f64 {
        self.nanos_since(earlier) as f64 / 1e6
    }

    /// The instant `nanos` nanoseconds later (earlier when negative).
    #[must_use]
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The instant `millis` milliseconds later (earlier when negative).
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        self.plus_nanos(millis.saturating_mul(1_000_000))
    }

    /// The whole second that this instant lies in: the unit of expiry.
    #[must_use]
    pub const fn second(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// The date of an HTTP header (RFC 9110, section 5.6.7, IMF-fixdate); `None` where it is none. The obsolete forms
    /// are not read.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
        let nanos = date.ok()?.as_nanosecond();
        i64::try_from(nanos).ok().map(Self)
    }

    /// RFC 3339 in UTC with nanoseconds. An instant outside the years 0 to 9999, which only a damaged
    /// file holds, is written as the nearest one inside.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let nanos = i128::from(self.0);
        match jiff::Timestamp::from_nanosecond(nanos) {
            Ok(instant) => format!("{instant:.9}"),
            Err(_) => format!("{:.9}", jiff::Timestamp::MIN),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// How one clock differs from another: by so much at an instant, and by more with each second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockError {
    /// Nanoseconds that it is ahead at `at`; behind when negative.
    pub ahead_nanos: i64,
    /// Nanoseconds that it gains in a second (parts per billion); loses when negative.
    pub drift_ppb: i64,
    /// The instant, by this clock itself, at which it is ahead by `ahead_nanos`.
    pub at: Timestamp,
}

impl ClockError {
    /// The instant that the other clock shows when this one shows `shown`.
    #[must_use]
    pub fn corrected(self, shown: Timestamp) -> Timestamp {
        if self == Self::default() {
            return shown;
        }
        let since = i128::from(shown.0) - i128::from(self.at.0);
        let gained = since * i128::from(self.drift_ppb) / i128::from(NANOS_PER_SECOND);
        Timestamp(saturated(
            i128::from(shown.0) - i128::from(self.ahead_nanos) - gained,
        ))
    }

    /// The error against a third clock, from which the other one differs by `others`.
    #[must_use]
    pub fn against(self, others: Self) -> Self {
        let both = others.corrected(self.corrected(self.at));
        let (one, other) = (i128::from(self.drift_ppb), i128::from(others.drift_ppb));
        Self {
            ahead_nanos: self.at.nanos_since(both),
            drift_ppb: saturated(one + other - one * other / i128::from(NANOS_PER_SECOND)),
            at: self.at,
        }
    }
}

/// The nearest value that fits.
fn saturated(value: i128) -> i64 {
    let most = if value < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(value).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_gains_is_put_back() {
        // 3.2 s ahead at 1,000 s, and 200 µs more with each second.
        let error = ClockError {
            ahead_nanos: 3_200_000_000,
            drift_ppb: 200_000,
            at: Timestamp(1_000 * NANOS_PER_SECOND),
        };
        let shown = Timestamp(1_060 * NANOS_PER_SECOND);
        assert_eq!(error.corrected(shown), Timestamp(1_056_788_000_000));
        assert_eq!(ClockError::default().corrected(shown), shown);
        for extreme in [i64::MIN, i64::MAX] {
            let _ = error.corrected(Timestamp(extreme));
        }
    }

    #[test]
    fn errors_add_up_along_a_chain() {
        let near = ClockError {
            ahead_nanos: -750_000_000,
            drift_ppb: 150_000,
            at: Timestamp(5_000 * NANOS_PER_SECOND),
        };
        let far = ClockError {
            ahead_nanos: 3_600_000_000_000,
            drift_ppb: -20_000,
            at: Timestamp(9_000 * NANOS_PER_SECOND),
        };
        let both = near.against(far);
        for second in [4_000, 5_000, 7_777] {
            let shown = Timestamp(second * NANOS_PER_SECOND);
            let stepwise = far.corrected(near.corrected(shown));
            let apart = both.corrected(shown).nanos_since(stepwise);
            assert!(apart.abs() <= 10, "{apart}");
        }
    }

    #[test]
    fn dates_of_http() {
        // The example of RFC 9110, and one day of silence.
        let date = Timestamp::from_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(Timestamp(784_111_777 * NANOS_PER_SECOND)));
        for text in [
            "",
            "0",
            "yesterday",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(Timestamp::from_http_date(text), None, "{text}");
        }
    }
}
