//! One response while it is read. In: its bytes' places. Out: what is told of it.
//!
//! The rule: a response without an owner, which nobody asked for, is read for its framing and never told.

use std::sync::Arc;

use crate::frame::Mark;
use crate::protocol::http1::ledger::Ledger;
use crate::protocol::observation::{Completion, Fault, MessageEnd, ResponseHead, Seen};
use crate::protocol::parser::{Data, Output, prefix_of};
use crate::protocol::tally::Tally;

/// A response being read.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its exchange.
    pub owner: Option<u32>,
    /// Stream offset of its first byte.
    pub start: u64,
    /// Stream offset after the last byte seen.
    pub end: u64,
    /// The frame of the last byte seen.
    pub last: Mark,
    first: Mark,
    announced: bool,
}

impl Message {
    /// A message that starts with the first byte of `data`.
    #[must_use]
    pub fn new(owner: Option<u32>, data: &Data<'_>) -> Self {
        Self {
            owner,
            start: data.offset,
            end: data.offset,
            last: data.carried,
            first: data.carried,
            announced: false,
        }
    }

    /// Notes that it holds the first `count` bytes of `data`.
    pub fn saw(&mut self, data: &Data<'_>, count: usize) {
        self.end = data.offset.saturating_add(count as u64);
        self.last = data.carried;
    }

    /// Tells its start, once: as soon as it cannot be an interim response any more.
    pub fn announce(&mut self, out: &mut Output<'_>) {
        if let Some(index) = self.owner
            && !self.announced
        {
            self.announced = true;
            out.response_start(index, self.first);
        }
    }

    /// Tells an interim response.
    pub fn tell_interim(&self, status: u16, out: &mut Output<'_>) {
        if let Some(index) = self.owner {
            let exchange = out.exchange(index);
            let at = self.last;
            out.tell(Seen::Interim {
                exchange,
                status,
                at,
            });
        }
    }

    /// Tells its head.
    pub fn tell_head(&self, head: ResponseHead, out: &mut Output<'_>) {
        if let Some(index) = self.owner {
            let exchange = out.exchange(index);
            let head = Arc::new(head);
            out.tell(Seen::ResponseHead { exchange, head });
        }
    }

    /// Tells a fault.
    pub fn tell_fault(&self, fault: Fault, prefix: &[u8], at: Mark, out: &mut Output<'_>) {
        if let Some(index) = self.owner {
            let exchange = out.exchange(index);
            out.tell(Seen::ResponseFault {
                exchange,
                fault,
                at,
                prefix: prefix_of(prefix),
            });
        }
    }

    /// Tells its end.
    pub fn ends(self, how: Completion, tally: Tally, ledger: &mut Ledger, out: &mut Output<'_>) {
        let Some(index) = self.owner else { return };
        ledger.response_ended(index);
        let end = MessageEnd {
            how,
            end_offset: self.end,
            body_len: tally.len(),
            body_hash: tally.hash(),
            at: self.last,
        };
        out.response_end(index, end, tally.into_prefix());
    }
}
