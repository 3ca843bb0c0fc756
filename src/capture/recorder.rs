//! The last frames of a run, in memory. In: batches. Out: the frames of a stretch of time, as long as they are there.
//!
//! The rule: bounded by bytes, whatever the frames are; a frame is copied once, and memory is reused, so that a run of
//! weeks allocates nothing after its first minutes. What has left is known by its time.

use std::collections::VecDeque;

use crate::frame::{Batch, Frame, Record};
use crate::time::Timestamp;

/// Bytes of frames in a block, and of the index beside them: frames leave by the block, so a block is a small part of
/// the ring; large enough that most of its memory is filled.
const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// Frames in a block whose index takes as many bytes.
const BLOCK_FRAMES_MAX: usize = BLOCK_BYTES_MAX / size_of::<Record>();

/// Least bytes of a ring: some blocks, because the oldest leaves as a whole.
pub const RING_BYTES_MIN: usize = 8 * BLOCK_BYTES_MAX;

/// The last frames.
#[derive(Debug)]
pub struct Ring {
    bytes_max: usize,
    /// Oldest first; the last one is being filled.
    blocks: VecDeque<Block>,
    /// Memory of all blocks but the last.
    sealed_bytes: usize,
    left: Option<Left>,
}

/// Frames that have left a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub frames: u64,
    /// The latest capture time of one.
    pub until: Timestamp,
}

#[derive(Debug)]
struct Block {
    batch: Batch,
    first: Timestamp,
    last: Timestamp,
}

impl Ring {
    /// A ring of at most `bytes_max` bytes, its index included; less than [`RING_BYTES_MIN`] is raised to it.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: bytes_max.max(RING_BYTES_MIN),
            blocks: VecDeque::new(),
            sealed_bytes: 0,
            left: None,
        }
    }

    /// Takes the frames of a batch; the oldest leave.
    pub fn push(&mut self, batch: &Batch) {
        for record in &batch.records {
            let frame = batch.frame(record);
            if !self
                .blocks
                .back()
                .is_some_and(|block| block.has_room(frame.data.len()))
            {
                self.next_block(frame.data.len());
            }
            if let Some(block) = self.blocks.back_mut() {
                block.push(record, &frame);
            }
        }
    }

    /// The frames from `from` to `until`, in the order in which they came.
    pub fn frames(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Frame<'_>> {
        self.blocks
            .iter()
            .filter(move |block| block.first <= until && block.last >= from)
            .flat_map(|block| {
                let records = block.batch.records.iter();
                records.map(|record| block.batch.frame(record))
            })
            .filter(move |frame| (from..=until).contains(&frame.mark.time))
    }

    /// What has left; `None` while all that came is there.
    #[must_use]
    pub const fn left(&self) -> Option<Left> {
        self.left
    }

    /// Bytes of memory that the frames and their index take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let open = self.blocks.back().map_or(0, Block::memory);
        self.sealed_bytes.saturating_add(open)
    }

    /// Seals the last block and begins another that holds a frame of `length` bytes, with the memory of the oldest where
    /// there is no more room.
    fn next_block(&mut self, length: usize) {
        self.sealed_bytes = self.bytes();
        let needed = BLOCK_BYTES_MAX.max(length).saturating_add(BLOCK_BYTES_MAX);
        let mut spare = None;
        while self.sealed_bytes.saturating_add(needed) > self.bytes_max {
            let Some(oldest) = self.blocks.pop_front() else {
                break;
            };
            self.sealed_bytes = self.sealed_bytes.saturating_sub(oldest.memory());
            let until = self
                .left
                .map_or(oldest.last, |left| left.until.max(oldest.last));
            let before = self.left.map_or(0, |left| left.frames);
            self.left = Some(Left {
                frames: before.saturating_add(oldest.batch.records.len() as u64),
                until,
            });
            spare = Some(oldest.batch);
        }
        // A block that a giant of a frame has widened is given back.
        let spare = spare.filter(|batch| batch.bytes.capacity() <= BLOCK_BYTES_MAX);
        let mut batch = spare.unwrap_or_default();
        batch.clear();
        batch.bytes.reserve_exact(BLOCK_BYTES_MAX.max(length));
        self.blocks.push_back(Block {
            batch,
            first: Timestamp(i64::MAX),
            last: Timestamp::MIN,
        });
    }
}

impl Block {
    fn has_room(&self, length: usize) -> bool {
        let (bytes, records) = (&self.batch.bytes, &self.batch.records);
        bytes.len().saturating_add(length) <= bytes.capacity() && records.len() < BLOCK_FRAMES_MAX
    }

    fn push(&mut self, record: &Record, frame: &Frame<'_>) {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(frame.data);
        let captured_len = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        let records = &mut self.batch.records;
        if records.len() == records.capacity() {
            // Doubled, but never beyond what a block may hold.
            let more = BLOCK_FRAMES_MAX.saturating_sub(records.len());
            records.reserve_exact(more.min(records.len().max(64)));
        }
        records.push(Record {
            start,
            captured_len,
            ..*record
        });
        self.first = self.first.min(frame.mark.time);
        self.last = self.last.max(frame.mark.time);
    }

    fn memory(&self) -> usize {
        let index = self.batch.records.capacity() * size_of::<Record>();
        self.batch.bytes.capacity().saturating_add(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameId, LinkType, Mark, Way};

    /// Frames of `length` bytes each, one a millisecond, with their numbers in every byte.
    fn batch(numbers: std::ops::Range<u64>, length: usize) -> Batch {
        let mut batch = Batch::default();
        for number in numbers {
            // What lies between frames in a file is not kept.
            batch.bytes.extend([0xee; 16]);
            batch.records.push(Record {
                start: batch.bytes.len(),
                captured_len: length as u32,
                original_len: length as u32 + 1,
                mark: Mark {
                    time: Timestamp(number as i64 * 1_000_000),
                    frame: FrameId::new(0, number),
                },
                link: LinkType::ETHERNET,
                way: Way::Outgoing,
                offset: 0,
                asked: false,
            });
            batch.bytes.resize(batch.bytes.len() + length, number as u8);
        }
        batch
    }

    fn numbers(ring: &Ring, from: i64, until: i64) -> Vec<u64> {
        let at = |millis: i64| Timestamp(millis * 1_000_000);
        ring.frames(at(from), at(until))
            .map(|frame| frame.mark.frame.number())
            .collect()
    }

    #[test]
    fn frames_come_out_as_they_came_in() {
        let mut ring = Ring::new(0);
        ring.push(&batch(0..100, 50));
        ring.push(&batch(100..200, 70));
        assert_eq!(numbers(&ring, 98, 102), [98, 99, 100, 101, 102]);
        assert_eq!(ring.left(), None);
        let frame = ring
            .frames(Timestamp(0), Timestamp(i64::MAX))
            .last()
            .unwrap();
        assert_eq!((frame.data, frame.original_len), (&[199; 70][..], 71));
        assert_eq!((frame.way, frame.link), (Way::Outgoing, LinkType::ETHERNET));
    }

    #[test]
    fn memory_is_bounded_whatever_the_frames_are() {
        for length in [0, 1, 60, 1_514, 65_535, 1 << 20] {
            let mut ring = Ring::new(4 << 20);
            let count = (64 << 20) / (length + size_of::<Record>());
            for hundred in 0..count as u64 / 100 + 1 {
                ring.push(&batch(hundred * 100..hundred * 100 + 100, length));
                assert!(ring.bytes() <= 4 << 20, "{length}: {}", ring.bytes());
            }
            let left = ring.left().unwrap();
            let held = ring.frames(Timestamp(0), Timestamp(i64::MAX)).count();
            let total = (count as u64 / 100 + 1) * 100;
            assert_eq!(left.frames + held as u64, total, "{length}");
            assert_eq!(left.until, Timestamp((left.frames as i64 - 1) * 1_000_000));
            let kept = held * (length + size_of::<Record>());
            assert!(kept > 3 << 19, "{length}: only {kept} bytes are kept");
        }
    }

    #[test]
    fn memory_is_reused() {
        let mut ring = Ring::new(RING_BYTES_MIN);
        ring.push(&batch(0..20_000, 300));
        let before = ring.bytes();
        ring.push(&batch(20_000..60_000, 300));
        assert_eq!(ring.bytes(), before);
    }
}
