//! Recent observations, by connection and by host. In: observations in order. Out: records that are
//! looked up by the moment.
//!
//! The rule: bounded by number and by time; what is dropped before it was needed is counted.

use std::collections::VecDeque;

use crate::decode::segment::IcmpError;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{
    ExchangeId, Fault, MessageEnd, Protocol, RequestHead, ResponseHead, TlsStep,
};
use crate::tcp::event::{Connection, Ending};

/// One connection as diagnosis remembers it.
#[derive(Clone, Debug)]
pub struct ConnectionRecord {
    /// TCP facts as of the latest observation.
    pub facts: Connection,
    /// Wireshark's number of the stream: the count of connections opened before in the same input.
    pub stream_number: u32,
    /// What it speaks, once known.
    pub protocol: Option<Protocol>,
    /// Its recent exchanges, oldest first.
    pub exchanges: VecDeque<ExchangeRecord>,
    /// TLS steps in order.
    pub tls: Vec<(TlsStep, Mark)>,
    /// ICMP errors that quote it.
    pub icmp: Vec<IcmpError>,
    /// Bytes that the server sent unasked.
    pub unsolicited: Option<(Mark, Box<[u8]>)>,
    /// How it left the table.
    pub ended: Option<Ending>,
    /// Complete responses so far.
    pub responses: u32,
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
    pub request: Option<Box<RequestHead>>,
    /// How the request ended.
    pub request_end: Option<MessageEnd>,
    /// Interim responses.
    pub interim: Vec<(u16, Mark)>,
    /// First byte of the response.
    pub response_at: Option<Mark>,
    /// The response's head.
    pub response: Option<Box<ResponseHead>>,
    /// A rule that the response breaks, with the response's first bytes.
    pub fault: Option<(Fault, Mark, Box<[u8]>)>,
    /// How the response ended.
    pub response_end: Option<MessageEnd>,
    /// First bytes of the body, or of what came instead of a head.
    pub body_prefix: Box<[u8]>,
}

impl ConnectionRecord {
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

    /// Whether bytes of `direction` are missing from the capture.
    #[must_use]
    pub fn lossy(&self, direction: Direction) -> bool {
        let half = self.facts.half(direction);
        half.lost > 0
            || half
                .acknowledged
                .is_some_and(|acknowledged| acknowledged > half.sent.saturating_add(1))
    }
}
