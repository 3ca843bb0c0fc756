//! The inside of one TLS connection. In: its records, as far as they are whole, and where records are missing. Out: what each
//! record holds, and pieces of the stream inside.
//!
//! The rule: the stream inside has a hole where a record is missing, and the hole is as long as what is missing: its records
//! are counted by their sequence numbers. Early data wait until the server has said that it takes them
//! (RFC 8446, section 4.2.10).

use crate::capture::Keys;
use crate::flow::Direction;
use crate::loss::{Loss, LossName};
use crate::protocol::observation::NotDecrypted;
use crate::protocol::parser::Inner;
use crate::protocol::tls::handshake::Handshake;
use crate::protocol::tls::open::{Hello, Opened, Opening, Plain};
use crate::protocol::tls::record::{APPLICATION_DATA, Record};
use crate::tcp::event::GapReason;

/// Length of a record's header.
const HEADER_LEN: u64 = 5;

/// Most early data that wait, bytes: servers take 16 kB at most unless they are told otherwise. What is beyond is
/// [`NOT_KEPT`], and a hole of the stream inside.
const EARLY_MAX: usize = 64 * 1024;

/// Bytes of early data beyond [`EARLY_MAX`] that a server took.
const NOT_KEPT: LossName = "tls_early_data_bytes_not_kept";
/// Most pieces of it: records may be empty.
const EARLY_PIECES_MAX: usize = 4_096;
/// Bytes of early data of which nobody saw whether the server took them.
const UNDECIDED: LossName = "tls_early_data_bytes_undecided";
/// Holes in which keys changed, so that how much they held is not known to the byte.
const UNCERTAIN: LossName = "tls_holes_of_uncertain_length";

/// What is read of one connection. Without secrets it stays empty.
#[derive(Debug, Default)]
pub struct Inside {
    state: Option<Box<State>>,
    /// It was given up, or never begun: no other handshake of the connection is looked at.
    over: bool,
}

#[derive(Debug)]
struct State {
    opening: Opening,
    to_server: Side,
    to_client: Side,
    early: Vec<Inner>,
    /// Bytes of data in `early`.
    early_bytes: usize,
    /// How much of early data was not kept after that.
    early_cut: u64,
}

#[derive(Debug, Default)]
struct Side {
    /// Where the first record is missing, and why.
    gap: Option<(u64, GapReason)>,
}

/// What became of a record.
#[derive(Debug)]
pub enum Read {
    /// It is nobody's business here: in clear, or not to be decrypted.
    Not(Record),
    /// It was read: its payload is what it held, of this type.
    Yes(Record, u8),
    /// It was read, and holds early data: the handshake is not over.
    Early,
    /// It is sealed, and nothing is known of it.
    Unknown,
    /// Its secrets are not here yet.
    Wait(Record),
    /// It cannot be read, and nothing after it.
    Never(Record, NotDecrypted),
}

impl Inside {
    /// Whether the payload of all records is wanted.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.state.is_some()
    }

    /// Whether a record was decrypted.
    #[must_use]
    pub fn has_read(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.opening.has_read())
    }

    /// The handshake was not captured: gives the reason to tell, once, where secrets were given.
    pub fn joined(&mut self, keys: &Keys) -> Option<NotDecrypted> {
        let first = !std::mem::replace(&mut self.over, true);
        (first && keys.are_given() && self.state.is_none()).then_some(NotDecrypted::Joined)
    }

    /// A message was read, in clear or out of a sealed record: `raw` with its header.
    pub fn said(&mut self, direction: Direction, said: &Handshake, raw: &[u8], keys: &Keys) {
        match (said, direction, &mut self.state) {
            (Handshake::ClientHello(hello), Direction::ToServer, state) => match state {
                Some(state) => state.opening.client_hello(hello.random),
                None if keys.are_given() && !self.over => {
                    self.state = Some(Box::new(State::new(Opening::new(
                        hello.random,
                        hello.early_data,
                        keys,
                    ))));
                }
                None => {}
            },
            (Handshake::ServerHello(hello), Direction::ToClient, Some(state)) => {
                if hello.is_retry {
                    state.opening.retry();
                    state.forget_early();
                } else {
                    state.opening.server_hello(Hello {
                        version: hello.version,
                        suite: hello.suite,
                        random: hello.random,
                        encrypt_then_mac: hello.encrypt_then_mac,
                        extended_master_secret: hello.extended_master_secret,
                    });
                }
            }
            (Handshake::EncryptedExtensions(said), Direction::ToClient, Some(state)) => {
                state.opening.early_data(said.early_data);
                if !said.early_data {
                    state.forget_early();
                }
            }
            _ => {}
        }
        if let Some(state) = &mut self.state {
            state.opening.message(direction, raw, keys);
        }
    }

    /// A direction has sent ChangeCipherSpec.
    pub fn change_cipher(&mut self, direction: Direction) {
        if let Some(state) = &mut self.state {
            state.opening.change_cipher(direction);
        }
    }

    /// Records may be missing from this offset of the stream on.
    pub fn lose(&mut self, direction: Direction, offset: u64, reason: GapReason) {
        if let Some(state) = &mut self.state {
            state.opening.lose(direction);
            state.side(direction).gap.get_or_insert((offset, reason));
        }
    }

    /// Takes a record. What it holds of the stream inside goes to `inner`.
    pub fn take(
        &mut self,
        direction: Direction,
        mut record: Record,
        keys: &Keys,
        inner: &mut Vec<Inner>,
        loss: &mut Loss,
    ) -> Read {
        let Some(state) = &mut self.state else {
            return Read::Not(record);
        };
        if !state.opening.is_sealed(direction, record.kind) {
            return Read::Not(record);
        }
        if record.torn {
            state.torn(direction, record.offset);
            return Read::Unknown;
        }
        match state
            .opening
            .open(direction, record.header, &mut record.payload, keys)
        {
            Opened::Plain {
                plain,
                skipped,
                early,
            } => {
                if let Some(hole) = state.end_hole(direction, &record, skipped, early, loss) {
                    state.give(hole, early, inner);
                }
                if plain.kind == APPLICATION_DATA {
                    let piece = data(direction, &mut record, plain);
                    state.give(piece, early, inner);
                    if early {
                        return Read::Early;
                    }
                } else {
                    record.payload.truncate(plain.end);
                    record.payload.drain(..plain.start);
                }
                Read::Yes(record, plain.kind)
            }
            Opened::Unlogged => Read::Unknown,
            Opened::Torn => {
                state.torn(direction, record.offset);
                Read::Unknown
            }
            Opened::Wait if !state.opening.has_read() => Read::Wait(record),
            // Nothing was read yet, so that what can be seen from outside is all there is.
            Opened::Never(why) if !state.opening.has_read() => {
                self.give_up();
                Read::Never(record, why)
            }
            Opened::Wait | Opened::Never(_) => {
                state.torn(direction, record.offset);
                Read::Unknown
            }
        }
    }

    /// Nothing of the connection will be read.
    pub fn give_up(&mut self) {
        self.state = None;
        self.over = true;
    }

    /// The stream of a direction is over: what is missing at its end is told.
    pub fn end(&mut self, direction: Direction, offset: u64, inner: &mut Vec<Inner>) {
        let Some(state) = &mut self.state else {
            return;
        };
        if !state.opening.has_read() {
            return;
        }
        if let Some((from, reason)) = state.side(direction).gap.take() {
            inner.push(Inner::Missing {
                direction,
                len: state.opening.room(
                    direction,
                    offset.saturating_sub(from).saturating_sub(HEADER_LEN),
                ),
                outer: (from, offset),
                reason,
            });
        }
    }
}

impl State {
    fn new(opening: Opening) -> Self {
        Self {
            opening,
            to_server: Side::default(),
            to_client: Side::default(),
            early: Vec::new(),
            early_bytes: 0,
            early_cut: 0,
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn torn(&mut self, direction: Direction, offset: u64) {
        self.opening.lose(direction);
        let side = self.side(direction);
        side.gap.get_or_insert((offset, GapReason::Lost));
    }

    /// A record was read after missing ones: the hole between is as long as what they held, where nothing padded them.
    fn end_hole(
        &mut self,
        direction: Direction,
        record: &Record,
        skipped: u64,
        early: bool,
        loss: &mut Loss,
    ) -> Option<Inner> {
        let changed = self.opening.changed_in_hole(direction);
        let (from, reason) = self.side(direction).gap.take()?;
        if changed {
            loss.add(UNCERTAIN, 1);
        }
        let span = record.offset.saturating_sub(from);
        // What each record adds to what it holds.
        let whole = 1 << 14;
        let room = match early {
            true => self.opening.early_room(whole),
            false => self.opening.room(direction, whole),
        };
        let added = whole - room.min(whole) + HEADER_LEN;
        let len = span.saturating_sub(added.saturating_mul(skipped));
        (len > 0 && skipped > 0).then_some(Inner::Missing {
            direction,
            len,
            outer: (from, record.offset),
            reason,
        })
    }

    fn give(&mut self, piece: Inner, early: bool, inner: &mut Vec<Inner>) {
        match self.opening.early_taken() {
            // The client goes on, so whatever it said before was taken or said again.
            _ if !early => inner.push(piece),
            Some(true) => inner.push(piece),
            // It is said again.
            Some(false) => {}
            None => self.wait(piece),
        }
    }

    /// Keeps early data until the server has spoken; what follows a piece that is too much does not come out before it.
    fn wait(&mut self, piece: Inner) {
        let (len, kept) = match &piece {
            Inner::Data { range, .. } => (range.len() as u64, range.len()),
            Inner::Missing { len, .. } => (*len, 0),
        };
        let bytes = self.early_bytes.saturating_add(kept);
        if self.early_cut == 0 && bytes <= EARLY_MAX && self.early.len() < EARLY_PIECES_MAX {
            self.early_bytes = bytes;
            self.early.push(piece);
            return;
        }
        let (Inner::Data { outer, .. } | Inner::Missing { outer, .. }) = piece;
        match self.early.last_mut() {
            Some(Inner::Missing {
                len: so_far,
                outer: (_, end),
                reason: GapReason::Lost,
                ..
            }) if self.early_cut > 0 => {
                *so_far = so_far.saturating_add(len);
                *end = outer.1;
            }
            _ => self.early.push(Inner::Missing {
                direction: Direction::ToServer,
                len,
                outer,
                reason: GapReason::Lost,
            }),
        }
        self.early_cut = self.early_cut.saturating_add(len);
    }

    fn forget_early(&mut self) {
        self.early.clear();
        self.early_bytes = 0;
        self.early_cut = 0;
    }

    /// Early data that the server takes.
    fn taken(&mut self, loss: &mut Loss) -> Vec<Inner> {
        if self.opening.early_taken() != Some(true) {
            return Vec::new();
        }
        loss.add(NOT_KEPT, std::mem::take(&mut self.early_cut));
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }
}

impl Inside {
    /// Early data, once the server has said that it takes them.
    pub fn early(&mut self, loss: &mut Loss) -> Vec<Inner> {
        self.state
            .as_mut()
            .map(|state| state.taken(loss))
            .unwrap_or_default()
    }

    /// The connection is over: early data that still wait are counted.
    pub fn stop(&mut self, loss: &mut Loss) {
        if let Some(state) = &mut self.state {
            loss.add(UNDECIDED, state.early_bytes as u64);
            state.forget_early();
        }
    }
}

/// What a record holds of the stream inside.
fn data(direction: Direction, record: &mut Record, plain: Plain) -> Inner {
    let end = record
        .offset
        .saturating_add(HEADER_LEN)
        .saturating_add(record.len);
    Inner::Data {
        direction,
        bytes: std::mem::take(&mut record.payload),
        range: plain.start..plain.end,
        places: std::mem::take(&mut record.places),
        outer: (record.offset, end),
    }
}
