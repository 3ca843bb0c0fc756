//! Data that came too early. In: pieces of a stream beyond a hole. Out: the same pieces in order.
//!
//! The rule: the first copy of a byte wins; pieces never overlap. What may be held is limited here, what to
//! do when it is full is decided by `half_stream`.

use std::collections::VecDeque;

use crate::frame::Mark;

/// Most bytes that one direction of a connection buffers beyond a hole. A retransmission comes one round
/// trip later, when a window of data has passed: 1 MiB is 100 Mbit/s at 80 ms.
pub const REORDER_BYTES_MAX: usize = 1 << 20;

/// Most pieces that one direction buffers: as many as fill [`REORDER_BYTES_MAX`] at Ethernet size, with
/// some room for smaller ones.
pub const REORDER_PIECES_MAX: usize = 1024;

/// Most bytes that all connections of a table buffer together; with 64 tables 256 MiB.
pub const REORDER_TABLE_BYTES_MAX: usize = 4 << 20;

/// What a buffered piece costs beside its bytes.
const PIECE_OVERHEAD: usize = 96;

/// A piece of a stream: `len` bytes were on the wire, of which the first were captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// Stream offset of its first byte.
    pub start: u64,
    /// The captured bytes, at most `len`.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub len: u64,
}

impl Piece<'_> {
    /// Offset after its last byte.
    pub(super) const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// The piece without what lies before `offset`.
    pub(super) fn from(self, offset: u64) -> Self {
        let skip = offset.saturating_sub(self.start).min(self.len);
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX);
        Self {
            start: self.start.saturating_add(skip),
            bytes: self.bytes.get(skipped..).unwrap_or_default(),
            len: self.len - skip,
        }
    }

    /// The piece without what lies at or after `offset`.
    pub(super) fn until(self, offset: u64) -> Self {
        let len = offset.saturating_sub(self.start).min(self.len);
        let kept = usize::try_from(len).unwrap_or(usize::MAX);
        Self {
            bytes: self.bytes.get(..kept).unwrap_or(self.bytes),
            len,
            ..self
        }
    }

    /// How many bytes differ from `other` where both were captured.
    pub(super) fn differing(&self, other: &Piece<'_>) -> u64 {
        let start = self.start.max(other.start);
        let (one, two) = (self.from(start), other.from(start));
        let differ = one.bytes.iter().zip(two.bytes).filter(|(a, b)| a != b);
        differ.count() as u64
    }
}

/// A buffered piece.
#[derive(Debug)]
pub(super) struct Held {
    start: u64,
    len: u64,
    bytes: Box<[u8]>,
    /// The frame that carried it.
    pub carried: Mark,
    /// The table's second at which it came.
    pub second: i64,
}

impl Held {
    /// Its bytes.
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece {
            start: self.start,
            bytes: &self.bytes,
            len: self.len,
        }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + PIECE_OVERHEAD
    }
}

/// What adding a piece came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    /// Bytes that had not been there.
    pub new: u64,
    /// Bytes that were there with another content.
    pub differing: u64,
    /// Growth of the buffer.
    pub cost: usize,
}

/// The pieces beyond the first hole of one direction, by offset.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    held: VecDeque<Held>,
    cost: usize,
}

impl Reorder {
    /// The first piece.
    pub(super) fn first(&self) -> Option<&Held> {
        self.held.front()
    }

    /// Number of pieces.
    pub(super) fn pieces(&self) -> usize {
        self.held.len()
    }

    /// Bytes held, with their overhead.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether `piece` may be added when the whole table holds `table` bytes. A piece that lies across
    /// others is split, but then its parts cost little more than themselves.
    pub(super) fn has_room(&self, piece: &Piece<'_>, table: usize) -> bool {
        let cost = piece.bytes.len() + PIECE_OVERHEAD;
        self.held.len() < REORDER_PIECES_MAX
            && self.cost.saturating_add(cost) <= REORDER_BYTES_MAX
            && table.saturating_add(cost) <= REORDER_TABLE_BYTES_MAX
    }

    /// Adds what is new of `piece`.
    pub(super) fn add(&mut self, piece: Piece<'_>, carried: Mark, second: i64) -> Added {
        let mut added = Added::default();
        let mut rest = piece;
        let mut index = self
            .held
            .partition_point(|held| held.piece().end() <= piece.start);
        while rest.len > 0 {
            let next = self.held.get(index).map(Held::piece);
            let (fresh, after) = match next {
                Some(next) if next.start < rest.end() => {
                    added.differing += next.differing(&rest);
                    (rest.until(next.start), rest.from(next.end()))
                }
                _ => (rest, rest.from(rest.end())),
            };
            if fresh.len > 0 {
                let held = Held {
                    start: fresh.start,
                    len: fresh.len,
                    bytes: fresh.bytes.into(),
                    carried,
                    second,
                };
                added.new += fresh.len;
                added.cost += held.cost();
                self.held.insert(index, held);
                index += 1;
            }
            rest = after;
            index += 1;
        }
        self.cost += added.cost;
        added
    }

    /// Takes the first piece when it starts at or before `offset`, and says what room that gives back.
    pub(super) fn take(&mut self, offset: u64) -> Option<(Held, usize)> {
        if self.held.front()?.start > offset {
            return None;
        }
        let held = self.held.pop_front()?;
        let cost = held.cost();
        self.cost = self.cost.saturating_sub(cost);
        Some((held, cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start: u64, bytes: &[u8]) -> Piece<'_> {
        Piece {
            start,
            bytes,
            len: bytes.len() as u64,
        }
    }

    fn drain(reorder: &mut Reorder) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| reorder.take(u64::MAX))
            .map(|(held, _)| (held.start, held.bytes.to_vec()))
            .collect()
    }

    #[test]
    fn the_first_copy_of_a_byte_wins() {
        let mut reorder = Reorder::default();
        reorder.add(piece(12, b"cd"), Mark::default(), 0);
        reorder.add(piece(16, b"gh"), Mark::default(), 0);
        let added = reorder.add(piece(10, b"abXdefghij"), Mark::default(), 0);
        assert_eq!((added.new, added.differing), (6, 1));
        let bytes: Vec<u8> = drain(&mut reorder).into_iter().flat_map(|p| p.1).collect();
        assert_eq!(bytes, b"abcdefghij");
        assert_eq!(reorder.cost(), 0);
    }

    #[test]
    fn a_piece_is_cut_on_both_sides_past_its_captured_bytes() {
        let cut = Piece {
            start: 5,
            bytes: b"xyz",
            len: 10,
        };
        let tail = cut.from(9);
        assert_eq!((tail.start, tail.bytes, tail.len), (9, &b""[..], 6));
        let head = cut.until(7);
        assert_eq!((head.start, head.bytes, head.len), (5, &b"xy"[..], 2));
        let head = cut.until(12);
        assert_eq!((head.bytes, head.len), (&b"xyz"[..], 7));
    }

    #[test]
    fn room_ends_at_the_limit_of_pieces() {
        let mut reorder = Reorder::default();
        for index in 0..REORDER_PIECES_MAX as u64 {
            assert!(reorder.has_room(&piece(index * 2, b"x"), 0));
            reorder.add(piece(index * 2, b"x"), Mark::default(), 0);
        }
        assert!(!reorder.has_room(&piece(9_999, b"x"), 0));
    }
}
