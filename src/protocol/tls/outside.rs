//! Sealed records that nobody opens. In: their sizes, order and sides. Out: where the handshake is over, and turns of
//! application data.
//!
//! The rule: what cannot be told apart by size is told as what does less harm when it is wrong; the comment of each guess says
//! which that is.

use super::handshake::TLS13;
use super::record::{APPLICATION_DATA, Record};
use super::{HEADER_LEN, Tls, tell};
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::TlsStep;
use crate::protocol::parser::Output;
use crate::protocol::turns::Piece;

/// Sizes of a record that holds the Finished message of TLS 1.3 and nothing else: header, hash of 32 or
/// 48 bytes, type, tag.
const FINISHED_LENS: [u64; 2] = [53, 69];
/// Most records of a client's last flight: certificate, its proof, Finished, and one to spare.
const FLIGHT_MAX: u8 = 4;
/// Sizes of a record that may hold an alert of TLS 1.3: two bytes, type, tag, a little padding.
const ALERT_LENS: std::ops::RangeInclusive<u64> = 19..=31;
/// The same during the handshake, where 25 is an empty certificate.
const EARLY_ALERT_LENS: std::ops::RangeInclusive<u64> = 19..=24;
/// Sizes of a record that may hold a session ticket of TLS 1.3, as servers send after the handshake.
const TICKET_LENS: std::ops::RangeInclusive<u64> = 60..=2_048;
/// Sizes of the first record of a client's last flight in TLS 1.3 that holds an empty Certificate message (8 bytes, type,
/// tag), alone or with the Finished message.
const NO_CERTIFICATE_LENS: [u64; 3] = [25, 61, 77];
/// A client that sends a record of this size is likely to be in the middle of a body.
const UPLOAD_RECORD_MIN: u64 = 4_096;

/// What is kept of a record of application data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    offset: u64,
    len: u64,
    first: Mark,
    pub(super) last: Mark,
    /// Whether it is application data if it was no alert.
    pub(super) data: bool,
}

/// What may be session tickets of TLS 1.3, sent right after the handshake.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    pub(super) over: bool,
    len: Option<u64>,
    held: Option<Size>,
}

impl Size {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            offset: record.offset,
            len: record.len,
            first: record.first,
            last: record.last,
            data: record.kind == APPLICATION_DATA,
        }
    }

    fn piece(&self) -> Piece<'static> {
        Piece {
            offset: self.offset,
            end: self
                .offset
                .saturating_add(HEADER_LEN)
                .saturating_add(self.len),
            len: self.len,
            bytes: &[],
            first: self.first,
            last: self.last,
        }
    }
}

impl Tls {
    /// A record of type application data: in TLS 1.3 that may be anything.
    pub(super) fn on_encrypted(&mut self, direction: Direction, size: Size, out: &mut Output<'_>) {
        let tls13 = self.version == Some(TLS13);
        let alert_lens = if self.done {
            ALERT_LENS
        } else {
            EARLY_ALERT_LENS
        };
        if (tls13 || self.blind) && alert_lens.contains(&size.len) {
            self.alert_like(direction, size, out);
            return;
        }
        if !self.done && !self.still_handshake(direction, size, tls13, out) {
            return;
        }
        self.on_app_data(direction, size, out);
    }

    /// A record that may be an alert: what follows it shows whether it was one.
    pub(super) fn alert_like(&mut self, direction: Direction, size: Size, out: &Output<'_>) {
        let acknowledges = out.connection.half(direction.opposite()).acknowledged;
        self.side(direction).alert = Some((size, acknowledges));
    }

    /// Follows the end of the handshake. True when the record is application data all the same.
    fn still_handshake(
        &mut self,
        direction: Direction,
        size: Size,
        tls13: bool,
        out: &mut Output<'_>,
    ) -> bool {
        match direction {
            // The handshake messages were not seen, or cut: data proves that it is over.
            _ if self.blind || self.version.is_some_and(|_| !tls13) => {
                self.finish(size.last, out);
                true
            }
            Direction::ToServer if tls13 => {
                if self.flight == 0 && NO_CERTIFICATE_LENS.contains(&size.len) {
                    tell(TlsStep::NoCertificateLike, size.last, out);
                }
                self.flight += 1;
                if FINISHED_LENS.contains(&size.len) || self.flight >= FLIGHT_MAX {
                    self.finish(size.last, out);
                }
                false
            }
            Direction::ToClient if tls13 && self.flight > 0 => {
                self.finish(size.last, out);
                true
            }
            // The server's own flight, or early data before it.
            _ => false,
        }
    }

    pub(super) fn finish(&mut self, at: Mark, out: &mut Output<'_>) {
        if !self.done {
            self.done = true;
            self.tickets.over = self.version != Some(TLS13);
            tell(TlsStep::Finished, at, out);
        }
    }

    pub(super) fn on_app_data(&mut self, direction: Direction, size: Size, out: &mut Output<'_>) {
        match direction {
            Direction::ToServer => {
                let in_body = self.to_server.last_len >= UPLOAD_RECORD_MIN;
                self.to_server.last_len = size.len;
                if !in_body && let Some(held) = self.tickets.held.take() {
                    // The client goes on, so what came was the answer and no ticket.
                    self.answer(held, out);
                }
                self.tell_data(direction, size, out);
                self.turns.client(&size.piece(), out);
            }
            Direction::ToClient if !self.to_server.data_told && !self.blind => {
                self.tickets.len = Some(size.len);
            }
            Direction::ToClient => {
                let acknowledged = out.connection.from_client.acknowledged;
                if self
                    .tickets
                    .may_be(size, self.turns.request_offset(), acknowledged)
                {
                    return;
                }
                self.answer(size, out);
            }
        }
    }

    fn answer(&mut self, size: Size, out: &mut Output<'_>) {
        self.tickets.over = true;
        self.tickets.held = None;
        self.tell_data(Direction::ToClient, size, out);
        self.turns.server(&size.piece(), out);
    }

    pub(super) fn tell_data(&mut self, direction: Direction, size: Size, out: &mut Output<'_>) {
        let side = self.side(direction);
        if !side.data_told {
            side.data_told = true;
            tell(TlsStep::ApplicationData { direction }, size.first, out);
        }
    }
}

impl Tickets {
    /// Whether a record of the server may be a session ticket rather than the first answer.
    ///
    /// Servers send tickets when the handshake is over, most often while the request is under way. They
    /// cannot be told from a short answer for certain. A false answer hides a server that never answered;
    /// so a record that came before the request was acknowledged, or that has a twin of the same size
    /// (OpenSSL sends two), is a ticket, and a single small one waits for what follows it.
    fn may_be(&mut self, size: Size, request_offset: u64, acknowledged: Option<u64>) -> bool {
        if self.over || !TICKET_LENS.contains(&size.len) {
            return false;
        }
        if acknowledged.is_some_and(|acknowledged| acknowledged <= request_offset)
            || self.len == Some(size.len)
        {
            self.held = None;
            self.len = Some(size.len);
            return true;
        }
        if self.len.is_some() {
            return false;
        }
        self.len = Some(size.len);
        self.held = Some(size);
        true
    }
}
