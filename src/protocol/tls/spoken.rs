//! Conversations of two real ends (rustls) in memory, read as a capture shows them. In: what each end says. Out: what was read
//! inside, held against what was said.
//!
//! The rule: the expectation is what an end was given to say, never what this crate made of it.

mod again;
mod holes;

use std::io::Write as _;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, SupportedProtocolVersion};

use super::Tls;
use super::talk::{Ends, Talk};
use crate::capture::Keys;
use crate::flow::Direction::{self, ToClient, ToServer};
use crate::frame::Mark;
use crate::loss::Loss;
use crate::protocol::observation::Observation;
use crate::protocol::parser::{Beginning, Data, Hole, Inner, Output, Stop};
use crate::protocol::playbook::Play;
use crate::tcp::event::GapReason;

/// Two ends that speak `version`; the server agrees on a key by one of `groups` where any is named.
fn ends(version: &'static SupportedProtocolVersion, groups: &[NamedGroup]) -> Ends {
    let client = CryptoProvider {
        cipher_suites: suites_of(version),
        ..ring::default_provider()
    };
    let mut server = client.clone();
    if !groups.is_empty() {
        server
            .kx_groups
            .retain(|group| groups.contains(&group.name()));
    }
    Ends::new(client, server)
}

fn suites_of(version: &SupportedProtocolVersion) -> Vec<rustls::SupportedCipherSuite> {
    let mut suites = ring::default_provider().cipher_suites;
    suites.retain(|suite| suite.version() == version);
    suites
}

fn keys(ends: &Ends) -> Keys {
    let (mut keys, mut loss) = (Keys::default(), Loss::default());
    keys.add_log(ends.key_log().as_bytes(), &mut loss);
    keys
}

/// What was read of a conversation.
#[derive(Debug, Default)]
struct Heard {
    client: Vec<u8>,
    server: Vec<u8>,
    /// Bytes that are missing inside, by direction and after how many that were read.
    missing: Vec<(Direction, usize, u64)>,
    loss: Loss,
    told: String,
}

/// Reads what passed; the pieces for which `lost` holds, by direction and number, were not captured.
fn heard(talk: &Talk, keys: &Keys, lost: impl Fn(usize, Direction) -> bool) -> Heard {
    let (connection, mut heard) = (Play::new().connection, Heard::default());
    let mut told: Vec<Observation> = Vec::new();
    let (mut tls, mut index, mut offsets) = (Tls::start(Beginning::First), 0, [0_u64; 2]);
    let take = |inner: Vec<Inner>, heard: &mut Heard| {
        for found in inner {
            match found {
                Inner::Data {
                    direction,
                    bytes,
                    range,
                    ..
                } => match direction {
                    ToServer => heard.client.extend_from_slice(&bytes[range]),
                    ToClient => heard.server.extend_from_slice(&bytes[range]),
                },
                Inner::Missing { direction, len, .. } => {
                    let read = match direction {
                        ToServer => heard.client.len(),
                        ToClient => heard.server.len(),
                    };
                    heard.missing.push((direction, read, len));
                }
            }
        }
    };
    for (number, (from_client, bytes)) in talk.wire.iter().enumerate() {
        let direction = match from_client {
            true => ToServer,
            false => ToClient,
        };
        let mut loss = std::mem::take(&mut heard.loss);
        let seen = Mark::default();
        let mut out = Output::new(&connection, seen, keys, &mut told, &mut loss, &mut index);
        let offset = &mut offsets[usize::from(direction == ToClient)];
        if lost(number, direction) {
            let hole = Hole {
                direction,
                offset: *offset,
                len: bytes.len() as u64,
                reason: GapReason::Lost,
            };
            tls.on_gap(hole, &mut out);
        } else {
            let data = Data {
                direction,
                offset: *offset,
                bytes,
                carried: seen,
            };
            tls.on_data(data, &mut out);
        }
        *offset += bytes.len() as u64;
        let inner = out.inner;
        heard.loss = loss;
        take(inner, &mut heard);
    }
    let mut loss = std::mem::take(&mut heard.loss);
    let mut out = Output::new(
        &connection,
        Mark::default(),
        keys,
        &mut told,
        &mut loss,
        &mut index,
    );
    tls.on_stop(Stop::Closed, &mut out);
    let inner = out.inner;
    heard.loss = loss;
    take(inner, &mut heard);
    heard.told = format!("{told:?}");
    heard
}

/// Bytes that repeat nowhere within 64 kB, so that none takes the place of another.
fn words(from: u32, len: usize) -> Vec<u8> {
    (from..).flat_map(u32::to_be_bytes).take(len).collect()
}

fn nothing_lost(_: usize, _: Direction) -> bool {
    false
}

#[test]
fn both_versions_are_read_to_the_last_byte() {
    for version in [&TLS12, &TLS13] {
        let ends = ends(version, &[]);
        let mut talk = ends.meet();
        talk.carry().client_says(&words(1, 100));
        talk.server_says(&words(1_000_000, 70_000));
        let heard = heard(&talk, &keys(&ends), nothing_lost);
        assert_eq!(heard.client, words(1, 100));
        assert_eq!(heard.server, words(1_000_000, 70_000));
        assert_eq!(heard.missing, []);
    }
}

#[test]
fn keys_that_are_updated_by_either_side() {
    let ends = ends(&TLS13, &[]);
    let mut talk = ends.meet();
    talk.carry().client_says(&words(1, 40));
    for turn in 0..3 {
        talk.client.refresh_traffic_keys().unwrap();
        talk.client_says(&words(100 + turn, 40));
        talk.server.refresh_traffic_keys().unwrap();
        talk.server_says(&words(200 + turn, 40));
    }
    let heard = heard(&talk, &keys(&ends), nothing_lost);
    let client = [words(1, 40), words(100, 40), words(101, 40), words(102, 40)].concat();
    assert_eq!(heard.client, client);
    let server = [words(200, 40), words(201, 40), words(202, 40)].concat();
    assert_eq!(heard.server, server);
}

#[test]
fn a_client_that_is_asked_to_say_hello_again() {
    let ends = ends(&TLS13, &[NamedGroup::secp384r1]);
    let mut talk = ends.meet();
    talk.carry()
        .client_says(&words(1, 40))
        .server_says(&words(9, 40));
    let heard = heard(&talk, &keys(&ends), nothing_lost);
    assert!(heard.told.contains("Retry"), "{}", heard.told);
    assert_eq!((heard.client, heard.server), (words(1, 40), words(9, 40)));
}

#[test]
fn a_hole_is_as_long_as_what_it_held_and_what_follows_is_read() {
    for version in [&TLS12, &TLS13] {
        let ends = ends(version, &[]);
        let mut talk = ends.meet();
        talk.carry().client_says(&words(1, 40));
        talk.server_says(&words(10, 1_000));
        let lost = talk.wire.len();
        talk.server_says(&words(1_000, 2_000));
        talk.server_says(&words(5_000, 3_000));
        let heard = heard(&talk, &keys(&ends), |number, _| number == lost);
        assert_eq!(
            heard.server,
            [words(10, 1_000), words(5_000, 3_000)].concat()
        );
        assert_eq!(heard.missing, [(ToClient, 1_000, 2_000)]);
    }
}

/// A second connection of the same ends, for which the client has a ticket. Its first words are early data.
fn with_early_data(ends: &Ends, early: &[u8]) -> Talk {
    ends.meet()
        .carry()
        .client_says(b"first")
        .server_says(b"tickets");
    let mut talk = ends.meet();
    let sent = talk.client.early_data().unwrap().write(early).unwrap();
    assert_eq!(sent, early.len());
    talk.carry();
    talk
}

#[test]
fn early_data_that_the_server_takes() {
    let mut ends = ends(&TLS13, &[]);
    ends.server.max_early_data_size = 1 << 20;
    let mut talk = with_early_data(&ends, &words(1, 5_000));
    assert!(talk.client.is_early_data_accepted());
    talk.client_says(&words(9_000, 100));
    let heard = heard(&talk, &keys(&ends), nothing_lost);
    assert_eq!(heard.client, [words(1, 5_000), words(9_000, 100)].concat());
    assert_eq!(heard.missing, []);
}

#[test]
fn early_data_beyond_the_limit_are_a_hole_and_counted() {
    let mut ends = ends(&TLS13, &[]);
    ends.server.max_early_data_size = 1 << 20;
    let mut talk = with_early_data(&ends, &words(1, 100_000));
    talk.client_says(&words(900_000, 100));
    let heard = heard(&talk, &keys(&ends), nothing_lost);
    let kept = heard.client.len() - 100;
    assert!((48_000..=65_536).contains(&kept), "{kept}");
    assert_eq!(heard.client[..kept], words(1, 100_000)[..kept]);
    assert_eq!(heard.client[kept..], words(900_000, 100));
    let lost = 100_000 - kept as u64;
    assert_eq!(heard.missing, [(ToServer, kept, lost)]);
    assert_eq!(heard.loss.get("tls_early_data_bytes_not_kept"), lost);
}

/// The same with a server that has its memory of tickets and takes no early data any more.
fn with_refused_early_data(ends: &mut Ends, early: &[Vec<u8>]) -> Talk {
    ends.server.max_early_data_size = 1 << 20;
    ends.meet()
        .carry()
        .client_says(b"first")
        .server_says(b"tickets");
    ends.server.max_early_data_size = 0;
    let mut talk = ends.meet();
    for words in early {
        let sent = talk.client.early_data().unwrap().write(words).unwrap();
        assert_eq!(sent, words.len());
    }
    talk.carry();
    assert!(!talk.client.is_early_data_accepted());
    talk
}

#[test]
fn early_data_that_the_server_refuses_were_never_said() {
    let mut ends = ends(&TLS13, &[]);
    let mut talk = with_refused_early_data(&mut ends, &[words(1, 500)]);
    talk.client_says(&words(70, 100))
        .server_says(&words(80, 100));
    let heard = heard(&talk, &keys(&ends), nothing_lost);
    assert_eq!(heard.client, words(70, 100));
    assert_eq!(heard.server, words(80, 100));
}

#[test]
fn a_resumed_session_has_secrets_of_its_own() {
    for version in [&TLS12, &TLS13] {
        let ends = ends(version, &[]);
        ends.meet()
            .carry()
            .client_says(b"first")
            .server_says(b"tickets");
        let mut talk = ends.meet();
        talk.carry()
            .client_says(&words(1, 40))
            .server_says(&words(2, 40));
        let heard = heard(&talk, &keys(&ends), nothing_lost);
        assert_eq!((heard.client, heard.server), (words(1, 40), words(2, 40)));
    }
}
