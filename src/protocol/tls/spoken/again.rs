//! Handshakes inside of a connection (TLS 1.2; RFC 5246, section 7.4.1.1). rustls makes none, so that a second conversation of
//! two of its ends is put under the keys of the first one, up to each side's ChangeCipherSpec.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::{CipherSuite, ConnectionTrafficSecrets};

use super::{Heard, heard, nothing_lost, words};
use crate::capture::Keys;
use crate::loss::Loss;
use crate::protocol::tls::talk::{Ends, Talk};

/// Seals what an end would say next.
struct Sealer {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Sealer {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
            panic!("another suite");
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).unwrap();
        Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// RFC 7905, section 2.
    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (place, byte) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *place ^= byte;
        }
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        let aad = [&self.sequence.to_be_bytes()[..], &[kind, 3, 3], &len].concat();
        let mut sealed = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)
            .unwrap();
        self.sequence += 1;
        let len = u16::try_from(sealed.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3][..], &len, &sealed].concat()
    }
}

/// Ends that speak TLS 1.2 with ChaCha20-Poly1305 and give their keys away.
fn ends() -> Ends {
    let mut suites = provider::default_provider().cipher_suites;
    suites.retain(|suite| {
        suite.suite() == CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    });
    let provider = CryptoProvider {
        cipher_suites: suites,
        ..provider::default_provider()
    };
    let mut ends = Ends::new(provider.clone(), provider);
    ends.client.enable_secret_extraction = true;
    ends.server.enable_secret_extraction = true;
    ends
}

fn conversation(ends: &Ends, client: &[u8], server: &[u8]) -> Talk {
    let mut talk = ends.meet();
    talk.carry().client_says(client).server_says(server);
    talk
}

/// Two conversations in one connection, and what was read of them with the secrets of the first, or of both.
fn negotiated_again(with_second: bool) -> Heard {
    let (first_ends, second_ends) = (ends(), ends());
    let mut first = conversation(&first_ends, &words(1, 400), &words(1_000, 20_000));
    let second =
        conversation(&second_ends, &words(50_000, 500), &words(60_000, 30_000)).by_record();
    let fresh = || first_ends.meet();
    let client = std::mem::replace(&mut first.client, fresh().client);
    let server = std::mem::replace(&mut first.server, fresh().server);
    let mut sealers = [
        Sealer::new(server.dangerous_extract_secrets().unwrap().tx),
        Sealer::new(client.dangerous_extract_secrets().unwrap().tx),
    ];
    let mut ciphered = [false; 2];
    for (from_client, record) in &second.wire {
        let side = usize::from(*from_client);
        let said = match ciphered[side] {
            true => record.clone(),
            false => sealers[side].seal(record[0], &record[5..]),
        };
        ciphered[side] |= record[0] == 20;
        first.wire.push((*from_client, said));
    }
    let mut log = first_ends.key_log();
    if with_second {
        log += &second_ends.key_log();
    }
    let (mut keys, mut loss) = (Keys::default(), Loss::default());
    keys.add_log(log.as_bytes(), &mut loss);
    heard(&first, &keys, nothing_lost)
}

#[test]
fn what_follows_a_second_handshake_is_read() {
    let heard = negotiated_again(true);
    assert!(heard.client == [words(1, 400), words(50_000, 500)].concat());
    assert!(heard.server == [words(1_000, 20_000), words(60_000, 30_000)].concat());
    assert_eq!(heard.told.matches("Renegotiation").count(), 1);
    assert_eq!(heard.loss, Loss::default());
}

#[test]
fn without_the_secret_of_a_second_handshake_its_records_are_counted() {
    let heard = negotiated_again(false);
    assert_eq!(heard.client, words(1, 400));
    assert!(heard.server == words(1_000, 20_000));
    assert_eq!(heard.told.matches("Renegotiation").count(), 1);
    // Both Finished, one record of the client, two of the server.
    assert_eq!(heard.loss.get("tls_records_not_decrypted"), 5);
}
