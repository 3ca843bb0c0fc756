//! Streams whose content is not read. In: who spoke, and how much. Out: turns, told as exchanges.
//!
//! The rule: a turn begins when the client speaks after the server did. It says that somebody asked and
//! whether anybody answered; where a message ends it cannot say.

use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{Completion, MessageEnd};
use crate::protocol::parser::{
    After, Beginning, Data, Early, Hole, Output, Parser, Stop, Verdict, bare_end,
};
use crate::protocol::tally::Tally;

/// Bytes of one side.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Stream offset of the first.
    pub offset: u64,
    /// Stream offset after the last.
    pub end: u64,
    /// How many, framing not counted.
    pub len: u64,
    /// The bytes where they can be read, else empty: encrypted or not captured.
    pub bytes: &'a [u8],
    /// The frame of the first.
    pub first: Mark,
    /// The frame of the last.
    pub last: Mark,
}

impl<'a> From<Data<'a>> for Piece<'a> {
    fn from(data: Data<'a>) -> Self {
        Self {
            offset: data.offset,
            end: data.offset.saturating_add(data.bytes.len() as u64),
            len: data.bytes.len() as u64,
            bytes: data.bytes,
            first: data.carried,
            last: data.carried,
        }
    }
}

impl Piece<'static> {
    /// Bytes that were not captured; `seen` is the frame that showed so.
    #[must_use]
    pub fn missing(hole: Hole, seen: Mark) -> Self {
        Self {
            offset: hole.offset,
            end: hole.offset.saturating_add(hole.len),
            len: hole.len,
            bytes: &[],
            first: seen,
            last: seen,
        }
    }
}

/// The turns of one connection.
#[derive(Debug, Default)]
pub struct Turns {
    open: Option<Turn>,
    client_closed: bool,
    server_closed: bool,
    server_at: u64,
    stray_told: bool,
}

#[derive(Debug)]
struct Turn {
    index: u32,
    start: u64,
    request: Part,
    request_open: bool,
    response: Option<Part>,
}

#[derive(Debug)]
struct Part {
    tally: Tally,
    end: u64,
    last: Mark,
}

impl Part {
    fn new(tally: Tally, piece: &Piece<'_>) -> Self {
        let mut part = Self {
            tally,
            end: piece.end,
            last: piece.last,
        };
        part.take(piece);
        part
    }

    fn take(&mut self, piece: &Piece<'_>) {
        if piece.bytes.is_empty() {
            self.tally.skip(piece.len);
        } else {
            self.tally.take(piece.bytes);
        }
        self.end = piece.end;
        self.last = piece.last;
    }

    fn ending(&self, how: Completion) -> MessageEnd {
        MessageEnd {
            how,
            end_offset: self.end,
            body_len: self.tally.len(),
            body_hash: self.tally.hash(),
            at: self.last,
        }
    }
}

impl Turns {
    /// Turns of a stream that was something else before. `early` are client bytes that came already.
    #[must_use]
    pub fn after_switch(early: Option<Early>, out: &mut Output<'_>) -> Self {
        let mut turns = Self {
            stray_told: true,
            ..Self::default()
        };
        if let Some(early) = early {
            let piece = Piece {
                offset: early.offset,
                end: early.offset.saturating_add(early.len),
                len: early.len,
                bytes: &[],
                first: early.first,
                last: early.last,
            };
            turns.client(&piece, out);
        }
        turns
    }

    /// Turns of a stream whose server spoke first, which was told already.
    #[must_use]
    pub fn after_banner() -> Self {
        Self {
            stray_told: true,
            ..Self::default()
        }
    }

    /// Stream offset of the first byte of the open turn; 0 without one.
    #[must_use]
    pub fn request_offset(&self) -> u64 {
        self.open.as_ref().map_or(0, |turn| turn.start)
    }

    /// The client speaks.
    pub fn client(&mut self, piece: &Piece<'_>, out: &mut Output<'_>) {
        match &mut self.open {
            Some(turn) if turn.response.is_none() => {
                turn.request.take(piece);
                return;
            }
            _ => self.end_response(Completion::Complete, out),
        }
        let index = out.new_exchange();
        out.request_start(index, piece.offset, piece.first);
        self.open = Some(Turn {
            index,
            start: piece.offset,
            request: Part::new(Tally::default(), piece),
            request_open: true,
            response: None,
        });
    }

    /// The server speaks.
    pub fn server(&mut self, piece: &Piece<'_>, out: &mut Output<'_>) {
        self.server_at = piece.end;
        self.end_request(Completion::Complete, out);
        match &mut self.open {
            Some(Turn {
                response: Some(response),
                ..
            }) => response.take(piece),
            Some(turn) => {
                out.response_start(turn.index, piece.first);
                turn.response = Some(Part::new(Tally::with_prefix(), piece));
            }
            None => {
                if !self.stray_told && !piece.bytes.is_empty() {
                    out.unsolicited(piece.bytes, piece.first);
                }
                self.stray_told = true;
            }
        }
    }

    /// One direction is complete.
    pub fn finished(&mut self, direction: Direction, out: &mut Output<'_>) {
        self.end_request(Completion::Complete, out);
        match direction {
            Direction::ToServer => {
                self.client_closed = true;
                if self.server_closed {
                    self.end_response(Completion::Nothing, out);
                }
            }
            Direction::ToClient => {
                self.server_closed = true;
                self.end_response(Completion::CompleteByClose, out);
            }
        }
    }

    /// No more bytes will come.
    pub fn stop(&mut self, stop: Stop, out: &mut Output<'_>) {
        let (request, response) = match stop {
            Stop::Closed => (Completion::Complete, Completion::CompleteByClose),
            Stop::Reset => (Completion::Complete, Completion::BodyReset),
            Stop::Unseen => (Completion::CaptureEnded, Completion::Complete),
        };
        self.end_request(request, out);
        let silent = self
            .open
            .as_ref()
            .is_some_and(|turn| turn.response.is_none());
        if silent && stop == Stop::Unseen && !self.client_closed {
            self.end_response(Completion::CaptureEnded, out);
        } else {
            self.end_response(response, out);
        }
        self.server_closed = true;
    }

    fn end_request(&mut self, how: Completion, out: &mut Output<'_>) {
        if let Some(turn) = &mut self.open
            && turn.request_open
        {
            turn.request_open = false;
            out.request_end(turn.index, turn.request.ending(how));
        }
    }

    /// Ends the response and the turn; a response of which no byte came ends as nothing.
    fn end_response(&mut self, how: Completion, out: &mut Output<'_>) {
        let Some(turn) = self.open.take() else { return };
        match turn.response {
            Some(response) => {
                let end = response.ending(how);
                out.response_end(turn.index, end, response.tally.into_prefix());
            }
            None => {
                let how = match how {
                    Completion::CaptureEnded => how,
                    _ => Completion::Nothing,
                };
                let end = bare_end(how, self.server_at, out.seen);
                out.response_end(turn.index, end, Box::default());
            }
        }
    }

    fn piece(&mut self, direction: Direction, piece: &Piece<'_>, out: &mut Output<'_>) {
        match direction {
            Direction::ToServer => self.client(piece, out),
            Direction::ToClient => self.server(piece, out),
        }
    }

    /// Makes a reader of a stream that no protocol claims.
    #[must_use]
    pub fn start(_beginning: Beginning) -> Box<dyn Parser> {
        Box::new(Self::default())
    }
}

impl Parser for Turns {
    fn on_data(&mut self, data: Data<'_>, out: &mut Output<'_>) -> After {
        self.piece(data.direction, &Piece::from(data), out);
        After::Stay
    }

    fn on_gap(&mut self, hole: Hole, out: &mut Output<'_>) {
        let piece = Piece::missing(hole, out.seen);
        self.piece(hole.direction, &piece, out);
    }

    fn on_finished(&mut self, direction: Direction, out: &mut Output<'_>) {
        self.finished(direction, out);
    }

    fn on_stop(&mut self, stop: Stop, out: &mut Output<'_>) {
        self.stop(stop, out);
    }
}

/// The preface of HTTP/2 (RFC 9113, section 3.4), up to where no other protocol can be meant.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Judges whether a stream is HTTP/2 with prior knowledge, which is known by its turns only.
#[must_use]
pub fn probe_http2(client: &[u8], server: &[u8]) -> Verdict {
    let len = client.len().min(HTTP2_PREFACE.len());
    if client.get(..len) != HTTP2_PREFACE.get(..len) {
        Verdict::No
    } else if len == HTTP2_PREFACE.len() {
        Verdict::Yes
    } else if server.is_empty() {
        Verdict::More
    } else {
        Verdict::No
    }
}

/// A stream that is known by its turns only cannot be told from its middle.
#[must_use]
pub fn never_joins(_direction: Direction, _segment: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::playbook::{Play, both};
    use crate::tcp::event::Ending;
    use Direction::{ToClient, ToServer};

    /// A FastCGI BEGIN_REQUEST record.
    const BEGIN: &[u8] = &[1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn turns_of_an_unknown_protocol() {
        both(
            |play| {
                play.client(BEGIN)
                    .server("one")
                    .client(BEGIN)
                    .client("x")
                    .server("two");
                play.fin(ToClient)
                    .fin(ToServer)
                    .ends(Ending::Closed(ToClient));
            },
            "Unknown
            0 request at 0
            0 request Complete 16 to 16
            0 response
            0 response Complete 3 to 3 one
            1 request at 16
            1 request Complete 17 to 33
            1 response
            1 response CompleteByClose 3 to 6 two",
        );
    }

    #[test]
    fn a_server_that_never_answers() {
        for (end, last) in [
            (Ending::Closed(ToClient), "0 response Nothing 0 to 0"),
            (Ending::Reset(ToClient), "0 response Nothing 0 to 0"),
            (Ending::Open, "0 response CaptureEnded 0 to 0"),
        ] {
            let mut play = Play::new();
            play.client(BEGIN).ends(end);
            assert_eq!(play.lines().last().unwrap(), last);
        }
        let mut play = Play::new();
        play.client(BEGIN).fin(ToServer).ends(Ending::Idle);
        play.tells(
            "Unknown
            0 request at 0
            0 request Complete 16 to 16
            0 response Nothing 0 to 0",
        );
    }

    #[test]
    fn a_client_that_speaks_to_a_closed_server_makes_one_turn() {
        let mut play = Play::new();
        play.client(BEGIN).server("x").fin(ToClient);
        play.client(BEGIN).client(BEGIN).reset(ToClient);
        assert_eq!(
            play.lines()[5..],
            [
                "1 request at 16",
                "1 request Complete 32 to 48",
                "1 response Nothing 0 to 1"
            ]
        );
    }

    #[test]
    fn a_banner_is_unsolicited() {
        let mut play = Play::new();
        play.server("\x4a\0\0\0\n8.0.36\0")
            .server("more")
            .client("\x20\0\0\x01")
            .server("\x07");
        play.tells(
            "unsolicited J\\0\\0\\0\\n8.0.36\\0
            Unknown
            0 request at 0
            0 request Complete 4 to 4
            0 response",
        );
    }

    #[test]
    fn http2_with_prior_knowledge() {
        both(
            |play| {
                play.client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                    .server("HTTP/1.1 400 Bad\r\n\r\n");
                play.fin(ToClient);
            },
            "Http2
            0 request at 0
            0 request Complete 24 to 24
            0 response
            0 response CompleteByClose 20 to 20 HTTP/1.1 400 Bad\\r\\n\\r\\n",
        );
    }
}
