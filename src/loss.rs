//! What the capture could not show. In: counts from every room. Out: one table for the report.
//!
//! The rule: nothing is lost in silence; each limit that is hit and each byte that was not seen or not
//! decoded is counted here under a name that a reader understands.

use std::collections::BTreeMap;

/// A named reason for which something was not seen or not decoded, in words for the report.
pub type LossName = &'static str;

/// Counters of what was not seen, not kept or not decoded. Merging is commutative, so the order in which
/// shards finish leaves no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    counters: BTreeMap<LossName, u64>,
    skipped: BTreeMap<String, u64>,
    damage: Vec<Damage>,
    truncated: Vec<Damage>,
}

/// A place in an input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Index of the input on the command line, from 0.
    pub input: u16,
    /// Byte offset from the start of the (uncompressed) input.
    pub offset: u64,
    /// What is wrong there, one clause.
    pub what: String,
}

/// Most damaged places that are listed one by one; further ones are only counted, because a file of noise
/// has millions.
pub const DAMAGE_LISTED_MAX: usize = 64;

/// Most distinct names of skipped things; the wire chooses them, so they must not grow without end.
pub const SKIPPED_NAMES_MAX: usize = 256;

impl Loss {
    /// Adds `count` to the counter `name`. Zero leaves no row.
    pub fn add(&mut self, name: LossName, count: u64) {
        if count > 0 {
            let counter = self.counters.entry(name).or_default();
            *counter = counter.saturating_add(count);
        }
    }

    /// Counts one packet that no decoder knows, by the name of what it was.
    pub fn skip(&mut self, name: &str) {
        self.skip_many(name, 1);
    }

    fn skip_many(&mut self, name: &str, count: u64) {
        if let Some(counter) = self.skipped.get_mut(name) {
            *counter = counter.saturating_add(count);
        } else if self.skipped.len() < SKIPPED_NAMES_MAX {
            self.skipped.insert(name.to_owned(), count);
        } else {
            self.add("skipped_other_kinds", count);
        }
    }

    /// Notes a damaged place in the middle of an input: the analysis is only partial (exit code 4).
    pub fn damaged(&mut self, damage: Damage) {
        if self.damage.len() < DAMAGE_LISTED_MAX {
            self.damage.push(damage);
        } else {
            self.add("damaged_places_not_listed", 1);
        }
    }

    /// Notes an input that ends inside a record, as it does when its writer was stopped: a warning.
    pub fn truncated(&mut self, damage: Damage) {
        self.truncated.push(damage);
    }

    /// Adds the counts of `other` to this table.
    pub fn merge(&mut self, other: Self) {
        for (name, count) in other.counters {
            self.add(name, count);
        }
        for (name, count) in other.skipped {
            self.skip_many(&name, count);
        }
        for damage in other.damage {
            self.damaged(damage);
        }
        self.truncated.extend(other.truncated);
    }

    /// The counters by name, in alphabetical order; only those that are not zero.
    pub fn counters(&self) -> impl Iterator<Item = (LossName, u64)> + '_ {
        self.counters.iter().map(|(name, count)| (*name, *count))
    }

    /// One counter, 0 when nothing was counted.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// What no decoder knew, by name.
    pub fn skipped_kinds(&self) -> impl Iterator<Item = (&str, u64)> + '_ {
        self.skipped
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
    }

    /// Damaged places in the middle of inputs.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Inputs that end inside a record.
    #[must_use]
    pub fn truncations(&self) -> &[Damage] {
        &self.truncated
    }
}
