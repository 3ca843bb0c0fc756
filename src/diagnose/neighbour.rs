//! Questions of a host for the hardware addresses of its neighbours. In: steps of ARP and neighbour discovery. Out:
//! which questions nobody answered by a moment.
//!
//! The rule: a question is remembered with its place in the row of questions that it belongs to, because a kernel gives
//! up after a row. Hardware addresses, and questions of other hosts, are left out.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::frame::Mark;
use crate::time::Timestamp;

/// Most questions that are remembered of one host: one a second for eight minutes.
pub const QUESTIONS_PER_HOST_MAX: usize = 512;
/// Copies of one question on several interfaces of a bridge come within this, nanoseconds.
const COPY_NANOS: i64 = 100_000_000;
/// A question is asked again after a second (Linux retrans_time_ms; RFC 4861, section 10: RetransTimer); later than
/// this it is a new one, nanoseconds.
const AGAIN_NANOS: i64 = 1_500_000_000;

/// One question: who has this address?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address.
    pub target: IpAddr,
    /// The frame.
    pub at: Mark,
    /// Questions for the same address right before it, a second apart, that nobody had answered.
    pub nth: u32,
    /// The answer.
    pub answered: Option<Mark>,
}

/// The recent questions of one host.
#[derive(Debug, Default)]
pub struct Questions {
    asked: VecDeque<Question>,
}

impl Questions {
    /// None so far.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            asked: VecDeque::new(),
        }
    }

    /// Remembers a question. `false` when another had to be forgotten for it.
    pub fn ask(&mut self, target: IpAddr, at: Mark) -> bool {
        let before = self.asked.iter().rev().find(|one| one.target == target);
        let gap = before.map(|one| at.time.nanos_since(one.at.time));
        if gap.is_some_and(|gap| gap < COPY_NANOS) {
            return true;
        }
        let nth = match (before, gap) {
            (Some(before), Some(gap)) if before.answered.is_none() && gap <= AGAIN_NANOS => {
                before.nth.saturating_add(1)
            }
            _ => 0,
        };
        self.asked.push_back(Question {
            target,
            at,
            nth,
            answered: None,
        });
        let room = self.asked.len() <= QUESTIONS_PER_HOST_MAX;
        if !room {
            self.asked.pop_front();
        }
        room
    }

    /// Remembers an answer: every open question for `target` has it.
    pub fn answer(&mut self, target: IpAddr, at: Mark) {
        for question in &mut self.asked {
            if question.target == target {
                question.answered.get_or_insert(at);
            }
        }
    }

    /// Whether the host asked for anybody.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Questions between two moments that nobody had answered by the second, in order.
    pub fn open(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = &Question> {
        self.asked.iter().filter(move |question| {
            let inside = question.at.time >= from && question.at.time <= until;
            inside && question.answered.is_none_or(|at| at.time > until)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    fn addr(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(millis: i64) -> Mark {
        Mark {
            time: Timestamp(0).plus_millis(millis),
            frame: FrameId::new(0, millis as u64 + 1),
        }
    }

    fn rows(questions: &Questions, from: i64, until: i64) -> Vec<(i64, u32)> {
        questions
            .open(at(from).time, at(until).time)
            .map(|one| (one.at.frame.number() as i64 - 1, one.nth))
            .collect()
    }

    #[test]
    fn questions_a_second_apart_are_one_row() {
        let mut questions = Questions::default();
        // The copy on a second interface, and a question for somebody else, count for nothing here.
        for millis in [0, 1, 1_030, 2_054] {
            assert!(questions.ask(addr(9), at(millis)));
        }
        questions.ask(addr(8), at(2_060));
        questions.ask(addr(9), at(8_000));
        questions.answer(addr(8), at(2_061));
        assert_eq!(
            rows(&questions, 0, 9_000),
            [(0, 0), (1_030, 1), (2_054, 2), (8_000, 0)]
        );
        assert_eq!(rows(&questions, 1_000, 2_000), [(1_030, 1)]);
    }

    #[test]
    fn an_answer_after_the_moment_does_not_count() {
        let mut questions = Questions::default();
        questions.ask(addr(9), at(0));
        questions.answer(addr(9), at(500));
        assert_eq!(rows(&questions, 0, 499), [(0, 0)]);
        assert_eq!(rows(&questions, 0, 500), []);
        // What is asked after an answer begins a new row.
        questions.ask(addr(9), at(1_000));
        assert_eq!(rows(&questions, 0, 2_000), [(1_000, 0)]);
    }

    #[test]
    fn a_host_that_asks_for_everybody_is_bounded() {
        let mut questions = Questions::default();
        let limit = QUESTIONS_PER_HOST_MAX as i64;
        for n in 0..limit {
            assert!(questions.ask(IpAddr::from((n as u32).to_be_bytes()), at(n)));
        }
        assert!(!questions.ask(addr(9), at(limit)));
        assert_eq!(questions.asked.len(), QUESTIONS_PER_HOST_MAX);
    }
}
