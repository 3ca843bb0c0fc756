//! The client's direction. In: its bytes in order. Out: starts, heads and ends of requests.
//!
//! The rule: a head inside one segment is read where it lies; a head that is cut is copied, up to a
//! limit. After bytes that cannot be framed, the next segment that starts like a request is the next one.

use std::sync::Arc;

use crate::frame::Mark;
use crate::protocol::http1::body::{Body, Progress};
use crate::protocol::http1::head;
use crate::protocol::http1::ledger::Ledger;
use crate::protocol::http1::lines::{head_end, resume};
use crate::protocol::http1::method::looks_like_request;
use crate::protocol::http1::syntax::is_token_byte;
use crate::protocol::observation::{Completion, MessageEnd, Seen};
use crate::protocol::parser::{Data, Early, Hole, Output, Stop};
use crate::protocol::tally::Tally;

/// Most bytes of a request's head: twice the largest limit of a gateway by default (Envoy 60 KiB).
pub const HEAD_MAX: usize = 128 * 1024;

/// Reads requests.
#[derive(Debug, Default)]
pub struct Requests {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Between two requests.
    #[default]
    Idle,
    Head {
        message: Message,
        buffer: Vec<u8>,
    },
    Body {
        message: Message,
        body: Body,
    },
    /// After a CONNECT: what comes now belongs to the tunnel, if there will be one.
    Tunnel(Option<Early>),
    /// Waiting for a segment that starts like a request.
    Lost,
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    index: u32,
    /// Stream offset after the last byte seen, and its frame.
    end: u64,
    last: Mark,
}

impl Message {
    fn saw(&mut self, data: &Data<'_>, count: usize) {
        self.end = data.offset.saturating_add(count as u64);
        self.last = data.carried;
    }

    fn ends(self, how: Completion, tally: &Tally, ledger: &mut Ledger, out: &mut Output<'_>) {
        let end = MessageEnd {
            how,
            end_offset: self.end,
            body_len: tally.len(),
            body_hash: tally.hash(),
            at: self.last,
        };
        out.request_end(self.index, end);
        ledger.request_ended(self.index, out);
    }
}

impl Requests {
    /// A reader that joins in the middle.
    #[must_use]
    pub fn joined() -> Self {
        Self { state: State::Lost }
    }

    /// Takes bytes in.
    pub fn take(&mut self, mut data: Data<'_>, ledger: &mut Ledger, out: &mut Output<'_>) {
        if let State::Body { message, body } = &mut self.state
            && body.take_inside(data.bytes)
        {
            message.saw(&data, data.bytes.len());
            return;
        }
        if matches!(self.state, State::Lost) && looks_like_request(data.bytes) {
            self.state = State::Idle;
        }
        while !data.bytes.is_empty() {
            let count;
            (self.state, count) = match std::mem::take(&mut self.state) {
                State::Idle => Self::idle(data, ledger, out),
                State::Head { message, buffer } => Self::head(message, buffer, data, ledger, out),
                State::Body { message, body } => Self::body(message, body, data, ledger, out),
                State::Tunnel(early) => (Self::tunnel(early, data), data.bytes.len()),
                state @ State::Lost => {
                    out.loss
                        .add("http1_request_bytes_not_framed", data.bytes.len() as u64);
                    (state, data.bytes.len())
                }
                state @ State::Closed => (state, data.bytes.len()),
            };
            data = data.after(count);
        }
    }

    fn idle(data: Data<'_>, ledger: &mut Ledger, out: &mut Output<'_>) -> (State, usize) {
        // Empty lines before a request line are ignored (RFC 9112, section 2.2).
        let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let skipped = data.bytes.iter().take_while(|byte| blank(byte)).count();
        let Some(first) = data.bytes.get(skipped) else {
            return (State::Idle, skipped);
        };
        let start = data.offset.saturating_add(skipped as u64);
        let message = Message {
            index: ledger.request_starts(start, data.carried, out),
            end: start.saturating_add(1),
            last: data.carried,
        };
        if !is_token_byte(*first) {
            message.ends(Completion::Malformed, &Tally::default(), ledger, out);
            return (State::Lost, skipped);
        }
        let buffer = Vec::new();
        (State::Head { message, buffer }, skipped)
    }

    fn head(
        mut message: Message,
        mut buffer: Vec<u8>,
        data: Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> (State, usize) {
        let before = buffer.len();
        let view = if before == 0 {
            data.bytes
        } else {
            buffer.extend_from_slice(data.bytes);
            &buffer
        };
        let end = head_end(view, resume(before)).filter(|end| *end <= HEAD_MAX);
        let Some(end) = end else {
            message.saw(&data, data.bytes.len());
            if view.len() > HEAD_MAX {
                out.loss.add("http1_request_heads_too_large", 1);
                message.ends(Completion::Malformed, &Tally::default(), ledger, out);
                return (State::Lost, data.bytes.len());
            }
            if before == 0 {
                buffer = data.bytes.to_vec();
            }
            return (State::Head { message, buffer }, data.bytes.len());
        };
        let count = end.saturating_sub(before);
        message.saw(&data, count);
        let parsed = head::request(view.get(..end).unwrap_or_default(), data.carried);
        (Self::after_head(message, parsed, ledger, out), count)
    }

    fn after_head(
        message: Message,
        parsed: Option<head::Request>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> State {
        let Some(request) = parsed else {
            message.ends(Completion::Malformed, &Tally::default(), ledger, out);
            return State::Lost;
        };
        ledger.request_asks(message.index, request.asked);
        tell_head(message.index, request.head, out);
        if request.asked.tunnel {
            message.ends(Completion::Complete, &Tally::default(), ledger, out);
            return State::Tunnel(None);
        }
        let Some(framing) = request.framing else {
            message.ends(Completion::Malformed, &Tally::default(), ledger, out);
            return State::Lost;
        };
        if let Some(body) = Body::new(framing, Tally::default()) {
            return State::Body { message, body };
        }
        message.ends(Completion::Complete, &Tally::default(), ledger, out);
        State::Idle
    }

    fn body(
        mut message: Message,
        mut body: Body,
        data: Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> (State, usize) {
        match body.take(data.bytes) {
            Progress::More => {
                message.saw(&data, data.bytes.len());
                (State::Body { message, body }, data.bytes.len())
            }
            Progress::Done(count) => {
                message.saw(&data, count);
                message.ends(Completion::Complete, &body.tally, ledger, out);
                (State::Idle, count)
            }
            Progress::Broken(count, _) => {
                message.saw(&data, count);
                message.ends(Completion::Malformed, &body.tally, ledger, out);
                (State::Lost, count)
            }
        }
    }

    fn tunnel(early: Option<Early>, data: Data<'_>) -> State {
        let len = data.bytes.len() as u64;
        let mut early = early.unwrap_or(Early {
            offset: data.offset,
            len: 0,
            first: data.carried,
            last: data.carried,
        });
        early.len = early.len.saturating_add(len);
        early.last = data.carried;
        State::Tunnel(Some(early))
    }

    /// The connection becomes something else: a request that is open will not be completed.
    pub fn switch(&mut self, ledger: &mut Ledger, out: &mut Output<'_>) {
        let (message, tally) = match &self.state {
            State::Head { message, .. } => (*message, &Tally::default()),
            State::Body { message, body } => (*message, &body.tally),
            _ => return,
        };
        message.ends(Completion::Switched, tally, ledger, out);
    }

    /// The tunnel was granted: gives what came for it already.
    pub fn tunnel_opens(&mut self) -> Option<Early> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Tunnel(early) => early,
            _ => None,
        }
    }

    /// The tunnel was refused: requests may follow.
    pub fn tunnel_refused(&mut self) {
        if let State::Tunnel(early) = self.state {
            self.state = match early {
                None => State::Idle,
                Some(_) => State::Lost,
            };
        }
    }

    /// Takes note of missing bytes.
    pub fn gap(&mut self, hole: Hole, ledger: &mut Ledger, out: &mut Output<'_>) {
        self.state = match std::mem::take(&mut self.state) {
            State::Idle | State::Lost => {
                ledger.client_gap(out);
                State::Lost
            }
            State::Head { message, buffer } => {
                // With a short snap length this is every head: tell what can be read of it.
                if let Some(request) = head::request(&buffer, message.last) {
                    ledger.request_asks(message.index, request.asked);
                    tell_head(message.index, request.head, out);
                }
                ledger.client_gap(out);
                message.ends(Completion::LostInGap, &Tally::default(), ledger, out);
                State::Lost
            }
            State::Body {
                mut message,
                mut body,
            } => {
                let progress = body.skip(hole.len);
                if progress.is_some() {
                    message.end = hole.offset.saturating_add(hole.len);
                    message.last = out.seen;
                }
                match progress {
                    Some(Progress::Done(_)) => {
                        message.ends(Completion::Complete, &body.tally, ledger, out);
                        State::Idle
                    }
                    Some(_) => State::Body { message, body },
                    None => {
                        ledger.client_gap(out);
                        message.ends(Completion::LostInGap, &body.tally, ledger, out);
                        State::Lost
                    }
                }
            }
            State::Tunnel(early) => State::Tunnel(early.map(|early| Early {
                len: early.len.saturating_add(hole.len),
                ..early
            })),
            State::Closed => State::Closed,
        };
    }

    /// Whether a request has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// No more bytes for the request that is open.
    pub fn stop(&mut self, stop: Stop, ledger: &mut Ledger, out: &mut Output<'_>) {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Head { message, .. } => {
                message.ends(stop.in_head(), &Tally::default(), ledger, out);
            }
            State::Body { message, body } => {
                message.ends(stop.in_body(), &body.tally, ledger, out);
            }
            // Requests may cross a reset on the wire: they are still read.
            state => self.state = state,
        }
    }
}

fn tell_head(index: u32, head: crate::protocol::observation::RequestHead, out: &mut Output<'_>) {
    let exchange = out.exchange(index);
    let head = Arc::new(head);
    out.tell(Seen::RequestHead { exchange, head });
}
