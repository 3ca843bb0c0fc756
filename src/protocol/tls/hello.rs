//! The hellos (RFC 8446, section 4.1; RFC 5246, section 7.4.1). In: bodies of messages. Out: what a client
//! offers, and what a server chose.
//!
//! The rule: a hello whose fixed part cannot be read is none; an extension that cannot be read is left out, its
//! number stays. Lists are kept up to a limit, and cutting one is told.

use crate::protocol::tls::bytes::{Bytes, numbers};

/// Most entries that are kept of a list. No client offers more than about 170 suites; a hostile one may offer 32,767.
pub(crate) const LIST_MAX: usize = 256;

/// The random of a HelloRetryRequest (RFC 8446, section 4.1.3).
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// `legacy_version`: the highest version, for a client that does not list them.
    pub(crate) version: u16,
    /// The client's random: the name of its secrets in a key log.
    pub(crate) random: [u8; 32],
    /// The session that it would resume (TLS 1.2), or any bytes (TLS 1.3). At most 32 bytes are allowed.
    pub(crate) session_id: Box<[u8]>,
    /// Cipher suites in its order, GREASE (RFC 8701) and signalling values included.
    pub(crate) suites: Vec<u16>,
    /// Compression methods; 0 is none.
    pub(crate) compressions: Box<[u8]>,
    /// The server name asked for, as on the wire (lossy UTF-8).
    pub(crate) sni: Option<Box<str>>,
    /// Application protocols in its order, as on the wire.
    pub(crate) alpn: Vec<Box<[u8]>>,
    /// `supported_versions` as listed, GREASE included; empty where the extension is not there.
    pub(crate) versions: Vec<u16>,
    /// Groups for the key exchange.
    pub(crate) groups: Vec<u16>,
    /// Signature algorithms.
    pub(crate) signature_algorithms: Vec<u16>,
    /// Groups for which it sent a share.
    pub(crate) key_share_groups: Vec<u16>,
    /// Extended master secret (RFC 7627).
    pub(crate) extended_master_secret: bool,
    /// Encrypt-then-MAC (RFC 7366).
    pub(crate) encrypt_then_mac: bool,
    /// Length of the session ticket of TLS 1.2 (RFC 5077): `Some(0)` asks for one, more offers one.
    pub(crate) ticket_len: Option<usize>,
    /// Identities of the pre-shared keys offered (TLS 1.3); 0 where there are none.
    pub(crate) psk_identities: usize,
    /// Announces early data.
    pub(crate) early_data: bool,
    /// Numbers of all extensions in their order, GREASE included.
    pub(crate) extensions: Vec<u16>,
    /// A list was longer than what is kept.
    pub(crate) cut: bool,
}

/// What a server chose, or a request to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerHello {
    /// `legacy_version`.
    pub(crate) legacy_version: u16,
    /// The version chosen: `supported_versions`, else the former.
    pub(crate) version: u16,
    /// The server's random.
    pub(crate) random: [u8; 32],
    /// Session id: that of the client where the session is resumed (TLS 1.2); its echo in TLS 1.3.
    pub(crate) session_id: Box<[u8]>,
    /// The suite chosen.
    pub(crate) suite: u16,
    /// The compression chosen.
    pub(crate) compression: u8,
    /// Whether it is a HelloRetryRequest, by its random.
    pub(crate) is_retry: bool,
    /// The application protocol chosen (TLS 1.2 and below).
    pub(crate) alpn: Option<Box<[u8]>>,
    /// The group of the server's share; of a HelloRetryRequest the group asked for.
    pub(crate) key_share_group: Option<u16>,
    /// The index of the pre-shared key taken.
    pub(crate) psk: Option<u16>,
    /// Extended master secret (RFC 7627).
    pub(crate) extended_master_secret: bool,
    /// Encrypt-then-MAC (RFC 7366).
    pub(crate) encrypt_then_mac: bool,
    /// Whether the server will send a ticket (TLS 1.2).
    pub(crate) ticket: bool,
    /// Numbers of all extensions in their order.
    pub(crate) extensions: Vec<u16>,
}

/// Whether a number is there to keep peers tolerant (RFC 8701).
pub(crate) const fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

impl ClientHello {
    /// Whether it offers to resume an earlier handshake: by a ticket, a session id beside one, or a pre-shared key.
    pub(crate) fn resumes(&self) -> bool {
        let old_session = self.versions.is_empty() && !self.session_id.is_empty();
        self.ticket_len.is_some_and(|len| len > 0) || self.psk_identities > 0 || old_session
    }

    /// Reads the body of a message.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let version = bytes.number()?;
        let random = bytes.random()?;
        let session_id = bytes.vector8()?.into();
        let suites = bytes.vector16()?;
        let compressions = bytes.vector8()?.into();
        let mut hello = Self {
            version,
            random,
            session_id,
            compressions,
            ..Self::default()
        };
        hello.suites = hello.list(suites);
        // A hello of TLS 1.0 may end here.
        let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
        while let Some((kind, data)) = extensions.extension() {
            if hello.extensions.len() >= LIST_MAX {
                hello.cut = true;
                break;
            }
            hello.extensions.push(kind);
            hello.extension(kind, data);
        }
        Some(hello)
    }

    /// The versions offered, highest first, without GREASE.
    pub(crate) fn offered_versions(&self) -> Vec<u16> {
        let mut versions: Vec<u16> = self.versions.clone();
        // The rest is there to keep servers tolerant (RFC 8701).
        versions.retain(|version| version >> 8 == 3);
        if versions.is_empty() {
            versions.push(self.version);
        }
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.dedup();
        versions
    }

    fn list(&mut self, bytes: &[u8]) -> Vec<u16> {
        self.cut |= bytes.len() / 2 > LIST_MAX;
        numbers(bytes, LIST_MAX)
    }

    fn extension(&mut self, kind: u16, mut data: Bytes<'_>) {
        match kind {
            SERVER_NAME => {
                let mut names = Bytes(data.vector16().unwrap_or_default());
                if names.byte() == Some(0) {
                    let name = names.vector16().map(String::from_utf8_lossy);
                    self.sni = name.map(|name| name.into());
                }
            }
            ALPN => self.alpn = self.names(data.vector16()),
            SUPPORTED_VERSIONS => self.versions = self.list(data.vector8().unwrap_or_default()),
            SUPPORTED_GROUPS => self.groups = self.list(data.vector16().unwrap_or_default()),
            SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = self.list(data.vector16().unwrap_or_default());
            }
            KEY_SHARE => self.key_shares(data.vector16().unwrap_or_default()),
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            SESSION_TICKET => self.ticket_len = Some(data.0.len()),
            EARLY_DATA => self.early_data = true,
            PRE_SHARED_KEY => {
                let mut identities = Bytes(data.vector16().unwrap_or_default());
                while identities.vector16().is_some() && identities.number32().is_some() {
                    self.psk_identities += 1;
                }
            }
            _ => {}
        }
    }

    fn names(&mut self, list: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let mut list = Bytes(list.unwrap_or_default());
        let mut names = Vec::new();
        while let Some(name) = list.vector8() {
            if names.len() >= LIST_MAX {
                self.cut = true;
                break;
            }
            names.push(name.into());
        }
        names
    }

    fn key_shares(&mut self, shares: &[u8]) {
        let mut shares = Bytes(shares);
        while let Some((group, _)) = shares.extension() {
            if self.key_share_groups.len() >= LIST_MAX {
                self.cut = true;
                break;
            }
            self.key_share_groups.push(group);
        }
    }
}

impl ServerHello {
    /// Reads the body of a message.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let legacy_version = bytes.number()?;
        let random = bytes.random()?;
        let mut hello = Self {
            legacy_version,
            version: legacy_version,
            random,
            session_id: bytes.vector8()?.into(),
            suite: bytes.number()?,
            compression: bytes.byte()?,
            is_retry: random == RETRY_RANDOM,
            ..Self::default()
        };
        let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
        while let Some((kind, data)) = extensions.extension() {
            if hello.extensions.len() >= LIST_MAX {
                break;
            }
            hello.extensions.push(kind);
            hello.extension(kind, data);
        }
        Some(hello)
    }

    fn extension(&mut self, kind: u16, mut data: Bytes<'_>) {
        match kind {
            SUPPORTED_VERSIONS => self.version = data.number().unwrap_or(self.version),
            ALPN => self.alpn = chosen_protocol(data),
            KEY_SHARE => self.key_share_group = data.number(),
            PRE_SHARED_KEY => self.psk = data.number(),
            EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            SESSION_TICKET => self.ticket = true,
            _ => {}
        }
    }
}

/// What a server of TLS 1.3 answers to the extensions of the client; only seen decrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncryptedExtensions {
    /// The application protocol chosen.
    pub(crate) alpn: Option<Box<[u8]>>,
    /// Early data are taken.
    pub(crate) early_data: bool,
    /// Numbers of all extensions in their order.
    pub(crate) extensions: Vec<u16>,
}

impl EncryptedExtensions {
    /// Reads the body of a message.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut extensions = Bytes(Bytes(body).vector16()?);
        while let Some((kind, data)) = extensions.extension() {
            if found.extensions.len() >= LIST_MAX {
                break;
            }
            found.extensions.push(kind);
            match kind {
                ALPN => found.alpn = chosen_protocol(data),
                EARLY_DATA => found.early_data = true,
                _ => {}
            }
        }
        Some(found)
    }
}

fn chosen_protocol(mut data: Bytes<'_>) -> Option<Box<[u8]>> {
    let mut names = Bytes(data.vector16()?);
    names.vector8().map(Into::into)
}
