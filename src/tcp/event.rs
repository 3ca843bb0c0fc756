//! What happens on TCP connections. In: nothing. Out: the types that `tcp` makes.
//!
//! The rule: an event is told when the frame that shows it is seen, never when the connection is over.

use std::ops::Deref;
use std::sync::Arc;

use crate::flow::{Direction, Endpoint, Overlay, Vantage};
use crate::frame::{FrameId, Mark};
use crate::tcp::birthmark::Birthmarks;

/// Most SYN (or SYN-ACK) frames whose marks are kept for one connection: Linux sends at most seven.
pub const SYN_MARKS_MAX: usize = 8;

/// A connection's name: its first frame. A frame opens at most one connection, so it is unique and the
/// same for any thread count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub FrameId);

/// The facts of one direction of a connection, as far as they are known at the event.
///
/// Offsets count payload bytes from 0: the first byte after the SYN, or the first byte seen when the SYN
/// was not captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HalfFacts {
    /// SYN (client) or SYN-ACK (server) frames, repeated ones included, at most [`SYN_MARKS_MAX`].
    pub syns: Marks,
    /// Sequence number of offset 0, once payload was seen.
    pub origin: Option<u32>,
    /// Payload bytes sent: the highest stream offset that was seen on the wire, gaps included.
    pub sent: u64,
    /// Highest offset that the sender itself spoke of, in segments without payload too: beyond `sent` lie bytes that
    /// never came here.
    pub reached: u64,
    /// Highest offset that the peer has acknowledged; `None` before any acknowledgement was seen. May
    /// exceed `sent` when the capture lost frames: those bytes existed.
    pub acknowledged: Option<u64>,
    /// First payload.
    pub first_data: Option<Mark>,
    /// Latest new payload.
    pub last_data: Option<Mark>,
    /// Any segment at all of this direction, latest.
    pub last_seen: Option<Mark>,
    /// First FIN of this direction.
    pub fin: Option<Closing>,
    /// Lowest and highest time to live of segments without RST: all of one host's come the same way.
    pub ttls: Option<(u8, u8)>,
    /// IPv4 identification of the latest segment without RST.
    pub ip_id: Option<u16>,
    /// Largest payload of a segment that is known to have arrived, as all that was sent was acknowledged.
    pub delivered_max: u32,
    /// What goes wrong on few connections, once anything has.
    trouble: Option<Box<Trouble>>,
}

/// What few connections have to tell of a direction: kept apart, because facts are copied at every event. [`HalfFacts`]
/// gives these fields as its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Segments whose payload had all been seen before, and long enough before to have been sent again
    /// ([`RETRANSMISSION_NANOS_MIN`](crate::tcp::RETRANSMISSION_NANOS_MIN)); keep-alive probes are not counted.
    pub retransmissions: u64,
    /// The latest retransmission.
    pub last_retransmission: Option<Mark>,
    /// Bytes that were cut off by the snap length.
    pub snapped: u64,
    /// Bytes that were given up as a gap. Some may have come too late to be told.
    pub lost: u64,
    /// Bytes of which only the sequence numbers of flags tell ([`GapReason::Hidden`]).
    pub hidden: u64,
    /// The latest gap that was given up.
    pub last_gap: Option<Mark>,
    /// Since when this side has advertised a zero window, while it does.
    pub zero_window: Option<Mark>,
    /// First RST of this direction that is not a mere copy; the first one that the receiver accepts
    /// replaces one that it does not (`in_sequence`).
    pub reset: Option<Closing>,
    /// Retransmissions since the peer last acknowledged anything new.
    pub unanswered_repeats: u32,
    /// The first of them.
    pub first_unanswered: Option<Mark>,
    /// Payload bytes of the latest of them.
    pub repeated_len: u32,
    /// Acknowledgements of the peer without payload that brought nothing new while bytes were on their way, since the
    /// last that did: later segments arrive, and one before them does not (RFC 5681, section 3.2).
    pub duplicate_acks: u32,
}

/// Nothing of it.
static NO_TROUBLE: Trouble = Trouble {
    retransmissions: 0,
    last_retransmission: None,
    snapped: 0,
    lost: 0,
    hidden: 0,
    last_gap: None,
    zero_window: None,
    reset: None,
    unanswered_repeats: 0,
    first_unanswered: None,
    repeated_len: 0,
    duplicate_acks: 0,
};

impl Deref for HalfFacts {
    type Target = Trouble;

    fn deref(&self) -> &Trouble {
        self.trouble.as_deref().unwrap_or(&NO_TROUBLE)
    }
}

impl HalfFacts {
    /// The trouble of this direction, to be added to.
    pub(crate) fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// The same, where there is any.
    pub(super) fn trouble_so_far(&mut self) -> Option<&mut Trouble> {
        self.trouble.as_deref_mut()
    }
}

/// Marks in order. Nearly always there is one, which takes no room of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Held);

/// Several lie apart, so that those of one take 16 bytes: each connection has two of these, and each event a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    One(Mark),
    Else(Option<Box<Several>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Several(Vec<Mark>);

impl Default for Held {
    fn default() -> Self {
        Self::Else(None)
    }
}

impl Marks {
    /// Adds one.
    pub(super) fn push(&mut self, mark: Mark) {
        match &mut self.0 {
            Held::Else(None) => self.0 = Held::One(mark),
            Held::One(first) => self.0 = Held::Else(Some(Box::new(Several(vec![*first, mark])))),
            Held::Else(Some(several)) => several.0.push(mark),
        }
    }
}

impl Deref for Marks {
    type Target = [Mark];

    fn deref(&self) -> &[Mark] {
        match &self.0 {
            Held::Else(None) => &[],
            Held::One(mark) => std::slice::from_ref(mark),
            Held::Else(Some(several)) => &several.0,
        }
    }
}

/// A FIN or RST: when, after how many bytes, and what it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The frame.
    pub mark: Mark,
    /// Payload bytes that the sender of it had sent before.
    pub sent: u64,
    /// How many bytes of the peer it acknowledges: its ACK field as an offset into the peer's stream.
    /// `None` when the ACK bit is not set (a bare RST).
    pub acknowledges: Option<u64>,
    /// Payload bytes that the peer had sent (as seen so far) when it passed.
    pub peer_sent: u64,
    /// The peer's latest new payload before it.
    pub peer_last: Option<Mark>,
    /// Whether the ACK bit is set: an RST with it came from a live socket or answers a SYN; one without
    /// means that the host has no such socket any more.
    pub with_ack: bool,
    /// For a RST: its sequence number is what the receiver expects, so that the receiver accepts it
    /// (RFC 5961). Always true for a FIN.
    pub in_sequence: bool,
    /// Its time to live (hop limit).
    pub ttl: u8,
    /// Its IPv4 identification.
    pub ip_id: Option<u16>,
    /// IPv4 identification of the sender's latest segment before it.
    pub ip_id_before: Option<u16>,
}

/// One connection as known at an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Who sent the SYN, or is taken for the client.
    pub client: Endpoint,
    /// The other one.
    pub server: Endpoint,
    /// False when no SYN or SYN-ACK was seen, so that the roles are inferred.
    pub roles_known: bool,
    /// VLAN and tunnel ids.
    pub overlay: Overlay,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// The first frame.
    pub opened: Mark,
    /// The client's first acknowledgement of the SYN-ACK (or the first payload, where that was lost). Where
    /// the capture has no SYN, the first segment that acknowledges anything: the handshake was before it.
    pub established: Option<Mark>,
    /// What the client sent.
    pub from_client: HalfFacts,
    /// What the server sent.
    pub from_server: HalfFacts,
    /// Whether both sides agreed on Multipath TCP (RFC 8684): then other connections carry a part of its bytes.
    pub multipath: bool,
    /// Both initial sequence numbers, where seen.
    pub initial_sequences: (Option<u32>, Option<u32>),
    /// A segment of the server that answered the SYN and acknowledged something else (RFC 5961, section 4): the server
    /// still holds an older connection on the same ports.
    pub challenge: Option<Mark>,
    /// Latest segment of the server without RST: one that comes long after a RST in its name was sent by who knows of none.
    pub server_alive: Option<Mark>,
    /// Whether every segment so far has SYN, FIN or RST and none is a bare acknowledgement: of a connection that carried
    /// data this is what a filter for these flags leaves.
    pub flags_only: bool,
    /// By what views of one connection are told.
    pub birthmarks: Birthmarks,
}

impl Connection {
    /// A connection of which nothing is known but who opened it to whom: for readers that are fed by hand.
    #[must_use]
    pub fn between(id: ConnectionId, client: Endpoint, server: Endpoint) -> Self {
        Self {
            id,
            client,
            server,
            roles_known: true,
            overlay: Overlay::default(),
            vantage: Vantage::default(),
            opened: Mark::default(),
            established: None,
            from_client: HalfFacts::default(),
            from_server: HalfFacts::default(),
            multipath: false,
            initial_sequences: (Some(1), Some(2)),
            challenge: None,
            server_alive: None,
            flags_only: false,
            birthmarks: Default::default(),
        }
    }

    /// The facts of what travelled in `direction`.
    #[must_use]
    pub fn half(&self, direction: Direction) -> &HalfFacts {
        match direction {
            Direction::ToServer => &self.from_client,
            Direction::ToClient => &self.from_server,
        }
    }
}

/// Why bytes of a stream are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapReason {
    /// The frame was captured, its end was cut off by the snap length.
    Snapped,
    /// No frame with these bytes was captured, though the peer acknowledged them or later ones came.
    Lost,
    /// So far only segments with SYN, FIN or RST of the connection were captured: the rest did not pass a filter.
    Hidden,
}

/// How a connection left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The SYN was answered by a RST.
    Refused,
    /// SYNs only, no answer until it left the table or the capture ended: compare the marks of the SYNs.
    Unanswered,
    /// A RST from the given direction's sender.
    Reset(Direction),
    /// FINs both ways; the given direction's sender was first.
    Closed(Direction),
    /// Nothing for so long that the table forgot it, or the tuple was used anew, or the table was full.
    Idle,
    /// The capture ended first.
    Open,
}

/// What a segment brought about, in stream order for each direction.
#[derive(Debug)]
pub enum StreamEvent<'a> {
    /// The first segment of a connection; where it has SYN, this tells of that too.
    Opened {
        /// Whether it has.
        syn: bool,
        /// The facts so far. A connection that waits for its answer holds the same.
        facts: Arc<Connection>,
    },
    /// A SYN or SYN-ACK was seen after the first segment; told also for those past [`SYN_MARKS_MAX`].
    Syn,
    /// Handshake complete.
    Established,
    /// The first payload of a direction whose SYN was not seen: only now the facts tell what may be compared with
    /// other views.
    Joined,
    /// New in-order payload of one direction.
    Data {
        /// Which way.
        direction: Direction,
        /// Stream offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
        /// The frame that carried them (older than the current one when it had arrived out of order).
        carried: Mark,
    },
    /// Bytes of the stream that the capture does not hold; the next `Data` starts after them.
    Gap {
        /// Which way.
        direction: Direction,
        /// Stream offset of the first missing byte.
        offset: u64,
        /// How many.
        len: u64,
        /// Why.
        reason: GapReason,
    },
    /// The stream of one direction is complete: its FIN is in order and all before it was delivered.
    Finished {
        /// Which way.
        direction: Direction,
    },
    /// A FIN was seen (facts in [`HalfFacts::fin`]).
    Fin {
        /// Who sent it: its direction.
        direction: Direction,
    },
    /// A RST was seen (facts in [`Trouble::reset`]): the first of its direction, and the first that the
    /// receiver accepts where that is a later one. What was buffered is told before.
    Reset {
        /// Who sent it: its direction.
        direction: Direction,
    },
    /// A segment without payload lies beyond all that was seen of its direction: bytes were sent before it that never came
    /// to the place of the capture, or that the capture lost (facts in [`HalfFacts::reached`]).
    Ahead {
        /// Which way.
        direction: Direction,
    },
    /// A sender's timestamps (RFC 7323) show that the capture's clock has leapt ahead before this frame.
    ClockLeap {
        /// By how much, nanoseconds.
        nanos: i64,
    },
    /// The connection left the table. The last event of a connection.
    Ended(Ending),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_fill_a_class_of_the_allocator() {
        // With the counts of an `Arc`; a byte more takes a fifth more memory, tens of thousands of times.
        assert!(size_of::<Connection>() + 16 <= 640);
    }
}
