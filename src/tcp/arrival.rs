//! What one segment does to its connection. In: a segment and both halves. Out: events and facts.
//!
//! The rule: facts first, then the event; SYN, acknowledgement, payload, FIN in this order, as they lie in
//! the segment. A RST that its receiver does not accept is told and ends nothing (RFC 5961).

use crate::decode::segment::Segment;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::tcp::event::{Closing, Connection, Ending, GapReason, SYN_MARKS_MAX, StreamEvent};
use crate::tcp::half_stream::HalfStream;
use crate::tcp::life::{Life, initial_sequence, is_unanswered, peer_sent};
use crate::tcp::outlet::Outlet;
use crate::tcp::seq::REACH_MAX;

/// A connection of which only flags were seen is not in full view when this much later something else is: an
/// acknowledgement follows a SYN-ACK at once. Nanoseconds.
const HIDDEN_NANOS_MIN: i64 = 200_000_000;

/// One segment on its way through a connection.
pub(super) struct Arrival<'s, 'o, S, F> {
    pub segment: &'s Segment<'s>,
    pub direction: Direction,
    pub own: &'s mut HalfStream,
    pub peer: &'s mut HalfStream,
    pub life: &'s mut Life,
    pub out: Outlet<'o, S, F>,
}

impl<S, F> Arrival<'_, '_, S, F>
where
    F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
{
    /// Takes the segment.
    pub(super) fn run(&mut self) {
        self.pass_hidden();
        self.note();
        if self.segment.flags.rst() {
            return self.reset();
        }
        self.life.last_was_reset = None;
        if self.segment.flags.syn() {
            self.syn();
        } else if !self.is_acceptable() {
            self.note_challenge();
            self.out.shared.segments_out_of_window += 1;
            return;
        }
        self.acknowledge();
        self.establish();
        let mut sequence = self.segment.sequence;
        if self.segment.flags.syn() {
            sequence = sequence.wrapping_add(1);
        }
        if let Some(start) = self.own.offset(sequence) {
            self.reach(start);
            self.payload(start);
        }
        self.own.watch(&mut self.out);
        self.peer.watch(&mut self.out);
    }

    /// Where so far only flags were captured: what the numbers tell of the bytes between. A segment of another kind long
    /// after them shows that the filter lets more pass from now on; soon after them it is the ordinary course.
    fn pass_hidden(&mut self) {
        if !self.out.facts.flags_only || self.segment.flags.syn() {
            return;
        }
        let segment = self.segment;
        let flags = segment.flags.fin() || segment.flags.rst();
        if !flags {
            self.out.facts.flags_only = false;
            if !self.has_syn() || !self.was_silent() {
                return;
            }
        }
        // Who knows of no connection may number its RST by 0.
        let numbered = !segment.flags.rst() || segment.sequence != 0;
        let near = |offset: &i64| (0..=REACH_MAX).contains(offset);
        let told = self.own.offset(segment.sequence);
        let acknowledged = self.peer.offset(segment.acknowledgement);
        if let Some(offset) = told.filter(near)
            && numbered
            && self.own.hide(offset.cast_unsigned(), &mut self.out)
            && (!flags || segment.payload_len > 0)
        {
            self.tell_hidden(self.direction);
        }
        if self.segment.flags.ack()
            && let Some(offset) = acknowledged.filter(near)
        {
            let offset = offset.cast_unsigned();
            let end = self.peer.fin_at.unwrap_or(offset);
            if self.peer.hide(offset.min(end), &mut self.out) && !flags {
                self.tell_hidden(self.direction.opposite());
            }
        }
    }

    /// Whether nothing was seen of the connection for so long that more must have passed than was captured.
    fn was_silent(&self) -> bool {
        let facts = &self.out.facts;
        let before = facts.from_client.last_seen.max(facts.from_server.last_seen);
        before.is_some_and(|before| self.out.now.time.nanos_since(before.time) >= HIDDEN_NANOS_MIN)
    }

    fn tell_hidden(&mut self, direction: Direction) {
        let half = self.out.half(direction);
        let (end, len) = (half.sent, half.hidden);
        self.out.emit(StreamEvent::Gap {
            direction,
            offset: end.saturating_sub(len),
            len,
            reason: GapReason::Hidden,
        });
    }

    /// What any segment tells of its direction.
    fn note(&mut self) {
        let (segment, now) = (self.segment, self.out.now);
        let half = self.out.half(self.direction);
        half.last_seen = Some(now);
        if !segment.flags.rst() {
            half.ip_id = segment.ip_id;
            let (low, high) = half.ttls.unwrap_or((segment.ttl, segment.ttl));
            half.ttls = Some((low.min(segment.ttl), high.max(segment.ttl)));
            if segment.window == 0 {
                half.trouble().zero_window.get_or_insert(now);
            } else if let Some(trouble) = half.trouble_so_far() {
                trouble.zero_window = None;
            }
        }
        if self.direction == Direction::ToClient && !segment.flags.rst() {
            self.out.facts.server_alive = Some(now);
        }
        self.out.facts.birthmarks.note(segment, self.direction);
        let tells_syn = segment.flags.syn() && !segment.flags.rst();
        if !self.life.opened && !tells_syn {
            self.life.opened = true;
            self.out.open(false);
        }
        if let Some(nanos) = self.own.pace.note(segment) {
            self.out.emit(StreamEvent::ClockLeap { nanos });
        }
    }

    fn has_syn(&self) -> bool {
        self.out.facts.initial_sequences != (None, None)
    }

    /// Whether a segment without SYN lies near enough to what is known; it anchors its stream if nothing
    /// else has.
    fn is_acceptable(&mut self) -> bool {
        if !self.own.is_anchored() && self.has_syn() {
            // The SYN-ACK was not seen. What acknowledges another number than the SYN's answers a
            // connection of the past (RFC 5961, section 4).
            let acknowledged = self.peer.offset(self.segment.acknowledgement);
            let sent = peer_sent(self.out.facts, self.direction);
            if !self.segment.flags.ack() || !acknowledged.is_some_and(|a| (0..=sent).contains(&a)) {
                return false;
            }
            self.own.anchor(self.segment.sequence, true);
        }
        self.own.place(self.segment).is_some()
    }

    /// An acknowledgement from the server before its SYN-ACK that answers another connection than this.
    fn note_challenge(&mut self) {
        let facts = &self.out.facts;
        let unanswered = facts.initial_sequences.0.is_some() && facts.initial_sequences.1.is_none();
        if unanswered && self.direction == Direction::ToClient && self.segment.flags.ack() {
            let now = self.out.now;
            self.out.facts.challenge.get_or_insert(now);
        }
    }

    fn syn(&mut self) {
        let (segment, direction, now) = (self.segment, self.direction, self.out.now);
        let known = initial_sequence(self.out.facts, direction);
        if known != Some(segment.sequence) {
            let slot = match direction {
                Direction::ToServer => &mut self.out.facts.initial_sequences.0,
                Direction::ToClient => &mut self.out.facts.initial_sequences.1,
            };
            *slot = Some(segment.sequence);
            if self.own.is_untouched() {
                self.own.anchor(segment.sequence.wrapping_add(1), true);
            }
        }
        let from_client = direction == Direction::ToServer;
        if from_client != segment.flags.ack() {
            self.out.facts.roles_known = true;
        }
        // The answer says whether what was asked for is agreed to (RFC 8684, section 3.1).
        if segment.flags.ack() && segment.multipath && !self.out.facts.multipath {
            self.out.facts.multipath = true;
            self.out.shared.multipath_connections += 1;
        }
        if segment.flags.ack() && self.life.closed == Some(Ending::Refused) {
            // Windows repeats a refused SYN; this time it is accepted.
            self.life.closed = None;
        }
        let half = self.out.half(direction);
        if half.syns.len() < SYN_MARKS_MAX {
            half.syns.push(now);
        }
        if self.life.opened {
            self.out.emit(StreamEvent::Syn);
        } else {
            self.life.opened = true;
            self.out.open(true);
        }
    }

    fn acknowledge(&mut self) {
        if !self.segment.flags.ack() {
            return;
        }
        let number = self.segment.acknowledgement;
        if !self.peer.is_anchored() {
            let certain = self.has_syn();
            self.peer.anchor(number, certain);
        }
        let before = self.peer.acked;
        if !self.peer.acknowledge(number, self.out.facts) {
            self.out.shared.segments_out_of_window += 1;
            return;
        }
        let bare = self.segment.payload_len == 0
            && !(self.segment.flags.syn() || self.segment.flags.fin() || self.segment.flags.rst());
        if bare
            && before.is_some_and(|acked| Some(acked) == self.peer.acked && acked < self.peer.sent)
        {
            let half = self.out.half(self.direction.opposite());
            let trouble = half.trouble();
            trouble.duplicate_acks = trouble.duplicate_acks.saturating_add(1);
        }
    }

    /// The handshake is over at the client's first acknowledgement of the SYN-ACK, at the first payload
    /// where that was lost, or at once where the capture began later.
    fn establish(&mut self) {
        let segment = self.segment;
        if self.out.facts.established.is_some() || segment.flags.syn() || !segment.flags.ack() {
            return;
        }
        if self.direction == Direction::ToServer || segment.payload_len > 0 || !self.has_syn() {
            self.out.facts.established = Some(segment.mark);
            self.out.emit(StreamEvent::Established);
        }
    }

    /// Notes how far the sender is by its own account.
    fn reach(&mut self, start: i64) {
        let end = self.own.fin_at.unwrap_or(u64::MAX);
        let start = u64::try_from(start).unwrap_or(0).min(end);
        let (direction, sent) = (self.direction, self.own.sent);
        let half = self.out.half(direction);
        let news = start > half.reached.max(sent);
        half.reached = half.reached.max(start);
        if news && self.segment.payload_len == 0 && !self.segment.flags.fin() {
            self.out.emit(StreamEvent::Ahead { direction });
        }
    }

    fn payload(&mut self, start: i64) {
        let segment = self.segment;
        let len = segment
            .payload_len
            .max(u32::try_from(segment.payload.len()).unwrap_or(u32::MAX));
        if len > 0 {
            self.tell_origin();
            self.own.data(start, segment, &mut self.out);
        }
        if segment.flags.fin() {
            self.fin(start.saturating_add(i64::from(len)));
        }
        self.own.finish_in_order(&mut self.out);
    }

    fn tell_origin(&mut self) {
        let origin = self.own.origin();
        let half = self.out.half(self.direction);
        if half.origin.is_none() {
            half.origin = origin;
            if initial_sequence(self.out.facts, self.direction).is_none() {
                self.out.emit(StreamEvent::Joined);
            }
        }
    }

    fn fin(&mut self, at: i64) {
        if !self.own.fin(at, &mut self.out) {
            self.out.shared.segments_out_of_window += 1;
            return;
        }
        if self.out.facts.half(self.direction).fin.is_some() {
            return;
        }
        let acknowledges = self.acknowledges();
        let closing = self.closing(acknowledges, true);
        self.out.half(self.direction).fin = Some(closing);
        let first = *self.life.first_fin.get_or_insert(self.direction);
        let both = self.out.facts.half(self.direction.opposite()).fin.is_some();
        if both && self.life.closed.is_none() {
            self.life.closed = Some(Ending::Closed(first));
        }
        self.out.emit(StreamEvent::Fin {
            direction: self.direction,
        });
    }

    fn reset(&mut self) {
        let segment = self.segment;
        let refuses = self.direction == Direction::ToClient && is_unanswered(self.out.facts);
        let acknowledges = self.acknowledges();
        let accepted = if refuses && self.has_syn() {
            // In SYN-SENT the acknowledgement decides (RFC 9293, section 3.10.7.3).
            let acknowledged = self.peer.offset(segment.acknowledgement);
            let sent = peer_sent(self.out.facts, self.direction);
            segment.flags.ack() && acknowledged.is_some_and(|a| (0..=sent).contains(&a))
        } else {
            self.own.expects(segment.sequence)
        };
        self.life.last_was_reset = Some(self.direction);
        if accepted {
            if !self.own.is_anchored() {
                self.own.anchor(segment.sequence, self.has_syn());
            }
            self.acknowledge();
        }
        let closing = self.closing(acknowledges, accepted);
        if accepted && self.life.closed.is_none() {
            self.life.closed = Some(if refuses && self.has_syn() {
                Ending::Refused
            } else {
                Ending::Reset(self.direction)
            });
            self.own.flush(&mut self.out);
            self.peer.flush(&mut self.out);
        }
        let slot = &mut self.out.half(self.direction).trouble().reset;
        if slot.is_none_or(|earlier| accepted && !earlier.in_sequence) {
            *slot = Some(closing);
            self.out.emit(StreamEvent::Reset {
                direction: self.direction,
            });
        }
    }

    fn acknowledges(&self) -> Option<u64> {
        let ack = self.segment.flags.ack();
        ack.then(|| self.peer.acknowledged_bytes(self.segment.acknowledgement))
    }

    fn closing(&self, acknowledges: Option<u64>, in_sequence: bool) -> Closing {
        Closing {
            mark: self.out.now,
            sent: self.out.facts.half(self.direction).sent,
            acknowledges,
            peer_sent: self.out.facts.half(self.direction.opposite()).sent,
            peer_last: self.out.facts.half(self.direction.opposite()).last_data,
            with_ack: self.segment.flags.ack(),
            in_sequence,
            ttl: self.segment.ttl,
            ip_id: self.segment.ip_id,
            ip_id_before: self.out.facts.half(self.direction).ip_id,
        }
    }
}
