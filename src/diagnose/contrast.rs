//! What the failures of an incident have in common that successes have not. In: the traits of failed attempts and what
//! the gateway's good ones look like. Out: sentences with counts, or nothing.
//!
//! The rule: a trait is told when that many successes, taken by chance, would hardly ever all have it; where nothing
//! separates them, nothing is said.

use std::hash::Hash;

use hashbrown::HashMap;

use crate::diagnose::habits::{Habits, Traits};

/// Fewer failures than this have something in common by chance.
const FAILURES_MIN: usize = 3;
/// Fewer successes than this say nothing of what is usual.
const SUCCESSES_MIN: u64 = 10;
/// Natural logarithm of the chance below which a trait is told: one in a thousand.
const CHANCE_LN_MAX: f64 = -6.9;
/// Most traits that are told of one incident, the clearest first.
pub const COMMON_MAX: usize = 3;
/// An idle time below this separates nothing that an engineer could change, milliseconds.
const IDLE_MS_MIN: u64 = 100;
/// Heads and bodies below this size are nobody's limit, bytes.
const SIZE_MIN: u64 = 1_024;

/// A trait that separates failures from successes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The trait in words, as it continues "all failures".
    pub words: String,
    /// Failures; all of them have it.
    pub failures: u64,
    /// Successes that have it too.
    pub successes: u64,
    /// All successes that it is held against.
    pub successes_total: u64,
}

/// What separates `failed` from what went well, the clearest first.
#[must_use]
pub fn common(failed: &[&Traits], well: &Habits) -> Vec<Common> {
    if failed.len() < FAILURES_MIN || well.total < SUCCESSES_MIN {
        return Vec::new();
    }
    let mut found: Vec<(f64, Common)> = candidates(failed, well)
        .into_iter()
        .filter_map(|(successes, words)| {
            let chance = chance_ln(failed.len(), successes, well.total);
            let common = Common {
                words,
                failures: failed.len() as u64,
                successes,
                successes_total: well.total,
            };
            (chance < CHANCE_LN_MAX).then_some((chance, common))
        })
        .collect();
    found.sort_by(|(one, a), (other, b)| one.total_cmp(other).then(a.words.cmp(&b.words)));
    found.truncate(COMMON_MAX);
    found.into_iter().map(|(_, common)| common).collect()
}

/// The traits that all failures share, each with the number of successes that have it.
fn candidates(failed: &[&Traits], well: &Habits) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    if let Some((upstream, count)) = shared(failed, |traits| traits.upstream, &well.upstreams) {
        found.push((count, format!("went to {upstream}")));
    }
    if let Some((method, count)) = shared(failed, |traits| traits.method.clone(), &well.methods) {
        found.push((count, format!("were {method} requests")));
    }
    if let Some((segment, count)) = shared(failed, |traits| traits.segment.clone(), &well.segments)
    {
        found.push((count, format!("asked for targets under {segment}")));
    }
    if let Some(idle) = least(failed, |traits| traits.idle_ms).filter(|idle| *idle >= IDLE_MS_MIN) {
        let words = format!(
            "reused a connection that had been idle for {} or more",
            seconds(idle)
        );
        found.push((well.idle_ms.from(idle), words));
    }
    match least(failed, |traits| traits.prior) {
        Some(0) if failed.iter().all(|traits| traits.prior == Some(0)) => {
            let first = well.total.saturating_sub(well.prior.from(1));
            found.push((
                first,
                "were the first request of a new connection".to_owned(),
            ));
        }
        Some(prior @ 1..) => {
            let words = format!("came after {prior} or more responses on the same connection");
            found.push((well.prior.from(prior), words));
        }
        _ => {}
    }
    let sizes = [
        (
            least(failed, |traits| traits.head_len),
            &well.head_len,
            "head",
        ),
        (
            least(failed, |traits| traits.body_len),
            &well.body_len,
            "body",
        ),
    ];
    for (size, histogram, part) in sizes {
        if let Some(size) = size.filter(|size| *size >= SIZE_MIN) {
            let words = format!("had a request {part} of {size} bytes or more");
            found.push((histogram.from(size), words));
        }
    }
    found
}

/// The value that all failures have, and how many successes have it.
fn shared<K: Hash + Eq>(
    failed: &[&Traits],
    of: impl Fn(&Traits) -> Option<K>,
    well: &HashMap<K, u64>,
) -> Option<(K, u64)> {
    let value = of(failed.first()?)?;
    let all = failed
        .iter()
        .all(|traits| of(traits).as_ref() == Some(&value));
    let count = well.get(&value).copied().unwrap_or(0);
    all.then_some((value, count))
}

/// The least of a trait that all failures have.
fn least(failed: &[&Traits], of: impl Fn(&Traits) -> Option<u64>) -> Option<u64> {
    let values: Option<Vec<u64>> = failed.iter().map(|traits| of(traits)).collect();
    values?.into_iter().min()
}

/// Natural logarithm of the chance that `failures` successes taken at random all have a trait that `with` of `total`
/// have (rule of succession, so that what was never seen is not impossible).
fn chance_ln(failures: usize, with: u64, total: u64) -> f64 {
    let share = (with as f64 + 1.0) / (total as f64 + 2.0);
    share.ln() * failures as f64
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Endpoint;

    fn endpoint(last: u8) -> Endpoint {
        Endpoint::new([10, 0, 0, last].into(), 80)
    }

    fn traits(upstream: u8, idle_ms: u64) -> Traits {
        Traits {
            asker: None,
            upstream: Some(endpoint(upstream)),
            method: Some("GET".into()),
            segment: Some("/".into()),
            idle_ms: Some(idle_ms),
            prior: Some(1),
            head_len: Some(200),
            body_len: None,
        }
    }

    fn usual() -> Habits {
        let mut well = Habits::default();
        for number in 0..600_u64 {
            let upstream = 1 + u8::try_from(number % 6).unwrap();
            well.note(traits(upstream, number % 50));
        }
        well
    }

    #[test]
    fn failures_after_a_long_idle_time_are_told_by_it() {
        let failed = [traits(1, 5_000), traits(2, 6_100), traits(3, 5_400)];
        let failed: Vec<&Traits> = failed.iter().collect();
        let found = common(&failed, &usual());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].words.contains("idle for 5.0 s or more"));
        assert_eq!((found[0].failures, found[0].successes), (3, 0));
        assert_eq!(found[0].successes_total, 600);
    }

    #[test]
    fn one_bad_upstream_of_six_is_told_when_chance_would_not_do_it() {
        let failed = vec![traits(6, 10); 8];
        let failed: Vec<&Traits> = failed.iter().collect();
        let found = common(&failed, &usual());
        assert_eq!(found[0].words, "went to 10.0.0.6:80");
        assert_eq!(found[0].successes, 100);
        // Three of six might be chance.
        assert!(common(&failed[..3], &usual()).is_empty());
    }

    #[test]
    fn nothing_is_said_when_nothing_separates_them() {
        let failed = [traits(1, 10), traits(2, 20), traits(3, 30), traits(4, 5)];
        let failed: Vec<&Traits> = failed.iter().collect();
        assert!(common(&failed, &usual()).is_empty());
        assert!(common(&failed[..2], &usual()).is_empty());
        assert!(common(&failed, &Habits::default()).is_empty());
    }
}
