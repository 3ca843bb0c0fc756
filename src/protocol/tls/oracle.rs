//! Our reading of handshake messages beside that of the tls-parser crate: hellos that rustls writes, messages built
//! here, and all of them with bytes changed at random.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions,
    parse_tls_message_handshake,
};

use crate::protocol::tls::handshake::Handshake;
use crate::protocol::tls::hello::{ClientHello, LIST_MAX, ServerHello};
use crate::protocol::tls::messages::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_STATUS, Message, NEW_SESSION_TICKET, SERVER_HELLO,
};

/// A ClientHello as rustls writes it, without the header of its record.
fn written_by_rustls(
    versions: &[&'static rustls::SupportedProtocolVersion],
    sni: &'static str,
    alpn: &[&[u8]],
) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(sni).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes.split_off(5)
}

fn vector(width: usize, bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes();
    [&len[4 - width..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, body)].concat()
}

/// Messages of every kind that both readers know.
fn samples() -> Vec<Vec<u8>> {
    let both = [&rustls::version::TLS13, &rustls::version::TLS12];
    let extensions = [
        &[0, 43, 0, 2, 3, 4][..],
        &[0, 51, 0, 6, 0, 29, 0, 2, 9, 9],
        &[0, 23, 0, 0, 0, 22, 0, 0],
        &[0, 16, 0, 5, 0, 3, 2, b'h', b'2'],
        &[0, 41, 0, 2, 0, 0],
    ]
    .concat();
    let server_hello = [
        &[3, 3][..],
        &[8; 32],
        &vector(1, &[5; 32]),
        &[0x13, 1, 0],
        &vector(2, &extensions),
    ]
    .concat();
    let chain = [vector(3, b"leaf"), vector(3, b"issuer")].concat();
    let request = [
        vector(1, &[1, 64]),
        vector(2, &[4, 3, 8, 4]),
        vector(2, &[vector(2, b"one"), vector(2, b"two")].concat()),
    ]
    .concat();
    vec![
        written_by_rustls(&both, "one.test", &[b"h2", b"http/1.1"]),
        written_by_rustls(&both[1..], "two.test", &[]),
        written_by_rustls(&both[..1], "127.0.0.1", &[b"http/1.1"]),
        message(SERVER_HELLO, &server_hello),
        message(CERTIFICATE, &vector(3, &chain)),
        message(CERTIFICATE_REQUEST, &request),
        message(
            CERTIFICATE_STATUS,
            &[&[1][..], &vector(3, b"ocsp")].concat(),
        ),
        message(
            NEW_SESSION_TICKET,
            &[&[0, 0, 1, 44][..], &vector(2, &[7; 60])].concat(),
        ),
    ]
}

fn ours(bytes: &[u8]) -> Option<Handshake> {
    let message = Message {
        kind: *bytes.first()?,
        raw: bytes.to_vec(),
    };
    Handshake::read(&message, Some(0x0303))
}

/// Compares where both read the message. True when they did.
fn compare(bytes: &[u8]) -> bool {
    let Ok((_, TlsMessage::Handshake(theirs))) = parse_tls_message_handshake(bytes) else {
        return false;
    };
    match (theirs, ours(bytes)) {
        (TlsMessageHandshake::ClientHello(theirs), Some(Handshake::ClientHello(ours))) => {
            let suites: Vec<u16> = theirs.ciphers.iter().map(|suite| suite.0).collect();
            let compressions: Vec<u8> = theirs.comp.iter().map(|method| method.0).collect();
            assert_eq!(ours.version, theirs.version.0);
            assert_eq!(ours.random, theirs.random);
            assert_eq!(&*ours.session_id, theirs.session_id.unwrap_or_default());
            assert_eq!(ours.suites[..], suites[..suites.len().min(LIST_MAX)]);
            assert_eq!(&*ours.compressions, compressions);
            compare_offers(&ours, theirs.ext)
        }
        (TlsMessageHandshake::ServerHello(theirs), Some(Handshake::ServerHello(ours))) => {
            assert_eq!(ours.legacy_version, theirs.version.0);
            assert_eq!(ours.random, theirs.random);
            assert_eq!(&*ours.session_id, theirs.session_id.unwrap_or_default());
            assert_eq!(ours.suite, theirs.cipher.0);
            assert_eq!(ours.compression, theirs.compression.0);
            compare_choices(&ours, theirs.ext)
        }
        (TlsMessageHandshake::Certificate(theirs), Some(Handshake::Certificate(ours))) => {
            let chain: Vec<&[u8]> = theirs.cert_chain.iter().map(|one| one.data).collect();
            let kept: Vec<&[u8]> = ours.chain.iter().map(|one| &**one).collect();
            assert!(chain.starts_with(&kept));
            assert_eq!(chain.len(), kept.len() + ours.left_out);
            true
        }
        (
            TlsMessageHandshake::CertificateRequest(theirs),
            Some(Handshake::CertificateRequest(ours)),
        ) => {
            // The other reader tries the layout of TLS 1.1 where that of 1.2 does not fit.
            let Some(algorithms) = theirs.sig_hash_algs else {
                return false;
            };
            assert_eq!(&*ours.types, theirs.cert_types);
            assert_eq!(ours.signature_algorithms, algorithms);
            assert_eq!(ours.authorities, theirs.unparsed_ca.len());
            true
        }
        (
            TlsMessageHandshake::CertificateStatus(theirs),
            Some(Handshake::CertificateStatus(ours)),
        ) => {
            assert_eq!(&*ours, theirs.blob);
            true
        }
        (
            TlsMessageHandshake::NewSessionTicket(theirs),
            Some(Handshake::NewSessionTicket(ours)),
        ) => {
            assert_eq!(ours.lifetime_seconds, theirs.ticket_lifetime_hint);
            // It takes all that follows for the ticket, its length included.
            ours.len + 2 == theirs.ticket.len()
        }
        _ => false,
    }
}

/// Whether an extension is there twice, which is not allowed: readers may take either.
fn has_twins(extensions: &[u16]) -> bool {
    let distinct: std::collections::HashSet<_> = extensions.iter().collect();
    distinct.len() != extensions.len()
}

fn compare_offers(ours: &ClientHello, extensions: Option<&[u8]>) -> bool {
    let Some(Ok((rest, theirs))) = extensions.map(parse_tls_extensions) else {
        return false;
    };
    if !rest.is_empty() || has_twins(&ours.extensions) {
        return false;
    }
    assert_eq!(ours.extensions.len(), theirs.len());
    for extension in theirs {
        match extension {
            TlsExtension::SNI(names) if names.len() == 1 && names[0].0.0 == 0 => {
                assert_eq!(
                    ours.sni.as_deref(),
                    Some(&*String::from_utf8_lossy(names[0].1))
                );
            }
            TlsExtension::ALPN(names) if !ours.alpn.is_empty() => {
                let mine: Vec<&[u8]> = ours.alpn.iter().map(|name| &**name).collect();
                assert_eq!(mine, names);
            }
            // The other reader takes the form of a server for a client's too, and reads on beyond the list's length.
            TlsExtension::SupportedVersions(versions) if !ours.versions.is_empty() => {
                let versions: Vec<u16> = versions.iter().map(|version| version.0).collect();
                assert!(versions.starts_with(&ours.versions));
            }
            TlsExtension::EllipticCurves(groups) if !ours.groups.is_empty() => {
                let groups: Vec<u16> = groups.iter().map(|group| group.0).collect();
                assert_eq!(ours.groups, groups);
            }
            TlsExtension::SignatureAlgorithms(list) if !ours.signature_algorithms.is_empty() => {
                assert_eq!(ours.signature_algorithms, list);
            }
            TlsExtension::SessionTicket(ticket) => assert_eq!(ours.ticket_len, Some(ticket.len())),
            TlsExtension::ExtendedMasterSecret => assert!(ours.extended_master_secret),
            TlsExtension::EncryptThenMac => assert!(ours.encrypt_then_mac),
            TlsExtension::EarlyData(_) => assert!(ours.early_data),
            _ => {}
        }
    }
    true
}

fn compare_choices(ours: &ServerHello, extensions: Option<&[u8]>) -> bool {
    let Some(Ok((rest, theirs))) = extensions.map(parse_tls_extensions) else {
        return false;
    };
    if !rest.is_empty() || has_twins(&ours.extensions) {
        return false;
    }
    assert_eq!(ours.extensions.len(), theirs.len());
    for extension in theirs {
        match extension {
            TlsExtension::SupportedVersions(versions) if versions.len() == 1 => {
                assert_eq!(ours.version, versions[0].0);
            }
            TlsExtension::ALPN(names) if names.len() == 1 => {
                assert_eq!(ours.alpn.as_deref(), Some(names[0]));
            }
            TlsExtension::ExtendedMasterSecret => assert!(ours.extended_master_secret),
            TlsExtension::EncryptThenMac => assert!(ours.encrypt_then_mac),
            _ => {}
        }
    }
    true
}

#[test]
fn samples_are_read_alike() {
    for sample in samples() {
        assert!(compare(&sample), "{sample:02x?}");
    }
}

#[test]
fn what_rustls_offers() {
    let Some(Handshake::ClientHello(hello)) = ours(&samples()[0]) else {
        panic!("no hello");
    };
    assert_eq!(hello.sni.as_deref(), Some("one.test"));
    assert_eq!(hello.offered_versions(), [0x0304, 0x0303]);
    assert_eq!(hello.alpn[0][..], *b"h2");
    assert!(hello.extended_master_secret && !hello.encrypt_then_mac && !hello.early_data);
    assert!(hello.groups.contains(&29) && hello.key_share_groups == [29]);
    assert_eq!((hello.psk_identities, hello.cut), (0, false));
}

#[test]
fn the_layout_of_tls_1_3() {
    let entry = |der: &[u8], extensions: &[u8]| [vector(3, der), vector(2, extensions)].concat();
    let status = [&[1][..], &vector(3, b"ocsp")].concat();
    let status = [&[0, 5][..], &vector(2, &status)].concat();
    let list = [entry(b"leaf", &status), entry(b"issuer", &[])].concat();
    let body = [vector(1, b""), vector(3, &list)].concat();
    let raw = message(CERTIFICATE, &body);
    let read = Handshake::read(
        &Message {
            kind: CERTIFICATE,
            raw,
        },
        Some(0x0304),
    );
    let Some(Handshake::Certificate(found)) = read else {
        panic!("no certificate: {read:?}");
    };
    assert_eq!(found.chain, [b"leaf"[..].into(), b"issuer"[..].into()]);
    assert_eq!(found.ocsp.as_deref(), Some(&b"ocsp"[..]));
}

#[test]
fn changed_bytes_are_read_alike_or_not_at_all() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides as u64) as usize
    };
    let samples = samples();
    let mut both = 0;
    for _ in 0..20_000 {
        let mut bytes = samples[dice(samples.len())].clone();
        for _ in 0..=dice(3) {
            let at = dice(bytes.len());
            bytes[at] = dice(256) as u8;
        }
        if dice(8) == 0 {
            bytes.truncate(dice(bytes.len()));
        }
        both += usize::from(compare(&bytes));
    }
    assert!(both > 5_000, "only {both} were read by both");
}
