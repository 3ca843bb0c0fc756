//! What a host did lately, in order of time. In: keys, mostly in order. Out: ranges of them.
//!
//! The rule: keys come at the end and leave at the beginning, or nearly so: a queue that is searched by halves serves both
//! in a few nanoseconds where a tree took a hundred. What leaves from the middle stays as an empty place until those
//! before it have left too, or until half of all places are empty.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

/// Places below which nobody counts empty ones.
const SWEPT_MIN: usize = 64;

/// Keys in order, each once.
#[derive(Debug)]
pub struct Recent<K> {
    /// Keys in order, and whether each is still there.
    places: VecDeque<(K, bool)>,
    there: usize,
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            there: 0,
        }
    }
}

impl<K: Ord + Copy> Recent<K> {
    /// Adds a key; one that is there already stays.
    pub fn insert(&mut self, key: K) {
        if self.places.capacity() == 0 {
            // Most hosts do one thing.
            self.places.reserve_exact(1);
        }
        if self.places.back().is_none_or(|(last, _)| *last < key) {
            self.places.push_back((key, true));
            self.there += 1;
            return;
        }
        match self.places.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => {
                if let Some((_, there)) = self.places.get_mut(at) {
                    self.there += usize::from(!std::mem::replace(there, true));
                }
            }
            Err(at) => {
                self.places.insert(at, (key, true));
                self.there += 1;
            }
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &K) {
        let first = self.places.front().is_some_and(|(first, _)| first == key);
        let found = if first {
            Ok(0)
        } else {
            self.places.binary_search_by_key(key, |(key, _)| *key)
        };
        let Some((_, there)) = found.ok().and_then(|at| self.places.get_mut(at)) else {
            return;
        };
        self.there -= usize::from(std::mem::replace(there, false));
        while self.places.front().is_some_and(|(_, there)| !there) {
            self.places.pop_front();
        }
        if self.places.len() > SWEPT_MIN && self.places.len() > 2 * self.there {
            self.places.retain(|(_, there)| *there);
        }
    }

    /// Those within bounds, in order.
    pub fn range(&self, bounds: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = &K> {
        let before = |bound: Bound<&K>, otherwise: usize| match bound {
            Bound::Included(from) => self.places.partition_point(|(key, _)| key < from),
            Bound::Excluded(from) => self.places.partition_point(|(key, _)| key <= from),
            Bound::Unbounded => otherwise,
        };
        let begin = before(bounds.start_bound(), 0);
        let end = match bounds.end_bound() {
            Bound::Included(until) => self.places.partition_point(|(key, _)| key <= until),
            Bound::Excluded(until) => self.places.partition_point(|(key, _)| key < until),
            Bound::Unbounded => self.places.len(),
        };
        self.places
            .range(begin..end.max(begin))
            .filter_map(|(key, there)| there.then_some(key))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.range(..)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.there
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.there == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_holds_what_a_set_holds() {
        let (mut recent, mut set, mut state) = (Recent::default(), BTreeSet::new(), 7_u64);
        for step in 0..20_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let key = step + (state >> 33) % 40;
            if state & 3 == 0 {
                recent.remove(&key);
                set.remove(&key);
            } else {
                recent.insert(key);
                set.insert(key);
            }
            let oldest = step.saturating_sub(300);
            recent.remove(&oldest);
            set.remove(&oldest);
            assert_eq!(recent.len(), set.len());
            if step % 97 == 0 {
                assert!(recent.iter().eq(set.iter()));
                let (from, until) = (step.saturating_sub(60), step);
                assert!(recent.range(from..until).eq(set.range(from..until)));
                assert!(recent.range(from..).rev().eq(set.range(from..).rev()));
            }
        }
        assert!(recent.places.len() < 2 * recent.len() + SWEPT_MIN);
    }
}
