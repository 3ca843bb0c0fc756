//! What is known of a gateway product. In: nothing. Out: the types of a row of `GATEWAYS`.
//!
//! The rule: all knowledge of one product stands in one value; nothing here depends on a capture.

use crate::protocol::kept::Kept;
use crate::protocol::observation::{RequestHead, ResponseHead};

/// One gateway product: how to recognise it, what it answers, how it words it, its timers and its knobs.
pub struct Product {
    /// The name in reports: `nginx`, `HAProxy`, `Envoy`, `Apache httpd`.
    pub name: &'static str,
    /// Where what stands here was learnt.
    pub source: Source,
    /// Whether this error response was written by the product itself. `body` is the first bytes of the body.
    pub recognise: fn(head: &ResponseHead, body: &[u8]) -> Option<Recognised>,
    /// Whether this request, sent to an upstream, has the product's shape (causes.md C.2); weak evidence.
    pub recognise_request: fn(head: &RequestHead) -> Option<&'static str>,
    /// What clients see and logs say, by cause.
    pub rows: &'static [Row],
    /// Advice by cause family.
    pub advice: &'static [(Family, &'static str)],
    /// Default timers towards upstreams.
    pub timers: &'static [Timer],
    /// Whether requests leave towards upstreams in the order in which they came, as they do from a plain event
    /// loop; Envoy flushes each connection's writes in a later turn, in another order.
    pub keeps_order: bool,
    /// Whether its pool hands a connection that was dialled for one request to another one that waits, as Envoy and Go's
    /// `net/http` do: the first was served meanwhile by a connection that had become free.
    pub hands_over: bool,
    /// Most bytes of a whole response head that the product takes with default settings.
    pub response_head_max: Option<u32>,
    /// Most bytes of one response header line.
    pub response_line_max: Option<u32>,
    /// Most header lines in a response.
    pub response_lines_max: Option<u32>,
}

/// Where the knowledge of a product comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The product itself was run, and its answers and log lines recorded (`captures/`).
    Recorded,
    /// Its documentation, or its published source: it was never run here (a cloud's product, or one without a package).
    Documented,
}

/// The kinds of failure that no error page takes for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name was not resolved.
    Name,
    /// No upstream was asked.
    Nothing,
    /// A timer ran out.
    Timer,
    /// The upstream's answer cannot be taken.
    Content,
    /// TLS could not be agreed on.
    Handshake,
    /// The connection did not come about.
    Unconnected,
    /// The connection ended.
    Ended,
    /// One of the two, the page does not say which.
    Broken,
}

impl Kind {
    /// The words of the report.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Name => "a name was not resolved",
            Self::Nothing => "no upstream was asked",
            Self::Timer => "a timer ran out",
            Self::Content => "the upstream's answer was not valid",
            Self::Handshake => "the TLS handshake failed",
            Self::Unconnected => "no connection to the upstream was made",
            Self::Ended => "the upstream's connection ended",
            Self::Broken => "the upstream's connection failed or ended",
        }
    }
}

/// Whether a connection that a gateway dialled for one request may carry another's; of an unknown product it may.
#[must_use]
pub fn may_hand_over(product: Option<&Product>) -> bool {
    product.is_none_or(|product| product.hands_over)
}

impl PartialEq for Product {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A server behind gateways whose answers they pass on. It is no gateway, and its page makes nobody one.
pub struct OriginServer {
    /// The name in reports.
    pub name: &'static str,
    /// Whether this server wrote the response. `body` is the first bytes of the body.
    pub recognise: fn(head: &ResponseHead, body: &[u8]) -> Option<Recognised>,
    /// What its own log says, by cause.
    pub logs: &'static [(&'static str, &'static str)],
    /// Advice by cause family.
    pub advice: &'static [(Family, &'static str)],
}

/// A product recognised in a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recognised {
    /// The name of the kin that it is, where it goes by another name: `OpenResty`, `Fastly`.
    pub kin: Option<&'static str>,
    /// Version, as announced.
    pub version: Option<String>,
    /// What gave it away: "Server: nginx/1.22.1", "body: nginx error page".
    pub identified_by: Vec<String>,
    /// Whether the Server header names the product. On nginx, Envoy, Traffic Server and Cloudflare that
    /// proves nothing of the author: they put their name on relayed responses too.
    pub named_by_server: bool,
    /// Whether the body is the product's own error page, so that it was written here and not relayed.
    pub own_page: bool,
    /// Code of the cause that the page itself tells (Envoy's reset reason, X-Squid-Error), if one.
    pub page_cause: Option<&'static str>,
    /// What refines it: the reason for which no upstream was asked (`no-live-upstream`, `pool-overflow`).
    pub page_detail: Option<&'static str>,
    /// The kind of failure that the page tells where its words stand for several causes ("protocol error").
    pub page_kind: Option<Kind>,
}

impl Recognised {
    /// Adds what gave it away, one clause.
    pub fn note(&mut self, clue: impl Into<String>) {
        self.identified_by.push(clue.into());
    }

    /// Notes that the Server header names the product, with its version.
    pub fn server(&mut self, name: &str, version: Option<String>) {
        self.named_by_server = true;
        match &version {
            Some(version) => self.note(format!("Server: {name}/{version}")),
            None => self.note(format!("Server: {name}")),
        }
        self.version = version;
    }

    /// Notes that the body is the product's own page.
    pub fn page(&mut self, clue: &str) {
        self.own_page = true;
        self.note(format!("body: {clue}"));
    }

    /// Notes the cause that the page tells: a code, or `code:detail`.
    pub fn tells(&mut self, cause: Option<&'static str>) {
        let Some(cause) = cause else { return };
        let (code, detail) = match cause.split_once(':') {
            Some((code, detail)) => (code, Some(detail)),
            None => (cause, None),
        };
        self.page_cause = Some(code);
        self.page_detail = detail;
    }

    /// Notes the kind of failure that the page tells.
    pub fn hints(&mut self, kind: Option<Kind>) {
        self.page_kind = kind;
    }

    /// Itself, if anything gave it away.
    #[must_use]
    pub fn if_any(self) -> Option<Self> {
        (!self.identified_by.is_empty()).then_some(self)
    }
}

/// What a product does when a cause hits it.
pub struct Row {
    /// The cause's code.
    pub code: &'static str,
    /// Statuses that a client may see; empty when none is known. 0 stands for none at all (a close without
    /// a byte, or bytes without a head), 200 for the upstream's own status, sent before the fault.
    pub statuses: &'static [u16],
    /// What the product's own log says: the stable part to search for. Empty when it is not known.
    pub log: &'static str,
}

/// A row, so that a product's rows read as a table.
#[must_use]
pub const fn row(code: &'static str, statuses: &'static [u16], log: &'static str) -> Row {
    Row {
        code,
        statuses,
        log,
    }
}

/// A default timer.
#[derive(Debug)]
pub struct Timer {
    /// The setting: `proxy_read_timeout`.
    pub name: &'static str,
    /// Which wait it bounds.
    pub wait: Wait,
    /// Its default, milliseconds.
    pub millis: u32,
    /// How much later than that it may fire, milliseconds: the product looks at its timers only now and then.
    pub tick_millis: u32,
}

impl Timer {
    /// The same timer, looked at every `millis` milliseconds only.
    #[must_use]
    pub const fn every(self, millis: u32) -> Self {
        Self {
            tick_millis: millis,
            ..self
        }
    }
}

/// A timer, so that a product's timers read as a table.
#[must_use]
pub const fn timer(name: &'static str, wait: Wait, millis: u32) -> Timer {
    Timer {
        name,
        wait,
        millis,
        tick_millis: 0,
    }
}

/// What a gateway waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The connection (on some products with the TLS handshake).
    Connect,
    /// The response, or its next bytes.
    Response,
    /// An answer from DNS.
    Resolve,
    /// A free connection or slot, before anything is sent.
    Queue,
}

/// The families of causes (causes.md A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Name resolution.
    NameResolution,
    /// Connect.
    Connect,
    /// TLS to the upstream.
    Tls,
    /// Protocol mismatch.
    ProtocolMismatch,
    /// Sending the request.
    SendingRequest,
    /// Waiting for the head.
    WaitingForHead,
    /// Malformed head.
    MalformedHead,
    /// Body.
    Body,
    /// The path between gateway and upstream.
    Path,
    /// No packets upstream.
    NoUpstreamPackets,
    /// Relayed.
    Relayed,
    /// The client's side.
    ClientSide,
    /// No proper answer to the client.
    Silent,
    /// Could not tell.
    CouldNotTell,
}

impl Family {
    /// The words of the report.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NameResolution => "name resolution",
            Self::Connect => "connect",
            Self::Tls => "TLS to the upstream",
            Self::ProtocolMismatch => "protocol mismatch",
            Self::SendingRequest => "sending the request",
            Self::WaitingForHead => "waiting for the head",
            Self::MalformedHead => "malformed head",
            Self::Body => "body",
            Self::Path => "path to the upstream",
            Self::NoUpstreamPackets => "no upstream packets",
            Self::Relayed => "relayed",
            Self::ClientSide => "client side",
            Self::Silent => "no proper answer",
            Self::CouldNotTell => "could not tell",
        }
    }
}

/// The value of a kept header, as text, where present.
#[must_use]
pub fn header<'a>(kept: &'a Kept, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    kept.get(name).map(String::from_utf8_lossy)
}
