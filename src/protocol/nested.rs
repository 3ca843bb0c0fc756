//! A stream inside of another one. In: pieces that a parser took out of its stream. Out: offsets for the parser of what is
//! inside, and observations in the offsets of the connection.
//!
//! The rule: inside bytes are counted without a break, as if nothing were around them; whoever compares with TCP (what was
//! acknowledged, what was sent before a close) gets the place of what carried them: the end of a record is the end
//! of its last byte.

use std::collections::VecDeque;
use std::ops::Range;

use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{Observation, Seen};
use crate::protocol::parser::{Data, Inner};

/// Most pieces of a direction whose places are kept. Messages end in the latest ones; what is older counts as where the
/// oldest begins.
const PIECES_MAX: usize = 64;

/// Where the pieces of both directions lie.
#[derive(Debug, Default)]
pub struct Offsets {
    to_server: Lane,
    to_client: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    /// Bytes inside so far.
    at: u64,
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
struct Piece {
    inside: Range<u64>,
    outer: (u64, u64),
}

impl Offsets {
    /// Notes a piece; gives the offset inside of its first byte.
    pub fn note(&mut self, found: &Inner) -> u64 {
        let (direction, len, outer) = match found {
            Inner::Data {
                direction,
                range,
                outer,
                ..
            } => (*direction, range.len() as u64, *outer),
            Inner::Missing {
                direction,
                len,
                outer,
                ..
            } => (*direction, *len, *outer),
        };
        let lane = match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        };
        let at = lane.at;
        lane.at = at.saturating_add(len);
        if lane.pieces.len() >= PIECES_MAX {
            lane.pieces.pop_front();
        }
        let inside = at..lane.at;
        lane.pieces.push_back(Piece { inside, outer });
        at
    }

    /// Puts the connection's offsets into what was told of the stream inside.
    pub fn translate(&self, told: &mut [Observation]) {
        for one in told {
            match &mut one.what {
                Seen::RequestStart { offset, .. } => *offset = self.to_server.start(*offset),
                Seen::RequestEnd { end, .. } => end.end_offset = self.to_server.end(end.end_offset),
                Seen::ResponseEnd { end, .. } => {
                    end.end_offset = self.to_client.end(end.end_offset)
                }
                _ => {}
            }
        }
    }
}

impl Lane {
    /// The place of a first byte.
    fn start(&self, inside: u64) -> u64 {
        let piece = self.pieces.iter().rev().find(|p| p.inside.start <= inside);
        match piece {
            Some(piece) if inside < piece.inside.end => piece
                .outer
                .0
                .saturating_add(inside.saturating_sub(piece.inside.start))
                .min(piece.outer.1),
            Some(piece) => piece.outer.1,
            None => self.oldest(),
        }
    }

    /// The place after a last byte.
    fn end(&self, inside: u64) -> u64 {
        let piece = self.pieces.iter().rev().find(|p| p.inside.start < inside);
        match piece {
            Some(piece) if inside < piece.inside.end => piece
                .outer
                .0
                .saturating_add(inside.saturating_sub(piece.inside.start))
                .min(piece.outer.1),
            Some(piece) => piece.outer.1,
            None => self.oldest(),
        }
    }

    fn oldest(&self) -> u64 {
        self.pieces.front().map_or(0, |piece| piece.outer.0)
    }
}

/// The bytes of a piece, cut where another frame carried them.
pub fn pieces<'a>(
    direction: Direction,
    offset: u64,
    bytes: &'a [u8],
    range: &Range<usize>,
    places: &'a [(usize, Mark)],
    seen: Mark,
) -> Vec<Data<'a>> {
    let mut found = Vec::new();
    let mut at = range.start;
    // The last frame carried what follows the bytes, too.
    let last = places.last().map_or(seen, |(_, mark)| *mark);
    for (end, mark) in places.iter().copied().chain([(usize::MAX, last)]) {
        let end = end.min(range.end);
        if let Some(part) = bytes.get(at..end).filter(|part| !part.is_empty()) {
            found.push(Data {
                direction,
                offset: offset.saturating_add(at.saturating_sub(range.start) as u64),
                bytes: part,
                carried: mark,
            });
            at = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    fn mark(number: u64) -> Mark {
        Mark {
            frame: FrameId::new(0, number),
            ..Mark::default()
        }
    }

    #[test]
    fn bytes_keep_the_frame_that_carried_them() {
        let bytes: Vec<u8> = (0..30).collect();
        let places = [(4, mark(1)), (10, mark(2)), (26, mark(3))];
        let found = pieces(Direction::ToClient, 100, &bytes, &(8..20), &places, mark(9));
        let told: Vec<_> = found
            .iter()
            .map(|data| (data.offset, data.bytes[0], data.bytes.len(), data.carried))
            .collect();
        assert_eq!(told, [(100, 8, 2, mark(2)), (102, 10, 10, mark(3))]);
        let found = pieces(Direction::ToClient, 0, &bytes, &(8..30), &[], mark(9));
        assert_eq!((found.len(), found[0].carried), (1, mark(9)));
    }

    #[test]
    fn the_end_of_a_piece_is_the_end_of_what_carried_it() {
        let mut offsets = Offsets::default();
        let note = |offsets: &mut Offsets, len: usize, outer| {
            offsets.note(&Inner::Data {
                direction: Direction::ToServer,
                bytes: vec![0; len],
                range: 0..len,
                places: Vec::new(),
                outer,
            })
        };
        assert_eq!(note(&mut offsets, 100, (1_000, 1_122)), 0);
        assert_eq!(note(&mut offsets, 50, (1_122, 1_194)), 100);
        let lane = &offsets.to_server;
        assert_eq!((lane.start(0), lane.end(100)), (1_000, 1_122));
        assert_eq!((lane.start(100), lane.end(150)), (1_122, 1_194));
        assert_eq!((lane.start(10), lane.end(110)), (1_010, 1_132));
        for _ in 0..PIECES_MAX {
            note(&mut offsets, 1, (5_000, 5_023));
        }
        assert_eq!(offsets.to_server.end(1), 5_000);
    }
}
