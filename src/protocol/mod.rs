//! From streams to what was said: requests, responses, handshakes, lookups.
//!
//! In: stream events of connections, and datagrams. Out: observations. Adding a protocol is one file and
//! one row in [`PARSERS`]. What no row claims is still told, as turns of an unknown protocol.

pub mod conversation;
pub mod dns;
pub mod http1;
pub mod icmp;
pub mod kept;
pub mod lookup;
mod nested;
pub mod observation;
pub mod parser;
#[cfg(test)]
mod playbook;
mod probing;
mod proxy_protocol;
pub mod tally;
pub mod tls;
pub mod turns;

use crate::capture::Keys;
use crate::frame::Mark;
use crate::loss::Loss;
use crate::tcp::event::{Connection, StreamEvent};

pub use conversation::Conversation;
pub use http1::method::looks_like_request;
pub use icmp::IcmpErrors;
pub use lookup::Lookups;
use observation::{Observation, Protocol};
use parser::{Output, Row};

/// The protocols, in the order in which they are asked.
pub const PARSERS: &[Row] = &[
    Row {
        protocol: Protocol::Http1,
        probe: http1::method::probe,
        joins: http1::Http1::joins,
        start: http1::Http1::start,
    },
    Row {
        protocol: Protocol::Tls,
        probe: tls::Tls::probe,
        joins: tls::Tls::joins,
        start: tls::Tls::start,
    },
    Row {
        protocol: Protocol::Http2,
        probe: turns::probe_http2,
        joins: turns::never_joins,
        start: turns::Turns::start,
    },
];

impl Conversation {
    /// Takes one event of its connection (`seen` is the frame being processed) and pushes observations.
    /// What is encrypted is decrypted where `keys` has its secrets. What is not kept or not readable is counted in `loss`.
    pub fn on_event(
        &mut self,
        connection: &Connection,
        seen: Mark,
        event: StreamEvent<'_>,
        keys: &Keys,
        out: &mut Vec<Observation>,
        loss: &mut Loss,
    ) {
        let mut index = self.next_index();
        let mut out = Output::new(connection, seen, keys, out, loss, &mut index);
        self.take(PARSERS, event, &mut out);
        drop(out);
        self.set_next_index(index);
    }
}
