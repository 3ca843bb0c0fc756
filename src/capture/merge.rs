//! Several inputs as one stream of batches. In: sources. Out: batches whose frames are ordered by time across
//! the inputs.
//!
//! The rule: an input keeps its own order, its clock is the running maximum of its capture times, and ties go to the
//! input that began first, then to the one that was named first; so a rotated set is one timeline in whichever order
//! it is named, and the order of frames does not depend on how much is read at once. Where the clock of an input is known
//! to be wrong, its times are corrected here, once, so that everything above sees one timeline. One input passes
//! through without a copy.

use crate::capture::error::CaptureError;
use crate::capture::source::{Fill, InputFacts, Source};
use crate::frame::{Batch, FrameId, Record};
use crate::loss::Loss;
use crate::time::{ClockError, Timestamp};

/// Least bytes that are read ahead of one input: less would read files of a large set page by page.
const LANE_BYTES_MIN: usize = 64 * 1024;

/// Inputs that are read together.
pub struct Merge {
    lanes: Vec<Lane>,
    /// The number of the last frame, where all inputs are numbered as one.
    number: Option<u64>,
}

/// One input and the frames of it that are not handed over yet.
struct Lane {
    source: Box<dyn Source + Send>,
    /// By how much its times are wrong.
    error: ClockError,
    batch: Batch,
    next: usize,
    clock: Timestamp,
    /// Time of its first frame, once that is known.
    began: Option<Timestamp>,
    state: Fill,
}

/// What decides which frame is next: the clock of its input there, when that input began, and its index.
type Key = (Timestamp, Timestamp, usize);

impl Merge {
    /// Reads the sources together.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source + Send>>) -> Self {
        let lane = |source| Lane {
            source,
            error: ClockError::default(),
            batch: Batch::default(),
            next: 0,
            clock: Timestamp::MIN,
            began: None,
            state: Fill::More,
        };
        Self {
            lanes: sources.into_iter().map(lane).collect(),
            number: None,
        }
    }

    /// The same with frames numbered in the order in which they are handed over, whatever input they are of: the numbers of
    /// the file that all are written to.
    #[must_use]
    pub fn numbered_as_one(mut self) -> Self {
        self.number = Some(0);
        self
    }

    /// The same with the times of each input corrected by the error of its clock; an input without one keeps its own.
    #[must_use]
    pub fn corrected(mut self, errors: &[ClockError]) -> Self {
        for (lane, error) in self.lanes.iter_mut().zip(errors) {
            lane.error = *error;
        }
        self
    }

    /// Clears `batch` and fills it with the next frames of all inputs, as [`Source::fill`] does for one.
    ///
    /// # Errors
    /// The first error of an input.
    pub fn fill(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<Fill, CaptureError> {
        if let [only] = self.lanes.as_mut_slice() {
            let state = only.source.fill(batch, bytes_max);
            correct(batch, only.error);
            return state;
        }
        batch.clear();
        let lane_bytes = (bytes_max / self.lanes.len().max(1)).max(LANE_BYTES_MIN);
        while batch.bytes.len() < bytes_max {
            for lane in &mut self.lanes {
                lane.refill(lane_bytes)?;
            }
            let Some((first, limit)) = self.next_lane() else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(first) else {
                break;
            };
            let before = batch.records.len();
            lane.hand_over(batch, first, limit, bytes_max);
            if let Some(number) = &mut self.number {
                for record in batch.records.iter_mut().skip(before) {
                    *number = number.saturating_add(1);
                    let input = record.mark.frame.input();
                    record.mark.frame = FrameId::new(input, *number);
                }
            }
        }
        Ok(self.state(batch))
    }

    /// The facts of the inputs as far as they have been read, in the order in which they were named; their times are
    /// corrected too.
    #[must_use]
    pub fn describe(&self) -> Vec<InputFacts> {
        let facts = |lane: &Lane| {
            let mut facts = lane.source.describe();
            let corrected = |time: Option<Timestamp>| time.map(|time| lane.error.corrected(time));
            facts.first_time = corrected(facts.first_time);
            facts.last_time = corrected(facts.last_time);
            facts
        };
        self.lanes.iter().map(facts).collect()
    }

    /// What was lost since the last call of this method.
    pub fn loss(&mut self) -> Loss {
        let mut loss = Loss::default();
        for lane in &mut self.lanes {
            loss.merge(lane.source.loss());
        }
        loss
    }

    /// The lane whose frame is next, and the key of the lane after it: up to there no other is asked.
    fn next_lane(&self) -> Option<(usize, Key)> {
        let mut keys: Vec<Key> = Vec::with_capacity(self.lanes.len());
        keys.extend((0..).zip(&self.lanes).filter_map(|(index, lane)| {
            let clock = lane.key()?;
            Some((clock, lane.began.unwrap_or(clock), index))
        }));
        let (_, _, first) = keys.iter().min().copied()?;
        let limit = keys.iter().filter(|(_, _, index)| *index != first).min();
        let unlimited = (Timestamp(i64::MAX), Timestamp(i64::MAX), usize::MAX);
        Some((first, limit.copied().unwrap_or(unlimited)))
    }

    fn state(&self, batch: &Batch) -> Fill {
        if !batch.records.is_empty() {
            return Fill::More;
        }
        let ended = |lane: &Lane| lane.state == Fill::End && lane.peek().is_none();
        if self.lanes.iter().all(ended) {
            Fill::End
        } else {
            Fill::Quiet
        }
    }
}

impl Lane {
    /// Reads until a frame is at hand, the input ends, or a live input is silent.
    fn refill(&mut self, bytes_max: usize) -> Result<(), CaptureError> {
        while self.peek().is_none() && self.state != Fill::End {
            self.next = 0;
            self.state = self.source.fill(&mut self.batch, bytes_max)?;
            correct(&mut self.batch, self.error);
            if self.began.is_none() {
                self.began = self.peek().map(|record| record.mark.time);
            }
            if self.state == Fill::Quiet {
                break;
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<&Record> {
        self.batch.records.get(self.next)
    }

    /// The input's clock at its next frame.
    fn key(&self) -> Option<Timestamp> {
        self.peek().map(|record| record.mark.time.max(self.clock))
    }

    /// Copies frames until another input's frame comes first.
    fn hand_over(&mut self, to: &mut Batch, index: usize, limit: Key, bytes_max: usize) {
        while let Some(record) = self.batch.records.get(self.next).copied() {
            let clock = record.mark.time.max(self.clock);
            let key = (clock, self.began.unwrap_or(clock), index);
            if key > limit || to.bytes.len() >= bytes_max {
                return;
            }
            self.clock = clock;
            let data = self.batch.frame(&record).data;
            let start = to.bytes.len();
            to.bytes.extend_from_slice(data);
            to.records.push(Record { start, ..record });
            self.next += 1;
        }
    }
}

/// Puts the times of a batch right.
fn correct(batch: &mut Batch, error: ClockError) {
    if error == ClockError::default() {
        return;
    }
    for record in &mut batch.records {
        record.mark.time = error.corrected(record.mark.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameId, LinkType, Mark, Way};

    /// An input of frames at the given seconds, handed over `at_once` at a time.
    struct Script {
        input: u16,
        seconds: Vec<i64>,
        done: usize,
        at_once: usize,
    }

    impl Source for Script {
        fn fill(&mut self, batch: &mut Batch, _bytes_max: usize) -> Result<Fill, CaptureError> {
            batch.clear();
            for (index, second) in self
                .seconds
                .iter()
                .enumerate()
                .skip(self.done)
                .take(self.at_once)
            {
                batch.records.push(Record {
                    start: batch.bytes.len(),
                    captured_len: 1,
                    original_len: 1,
                    mark: Mark {
                        time: Timestamp(*second * 1_000_000_000),
                        frame: FrameId::new(self.input, index as u64 + 1),
                    },
                    link: LinkType::RAW,
                    way: Way::Unknown,
                    offset: 0,
                    asked: true,
                });
                batch.bytes.push(*second as u8);
            }
            self.done = (self.done + self.at_once).min(self.seconds.len());
            Ok(if self.done == self.seconds.len() {
                Fill::End
            } else {
                Fill::More
            })
        }

        fn describe(&self) -> InputFacts {
            InputFacts::default()
        }

        fn loss(&mut self) -> Loss {
            Loss::default()
        }
    }

    fn order(inputs: &[&[i64]], at_once: usize, bytes_max: usize) -> Vec<(u16, u64)> {
        corrected_order(inputs, &[], at_once, bytes_max)
    }

    /// The same where each input's clock is ahead by so many seconds.
    fn corrected_order(
        inputs: &[&[i64]],
        ahead: &[i64],
        at_once: usize,
        bytes_max: usize,
    ) -> Vec<(u16, u64)> {
        let errors: Vec<ClockError> = ahead
            .iter()
            .map(|seconds| ClockError {
                ahead_nanos: seconds * 1_000_000_000,
                ..ClockError::default()
            })
            .collect();
        let sources = inputs.iter().zip(0..).map(|(seconds, input)| {
            Box::new(Script {
                input,
                seconds: seconds.to_vec(),
                done: 0,
                at_once,
            }) as Box<dyn Source + Send>
        });
        let mut merge = Merge::new(sources.collect()).corrected(&errors);
        let (mut batch, mut order) = (Batch::default(), Vec::new());
        loop {
            let state = merge.fill(&mut batch, bytes_max).unwrap();
            for record in &batch.records {
                let ahead = ahead.get(usize::from(record.mark.frame.input()));
                let second = record.mark.time.second() + ahead.unwrap_or(&0);
                assert_eq!(batch.frame(record).data, [second as u8]);
                order.push((record.mark.frame.input(), record.mark.frame.number()));
            }
            if state == Fill::End {
                return order;
            }
        }
    }

    #[test]
    fn time_interleaves_and_ties_go_to_the_first_begun() {
        let expected = vec![(0, 1), (1, 1), (0, 2), (1, 2), (1, 3), (0, 3)];
        for (at_once, bytes_max) in [(1, 1), (2, 3), (9, 1000)] {
            assert_eq!(
                order(&[&[1, 3, 9], &[2, 3, 4]], at_once, bytes_max),
                expected
            );
        }
    }

    #[test]
    fn an_input_keeps_its_own_order() {
        let expected = vec![(0, 1), (1, 1), (0, 2), (0, 3), (1, 2)];
        assert_eq!(order(&[&[1, 5, 2], &[3, 6]], 2, 2), expected);
    }

    #[test]
    fn a_rotated_set_is_one_timeline_in_any_order() {
        // The second file begins in the second in which the first one ends.
        let forward = order(&[&[1, 2, 3, 3], &[3, 3, 4]], 2, 3);
        let backward = order(&[&[3, 3, 4], &[1, 2, 3, 3]], 2, 3);
        let renamed: Vec<_> = backward.iter().map(|(input, n)| (1 - input, *n)).collect();
        assert_eq!(forward, renamed);
    }

    #[test]
    fn a_clock_that_is_ahead_is_put_back_before_time_interleaves() {
        let expected = vec![(0, 1), (1, 1), (0, 2), (1, 2), (1, 3), (0, 3)];
        for (at_once, bytes_max) in [(1, 1), (2, 3), (9, 1000)] {
            let inputs: [&[i64]; 2] = [&[1, 3, 9], &[102, 103, 104]];
            assert_eq!(
                corrected_order(&inputs, &[0, 100], at_once, bytes_max),
                expected
            );
        }
        assert_eq!(corrected_order(&[&[7]], &[5], 1, 1), [(0, 1)]);
    }

    #[test]
    fn no_inputs_and_empty_inputs_end() {
        assert_eq!(order(&[], 1, 1), vec![]);
        assert_eq!(order(&[&[], &[1]], 1, 1), vec![(1, 1)]);
    }

    #[test]
    fn inputs_that_are_numbered_as_one_are_numbered_in_their_order() {
        let script = |input, seconds: &[i64]| {
            Box::new(Script {
                input,
                seconds: seconds.to_vec(),
                done: 0,
                at_once: 1,
            }) as Box<dyn Source + Send>
        };
        let sources = vec![script(0, &[1, 4]), script(1, &[2, 3, 5])];
        let mut merge = Merge::new(sources).numbered_as_one();
        let (mut batch, mut frames) = (Batch::default(), Vec::new());
        while merge.fill(&mut batch, 2).unwrap() != Fill::End {
            frames.extend(batch.records.iter().map(|record| record.mark.frame));
        }
        let seen: Vec<_> = frames.iter().map(|id| (id.input(), id.number())).collect();
        assert_eq!(seen, [(0, 1), (1, 2), (1, 3), (0, 4), (1, 5)]);
    }
}
