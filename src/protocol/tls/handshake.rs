//! One handshake message, read (RFC 8446, section 4). In: a whole message and the version. Out: what it says.

use crate::protocol::tls::certificate::{
    Certificate, CertificateRequest, NewSessionTicket, certificate_status,
};
use crate::protocol::tls::hello::{ClientHello, EncryptedExtensions, ServerHello};
use crate::protocol::tls::messages::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_STATUS, CLIENT_HELLO, CLIENT_KEY_EXCHANGE,
    COMPRESSED_CERTIFICATE, ENCRYPTED_EXTENSIONS, FINISHED, HELLO_REQUEST, KEY_UPDATE, Message,
    NEW_SESSION_TICKET, SERVER_HELLO, SERVER_HELLO_DONE,
};

/// The version number of TLS 1.3.
pub(crate) const TLS13: u16 = 0x0304;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The client offers.
    ClientHello(Box<ClientHello>),
    /// The server chose, or asks for another ClientHello.
    ServerHello(Box<ServerHello>),
    /// The server asks for a new handshake (TLS 1.2 and below).
    HelloRequest,
    /// The server answers the extensions (TLS 1.3, decrypted).
    EncryptedExtensions(EncryptedExtensions),
    /// A chain of certificates.
    Certificate(Certificate),
    /// A compressed chain: the algorithm (RFC 8879) and the length that it would have, bytes. It is not expanded.
    CompressedCertificate {
        /// 1 zlib, 2 brotli, 3 zstd.
        algorithm: u16,
        /// Length of the message that it stands for.
        len: usize,
    },
    /// The server asks for a certificate.
    CertificateRequest(CertificateRequest),
    /// An OCSP response (TLS 1.2 and below).
    CertificateStatus(Box<[u8]>),
    /// A session ticket.
    NewSessionTicket(NewSessionTicket),
    /// The server has said all of its first flight (TLS 1.2 and below).
    ServerHelloDone,
    /// The client's part of the key exchange (TLS 1.2 and below).
    ClientKeyExchange,
    /// Finished, and its bytes.
    Finished(Box<[u8]>),
    /// New keys for the sender's direction (TLS 1.3); whether the peer shall change too.
    KeyUpdate {
        /// `update_requested`.
        requested: bool,
    },
    /// A message of another type, by its number.
    Other(u8),
}

impl Handshake {
    /// Reads a message. `version`: what the server chose, where that is known (0x0303 is TLS 1.2). `None`: its bytes do
    /// not fit its type.
    pub(crate) fn read(message: &Message, version: Option<u16>) -> Option<Self> {
        let body = message.body();
        let tls13 = version == Some(TLS13);
        Some(match message.kind {
            CLIENT_HELLO => Self::ClientHello(Box::new(ClientHello::read(body)?)),
            SERVER_HELLO => Self::ServerHello(Box::new(ServerHello::read(body)?)),
            HELLO_REQUEST => Self::HelloRequest,
            ENCRYPTED_EXTENSIONS => Self::EncryptedExtensions(EncryptedExtensions::read(body)?),
            CERTIFICATE => Self::Certificate(Certificate::read(body, tls13)?),
            COMPRESSED_CERTIFICATE => match *body {
                [high, low, a, b, c, ..] => Self::CompressedCertificate {
                    algorithm: u16::from_be_bytes([high, low]),
                    len: u32::from_be_bytes([0, a, b, c]) as usize,
                },
                _ => return None,
            },
            CERTIFICATE_REQUEST => {
                let version = version.unwrap_or(0x0303);
                Self::CertificateRequest(CertificateRequest::read(body, version)?)
            }
            CERTIFICATE_STATUS => Self::CertificateStatus(certificate_status(body)?),
            NEW_SESSION_TICKET => Self::NewSessionTicket(NewSessionTicket::read(body, tls13)?),
            SERVER_HELLO_DONE => Self::ServerHelloDone,
            CLIENT_KEY_EXCHANGE => Self::ClientKeyExchange,
            FINISHED => Self::Finished(body.into()),
            KEY_UPDATE => Self::KeyUpdate {
                requested: body == [1],
            },
            other => Self::Other(other),
        })
    }
}
