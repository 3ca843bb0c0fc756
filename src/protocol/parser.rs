//! What a protocol is to this room. In: the stream events of one connection. Out: observations.
//!
//! The rule: a parser sees both directions of one connection in stream order, keeps bounded state, and
//! tells a thing when it is seen. It knows nothing of other connections and never reads a clock.

use crate::capture::Keys;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::loss::Loss;
use crate::protocol::observation::{
    Completion, ExchangeId, MessageEnd, Observation, PREFIX_MAX, Protocol, Seen,
};
use crate::tcp::event::{Connection, ConnectionId, GapReason};

/// Most bytes of a direction that a probe is shown. The longest decision is an unknown method and the
/// first byte of its target.
pub const PROBE_MAX: usize = 64;

/// What a probe says of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this protocol.
    Yes,
    /// It is not.
    No,
    /// More bytes are needed.
    More,
}

/// One row of the register of protocols.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name in observations.
    pub protocol: Protocol,
    /// Judges the first bytes of the client and of the server, at most [`PROBE_MAX`] each.
    pub probe: fn(client: &[u8], server: &[u8]) -> Verdict,
    /// Whether a segment that starts so is a place where a stream of this protocol can be joined, when
    /// its beginning was not captured.
    pub joins: fn(direction: Direction, segment: &[u8]) -> bool,
    /// Makes a parser for a stream.
    pub start: fn(Beginning) -> Box<dyn Parser>,
}

/// Where a parser starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// At the first byte of both directions.
    First,
    /// Somewhere in the middle: earlier bytes were not captured.
    Middle,
}

/// New in-order bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Which way.
    pub direction: Direction,
    /// Stream offset of the first byte.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// The frame that carried them.
    pub carried: Mark,
}

impl<'a> Data<'a> {
    /// The same without its first `count` bytes.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        Self {
            offset: self.offset.saturating_add(count as u64),
            bytes: self.bytes.get(count..).unwrap_or_default(),
            ..self
        }
    }
}

/// Bytes that the capture does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Hole {
    /// Which way.
    pub direction: Direction,
    /// Stream offset of the first missing byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Why.
    pub reason: GapReason,
}

/// Why no more of a message will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its sender closed by FIN.
    Closed,
    /// Either side reset the connection.
    Reset,
    /// The capture, or the table's patience, ended.
    Unseen,
}

impl Stop {
    /// How a message ends that was stopped inside its head.
    #[must_use]
    pub const fn in_head(self) -> Completion {
        match self {
            Self::Closed => Completion::HeadClosed,
            Self::Reset => Completion::HeadReset,
            Self::Unseen => Completion::CaptureEnded,
        }
    }

    /// How a message ends that was stopped inside its body.
    #[must_use]
    pub const fn in_body(self) -> Completion {
        match self {
            Self::Closed => Completion::BodyClosed,
            Self::Reset => Completion::BodyReset,
            Self::Unseen => Completion::CaptureEnded,
        }
    }
}

/// What the conversation shall do after a parser took some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Keep this parser.
    Stay,
    /// The stream became something else after the first `taken` of the given bytes. `early` tells of
    /// client bytes that were already seen of what follows.
    Next {
        /// How many of the given bytes still belonged to this parser.
        taken: usize,
        /// Bytes of the client that came before the switch and belong after it.
        early: Option<Early>,
    },
}

/// Client bytes that a parser set aside because they belong to what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Early {
    /// Stream offset of the first of them.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// The frame of the first.
    pub first: Mark,
    /// The frame of the last.
    pub last: Mark,
}

/// What a parser found inside of its stream, for a parser of what is inside.
#[derive(Debug)]
pub enum Inner {
    /// Bytes.
    Data {
        /// Which way.
        direction: Direction,
        /// They lie in here.
        bytes: Vec<u8>,
        /// Where they start and end in `bytes`.
        range: std::ops::Range<usize>,
        /// How far `bytes` had come with each frame, in order.
        places: Vec<(usize, Mark)>,
        /// What carried them: stream offsets of its first byte and after its last.
        outer: (u64, u64),
    },
    /// Bytes that cannot be read.
    Missing {
        /// Which way.
        direction: Direction,
        /// How many, where nothing padded them.
        len: u64,
        /// Stream offsets of what carried them.
        outer: (u64, u64),
        /// Why.
        reason: GapReason,
    },
}

/// A reader of one connection in one protocol.
pub trait Parser: Send {
    /// Takes new bytes.
    fn on_data(&mut self, data: Data<'_>, out: &mut Output<'_>) -> After;
    /// Takes note of missing bytes.
    fn on_gap(&mut self, hole: Hole, out: &mut Output<'_>);
    /// The stream of one direction is complete: its FIN came in order.
    fn on_finished(&mut self, direction: Direction, out: &mut Output<'_>);
    /// No more bytes will come either way; what is still open ends for the given reason.
    fn on_stop(&mut self, stop: Stop, out: &mut Output<'_>);
    /// Whether both directions are complete and nothing is left to be told, so that it need not be kept.
    fn is_over(&self) -> bool {
        false
    }
}

/// Where a parser tells what it sees.
pub struct Output<'a> {
    /// The connection, its facts as of now.
    pub connection: &'a Connection,
    /// The frame being processed.
    pub seen: Mark,
    /// What could not be kept or read.
    pub loss: &'a mut Loss,
    /// Secrets that were given.
    pub keys: &'a Keys,
    /// What was found inside and is still to be read there.
    pub inner: Vec<Inner>,
    observations: &'a mut Vec<Observation>,
    next_index: &'a mut u32,
}

impl<'a> Output<'a> {
    /// Makes an output; `next_index` is the number of the connection's next exchange.
    pub fn new(
        connection: &'a Connection,
        seen: Mark,
        keys: &'a Keys,
        observations: &'a mut Vec<Observation>,
        loss: &'a mut Loss,
        next_index: &'a mut u32,
    ) -> Self {
        Self {
            connection,
            seen,
            loss,
            keys,
            inner: Vec::new(),
            observations,
            next_index,
        }
    }

    /// The connection's name.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.connection.id
    }

    /// Tells one thing.
    pub fn tell(&mut self, what: Seen) {
        self.observations.push(Observation {
            seen: self.seen,
            what,
        });
    }

    /// How many observations there are; with [`Output::since`], what a parser tells can be looked over.
    #[must_use]
    pub fn told(&self) -> usize {
        self.observations.len()
    }

    /// The observations since there were so many.
    pub fn since(&mut self, told: usize) -> &mut [Observation] {
        self.observations.get_mut(told..).unwrap_or_default()
    }

    /// The number of a new exchange of this connection.
    pub fn new_exchange(&mut self) -> u32 {
        let index = *self.next_index;
        *self.next_index = index.saturating_add(1);
        index
    }

    /// The full name of an exchange of this connection.
    #[must_use]
    pub fn exchange(&self, index: u32) -> ExchangeId {
        ExchangeId {
            connection: self.id(),
            index,
        }
    }

    /// Tells that the first byte of a request was seen.
    pub fn request_start(&mut self, index: u32, offset: u64, at: Mark) {
        let exchange = self.exchange(index);
        self.tell(Seen::RequestStart {
            exchange,
            offset,
            at,
        });
    }

    /// Tells how a request ended.
    pub fn request_end(&mut self, index: u32, end: MessageEnd) {
        let exchange = self.exchange(index);
        self.tell(Seen::RequestEnd { exchange, end });
    }

    /// Tells that the first byte of a response was seen.
    pub fn response_start(&mut self, index: u32, at: Mark) {
        let exchange = self.exchange(index);
        self.tell(Seen::ResponseStart { exchange, at });
    }

    /// Tells how a response ended.
    pub fn response_end(&mut self, index: u32, end: MessageEnd, prefix: Box<[u8]>) {
        let exchange = self.exchange(index);
        self.tell(Seen::ResponseEnd {
            exchange,
            end,
            prefix,
        });
    }

    /// Tells of bytes that no request asked for; at most [`PREFIX_MAX`] of them are kept.
    pub fn unsolicited(&mut self, bytes: &[u8], at: Mark) {
        let connection = self.id();
        self.tell(Seen::Unsolicited {
            connection,
            prefix: prefix_of(bytes),
            at,
        });
    }
}

/// The first bytes, at most [`PREFIX_MAX`].
#[must_use]
pub fn prefix_of(bytes: &[u8]) -> Box<[u8]> {
    bytes.get(..PREFIX_MAX).unwrap_or(bytes).into()
}

/// An end without a body.
#[must_use]
pub fn bare_end(how: Completion, end_offset: u64, at: Mark) -> MessageEnd {
    MessageEnd {
        how,
        end_offset,
        body_len: 0,
        body_hash: 0,
        at,
    }
}
