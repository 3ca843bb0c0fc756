//! What a gateway's attempts that went well look like. In: exchanges on its upstream legs. Out: counts by which failures
//! are held against them.
//!
//! The rule: a summary of fixed size for each gateway, whatever the length of the capture; what no longer fits is counted
//! as "other" and never dropped from the total.

use std::borrow::Cow;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::diagnose::host::whose;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::restarts;
use crate::diagnose::timeline::Timeline;
use crate::flow::{Endpoint, Vantage};
use crate::protocol::observation::{ExchangeId, TlsStep};
use crate::time::Timestamp;

/// Most distinct values that are counted of one trait: a gateway has fewer upstreams, and of more first path segments
/// none separates anything.
pub const VALUES_MAX: usize = 512;
/// Buckets of a histogram in each octave: a bucket is 9 % wide.
const BUCKETS_PER_OCTAVE: f64 = 8.0;
/// Most characters of a path segment that are compared.
const SEGMENT_MAX: usize = 64;

/// What may separate failed from successful attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Who asked: the gateway, as hosts are remembered.
    pub asker: Option<(Vantage, IpAddr)>,
    /// The upstream.
    pub upstream: Option<Endpoint>,
    /// Method.
    pub method: Option<Cow<'static, str>>,
    /// First segment of the path.
    pub segment: Option<Box<str>>,
    /// Milliseconds for which the connection had been idle; none on a new one.
    pub idle_ms: Option<u64>,
    /// Responses on the connection before this request.
    pub prior: Option<u64>,
    /// Size of the request's head, bytes.
    pub head_len: Option<u64>,
    /// Declared size of the request's body, bytes; none without a body.
    pub body_len: Option<u64>,
    /// Milliseconds for which the connection had been there; none on a new one.
    pub age_ms: Option<u64>,
    /// Server name that the gateway asked the upstream for, in TLS.
    pub sni: Option<Box<str>>,
    /// Milliseconds from the beginning of the upstream's latest restart to the answer or the error.
    pub since_restart_ms: Option<u64>,
    /// Who was asked by the client: the gateway, as hosts are remembered.
    pub asked: Option<(Vantage, IpAddr)>,
    /// The client.
    pub client: Option<IpAddr>,
}

impl Traits {
    /// The traits of one use of an upstream connection.
    #[must_use]
    pub fn of(record: &ConnectionRecord, exchange: &ExchangeRecord) -> Self {
        let head = exchange.request.as_ref();
        let idle = exchange
            .idle_since
            .map(|since| exchange.request_at.time.nanos_since(since.time) / 1_000_000);
        let used = record.facts.roles_known && exchange.prior_responses > 0;
        let age = used.then(|| millis_between(record.facts.opened.time, exchange.request_at.time));
        Self {
            method: head.map(|head| head.method.clone()),
            segment: head.map(|head| first_segment(&head.target)),
            idle_ms: idle.and_then(|millis| u64::try_from(millis).ok()),
            prior: record
                .facts
                .roles_known
                .then_some(u64::from(exchange.prior_responses)),
            head_len: head.map(|head| u64::from(head.head_len)),
            body_len: head.and_then(|head| head.content_length),
            age_ms: age.flatten(),
            ..Self::of_connection(record)
        }
    }

    /// Those of a connection that carried no request.
    #[must_use]
    pub fn of_connection(record: &ConnectionRecord) -> Self {
        let sni = record.tls.iter().find_map(|(step, _)| match step {
            TlsStep::ClientHello(offer) => offer.sni.clone(),
            _ => None,
        });
        Self {
            asker: Some(whose(record.facts.vantage, record.facts.client.addr)),
            upstream: Some(record.facts.server),
            sni,
            ..Self::default()
        }
    }

    /// The same with the time since the upstream's latest restart before `at`.
    #[must_use]
    pub fn at(mut self, restarts: &restarts::Register, at: Timestamp) -> Self {
        if let (Some((vantage, _)), Some(upstream)) = (self.asker, self.upstream) {
            let nanos = restarts.since(vantage, upstream, at);
            self.since_restart_ms = nanos.and_then(|nanos| u64::try_from(nanos / 1_000_000).ok());
        }
        self
    }
}

fn millis_between(from: Timestamp, until: Timestamp) -> Option<u64> {
    u64::try_from(until.nanos_since(from) / 1_000_000).ok()
}

/// `/cart` of `/cart/1?x=y`, also where the target is a whole URI.
fn first_segment(target: &str) -> Box<str> {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    let end = path
        .char_indices()
        .skip(1)
        .take(SEGMENT_MAX)
        .find(|(_, letter)| matches!(letter, '/' | '?' | '#'))
        .map(|(at, _)| at)
        .or_else(|| path.char_indices().nth(SEGMENT_MAX).map(|(at, _)| at));
    path.get(..end.unwrap_or(path.len())).unwrap_or("/").into()
}

/// Counts by size.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    fn add(&mut self, value: u64) {
        let bucket = bucket(value);
        if bucket >= self.0.len() {
            self.0.resize(bucket + 1, 0);
        }
        if let Some(count) = self.0.get_mut(bucket) {
            *count += 1;
        }
    }

    /// How many values lie in the bucket of `value` or above it.
    #[must_use]
    pub fn from(&self, value: u64) -> u64 {
        self.0.iter().skip(bucket(value)).sum()
    }

    /// How many values lie in the bucket of `value` or below it.
    #[must_use]
    pub fn up_to(&self, value: u64) -> u64 {
        self.0.iter().take(bucket(value).saturating_add(1)).sum()
    }
}

/// 64 octaves of 8 buckets: at most 512.
fn bucket(value: u64) -> usize {
    ((value as f64 + 1.0).log2() * BUCKETS_PER_OCTAVE) as usize
}

/// The attempts of one gateway that went well, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// All of them.
    pub total: u64,
    /// By upstream.
    pub upstreams: HashMap<Endpoint, u64>,
    /// By method.
    pub methods: HashMap<Cow<'static, str>, u64>,
    /// By first path segment.
    pub segments: HashMap<Box<str>, u64>,
    /// Of those on a used connection: how long it had been idle, milliseconds.
    pub idle_ms: Histogram,
    /// Responses on the connection before.
    pub prior: Histogram,
    /// Sizes of request heads, bytes.
    pub head_len: Histogram,
    /// Sizes of request bodies, bytes.
    pub body_len: Histogram,
    /// Ages of used connections, milliseconds.
    pub age_ms: Histogram,
    /// By the server name that was asked for in TLS.
    pub snis: HashMap<Box<str>, u64>,
    /// Times since the upstream's latest restart, milliseconds.
    pub since_restart_ms: Histogram,
    /// Exchanges of clients of this gateway that went well, all of them.
    pub served: u64,
    /// The same by client.
    pub clients: HashMap<IpAddr, u64>,
}

impl Habits {
    /// Counts one attempt that went well.
    pub fn note(&mut self, traits: Traits) {
        self.total += 1;
        count(&mut self.upstreams, traits.upstream);
        count(&mut self.methods, traits.method);
        count(&mut self.segments, traits.segment);
        count(&mut self.snis, traits.sni);
        for (histogram, value) in [
            (&mut self.idle_ms, traits.idle_ms),
            (&mut self.prior, traits.prior),
            (&mut self.head_len, traits.head_len),
            (&mut self.body_len, traits.body_len),
            (&mut self.age_ms, traits.age_ms),
            (&mut self.since_restart_ms, traits.since_restart_ms),
        ] {
            if let Some(value) = value {
                histogram.add(value);
            }
        }
    }
}

impl Habits {
    /// Counts one exchange of a client that went well.
    pub fn note_client(&mut self, client: IpAddr) {
        self.served += 1;
        count(&mut self.clients, Some(client));
    }
}

fn count<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u64>, value: Option<K>) {
    let Some(value) = value else { return };
    if let Some(known) = counts.get_mut(&value) {
        *known += 1;
    } else if counts.len() < VALUES_MAX {
        counts.insert(value, 1);
    }
}

/// Most gateways whose habits are kept: beyond, nothing is said of what their failures have in common.
pub const GATEWAYS_MAX: usize = 256;

/// The habits of the gateways of a capture.
#[derive(Debug, Default)]
pub struct Register {
    by_host: HashMap<(Vantage, IpAddr), Box<Habits>>,
    /// Attempts of gateways that were beyond [`GATEWAYS_MAX`].
    pub not_counted: u64,
}

impl Register {
    /// Counts an exchange that has ended well, if a gateway asked for it or served it; one connection once, however many
    /// views of it there are.
    pub fn note(&mut self, timeline: &Timeline, restarts: &restarts::Register, id: ExchangeId) {
        let Some((record, exchange)) = timeline.exchange(id) else {
            return;
        };
        let facts = &record.facts;
        if !exchange.went_well() || record.passed_on || !timeline.counts(id.connection) {
            return;
        }
        let by_gateway = facts.client.addr == facts.server.addr
            || timeline.is_asked(facts.vantage, facts.client.addr);
        if by_gateway {
            let at = exchange.last_at().time;
            if let Some(habits) = self.entry(whose(facts.vantage, facts.client.addr)) {
                habits.note(Traits::of(record, exchange).at(restarts, at));
            }
        }
        let asks = timeline.host(facts.vantage, facts.server.addr);
        if asks.is_some_and(|host| host.opened > 0)
            && let Some(habits) = self.entry(whose(facts.vantage, facts.server.addr))
        {
            habits.note_client(facts.client.addr);
        }
    }

    fn entry(&mut self, key: (Vantage, IpAddr)) -> Option<&mut Habits> {
        if self.by_host.len() >= GATEWAYS_MAX && !self.by_host.contains_key(&key) {
            self.not_counted += 1;
            return None;
        }
        Some(self.by_host.entry(key).or_default())
    }

    /// The habits of the gateway that asks from this address.
    #[must_use]
    pub fn of(&self, host: &(Vantage, IpAddr)) -> Option<&Habits> {
        self.by_host.get(host).map(Box::as_ref)
    }
}
