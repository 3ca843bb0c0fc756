//! What is remembered of one connection and of one exchange. In: nothing. Out: the records that the timeline
//! keeps and causes examine.
//!
//! The rule: a record holds what was seen and where; what it means is said elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::decode::segment::IcmpError;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{
    Completion, ExchangeId, Fault, MessageEnd, Protocol, RequestHead, ResponseHead, TlsStep,
};
use crate::tcp::event::{Connection, ConnectionId, Ending, HalfFacts};

/// Headers whose value is one request's own, when a gateway passes them on unchanged.
pub const REQUEST_IDS: &[&str] = &[
    "x-request-id",
    "x-correlation-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "x-b3-traceid",
    "idempotency-key",
];

/// One connection as diagnosis remembers it.
#[derive(Clone, Debug)]
pub struct ConnectionRecord {
    /// TCP facts as of the latest observation.
    pub facts: Arc<Connection>,
    /// Wireshark's number of the stream: the count of connections opened before in the same input.
    pub stream_number: u32,
    /// What it speaks, once known.
    pub protocol: Option<Protocol>,
    /// Its recent exchanges, oldest first. Each apart: a connection of a pool carries thousands, and a queue that grows
    /// would move them, and keep room for as many again.
    pub exchanges: VecDeque<Box<ExchangeRecord>>,
    /// TLS steps in order.
    pub tls: Vec<(TlsStep, Mark)>,
    /// ICMP errors that quote it.
    pub icmp: Vec<IcmpError>,
    /// Version and place of the PROXY header that it began with.
    pub proxy_header: Option<(u8, Mark)>,
    /// Bytes that the server sent unasked.
    pub unsolicited: Option<(Mark, Box<[u8]>)>,
    /// How it left the table.
    pub ended: Option<Ending>,
    /// Complete responses so far.
    pub responses: u32,
    /// End of the latest complete response.
    pub idle_since: Option<Mark>,
    /// Whether anything of the server was seen.
    pub answered: bool,
    /// Whether its opening (the attempt without a request) has been given to an exchange.
    pub claimed: bool,
    /// Whether this is a view whose opener only passes on what another host opened, as a router that translates
    /// addresses does.
    pub passed_on: bool,
    /// Marks of it that were compared with those of other connections.
    pub marks_compared: usize,
    /// Its number among the newcomers, until it came into full view or was looked at.
    pub newcomer: Option<u32>,
    /// Whether it stands in the timeline's agenda, or among the newcomers.
    pub scheduled: bool,
}

/// A broken rule, where it shows, and the first bytes of what breaks it.
pub type Broken = (Fault, Mark, Box<[u8]>);

/// The interim responses of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Interims {
    /// The status of the first, and its frame.
    pub first: (u16, Mark),
    /// How many there were.
    pub count: u32,
    /// The frame of the latest.
    pub latest: Mark,
}

/// One exchange on a connection (or one turn of an unknown protocol).
#[derive(Clone, Debug)]
pub struct ExchangeRecord {
    /// Its name.
    pub id: ExchangeId,
    /// Stream offset of the request's first byte.
    pub request_offset: u64,
    /// First byte of the request.
    pub request_at: Mark,
    /// Complete responses on the connection before this request.
    pub prior_responses: u32,
    /// When the connection had become idle before this request: end of the previous response.
    pub idle_since: Option<Mark>,
    /// The request's head.
    pub request: Option<Arc<RequestHead>>,
    /// How the request ended.
    pub request_end: Option<MessageEnd>,
    /// Interim responses, where there were any.
    pub interims: Option<Box<Interims>>,
    /// First byte of the response.
    pub response_at: Option<Mark>,
    /// The response's head.
    pub response: Option<Arc<ResponseHead>>,
    /// A rule that the response breaks, with the response's first bytes.
    pub fault: Option<Box<Broken>>,
    /// How the response ended.
    pub response_end: Option<MessageEnd>,
    /// First bytes of the body, or of what came instead of a head.
    pub body_prefix: Box<[u8]>,
    /// Whether it has been given, as an attempt, to an exchange of a client.
    pub claimed: bool,
    /// Whether its failure has been told, perhaps by another view.
    pub told: bool,
}

impl ExchangeRecord {
    /// A record of an exchange whose request has just begun.
    #[must_use]
    pub fn new(
        id: ExchangeId,
        request_offset: u64,
        request_at: Mark,
        record: &ConnectionRecord,
    ) -> Self {
        Self {
            id,
            request_offset,
            request_at,
            prior_responses: record.responses,
            idle_since: record.idle_since,
            request: None,
            request_end: None,
            interims: None,
            response_at: None,
            response: None,
            fault: None,
            response_end: None,
            body_prefix: Box::default(),
            claimed: false,
            told: false,
        }
    }

    /// Whether the response is whole, well-formed and no server error: nothing to explain here.
    #[must_use]
    pub fn went_well(&self) -> bool {
        self.fault.is_none()
            && self.response_end.is_some_and(|end| end.how.is_complete())
            && self.response.as_ref().is_none_or(|head| head.status < 500)
    }

    /// Whether it went well and no gateway could find fault with the answer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        /// The smallest head that a gateway refuses for its size, bytes.
        const SUSPICIOUS_HEAD: u32 = 4_096;
        self.went_well()
            && self
                .response
                .as_ref()
                .is_none_or(|head| head.oddities.is_empty() && head.head_len < SUSPICIOUS_HEAD)
    }

    /// The status of the response, where it has a head.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|head| head.status)
    }

    /// The request's last byte, or the first where the end was not seen.
    #[must_use]
    pub fn asked_at(&self) -> Mark {
        self.request
            .as_ref()
            .map_or(self.request_at, |head| head.at)
    }

    /// Whether the request asked for a 100 before its body (RFC 9110, section 10.1.1); `None` where the capture does
    /// not hold its whole head.
    #[must_use]
    pub fn expects_continue(&self) -> Option<bool> {
        let cut = self
            .request_end
            .is_some_and(|end| end.how == Completion::LostInGap);
        let head = self.request.as_ref().filter(|_| !cut)?;
        Some(head.kept.get("expect").is_some())
    }

    /// Whether its request was still being sent at `at`: the body that its head announces was not whole then.
    /// False where the capture does not tell.
    #[must_use]
    pub fn was_sent_at(&self, at: Mark) -> bool {
        let announced = self
            .request
            .as_ref()
            .is_some_and(|head| head.chunked || head.content_length.is_some_and(|len| len > 0));
        let open = self.request_end.is_none_or(|end| match end.how {
            Completion::Complete => end.at > at,
            Completion::BodyClosed | Completion::BodyReset | Completion::CaptureEnded => true,
            _ => false,
        });
        announced && open
    }

    /// The latest thing that was seen of it.
    #[must_use]
    pub fn last_at(&self) -> Mark {
        self.response_end
            .map(|end| end.at)
            .or(self.response_at)
            .unwrap_or(self.request_at)
    }
}

impl ConnectionRecord {
    /// Whether a filter kept out what was said here: only segments with SYN, FIN or RST are in the capture.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        let facts = &self.facts;
        let unbegun = facts.initial_sequences == (None, None);
        let closed = |half: &HalfFacts| half.fin.is_some() || half.reset.is_some();
        facts.flags_only
            && (facts.from_client.hidden > 0
                || facts.from_server.hidden > 0
                || unbegun && (closed(&facts.from_client) || closed(&facts.from_server)))
    }

    /// Whether it has exchanges that will be forgotten before it, or may turn out to be hidden.
    #[must_use]
    pub fn needs_a_look(&self) -> bool {
        let facts = &self.facts;
        let answered = facts.flags_only && !facts.from_server.syns.is_empty();
        match self.ended {
            Some(_) => !self.exchanges.is_empty() && !self.settled(),
            None => !self.exchanges.is_empty() || answered,
        }
    }

    /// Whether something may have been said between two marks that a filter kept out.
    #[must_use]
    pub fn was_hidden(&self, from: Mark, until: Mark) -> bool {
        /// How long after a SYN-ACK its acknowledgement, or anything else, would have been seen, nanoseconds.
        const ACKNOWLEDGED_NANOS_MIN: i64 = 1_000_000_000;
        let facts = &self.facts;
        if !facts.flags_only {
            return false;
        }
        let halves = [&facts.from_client, &facts.from_server];
        let closings = halves.map(|half| [half.fin, half.reset]);
        let closed = closings.iter().flatten().flatten().map(|it| it.mark).min();
        match closed {
            Some(closed) => self.is_hidden() && closed >= from,
            // Open, and acknowledged without a trace.
            None => halves.iter().all(|half| match *half.syns {
                [only] => until.time.nanos_since(only.time) >= ACKNOWLEDGED_NANOS_MIN,
                _ => false,
            }),
        }
    }

    /// Whether the first request followed the handshake at once, so that the connection was opened for it
    /// and not held ready in a pool.
    #[must_use]
    pub fn opened_for_first_use(&self) -> bool {
        /// A pool that opens ahead leaves more than this between handshake and first request, nanoseconds.
        const OPENED_AHEAD_MIN_NANOS: i64 = 50_000_000;
        let ready = self.facts.established.unwrap_or(self.facts.opened);
        !self.facts.from_client.syns.is_empty()
            && self
                .facts
                .from_client
                .first_data
                .is_none_or(|first| first.time.nanos_since(ready.time) < OPENED_AHEAD_MIN_NANOS)
    }

    /// For how long nothing had been outstanding when the server closed first, nanoseconds, and after how many answers;
    /// `None` where the client closed first, or a request was open.
    #[must_use]
    pub fn closed_while_idle(&self) -> Option<(i64, u32)> {
        let fin = self.facts.from_server.fin?;
        let client = &self.facts.from_client;
        let client_first = [client.fin, client.reset]
            .into_iter()
            .flatten()
            .any(|closing| closing.mark < fin.mark);
        let open = self
            .exchanges
            .back()
            .is_some_and(|last| !last.response_end.is_some_and(|end| end.how.is_complete()));
        let announced = self
            .exchanges
            .back()
            .and_then(|last| last.response.as_ref())
            .is_some_and(|head| head.close);
        let since = self.idle_since?;
        (!client_first && !open && !announced)
            .then(|| (fin.mark.time.nanos_since(since.time), self.responses))
    }

    /// Whether bytes of `direction` are missing from the capture.
    #[must_use]
    pub fn lossy(&self, direction: Direction) -> bool {
        let half = self.facts.half(direction);
        half.lost > 0
            || half.acknowledged.is_some_and(|acknowledged| {
                acknowledged > half.sent.saturating_add(u64::from(half.fin.is_some()))
            })
    }

    /// Whether bytes of either direction are missing.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.lossy(Direction::ToClient) || self.lossy(Direction::ToServer)
    }

    /// The exchange of that number, if it is still remembered.
    #[must_use]
    pub fn exchange(&self, index: u32) -> Option<&ExchangeRecord> {
        // Requests are numbered in order, so this stays cheap for a client that pipelines without end.
        self.exchanges.get(self.place_of(index)?).map(Box::as_ref)
    }

    /// Where an exchange lies: they are numbered one after the other, and forgotten from the front. It is looked for from the
    /// latest, which was looked at lately; the first has lain for seconds, and no cache holds it any more.
    fn place_of(&self, index: u32) -> Option<usize> {
        let latest = self.exchanges.back()?.id.index;
        let behind = usize::try_from(latest.checked_sub(index)?).ok()?;
        let guess = (self.exchanges.len() - 1).saturating_sub(behind);
        let there = self.exchanges.get(guess);
        if there.is_some_and(|exchange| exchange.id.index == index) {
            return Some(guess);
        }
        self.exchanges
            .binary_search_by_key(&index, |exchange| exchange.id.index)
            .ok()
    }

    /// The same, to be added to.
    pub fn exchange_mut(&mut self, index: u32) -> Option<&mut ExchangeRecord> {
        let place = self.place_of(index)?;
        self.exchanges.get_mut(place).map(Box::as_mut)
    }

    /// Whether nothing on it is unexplained, so that it may be forgotten soon.
    #[must_use]
    pub fn settled(&self) -> bool {
        // Exchanges that went well are forgotten before their connection: what is left of them is the count of responses.
        self.icmp.is_empty()
            && (self.responses > 0 || !self.exchanges.is_empty())
            && self.exchanges.iter().all(|exchange| exchange.went_well())
    }

    /// The latest segment.
    #[must_use]
    pub fn last_at(&self) -> Mark {
        let facts = &self.facts;
        let seen = facts.from_client.last_seen.max(facts.from_server.last_seen);
        seen.unwrap_or(facts.opened).max(facts.opened)
    }
}

/// An attempt's name: a connection and, where it carried one, the number of the exchange on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The upstream connection.
    pub connection: ConnectionId,
    /// The exchange; `None` while (or when) the connection carried no request.
    pub index: Option<u32>,
}

/// Whether a response that ended so was cut short.
#[must_use]
pub const fn cut_short(how: Completion) -> bool {
    matches!(
        how,
        Completion::HeadClosed
            | Completion::HeadReset
            | Completion::BodyClosed
            | Completion::BodyReset
    )
}
