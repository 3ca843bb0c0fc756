//! Connections that were opened lately. In: openings, and which of them came into full view. Out: the others, when they are
//! to be looked at.
//!
//! The rule: nearly all are in full view a moment after they were opened, and then there is nothing to look for: to visit
//! each of them seconds later, when no cache holds it any more, costs more than it tells.

use std::collections::VecDeque;

use crate::tcp::event::ConnectionId;

/// Most that wait to be looked at, 6 MB: twice as many as there are connections that are remembered, so that the oldest are
/// forgotten or in view. One that is neither is looked at a second later, and nothing is lost.
const NEWCOMERS_MAX: usize = 262_144;

/// A connection that was opened.
#[derive(Debug)]
struct Newcomer {
    /// When it is to be looked at.
    second: i64,
    id: ConnectionId,
    in_view: bool,
}

/// Connections in the order of their opening.
#[derive(Debug, Default)]
pub struct Newcomers {
    queue: VecDeque<Newcomer>,
    /// Number of the first in the queue.
    first: u32,
}

impl Newcomers {
    /// Adds one that is to be looked at in `second`, and gives its number. Numbers come again after four thousand million.
    pub fn add(&mut self, second: i64, id: ConnectionId) -> u32 {
        let number = self.first.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(Newcomer {
            second,
            id,
            in_view: false,
        });
        number
    }

    /// Takes the oldest that did not come into view where there are too many: it is to be looked at sooner.
    pub fn crowded_out(&mut self) -> Option<ConnectionId> {
        (self.queue.len() >= NEWCOMERS_MAX).then(|| self.take(i64::MAX))?
    }

    /// That one need not be looked at any more. A number whose turn has come changes nothing.
    pub fn came_into_view(&mut self, number: u32) {
        let place = number.wrapping_sub(self.first);
        if let Some(newcomer) = self.queue.get_mut(place as usize) {
            newcomer.in_view = true;
        }
    }

    /// Takes the next that did not come into view, if its second is not after `until`.
    pub fn take(&mut self, until: i64) -> Option<ConnectionId> {
        loop {
            let front = self.queue.front()?;
            if front.second > until {
                return None;
            }
            let newcomer = self.queue.pop_front()?;
            self.first = self.first.wrapping_add(1);
            if !newcomer.in_view {
                return Some(newcomer.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    #[test]
    fn who_is_in_view_is_passed_over_and_late_numbers_do_no_harm() {
        let id = |number| ConnectionId(FrameId::new(0, number));
        let mut newcomers = Newcomers {
            first: u32::MAX - 1,
            ..Newcomers::default()
        };
        let numbers: Vec<u32> = (0..5).map(|n| newcomers.add(2 + n, id(n as u64))).collect();
        newcomers.came_into_view(numbers[1]);
        newcomers.came_into_view(numbers[3]);
        assert_eq!(newcomers.take(1), None);
        assert_eq!(newcomers.take(4), Some(id(0)));
        assert_eq!(newcomers.take(4), Some(id(2)));
        assert_eq!(newcomers.take(4), None);
        newcomers.came_into_view(numbers[0]);
        assert_eq!(newcomers.take(i64::MAX), Some(id(4)));
        assert_eq!(newcomers.take(i64::MAX), None);
        assert_eq!(newcomers.crowded_out(), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let id = |number| ConnectionId(FrameId::new(0, number));
        let mut newcomers = Newcomers::default();
        for number in 0..NEWCOMERS_MAX as u64 + 3 {
            let out = newcomers.crowded_out();
            assert_eq!(out.is_some(), number >= NEWCOMERS_MAX as u64);
            newcomers.add(2, id(number));
        }
        assert_eq!(newcomers.queue.len(), NEWCOMERS_MAX);
        assert_eq!(newcomers.take(2), Some(id(3)));
    }
}
