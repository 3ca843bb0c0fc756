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

#[cfg(test)]
mod tests {
    use super::*;

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
