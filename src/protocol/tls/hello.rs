//! Handshake messages in clear (RFC 8446, section 4). In: payloads of handshake records. Out: the hellos.
//!
//! The rule: only hellos are kept, up to a limit; certificates and the rest are skipped as they pass.

/// Longest hello that is kept: a ClientHello with post-quantum shares has 2 KB.
pub const HELLO_MAX: usize = 64 * 1024;
/// Most names that are kept of a list that a client offers.
pub const OFFERED_MAX: usize = 32;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const MESSAGE_HEADER_LEN: usize = 4;

/// What a ClientHello asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name.
    pub sni: Option<Box<str>>,
    /// Protocols offered.
    pub alpn: Vec<Box<str>>,
    /// Versions offered, highest first.
    pub versions: Vec<u16>,
}

/// A hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// From the client.
    Client(ClientHello),
    /// From the server: the version it chose.
    Server(u16),
    /// The server asks for another ClientHello.
    Retry,
}

/// Puts the messages of one direction together.
#[derive(Debug, Default)]
pub struct Messages {
    buffer: Vec<u8>,
    skip: usize,
    deaf: bool,
}

impl Messages {
    /// Takes the payload of a record; `found` gets each hello that it completes.
    pub fn take(&mut self, mut payload: &[u8], mut found: impl FnMut(Hello)) {
        while !payload.is_empty() && !self.deaf {
            let skipped = self.skip.min(payload.len());
            self.skip -= skipped;
            payload = payload.get(skipped..).unwrap_or_default();
            let wanted = self.wanted();
            let missing = wanted.saturating_sub(self.buffer.len()).min(payload.len());
            let (new, rest) = payload.split_at_checked(missing).unwrap_or_default();
            self.buffer.extend_from_slice(new);
            payload = rest;
            self.look(&mut found);
        }
    }

    /// Bytes are missing: where the next message starts is not known any more.
    pub fn lose(&mut self) {
        *self = Self {
            deaf: true,
            ..Self::default()
        };
    }

    /// How long the buffer must be for the next step.
    fn wanted(&self) -> usize {
        match self.buffer.as_slice() {
            [_, a, b, c, ..] => MESSAGE_HEADER_LEN + u32::from_be_bytes([0, *a, *b, *c]) as usize,
            _ => MESSAGE_HEADER_LEN,
        }
    }

    fn look(&mut self, found: &mut impl FnMut(Hello)) {
        let Some(kind) = self.buffer.first().copied() else {
            return;
        };
        if self.buffer.len() < MESSAGE_HEADER_LEN {
            return;
        }
        let wanted = self.wanted();
        if !matches!(kind, CLIENT_HELLO | SERVER_HELLO) || wanted > HELLO_MAX {
            self.skip = wanted.saturating_sub(self.buffer.len());
            self.buffer = Vec::new();
        } else if self.buffer.len() >= wanted {
            let body = self.buffer.get(MESSAGE_HEADER_LEN..).unwrap_or_default();
            let hello = match kind {
                CLIENT_HELLO => client_hello(body).map(Hello::Client),
                _ => server_hello(body),
            };
            self.buffer = Vec::new();
            if let Some(hello) = hello {
                found(hello);
            }
        }
    }
}

/// The random of a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;

fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut bytes = Bytes(body);
    let legacy = bytes.number()?;
    bytes.take(32)?;
    bytes.short_vector()?;
    bytes.vector()?;
    bytes.short_vector()?;
    let mut hello = ClientHello {
        sni: None,
        alpn: Vec::new(),
        versions: Vec::new(),
    };
    // A hello of TLS 1.0 may end here.
    let mut extensions = Bytes(bytes.vector().unwrap_or_default());
    while let Some((kind, mut data)) = extensions.extension() {
        match kind {
            EXTENSION_SERVER_NAME => {
                let mut names = Bytes(data.vector().unwrap_or_default());
                if names.byte() == Some(0) {
                    hello.sni = names.vector().map(text);
                }
            }
            EXTENSION_ALPN => {
                let mut names = Bytes(data.vector().unwrap_or_default());
                while let Some(name) = names.short_vector()
                    && hello.alpn.len() < OFFERED_MAX
                {
                    hello.alpn.push(text(name));
                }
            }
            EXTENSION_SUPPORTED_VERSIONS => {
                let mut list = Bytes(data.short_vector().unwrap_or_default());
                while let Some(version) = list.number()
                    && hello.versions.len() < OFFERED_MAX
                {
                    // The rest is there to keep servers tolerant (RFC 8701).
                    if version >> 8 == 3 {
                        hello.versions.push(version);
                    }
                }
            }
            _ => {}
        }
    }
    if hello.versions.is_empty() {
        hello.versions.push(legacy);
    }
    hello.versions.sort_unstable_by(|a, b| b.cmp(a));
    Some(hello)
}

fn server_hello(body: &[u8]) -> Option<Hello> {
    let mut bytes = Bytes(body);
    let mut version = bytes.number()?;
    if bytes.take(32)? == RETRY_RANDOM {
        return Some(Hello::Retry);
    }
    bytes.short_vector()?;
    bytes.take(3)?;
    let mut extensions = Bytes(bytes.vector().unwrap_or_default());
    while let Some((kind, mut data)) = extensions.extension() {
        if kind == EXTENSION_SUPPORTED_VERSIONS {
            version = data.number().unwrap_or(version);
        }
    }
    Some(Hello::Server(version))
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A vector with a length of one byte.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let len = self.byte()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of two bytes.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }

    fn extension(&mut self) -> Option<(u16, Bytes<'a>)> {
        Some((self.number()?, Bytes(self.vector()?)))
    }
}
