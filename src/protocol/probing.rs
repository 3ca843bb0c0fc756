//! Telling a protocol by the first bytes of both sides. In: those bytes. Out: the row that claims them.
//!
//! The rule: at most [`PROBE_MAX`] bytes of a side wait, in the order in which they came.

use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::Seen;
use crate::protocol::parser::{Data, Output, PROBE_MAX, Row, Verdict};
use crate::protocol::proxy_protocol::{Header, header};
use crate::protocol::turns::Turns;

/// The first bytes of both sides, and the order in which they came.
#[derive(Debug, Default)]
pub struct Probing {
    /// What waits, in the order in which it came.
    pub held: Vec<Held>,
    /// The server spoke first, and was told as unsolicited.
    pub banner: bool,
    /// Whether it is known if the client began with a PROXY header.
    begun: bool,
}

/// Bytes that wait.
#[derive(Debug)]
pub struct Held {
    /// Which way.
    pub direction: Direction,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their frame.
    pub carried: Mark,
    offset: u64,
}

impl Held {
    /// Copies bytes to wait.
    #[must_use]
    pub fn of(data: Data<'_>) -> Self {
        Self {
            direction: data.direction,
            offset: data.offset,
            bytes: data.bytes.to_vec(),
            carried: data.carried,
        }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn data(&self) -> Data<'_> {
        Data {
            direction: self.direction,
            offset: self.offset,
            bytes: &self.bytes,
            carried: self.carried,
        }
    }
}

impl Probing {
    /// A reader for a stream that no row claims.
    #[must_use]
    pub fn turns(&self) -> Turns {
        if self.banner {
            Turns::after_banner()
        } else {
            Turns::default()
        }
    }

    /// Takes a PROXY header off the client's first bytes and tells it. Gives what is left of `data`; `None`
    /// where all of it was header, or waits to become one.
    pub fn after_header<'a>(&mut self, data: Data<'a>, out: &mut Output<'_>) -> Option<Data<'a>> {
        if self.begun || data.direction == Direction::ToClient {
            return Some(data);
        }
        let mine = |held: &&Held| held.direction == Direction::ToServer;
        let held: Vec<u8> = self
            .held
            .iter()
            .filter(mine)
            .flat_map(|held| held.bytes.iter().copied())
            .collect();
        let found = if held.is_empty() {
            header(data.bytes)
        } else {
            header(&[&held, data.bytes].concat())
        };
        match found {
            Header::No => {
                self.begun = true;
                Some(data)
            }
            Header::Part => {
                self.held.push(Held::of(data));
                None
            }
            Header::Whole { version, len } => {
                self.begun = true;
                self.held
                    .retain(|held| held.direction == Direction::ToClient);
                let (connection, at) = (out.id(), data.carried);
                out.tell(Seen::ProxyHeader {
                    connection,
                    version,
                    at,
                });
                let rest = data.after(len.saturating_sub(held.len()));
                (!rest.bytes.is_empty()).then_some(rest)
            }
        }
    }

    /// Asks every protocol. Gives the one that claims the stream, or whether one may still do so.
    pub fn judge(&self, parsers: &'static [Row], data: &Data<'_>) -> (Option<&'static Row>, bool) {
        let mut room = ([0; PROBE_MAX], [0; PROBE_MAX]);
        let client = self.first_bytes(Direction::ToServer, data, &mut room.0);
        let server = self.first_bytes(Direction::ToClient, data, &mut room.1);
        let mut open = false;
        for row in parsers {
            match (row.probe)(client, server) {
                Verdict::Yes => return (Some(row), true),
                Verdict::More => open = true,
                Verdict::No => {}
            }
        }
        let full = client.len() >= PROBE_MAX || server.len() >= PROBE_MAX;
        (None, open && !full)
    }

    fn first_bytes<'a>(
        &self,
        direction: Direction,
        data: &Data<'a>,
        room: &'a mut [u8; PROBE_MAX],
    ) -> &'a [u8] {
        let held = self.held.iter().filter(|held| held.direction == direction);
        let new = if data.direction == direction {
            data.bytes
        } else {
            &[]
        };
        if held.clone().next().is_none() {
            return new.get(..PROBE_MAX).unwrap_or(new);
        }
        let bytes = held.flat_map(|held| held.bytes.iter()).chain(new);
        let mut len = 0;
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
            len += 1;
        }
        room.get(..len).unwrap_or_default()
    }
}
