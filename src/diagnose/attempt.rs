//! One use of an upstream connection by a gateway. In: the timeline's records. Out: a view that causes
//! examine, and the verdict type that they return.
//!
//! The rule: order and direction decide blame. What a gateway does after it gave up is a consequence.

use crate::diagnose::finding::{Confidence, Evidence, Leg, RuledOut};
use crate::diagnose::timeline::{ConnectionRecord, ExchangeRecord};
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::Completion;
use crate::tcp::event::Closing;
use crate::time::Timestamp;

/// What a cause says of an attempt that it explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What refines the code.
    pub detail: Option<String>,
    /// The event that made the attempt fail; `None` where it is an absence (nobody answered).
    pub at: Option<Mark>,
    /// The most that may be said of it: `Certain` when the event was seen.
    pub confidence: Confidence,
    /// Why not more, one clause each.
    pub reservations: Vec<String>,
    /// Proof.
    pub evidence: Vec<Evidence>,
    /// Neighbours and why it is not them.
    pub ruled_out: Vec<RuledOut>,
    /// Codes that contributed.
    pub contributing: Vec<&'static str>,
}

impl Verdict {
    /// A verdict whose event was seen at `at`.
    #[must_use]
    pub fn seen(at: Mark) -> Self {
        Self {
            detail: None,
            at: Some(at),
            confidence: Confidence::Certain,
            reservations: Vec::new(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            contributing: Vec::new(),
        }
    }

    /// A verdict from an absence.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            at: None,
            ..Self::seen(Mark::default())
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a frame on the upstream leg and what it proves.
    #[must_use]
    pub fn proof(self, mark: Mark, summary: impl Into<String>) -> Self {
        self.proof_on(Leg::Upstream, mark, summary)
    }

    /// Adds a frame on any leg and what it proves.
    #[must_use]
    pub fn proof_on(mut self, leg: Leg, mark: Mark, summary: impl Into<String>) -> Self {
        self.evidence.push(Evidence {
            mark,
            leg,
            summary: summary.into(),
        });
        self
    }

    /// Adds a neighbour that it is not.
    #[must_use]
    pub fn not(mut self, code: &'static str, reason: impl Into<String>) -> Self {
        self.ruled_out.push(RuledOut {
            code,
            reason: reason.into(),
        });
        self
    }

    /// Says at most `confidence`, and why.
    #[must_use]
    pub fn at_most(mut self, confidence: Confidence, reservation: impl Into<String>) -> Self {
        if self.confidence > confidence {
            self.confidence = confidence;
        }
        self.reservations.push(reservation.into());
        self
    }
}

/// Who ended a connection first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstClose {
    /// Whose direction: `ToClient` is the upstream, `ToServer` the gateway.
    pub by: Direction,
    /// RST, else FIN.
    pub reset: bool,
    /// The segment.
    pub closing: Closing,
}

/// One use of an upstream connection. The gateway is the connection's client.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The upstream connection.
    pub connection: &'a ConnectionRecord,
    /// The request on it; `None` when the connection never carried one.
    pub exchange: Option<&'a ExchangeRecord>,
    /// Facts later than this are no causes: the moment at which the gateway answered its client, with
    /// tolerance.
    pub until: Timestamp,
    /// Whether other connections to the same upstream endpoint spoke TLS.
    pub server_speaks_tls: bool,
    /// Largest whole response head that the gateway's product takes, where the product is known, bytes.
    pub head_max: Option<u32>,
    /// Longest response header line that it takes.
    pub line_max: Option<u32>,
    /// Name of the gateway's product, where known.
    pub product: Option<&'static str>,
}

impl Attempt<'_> {
    /// When the attempt began: its SYN when the connection was opened for it, else its request.
    #[must_use]
    pub fn started(&self) -> Mark {
        match self.exchange {
            Some(exchange) if exchange.id.index > 0 || !self.connection.opened_for_first_use() => {
                exchange.request_at
            }
            _ => self.connection.facts.opened,
        }
    }

    /// Responses that were complete on this connection before this use.
    #[must_use]
    pub fn prior_responses(&self) -> u32 {
        self.exchange.map_or(0, |exchange| exchange.prior_responses)
    }

    /// Whether the server answered the SYN, or anything else shows that the handshake was done.
    #[must_use]
    pub fn connected(&self) -> bool {
        let facts = &self.connection.facts;
        !facts.from_server.syns.is_empty()
            || facts.established.is_some()
            || facts.from_server.sent > 0
            || facts.from_server.acknowledged.is_some()
            || facts.from_client.sent > 0
    }

    /// The first FIN or RST of either side up to `until`.
    #[must_use]
    pub fn first_close(&self) -> Option<FirstClose> {
        let facts = &self.connection.facts;
        let found = |by: Direction, reset: bool, closing: &Option<Closing>| {
            closing
                .filter(|closing| closing.mark.time <= self.until)
                .map(|closing| FirstClose { by, reset, closing })
        };
        [
            found(Direction::ToClient, true, &facts.from_server.reset),
            found(Direction::ToClient, false, &facts.from_server.fin),
            found(Direction::ToServer, true, &facts.from_client.reset),
            found(Direction::ToServer, false, &facts.from_client.fin),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|close| close.closing.mark)
    }

    /// The first close, when the upstream made it.
    #[must_use]
    pub fn closed_by_upstream(&self) -> Option<FirstClose> {
        self.first_close()
            .filter(|close| close.by == Direction::ToClient)
    }

    /// The first close, when the gateway made it.
    #[must_use]
    pub fn closed_by_gateway(&self) -> Option<FirstClose> {
        self.first_close()
            .filter(|close| close.by == Direction::ToServer)
    }

    /// First byte of the upstream's response to this request, up to `until`.
    #[must_use]
    pub fn response_start(&self) -> Option<Mark> {
        self.exchange
            .and_then(|exchange| exchange.response_at)
            .filter(|at| at.time <= self.until)
    }

    /// How the response ended, where that is known.
    #[must_use]
    pub fn completion(&self) -> Option<Completion> {
        self.exchange
            .and_then(|exchange| exchange.response_end)
            .map(|end| end.how)
    }

    /// Stream offset after the request's last byte.
    #[must_use]
    pub fn request_end_offset(&self) -> u64 {
        let sent = self.connection.facts.from_client.sent;
        self.exchange
            .and_then(|exchange| exchange.request_end)
            .map_or(sent, |end| end.end_offset)
    }
}
