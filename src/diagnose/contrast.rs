//! What the failures of an incident have in common that successes have not. In: the traits of failed attempts and what
//! the gateway's good ones look like. Out: sentences with counts, or nothing.
//!
//! The rule: a trait is told when that many successes, taken by chance, would hardly ever all have it; where nothing
//! separates them, nothing is said.

use std::hash::Hash;

use hashbrown::HashMap;

use crate::diagnose::habits::{Habits, Traits, VALUES_MAX};

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
/// A connection younger than this is as good as new, milliseconds.
const AGE_MS_MIN: u64 = 1_000;
/// Times are shown in tenths of a second; a shorter one is shown as that, milliseconds.
const LEAST_SHOWN_MS: u64 = 100;
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

/// What separates `failed` from what went well, the clearest first. `served` counts the clients of the same gateway.
#[must_use]
pub fn common(failed: &[Traits], well: &Habits, served: &Habits) -> Vec<Common> {
    if failed.len() < FAILURES_MIN {
        return Vec::new();
    }
    let of_attempts = candidates(failed, well)
        .into_iter()
        .map(|found| (found, well.total));
    let of_clients =
        shared(failed, |traits| traits.client, &served.clients).map(|(client, count)| {
            (
                (count, format!("came from the client {client}")),
                served.served,
            )
        });
    let mut found: Vec<(f64, Common)> = of_attempts
        .chain(of_clients)
        .filter(|(_, total)| *total >= SUCCESSES_MIN)
        .filter_map(|((successes, words), total)| {
            let chance = chance_ln(failed.len(), successes, total);
            let common = Common {
                words,
                failures: failed.len() as u64,
                successes,
                successes_total: total,
            };
            (chance < CHANCE_LN_MAX).then_some((chance, common))
        })
        .collect();
    found.sort_by(|(one, a), (other, b)| one.total_cmp(other).then(a.words.cmp(&b.words)));
    found.truncate(COMMON_MAX);
    found.into_iter().map(|(_, common)| common).collect()
}

/// The traits that all failures share, each with the number of successes that have it.
fn candidates(failed: &[Traits], well: &Habits) -> Vec<(u64, String)> {
    let named = [
        shared(failed, |traits| traits.upstream, &well.upstreams)
            .map(|(upstream, count)| (count, format!("went to {upstream}"))),
        shared(failed, |traits| traits.method.clone(), &well.methods)
            .map(|(method, count)| (count, format!("were {method} requests"))),
        shared(failed, |traits| traits.segment.clone(), &well.segments)
            .map(|(segment, count)| (count, format!("asked for targets under {segment}"))),
        shared(failed, |traits| traits.sni.clone(), &well.snis).map(|(sni, count)| {
            (
                count,
                format!("asked the upstream for the server name {sni}"),
            )
        }),
    ];
    let mut found: Vec<(u64, String)> = named.into_iter().flatten().collect();
    found.extend(of_the_connection(failed, well));
    found.extend(of_the_restart(failed, well));
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

/// How long the connection had been there and idle, and what it had served.
fn of_the_connection(failed: &[Traits], well: &Habits) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    if let Some(idle) = least(failed, |traits| traits.idle_ms).filter(|idle| *idle >= IDLE_MS_MIN) {
        let words = format!(
            "reused a connection that had been idle for {} or more",
            seconds(idle)
        );
        found.push((well.idle_ms.from(idle), words));
    }
    if let Some(age) = least(failed, |traits| traits.age_ms).filter(|age| *age >= AGE_MS_MIN) {
        let words = format!("used a connection that was {} old or older", seconds(age));
        found.push((well.age_ms.from(age), words));
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
    found
}

/// How soon after the upstream had ended all of its connections at once.
fn of_the_restart(failed: &[Traits], well: &Habits) -> Option<(u64, String)> {
    let since: Option<Vec<u64>> = failed
        .iter()
        .map(|traits| traits.since_restart_ms)
        .collect();
    let latest = since?.into_iter().max()?;
    let words = format!(
        "came within {} after the upstream had closed all of its connections at once and then refused, as in a restart",
        seconds(latest.max(LEAST_SHOWN_MS))
    );
    Some((well.since_restart_ms.up_to(latest), words))
}

/// The value that all failures have, and how many successes have it.
fn shared<K: Hash + Eq>(
    failed: &[Traits],
    of: impl Fn(&Traits) -> Option<K>,
    well: &HashMap<K, u64>,
) -> Option<(K, u64)> {
    let value = of(failed.first()?)?;
    let all = failed
        .iter()
        .all(|traits| of(traits).as_ref() == Some(&value));
    // Where the table is full, what is not in it may have gone well all the same.
    let count = match well.get(&value) {
        Some(count) => *count,
        None if well.len() < VALUES_MAX => 0,
        None => return None,
    };
    all.then_some((value, count))
}

/// The least of a trait that all failures have.
fn least(failed: &[Traits], of: impl Fn(&Traits) -> Option<u64>) -> Option<u64> {
    let values: Option<Vec<u64>> = failed.iter().map(of).collect();
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
            ..Traits::default()
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

    fn told(failed: &[Traits], well: &Habits) -> Vec<Common> {
        common(failed, well, well)
    }

    #[test]
    fn failures_after_a_long_idle_time_are_told_by_it() {
        let failed = [traits(1, 5_000), traits(2, 6_100), traits(3, 5_400)];
        let found = told(&failed, &usual());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].words.contains("idle for 5.0 s or more"));
        assert_eq!((found[0].failures, found[0].successes), (3, 0));
        assert_eq!(found[0].successes_total, 600);
    }

    #[test]
    fn one_bad_upstream_of_six_is_told_when_chance_would_not_do_it() {
        let failed = vec![traits(6, 10); 8];
        let found = told(&failed, &usual());
        assert_eq!(found[0].words, "went to 10.0.0.6:80");
        assert_eq!(found[0].successes, 100);
        // Three of six might be chance.
        assert!(told(&failed[..3], &usual()).is_empty());
    }

    /// The one thing that is told of four failures that have a trait beside the usual ones.
    fn told_of_four(change: fn(Traits) -> Traits) -> String {
        let failed: Vec<Traits> = [1, 2, 3, 4].map(|number| change(traits(number, 5))).into();
        let found = told(&failed, &usual());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].successes, 0);
        found[0].words.clone()
    }

    #[test]
    fn each_trait_is_told_alone() {
        let words = told_of_four(|usual| Traits {
            method: Some("POST".into()),
            ..usual
        });
        assert_eq!(words, "were POST requests");
        let words = told_of_four(|usual| Traits {
            segment: Some("/cart".into()),
            ..usual
        });
        assert_eq!(words, "asked for targets under /cart");
        let words = told_of_four(|usual| Traits {
            sni: Some("old.example".into()),
            ..usual
        });
        assert_eq!(words, "asked the upstream for the server name old.example");
        let words = told_of_four(|usual| Traits {
            age_ms: Some(62_000),
            ..usual
        });
        assert_eq!(words, "used a connection that was 62.0 s old or older");
        let words = told_of_four(|usual| Traits {
            prior: Some(100),
            ..usual
        });
        assert_eq!(
            words,
            "came after 100 or more responses on the same connection"
        );
        let words = told_of_four(|usual| Traits {
            prior: Some(0),
            ..usual
        });
        assert_eq!(words, "were the first request of a new connection");
        let words = told_of_four(|usual| Traits {
            head_len: Some(9_000),
            ..usual
        });
        assert_eq!(words, "had a request head of 9000 bytes or more");
        let words = told_of_four(|usual| Traits {
            body_len: Some(2_000_000),
            ..usual
        });
        assert_eq!(words, "had a request body of 2000000 bytes or more");
        let words = told_of_four(|usual| Traits {
            since_restart_ms: Some(1_400),
            ..usual
        });
        assert!(words.starts_with("came within 1.4 s after the upstream had closed all"));
    }

    #[test]
    fn one_client_of_many_is_told() {
        let mut well = usual();
        for number in 0..600_u64 {
            well.note_client([10, 9, 0, (number % 20) as u8].into());
        }
        let alone = Traits {
            client: Some([10, 9, 0, 3].into()),
            ..traits(1, 5)
        };
        let failed = [1, 2, 3, 4].map(|number| Traits {
            upstream: Some(endpoint(number)),
            ..alone.clone()
        });
        let found = told(&failed, &well);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].words, "came from the client 10.9.0.3");
        assert_eq!((found[0].successes, found[0].successes_total), (30, 600));
    }

    #[test]
    fn nothing_is_told_of_what_no_longer_fitted_into_the_counts() {
        let mut well = usual();
        for number in 0..VALUES_MAX {
            let odd = Traits {
                segment: Some(format!("/{number}").into()),
                ..traits(1, 5)
            };
            well.note(odd);
        }
        let beyond = Traits {
            segment: Some("/beyond".into()),
            ..traits(1, 5)
        };
        let failed = [1, 2, 3, 4].map(|number| Traits {
            upstream: Some(endpoint(number)),
            ..beyond.clone()
        });
        assert!(told(&failed, &well).is_empty());
    }

    #[test]
    fn nothing_is_said_when_nothing_separates_them() {
        let failed = [traits(1, 10), traits(2, 20), traits(3, 30), traits(4, 5)];
        assert!(told(&failed, &usual()).is_empty());
        assert!(told(&failed[..2], &usual()).is_empty());
        assert!(told(&failed, &Habits::default()).is_empty());
    }
}
