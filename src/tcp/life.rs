//! How a connection ends. In: FINs, RSTs, silence. Out: the name of the ending.
//!
//! The rule: what was seen decides; a connection that merely left the table has not been closed by anyone.

use crate::flow::Direction;
use crate::tcp::event::{Connection, Ending};

/// How far a connection has come to its end.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Set once it has ended, as far as the wire goes.
    pub closed: Option<Ending>,
    /// Whose FIN was seen first.
    pub first_fin: Option<Direction>,
    /// The latest segment was a RST of that direction.
    pub last_was_reset: Option<Direction>,
    /// Its opening was told.
    pub opened: bool,
}

/// Why a connection leaves the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It was silent for too long, its ports are used anew, or there is no room.
    Table,
    /// The capture is over.
    Capture,
}

impl Life {
    /// How a connection ended that leaves the table now.
    pub(super) fn ending(&self, facts: &Connection, leaving: Leaving) -> Ending {
        if let Some(ending) = self.closed {
            return ending;
        }
        let answered = !is_unanswered(facts);
        match (self.last_was_reset, leaving) {
            // Nothing came after it: it has ended the connection, whatever its number.
            (Some(Direction::ToClient), _) if !answered => Ending::Refused,
            (Some(direction), _) => Ending::Reset(direction),
            (None, _) if !answered && !facts.from_client.syns.is_empty() => Ending::Unanswered,
            (None, Leaving::Capture) => Ending::Open,
            (None, Leaving::Table) => Ending::Idle,
        }
    }
}

/// Whether the server has sent nothing but RSTs.
pub(super) fn is_unanswered(facts: &Connection) -> bool {
    facts.established.is_none()
        && facts.from_server.syns.is_empty()
        && facts.from_server.first_data.is_none()
}

/// The initial sequence number of a direction, where its SYN was seen.
pub(super) fn initial_sequence(facts: &Connection, direction: Direction) -> Option<u32> {
    match direction {
        Direction::ToServer => facts.initial_sequences.0,
        Direction::ToClient => facts.initial_sequences.1,
    }
}

/// Payload bytes that the receiver of `direction` has sent, as seen so far.
pub(super) fn peer_sent(facts: &Connection, direction: Direction) -> i64 {
    facts.half(direction.opposite()).sent.cast_signed()
}
