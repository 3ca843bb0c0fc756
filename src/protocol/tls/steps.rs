//! From messages to what is told of a handshake. In: a message that was read. Out: a step, where it is one.
//!
//! The rule: what diagnosis and the report need, and no more; randoms, tickets and keys stay here.

use std::sync::Arc;

use crate::flow::Direction;
use crate::protocol::observation::{Chain, Offer, TlsStep};
use crate::protocol::tls::handshake::{Handshake, TLS13};
use crate::protocol::tls::hello::{ClientHello, ServerHello, is_grease};
use crate::protocol::tls::ja4;

/// What has to be remembered of the ClientHello to read what the server chose.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    session_id: Box<[u8]>,
    resumes: bool,
}

/// The step of a client's first hello.
pub(crate) fn offers(hello: ClientHello) -> (TlsStep, Offered) {
    let offered = Offered {
        resumes: hello.resumes(),
        session_id: hello.session_id.clone(),
    };
    let suites = hello.suites.iter().copied();
    let step = Offer {
        versions: hello.offered_versions(),
        alpn: hello.alpn.iter().map(|name| text(name)).collect(),
        suites: suites.filter(|suite| !is_grease(*suite)).collect(),
        ja4: ja4::of(&hello),
        resumes: hello.resumes(),
        early_data: hello.early_data,
        sni: hello.sni,
    };
    (TlsStep::ClientHello(Box::new(step)), offered)
}

/// The step of a server's hello.
pub(crate) fn choice(hello: &ServerHello, offered: &Offered) -> TlsStep {
    let same_id = !hello.session_id.is_empty() && hello.session_id == offered.session_id;
    TlsStep::ServerHello {
        version: hello.version,
        suite: hello.suite,
        alpn: hello.alpn.as_deref().map(text),
        // In TLS 1.3 the id is an echo; before it, the echo of the id says that the session is resumed (RFC 5077).
        resumed: match hello.version {
            TLS13 => hello.psk.is_some(),
            _ => same_id && offered.resumes,
        },
    }
}

/// The steps of any other message.
pub(crate) fn others(said: Handshake, direction: Direction) -> Vec<TlsStep> {
    match (said, direction) {
        (Handshake::Certificate(certificate), direction) => {
            let chain = Chain {
                certificates: certificate.chain,
            };
            let mut steps = vec![TlsStep::Certificate {
                direction,
                chain: Arc::new(chain),
            }];
            if let (Some(der), Direction::ToClient) = (certificate.ocsp, direction) {
                steps.push(TlsStep::OcspResponse { der: der.into() });
            }
            steps
        }
        (Handshake::CertificateStatus(der), Direction::ToClient) => {
            vec![TlsStep::OcspResponse { der: der.into() }]
        }
        (Handshake::CertificateRequest(_), Direction::ToClient) => {
            vec![TlsStep::CertificateRequested]
        }
        _ => Vec::new(),
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// The start of a hello in the form of SSLv2 (RFC 5246, appendix E.2): a length with the highest bit set, the type of a
/// ClientHello, and the version offered. Gives how many bytes it has, and the version.
pub(crate) fn old_hello(bytes: &[u8]) -> Option<(usize, u16)> {
    match *bytes {
        [high @ 0x80..=0xff, low, 1, major, minor, ..]
            if matches!((major, minor), (0, 2) | (3, 0..=4)) =>
        {
            let len = usize::from(u16::from_be_bytes([high & 0x7f, low])) + 2;
            (len >= 11).then_some((len, u16::from_be_bytes([major, minor])))
        }
        _ => None,
    }
}

/// The step of such a hello.
pub(crate) fn old_offers(version: u16) -> TlsStep {
    TlsStep::ClientHello(Box::new(Offer {
        versions: vec![version],
        ..Offer::default()
    }))
}
