//! Arithmetic of estimates. In: nanoseconds. Out: medians and parts that never overflow, because the wire chooses what
//! goes in.

use crate::time::NANOS_PER_SECOND;

/// The median: the lower of two in the middle, so that it is one of the values.
#[must_use]
pub fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    let middle = values.len().checked_sub(1)? / 2;
    let (_, median, _) = values.select_nth_unstable(middle);
    Some(*median)
}

/// Half way between two values.
#[must_use]
pub fn midpoint(one: i64, other: i64) -> i64 {
    let sum = i128::from(one) + i128::from(other);
    i64::try_from(sum / 2).unwrap_or(one)
}

/// So many parts per billion of `nanos`.
#[must_use]
pub fn part(nanos: i64, ppb: i64) -> i64 {
    let part = i128::from(nanos) * i128::from(ppb) / i128::from(NANOS_PER_SECOND);
    i64::try_from(part).unwrap_or(if part < 0 { i64::MIN } else { i64::MAX })
}

/// `rise` in parts per billion of `over`; `None` where that is no time.
#[must_use]
pub fn ratio_ppb(rise: f64, over: i64) -> Option<i64> {
    // The conversion saturates.
    (over > 0).then(|| (rise / over as f64 * 1e9).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overflows() {
        assert_eq!(median([3, 1, 2, 4].into_iter()), Some(2));
        assert_eq!(median(std::iter::empty()), None);
        assert_eq!(midpoint(i64::MAX, i64::MAX), i64::MAX);
        assert_eq!(midpoint(i64::MIN, i64::MAX), 0);
        assert_eq!(part(i64::MIN, i64::MAX), i64::MIN);
        assert_eq!(part(2_000_000_000, 50_000), 100_000);
        assert_eq!(ratio_ppb(1.0, 0), None);
        assert_eq!(ratio_ppb(100_000.0, 2_000_000_000), Some(50_000));
        assert_eq!(ratio_ppb(f64::MAX, 1), Some(i64::MAX));
    }
}
