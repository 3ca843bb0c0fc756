//! One direction of a connection. In: its segments and what the peer acknowledges. Out: its bytes in order,
//! gaps where the capture has none, and its end.
//!
//! The rule: data in order is told from where it lies; only what lies beyond a hole is copied. When a hole
//! is given up is decided in `gap`.

use crate::decode::segment::Segment;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::tcp::copies::Recent;
use crate::tcp::event::{Connection, StreamEvent};
use crate::tcp::outlet::{Outlet, half_mut};
use crate::tcp::pace::Pace;
use crate::tcp::reorder::{Piece, Reorder};
use crate::tcp::repeats::Repeats;
use crate::tcp::seq::{self, REACH_MAX};

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct HalfStream {
    pub direction: Direction,
    /// Sequence number of stream offset 0, once anything tells it.
    origin: Option<u32>,
    /// Offset 0 is not yet certain: no SYN and no payload were seen, and the whole connection has no SYN.
    movable: bool,
    /// Next offset to tell: all before it was told as data or gap.
    pub next: u64,
    /// Highest offset seen on the wire.
    pub sent: u64,
    /// Highest acknowledgement of the peer, the FIN's number included.
    pub acked: Option<u64>,
    /// Offset of the FIN.
    pub fin_at: Option<u64>,
    pub finished: bool,
    /// Start of the latest segment with payload, to tell a probe from a retransmission of one byte.
    last_start: i64,
    /// The gap that was given up last: what fills it later is no retransmission.
    pub given_up: (u64, u64),
    /// The hole that is open: its start, and the table's second since when.
    pub hole: Option<(u64, i64)>,
    pub reorder: Option<Box<Reorder>>,
    /// The table's second of the latest segment of this direction.
    pub seen: Option<i64>,
    pub recent: Recent,
    repeats: Repeats,
    /// Largest payload since all that was sent had been acknowledged.
    on_its_way_max: u32,
    pub pace: Pace,
}

impl HalfStream {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            origin: None,
            movable: true,
            next: 0,
            sent: 0,
            acked: None,
            fin_at: None,
            finished: false,
            last_start: -1,
            given_up: (0, 0),
            hole: None,
            reorder: None,
            seen: None,
            recent: Recent::default(),
            repeats: Repeats::default(),
            on_its_way_max: 0,
            pace: Pace::default(),
        }
    }

    // ---- Places on the line of offsets ----------------------------------------------------------------

    /// Whether anything told where this stream begins.
    pub(super) fn is_anchored(&self) -> bool {
        self.origin.is_some()
    }

    /// The sequence number of offset 0.
    pub(super) fn origin(&self) -> Option<u32> {
        self.origin
    }

    /// Whether no payload was seen or given up, so that offset 0 may still be set anew.
    pub(super) fn is_untouched(&self) -> bool {
        self.sent == 0 && self.next == 0 && self.fin_at.is_none()
    }

    /// Whether all of it was told and its receiver has acknowledged the FIN.
    pub(super) fn is_over(&self) -> bool {
        let fin = self.fin_at.filter(|_| self.finished);
        fin.is_some_and(|fin| self.acked.is_some_and(|acked| acked > fin))
    }

    /// Sets the sequence number of offset 0. `certain` when a SYN tells it.
    pub(super) fn anchor(&mut self, origin: u32, certain: bool) {
        self.origin = Some(origin);
        self.movable = !certain;
    }

    /// The offset of a sequence number, as near as possible to what is known. `None` before the stream has
    /// a beginning.
    pub(super) fn offset(&self, sequence: u32) -> Option<i64> {
        let near = self.sent.max(self.acked.unwrap_or(0));
        Some(seq::offset(self.origin?, sequence, near))
    }

    /// How far a sequence number lies from all that is known of this stream, in bytes.
    pub(super) fn stray(&self, sequence: u32) -> Option<u64> {
        let near = self.sent.max(self.acked.unwrap_or(0)).cast_signed();
        Some(self.offset(sequence)?.abs_diff(near))
    }

    /// The offset of a segment that is no SYN; sets the beginning by it when nothing else has. `None` when
    /// it lies too far away to belong here.
    pub(super) fn place(&mut self, segment: &Segment<'_>) -> Option<i64> {
        let Some(offset) = self.offset(segment.sequence) else {
            self.anchor(segment.sequence, false);
            return Some(0);
        };
        if self.movable && offset > 0 && self.is_untouched() {
            // Nobody saw what came before: the stream is told from its first byte seen.
            let skipped = offset.cast_unsigned();
            self.acked = self.acked.map(|acked| acked.saturating_sub(skipped));
            self.origin = Some(segment.sequence);
            return Some(0);
        }
        (self.stray(segment.sequence)? <= REACH_MAX.cast_unsigned()).then_some(offset)
    }

    /// Whether the receiver of a RST with this number accepts it: it is exactly what the receiver expects
    /// (RFC 5961, section 3.2), as far as the capture tells.
    pub(super) fn expects(&self, sequence: u32) -> bool {
        let Some(offset) = self.offset(sequence) else {
            return true;
        };
        let offset = offset.cast_unsigned();
        let past_fin = self.sent.saturating_add(u64::from(self.fin_at.is_some()));
        Some(offset) == self.acked || offset == past_fin || offset == self.next
    }

    /// The peer's acknowledgement as a count of payload bytes of this stream.
    pub(super) fn acknowledged_bytes(&self, acknowledgement: u32) -> u64 {
        let offset = self.offset(acknowledgement).unwrap_or(0).max(0);
        let limit = self.fin_at.unwrap_or(u64::MAX);
        offset.cast_unsigned().min(limit)
    }

    // ---- What segments bring --------------------------------------------------------------------------

    /// Notes what the peer acknowledges. False when the number is absurd.
    pub(super) fn acknowledge(&mut self, number: u32, facts: &mut Connection) -> bool {
        let Some(offset) = self.offset(number) else {
            self.anchor(number, false);
            return self.acknowledge(number, facts);
        };
        if offset == 1 && self.movable && self.is_untouched() && self.acked.is_none_or(|a| a == 0) {
            // Anchored by a keep-alive probe, whose number is one too low.
            self.origin = Some(number);
            return self.acknowledge(number, facts);
        }
        if self
            .stray(number)
            .is_some_and(|far| far > REACH_MAX.cast_unsigned())
        {
            return false;
        }
        // An old acknowledgement that came late tells nothing new.
        if offset >= 0 {
            let acked = self.acked.unwrap_or(0).max(offset.cast_unsigned());
            let half = half_mut(facts, self.direction);
            if self.acked.is_none_or(|before| acked > before)
                && let Some(trouble) = half.trouble_so_far()
            {
                trouble.unanswered_repeats = 0;
                trouble.first_unanswered = None;
                trouble.duplicate_acks = 0;
            }
            if acked >= self.sent {
                half.delivered_max = half.delivered_max.max(self.on_its_way_max);
                self.on_its_way_max = 0;
            }
            self.acked = Some(acked);
            half.acknowledged = Some(acked.min(self.fin_at.unwrap_or(u64::MAX)));
        }
        true
    }

    /// Takes the payload of a segment that starts at `start`.
    pub(super) fn data<S, F>(
        &mut self,
        start: i64,
        segment: &Segment<'_>,
        out: &mut Outlet<'_, S, F>,
    ) where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let len = u64::from(segment.payload_len).max(segment.payload.len() as u64);
        if self.is_probe(start, len, out) {
            return;
        }
        self.movable = false;
        self.last_start = start;
        let now = out.now;
        self.on_its_way_max = self
            .on_its_way_max
            .max(u32::try_from(len).unwrap_or(u32::MAX));
        let facts = out.half(self.direction);
        facts.first_data.get_or_insert(now);
        let Some(piece) = self.clip(start, len, segment.payload, out) else {
            return;
        };
        if piece.start < self.next {
            out.shared.overlapping_bytes_differ += self.repeats.differing(&piece);
        }
        if piece.start <= self.next {
            if piece.end() <= self.next {
                self.seen_before(&piece, out);
            } else {
                self.note_new(&piece, out);
                self.in_order(piece, out);
            }
        } else {
            self.early(piece, out);
        }
    }

    /// Takes the FIN at offset `at`. False when data beyond it was seen, so that it cannot be one.
    pub(super) fn fin<S, F>(&mut self, at: i64, out: &mut Outlet<'_, S, F>) -> bool
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let at = u64::try_from(at).unwrap_or(0);
        if self.fin_at.is_some() || at < self.sent {
            return self.fin_at == Some(at);
        }
        self.movable = false;
        self.fin_at = Some(at);
        self.sent = at;
        let facts = out.half(self.direction);
        facts.sent = at;
        facts.acknowledged = facts.acknowledged.map(|acked| acked.min(at));
        true
    }

    /// Tells the end of the stream, once all before it was told.
    pub(super) fn finish_in_order<S, F>(&mut self, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        if !self.finished && self.fin_at == Some(self.next) {
            self.finished = true;
            out.emit(StreamEvent::Finished {
                direction: self.direction,
            });
        }
    }

    /// A keep-alive probe repeats the last byte (or none, or garbage) after it was acknowledged (RFC 9293,
    /// section 3.8.4); a zero-window probe does so while the peer's window is shut.
    fn is_probe<S, F>(&self, start: i64, len: u64, out: &Outlet<'_, S, F>) -> bool {
        let before_end = start.saturating_add(1) == self.sent.cast_signed();
        let peer = out.facts.half(self.direction.opposite());
        before_end
            && len <= 1
            && (self.acked.is_some_and(|acked| acked >= self.sent)
                || self.last_start != start
                || peer.zero_window.is_some())
    }

    /// The piece of a payload that lies between offset 0 and the FIN.
    fn clip<'p, S, F>(
        &self,
        start: i64,
        len: u64,
        bytes: &'p [u8],
        out: &mut Outlet<'_, S, F>,
    ) -> Option<Piece<'p>> {
        let before = start.min(0).unsigned_abs().min(len);
        let captured = bytes.get(usize::try_from(before).ok()?..);
        let piece = Piece {
            start: start.max(0).cast_unsigned(),
            bytes: captured.unwrap_or_default(),
            len: len - before,
        };
        if before > 0 {
            out.shared.bytes_before_pick_up += before;
        }
        let end = self.fin_at.unwrap_or(u64::MAX);
        if piece.end() > end {
            out.shared.bytes_after_fin += piece.end() - end.max(piece.start);
        }
        let piece = piece.until(end);
        (piece.len > 0).then_some(piece)
    }

    fn note_new<S, F>(&mut self, piece: &Piece<'_>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        self.repeats.note(piece, self.sent, out.now.time.0);
        self.sent = self.sent.max(piece.end());
        let (sent, now) = (self.sent, out.now);
        let facts = out.half(self.direction);
        facts.sent = sent;
        facts.last_data = Some(now);
    }

    fn seen_before<S, F>(&mut self, piece: &Piece<'_>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let (from, to) = self.given_up;
        if piece.start < to && piece.end() > from {
            return;
        }
        let now = out.now;
        let latest = out.half(self.direction).last_data.unwrap_or(now);
        if self
            .repeats
            .is_too_soon(piece.end(), latest.time.0, now.time.0)
        {
            out.shared.duplicate_frames += 1;
            return;
        }
        let unanswered = self.acked.is_none_or(|acked| piece.end() > acked);
        let facts = out.half(self.direction).trouble();
        facts.retransmissions += 1;
        facts.last_retransmission = Some(now);
        if unanswered {
            facts.unanswered_repeats = facts.unanswered_repeats.saturating_add(1);
            facts.first_unanswered.get_or_insert(now);
            facts.repeated_len = u32::try_from(piece.len).unwrap_or(u32::MAX);
        }
    }

    /// Tells a piece that starts at or before `next`, and what it makes contiguous.
    fn in_order<S, F>(&mut self, piece: Piece<'_>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let mut rest = piece.from(self.next);
        // Each round tells up to the next buffered piece, whose bytes came first and therefore count.
        while rest.len > 0 {
            let first = self.reorder.as_ref().and_then(|reorder| reorder.first());
            let until = first.map_or(u64::MAX, |held| held.piece().start);
            self.tell(rest.until(until), out.now, out);
            self.drain(Some(rest), out);
            rest = rest.from(self.next);
        }
    }

    /// Buffers a piece beyond a hole; gives up holes while there is no room.
    fn early<S, F>(&mut self, piece: Piece<'_>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        loop {
            if piece.start <= self.next {
                self.note_new(&piece, out);
                return self.in_order(piece, out);
            }
            let reorder = self.reorder.get_or_insert_default();
            if reorder.has_room(&piece, out.shared.buffered) {
                break;
            }
            out.shared.reorder_buffer_full += 1;
            let to = reorder
                .first()
                .map_or(piece.start, |held| held.piece().start.min(piece.start));
            self.lose(to, out);
            self.drain(None, out);
        }
        let reorder = self.reorder.get_or_insert_default();
        let added = reorder.add(piece, out.now, out.second);
        out.shared.buffered += added.cost;
        out.shared.overlapping_bytes_differ += added.differing;
        if added.new == 0 {
            self.seen_before(&piece, out);
        } else {
            self.note_new(&piece, out);
        }
    }
}
