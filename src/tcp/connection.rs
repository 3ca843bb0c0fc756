//! One connection in the table. In: its segments, ticks, the end. Out: its events, with the facts that hold.
//!
//! The rule: who is the client is known from a SYN or SYN-ACK, and inferred otherwise. A segment that cannot
//! belong to this connection begins a new one on the same endpoints.

use crate::decode::segment::Segment;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::tcp::arrival::Arrival;
use crate::tcp::birthmark::Birthmarks;
use crate::tcp::event::{Connection, ConnectionId, Ending, HalfFacts, StreamEvent};
use crate::tcp::half_stream::HalfStream;
use crate::tcp::life::{Leaving, Life, initial_sequence, peer_sent};
use crate::tcp::outlet::{Outlet, Shared};
use crate::tcp::seq::REACH_MAX;

/// How long an established connection may be silent, in seconds, before the table forgets it: the idle
/// limit of most balancers and proxies is shorter.
pub const ESTABLISHED_IDLE_MAX: i64 = 3600;

/// How long an unfinished handshake may be silent, in seconds: Linux gives up after 127 s.
pub const HANDSHAKE_IDLE_MAX: i64 = 130;

/// How long a closed connection is remembered after its latest segment, in seconds, so that late
/// retransmissions and RSTs do not open a new one.
pub const CLOSED_LINGER_MAX: i64 = 10;

/// The same where both sides have acknowledged the other's FIN, so that neither has a reason to send again: only a copy
/// that is on its way may come, or a FIN whose acknowledgement was lost behind the place of the capture: by Linux's least
/// timer (200 ms, doubled each time; RFC 6298, section 5.5) its fifth repetition comes 3.2 s after the fourth. Most
/// connections of a busy gateway end so.
pub const QUIET_LINGER_MAX: i64 = 4;

/// Farthest that a SYN may be late behind the data that it begins, in bytes, when frames are reordered.
const LATE_SYN_BYTES_MAX: i64 = 64 * 1024;

/// Farthest that both numbers of a segment may jump at once, in bytes, before it is taken for a new
/// connection on the same ports whose SYN was not captured.
const JUMP_MAX: u64 = 1 << 26;

/// First port that Linux gives to clients by itself (net.ipv4.ip_local_port_range).
const EPHEMERAL_PORT_MIN: u16 = 32768;

/// First port that needs no privilege: those below are servers' (RFC 6335, section 6).
const UNPRIVILEGED_PORT_MIN: u16 = 1024;

/// A connection, its two halves, and the state that the next room keeps for it.
#[derive(Debug)]
pub(super) struct Entry<S> {
    pub facts: Connection,
    pub state: S,
    to_server: HalfStream,
    to_client: HalfStream,
    life: Life,
    /// The second under which the table will look at it again.
    pub due: i64,
}

impl<S: Default> Entry<S> {
    /// Makes the entry that `segment` opens. The segment itself is still to be pushed.
    pub(super) fn open(segment: &Segment<'_>) -> Self {
        let (client, server, roles_known) = if comes_from_client(segment) {
            (segment.source, segment.destination, segment.flags.syn())
        } else {
            (segment.destination, segment.source, segment.flags.syn())
        };
        Self {
            facts: Connection {
                id: ConnectionId(segment.mark.frame),
                client,
                server,
                roles_known,
                overlay: segment.overlay,
                vantage: segment.vantage,
                opened: segment.mark,
                established: None,
                from_client: HalfFacts::default(),
                from_server: HalfFacts::default(),
                multipath: false,
                initial_sequences: (None, None),
                challenge: None,
                server_alive: None,
                flags_only: true,
                birthmarks: Birthmarks::default(),
            },
            state: S::default(),
            to_server: HalfStream::new(Direction::ToServer),
            to_client: HalfStream::new(Direction::ToClient),
            life: Life::default(),
            due: i64::MAX,
        }
    }
}

/// Whether the sender of a connection's first segment is (or is taken for) the client.
fn comes_from_client(segment: &Segment<'_>) -> bool {
    if segment.flags.syn() {
        return !segment.flags.ack();
    }
    let (source, destination) = (segment.source.port, segment.destination.port);
    for limit in [UNPRIVILEGED_PORT_MIN, EPHEMERAL_PORT_MIN] {
        if (source < limit) != (destination < limit) {
            return destination < limit;
        }
    }
    // Two ports of the same kind: clients speak first.
    segment.payload_len > 0 || destination <= source
}

impl<S> Entry<S> {
    fn direction(&self, segment: &Segment<'_>) -> Direction {
        if segment.source == self.facts.client {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    fn halves(&self, direction: Direction) -> (&HalfStream, &HalfStream) {
        match direction {
            Direction::ToServer => (&self.to_server, &self.to_client),
            Direction::ToClient => (&self.to_client, &self.to_server),
        }
    }

    /// Whether the handshake is not over yet.
    pub(super) fn is_half_open(&self) -> bool {
        self.facts.established.is_none() && self.life.closed.is_none()
    }

    /// Whether the frame shows a segment that another frame has shown.
    pub(super) fn is_copy(&mut self, segment: &Segment<'_>) -> bool {
        match self.direction(segment) {
            Direction::ToServer => self.to_server.recent.is_copy(segment),
            Direction::ToClient => self.to_client.recent.is_copy(segment),
        }
    }

    /// Whether the segment belongs to a new connection on the same endpoints.
    pub(super) fn is_superseded_by(&self, segment: &Segment<'_>) -> bool {
        let direction = self.direction(segment);
        let (own, peer) = self.halves(direction);
        if segment.flags.rst() {
            return false;
        }
        if !segment.flags.syn() {
            // Both numbers have jumped: its SYN was not captured.
            let far = |stray: Option<u64>| stray.is_some_and(|far| far > JUMP_MAX);
            return segment.flags.ack()
                && self.facts.established.is_some()
                && far(own.stray(segment.sequence))
                && far(peer.stray(segment.acknowledgement));
        }
        let known = initial_sequence(&self.facts, direction);
        if known == Some(segment.sequence) {
            return false;
        }
        if segment.flags.ack() {
            let acknowledged = peer.offset(segment.acknowledgement);
            let answers = acknowledged
                .is_none_or(|offset| (0..=peer_sent(&self.facts, direction)).contains(&offset));
            return !answers || (known.is_some() && !self.may_be_answered_anew());
        }
        !(known.is_none() && self.may_still_begin(segment, own, direction))
    }

    /// Whether a SYN may be this connection's though others of its segments came first: frames were
    /// reordered, or both sides open at once (RFC 9293, section 3.5).
    fn may_still_begin(
        &self,
        segment: &Segment<'_>,
        own: &HalfStream,
        direction: Direction,
    ) -> bool {
        if self.life.closed.is_some() {
            return false;
        }
        let first_byte = segment.sequence.wrapping_add(1);
        match own.offset(first_byte) {
            Some(offset) => (-LATE_SYN_BYTES_MAX..=0).contains(&offset),
            None => direction == Direction::ToClient && self.facts.established.is_none(),
        }
    }

    /// Whether another SYN-ACK than the first may still be the valid one, as behind a balancer that sends a
    /// repeated SYN to another server.
    fn may_be_answered_anew(&self) -> bool {
        self.facts.established.is_none()
            && self.facts.from_server.first_data.is_none()
            && matches!(self.life.closed, None | Some(Ending::Refused))
    }

    /// Takes one segment that is no copy.
    pub(super) fn push<F>(
        &mut self,
        segment: &Segment<'_>,
        second: i64,
        shared: &mut Shared,
        sink: &mut F,
    ) where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let direction = self.direction(segment);
        let (own, peer) = match direction {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        };
        own.seen = Some(second);
        let out = Outlet {
            facts: &mut self.facts,
            state: &mut self.state,
            sink,
            shared,
            now: segment.mark,
            second,
        };
        let mut arrival = Arrival {
            segment,
            direction,
            own,
            peer,
            life: &mut self.life,
            out,
        };
        arrival.run();
    }

    /// The second at which something is to be done about this connection if nothing comes.
    pub(super) fn deadline(&self) -> i64 {
        let halves = [&self.to_server, &self.to_client];
        let patience = if halves.iter().all(|half| half.is_over()) {
            QUIET_LINGER_MAX
        } else if self.life.closed.is_some() {
            CLOSED_LINGER_MAX
        } else if self.facts.established.is_some() {
            ESTABLISHED_IDLE_MAX
        } else {
            HANDSHAKE_IDLE_MAX
        };
        let (client, server) = (self.to_server.seen, self.to_client.seen);
        let end = client.max(server).unwrap_or(0).saturating_add(patience);
        let hole = self.to_server.deadline(server).unwrap_or(i64::MAX);
        let other = self.to_client.deadline(client).unwrap_or(i64::MAX);
        end.min(hole).min(other)
    }

    /// Whether nothing shortens its time: it is established, nobody closes it, and no hole is open.
    pub(super) fn is_steady(&self) -> bool {
        self.facts.established.is_some()
            && self.life.closed.is_none()
            && self.to_server.hole.is_none()
            && self.to_client.hole.is_none()
            && !(self.to_server.finished && self.to_client.finished)
    }

    /// Gives up the holes whose time has come. True when the connection's own time has come too.
    pub(super) fn expire<F>(
        &mut self,
        now: Mark,
        second: i64,
        shared: &mut Shared,
        sink: &mut F,
    ) -> bool
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let mut out = Outlet {
            facts: &mut self.facts,
            state: &mut self.state,
            sink,
            shared,
            now,
            second,
        };
        let (client, server) = (self.to_server.seen, self.to_client.seen);
        self.to_server.expire(server, &mut out);
        self.to_client.expire(client, &mut out);
        self.deadline() <= second
    }

    /// Tells what is buffered, and the end.
    pub(super) fn end<F>(
        &mut self,
        leaving: Leaving,
        now: Mark,
        second: i64,
        shared: &mut Shared,
        sink: &mut F,
    ) where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let mut out = Outlet {
            facts: &mut self.facts,
            state: &mut self.state,
            sink,
            shared,
            now,
            second,
        };
        self.to_server.flush(&mut out);
        self.to_client.flush(&mut out);
        let ending = self.life.ending(out.facts, leaving);
        out.emit(StreamEvent::Ended(ending));
    }

    /// Whether a segment that `source` sent with this number may be one of this connection.
    pub(super) fn has_sent(&self, from_client: bool, sequence: u32) -> bool {
        let (half, facts, initial) = if from_client {
            let initial = self.facts.initial_sequences.0;
            (&self.to_server, &self.facts.from_client, initial)
        } else {
            let initial = self.facts.initial_sequences.1;
            (&self.to_client, &self.facts.from_server, initial)
        };
        let Some(offset) = half.offset(sequence) else {
            return true;
        };
        // The SYN has offset -1. Where it was not captured, earlier bytes existed.
        let low = if initial.is_some() { -1 } else { -REACH_MAX };
        let high = facts.sent.max(facts.acknowledged.unwrap_or(0));
        (low..=high.saturating_add(1).cast_signed()).contains(&offset)
    }
}
