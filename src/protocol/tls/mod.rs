//! TLS from outside (RFC 8446, RFC 5246). In: both directions, encrypted. Out: the steps of the handshake,
//! and then turns of application data.
//!
//! The rule: what a record holds is told from its type, size and place only, unless secrets were given that decrypt it; where
//! that is a guess (session tickets, alerts of TLS 1.3), a comment says why it is the better one.

mod bytes;
pub(crate) mod certificate;
pub(crate) mod handshake;
pub(crate) mod hello;
mod inside;
mod ja4;
pub(crate) mod messages;
pub mod open;
#[cfg(test)]
mod oracle;
mod outside;
pub(crate) mod record;
#[cfg(test)]
mod spoken;
mod steps;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod tests;
mod waiting;

use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{NotDecrypted, Seen, TlsStep};
use crate::protocol::parser::{
    After, Beginning, Data, Hole, Output, Parser, Stop, Verdict, prefix_of,
};
use crate::protocol::turns::{Piece, Turns};
use handshake::{Handshake, TLS13};
use inside::{Inside, Read};
use messages::{Messages, Taken};
use outside::{Size, Tickets};
use record::{
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Found, HANDSHAKE, Reader, Record,
    looks_like_record,
};
use steps::Offered;
use waiting::Waiting;

/// Length of a record's header.
const HEADER_LEN: u64 = 5;

/// A reader of one TLS connection.
#[derive(Debug, Default)]
pub struct Tls {
    to_server: Side,
    to_client: Side,
    turns: Turns,
    inside: Inside,
    waiting: Waiting,
    hello_told: bool,
    offered: Offered,
    /// Bytes that are left of a hello in the form of SSLv2.
    old_hello_left: usize,
    begun: bool,
    renegotiated: bool,
    server_spoke: bool,
    version: Option<u16>,
    /// Parts of the handshake were not captured: all application data counts as such.
    blind: bool,
    done: bool,
    not_tls: bool,
    flight: u8,
    tickets: Tickets,
}

#[derive(Debug, Default)]
struct Side {
    reader: Reader,
    messages: Messages,
    /// Sent ChangeCipherSpec, in a version where that means something.
    ciphered: bool,
    /// Sent its Finished (TLS 1.2).
    finished: bool,
    data_told: bool,
    /// First byte of an alert in clear whose second has not come.
    alert_level: Option<u8>,
    /// The latest record has the size of an alert; with what of the other side's stream was acknowledged then.
    alert: Option<(Size, Option<u64>)>,
    last_len: u64,
}

impl Tls {
    /// Makes a reader.
    #[must_use]
    pub fn start(beginning: Beginning) -> Box<dyn Parser> {
        let mut tls = Self::default();
        if beginning == Beginning::Middle {
            tls.blind = true;
            tls.done = true;
            tls.tickets.over = true;
            tls.to_server.lose();
            tls.to_client.lose();
        }
        Box::new(tls)
    }

    /// Judges the first bytes: a record with the start of a handshake.
    #[must_use]
    pub fn probe(client: &[u8], server: &[u8]) -> Verdict {
        match client {
            [HANDSHAKE, 3, 0..=4, ..] => Verdict::Yes,
            [0x80..=0xff, _, 1, ..] if steps::old_hello(client).is_some() => Verdict::Yes,
            [] | [HANDSHAKE] | [HANDSHAKE, 3] if server.is_empty() => Verdict::More,
            [0x80..=0xff] | [0x80..=0xff, _] | [0x80..=0xff, _, 1] | [0x80..=0xff, _, 1, 0 | 3]
                if server.is_empty() =>
            {
                Verdict::More
            }
            _ => Verdict::No,
        }
    }

    /// Whether a segment that starts so is the start of a record.
    #[must_use]
    pub fn joins(_direction: Direction, segment: &[u8]) -> bool {
        looks_like_record(segment)
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn on_record(&mut self, direction: Direction, record: Record, out: &mut Output<'_>) {
        self.server_spoke |= direction == Direction::ToClient;
        if self.waiting.is_empty() {
            self.process(direction, record, out);
            return;
        }
        if self.waiting.may_end(out.keys) {
            self.ask_again(out);
        }
        self.follow(direction, record, out);
    }

    /// Processes a record behind those that wait, or lets it wait too.
    fn follow(&mut self, direction: Direction, record: Record, out: &mut Output<'_>) {
        if self.waiting.is_empty() {
            self.process(direction, record, out);
        } else if let Err(record) = self.waiting.take(direction, record, out.keys) {
            self.wait_no_more(out);
            self.process(direction, record, out);
        }
    }

    /// Secrets have come: looks whether they are those that are waited for.
    fn ask_again(&mut self, out: &mut Output<'_>) {
        for (direction, record) in self.waiting.end() {
            self.follow(direction, record, out);
        }
    }

    /// The secrets will not come in time: what waits is looked at from outside.
    fn wait_no_more(&mut self, out: &mut Output<'_>) {
        let waited = self.waiting.end();
        if let Some((_, first)) = waited.first() {
            self.inside.give_up();
            self.keep_payload(false);
            not_decrypted(NotDecrypted::NoSecret, first.last, out);
        }
        for (direction, record) in waited {
            self.process(direction, record, out);
        }
    }

    /// Nothing more comes for now: what waits is decided.
    fn end_wait(&mut self, out: &mut Output<'_>) {
        if !self.waiting.is_empty() {
            self.ask_again(out);
            self.wait_no_more(out);
        }
    }

    fn process(&mut self, direction: Direction, record: Record, out: &mut Output<'_>) {
        let Some(record) = self.after_reading(direction, record, out) else {
            return;
        };
        // A record after it shows that the one before was no alert, or none that ended the stream.
        if let Some((size, _)) = self.side(direction).alert.take()
            && size.data
            && self.done
        {
            self.on_app_data(direction, size, out);
        }
        let known = self.version.is_some();
        let tls13 = self.version == Some(TLS13);
        let done = self.done;
        let side = self.side(direction);
        match record.kind {
            // In TLS 1.3 it is there for old middle boxes only, and may come before the version is known.
            CHANGE_CIPHER_SPEC => {
                side.ciphered |= known && !tls13;
                self.inside.change_cipher(direction);
            }
            ALERT => self.on_alert_record(direction, &record, out),
            // What goes on after a side's Finished begins another handshake.
            HANDSHAKE if side.finished && done => {
                self.renegotiates(record.last, out);
            }
            HANDSHAKE if side.ciphered => {
                side.finished = true;
                if self.to_server.finished && self.to_client.finished {
                    self.finish(record.last, out);
                }
            }
            HANDSHAKE => self.on_messages(direction, &record, out),
            _ => self.on_encrypted(direction, Size::of(&record), out),
        }
    }

    /// Decrypts a record where that is possible, and takes what it held. Gives it back where it has to be looked at from
    /// outside.
    fn after_reading(
        &mut self,
        direction: Direction,
        record: Record,
        out: &mut Output<'_>,
    ) -> Option<Record> {
        let before = self.inside.has_read();
        let read = self
            .inside
            .take(direction, record, out.keys, &mut out.inner, out.loss);
        let (mut record, kind) = match read {
            Read::Not(record) => return Some(record),
            Read::Early => return None,
            Read::Unknown => {
                out.loss.add("tls_records_not_decrypted", 1);
                return None;
            }
            Read::Wait(record) => match self.waiting.take(direction, record, out.keys) {
                Ok(()) => return None,
                Err(record) => {
                    self.inside.give_up();
                    self.keep_payload(false);
                    not_decrypted(NotDecrypted::NoSecret, record.last, out);
                    return Some(record);
                }
            },
            Read::Never(record, why) => {
                self.keep_payload(false);
                not_decrypted(why, record.last, out);
                return Some(record);
            }
            Read::Yes(record, kind) => (record, kind),
        };
        if !before && self.inside.has_read() {
            tell(TlsStep::Decrypted, record.last, out);
        }
        match kind {
            HANDSHAKE => {
                record.kind = kind;
                let messages = &mut self.side(direction).messages;
                messages.hear_again(&record.payload);
                self.on_messages(direction, &record, out);
                let early = self.inside.early(out.loss);
                out.inner.extend(early);
            }
            // Sealed, it is that of a renegotiation.
            CHANGE_CIPHER_SPEC => self.inside.change_cipher(direction),
            ALERT => {
                if let [level, description] = *record.payload {
                    on_alert(direction, level, description, record.last, out);
                }
            }
            _ => {
                self.finish(record.last, out);
                self.tell_data(direction, Size::of(&record), out);
            }
        }
        None
    }

    fn keep_payload(&mut self, keeps: bool) {
        self.to_server.reader.keep(keeps);
        self.to_client.reader.keep(keeps);
    }

    /// The handshake was not captured, or not in full: no secret helps.
    fn joined(&mut self, out: &mut Output<'_>) {
        if let Some(why) = self.inside.joined(out.keys) {
            not_decrypted(why, out.seen, out);
        }
    }

    fn on_messages(&mut self, direction: Direction, record: &Record, out: &mut Output<'_>) {
        let mut whole = Vec::new();
        let messages = &mut self.side(direction).messages;
        messages.take(&record.payload, |taken| whole.push(taken));
        if record.torn {
            messages.lose();
        }
        for taken in whole {
            match taken {
                Taken::Message(message) => match Handshake::read(&message, self.version) {
                    Some(said) => {
                        self.inside.said(direction, &said, &message.raw, out.keys);
                        self.keep_payload(self.inside.is_open());
                        self.on_message(direction, said, record.last, out);
                    }
                    None => out.loss.add("tls_messages_not_read", 1),
                },
                Taken::Skipped { .. } => out.loss.add("tls_messages_too_long", 1),
            }
        }
    }

    /// Takes a whole message, in clear or decrypted.
    fn on_message(
        &mut self,
        direction: Direction,
        said: Handshake,
        at: Mark,
        out: &mut Output<'_>,
    ) {
        match (said, direction) {
            (Handshake::ClientHello(hello), Direction::ToServer) => {
                if std::mem::replace(&mut self.hello_told, true) {
                    if self.done {
                        self.renegotiates(at, out);
                    }
                    return;
                }
                out.loss.add("tls_lists_cut", u64::from(hello.cut));
                let (step, offered) = steps::offers(*hello);
                self.offered = offered;
                tell(step, at, out);
            }
            (Handshake::ServerHello(hello), Direction::ToClient) if self.version.is_none() => {
                if hello.is_retry {
                    tell(TlsStep::Retry, at, out);
                    return;
                }
                self.version = Some(hello.version);
                tell(steps::choice(&hello, &self.offered), at, out);
            }
            (Handshake::CompressedCertificate { .. }, _) => {
                out.loss.add("tls_compressed_certificates_not_read", 1);
            }
            // Out of a sealed record.
            (Handshake::Finished(_), direction) => {
                self.side(direction).finished = true;
                if self.to_server.finished && self.to_client.finished {
                    self.finish(at, out);
                }
            }
            (said, direction) => {
                if let Handshake::Certificate(certificate) = &said {
                    let left_out = certificate.left_out as u64;
                    out.loss.add("tls_certificates_left_out", left_out);
                }
                for step in steps::others(said, direction) {
                    tell(step, at, out);
                }
            }
        }
    }

    /// Another handshake begins inside the first (TLS 1.2 and below; RFC 5746).
    fn renegotiates(&mut self, at: Mark, out: &mut Output<'_>) {
        if !std::mem::replace(&mut self.renegotiated, true) {
            tell(TlsStep::Renegotiation, at, out);
        }
    }

    /// An alert: in clear before the cipher changes, and always where it has the length of one (RFC 5246, section 7.2).
    fn on_alert_record(&mut self, direction: Direction, record: &Record, out: &mut Output<'_>) {
        let blind = self.blind;
        let side = self.side(direction);
        match *record.payload {
            [level, description] => on_alert(direction, level, description, record.last, out),
            // It may come in two records, or two in one.
            _ if !side.ciphered && !blind && !record.torn && record.payload.len() <= 4 => {
                for byte in &record.payload {
                    let side = self.side(direction);
                    match side.alert_level.take() {
                        Some(level) => on_alert(direction, level, *byte, record.last, out),
                        None => side.alert_level = Some(*byte),
                    }
                }
            }
            _ => self.alert_like(direction, Size::of(record), out),
        }
    }

    /// Takes a hello in the form of SSLv2 off the first bytes of the client.
    fn after_old_hello<'a>(&mut self, data: Data<'a>, out: &mut Output<'_>) -> Data<'a> {
        if data.direction == Direction::ToServer
            && !std::mem::replace(&mut self.begun, true)
            && let Some((len, version)) = steps::old_hello(data.bytes)
        {
            self.old_hello_left = len;
            self.hello_told = true;
            out.loss.skip("hello in the form of SSLv2");
            tell(steps::old_offers(version), data.carried, out);
        }
        let taken = match data.direction {
            Direction::ToServer => self.old_hello_left.min(data.bytes.len()),
            Direction::ToClient => 0,
        };
        self.old_hello_left -= taken;
        data.after(taken)
    }

    /// Ends a direction: a last record of the size of an alert was most likely one.
    fn end_side(&mut self, direction: Direction, out: &mut Output<'_>) {
        let end = out.connection.half(direction).sent;
        self.inside.end(direction, end, &mut out.inner);
        if let Some(cut) = self.side(direction).reader.cut()
            && !self.inside.has_read()
            && cut.kind == APPLICATION_DATA
            && self.done
        {
            self.on_app_data(direction, Size::of(&cut), out);
        }
        if let Some((size, acknowledges)) = self.side(direction).alert.take() {
            let step = TlsStep::EncryptedAlertLike {
                direction,
                acknowledges,
            };
            tell(step, size.last, out);
        }
    }
}

impl Side {
    fn lose(&mut self) {
        self.reader = Reader::joined();
        self.messages.lose();
    }
}

impl Parser for Tls {
    fn on_data(&mut self, mut data: Data<'_>, out: &mut Output<'_>) -> After {
        if self.not_tls {
            return After::Stay;
        }
        if self.blind && self.version.is_none() {
            self.joined(out);
        }
        let direction = data.direction;
        data = self.after_old_hello(data, out);
        self.side(direction).reader.segment(data.bytes);
        if self.side(direction).reader.is_lost() {
            out.loss
                .add("tls_bytes_not_framed", data.bytes.len() as u64);
        }
        loop {
            let at = data;
            match self.side(direction).reader.next(&mut data) {
                Found::Record(record) => self.on_record(direction, record, out),
                Found::NoRecord if direction == Direction::ToClient && !self.server_spoke => {
                    self.not_tls = true;
                    let prefix = prefix_of(at.bytes);
                    tell(TlsStep::NotTls { prefix }, data.carried, out);
                    return After::Stay;
                }
                Found::NoRecord => {
                    self.blind = true;
                    self.side(direction).lose();
                }
                Found::Nothing => return After::Stay,
            }
        }
    }

    fn on_gap(&mut self, hole: Hole, out: &mut Output<'_>) {
        self.end_wait(out);
        self.server_spoke |= hole.direction == Direction::ToClient;
        let side = self.side(hole.direction);
        let record = side.reader.gap(hole.len, out.seen);
        let lost = side.reader.is_lost();
        if lost {
            side.messages.lose();
            self.blind |= self.version.is_none();
            let from = record.as_ref().map_or(hole.offset, |cut| cut.offset);
            self.inside.lose(hole.direction, from, hole.reason);
        }
        if self.version.is_none() {
            self.joined(out);
        }
        if let Some(record) = record {
            self.on_record(hole.direction, record, out);
        }
        if self.done && lost && !self.inside.has_read() {
            // Somebody spoke, that much is sure.
            let piece = Piece::missing(hole, out.seen);
            match hole.direction {
                Direction::ToServer => self.turns.client(&piece, out),
                Direction::ToClient => self.turns.server(&piece, out),
            }
        }
    }

    fn on_finished(&mut self, direction: Direction, out: &mut Output<'_>) {
        self.end_wait(out);
        self.end_side(direction, out);
        self.turns.finished(direction, out);
    }

    fn on_stop(&mut self, stop: Stop, out: &mut Output<'_>) {
        self.end_wait(out);
        self.end_side(Direction::ToServer, out);
        self.end_side(Direction::ToClient, out);
        self.inside.stop(out.loss);
        self.turns.stop(stop, out);
    }
}

fn not_decrypted(why: NotDecrypted, at: Mark, out: &mut Output<'_>) {
    let name = match why {
        NotDecrypted::NoSecret => "tls_connections_without_secret",
        NotDecrypted::Incomplete => "tls_connections_with_secrets_missing",
        NotDecrypted::Suite(_) | NotDecrypted::Version(_) => "tls_connections_of_other_suites",
        NotDecrypted::NotAuthentic => "tls_connections_whose_secrets_do_not_fit",
        NotDecrypted::Joined => "tls_connections_joined_midstream",
    };
    out.loss.add(name, 1);
    if let NotDecrypted::Suite(suite) = why {
        out.loss
            .skip(&format!("TLS suite {}", open::suite_name(suite)));
    }
    tell(TlsStep::NotDecrypted { why }, at, out);
}

fn tell(step: TlsStep, at: Mark, out: &mut Output<'_>) {
    let connection = out.id();
    out.tell(Seen::Tls {
        connection,
        step,
        at,
    });
}

fn on_alert(direction: Direction, level: u8, description: u8, at: Mark, out: &mut Output<'_>) {
    let step = TlsStep::Alert {
        direction,
        acknowledges: out.connection.half(direction.opposite()).acknowledged,
        level,
        description,
    };
    tell(step, at, out);
}
