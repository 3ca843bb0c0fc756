//! What is to be looked at in which second. In: names under seconds. Out: those whose second has come, in order.
//!
//! The rule: names come out by second and then by name, as from a sorted set, but are sorted only when their turn comes.

use std::collections::BTreeMap;

/// Names under the second in which their turn comes.
#[derive(Debug)]
pub struct Agenda<T>(BTreeMap<i64, Vec<T>>);

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Agenda<T> {
    /// Puts a name under a second.
    pub fn insert(&mut self, second: i64, name: T) {
        self.0.entry(second).or_default().push(name);
    }

    /// Takes those of the earliest second, if it is not after `until`, in order.
    pub fn take(&mut self, until: i64) -> Option<Vec<T>> {
        let first = self.0.first_entry()?;
        if *first.key() > until {
            return None;
        }
        let mut names = first.remove();
        names.sort_unstable();
        Some(names)
    }

    /// Takes one of those whose turn would come next.
    pub fn take_first(&mut self) -> Option<T> {
        let mut first = self.0.first_entry()?;
        let names = first.get_mut();
        let name = names.pop();
        if names.is_empty() {
            first.remove();
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_by_second_and_name() {
        let mut agenda = Agenda::default();
        for (second, name) in [(5, 'b'), (3, 'z'), (5, 'a'), (9, 'c'), (3, 'y')] {
            agenda.insert(second, name);
        }
        assert_eq!(agenda.take(2), None);
        assert_eq!(agenda.take(5), Some(vec!['y', 'z']));
        assert_eq!(agenda.take_first(), Some('a'));
        assert_eq!(agenda.take(i64::MAX), Some(vec!['b']));
        assert_eq!(agenda.take_first(), Some('c'));
        assert_eq!(agenda.take_first(), None);
    }
}
