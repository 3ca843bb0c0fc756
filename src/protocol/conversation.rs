//! One connection from its first event to its last. In: stream events. Out: observations.
//!
//! The rule: until a protocol is known its bytes wait, a few of each side; then one
//! parser reads all that follows. A stream joined in the middle waits for a place where a message starts.

use std::sync::Arc;

use crate::flow::Direction;
use crate::protocol::nested::{Offsets, pieces};
use crate::protocol::observation::{ConnectionEvent, PREFIX_MAX, Protocol, Seen};
use crate::protocol::parser::{After, Beginning, Data, Hole, Inner, Output, Parser, Row, Stop};
use crate::protocol::probing::{Held, Probing};
use crate::protocol::turns::Turns;
use crate::tcp::event::{Connection, Ending, GapReason, StreamEvent};

/// Most gaps of one connection that are told one by one. A short snap length leaves one in every segment;
/// the facts of later events carry the totals.
pub const GAPS_TOLD_MAX: u32 = 16;

/// Most times that the speaker changes on a stream joined in the middle before it is taken for unknown:
/// with any protocol that can be joined, a message has started by then.
pub const CHANGES_MAX: u8 = 6;

/// Most streams that lie inside of each other and are read: TLS, and TLS through a proxy inside of it.
pub const DEPTH_MAX: u8 = 2;

/// Per-connection state, kept by the connection table. The default has seen nothing yet.
#[derive(Default)]
pub struct Conversation {
    stage: Stage,
    next_index: u32,
    gaps_told: u32,
    client_closed: bool,
    /// How many streams this one lies inside of.
    depth: u8,
    /// What is read inside of this stream, and where it lies there.
    nested: Option<Box<(Conversation, Offsets)>>,
    /// The facts that were told of the opening, until others are: a SYN that nobody answers ends with the same, and a flood
    /// has millions of them.
    opening: Option<Arc<Connection>>,
}

#[derive(Default)]
enum Stage {
    /// Nothing was said yet.
    #[default]
    Silent,
    /// The first bytes do not tell the protocol yet.
    Probing(Probing),
    /// The beginning was not captured, and no message has started since.
    Joining {
        changes: u8,
        speaker: Option<Direction>,
    },
    Reading(Box<dyn Parser>),
    /// All was read, and nothing is left to be told: the table remembers the connection for some seconds more.
    Over,
}

impl Conversation {
    /// Takes one event of its connection and pushes observations; `parsers` is the register of protocols.
    pub(super) fn take(
        &mut self,
        parsers: &'static [Row],
        event: StreamEvent<'_>,
        out: &mut Output<'_>,
    ) {
        self.step(parsers, event, out);
        self.read_inner(parsers, out);
    }

    /// The number of the next exchange.
    pub(super) const fn next_index(&self) -> u32 {
        self.next_index
    }

    /// Notes the number of the next exchange.
    pub(super) const fn set_next_index(&mut self, index: u32) {
        self.next_index = index;
    }

    /// A conversation inside of another one.
    fn inside(depth: u8) -> Self {
        Self {
            depth,
            ..Self::default()
        }
    }

    /// Reads what the parser found inside of its stream.
    fn read_inner(&mut self, parsers: &'static [Row], out: &mut Output<'_>) {
        if out.inner.is_empty() {
            return;
        }
        let found = std::mem::take(&mut out.inner);
        if self.depth >= DEPTH_MAX {
            out.loss.add("tls_inside_tls_not_read", found.len() as u64);
            return;
        }
        let depth = self.depth;
        let nested = self.nested.get_or_insert_with(|| {
            Box::new((Self::inside(depth.saturating_add(1)), Offsets::default()))
        });
        let (inside, offsets) = nested.as_mut();
        for one in found {
            let told = out.told();
            let piece = offsets.note(&one);
            match &one {
                Inner::Data {
                    direction,
                    bytes,
                    range,
                    places,
                    ..
                } => {
                    let pieces = pieces(*direction, piece, bytes, range, places, out.seen);
                    for data in pieces {
                        inside.on_data(parsers, data, out);
                        inside.read_inner(parsers, out);
                    }
                }
                Inner::Missing {
                    direction,
                    len,
                    reason,
                    ..
                } => {
                    let hole = Hole {
                        direction: *direction,
                        offset: piece,
                        len: *len,
                        reason: *reason,
                    };
                    inside.on_gap(hole, out);
                    inside.read_inner(parsers, out);
                }
            }
            offsets.translate(out.since(told));
        }
    }

    fn on_finished(&mut self, parsers: &'static [Row], direction: Direction, out: &mut Output<'_>) {
        self.client_closed |= direction == Direction::ToServer;
        self.decide(out);
        if let Stage::Reading(parser) = &mut self.stage {
            parser.on_finished(direction, out);
            if parser.is_over() {
                self.stage = Stage::Over;
            }
        }
        self.read_inner(parsers, out);
        if let Some(nested) = &mut self.nested {
            let (inside, offsets) = nested.as_mut();
            let told = out.told();
            inside.on_finished(parsers, direction, out);
            offsets.translate(out.since(told));
        }
    }

    fn step(&mut self, parsers: &'static [Row], event: StreamEvent<'_>, out: &mut Output<'_>) {
        match event {
            StreamEvent::Opened { facts, .. } => {
                let event = ConnectionEvent::Opened;
                self.opening = Some(Arc::clone(&facts));
                out.tell(Seen::Connection { event, facts });
            }
            StreamEvent::Syn => self.tell(ConnectionEvent::Syn, out),
            StreamEvent::Established => self.tell(ConnectionEvent::Established, out),
            StreamEvent::Joined => self.tell(ConnectionEvent::Joined, out),
            StreamEvent::Data {
                direction,
                offset,
                bytes,
                carried,
            } => {
                let data = Data {
                    direction,
                    offset,
                    bytes,
                    carried,
                };
                if !bytes.is_empty() {
                    self.on_data(parsers, data, out);
                }
            }
            StreamEvent::Gap {
                direction,
                offset,
                len,
                reason,
            } => {
                self.tell_gap(direction, reason, out);
                let hole = Hole {
                    direction,
                    offset,
                    len,
                    reason,
                };
                self.on_gap(hole, out);
            }
            StreamEvent::Fin { direction } => {
                self.tell(ConnectionEvent::Fin(direction), out);
                self.tell_hidden(out);
            }
            StreamEvent::Finished { direction } => self.on_finished(parsers, direction, out),
            StreamEvent::Reset { direction } => {
                self.tell(ConnectionEvent::Reset(direction), out);
                self.tell_hidden(out);
                // A RST out of sequence closes nothing by itself (RFC 5961): wait for the ending.
                let reset = out.connection.half(direction).reset.as_ref();
                if reset.is_none_or(|reset| reset.in_sequence) {
                    self.stop(parsers, Stop::Reset, out);
                }
            }
            StreamEvent::Ahead { direction } => self.tell(ConnectionEvent::Ahead(direction), out),
            StreamEvent::ClockLeap { nanos } => {
                let at = out.seen;
                out.tell(Seen::ClockStep { at, nanos });
            }
            StreamEvent::Ended(ending) => {
                self.stop(parsers, stop_of(ending, out.connection), out);
                self.tell(ConnectionEvent::Ended(ending), out);
            }
        }
    }

    fn on_data(&mut self, parsers: &'static [Row], data: Data<'_>, out: &mut Output<'_>) {
        if let Stage::Silent = self.stage {
            self.stage = if out.connection.roles_known {
                Stage::Probing(Probing::default())
            } else {
                Stage::Joining {
                    changes: 0,
                    speaker: None,
                }
            };
        }
        match &mut self.stage {
            Stage::Reading(_) | Stage::Silent | Stage::Over => self.read(data, out),
            Stage::Probing(_) => self.probe(parsers, data, out),
            Stage::Joining { .. } => self.join(parsers, data, out),
        }
    }

    fn read(&mut self, data: Data<'_>, out: &mut Output<'_>) {
        let Stage::Reading(parser) = &mut self.stage else {
            return;
        };
        if let After::Next { taken, early } = parser.on_data(data, out) {
            let (connection, protocol) = (out.id(), Protocol::Unknown);
            out.tell(Seen::Protocol {
                connection,
                protocol,
            });
            let mut turns = Turns::after_switch(early, out);
            if self.client_closed {
                turns.finished(Direction::ToServer, out);
            }
            self.stage = Stage::Reading(Box::new(turns));
            let rest = data.after(taken);
            if !rest.bytes.is_empty() {
                self.read(rest, out);
            }
        }
    }

    fn probe(&mut self, parsers: &'static [Row], data: Data<'_>, out: &mut Output<'_>) {
        let Stage::Probing(probing) = &mut self.stage else {
            return;
        };
        let Some(data) = probing.after_header(data, out) else {
            return;
        };
        let (found, open) = probing.judge(parsers, &data);
        let held = std::mem::take(&mut probing.held);
        if let Some(row) = found {
            self.start(
                row.protocol,
                (row.start)(Beginning::First),
                &held,
                Some(data),
                out,
            );
            return;
        }
        let client_spoke = data.direction == Direction::ToServer
            || held
                .iter()
                .any(|held| held.direction == Direction::ToServer);
        if open {
            probing.held = held;
            probing.held.push(Held::of(data));
        } else if client_spoke {
            let turns = Box::new(probing.turns());
            self.start(Protocol::Unknown, turns, &held, Some(data), out);
        } else {
            // A banner: tell it now, and let the client's first words tell the protocol.
            if !probing.banner {
                let new = data.bytes.get(..PREFIX_MAX).unwrap_or(data.bytes);
                let held_bytes = held.iter().flat_map(|held| &held.bytes);
                let banner: Vec<u8> = held_bytes.chain(new).copied().collect();
                let at = held.first().map_or(data.carried, |held| held.carried);
                out.unsolicited(&banner, at);
            }
            probing.banner = true;
        }
    }

    fn join(&mut self, parsers: &'static [Row], data: Data<'_>, out: &mut Output<'_>) {
        let Stage::Joining { changes, speaker } = &mut self.stage else {
            return;
        };
        let joins = |direction| {
            parsers
                .iter()
                .find(|row| (row.joins)(direction, data.bytes))
        };
        if let Some(row) = joins(data.direction) {
            let parser = (row.start)(Beginning::Middle);
            self.start(row.protocol, parser, &[], Some(data), out);
            return;
        }
        let turned = joins(data.direction.opposite()).is_some();
        if turned {
            out.loss.add("roles_inferred_wrongly", 1);
        }
        if speaker.replace(data.direction) != Some(data.direction) {
            *changes = changes.saturating_add(1);
        }
        if turned || *changes > CHANGES_MAX {
            let turns = Box::new(Turns::default());
            self.start(Protocol::Unknown, turns, &[], Some(data), out);
        } else {
            out.loss
                .add("bytes_before_first_message", data.bytes.len() as u64);
        }
    }

    /// Gives the connection to a parser, with what waited for it.
    fn start(
        &mut self,
        protocol: Protocol,
        parser: Box<dyn Parser>,
        held: &[Held],
        data: Option<Data<'_>>,
        out: &mut Output<'_>,
    ) {
        let connection = out.id();
        // What cannot be read inside of TLS either leaves the connection what it was: TLS.
        if self.depth == 0 || protocol == Protocol::Http1 {
            out.tell(Seen::Protocol {
                connection,
                protocol,
            });
        }
        self.stage = Stage::Reading(parser);
        for data in held.iter().map(Held::data).chain(data) {
            self.read(data, out);
        }
    }

    /// The stream ends or has a hole before its protocol is known: what waited is a turn of an unknown one.
    fn decide(&mut self, out: &mut Output<'_>) {
        if let Stage::Probing(probing) = &mut self.stage
            && !probing.held.is_empty()
        {
            let held = std::mem::take(&mut probing.held);
            let turns = Box::new(probing.turns());
            self.start(Protocol::Unknown, turns, &held, None, out);
        }
    }

    fn on_gap(&mut self, hole: Hole, out: &mut Output<'_>) {
        self.decide(out);
        match &mut self.stage {
            Stage::Reading(parser) => parser.on_gap(hole, out),
            Stage::Silent | Stage::Probing(_) => {
                self.stage = Stage::Joining {
                    changes: 0,
                    speaker: None,
                };
            }
            Stage::Joining { .. } | Stage::Over => {}
        }
    }

    fn stop(&mut self, parsers: &'static [Row], stop: Stop, out: &mut Output<'_>) {
        self.decide(out);
        if let Stage::Reading(parser) = &mut self.stage {
            parser.on_stop(stop, out);
        }
        self.read_inner(parsers, out);
        if let Some(nested) = &mut self.nested {
            let (inside, offsets) = nested.as_mut();
            let told = out.told();
            inside.stop(parsers, stop, out);
            offsets.translate(out.since(told));
        }
    }

    /// What the numbers of a closing segment tell of a connection whose payload a filter kept out: that something was
    /// asked, and whether anything was answered. It counts as one exchange, however many it held.
    fn tell_hidden(&mut self, out: &mut Output<'_>) {
        let facts = out.connection;
        let asked = facts.flags_only && facts.from_client.hidden > 0;
        if !asked || !matches!(self.stage, Stage::Silent) {
            return;
        }
        let answered = facts.from_server.hidden > 0;
        let began = facts.from_server.syns.last().copied();
        let began = began.unwrap_or(facts.opened);
        let (connection, protocol) = (out.id(), Protocol::Hidden);
        out.tell(Seen::Protocol {
            connection,
            protocol,
        });
        let index = out.new_exchange();
        out.request_start(index, 0, began);
        if answered {
            out.response_start(index, out.seen);
        }
        self.stage = Stage::Joining {
            changes: 0,
            speaker: None,
        };
    }

    /// Tells what happened to the connection, with its facts as of now.
    fn tell(&mut self, event: ConnectionEvent, out: &mut Output<'_>) {
        let told = self.opening.take();
        let ended = matches!(event, ConnectionEvent::Ended(_));
        let facts = told
            .filter(|told| ended && **told == *out.connection)
            .unwrap_or_else(|| Arc::new(out.connection.clone()));
        out.tell(Seen::Connection { event, facts });
    }

    fn tell_gap(&mut self, direction: Direction, reason: GapReason, out: &mut Output<'_>) {
        // Of cut frames the first one says it all.
        let told_max = match reason {
            GapReason::Snapped => 2,
            GapReason::Lost => GAPS_TOLD_MAX,
            // No frame is missing that the capture was to hold.
            GapReason::Hidden => return,
        };
        if self.gaps_told < told_max {
            self.gaps_told += 1;
            self.tell(ConnectionEvent::Gap(direction), out);
        } else {
            out.loss.add("gaps_not_told_one_by_one", 1);
        }
    }
}

/// Why the messages that are open at the end of a connection are.
fn stop_of(ending: Ending, connection: &Connection) -> Stop {
    match ending {
        Ending::Reset(_) | Ending::Refused => Stop::Reset,
        Ending::Closed(_) => Stop::Closed,
        Ending::Idle | Ending::Open | Ending::Unanswered => {
            let reset = [&connection.from_client.reset, &connection.from_server.reset];
            if reset.iter().any(|reset| reset.is_some()) {
                Stop::Reset
            } else {
                Stop::Unseen
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::playbook::Play;
    use Direction::{ToClient, ToServer};

    fn connection_events(play: &Play) -> Vec<ConnectionEvent> {
        play.told
            .iter()
            .filter_map(|told| match told.what {
                Seen::Connection { event, .. } => Some(event),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_happens_to_a_connection_is_told_with_its_end_last() {
        let mut play = Play::new();
        let facts = Arc::new(play.connection.clone());
        play.event(StreamEvent::Opened { syn: true, facts });
        play.event(StreamEvent::Established);
        play.client("GET / HTTP/1.1\r\n\r\n").reset(ToClient);
        play.ends(Ending::Reset(ToClient));
        assert_eq!(
            connection_events(&play),
            [
                ConnectionEvent::Opened,
                ConnectionEvent::Established,
                ConnectionEvent::Reset(ToClient),
                ConnectionEvent::Ended(Ending::Reset(ToClient)),
            ]
        );
        assert!(matches!(
            play.told.last().unwrap().what,
            Seen::Connection { .. }
        ));
    }

    #[test]
    fn gaps_are_told_up_to_a_limit() {
        let mut play = Play::new();
        play.client("GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
        for _ in 0..100 {
            play.gap(ToServer, 10);
        }
        assert_eq!(connection_events(&play).len(), GAPS_TOLD_MAX as usize);
        assert_eq!(play.loss.get("gaps_not_told_one_by_one"), 84);
    }

    #[test]
    fn bytes_that_never_told_their_protocol_are_a_turn() {
        let mut play = Play::new();
        play.client("GE").fin(ToServer).fin(ToClient);
        play.tells(
            "Unknown
            0 request at 0
            0 request Complete 2 to 2
            0 response Nothing 0 to 0",
        );
    }

    #[test]
    fn a_lost_beginning_is_waited_for_and_then_given_up() {
        let mut play = Play::new();
        play.gap(ToServer, 100).client("tail").server("x");
        assert!(play.lines().is_empty());
        play.client("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(play.lines()[..2], ["Http1", "0 request at 104"]);
        let mut play = Play::joined();
        for _ in 0..8 {
            play.client("?").server("!");
        }
        assert_eq!(play.lines()[0], "Unknown");
        assert!(play.loss.get("bytes_before_first_message") > 0);
    }
}
