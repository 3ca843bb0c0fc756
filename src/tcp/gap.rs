//! Holes in one direction of a connection. In: what `half_stream` holds back. Out: data and gaps, in order.
//!
//! The rule: a hole is given up late, so that mere reordering fills it, never in silence, and always in the
//! end.

use crate::frame::Mark;
use crate::tcp::event::{Connection, GapReason, StreamEvent};
use crate::tcp::half_stream::HalfStream;
use crate::tcp::outlet::Outlet;
use crate::tcp::reorder::{Piece, Reorder};

/// How long a hole is kept open for frames that the capture shows late, once the peer has acknowledged
/// bytes in it or is not seen at all, in whole seconds between ticks: at least three full seconds.
pub const GAP_PATIENCE_MAX: i64 = 4;

/// How long a hole is kept open while the peer says that it misses these bytes too, so that a
/// retransmission will come, in seconds: longer than most back-offs.
pub const UNACKNOWLEDGED_PATIENCE_MAX: i64 = 60;

/// Pieces beyond an acknowledged hole that end the wait: no interface reorders that far.
pub const ACKNOWLEDGED_PIECES_MAX: usize = 32;

/// Bytes beyond an acknowledged hole that end the wait, when they came in several pieces.
pub const ACKNOWLEDGED_BYTES_MAX: usize = 64 * 1024;

/// Fewest pieces that [`ACKNOWLEDGED_BYTES_MAX`] counts for: one offloaded segment alone has 64 KiB.
const ACKNOWLEDGED_PIECES_MIN: usize = 4;

impl HalfStream {
    // ---- Telling --------------------------------------------------------------------------------------

    /// Tells a piece that starts at `next`, and what of it was cut off.
    pub(super) fn tell<S, F>(&mut self, piece: Piece<'_>, carried: Mark, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        self.next = piece.end();
        let direction = self.direction;
        if !piece.bytes.is_empty() {
            out.emit(StreamEvent::Data {
                direction,
                offset: piece.start,
                bytes: piece.bytes,
                carried,
            });
        }
        let captured = piece.bytes.len() as u64;
        if captured < piece.len {
            let len = piece.len - captured;
            out.half(direction).trouble().snapped += len;
            out.shared.snapped_bytes += len;
            out.emit(StreamEvent::Gap {
                direction,
                offset: piece.start.saturating_add(captured),
                len,
                reason: GapReason::Snapped,
            });
        }
    }

    /// Tells the buffered pieces that `next` has reached. `over` is a later copy of the same bytes, to be
    /// compared with them.
    pub(super) fn drain<S, F>(&mut self, over: Option<Piece<'_>>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let Some(mut reorder) = self.reorder.take() else {
            return;
        };
        while let Some((held, cost)) = reorder.take(self.next) {
            out.shared.buffered = out.shared.buffered.saturating_sub(cost);
            if let Some(over) = over {
                out.shared.overlapping_bytes_differ += held.piece().differing(&over);
            }
            self.tell(held.piece(), held.carried, out);
        }
        if reorder.pieces() > 0 {
            self.reorder = Some(reorder);
        }
    }

    /// Gives up the bytes from `next` to `to`.
    pub(super) fn lose<S, F>(&mut self, to: u64, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let (direction, offset, now) = (self.direction, self.next, out.now);
        let len = to.saturating_sub(offset);
        if len == 0 {
            return;
        }
        self.next = to;
        self.sent = self.sent.max(to);
        self.given_up = (offset, to);
        let sent = self.sent;
        let facts = out.half(direction);
        facts.sent = sent;
        let trouble = facts.trouble();
        trouble.lost += len;
        trouble.last_gap = Some(now);
        out.shared.lost_bytes += len;
        out.emit(StreamEvent::Gap {
            direction,
            offset,
            len,
            reason: GapReason::Lost,
        });
    }

    /// Takes note that the bytes up to `to` exist, of a connection of which only the flags are in the capture. True when
    /// any are new.
    pub(super) fn hide<S, F>(&mut self, to: u64, out: &mut Outlet<'_, S, F>) -> bool
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let len = to.saturating_sub(self.next);
        if len == 0 {
            return false;
        }
        self.next = to;
        self.sent = self.sent.max(to);
        let sent = self.sent;
        let facts = out.half(self.direction);
        facts.sent = sent;
        let trouble = facts.trouble();
        trouble.hidden = trouble.hidden.saturating_add(len);
        out.shared.hidden_bytes += len;
        true
    }

    // ---- Holes ----------------------------------------------------------------------------------------

    /// Where the open hole ends: at the first buffered piece, at the FIN, or where the peer's
    /// acknowledgement proves that bytes were.
    fn hole_end(&self) -> Option<u64> {
        if let Some(held) = self.reorder.as_ref().and_then(|reorder| reorder.first()) {
            return Some(held.piece().start);
        }
        if let Some(fin_at) = self.fin_at {
            return (fin_at > self.next).then_some(fin_at);
        }
        // One number past the last byte, and nothing after it: a FIN that was not captured.
        let acked = self.acked.unwrap_or(0);
        (acked > self.next.saturating_add(1)).then_some(acked)
    }

    /// Whether the peer has bytes of the hole, so that no retransmission will fill it.
    fn is_acknowledged(&self) -> bool {
        self.acked.is_some_and(|acked| acked > self.next)
    }

    /// Notes since when the hole that is open now has been open, and gives it up when so much came beyond
    /// it that reordering cannot be the reason. To be called after every change.
    pub(super) fn watch<S, F>(&mut self, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        if self.hole.is_none() && self.hole_end().is_none() {
            return;
        }
        while self.is_acknowledged() && self.reorder.as_ref().is_some_and(|r| is_crowded(r)) {
            self.give_up(out);
        }
        if self.hole_end().is_none() {
            self.hole = None;
        } else if self.hole.is_none_or(|(at, _)| at != self.next) {
            let first = self.reorder.as_ref().and_then(|reorder| reorder.first());
            let since = first.map_or(out.second, |held| held.second);
            self.hole = Some((self.next, since));
        }
    }

    /// The table's second at which the open hole is to be given up. `peer` is when the peer was last seen.
    pub(super) fn deadline(&self, peer: Option<i64>) -> Option<i64> {
        let (_, since) = self.hole?;
        let will_be_filled = !self.is_acknowledged() && peer.is_some_and(|seen| seen >= since);
        let patience = if will_be_filled {
            UNACKNOWLEDGED_PATIENCE_MAX
        } else {
            GAP_PATIENCE_MAX
        };
        Some(since.saturating_add(patience))
    }

    /// Gives up the open hole and tells what follows it. False when there is none.
    fn give_up<S, F>(&mut self, out: &mut Outlet<'_, S, F>) -> bool
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let Some(end) = self.hole_end() else {
            return false;
        };
        self.lose(end, out);
        self.drain(None, out);
        self.finish_in_order(out);
        true
    }

    /// Gives up the holes whose time has come.
    pub(super) fn expire<S, F>(&mut self, peer: Option<i64>, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        while self.deadline(peer).is_some_and(|due| due <= out.second) && self.give_up(out) {
            self.watch(out);
        }
    }

    /// Gives up all holes: no more will come.
    pub(super) fn flush<S, F>(&mut self, out: &mut Outlet<'_, S, F>)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        while self.give_up(out) {}
        self.hole = None;
    }
}

fn is_crowded(reorder: &Reorder) -> bool {
    reorder.pieces() >= ACKNOWLEDGED_PIECES_MAX
        || (reorder.pieces() >= ACKNOWLEDGED_PIECES_MIN && reorder.cost() > ACKNOWLEDGED_BYTES_MAX)
}
