//! How far two clocks are apart. In: what both captures hold, with the times that each gives it. Out: an estimate with
//! its uncertainty.
//!
//! The rule: a packet arrives after it was sent. So its delay adds to the difference of the clocks one way and is taken
//! off the other way, and the truth lies between the two.

use std::collections::BTreeMap;

use crate::analyzer::clock::numbers::{median, midpoint, part, ratio_ppb};
use crate::diagnose::clocks::EstimatedFrom;
use crate::time::{ClockError, Timestamp};

/// With fewer packets (or exchanges) than this nothing is said: one or two may be alike by chance.
pub const PAIRS_MIN: usize = 3;
/// With fewer than this the widest deviation stands for the usual one, and the path counts twice.
const PAIRS_FEW: usize = 20;
/// Least uncertainty: the resolution of most capture files, nanoseconds.
pub const UNCERTAINTY_MIN_NANOS: i64 = 1_000;
/// How long a packet may be on its way where only one direction is in both captures, nanoseconds: half a round trip to
/// the other side of the earth.
const ONE_WAY_NANOS: i64 = 100_000_000;
/// Pairs further from the median than this are not the same packet, nanoseconds.
const STRAY_NANOS: i64 = 2_000_000_000;
/// Fastest drift that is believed; beyond it a clock was set, and did not drift. What NTP slews with is half of it.
const DRIFT_MAX_PPB: i64 = 1_000_000;
/// What a clock may drift unseen: a poor quartz does, and a clock that is slewed into step.
pub const DRIFT_UNSEEN_PPB: i64 = 200_000;
/// Over less time than this no drift is read, nanoseconds: what it adds up to is within the noise.
const DRIFT_SPAN_MIN_NANOS: i64 = 30_000_000_000;
/// With fewer packets of one direction than this no drift is read.
const DRIFT_PAIRS_MIN: usize = 12;
/// Pieces of time in which the residuals are looked at for a clock that wandered or was set.
const PIECES: usize = 8;
/// With fewer pairs than this in a piece it says nothing.
const PIECE_PAIRS_MIN: usize = 5;
/// From the median absolute deviation to the standard deviation of what is normally distributed.
const SIGMA_PER_DEVIATION: f64 = 1.4826;

/// One packet in two captures.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// When the other capture holds it, by the other clock.
    pub at: Timestamp,
    /// How much later that is than in the reference, nanoseconds.
    pub ahead: i64,
    /// Sender and receiver, by the reference.
    pub way: (u32, u32),
    /// The same by the other capture: NAT may have changed them.
    pub other_way: (u32, u32),
}

impl Pair {
    /// The same with the other capture as the reference.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            at: self.at.plus_nanos(self.ahead.saturating_neg()),
            ahead: self.ahead.saturating_neg(),
            way: self.other_way,
            other_way: self.way,
        }
    }
}

/// How another clock differs from the reference.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// By how much it is wrong.
    pub error: ClockError,
    /// How wrong that may be between `first` and `last`, nanoseconds.
    pub uncertainty_nanos: i64,
    /// By how much more outside of them, parts per billion of the distance.
    pub unsure_ppb: i64,
    /// The first moment that was compared, by the other clock.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// What it rests on.
    pub from: EstimatedFrom,
}

impl Estimate {
    /// How the reference differs from the other clock.
    #[must_use]
    pub fn turned(self) -> Self {
        let shown = |time: Timestamp| self.error.corrected(time);
        Self {
            error: ClockError {
                ahead_nanos: self.error.ahead_nanos.saturating_neg(),
                drift_ppb: self.error.drift_ppb.saturating_neg(),
                at: shown(self.error.at),
            },
            first: shown(self.first),
            last: shown(self.last),
            ..self
        }
    }

    /// How wrong it may be anywhere between two instants of the other clock, nanoseconds.
    #[must_use]
    pub fn uncertainty(&self, begin: Timestamp, end: Timestamp) -> i64 {
        let before = self.first.nanos_since(begin);
        let after = end.nanos_since(self.last);
        let outside = before.max(after).max(0);
        self.uncertainty_nanos
            .saturating_add(part(outside, self.unsure_ppb))
    }
}

/// Estimates from packets that both captures hold; `None` where they are too few, or do not agree.
#[must_use]
pub fn from_packets(pairs: &[Pair]) -> Option<Estimate> {
    let agreed = agreeing(pairs)?;
    let drift = Drift::of(&agreed);
    let zero = median(agreed.iter().map(|pair| pair.at.0))?;
    let level = |pair: &Pair| {
        let gained = part(pair.at.0.saturating_sub(zero), drift.ppb);
        pair.ahead.saturating_sub(gained)
    };
    let middle = Middle::of(&agreed, &level, |pair| pair.way)
        .or_else(|| Middle::of(&agreed, &level, |pair| pair.other_way))
        .or_else(|| Middle::one_way(&agreed, &level))?;
    let residuals = residuals(&agreed, &level);
    let spread = if agreed.len() < PAIRS_FEW {
        let widest = residuals.iter().map(|residual| residual.saturating_abs());
        widest.max()?.saturating_add(middle.half)
    } else {
        let usual = median(residuals.iter().map(|residual| residual.saturating_abs()))?;
        usual.max(wandered(&residuals))
    };
    let (first, last) = (agreed.first()?.at, agreed.last()?.at);
    let hinted = part(last.nanos_since(first) / 2, drift.hinted_ppb);
    Some(Estimate {
        error: ClockError {
            ahead_nanos: middle.ahead,
            drift_ppb: drift.ppb,
            at: Timestamp(zero),
        },
        uncertainty_nanos: middle
            .half
            .saturating_add(spread)
            .saturating_add(hinted)
            .saturating_add(UNCERTAINTY_MIN_NANOS),
        unsure_ppb: drift.unsure_ppb,
        first,
        last,
        from: EstimatedFrom::SharedPackets(agreed.len() as u64),
    })
}

/// What lies near the median, by time: at least half of all, and enough to speak of.
fn agreeing(pairs: &[Pair]) -> Option<Vec<Pair>> {
    let usual = median(pairs.iter().map(|pair| pair.ahead))?;
    let zero = median(pairs.iter().map(|pair| pair.at.0))?;
    let near = |pair: &&Pair| {
        let since = pair.at.0.saturating_sub(zero).saturating_abs();
        let may = STRAY_NANOS.saturating_add(part(since, DRIFT_MAX_PPB));
        pair.ahead.saturating_sub(usual).saturating_abs() <= may
    };
    let mut agreed: Vec<Pair> = pairs.iter().filter(near).copied().collect();
    agreed.sort_unstable_by_key(|pair| (pair.at, pair.ahead));
    (agreed.len() >= PAIRS_MIN && agreed.len().saturating_mul(2) >= pairs.len()).then_some(agreed)
}

/// A drift, and how wrong it may be: parts per billion.
struct Drift {
    ppb: i64,
    /// What the packets hint at, too little to be believed.
    hinted_ppb: i64,
    unsure_ppb: i64,
}

impl Drift {
    /// The slope of the direction that shows it best, where it is clear; both ways share the clocks.
    fn of(pairs: &[Pair]) -> Self {
        let best = by_way(pairs, |pair| pair.way)
            .into_values()
            .filter_map(|way| slope(&way))
            .min_by_key(|slope| slope.noise_ppb);
        let Some(best) = best else {
            return Self {
                ppb: 0,
                hinted_ppb: DRIFT_UNSEEN_PPB,
                unsure_ppb: DRIFT_UNSEEN_PPB,
            };
        };
        let long = best.span >= DRIFT_SPAN_MIN_NANOS;
        let steep = best.ppb.saturating_abs();
        if long && steep > best.noise_ppb && plausible(best.ppb, pairs) {
            return Self {
                ppb: best.ppb,
                hinted_ppb: 0,
                unsure_ppb: best.noise_ppb,
            };
        }
        let hinted_ppb = steep.min(DRIFT_MAX_PPB);
        let unseen = if long { 0 } else { DRIFT_UNSEEN_PPB };
        Self {
            ppb: 0,
            hinted_ppb,
            unsure_ppb: best
                .noise_ppb
                .min(DRIFT_MAX_PPB)
                .max(hinted_ppb)
                .max(unseen),
        }
    }
}

/// Whether a drift explains all directions better than none does.
fn plausible(ppb: i64, pairs: &[Pair]) -> bool {
    let deviation = |ppb: i64| {
        let level = |pair: &Pair| pair.ahead.saturating_sub(part(pair.at.0, ppb));
        let residuals = residuals(pairs, &level);
        median(residuals.iter().map(|residual| residual.saturating_abs()))
    };
    ppb.saturating_abs() <= DRIFT_MAX_PPB && deviation(ppb) < deviation(0)
}

/// How much later packets of one direction come as time goes on.
struct Slope {
    ppb: i64,
    /// How wrong that may be.
    noise_ppb: i64,
    /// Over how long it was seen, nanoseconds.
    span: i64,
}

/// The slope of one direction, from the medians of its first and last thirds.
fn slope(way: &[Pair]) -> Option<Slope> {
    if way.len() < DRIFT_PAIRS_MIN {
        return None;
    }
    let third = way.len() / 3;
    let centre = |part: &[Pair]| {
        let at = median(part.iter().map(|pair| pair.at.0))?;
        Some((at, median(part.iter().map(|pair| pair.ahead))?))
    };
    let early = centre(way.get(..third)?)?;
    let late = centre(way.get(way.len().saturating_sub(third)..)?)?;
    let apart = late.0.saturating_sub(early.0);
    let ppb = ratio_ppb(late.1.saturating_sub(early.1) as f64, apart)?;
    let level = |pair: &Pair| pair.ahead.saturating_sub(part(pair.at.0, ppb));
    let usual = median(way.iter().map(level))?;
    let residuals = way.iter().map(|pair| level(pair).saturating_sub(usual));
    let deviation = median(residuals.map(i64::saturating_abs))?;
    // Three standard errors of the difference of two medians, and the resolution of the stamps.
    let sigma = deviation as f64 * SIGMA_PER_DEVIATION * 1.2533 / (third as f64).sqrt();
    let noise = 3.0 * std::f64::consts::SQRT_2 * sigma + 2.0 * UNCERTAINTY_MIN_NANOS as f64;
    Some(Slope {
        ppb,
        noise_ppb: ratio_ppb(noise, apart)?,
        span: way.last()?.at.nanos_since(way.first()?.at),
    })
}

/// The difference of the clocks between the two directions of a conversation.
struct Middle {
    ahead: i64,
    /// Half the distance of the two: what the delay, if all of it were one way's, may hide.
    half: i64,
}

impl Middle {
    /// The median of all conversations that were seen both ways, each counted by its packets.
    fn of(
        pairs: &[Pair],
        level: &impl Fn(&Pair) -> i64,
        way: impl Fn(&Pair) -> (u32, u32),
    ) -> Option<Self> {
        let ways = by_way(pairs, way);
        let typical = |list: &[Pair]| median(list.iter().map(level));
        let mut talks: Vec<(i64, i64, usize)> = Vec::new();
        for ((from, to), there) in ways.iter().filter(|((from, to), _)| from < to) {
            let Some(back) = ways.get(&(*to, *from)) else {
                continue;
            };
            let (one, other) = (typical(there)?, typical(back)?);
            let middle = midpoint(one, other);
            let half = one.saturating_sub(other).saturating_abs() / 2;
            talks.push((middle, half, there.len().saturating_add(back.len())));
        }
        let (ahead, half) =
            heaviest_middle(&mut talks, |talk| talk.0).map(|talk| (talk.0, talk.1))?;
        // The conversation in the middle may by chance be one with a short way.
        let usual = heaviest_middle(&mut talks, |talk| talk.1)?.1;
        Some(Self {
            ahead,
            half: half.max(usual),
        })
    }

    /// Where one direction alone was seen, the delay is unknown.
    fn one_way(pairs: &[Pair], level: &impl Fn(&Pair) -> i64) -> Option<Self> {
        Some(Self {
            ahead: median(pairs.iter().map(level))?,
            half: ONE_WAY_NANOS,
        })
    }
}

/// The conversation in the middle by `key`, each counted by its packets.
fn heaviest_middle(
    talks: &mut [(i64, i64, usize)],
    key: impl Fn(&(i64, i64, usize)) -> i64,
) -> Option<(i64, i64, usize)> {
    talks.sort_unstable_by_key(|talk| (key(talk), *talk));
    let all: usize = talks.iter().map(|talk| talk.2).sum();
    let mut passed = 0_usize;
    talks.iter().copied().find(|talk| {
        passed = passed.saturating_add(talk.2);
        passed.saturating_mul(2) >= all
    })
}

/// What each pair deviates from the median of its direction, in the order of the pairs.
fn residuals(pairs: &[Pair], level: &impl Fn(&Pair) -> i64) -> Vec<i64> {
    let usual: BTreeMap<(u32, u32), i64> = by_way(pairs, |pair| pair.way)
        .into_iter()
        .filter_map(|(way, list)| Some((way, median(list.iter().map(level))?)))
        .collect();
    let residual = |pair: &Pair| {
        let usual = usual.get(&pair.way).copied().unwrap_or_default();
        level(pair).saturating_sub(usual)
    };
    pairs.iter().map(residual).collect()
}

/// How far the residuals of a stretch of time lie from all others: a clock that was set, or drifted unevenly.
fn wandered(residuals: &[i64]) -> i64 {
    let piece = residuals.len().div_ceil(PIECES).max(PIECE_PAIRS_MIN);
    residuals
        .chunks(piece)
        .filter(|piece| piece.len() >= PIECE_PAIRS_MIN)
        .filter_map(|piece| median(piece.iter().copied()))
        .map(i64::saturating_abs)
        .max()
        .unwrap_or_default()
}

fn by_way(pairs: &[Pair], way: impl Fn(&Pair) -> (u32, u32)) -> BTreeMap<(u32, u32), Vec<Pair>> {
    let mut ways: BTreeMap<(u32, u32), Vec<Pair>> = BTreeMap::new();
    for pair in pairs {
        ways.entry(way(pair)).or_default().push(*pair);
    }
    ways
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

    /// A conversation of `count` packets, taking turns, over `seconds`: the other clock is `ahead` and drifts, a packet
    /// needs `delays` there and back and up to `jitter` more.
    fn talk(
        count: i64,
        seconds: i64,
        ahead: i64,
        ppb: i64,
        delays: (i64, i64),
        jitter: i64,
    ) -> Vec<Pair> {
        let pair = |number: i64| {
            let time = number * seconds * SECOND / count.max(1);
            let there = number % 2 == 0;
            let waited = noise(number, jitter.max(1));
            let later = if there {
                delays.0 + waited
            } else {
                -delays.1 - waited
            };
            let ahead = ahead + part(time, ppb) + later;
            let way = if there { (1, 2) } else { (2, 1) };
            Pair {
                at: Timestamp(START + time + ahead),
                ahead,
                way,
                other_way: way,
            }
        };
        (0..count).map(pair).collect()
    }

    /// The estimate, which must hold the truth at the moment that it is told for, within `widest`.
    fn holds(pairs: &[Pair], ahead: i64, ppb: i64, widest: i64) -> Estimate {
        let estimate = from_packets(pairs).unwrap();
        let error = estimate.error;
        let at_start = error.at.0 - error.ahead_nanos - START;
        let off = error.ahead_nanos - (ahead + part(at_start, ppb));
        let uncertainty = estimate.uncertainty_nanos;
        assert!(off.abs() <= uncertainty, "{off} ns off, ± {uncertainty} ns");
        assert!(uncertainty <= widest, "± {uncertainty} ns");
        estimate
    }

    #[test]
    fn the_middle_of_both_directions_is_the_difference() {
        let pairs = talk(200, 10, 3_200_000_000, 0, (150_000, 150_000), 40_000);
        let estimate = holds(&pairs, 3_200_000_000, 0, 300_000);
        assert_eq!(estimate.error.drift_ppb, 0);
        assert_eq!(estimate.from, EstimatedFrom::SharedPackets(200));
    }

    #[test]
    fn a_lopsided_path_stays_within_the_uncertainty() {
        holds(
            &talk(200, 10, -750_000_000, 0, (9_000_000, 200_000), 100_000),
            -750_000_000,
            0,
            6_000_000,
        );
    }

    #[test]
    fn many_clients_count_by_their_packets() {
        let hours = 7_200 * SECOND;
        let mut pairs = talk(300, 10, hours, 0, (100_000, 100_000), 10_000);
        for client in 10..60 {
            let slow = i64::from(client) * 100_000;
            let few = talk(4, 10, hours, 0, (100_000, slow), 10_000);
            pairs.extend(few.into_iter().map(|pair| Pair {
                way: (pair.way.0 + client, pair.way.1 + client),
                ..pair
            }));
        }
        holds(&pairs, hours, 0, 1_000_000);
    }

    #[test]
    fn addresses_that_nat_changes_on_one_side_are_taken_from_the_other() {
        let mut pairs = talk(100, 10, 5_000, 0, (100_000, 100_000), 1_000);
        for (number, pair) in (0..).zip(&mut pairs) {
            pair.way = (number, 1_000_000 + number);
        }
        holds(&pairs, 5_000, 0, 1_500_000);
    }

    #[test]
    fn one_direction_alone_leaves_the_delay_unknown() {
        let mut pairs = talk(100, 10, 5 * SECOND, 0, (40_000_000, 0), 1_000);
        pairs.retain(|pair| pair.way == (1, 2));
        let estimate = holds(&pairs, 5 * SECOND, 0, 110_000_000);
        assert!(estimate.uncertainty_nanos >= ONE_WAY_NANOS);
    }

    #[test]
    fn few_packets_are_less_sure_and_two_say_nothing() {
        let delays = (100_000, 120_000);
        let many = holds(&talk(40, 5, SECOND, 0, delays, 20_000), SECOND, 0, 300_000);
        let few = holds(&talk(4, 5, SECOND, 0, delays, 20_000), SECOND, 0, 700_000);
        assert!(few.uncertainty_nanos > many.uncertainty_nanos);
        assert!(from_packets(&talk(2, 5, SECOND, 0, delays, 20_000)).is_none());
        assert!(from_packets(&[]).is_none());
    }

    #[test]
    fn drift_is_read_from_a_long_capture_alone() {
        let delays = (200_000, 180_000);
        for ppb in [200_000, -200_000, 3_000] {
            let estimate = holds(
                &talk(600, 600, 3_200_000_000, ppb, delays, 50_000),
                3_200_000_000,
                ppb,
                500_000,
            );
            // By the other clock, whose seconds are shorter by as much.
            let off = estimate.error.drift_ppb - (ppb - part(ppb, ppb));
            let unsure = estimate.unsure_ppb;
            assert!(off.abs() <= unsure, "{off} ± {unsure} ppb");
            assert!(estimate.unsure_ppb < 1_000);
        }
        let brief = from_packets(&talk(600, 20, SECOND, 200_000, delays, 50_000)).unwrap();
        assert_eq!(brief.error.drift_ppb, 0);
        let still = from_packets(&talk(600, 600, SECOND, 0, delays, 50_000)).unwrap();
        assert_eq!(still.error.drift_ppb, 0);
    }

    #[test]
    fn a_clock_that_was_set_makes_all_unsure() {
        let mut pairs = talk(400, 100, SECOND, 0, (100_000, 100_000), 10_000);
        for pair in pairs.iter_mut().skip(320) {
            pair.ahead += 30_000_000;
        }
        let estimate = from_packets(&pairs).unwrap();
        let (error, unsure) = (estimate.error, estimate.uncertainty_nanos);
        for pair in &pairs {
            let off = pair.ahead - error.ahead_nanos;
            let off = off - part(pair.at.0 - error.at.0, error.drift_ppb);
            assert!(off.abs() <= unsure + 200_000, "{off} ± {unsure}");
        }
    }

    #[test]
    fn beyond_what_was_compared_it_grows_unsure() {
        let estimate = from_packets(&talk(60, 6, 0, 0, (1_000, 1_000), 1)).unwrap();
        let (first, last) = (estimate.first, estimate.last);
        let inside = estimate.uncertainty(first, last);
        let later = estimate.uncertainty(first, last.plus_nanos(3_600 * SECOND));
        assert_eq!(inside, estimate.uncertainty_nanos);
        assert_eq!(later - inside, 720_000_000);
    }

    #[test]
    fn chance_is_no_agreement() {
        let chance = |number: i64| Pair {
            at: Timestamp(START + number * SECOND),
            ahead: noise(number, 1 << 20) * SECOND,
            way: (1, 2),
            other_way: (1, 2),
        };
        let pairs: Vec<Pair> = (0..40).map(chance).collect();
        assert!(from_packets(&pairs).is_none());
    }
}
