//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112). In: both directions of a connection. Out: exchanges.
//!
//! The rule: the two directions are read apart and meet only in the ledger, which pairs them by order.

mod body;
mod fields;
mod head;
mod ledger;
mod lines;
mod message;
pub mod method;
pub mod names;
mod requests;
mod responses;
mod syntax;
#[cfg(test)]
mod tests;

use crate::flow::Direction;
use crate::protocol::parser::{After, Beginning, Data, Hole, Output, Parser, Stop};

/// A reader of one HTTP/1 connection.
#[derive(Debug, Default)]
pub struct Http1 {
    requests: requests::Requests,
    responses: responses::Responses,
    ledger: ledger::Ledger,
}

impl Http1 {
    /// Makes a reader.
    #[must_use]
    pub fn start(beginning: Beginning) -> Box<dyn Parser> {
        Box::new(match beginning {
            Beginning::First => Self::default(),
            Beginning::Middle => Self {
                requests: requests::Requests::joined(),
                responses: responses::Responses::joined(),
                ledger: ledger::Ledger::joined(),
            },
        })
    }

    /// Whether a segment that starts so is the start of a message.
    #[must_use]
    pub fn joins(direction: Direction, segment: &[u8]) -> bool {
        match direction {
            Direction::ToServer => method::looks_like_request(segment),
            Direction::ToClient => method::looks_like_response(segment),
        }
    }
}

impl Parser for Http1 {
    fn on_data(&mut self, data: Data<'_>, out: &mut Output<'_>) -> After {
        let end = data.offset.saturating_add(data.bytes.len() as u64);
        match data.direction {
            Direction::ToServer => {
                self.ledger.client_at = end;
                self.requests.take(data, &mut self.ledger, out);
            }
            Direction::ToClient => {
                // What is given up on the way lies before these bytes.
                self.ledger.server_at = data.offset;
                let switched = self.responses.take(data, &mut self.ledger, out);
                self.ledger.server_at = end;
                if let Some(taken) = switched {
                    return self.switch(taken, out);
                }
                if self.ledger.first().is_none() {
                    // The response to a CONNECT, if there was one, was no grant.
                    self.requests.tunnel_refused();
                }
            }
        }
        After::Stay
    }

    fn on_gap(&mut self, hole: Hole, out: &mut Output<'_>) {
        let end = hole.offset.saturating_add(hole.len);
        match hole.direction {
            Direction::ToServer => {
                self.ledger.client_at = end;
                self.requests.gap(hole, &mut self.ledger, out);
            }
            Direction::ToClient => {
                self.ledger.server_at = end;
                self.responses.gap(hole, &mut self.ledger, out);
            }
        }
    }

    fn on_finished(&mut self, direction: Direction, out: &mut Output<'_>) {
        match direction {
            Direction::ToServer => {
                self.ledger.client_closed = true;
                self.ledger.late_request_is_lost(out);
                self.requests.stop(Stop::Closed, &mut self.ledger, out);
            }
            Direction::ToClient => self.responses.stop(Stop::Closed, &mut self.ledger, out),
        }
    }

    fn on_stop(&mut self, stop: Stop, out: &mut Output<'_>) {
        self.ledger.late_request_is_lost(out);
        self.requests.stop(stop, &mut self.ledger, out);
        self.responses.stop(stop, &mut self.ledger, out);
    }

    fn is_over(&self) -> bool {
        self.ledger.is_over() && !self.requests.is_inside()
    }
}

impl Http1 {
    /// The connection becomes a tunnel or another protocol: a request that is still open goes with it.
    fn switch(&mut self, taken: usize, out: &mut Output<'_>) -> After {
        self.requests.switch(&mut self.ledger, out);
        self.ledger.give_up_before(u32::MAX, out);
        After::Next {
            taken,
            early: self.requests.tunnel_opens(),
        }
    }
}
