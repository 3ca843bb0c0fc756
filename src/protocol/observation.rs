//! What was seen, in the words of the protocols. In: nothing. Out: the types that `protocol` makes.
//!
//! The rule: an observation is made when a thing is seen, carries the frame that showed it, and refers to
//! exchanges and connections by stable ids. Secrets never enter: of credentials only a hash is kept.

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::decode::segment::{IcmpError, Resolution};
use crate::flow::{Direction, Endpoint, Vantage};
use crate::frame::Mark;
use crate::protocol::kept::Kept;
use crate::tcp::event::{Connection, ConnectionId, Ending};

/// Most bytes of a body or of an unknown stream that are kept to recognise who wrote it.
pub const PREFIX_MAX: usize = 512;

/// One thing that was seen. `seen` is the frame being processed: observations sort by it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When it became known.
    pub seen: Mark,
    /// What.
    pub what: Seen,
}

/// The name of an exchange: its connection and its number there, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId {
    /// The connection.
    pub connection: ConnectionId,
    /// Number on that connection, from 0. For a stream of an unknown protocol, the number of the turn:
    /// a turn begins each time the client speaks after the server did.
    pub index: u32,
}

/// The kinds of observations.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Something happened to a connection; its facts as known now.
    Connection {
        /// What happened.
        event: ConnectionEvent,
        /// The facts.
        facts: Arc<Connection>,
    },
    /// Which protocol a connection speaks, once known.
    Protocol {
        /// The connection.
        connection: ConnectionId,
        /// The protocol.
        protocol: Protocol,
    },
    /// The first byte of a request (or of a client's turn in an unknown protocol) was seen.
    RequestStart {
        /// The exchange.
        exchange: ExchangeId,
        /// Stream offset of its first byte.
        offset: u64,
        /// The frame that carried that byte.
        at: Mark,
    },
    /// A request's head is complete; or a gap of the capture cut it after its first line: then it tells what
    /// was seen, and the request ends as [`Completion::LostInGap`].
    RequestHead {
        /// The exchange.
        exchange: ExchangeId,
        /// The head.
        head: Arc<RequestHead>,
    },
    /// A request is complete, or will not become so. Without a start before it: the request of a response
    /// whose own lies in a gap.
    RequestEnd {
        /// The exchange.
        exchange: ExchangeId,
        /// How it ended.
        end: MessageEnd,
    },
    /// The first byte of the (final) response, or of a server's turn, was seen.
    ResponseStart {
        /// The exchange.
        exchange: ExchangeId,
        /// The frame that carried it.
        at: Mark,
    },
    /// An interim response (1xx).
    Interim {
        /// The exchange.
        exchange: ExchangeId,
        /// Its status, 100 to 199.
        status: u16,
        /// The frame.
        at: Mark,
    },
    /// A final response's head is complete; or a gap of the capture cut it after its status: then it tells
    /// what was seen, and the response ends as [`Completion::LostInGap`].
    ResponseHead {
        /// The exchange.
        exchange: ExchangeId,
        /// The head.
        head: Arc<ResponseHead>,
    },
    /// The response's bytes break a rule of the protocol.
    ResponseFault {
        /// The exchange.
        exchange: ExchangeId,
        /// Which, and where.
        fault: Fault,
        /// The frame.
        at: Mark,
        /// First bytes of the response, for a fault of chunks those from the fault on, at most [`PREFIX_MAX`].
        prefix: Box<[u8]>,
    },
    /// A response is complete, or will not become so.
    ResponseEnd {
        /// The exchange.
        exchange: ExchangeId,
        /// How it ended.
        end: MessageEnd,
        /// First bytes of the body (or of what came instead of a head), at most [`PREFIX_MAX`]; kept only
        /// when the status is 400 or above or when there is no head. Of an encoded body a few are kept, which
        /// tell the coding.
        prefix: Box<[u8]>,
    },
    /// A server sent bytes that no request asked for.
    Unsolicited {
        /// The connection.
        connection: ConnectionId,
        /// First bytes.
        prefix: Box<[u8]>,
        /// The frame.
        at: Mark,
    },
    /// The client began with a PROXY header; what follows it is read as if it had begun the stream.
    ProxyHeader {
        /// The connection.
        connection: ConnectionId,
        /// Its version, 1 (text) or 2 (binary).
        version: u8,
        /// The frame that completed it.
        at: Mark,
    },
    /// A step of a TLS handshake or its end.
    Tls {
        /// The connection.
        connection: ConnectionId,
        /// The step.
        step: TlsStep,
        /// The frame.
        at: Mark,
    },
    /// A DNS query, or the same query again.
    Query(Box<Query>),
    /// A DNS answer to a query.
    Answer(Box<Answer>),
    /// The capturing machine sent a frame from this address, for the first time; or it was seen since that it only passes
    /// on what this address sends.
    Local {
        /// The machine.
        vantage: Vantage,
        /// The address.
        addr: IpAddr,
        /// Whether it is the machine's own; `false` takes back what was told before.
        own: bool,
    },
    /// The capture's clock was set, or its frames are out of order by as much.
    ClockStep {
        /// The first frame after it.
        at: Mark,
        /// By how much it was set ahead; negative where it was set back. Nanoseconds.
        nanos: i64,
    },
    /// An ICMP error, and the connection that it quotes when that is known.
    Icmp {
        /// The connection.
        connection: Option<ConnectionId>,
        /// The error.
        error: Box<IcmpError>,
    },
    /// A host asked a link for an address, or told its own.
    Resolution(Box<Resolution>),
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// Its first segment, a SYN where the capture has it.
    Opened,
    /// A SYN or SYN-ACK after that.
    Syn,
    /// Handshake complete.
    Established,
    /// The first payload of a direction whose SYN was not seen.
    Joined,
    /// FIN from the sender of that direction.
    Fin(Direction),
    /// RST from the sender of that direction.
    Reset(Direction),
    /// Bytes of that direction are missing from the capture. Only the first few of a connection are told;
    /// the facts carry the totals.
    Gap(Direction),
    /// The sender of that direction has sent bytes that were never seen, by the number of a later segment.
    Ahead(Direction),
    /// It left the table.
    Ended(Ending),
}

/// The protocol of a connection's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1 in clear.
    Http1,
    /// TLS.
    Tls,
    /// HTTP/2 with prior knowledge (its preface was seen); not parsed further yet.
    Http2,
    /// FastCGI, uwsgi, a database, anything: known by TCP facts and turns only.
    Unknown,
    /// A filter let only segments with SYN, FIN or RST pass: sequence numbers tell that something was said, and how much.
    Hidden,
}

/// A protocol version of an HTTP/1 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Method, as on the wire.
    pub method: Cow<'static, str>,
    /// Request target, as on the wire (lossy UTF-8), at most 8 KB kept.
    pub target: Box<str>,
    /// Version.
    pub version: HttpVersion,
    /// Identifying headers in clear (host, request ids, trace headers, forwarded-for, user agent, content type...).
    pub kept: Kept,
    /// Hash over the values of Cookie and Authorization, where present.
    pub credentials_hash: Option<NonZeroU64>,
    /// Size of the head on the wire, bytes.
    pub head_len: u32,
    /// Number of header lines.
    pub header_lines: u32,
    /// Whether all header names are in lower case (HAProxy and Envoy write them so).
    pub lower_case_names: bool,
    /// Declared body length, where a Content-Length is present and valid.
    pub content_length: Option<u64>,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// The frame that completed the head.
    pub at: Mark,
}

/// The head of a final response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Status code, as sent: 100 to 999 here, three digits.
    pub status: u16,
    /// Reason phrase (lossy), at most 128 bytes.
    pub reason: Cow<'static, str>,
    /// Version.
    pub version: HttpVersion,
    /// Headers that tell who wrote it (server, via, x-squid-error, proxy-status, ...), and etag, date,
    /// location, content-type, keep-alive.
    pub kept: Kept,
    /// Size of the head on the wire, bytes.
    pub head_len: u32,
    /// Longest header line, bytes.
    pub longest_line: u32,
    /// Number of header lines.
    pub header_lines: u32,
    /// Declared body length.
    pub content_length: Option<u64>,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// Whether the message announces that the connection closes after it.
    pub close: bool,
    /// Rules of the head's syntax that it breaks, though it could be read; strict gateways refuse it.
    pub oddities: Box<[Fault]>,
    /// The frame that completed the head.
    pub at: Mark,
}

impl RequestHead {
    /// The Host, as on the wire (lossy UTF-8).
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, str>> {
        self.kept.get("host").map(String::from_utf8_lossy)
    }
}

impl ResponseHead {
    /// The Content-Encoding, where there is one (RFC 9110, section 8.4).
    #[must_use]
    pub fn content_encoding(&self) -> Option<&[u8]> {
        self.kept.get("content-encoding")
    }

    /// Whether the body is encoded.
    #[must_use]
    pub fn is_encoded(&self) -> bool {
        self.content_encoding().is_some()
    }
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    /// How.
    pub how: Completion,
    /// Stream offset after its last byte seen.
    pub end_offset: u64,
    /// Body bytes that were seen or known to exist (chunk framing not counted).
    pub body_len: u64,
    /// Hash over the first [`PREFIX_MAX`] bytes of the body, 0 when there is none.
    pub body_hash: u64,
    /// The frame of the last byte (for an incomplete message: of its last byte seen; where no byte was seen,
    /// the frame that showed that none will come).
    pub at: Mark,
}

/// Whether a message is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completion {
    /// All of it, by its own framing.
    Complete,
    /// Delimited by the end of the connection, which came by FIN.
    CompleteByClose,
    /// Ended inside the head by FIN.
    HeadClosed,
    /// Ended inside the head by RST.
    HeadReset,
    /// The body ended early by FIN.
    BodyClosed,
    /// The body ended early by RST.
    BodyReset,
    /// The head or body broke a rule and what follows cannot be framed.
    Malformed,
    /// No byte of it came before the connection ended.
    Nothing,
    /// Part of it lies in a gap of the capture: whole or not, the capture cannot tell.
    LostInGap,
    /// The capture (or the table's patience) ended first.
    CaptureEnded,
    /// The connection became something else: CONNECT, 101, or raw bytes.
    Switched,
}

impl Rule {
    /// Whether it is a rule of the chunked coding (RFC 9112, section 7.1).
    #[must_use]
    pub const fn is_of_chunks(self) -> bool {
        matches!(self, Self::ChunkSize | Self::ChunkTooLarge | Self::ChunkEnd)
    }
}

impl Completion {
    /// Whether the message is known to be whole.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::CompleteByClose | Self::Switched
        )
    }
}

/// A rule of the protocol that bytes break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub rule: Rule,
    /// Byte offset in the message, from its first byte.
    pub offset: u32,
    /// The offending byte, where one byte offends.
    pub byte: Option<u8>,
    /// A few bytes around it.
    pub excerpt: Box<[u8]>,
}

/// Rules that responses break (RFC 9112 unless said otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// First line is not `HTTP/1.x SP 3DIGIT`.
    StatusLine,
    /// Status code outside 100 to 599.
    StatusCode,
    /// NUL in a header line.
    Nul,
    /// Another control character in a header line.
    ControlCharacter,
    /// A space inside a field name.
    SpaceInName,
    /// A space before the colon.
    SpaceBeforeColon,
    /// A line without a colon.
    NoColon,
    /// An empty field name.
    EmptyName,
    /// A byte in a field name that is no token character.
    NameCharacter,
    /// A line folded onto the next (obsolete).
    ObsFold,
    /// Lines ended by LF alone. All products accept it.
    BareLf,
    /// A CR that no LF follows.
    BareCr,
    /// Content-Length and Transfer-Encoding together.
    LengthAndCoding,
    /// Two different Content-Length values.
    TwoLengths,
    /// A Content-Length that is no number.
    InvalidLength,
    /// A Transfer-Encoding that is not `chunked`.
    UnknownCoding,
    /// A chunk size that is no hexadecimal number.
    ChunkSize,
    /// A chunk size that does not fit 64 bits.
    ChunkTooLarge,
    /// The data of a chunk is not followed by CRLF: it is longer than its size says.
    ChunkEnd,
    /// The head is larger than what is kept of it.
    HeadTooLarge,
    /// 101 without an Upgrade in the request; told among the oddities of the head.
    UnaskedUpgrade,
}

/// A chain of certificates as its sender sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The certificates (DER, RFC 5280), the sender's own first, at most 16. Empty: the client has none.
    pub certificates: Vec<Box<[u8]>>,
}

/// What a ClientHello offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Server name asked for.
    pub sni: Option<Box<str>>,
    /// Protocols offered.
    pub alpn: Vec<Box<str>>,
    /// Versions offered, as on the wire (0x0303 is TLS 1.2), highest first.
    pub versions: Vec<u16>,
    /// Cipher suites offered, in the client's order, as on the wire, without GREASE (RFC 8701).
    pub suites: Box<[u16]>,
    /// JA4 fingerprint; empty for a hello in the form of SSLv2.
    pub ja4: Box<str>,
    /// Whether it offers to resume an earlier handshake, by a ticket or a pre-shared key.
    pub resumes: bool,
    /// Whether it announces early data (RFC 8446, section 4.2.10).
    pub early_data: bool,
}

/// A step of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsStep {
    /// The ClientHello: what is offered. Boxed, so that an observation stays small.
    ClientHello(Box<Offer>),
    /// The server asks for another ClientHello (RFC 8446, section 4.1.4).
    Retry,
    /// The ServerHello: what was chosen.
    ServerHello {
        /// Version, as on the wire.
        version: u16,
        /// Cipher suite, as on the wire.
        suite: u16,
        /// Application protocol, where it is chosen in clear (TLS 1.2 and below).
        alpn: Option<Box<str>>,
        /// Whether an earlier handshake is resumed, so that no certificate follows.
        resumed: bool,
    },
    /// A Certificate message, in clear or decrypted.
    Certificate {
        /// Whose: its direction.
        direction: Direction,
        /// The certificates.
        chain: Arc<Chain>,
    },
    /// The server asks for the client's certificate.
    CertificateRequested,
    /// The server's OCSP response (RFC 6066, section 8).
    OcspResponse {
        /// DER, RFC 6960.
        der: Arc<[u8]>,
    },
    /// A record of the client's last flight has the size of an empty Certificate message (TLS 1.3): the server asked for
    /// a certificate, and the client has none.
    NoCertificateLike,
    /// A handshake began anew on a connection that had completed one (TLS 1.2 and below).
    Renegotiation,
    /// An alert in clear, or decrypted.
    Alert {
        /// Who sent it: its direction.
        direction: Direction,
        /// 1 warning, 2 fatal.
        level: u8,
        /// Alert description number (RFC 8446, section 6).
        description: u8,
        /// How much of the other side's stream was acknowledged when it came.
        acknowledges: Option<u64>,
    },
    /// The client has finished its side: the handshake is complete as far as can be seen without keys.
    Finished,
    /// First application data of a direction after the handshake.
    ApplicationData {
        /// Which way.
        direction: Direction,
    },
    /// An encrypted record of the size of an alert ended the stream of a direction.
    EncryptedAlertLike {
        /// Which way.
        direction: Direction,
        /// How much of the other side's stream was acknowledged when it came.
        acknowledges: Option<u64>,
    },
    /// The server answered the ClientHello with bytes that are not TLS.
    NotTls {
        /// First bytes.
        prefix: Box<[u8]>,
    },
    /// A record was decrypted: from here on the stream inside is told.
    Decrypted,
    /// Secrets were given, and this connection cannot be decrypted with them.
    NotDecrypted {
        /// Why.
        why: NotDecrypted,
    },
}

/// Why a TLS connection cannot be decrypted, though secrets were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotDecrypted {
    /// No secret of it was given.
    NoSecret,
    /// Some of its secrets were given, and others are missing.
    Incomplete,
    /// Its suite cannot be read: the number of the registry.
    Suite(u16),
    /// Its version cannot be read: TLS 1.1 and older.
    Version(u16),
    /// The secrets that were given for it do not fit: its records do not authenticate.
    NotAuthentic,
    /// Its handshake was not captured, or not in full.
    Joined,
}

/// A DNS query (RFC 1035).
#[derive(Clone, Debug)]
pub struct Query {
    /// Who asks.
    pub client: Endpoint,
    /// Who is asked.
    pub resolver: Endpoint,
    /// Transaction id.
    pub id: u16,
    /// The name, lower case, without the trailing dot.
    pub name: Box<str>,
    /// Query type: 1 A, 28 AAAA, 33 SRV, ...
    pub kind: u16,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Frame.
    pub at: Mark,
    /// Whether the same query was seen before on the same sockets.
    pub repeated: bool,
}

/// A DNS answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The query's first frame, where it was captured.
    pub query_at: Option<Mark>,
    /// Who asked.
    pub client: Endpoint,
    /// Who answered.
    pub resolver: Endpoint,
    /// Transaction id.
    pub id: u16,
    /// The name, lower case, without the trailing dot.
    pub name: Box<str>,
    /// Query type.
    pub kind: u16,
    /// RCODE: 0 no error, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    pub rcode: u16,
    /// Addresses in the answer (A and AAAA), at most 32.
    pub addresses: Vec<IpAddr>,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Frame.
    pub at: Mark,
}
