//! Messages about certificates and tickets (RFC 8446, sections 4.3.2, 4.4.2 and 4.6.1; RFC 5246, sections 7.4.2 and
//! 7.4.4; RFC 6066, section 8). In: bodies of messages. Out: certificates as they lie, and what was asked for.
//!
//! The rule: certificates are bytes here; whoever judges them reads them. A chain is kept up to a limit.

use crate::protocol::tls::bytes::{Bytes, numbers};
use crate::protocol::tls::hello::LIST_MAX;

/// Most certificates of a chain that are kept. OpenSSL verifies at most 100, real chains have two to four.
pub(crate) const CHAIN_MAX: usize = 16;

/// Extension: the OCSP response of a certificate (TLS 1.3).
const STATUS_REQUEST: u16 = 5;
const SIGNATURE_ALGORITHMS: u16 = 13;
const EARLY_DATA: u16 = 42;
/// Status type of RFC 6066, section 8: OCSP.
const OCSP: u8 = 1;

/// A Certificate message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The certificates (DER), the peer's own first. Empty: the client has none.
    pub(crate) chain: Vec<Box<[u8]>>,
    /// The OCSP response for the first of them (TLS 1.3).
    pub(crate) ocsp: Option<Box<[u8]>>,
    /// Certificates beyond the limit.
    pub(crate) left_out: usize,
}

impl Certificate {
    /// Reads the body of a message. `tls13`: whether it has the layout of TLS 1.3.
    pub(crate) fn read(body: &[u8], tls13: bool) -> Option<Self> {
        let mut bytes = Bytes(body);
        if tls13 {
            bytes.vector8()?;
        }
        let mut list = Bytes(bytes.vector24()?);
        let mut found = Self::default();
        while !list.is_empty() {
            let certificate = list.vector24()?;
            let extensions = if tls13 { list.vector16()? } else { &[] };
            if found.chain.is_empty() {
                found.ocsp = stapled(extensions);
            }
            if found.chain.len() < CHAIN_MAX {
                found.chain.push(certificate.into());
            } else {
                found.left_out += 1;
            }
        }
        Some(found)
    }
}

fn stapled(extensions: &[u8]) -> Option<Box<[u8]>> {
    let mut extensions = Bytes(extensions);
    while let Some((kind, data)) = extensions.extension() {
        if kind == STATUS_REQUEST {
            return certificate_status(data.0);
        }
    }
    None
}

/// The OCSP response (DER) of a CertificateStatus message.
pub(crate) fn certificate_status(body: &[u8]) -> Option<Box<[u8]>> {
    let mut bytes = Bytes(body);
    (bytes.byte()? == OCSP)
        .then(|| bytes.vector24())?
        .map(Into::into)
}

/// What a server asks of a client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateRequest {
    /// Types of certificates (TLS 1.2 and below).
    pub(crate) types: Box<[u8]>,
    /// Signature algorithms taken (TLS 1.2 and above).
    pub(crate) signature_algorithms: Vec<u16>,
    /// Issuers named, by number: their names are not kept.
    pub(crate) authorities: usize,
}

impl CertificateRequest {
    /// Reads the body of a message of the version (0x0303 is TLS 1.2).
    pub(crate) fn read(body: &[u8], version: u16) -> Option<Self> {
        let mut bytes = Bytes(body);
        let mut found = Self::default();
        if version >= 0x0304 {
            bytes.vector8()?;
            let mut extensions = Bytes(bytes.vector16()?);
            while let Some((kind, mut data)) = extensions.extension() {
                if kind == SIGNATURE_ALGORITHMS {
                    let list = data.vector16().unwrap_or_default();
                    found.signature_algorithms = numbers(list, LIST_MAX);
                }
            }
            return Some(found);
        }
        found.types = bytes.vector8()?.into();
        if version == 0x0303 {
            found.signature_algorithms = numbers(bytes.vector16()?, LIST_MAX);
        }
        let mut authorities = Bytes(bytes.vector16()?);
        while authorities.vector16().is_some() {
            found.authorities += 1;
        }
        Some(found)
    }
}

/// A session ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewSessionTicket {
    /// How long it may be used, seconds; 0 in TLS 1.2 means that the server does not say.
    pub(crate) lifetime_seconds: u32,
    /// Length of the ticket, bytes.
    pub(crate) len: usize,
    /// Early data that the server takes with it, bytes (TLS 1.3).
    pub(crate) early_data_max: Option<u32>,
}

impl NewSessionTicket {
    /// Reads the body of a message.
    pub(crate) fn read(body: &[u8], tls13: bool) -> Option<Self> {
        let mut bytes = Bytes(body);
        let mut found = Self {
            lifetime_seconds: bytes.number32()?,
            ..Self::default()
        };
        if tls13 {
            bytes.number32()?;
            bytes.vector8()?;
        }
        found.len = bytes.vector16()?.len();
        if tls13 {
            let mut extensions = Bytes(bytes.vector16()?);
            while let Some((kind, mut data)) = extensions.extension() {
                if kind == EARLY_DATA {
                    found.early_data_max = data.number32();
                }
            }
        }
        Some(found)
    }
}
