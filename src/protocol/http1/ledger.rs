//! Which response belongs to which request. In: starts and ends of both. Out: the owner of a response.
//!
//! The rule: responses come in the order of requests (RFC 9112, section 9.3.2), and nothing is paired across
//! a gap that may hide a message, save that a response belongs to the latest request seen before it.

use std::collections::VecDeque;

use crate::frame::Mark;
use crate::protocol::http1::head::Asked;
use crate::protocol::observation::Completion;
use crate::protocol::parser::{Output, Stop, bare_end};

/// Most requests of one connection that wait for a response at the same time. Clients that pipeline at all
/// send a few; a server that never answers must not fill the memory.
pub const WAITING_MAX: usize = 256;

/// A request whose response is not complete.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Its exchange.
    pub index: u32,
    /// What it asks of the connection.
    pub asked: Asked,
    /// Whether a response in order is surely its own: no request can lie hidden before it.
    pub certain: bool,
}

/// The requests that wait, and what is known to be missing.
#[derive(Debug, Default)]
pub struct Ledger {
    waiting: VecDeque<Waiting>,
    /// An exchange whose response came before its request: frames were captured out of order.
    awaited: Option<u32>,
    /// Requests may lie in a gap since the last one seen.
    pub client_lost: bool,
    /// The client has closed its side.
    pub client_closed: bool,
    /// Stream offset up to which the client's bytes were delivered.
    pub client_at: u64,
    /// Stream offset up to which the server's bytes were delivered.
    pub server_at: u64,
    /// Responses, or parts of them, may lie in a gap, and no response was found since.
    pub server_lost: bool,
    /// Unreadable bytes of the server came since the last request was seen.
    pub server_unread: bool,
    /// What came cannot be framed: later responses cannot be found.
    pub server_broken: bool,
    /// No response will come any more.
    gone: Option<Stop>,
}

impl Ledger {
    /// The ledger of a stream whose beginning was not captured.
    #[must_use]
    pub fn joined() -> Self {
        Self {
            client_lost: true,
            server_lost: true,
            server_unread: true,
            ..Self::default()
        }
    }

    /// The oldest request that waits.
    #[must_use]
    pub fn first(&self) -> Option<Waiting> {
        self.waiting.front().copied()
    }

    /// The latest request that waits.
    #[must_use]
    pub fn latest(&self) -> Option<Waiting> {
        self.waiting.back().copied()
    }

    /// What the request of an exchange asked.
    #[must_use]
    pub fn asked(&self, index: u32) -> Asked {
        self.waiting
            .iter()
            .find(|waiting| waiting.index == index)
            .map_or(Asked::UNKNOWN, |waiting| waiting.asked)
    }

    /// A request starts: tells so and gives its number.
    pub fn request_starts(&mut self, offset: u64, at: Mark, out: &mut Output<'_>) -> u32 {
        if let Some(index) = self.awaited.take() {
            out.request_start(index, offset, at);
            return index;
        }
        if self.server_lost {
            // The client goes on, so what it waited for lies in the gap.
            self.give_up_before(u32::MAX, out);
        }
        self.server_unread = false;
        let index = out.new_exchange();
        out.request_start(index, offset, at);
        let certain = !self.client_lost || self.waiting.is_empty();
        self.client_lost = !certain;
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Waiting {
                index,
                asked: Asked::UNKNOWN,
                certain,
            });
        } else {
            out.loss.add("http1_waiting_requests_not_tracked", 1);
            let end = bare_end(Completion::LostInGap, self.server_at, out.seen);
            out.response_end(index, end, Box::default());
            self.client_lost = true;
        }
        index
    }

    /// A request's head is known.
    pub fn request_asks(&mut self, index: u32, asked: Asked) {
        let found = self
            .waiting
            .iter_mut()
            .rev()
            .find(|waiting| waiting.index == index);
        if let Some(waiting) = found {
            waiting.asked = asked;
        }
    }

    /// A request has ended; when no response can come, that is told too.
    pub fn request_ended(&mut self, index: u32, out: &mut Output<'_>) {
        if let Some(stop) = self.gone
            && self.waiting.iter().any(|waiting| waiting.index == index)
        {
            self.response_ended(index);
            self.tell_none(index, stop, out);
        }
    }

    /// Makes an exchange for a response whose request was not seen.
    pub fn orphan(&mut self, out: &mut Output<'_>) -> u32 {
        let index = out.new_exchange();
        self.waiting.push_front(Waiting {
            index,
            asked: Asked::UNKNOWN,
            certain: true,
        });
        if self.client_lost || self.awaited.is_some() {
            self.tell_request_lost(index, out);
        } else {
            self.awaited = Some(index);
        }
        index
    }

    /// Whether the server has acknowledged client bytes that were not delivered yet: then its bytes may
    /// answer a request whose frame comes later in the capture.
    #[must_use]
    pub fn request_is_late(&self, out: &Output<'_>) -> bool {
        // Past a FIN the acknowledgement counts one more than the bytes.
        !self.client_closed
            && out
                .connection
                .from_client
                .acknowledged
                .is_some_and(|acknowledged| acknowledged > self.client_at)
    }

    /// Bytes of the client are missing where a request may start.
    pub fn client_gap(&mut self, out: &mut Output<'_>) {
        self.client_lost = true;
        self.late_request_is_lost(out);
    }

    /// The request of a response that came first will not be seen.
    pub fn late_request_is_lost(&mut self, out: &mut Output<'_>) {
        if let Some(index) = self.awaited.take() {
            self.tell_request_lost(index, out);
        }
    }

    /// The response of an exchange is over.
    pub fn response_ended(&mut self, index: u32) {
        self.waiting.retain(|waiting| waiting.index != index);
    }

    /// Ends every response that waits and is older than `index`: it lies in a gap.
    pub fn give_up_before(&mut self, index: u32, out: &mut Output<'_>) {
        while let Some(waiting) = self.waiting.front().copied()
            && waiting.index < index
        {
            self.waiting.pop_front();
            let end = bare_end(Completion::LostInGap, self.server_at, out.seen);
            out.response_end(waiting.index, end, Box::default());
        }
    }

    /// Whether neither side will say anything more, and nobody waits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.client_closed && self.gone.is_some() && self.waiting.is_empty()
    }

    /// No response will come any more: ends those that did not begin.
    pub fn server_stops(&mut self, stop: Stop, out: &mut Output<'_>) {
        while let Some(waiting) = self.waiting.pop_front() {
            self.tell_none(waiting.index, stop, out);
        }
        self.gone = Some(stop);
    }

    fn tell_none(&self, index: u32, stop: Stop, out: &mut Output<'_>) {
        let how = if self.server_lost && self.server_unread {
            Completion::LostInGap
        } else if self.server_broken {
            Completion::Malformed
        } else if stop == Stop::Unseen && !self.client_closed {
            Completion::CaptureEnded
        } else {
            Completion::Nothing
        };
        let end = bare_end(how, self.server_at, out.seen);
        out.response_end(index, end, Box::default());
    }

    fn tell_request_lost(&self, index: u32, out: &mut Output<'_>) {
        let end = bare_end(Completion::LostInGap, self.client_at, out.seen);
        out.request_end(index, end);
    }
}
