//! Hands for work that is the same for each of many. In: how many there are, and what to do with one. Out: what came of each,
//! in order.
//!
//! The rule: what is done for one looks at nothing that is done for another, so that it does not matter who does it and when.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// Who does such work. The corridor lends its threads; no other room knows of threads.
pub trait Help: Debug + Send + Sync {
    /// Calls `work` with each number below `count`, once, in any order.
    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync));
}

/// Those at hand; by default there are none, and who has the work does it alone.
#[derive(Clone, Debug, Default)]
pub struct Hands(Option<Arc<dyn Help>>);

impl Hands {
    /// The hands of `help`.
    #[must_use]
    pub fn of(help: Arc<dyn Help>) -> Self {
        Self(Some(help))
    }

    /// What `work` makes of each, in order.
    pub fn map<'i, I: Sync, T: Send + Sync>(
        &self,
        items: &'i [I],
        work: impl Fn(&'i I) -> T + Sync,
    ) -> Vec<T> {
        let Some(help) = &self.0 else {
            return items.iter().map(work).collect();
        };
        let places: Vec<OnceLock<T>> = items.iter().map(|_| OnceLock::new()).collect();
        help.each(items.len(), &|place| {
            if let (Some(item), Some(slot)) = (items.get(place), places.get(place)) {
                // No place is asked for twice.
                let _ = slot.set(work(item));
            }
        });
        places
            .into_iter()
            .filter_map(OnceLock::into_inner)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does the last first.
    #[derive(Debug)]
    struct Backwards;

    impl Help for Backwards {
        fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
            (0..count).rev().for_each(work);
        }
    }

    #[test]
    fn what_comes_of_each_stands_in_its_place_whoever_did_it_and_when() {
        let items: Vec<usize> = (0..100).collect();
        let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
        for hands in [Hands::default(), Hands::of(Arc::new(Backwards))] {
            assert_eq!(hands.map(&items, |item| item * 2), doubled);
            let none: Vec<usize> = hands.map(&[], |item: &usize| *item);
            assert!(none.is_empty());
        }
    }
}
