//! The report as data. In: nothing. Out: the serde types that are the JSON schema of gwcap.
//!
//! The rule: a name that was published stays; additions raise the minor version of [`SCHEMA_VERSION`].
//! Text in here is redacted and not escaped: each format escapes for its own reader. An optional value
//! that is missing is `null`, never absent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::diagnose::finding as found;

/// Version of the JSON schema (semver): additions are minor.
pub const SCHEMA_VERSION: &str = "1.3.0";

/// Everything that a format may show.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "gwcap report")]
pub struct Report<'a> {
    /// Version of this schema, semver.
    pub schema_version: &'static str,
    /// The program.
    pub gwcap: Program,
    /// Whether secrets were taken out: `off` after --show-secrets.
    #[schemars(extend("enum" = ["on", "off"]))]
    pub redaction: &'static str,
    /// What was read.
    pub capture: Capture,
    /// The numbers.
    pub summary: Summary,
    /// Failed exchanges, in order of time.
    pub findings: Findings<'a>,
    /// Findings of one cause, gateway and upstream, in order of their first finding.
    pub incidents: Vec<Incident>,
    /// Failed attempts after which the client was served all the same.
    pub upstream_events: Vec<UpstreamEvent>,
    /// What clients did, or what gateways refused of them, in order of time.
    pub client_events: Vec<ClientEvent>,
    /// What to know about the capture before trusting the findings.
    pub warnings: Vec<Warning>,
}

/// Failed exchanges, each made when it is asked for and then given away: in an outage there are a hundred thousand of some
/// kilobytes each, of which a page shows one an incident.
pub struct Findings<'a> {
    found: &'a [found::Finding],
    make: Make<'a>,
    /// By id.
    by_id: HashMap<&'a str, &'a found::Finding>,
}

type Make<'a> = Box<dyn Fn(&found::Finding) -> Finding + 'a>;

impl<'a> Findings<'a> {
    /// What was found, and what makes of it what is shown.
    pub fn new(
        found: &'a [found::Finding],
        make: impl Fn(&found::Finding) -> Finding + 'a,
    ) -> Self {
        Self {
            found,
            make: Box::new(make),
            by_id: found.iter().map(|one| (one.id.as_str(), one)).collect(),
        }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = Finding> + '_ {
        self.found.iter().map(&self.make)
    }

    /// The one of that id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<Finding> {
        self.by_id.get(id).copied().map(&self.make)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The same with each changed by `change`.
    #[cfg(test)]
    pub(super) fn changed(self, change: impl Fn(&mut Finding) + 'a) -> Self {
        let make = self.make;
        let make = Box::new(move |found: &found::Finding| {
            let mut finding = make(found);
            change(&mut finding);
            finding
        });
        Self { make, ..self }
    }
}

impl std::fmt::Debug for Findings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Findings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl JsonSchema for Findings<'_> {
    fn schema_name() -> Cow<'static, str> {
        Vec::<Finding>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<Finding>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The program.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Program {
    /// Its version.
    pub version: String,
}

/// What was read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Capture {
    /// The inputs, in the order of the command line; `input` elsewhere is an index into this list.
    pub inputs: Vec<Input>,
    /// What was not seen or not decoded.
    pub loss: Loss,
    /// Names of addresses that the report mentions, by address: from the file, else from DNS answers in the capture. Empty
    /// with -n. They are words of others: not verified, and not unique.
    pub names: BTreeMap<String, String>,
}

/// One input.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Input {
    /// Path or interface, as given.
    pub path: String,
    /// SHA-256 of the file in hexadecimal; only with --hash, and not of a pipe.
    pub sha256: Option<String>,
    /// `pcap`, `pcapng` and so on.
    pub format: String,
    /// LINKTYPE_ numbers (tcpdump.org/linktypes.html).
    pub link_types: Vec<u32>,
    /// Frames that were read.
    pub frames: u64,
    /// Their bytes, as captured.
    pub bytes: u64,
    /// Time of the first frame, RFC 3339 UTC.
    pub first_time: Option<String>,
    /// Time of the last frame.
    pub last_time: Option<String>,
    /// Most bytes that were kept of a frame.
    pub snap_length: Option<u32>,
    /// The filter that the frames passed.
    pub filter: Option<String>,
    /// Live: what the kernel handed over, where that is more than the filter asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_filter: Option<String>,
    /// Secrets of TLS that the file brings along (pcapng decryption secrets blocks), counted and never shown.
    pub tls_secrets: u64,
    /// The machine that captured it, from 0: the files of a rotated set have one number.
    pub vantage: u16,
    /// How far its clock was ahead of the first input's, milliseconds; negative when behind. All times in this
    /// report are corrected by it: the file's own are later by as much.
    pub clock_offset_ms: f64,
    /// How wrong that may be, milliseconds; null where nothing could be compared, and nothing was corrected.
    pub clock_uncertainty_ms: Option<f64>,
    /// How much it gains against the first input's, microseconds in a second; null where that was not to be
    /// seen. `clock_offset_ms` is the offset at the middle of what was compared.
    pub clock_drift_ppm: Option<f64>,
    /// What that was estimated from: `shared packets (N)` or `nested exchanges (N)`; null for the first input's own
    /// machine, and where nothing could be compared.
    pub clock_estimated_from: Option<String>,
}

/// What was not seen, not kept or not decoded.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Loss {
    /// Counters by name; a name that is missing counts 0.
    pub counters: BTreeMap<String, u64>,
    /// Packets that no decoder knows, by what they are.
    pub skipped: BTreeMap<String, u64>,
    /// Places in the middle of inputs that could not be read; not empty means exit code 4.
    pub damage: Vec<Damage>,
    /// Inputs that end inside a record, as they do when their writer was stopped.
    pub truncated: Vec<Damage>,
}

/// A place in an input that could not be read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Damage {
    /// Index of the input.
    pub input: u16,
    /// Byte offset from the start of the (uncompressed) input.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// The numbers.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// Exchanges of clients, complete or not.
    pub exchanges: u64,
    /// Gateway errors.
    pub findings: u64,
    /// Groups of findings.
    pub incidents: u64,
    /// 5xx answers that a plain application wrote.
    pub application_errors: u64,
    /// Clients that left before their answer.
    pub client_aborts: u64,
    /// Requests that clients did not finish in time, by the gateway's own 408.
    pub client_request_timeouts: u64,
    /// Requests that a gateway itself refused with 400.
    pub client_bad_requests: u64,
    /// Failed attempts that the client did not notice.
    pub upstream_events: u64,
    /// TCP connections.
    pub connections: u64,
    /// Retransmitted segments.
    pub retransmissions: u64,
    /// Findings by code of their cause.
    pub by_cause: BTreeMap<String, u64>,
}

/// A failed exchange.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// Stable: the same capture gives the same id.
    pub id: String,
    /// Of the error's first byte, RFC 3339 UTC with nanoseconds.
    pub time: String,
    /// In what way the exchange failed.
    #[schemars(extend("enum" = ["status", "silent-close", "raw", "truncated-relay", "grpc", "suspected"]))]
    pub failure: &'static str,
    /// The status that the client got; null where none was sent.
    pub status: Option<u16>,
    /// Who wrote the error.
    #[schemars(extend("enum" = ["generated", "relayed", "unknown"]))]
    pub origin: &'static str,
    /// The exchange on the client leg.
    pub exchange: Exchange,
    /// Who answered.
    pub gateway: Gateway,
    /// Why.
    pub cause: Cause,
    /// Why the confidence is what it is, one clause each.
    pub confidence_reasons: Vec<String>,
    /// Codes that contributed.
    pub contributing: Vec<&'static str>,
    /// Id of the finding that this one follows from: the inner gateway's, or that of the failure that took the upstream
    /// out of service.
    pub caused_by: Option<String>,
    /// The upstream of the last attempt.
    pub upstream: Option<Upstream>,
    /// The TLS handshake of the last attempt, as far as it can be read; null where the upstream was not spoken to in TLS.
    pub tls: Option<Tls>,
    /// What the gateway tried for this exchange, in order.
    pub attempts: Vec<Attempt>,
    /// Proof, in order of time.
    pub evidence: Vec<Evidence>,
    /// What it is not.
    pub ruled_out: Vec<RuledOut>,
    /// What this capture cannot show, and which would.
    pub not_observable: Vec<String>,
    /// What the gateway's own log is expected to say.
    pub log_wording: Vec<LogWording>,
    /// What to do, the product's own advice first.
    pub next_steps: Vec<String>,
    /// Display filter for the frames of both legs.
    pub wireshark_filter: String,
    /// Id of its incident.
    pub incident: String,
}

/// The failed exchange as its client saw it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Exchange {
    /// `ip:port`, IPv6 as `[::1]:443`.
    pub client: String,
    /// The gateway's end.
    pub gateway: String,
    /// Method.
    pub method: Option<String>,
    /// Request target, redacted.
    pub target: Option<String>,
    /// Host header.
    pub host: Option<String>,
    /// `1.0`, `1.1`.
    pub http_version: Option<&'static str>,
    /// First byte of the request.
    pub request_time: String,
    /// First byte of the response, or the close that came instead.
    pub response_time: String,
    /// Index of the input that holds the request.
    pub input: u16,
    /// Index of the input that holds the response: another one only in a rotated set.
    pub response_input: u16,
    /// Wireshark's number of the stream, where it can be known.
    pub tcp_stream: Option<u32>,
    /// The same connection as it was seen elsewhere.
    pub views: Vec<Sighting>,
    /// Frames of the first bytes.
    pub frames: ExchangeFrames,
}

/// Frames of an exchange.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExchangeFrames {
    /// First byte of the request.
    pub request: u64,
    /// First byte of the response, or the close that came instead.
    pub response: u64,
}

/// Who answered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Gateway {
    /// Product, where it can be told.
    pub product: Option<&'static str>,
    /// Version, as it announces itself.
    pub version: Option<String>,
    /// What gave it away.
    pub identified_by: Vec<String>,
}

/// Why an exchange failed.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq)]
pub struct Cause {
    /// Stable code; `gwcap --explain CODE` tells more.
    pub code: &'static str,
    /// What refines the code.
    pub detail: Option<String>,
    /// One line.
    pub title: &'static str,
    /// What the wire shows and what it means.
    pub explanation: &'static str,
    /// How sure.
    #[schemars(extend("enum" = ["certain", "likely", "possible", "unknown"]))]
    pub confidence: &'static str,
}

/// The upstream of the last attempt.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Upstream {
    /// `ip:port`.
    pub address: String,
    /// The connection; null where none was seen.
    pub connection: Option<Connection>,
    /// Whether other connections failed in the same way at the same upstream at that moment, so that which
    /// of them served this exchange cannot be told.
    pub interchangeable: bool,
}

/// A TCP connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Connection {
    /// Who sent the SYN.
    pub client: String,
    /// The other end.
    pub server: String,
    /// Wireshark's number of the stream, where it can be known.
    pub tcp_stream: Option<u32>,
    /// The same connection as it was seen elsewhere.
    pub views: Vec<Sighting>,
}

/// A connection as it was seen at another place: beyond address translation, inside or outside of a tunnel, or by
/// another machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sighting {
    /// Who sent the SYN, by its address there.
    pub client: String,
    /// The other end.
    pub server: String,
    /// Wireshark's number of the stream, where it can be known.
    pub tcp_stream: Option<u32>,
    /// Index of the input that holds its first frame.
    pub input: u16,
    /// Its first frame.
    pub frame: u64,
}

/// A TLS handshake between gateway and upstream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Tls {
    /// Server name that the gateway asked for.
    pub server_name: Option<String>,
    /// Versions that it offered, highest first: `TLS 1.3`.
    pub offered_versions: Vec<String>,
    /// Application protocols that it offered.
    pub offered_protocols: Vec<String>,
    /// Cipher suites that it offered, at most 64.
    pub offered_suites: Vec<String>,
    /// JA4 fingerprint of the offer.
    pub ja4: Option<String>,
    /// Whether it offered to resume an earlier handshake.
    pub resumption_offered: bool,
    /// Whether it announced early data.
    pub early_data: bool,
    /// Whether the upstream asked for another ClientHello.
    pub retried: bool,
    /// Version that the upstream chose; null where it chose none.
    pub version: Option<String>,
    /// Cipher suite that it chose.
    pub suite: Option<String>,
    /// Application protocol that it chose; null also where that is encrypted.
    pub protocol: Option<String>,
    /// Whether an earlier handshake was resumed.
    pub resumed: bool,
    /// Whether the upstream asked for a certificate of the gateway, as far as that is in clear.
    pub certificate_requested: bool,
    /// Certificates that the gateway showed in clear.
    pub client_certificates: Vec<Certificate>,
    /// Whether a handshake began anew later.
    pub renegotiated: bool,
    /// Certificates that the upstream showed in clear, its own first.
    pub certificates: Vec<Certificate>,
    /// What is wrong with them at the moment of the capture, one clause each.
    pub problems: Vec<String>,
    /// What the stapled OCSP response says; its signature is not verified.
    pub ocsp: Option<String>,
    /// What a client that trusts the roots at hand would say of them.
    pub judged: Option<String>,
    /// Which roots these are: the gateway's own may differ.
    pub judged_by: Option<String>,
    /// Why the connection was not decrypted though secrets were given; null where none were, or they fit.
    pub not_decrypted: Option<String>,
}

/// An X.509 certificate.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Certificate {
    /// Subject.
    pub subject: String,
    /// Names and addresses that it covers, at most 128.
    pub names: Vec<String>,
    /// Issuer.
    pub issuer: String,
    /// First moment at which it is valid, RFC 3339 UTC.
    pub not_before: String,
    /// Last moment at which it is valid.
    pub not_after: String,
    /// Its key: `RSA 2048`, `EC 256`.
    pub key: String,
    /// Algorithm of its signature.
    pub signature: String,
    /// Whether subject and issuer are the same.
    pub self_signed: bool,
}

/// One use of an upstream by the gateway.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// Code of its cause; null when it succeeded.
    pub cause: Option<&'static str>,
    /// What refines the code.
    pub detail: Option<String>,
    /// `ip:port`; null for a lookup.
    pub upstream: Option<String>,
    /// The connection; null for a lookup.
    pub connection: Option<Connection>,
    /// When it began.
    pub start: String,
    /// The event that ended it, where one was seen.
    pub end: Option<String>,
    /// Why it is taken for this exchange's.
    pub matched_by: Vec<String>,
    /// Its decisive frames.
    pub frames: Vec<FrameRef>,
}

/// A frame: the number that Wireshark shows, in one of the inputs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FrameRef {
    /// Index of the input.
    pub input: u16,
    /// Number, from 1.
    pub frame: u64,
}

/// A frame and what it proves.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Evidence {
    /// Index of the input.
    pub input: u16,
    /// Number of the frame, from 1.
    pub frame: u64,
    /// Its time.
    pub time: String,
    /// Milliseconds since the first byte of the client's request; negative before it.
    pub offset_ms: f64,
    /// On which leg it was seen.
    #[schemars(extend("enum" = ["client", "upstream", "dns", "icmp", "link"]))]
    pub leg: &'static str,
    /// One sentence.
    pub summary: String,
}

/// A cause that it is not.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuledOut {
    /// Its code.
    pub code: &'static str,
    /// Why not.
    pub reason: String,
}

/// What a gateway's log says when this happens: the stable part to search for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogWording {
    /// The product.
    pub product: &'static str,
    /// Its words.
    pub text: &'static str,
}

/// Findings of one cause, gateway and upstream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Incident {
    /// Stable.
    pub id: String,
    /// Code of the cause.
    pub cause: &'static str,
    /// The gateway's end that clients used.
    pub gateway: String,
    /// The upstream.
    pub upstream: Option<String>,
    /// Number of findings.
    pub count: u64,
    /// First error.
    pub first_time: String,
    /// Last error.
    pub last_time: String,
    /// Ids of the findings.
    pub findings: Vec<String>,
    /// Distinct addresses of clients.
    pub clients: u64,
    /// Distinct targets, queries left out.
    pub targets: u64,
    /// Attempts of the same gateway at this upstream that went well; null where the upstream is not known.
    pub went_well: Option<u64>,
    /// Errors a minute between the first and the last; null where they lie within a second of each other.
    pub rate_per_minute: Option<f64>,
    /// Failures of all causes of the same gateway at this upstream; null where the upstream is not known.
    pub upstream_failed: Option<u64>,
    /// Their share of all requests of this gateway at this upstream, 0 to 1; null where the upstream is not known.
    pub upstream_failed_share: Option<f64>,
    /// What the failures have in common that the gateway's successes have not, the clearest first.
    pub in_common: Vec<Common>,
    /// How many of its findings there are of each confidence, for readers who see one of them.
    #[serde(skip)]
    pub confidences: BTreeMap<&'static str, u64>,
}

/// A trait that separates the failures of an incident from what went well.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Common {
    /// The trait, as it continues "all failures".
    pub words: String,
    /// Failures; all of them have it.
    pub failures: u64,
    /// Successes of the same gateway that have it too.
    pub successes: u64,
    /// All successes of the gateway.
    pub successes_total: u64,
}

/// A failed attempt after which the client was served all the same.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UpstreamEvent {
    /// The gateway's end of the attempt.
    pub gateway: String,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
}

/// What a client did, or what a gateway refused of it: no gateway error.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClientEvent {
    /// Stable code; `gwcap --explain CODE` tells more.
    #[schemars(extend("enum" = ["client-aborted", "client-request-timeout", "client-bad-request"]))]
    pub cause: &'static str,
    /// The client's close, or the first byte of the refusal, RFC 3339 UTC.
    pub time: String,
    /// `ip:port`.
    pub client: String,
    /// The end that it asked.
    pub gateway: String,
    /// Wireshark's number of the stream, where it can be known.
    pub tcp_stream: Option<u32>,
    /// The status that was sent; null where none was.
    pub status: Option<u16>,
    /// From the first byte of the request, milliseconds.
    pub waited_ms: f64,
    /// The wait in whole seconds, where it equals such as people give to timers; else null.
    pub patience_seconds: Option<u32>,
    /// Proof, in order of time.
    pub evidence: Vec<Evidence>,
}

/// Something to know about the capture.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Warning {
    /// Stable code.
    pub code: &'static str,
    /// What.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The JSON Schema (draft 2020-12) of [`Report`], indented.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Report<'_>>();
    format!("{:#}", schema.as_value())
}
