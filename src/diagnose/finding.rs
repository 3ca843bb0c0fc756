//! What diagnosis concludes. In: nothing. Out: the types that `diagnose` makes.
//!
//! The rule: every claim carries frames; a word of confidence carries its reasons.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::diagnose::certificate;
use crate::diagnose::clocks::Clocks;
use crate::diagnose::contrast::Common;
use crate::diagnose::habits::Traits;
use crate::flow::Endpoint;
use crate::frame::Mark;
use crate::tcp::event::ConnectionId;
use crate::time::Timestamp;

/// How sure a conclusion is. Ordered: `Unknown` is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The capture cannot tell.
    Unknown,
    /// Timing alone, several candidates, or damage nearby.
    Possible,
    /// One candidate that fits, with a reservation.
    Likely,
    /// The cause event was seen, on the one attempt that can be this exchange's.
    Certain,
}

impl Confidence {
    /// One step weaker; `Unknown` stays.
    #[must_use]
    pub const fn weakened(self) -> Self {
        match self {
            Self::Certain => Self::Likely,
            Self::Likely => Self::Possible,
            Self::Possible | Self::Unknown => Self::Unknown,
        }
    }

    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
            Self::Unknown => "unknown",
        }
    }
}

/// In what way an exchange failed at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// An error status.
    Status,
    /// The gateway closed without a byte of an answer.
    SilentClose,
    /// Bytes without an HTTP head.
    Raw,
    /// A response that the gateway cut short.
    TruncatedRelay,
    /// An error inside gRPC trailers.
    Grpc,
    /// The client leg is encrypted; the error is inferred.
    Suspected,
}

impl Failure {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::SilentClose => "silent-close",
            Self::Raw => "raw",
            Self::TruncatedRelay => "truncated-relay",
            Self::Grpc => "grpc",
            Self::Suspected => "suspected",
        }
    }
}

/// Who wrote the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The gateway itself.
    Generated,
    /// The upstream; the gateway passed it on.
    Relayed,
    /// Cannot be told.
    Unknown,
}

impl Origin {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Relayed => "relayed",
            Self::Unknown => "unknown",
        }
    }
}

/// On which leg something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// Between client and gateway.
    Client,
    /// Between gateway and upstream.
    Upstream,
    /// Between gateway and resolver.
    Dns,
    /// An ICMP error.
    Icmp,
    /// On the link, below IP: ARP or neighbour discovery.
    Link,
}

impl Leg {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Link => "link",
        }
    }
}

/// A frame and what it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The frame.
    pub mark: Mark,
    /// Which leg it is on.
    pub leg: Leg,
    /// One sentence.
    pub summary: String,
}

/// A TCP connection by its ends, with the number that Wireshark gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionName {
    /// Its id.
    pub id: ConnectionId,
    /// Who sent the SYN.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// Wireshark's `tcp.stream`, where it can be known.
    pub tcp_stream: Option<u32>,
    /// The same connection as it was seen elsewhere: beyond address translation, in a tunnel, by another machine.
    pub views: Vec<ConnectionName>,
}

/// The failed exchange as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedExchange {
    /// The client leg's connection.
    pub connection: ConnectionName,
    /// Number of the exchange on that connection, from 0.
    pub index: u32,
    /// Method, as on the wire.
    pub method: Option<String>,
    /// Target, as on the wire: to be redacted before it is shown.
    pub target: Option<String>,
    /// Host header.
    pub host: Option<String>,
    /// `1.0` or `1.1`.
    pub http_version: Option<&'static str>,
    /// First byte of the request.
    pub request: Mark,
    /// First byte of the response, or the close that came instead.
    pub response: Mark,
}

/// The product that answered, where it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayName {
    /// Product, `nginx`.
    pub product: Option<&'static str>,
    /// Version, as it announces itself.
    pub version: Option<String>,
    /// What gave it away, one clause each.
    pub identified_by: Vec<String>,
}

/// One use of an upstream by the gateway for the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Code of its cause; `None` when it succeeded.
    pub cause: Option<&'static str>,
    /// What refines the code.
    pub detail: Option<String>,
    /// The upstream's address; `None` for a DNS lookup that failed, and for a neighbour that was asked for in vain
    /// where no packet names what lies behind it.
    pub upstream: Option<Endpoint>,
    /// The connection; `None` where the attempt did not get that far.
    pub connection: Option<ConnectionName>,
    /// When it began.
    pub start: Timestamp,
    /// The event that ended it, where one was seen.
    pub end: Option<Timestamp>,
    /// Why it is taken for this exchange's.
    pub matched_by: Vec<String>,
    /// Its decisive frames.
    pub frames: Vec<Mark>,
}

/// A cause that was considered and found not to be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuledOut {
    /// Its code.
    pub code: &'static str,
    /// Why not, one sentence.
    pub reason: String,
}

/// The TLS handshake of the last attempt, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Server name that the gateway asked for.
    pub server_name: Option<String>,
    /// Versions that it offered, highest first.
    pub offered_versions: Vec<String>,
    /// Application protocols that it offered.
    pub offered_protocols: Vec<String>,
    /// Cipher suites that it offered, the first of them.
    pub offered_suites: Vec<String>,
    /// JA4 fingerprint of the offer.
    pub ja4: Option<String>,
    /// Whether it offered to resume an earlier handshake.
    pub resumption_offered: bool,
    /// Whether it announced early data.
    pub early_data: bool,
    /// Whether the upstream asked for another ClientHello.
    pub retried: bool,
    /// Version that the upstream chose.
    pub version: Option<String>,
    /// Suite that it chose.
    pub suite: Option<String>,
    /// Application protocol that it chose, where that is in clear.
    pub protocol: Option<String>,
    /// Whether an earlier handshake was resumed.
    pub resumed: bool,
    /// Whether the upstream asked for a certificate of the gateway.
    pub certificate_requested: bool,
    /// Certificates that the gateway showed.
    pub client_certificates: Vec<certificate::Facts>,
    /// Whether a handshake began anew later.
    pub renegotiated: bool,
    /// Certificates that the upstream showed, its own first.
    pub certificates: Vec<certificate::Facts>,
    /// What is wrong with them at the moment of the capture, one clause each.
    pub problems: Vec<String>,
    /// What the stapled OCSP response says.
    pub ocsp: Option<String>,
    /// What a client that trusts the roots at hand would say of them.
    pub judged: Option<String>,
    /// Which roots these are.
    pub judged_by: Option<String>,
    /// Why the connection was not decrypted, where secrets were given.
    pub not_decrypted: Option<String>,
}

/// A failed exchange with its attempts, cause and evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable: from input and frame of the error.
    pub id: String,
    /// The error's first byte on the client leg.
    pub at: Mark,
    /// In what way it failed.
    pub failure: Failure,
    /// The status that was sent.
    pub status: Option<u16>,
    /// Who wrote it.
    pub origin: Origin,
    /// The exchange.
    pub exchange: FailedExchange,
    /// The product.
    pub gateway: GatewayName,
    /// Code of the cause.
    pub code: &'static str,
    /// What refines it.
    pub detail: Option<String>,
    /// How sure.
    pub confidence: Confidence,
    /// Why so sure, or why not more; one clause each.
    pub confidence_reasons: Vec<String>,
    /// Codes that contributed.
    pub contributing: Vec<&'static str>,
    /// Id of the finding that this one follows from: the inner gateway's, or that of the failure that took the upstream
    /// out of service.
    pub caused_by: Option<String>,
    /// The connection of that failure, by which its finding is looked for.
    pub blames: Option<ConnectionId>,
    /// The upstream of the last attempt.
    pub upstream: Option<Endpoint>,
    /// The connection of the last attempt.
    pub upstream_connection: Option<ConnectionName>,
    /// Whether that connection could be exchanged for another that failed in the same way at the same
    /// upstream: then the cause is known and which connection was whose is not.
    pub interchangeable: bool,
    /// All attempts in order.
    pub attempts: Vec<AttemptReport>,
    /// Proof, in time order.
    pub evidence: Vec<Evidence>,
    /// What it is not.
    pub ruled_out: Vec<RuledOut>,
    /// What this capture cannot show, and which would.
    pub not_observable: Vec<String>,
    /// Id of its incident.
    pub incident: String,
    /// What may tell it from what went well.
    pub traits: Traits,
    /// The TLS handshake of the last attempt.
    pub handshake: Option<Box<Handshake>>,
}

/// A finding while the capture goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The finding.
    pub finding: Finding,
    /// How often it was told before: 0 the first time.
    pub revision: u32,
    /// Whether it was judged when what follows an error had been seen; else it is a first verdict.
    pub settled: bool,
    /// Whether nothing that follows can change it.
    pub last: bool,
}

/// Where a diagnosis stands while the capture goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Complete exchanges of clients.
    pub exchanges: u64,
    /// Connections that were seen.
    pub connections: u64,
    /// Gateway errors, those that have had a first verdict only included.
    pub findings: u64,
    /// Those that were judged, by code, the most frequent first.
    pub by_cause: Vec<(&'static str, u64)>,
    /// 503 and 500 that applications wrote.
    pub application_errors: u64,
    /// Clients that left before their answer.
    pub client_aborts: u64,
}

/// Findings of one cause, gateway and upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Stable id.
    pub id: String,
    /// Code of the cause.
    pub code: &'static str,
    /// The gateway's endpoint that clients used.
    pub gateway: Endpoint,
    /// The upstream.
    pub upstream: Option<Endpoint>,
    /// First and last error.
    pub first: Timestamp,
    /// Last error.
    pub last: Timestamp,
    /// Ids of the findings.
    pub findings: Vec<String>,
    /// Distinct addresses of clients.
    pub clients: u64,
    /// Distinct targets, without their queries.
    pub targets: u64,
    /// Attempts of this gateway at this upstream that went well, where the upstream is known.
    pub went_well: Option<u64>,
    /// Failures of all causes of this gateway at this upstream, where it is known.
    pub failed_there: Option<u64>,
    /// What its failures have in common that successes of the same gateway have not, the clearest first.
    pub in_common: Vec<Common>,
}

impl Incident {
    /// Errors a minute, from the first to the last; `None` where less than a second lies between them.
    #[must_use]
    pub fn rate_per_minute(&self) -> Option<f64> {
        let seconds = self.last.nanos_since(self.first) as f64 / 1e9;
        // The first begins the time and is not within it.
        let within = self.findings.len().saturating_sub(1) as f64;
        (seconds >= 1.0).then(|| within * 60.0 / seconds)
    }

    /// The share of the gateway's requests at the upstream that failed, 0 to 1.
    #[must_use]
    pub fn share_failed_there(&self) -> Option<f64> {
        let failed = self.failed_there? as f64;
        let all = failed + self.went_well? as f64;
        (all > 0.0).then(|| failed / all)
    }
}

/// A failed attempt after which the client was served all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamEvent {
    /// The attempt.
    pub attempt: AttemptReport,
    /// The gateway's address that made it.
    pub gateway: Endpoint,
}

/// What a client did, or what a gateway refused of it: no gateway error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// `client-aborted`, `client-request-timeout` or `client-bad-request`.
    pub code: &'static str,
    /// The client's close, or the first byte of the refusal.
    pub at: Mark,
    /// The client.
    pub client: Endpoint,
    /// The endpoint that it asked.
    pub gateway: Endpoint,
    /// Wireshark's number of the stream.
    pub tcp_stream: Option<u32>,
    /// The status that was sent, where one was.
    pub status: Option<u16>,
    /// From the request's first byte, nanoseconds.
    pub waited_nanos: i64,
    /// The wait in whole seconds, where it equals such as people give to timers.
    pub patience_seconds: Option<u32>,
    /// Proof, in order of time.
    pub evidence: Vec<Evidence>,
}

/// Something that the user should know about the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable code.
    pub code: &'static str,
    /// What.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Health of the traffic in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Exchanges of clients with servers that are not themselves upstream of a seen gateway, complete or not.
    pub exchanges: u64,
    /// Connections seen.
    pub connections: u64,
    /// Retransmitted segments.
    pub retransmissions: u64,
    /// 5xx answers that a plain application wrote.
    pub application_errors: u64,
    /// Clients that left before their answer.
    pub client_aborts: u64,
    /// Requests that clients did not finish in time, by the gateway's own 408.
    pub client_request_timeouts: u64,
    /// Requests that a gateway itself refused with 400.
    pub client_bad_requests: u64,
}

/// All that diagnosis has to say about a capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// Findings in order of time.
    pub findings: Vec<Finding>,
    /// Incidents in order of their first finding.
    pub incidents: Vec<Incident>,
    /// Failed attempts that the client did not notice.
    pub upstream_events: Vec<UpstreamEvent>,
    /// What clients did, or what gateways refused of them, in order of time.
    pub client_events: Vec<ClientEvent>,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// Numbers.
    pub health: Health,
    /// Names that DNS answers in the capture gave to addresses. They are words of the wire.
    pub names: BTreeMap<IpAddr, String>,
    /// The clocks by which the times of all this go.
    pub clocks: Clocks,
}
