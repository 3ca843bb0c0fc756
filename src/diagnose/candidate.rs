//! Attempts that may be an exchange's. In: the timeline and a window. Out: judged candidates.
//!
//! The rule: an attempt is judged by its own leg alone; to whom it belongs is decided in `assign.rs`.

use std::net::IpAddr;

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause;
use crate::diagnose::gateway::product::Product;
use crate::diagnose::hands::Hands;
use crate::diagnose::host::Host;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::flow::{Endpoint, Vantage};
use crate::frame::{FrameId, Mark};
use crate::time::Timestamp;

/// Most attempts that are weighed for one group of errors, the latest first: what failed within the second
/// that a group spans, and in the window of its longest wait.
pub const CANDIDATES_MAX: usize = 32_768;
/// Most attempts that went well among them: they matter only right before an error.
const WELL_MAX: usize = 2_048;

/// How much later than the gateway's answer its own clean-up upstream may be seen, milliseconds
/// (causes.md B.1).
pub const CLEAN_UP_MILLIS: i64 = 20;

/// The gateway as far as candidates need it.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The machine that saw it.
    pub vantage: Vantage,
    /// The endpoint that its client used.
    pub endpoint: Endpoint,
    /// Its addresses towards upstreams.
    pub addrs: Vec<IpAddr>,
    /// Its product's row, where known.
    pub product: Option<&'static Product>,
}

/// Connections to this port ask for names (RFC 7766); they are no attempts unless they fail as lookups.
const RESOLVER_PORT: u16 = 53;

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It failed; the cause is known.
    Failed,
    /// Its answer was whole and well-formed.
    Well,
    /// Its answer cannot be read: encrypted, or a protocol without a parser.
    Opaque,
    /// Neither an answer nor a failure was seen.
    Open,
}

/// An attempt that may be an exchange's.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name.
    pub id: AttemptId,
    /// The upstream.
    pub upstream: Endpoint,
    /// When it began.
    pub start: Mark,
    /// The SYN of its connection, where this is the first use of it.
    pub dialled: Option<Mark>,
    /// The latest moment at which its exchange can have been asked: the start, or its request where the gateway's pool
    /// may have dialled for somebody else.
    pub sent: Mark,
    /// Its first byte of payload, where the start is a SYN.
    pub request_at: Option<Mark>,
    /// The event that ended it: the cause's, or the end of the answer.
    pub end: Option<Mark>,
    /// First byte of its answer.
    pub answered: Option<Mark>,
    /// How it stands.
    pub standing: Standing,
    /// Code of its cause, when it failed.
    pub code: Option<&'static str>,
    /// The verdict, when it failed.
    pub verdict: Option<Verdict>,
    /// Status of its answer.
    pub status: Option<u16>,
    /// Whether its answer was whole, whatever a strict gateway may have found in it.
    pub whole: bool,
    /// Whether it was given to another exchange already.
    pub claimed: bool,
}

impl Candidate {
    /// When it began for who became free for it at `since`: a connection that was dialled before was dialled for another.
    #[must_use]
    pub fn begun_since(&self, since: Mark) -> Mark {
        if self.start < since {
            self.sent
        } else {
            self.start
        }
    }
}

/// The attempts of `gateway` that began in `from..=until`, judged by what was seen up to `until` and the
/// clean-up time after it. Causes that a strict gateway sees in a readable answer are asked too; whether it
/// did not like that answer is known when nobody was served with it (`order.rs`). At most `most` of them, the
/// latest.
pub fn candidates(
    timeline: &Timeline,
    gateway: &Gateway,
    (from, until): (Timestamp, Timestamp),
    most: usize,
    hands: &Hands,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for addr in &gateway.addrs {
        let Some(host) = timeline.host(gateway.vantage, *addr) else {
            continue;
        };
        let first = (
            Mark {
                time: from.plus_nanos(-timeline.clocks.widest()),
                ..Mark::default()
            },
            AttemptId {
                connection: Default::default(),
                index: None,
            },
        );
        let last = (
            Mark {
                time: until.plus_nanos(timeline.clocks.widest()),
                frame: FrameId::new(u16::MAX, u64::MAX),
            },
            AttemptId {
                connection: Default::default(),
                index: None,
            },
        );
        let mut well = 0_usize;
        let mut uses = host.uses.range(first..last.max(first)).rev();
        let mut next = || {
            uses.find_map(|(_, id)| {
                let record = timeline.connection(id.connection)?;
                if record.facts.server == gateway.endpoint
                    || !timeline.is_best_client_view(id.connection, gateway.vantage, &gateway.addrs)
                {
                    return None;
                }
                let plain = id
                    .index
                    .and_then(|index| record.exchange(index))
                    .is_some_and(ExchangeRecord::is_plain);
                well += usize::from(plain);
                (!plain || well <= WELL_MAX).then_some((record, *id))
            })
        };
        // Not each of them is an attempt, so that some rounds may be needed for as many as are wanted.
        loop {
            let wanted = most.saturating_sub(found.len());
            let some: Vec<_> = std::iter::from_fn(&mut next).take(wanted).collect();
            if some.is_empty() {
                break;
            }
            let judged = hands.map(&some, |(record, id)| {
                judge(timeline, gateway, record, *id, until)
            });
            found.extend(judged.into_iter().flatten());
        }
    }
    found.sort_by_key(|candidate| (candidate.sent, candidate.id));
    found
}

fn judge(
    timeline: &Timeline,
    gateway: &Gateway,
    record: &ConnectionRecord,
    id: AttemptId,
    until: Timestamp,
) -> Option<Candidate> {
    // What another machine saw by then may bear a later time.
    let unsure = timeline
        .clocks
        .between(gateway.vantage, record.facts.vantage);
    let until = until.plus_nanos(unsure.unwrap_or(0));
    let exchange = match id.index {
        Some(index) => Some(record.exchange(index)?),
        // A connection that carried a request is told by the request.
        None if record.responses > 0 || !record.exchanges.is_empty() => return None,
        None => None,
    };
    let service = timeline.service(gateway.vantage, record.facts.server);
    let attempt = Attempt {
        connection: record,
        exchange,
        until: until.plus_millis(CLEAN_UP_MILLIS),
        server_unreachable: service.is_some_and(|service| service.icmp_errors > 0),
        server_answers_after_header: service
            .is_some_and(|service| service.answers_after_header > 0),
        server_answers_without_header: service
            .is_some_and(|service| service.answers_without_header > 0),
        server_speaks_tls: service.is_some_and(|service| service.tls_handshakes > 0),
        gateway_hears: timeline
            .host(gateway.vantage, record.facts.client.addr)
            .is_some_and(Host::hears),
        rejected: true,
        product: gateway.product,
        habit: service.and_then(|service| service.habit.as_deref()),
        server_active: service.and_then(|service| service.took.max(service.last_answer)),
        server_ttls: service.and_then(|service| service.ttls),
        server_took: service.map_or(&[], |service| &service.took_in_tls),
    };
    let found = cause::examine(&attempt);
    let resolves = found
        .as_ref()
        .is_some_and(|(cause, _)| cause.code == "dns-unreachable");
    if record.facts.server.port == RESOLVER_PORT && !resolves {
        return None;
    }
    let standing = match (&found, exchange) {
        (Some(_), _) => Standing::Failed,
        (None, Some(exchange)) => standing_of(exchange, until),
        (None, None) => Standing::Open,
    };
    let (code, verdict) = found.map_or((None, None), |(cause, verdict)| {
        (Some(cause.code), Some(verdict))
    });
    let answered = exchange.and_then(|exchange| exchange.response_at);
    let end = verdict.as_ref().map_or(answered, |verdict| verdict.at);
    Some(Candidate {
        id,
        upstream: record.facts.server,
        start: attempt.started(),
        sent: attempt.sent_by(gateway.product),
        dialled: (id.index.unwrap_or(0) == 0)
            .then(|| record.facts.from_client.syns.first().copied())
            .flatten(),
        request_at: exchange.map(|exchange| exchange.request_at),
        end,
        answered,
        standing,
        code,
        verdict,
        status: exchange.and_then(ExchangeRecord::status),
        whole: exchange.is_some_and(ExchangeRecord::went_well),
        claimed: exchange.map_or(record.claimed, |exchange| exchange.claimed),
    })
}

fn standing_of(exchange: &ExchangeRecord, until: Timestamp) -> Standing {
    let answered = exchange.response_at.is_some_and(|at| at.time <= until);
    match (&exchange.response, answered) {
        // Only what is known to be whole was an answer; the rest ended where the capture does not show.
        (Some(_), true) if exchange.went_well() => Standing::Well,
        (Some(_), true) => Standing::Open,
        (None, true) => Standing::Opaque,
        (_, false) => Standing::Open,
    }
}
