//! A sample that two captures draw alike. In: things by their hash. Out: those with the lowest hashes, so that what one
//! capture keeps of the things that both hold, the other keeps too.
//!
//! The rule: bounded for inputs of any size. Each time the table is full the bar is halved, and what lies above it goes.

use hashbrown::HashMap;

/// Things by their hash, at most as many as the table may hold.
#[derive(Debug)]
pub struct Sample<T> {
    kept: HashMap<u64, T>,
    most: usize,
    bar: u64,
}

impl<T> Sample<T> {
    /// An empty sample of at most `most` things.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            kept: HashMap::new(),
            most,
            bar: u64::MAX,
        }
    }

    /// The thing with this hash, where it is kept.
    pub fn of(&mut self, hash: u64) -> Option<&mut T> {
        self.kept.get_mut(&hash)
    }

    /// Keeps a thing unless its hash is above the bar. One of the same hash is replaced.
    pub fn keep(&mut self, hash: u64, thing: T) {
        if hash > self.bar {
            return;
        }
        self.kept.insert(hash, thing);
        // The bar reaches 0 after 64 turns at the latest; hashes are spread evenly, so that one turn is the rule.
        while self.kept.len() > self.most && self.bar > 0 {
            self.bar >>= 1;
            let bar = self.bar;
            self.kept.retain(|hash, _| *hash <= bar);
        }
    }

    /// All that was kept, by hash.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(u64, T)> {
        let mut sorted: Vec<(u64, T)> = self.kept.into_iter().collect();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        sorted
    }
}

/// A hash over words, the same in every run, spread evenly over all values (the finaliser of SplitMix64).
#[must_use]
pub fn hash_of(words: &[u64]) -> u64 {
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |state, word| {
        let mut mixed = (state ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// The same over bytes.
#[must_use]
pub fn hash_of_bytes(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word.iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    });
    let words: Vec<u64> = words.chain([bytes.len() as u64]).collect();
    hash_of(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_captures_keep_the_same_of_what_both_hold() {
        let hashes: Vec<u64> = (0..50_000).map(|number| hash_of(&[number])).collect();
        let mut large = Sample::new(1_000);
        let mut small = Sample::new(1_000);
        hashes.iter().for_each(|hash| large.keep(*hash, ()));
        // The small capture holds every fifth packet of the large one, and others in another order.
        let fifth = hashes.iter().rev().step_by(5);
        fifth.for_each(|hash| small.keep(*hash, ()));
        let (large, small) = (large.into_sorted(), small.into_sorted());
        assert!((500..=1_000).contains(&large.len()), "{}", large.len());
        let shared = large.iter().filter(|thing| small.contains(thing)).count();
        let possible = large
            .iter()
            .filter(|(hash, ())| hashes.iter().rev().step_by(5).any(|other| other == hash))
            .count();
        assert!(possible > 80);
        assert_eq!(shared, possible);
    }

    #[test]
    fn a_table_of_equal_hashes_stays_bounded() {
        let mut sample = Sample::new(2);
        (0..100).for_each(|number| sample.keep(0, number));
        (0..100).for_each(|number| sample.keep(number, number));
        assert!(sample.into_sorted().len() <= 2);
    }
}
