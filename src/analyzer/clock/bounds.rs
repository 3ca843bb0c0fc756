//! How far two clocks are apart where no packet tells. In: exchanges of one machine that lie inside those of another.
//! Out: an estimate with its uncertainty.
//!
//! The rule (causes.md B.5): a request is passed on after it was made, and an answer after it was given.

use crate::analyzer::clock::estimate::{
    DRIFT_UNSEEN_PPB, Estimate, PAIRS_MIN, UNCERTAINTY_MIN_NANOS,
};
use crate::analyzer::clock::numbers::{median, midpoint, part};
use crate::diagnose::clocks::EstimatedFrom;
use crate::time::{ClockError, Timestamp};

/// An exchange of one machine inside one of another.
#[derive(Clone, Copy, Debug)]
pub struct Nested {
    /// When the other capture holds its request, by the other clock.
    pub at: Timestamp,
    /// How much later the request is there than in the reference, nanoseconds.
    pub request_later: i64,
    /// The same of the response.
    pub response_later: i64,
    /// Whether the server of one is the client of the other.
    pub linked: bool,
}

impl Nested {
    /// Whether the other machine's exchange is the shorter one, which lies inside.
    const fn other_is_inner(&self) -> bool {
        self.request_later >= self.response_later
    }

    /// Between these the difference of the clocks lies, whichever is the inner one: a request is passed on after it was
    /// made, an answer after it was given. `unsure` is what drift may add.
    fn bounds(&self, unsure: i64) -> (i64, i64) {
        let (one, other) = (self.request_later, self.response_later);
        (
            one.min(other).saturating_sub(unsure),
            one.max(other).saturating_add(unsure),
        )
    }
}

/// Estimates from exchanges of one machine that lie inside those of the other; `None` where they are too few or do not
/// agree on which is the inner one, or on any difference.
#[must_use]
pub fn from_exchanges(pairs: &[Nested]) -> Option<Estimate> {
    let inner = pairs.iter().filter(|pair| pair.other_is_inner()).count();
    let other_is_inner = inner.saturating_mul(2) >= pairs.len();
    let consistent: Vec<&Nested> = pairs
        .iter()
        .filter(|pair| pair.other_is_inner() == other_is_inner)
        .collect();
    let zero = median(consistent.iter().map(|pair| pair.at.0))?;
    let bounds = |pair: &&Nested| {
        let since = pair.at.0.saturating_sub(zero).saturating_abs();
        pair.bounds(part(since, DRIFT_UNSEEN_PPB))
    };
    let (low, high, agreed) = most_agreed(consistent.iter().map(bounds))?;
    // Four of five must lie inside each other the same way and agree.
    if agreed < PAIRS_MIN || agreed.saturating_mul(5) < pairs.len().saturating_mul(4) {
        return None;
    }
    let ahead = midpoint(low, high);
    Some(Estimate {
        error: ClockError {
            ahead_nanos: ahead,
            drift_ppb: 0,
            at: Timestamp(zero),
        },
        uncertainty_nanos: high
            .saturating_sub(ahead)
            .saturating_add(UNCERTAINTY_MIN_NANOS),
        unsure_ppb: DRIFT_UNSEEN_PPB,
        first: Timestamp(zero),
        last: Timestamp(zero),
        from: EstimatedFrom::NestedExchanges(agreed as u64),
    })
}

/// Where the most intervals overlap, and how many do (Marzullo's algorithm).
fn most_agreed(bounds: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64, usize)> {
    // Beginnings before ends at one point: intervals that touch agree.
    let mut edges: Vec<(i64, bool)> = bounds
        .flat_map(|(low, high)| [(low, false), (high, true)])
        .collect();
    edges.sort_unstable();
    let mut open = 0_usize;
    let mut best: Option<(i64, i64, usize)> = None;
    let mut edges = edges.into_iter().peekable();
    while let Some((at, ends)) = edges.next() {
        if ends {
            open = open.saturating_sub(1);
            continue;
        }
        open = open.saturating_add(1);
        if let Some((end, true)) = edges.peek()
            && best.is_none_or(|(_, _, most)| open > most)
        {
            best = Some((at, *end, open));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NANOS_PER_SECOND as SECOND;

    const START: i64 = 1_795_179_845 * SECOND;

    /// A number from 0 to `below`, the same in every run.
    fn noise(seed: i64, below: i64) -> i64 {
        ((seed.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 33).rem_euclid(1 << 20)) % below
    }

    /// Exchanges of which the other machine's is the inner one, or the outer one.
    fn nested(count: i64, ahead: i64, other_is_inner: bool) -> Vec<Nested> {
        let pair = |number: i64| {
            let (before, after) = (
                300_000 + noise(number, 900_000),
                200_000 + noise(number + 1, 900_000),
            );
            let sign = if other_is_inner { 1 } else { -1 };
            Nested {
                at: Timestamp(START + number * SECOND / 10),
                request_later: ahead + sign * before,
                response_later: ahead - sign * after,
                linked: true,
            }
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn nesting_bounds_the_difference_whichever_is_the_inner_one() {
        for inner in [true, false] {
            let estimate = from_exchanges(&nested(30, -750_000_000, inner)).unwrap();
            let off = (estimate.error.ahead_nanos + 750_000_000).abs();
            assert!(off <= estimate.uncertainty_nanos);
            assert!(estimate.uncertainty_nanos < 1_000_000);
            assert_eq!(estimate.from, EstimatedFrom::NestedExchanges(30));
        }
    }

    #[test]
    fn exchanges_that_only_look_alike_are_outvoted_or_silence_all() {
        let stray = Nested {
            at: Timestamp(START),
            request_later: 90 * SECOND,
            response_later: 89 * SECOND,
            linked: true,
        };
        let mut pairs = nested(30, SECOND, true);
        pairs.extend([stray; 3]);
        let estimate = from_exchanges(&pairs).unwrap();
        assert!((estimate.error.ahead_nanos - SECOND).abs() <= estimate.uncertainty_nanos);
        let mut torn = nested(5, SECOND, true);
        torn.extend(nested(5, 50 * SECOND, true));
        assert!(from_exchanges(&torn).is_none());
        assert!(from_exchanges(&nested(2, SECOND, true)).is_none());
        assert!(from_exchanges(&[]).is_none());
    }
}
