//! Times and amounts for people. In: RFC 3339 and numbers of the report. Out: short words.
//!
//! The rule: UTC always, the reader's own zone beside it where one was given.

use jiff::Timestamp;

use crate::report::model::Input;
use crate::report::view::View;

/// `13:04:05.123` of an RFC 3339 time in UTC.
#[must_use]
pub fn time_of_day(rfc3339: &str) -> String {
    rfc3339.get(11..23).unwrap_or(rfc3339).to_owned()
}

/// The time of day in UTC, and in the reader's zone where that is another one.
#[must_use]
pub fn moment(rfc3339: &str, view: &View) -> String {
    let utc = format!("{} UTC", time_of_day(rfc3339));
    match local(rfc3339, view, "%H:%M:%S") {
        Some(local) => format!("{utc} ({local})"),
        None => utc,
    }
}

/// `2026-11-20 13:04:05.123 to 13:04:07.456 UTC, 2.333 s`.
#[must_use]
pub fn span(first: &str, last: &str, view: &View) -> String {
    let (first_day, last_day) = (day(first), day(last));
    let last_shown = if first_day == last_day {
        time_of_day(last)
    } else {
        format!("{last_day} {}", time_of_day(last))
    };
    let local = match local(first, view, "%H:%M:%S %Z") {
        Some(local) => format!(" (begins {local})"),
        None => String::new(),
    };
    let duration = seconds_between(first, last)
        .map_or_else(String::new, |seconds| format!(", {}", duration(seconds)));
    format!(
        "{first_day} {} to {last_shown} UTC{local}{duration}",
        time_of_day(first)
    )
}

/// `2.333 s`, `12 min 5 s`, `3 h 20 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..=119 => format!("{seconds:.3} s"),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `96.2 kB`, decimal prefixes.
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = units.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 {
        let Some(next) = unit.next() else { break };
        name = next;
        value /= 1000.0;
    }
    format!("{value:.1} {name}")
}

/// `1 exchange`, `2 exchanges`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `clock 3.204 s ahead of client.pcap (±0.2 ms, from 1,204 shared packets), corrected`; `None` where the clock of
/// an input was not compared with that of `reference`.
#[must_use]
pub fn compared(input: &Input, reference: &str) -> Option<String> {
    let unsure = interval(input.clock_uncertainty_ms?);
    // `shared packets (1204)`.
    let from = input.clock_estimated_from.as_deref()?;
    let (what, number) = from.trim_end_matches(')').split_once(" (")?;
    let side = match input.clock_offset_ms < 0.0 {
        true => "behind",
        false => "ahead of",
    };
    let drift = match input.clock_drift_ppm {
        Some(ppm) if ppm < 0.0 => format!(", losing {:.1} µs a second", -ppm),
        Some(ppm) => format!(", gaining {ppm:.1} µs a second"),
        None => String::new(),
    };
    Some(format!(
        "clock {} {side} {reference}{drift} (±{unsure}, from {} {what}), corrected",
        interval(input.clock_offset_ms.abs()),
        grouped(number),
    ))
}

/// `0.2 ms`, `3.204 s`, `7,200.015 s`.
fn interval(millis: f64) -> String {
    if millis >= 1_000.0 {
        let text = format!("{:.3} s", millis / 1_000.0);
        let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
        return format!("{}.{rest}", grouped(whole));
    }
    match millis {
        0.1.. => format!("{millis:.1} ms"),
        _ => format!("{millis:.3} ms"),
    }
}

/// `1,204`: digits in threes.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn day(rfc3339: &str) -> &str {
    rfc3339.get(..10).unwrap_or(rfc3339)
}

fn local(rfc3339: &str, view: &View, format: &str) -> Option<String> {
    let zone = view.zone.clone()?;
    let instant: Timestamp = rfc3339.parse().ok()?;
    let zoned = instant.to_zoned(zone);
    if zoned.offset().is_zero() {
        return None;
    }
    jiff::fmt::strtime::format(format, &zoned).ok()
}

fn seconds_between(first: &str, last: &str) -> Option<f64> {
    let (first, last): (Timestamp, Timestamp) = (first.parse().ok()?, last.parse().ok()?);
    Some((last.as_nanosecond() - first.as_nanosecond()).max(0) as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_amounts() {
        let view = View::default();
        assert_eq!(
            span(
                "2026-11-20T13:04:05.123456789Z",
                "2026-11-20T13:04:07.456000000Z",
                &view
            ),
            "2026-11-20 13:04:05.123 to 13:04:07.456 UTC, 2.333 s"
        );
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(duration(725.4), "12 min 5 s");
        assert_eq!(duration(12_000.0), "3 h 20 min");
    }

    #[test]
    fn intervals_and_large_numbers() {
        assert_eq!(interval(3_204.2), "3.204 s");
        assert_eq!(interval(7_200_015.0), "7,200.015 s");
        assert_eq!(interval(0.23), "0.2 ms");
        assert_eq!(interval(0.012), "0.012 ms");
        assert_eq!(interval(87.25), "87.2 ms");
        assert_eq!(grouped("1204"), "1,204");
        assert_eq!(grouped("999"), "999");
        assert_eq!(grouped("1000000"), "1,000,000");
    }

    #[test]
    fn the_readers_zone_stands_beside_utc() {
        let view = View {
            zone: Some(jiff::tz::TimeZone::fixed(jiff::tz::offset(2))),
            ..View::default()
        };
        assert_eq!(
            moment("2026-11-20T13:04:05.123456789Z", &view),
            "13:04:05.123 UTC (15:04:05)"
        );
    }
}
