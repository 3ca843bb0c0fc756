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
    /// How many.
    pub len: u64,
    /// The bytes where they can be read, else empty: encrypted or not captured.
    pub bytes: &'a [u8],
    /// Their frame.
    pub at: Mark,
}

impl<'a> From<Data<'a>> for Piece<'a> {
    fn from(data: Data<'a>) -> Self {
        Self {
            offset: data.offset,
            len: data.bytes.len() as u64,
            bytes: data.bytes,
            at: data.carried,
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
            end: piece.offset,
            last: piece.at,
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
        self.end = piece.offset.saturating_add(piece.len);
        self.last = piece.at;
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
            let mut piece = Piece {
                offset: early.offset,
                len: early.len,
                bytes: &[],
                at: early.first,
            };
            turns.client(&piece, out);
            if let Some(turn) = &mut turns.open {
                piece.at = early.last;
                turn.request.last = piece.at;
            }
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

    /// Whether the client has spoken and the server has not answered yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.open.as_ref().is_some_and(|turn| turn.request_open)
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
        out.request_start(index, piece.offset, piece.at);
        self.open = Some(Turn {
            index,
            request: Part::new(Tally::default(), piece),
            request_open: true,
            response: None,
        });
        if self.server_closed {
            self.end_request(Completion::Complete, out);
            self.end_response(Completion::Nothing, out);
        }
    }

    /// The server speaks.
    pub fn server(&mut self, piece: &Piece<'_>, out: &mut Output<'_>) {
        self.server_at = piece.offset.saturating_add(piece.len);
        self.end_request(Completion::Complete, out);
        match &mut self.open {
            Some(Turn {
                response: Some(response),
                ..
            }) => response.take(piece),
            Some(turn) => {
                out.response_start(turn.index, piece.at);
                turn.response = Some(Part::new(Tally::with_prefix(), piece));
            }
            None => {
                if !self.stray_told && !piece.bytes.is_empty() {
                    out.unsolicited(piece.bytes, piece.at);
                }
                self.stray_told = true;
            }
        }
    }

    /// One direction is complete.
    pub fn finished(&mut self, direction: Direction, out: &mut Output<'_>) {
        self.end_request(Completion::Complete, out);
        match direction {
            Direction::ToServer => self.client_closed = true,
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
        let piece = Piece {
            offset: hole.offset,
            len: hole.len,
            bytes: &[],
            at: out.seen,
        };
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
