//! The order of frames in a batch. In: its records. Out: a key to sort by for what each frame brought about.
//!
//! The rule: frames go as they were read. In one input that is by number; the merge of several decides otherwise, and
//! the number of one input says nothing about another.

use crate::frame::{FrameId, Record};

/// The order of the frames of a batch.
#[derive(Debug)]
pub enum Order {
    /// By number.
    Numbered,
    /// By place in the batch: frames with their places, sorted by frame.
    Merged(Vec<(FrameId, usize)>),
}

/// What observations are sorted by.
pub type Key = (usize, FrameId);

impl Order {
    /// The order of these records.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        if records.is_sorted_by_key(|record| record.mark.frame) {
            return Self::Numbered;
        }
        let frames = records.iter().map(|record| record.mark.frame);
        let mut places: Vec<_> = frames.zip(1..).collect();
        places.sort_unstable();
        Self::Merged(places)
    }

    /// The key of a frame. One of an earlier batch comes before all.
    #[must_use]
    pub fn key(&self, frame: FrameId) -> Key {
        let place = match self {
            Self::Numbered => 0,
            Self::Merged(places) => places
                .binary_search_by_key(&frame, |(frame, _)| *frame)
                .ok()
                .and_then(|at| places.get(at))
                .map_or(0, |(_, place)| *place),
        };
        (place, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{LinkType, Mark, Way};
    use crate::time::Timestamp;

    fn records(frames: &[(u16, u64)]) -> Vec<Record> {
        let record = |(input, number): &(u16, u64)| Record {
            start: 0,
            captured_len: 0,
            original_len: 0,
            mark: Mark {
                time: Timestamp(0),
                frame: frame(*input, *number),
            },
            link: LinkType::RAW,
            way: Way::Unknown,
            offset: 0,
            asked: true,
        };
        frames.iter().map(record).collect()
    }

    fn frame(input: u16, number: u64) -> FrameId {
        FrameId::new(input, number)
    }

    #[test]
    fn frames_of_several_inputs_go_as_they_were_merged() {
        let merged = [(1, 7), (0, 3), (1, 8), (0, 4)];
        let order = Order::of(&records(&merged));
        let keys: Vec<Key> = merged
            .iter()
            .map(|(i, n)| order.key(frame(*i, *n)))
            .collect();
        assert!(keys.is_sorted());
        assert!(order.key(frame(0, 2)) < keys[0]);
    }

    #[test]
    fn frames_of_one_input_go_by_number() {
        let order = Order::of(&records(&[(0, 1), (0, 2), (0, 9)]));
        assert!(matches!(order, Order::Numbered));
        assert!(order.key(frame(0, 1)) < order.key(frame(0, 9)));
    }
}
