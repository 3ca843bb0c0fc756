//! The server's direction. In: its bytes in order. Out: starts, heads, faults and ends of responses.
//!
//! The rule: a response is told under the exchange that the ledger names; what breaks a rule is told with
//! its place, and what cannot be framed any more is counted until the connection ends.

use crate::protocol::http1::body::{Body, Framing, Progress};
use crate::protocol::http1::head;
use crate::protocol::http1::ledger::Ledger;
use crate::protocol::http1::lines::{head_end, resume};
use crate::protocol::http1::message::Message;
use crate::protocol::http1::method::{looks_like_response, may_be_response};
use crate::protocol::http1::syntax::{StatusLine, status_line};
use crate::protocol::observation::{Completion, Fault, Rule};
use crate::protocol::parser::{Data, Hole, Output, Stop};
use crate::protocol::tally::Tally;

/// Most bytes of a response's head: four times the largest limit of a gateway by default (Squid 64 KB).
pub const HEAD_MAX: usize = 256 * 1024;

/// Bytes of an encoded body that are kept: the header of a gzip stream (RFC 1952, section 2.3).
const CODING_MARK_MAX: usize = 10;

/// Reads responses.
#[derive(Debug, Default)]
pub struct Responses {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Between two responses.
    #[default]
    Idle,
    Head {
        message: Message,
        buffer: Vec<u8>,
    },
    Body {
        message: Message,
        body: Body,
        /// A rule was broken: this is whatever follows, until the connection ends.
        broken: bool,
    },
    /// Bytes that nobody asked for, until somebody asks.
    Stray,
    /// Waiting for a segment that starts like a response.
    Lost,
    Closed,
}

/// What a step did: the next state, the bytes it took, and whether the protocol changes after them.
struct Step {
    state: State,
    taken: usize,
    switched: bool,
}

impl Step {
    const fn to(state: State, taken: usize) -> Self {
        Self {
            state,
            taken,
            switched: false,
        }
    }
}

impl Responses {
    /// A reader that joins in the middle.
    #[must_use]
    pub fn joined() -> Self {
        Self { state: State::Lost }
    }

    /// Takes bytes in. `Some`: the protocol changed after that many of them.
    pub fn take(
        &mut self,
        mut data: Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> Option<usize> {
        let whole = data.bytes.len();
        if let State::Body { message, body, .. } = &mut self.state
            && body.take_inside(data.bytes)
        {
            message.saw(&data, whole);
            return None;
        }
        if matches!(self.state, State::Lost) {
            self.find_response(data, ledger, out);
        } else if matches!(self.state, State::Stray) && ledger.first().is_some() {
            self.state = State::Idle;
        }
        while !data.bytes.is_empty() {
            let step = match std::mem::take(&mut self.state) {
                State::Idle => Self::idle(data, ledger, out),
                State::Head { message, buffer } => Self::head(message, buffer, data, ledger, out),
                State::Body {
                    message,
                    body,
                    broken,
                } => Self::body(message, body, broken, data, ledger, out),
                state @ State::Lost => {
                    ledger.server_unread = true;
                    out.loss
                        .add("http1_response_bytes_not_framed", data.bytes.len() as u64);
                    Step::to(state, data.bytes.len())
                }
                state @ (State::Stray | State::Closed) => Step::to(state, data.bytes.len()),
            };
            self.state = step.state;
            data = data.after(step.taken);
            if step.switched {
                self.state = State::Closed;
                return Some(whole.saturating_sub(data.bytes.len()));
            }
        }
        None
    }

    /// After a gap: a segment that starts like a response belongs to the latest request seen before it.
    fn find_response(&mut self, data: Data<'_>, ledger: &mut Ledger, out: &mut Output<'_>) {
        if !looks_like_response(data.bytes) {
            return;
        }
        let index = match ledger.latest() {
            Some(latest) => {
                ledger.give_up_before(latest.index, out);
                latest.index
            }
            None if ledger.client_lost => ledger.orphan(out),
            None => return,
        };
        ledger.server_lost = false;
        self.state = State::Head {
            message: Message::new(Some(index), &data),
            buffer: Vec::new(),
        };
    }

    fn idle(data: Data<'_>, ledger: &mut Ledger, out: &mut Output<'_>) -> Step {
        let head = |owner, data: &Data<'_>, taken| {
            let message = Message::new(owner, data);
            let buffer = Vec::new();
            Step::to(State::Head { message, buffer }, taken)
        };
        match ledger.first() {
            Some(first) if first.certain => return head(Some(first.index), &data, 0),
            // A request may lie hidden before this one: neither pairing can be told.
            Some(first) => {
                ledger.give_up_before(first.index.saturating_add(1), out);
                return head(Some(ledger.orphan(out)), &data, 0);
            }
            None => {}
        }
        // An empty line after a body is an old habit of some servers, and no message.
        let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let skipped = data.bytes.iter().take_while(|byte| blank(byte)).count();
        let data = data.after(skipped);
        if data.bytes.is_empty() {
            return Step::to(State::Idle, skipped);
        }
        let readable = may_be_response(data.bytes);
        if readable && (ledger.client_lost || ledger.request_is_late(out)) {
            return head(Some(ledger.orphan(out)), &data, skipped);
        }
        out.unsolicited(data.bytes, data.carried);
        if readable {
            return head(None, &data, skipped);
        }
        Step::to(State::Stray, skipped)
    }

    fn head(
        mut message: Message,
        mut buffer: Vec<u8>,
        data: Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> Step {
        let before = buffer.len();
        let view = if before == 0 {
            data.bytes
        } else {
            buffer.extend_from_slice(data.bytes);
            &buffer
        };
        let status = status_line(view);
        if !matches!(
            status,
            StatusLine::Partial(None | Some(b'1')) | StatusLine::Status(100 | 102..=199)
        ) {
            message.announce(out);
        }
        if let StatusLine::Broken(place) = status {
            let fault = fault_at(Rule::StatusLine, place as u64, view, place);
            return Self::broken(message, fault, view, &data, ledger, out);
        }
        let end = head_end(view, resume(before)).filter(|end| *end <= HEAD_MAX);
        let Some(end) = end else {
            if view.len() > HEAD_MAX {
                message.announce(out);
                let fault = fault_at(Rule::HeadTooLarge, HEAD_MAX as u64, view, HEAD_MAX);
                return Self::broken(message, fault, view, &data, ledger, out);
            }
            message.saw(&data, data.bytes.len());
            if before == 0 {
                buffer = data.bytes.to_vec();
            }
            return Step::to(State::Head { message, buffer }, data.bytes.len());
        };
        let count = end.saturating_sub(before);
        message.saw(&data, count);
        let parsed = head::response(view.get(..end).unwrap_or_default(), data.carried);
        let Some(response) = parsed else {
            // `status_line` found a status, so this cannot be; keep counting all the same.
            let fault = fault_at(Rule::StatusLine, 0, view, 0);
            return Self::broken(message, fault, view, &data, ledger, out);
        };
        Self::after_head(message, response, count, ledger, out)
    }

    fn after_head(
        message: Message,
        mut response: head::Response,
        taken: usize,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> Step {
        let status = response.head.status;
        let asked = message.owner.map(|index| ledger.asked(index));
        if matches!(status, 100 | 102..=199) {
            message.tell_interim(status, out);
            return Step::to(State::Idle, taken);
        }
        let asked = asked.unwrap_or(head::Asked::UNKNOWN);
        let switched = message.owner.is_some()
            && (status == 101 || (asked.tunnel && (200..=299).contains(&status)));
        if status == 101 && !asked.upgrade {
            let mut oddities = std::mem::take(&mut response.head.oddities).into_vec();
            oddities.push(Fault {
                rule: Rule::UnaskedUpgrade,
                offset: 9,
                byte: None,
                excerpt: (*b"101").into(),
            });
            response.head.oddities = oddities.into();
        }
        let framing = response.framing_for(asked);
        let tally = if status >= 400 {
            Tally::with_prefix()
        } else if response.head.is_encoded() {
            Tally::with_first(CODING_MARK_MAX)
        } else {
            Tally::default()
        };
        message.tell_head(response.head, out);
        if switched {
            message.ends(Completion::Switched, tally, ledger, out);
            return Step {
                state: State::Closed,
                taken,
                switched: true,
            };
        }
        match framing {
            Framing::Length(0) => {
                message.ends(Completion::Complete, tally, ledger, out);
                Step::to(State::Idle, taken)
            }
            framing => {
                let state = match Body::new(framing, tally) {
                    Some(body) => State::Body {
                        message,
                        body,
                        broken: false,
                    },
                    None => State::Idle,
                };
                Step::to(state, taken)
            }
        }
    }

    /// Tells a fault of the head; what came instead of it is counted from its first byte on.
    fn broken(
        mut message: Message,
        fault: Fault,
        view: &[u8],
        data: &Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> Step {
        message.saw(data, data.bytes.len());
        if message.owner.is_none() {
            return Step::to(State::Stray, data.bytes.len());
        }
        message.tell_fault(fault, view, data.carried, out);
        ledger.server_broken = true;
        let mut tally = Tally::with_prefix();
        tally.take(view);
        let state = State::Body {
            message,
            body: Body::until_close(tally),
            broken: true,
        };
        Step::to(state, data.bytes.len())
    }

    fn body(
        mut message: Message,
        mut body: Body,
        mut broken: bool,
        data: Data<'_>,
        ledger: &mut Ledger,
        out: &mut Output<'_>,
    ) -> Step {
        match body.take(data.bytes) {
            Progress::More => message.saw(&data, data.bytes.len()),
            Progress::Done(count) => {
                message.saw(&data, count);
                message.ends(Completion::Complete, body.tally, ledger, out);
                return Step::to(State::Idle, count);
            }
            Progress::Broken(place, rule) => {
                let rest = data.after(place);
                let offset = rest.offset.saturating_sub(message.start);
                let fault = fault_at(rule, offset, data.bytes, place);
                message.tell_fault(fault, rest.bytes, data.carried, out);
                message.saw(&data, data.bytes.len());
                body = Body::until_close(body.tally);
                body.take(rest.bytes);
                broken = true;
                ledger.server_broken = true;
            }
        }
        let state = State::Body {
            message,
            body,
            broken,
        };
        Step::to(state, data.bytes.len())
    }

    /// Takes note of missing bytes.
    pub fn gap(&mut self, hole: Hole, ledger: &mut Ledger, out: &mut Output<'_>) {
        self.state = match std::mem::take(&mut self.state) {
            State::Head {
                mut message,
                buffer,
            } => {
                Self::cut_head(&mut message, &buffer, ledger, out);
                State::Lost
            }
            State::Body {
                mut message,
                mut body,
                broken,
            } => match body.skip(hole.len) {
                Some(progress) => {
                    message.end = hole.offset.saturating_add(hole.len);
                    message.last = out.seen;
                    if let Progress::Done(_) = progress {
                        message.ends(Completion::Complete, body.tally, ledger, out);
                        State::Idle
                    } else {
                        State::Body {
                            message,
                            body,
                            broken,
                        }
                    }
                }
                None => {
                    message.ends(Completion::LostInGap, body.tally, ledger, out);
                    State::Lost
                }
            },
            State::Closed => State::Closed,
            State::Idle | State::Stray | State::Lost => State::Lost,
        };
        if matches!(self.state, State::Lost) {
            ledger.server_lost = true;
            ledger.server_unread = true;
        }
    }

    /// Tells what can be read of a head that a gap cut. With a short snap length this is every head.
    fn cut_head(message: &mut Message, buffer: &[u8], ledger: &mut Ledger, out: &mut Output<'_>) {
        let parsed = head::response(buffer, message.last);
        if let Some(response) = &parsed
            && matches!(response.head.status, 100 | 102..=199)
        {
            message.tell_interim(response.head.status, out);
            return;
        }
        message.announce(out);
        let mut tally = Tally::default();
        match parsed {
            Some(response) => message.tell_head(response.head, out),
            None => tally = Self::instead_of_head(buffer),
        }
        message.ends(Completion::LostInGap, tally, ledger, out);
    }

    /// The bytes of an unfinished head as a prefix.
    fn instead_of_head(buffer: &[u8]) -> Tally {
        let mut tally = Tally::with_prefix();
        tally.take(buffer);
        tally
    }

    /// No more bytes: ends the open response, and those that wait.
    pub fn stop(&mut self, stop: Stop, ledger: &mut Ledger, out: &mut Output<'_>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Head {
                mut message,
                buffer,
            } => {
                message.announce(out);
                let tally = Self::instead_of_head(&buffer);
                message.ends(stop.in_head(), tally, ledger, out);
            }
            State::Body {
                message,
                body,
                broken,
            } => {
                let how = if broken {
                    Completion::Malformed
                } else if body.ends_by_close() && stop == Stop::Closed {
                    Completion::CompleteByClose
                } else {
                    stop.in_body()
                };
                message.ends(how, body.tally, ledger, out);
            }
            State::Idle | State::Stray | State::Lost | State::Closed => {}
        }
        ledger.server_stops(stop, out);
    }
}

/// A fault at `place` of `bytes`, which is `offset` bytes into the message.
fn fault_at(rule: Rule, offset: u64, bytes: &[u8], place: usize) -> Fault {
    const EXCERPT_MAX: usize = 24;
    let start = place.saturating_sub(EXCERPT_MAX / 2);
    let end = start.saturating_add(EXCERPT_MAX).min(bytes.len());
    Fault {
        rule,
        offset: u32::try_from(offset).unwrap_or(u32::MAX),
        byte: bytes.get(place).copied(),
        excerpt: bytes.get(start..end).unwrap_or_default().into(),
    }
}
