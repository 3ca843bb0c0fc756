//! The key schedule and the records against what others have computed: RFC 8448 for TLS 1.3, and what OpenSSL sealed for
//! TLS 1.2.

use super::rfc8448;
use super::state::{Hello, Opened, Opening};
use crate::capture::Keys;
use crate::flow::Direction::{self, ToClient, ToServer};
use crate::loss::Loss;
use crate::protocol::observation::NotDecrypted;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Records: header and payload.
fn records(bytes: &[u8]) -> Vec<([u8; 5], Vec<u8>)> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while let Some((header, after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        found.push((*header, after[..len].to_vec()));
        rest = &after[len..];
    }
    found
}

/// The random of a hello in a record.
fn random(hello: &str) -> [u8; 32] {
    hex(hello)[11..43].try_into().unwrap()
}

fn keys(hello: &str, lines: &[(&str, &str)]) -> Keys {
    let random: String = random(hello).iter().map(|b| format!("{b:02x}")).collect();
    let log: String = lines
        .iter()
        .map(|(label, secret)| format!("{label} {random} {secret}\n"))
        .collect();
    let (mut keys, mut loss) = (Keys::default(), Loss::default());
    keys.add_log(log.as_bytes(), &mut loss);
    assert_eq!(loss, Loss::default());
    keys
}

fn chose(hello: &str) -> Hello {
    Hello {
        version: 0x0304,
        suite: 0x1301,
        random: random(hello),
        encrypt_then_mac: false,
        extended_master_secret: false,
    }
}

/// What a connection gives: the type of each content, and its bytes. Handshake messages are handed back to it.
fn open(
    opening: &mut Opening,
    keys: &Keys,
    direction: Direction,
    sent: &str,
) -> Vec<(u8, Vec<u8>)> {
    let mut given = Vec::new();
    for (header, mut payload) in records(&hex(sent)) {
        match opening.open(direction, header, &mut payload, keys) {
            Opened::Plain {
                plain, skipped: 0, ..
            } => {
                let content = payload[plain.start..plain.end].to_vec();
                let mut rest = content.as_slice();
                while plain.kind == 22 && !rest.is_empty() {
                    let len = 4 + u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
                    opening.message(direction, &rest[..len], keys);
                    rest = &rest[len..];
                }
                given.push((plain.kind, content));
            }
            other => panic!("{other:?}"),
        }
    }
    given
}

fn data() -> Vec<(u8, Vec<u8>)> {
    // close_notify is a warning of number 0.
    vec![(23, (0..50).collect()), (21, vec![1, 0])]
}

#[test]
fn the_simple_handshake_of_rfc_8448() {
    use rfc8448::*;
    let keys = keys(SIMPLE_CLIENT_HELLO, SIMPLE);
    let mut opening = Opening::new(random(SIMPLE_CLIENT_HELLO), false, &keys);
    opening.server_hello(chose(SIMPLE_SERVER_HELLO));
    let flight = open(&mut opening, &keys, ToClient, SIMPLE_SERVER_FLIGHT);
    let [(22, messages)] = flight.as_slice() else {
        panic!("{flight:?}")
    };
    // The RFC tells the lengths: 40 of EncryptedExtensions, 445, 136, and 36 of Finished.
    assert_eq!(messages.len(), 40 + 445 + 136 + 36);
    assert_eq!(messages[messages.len() - 36], 20);
    let finished = open(&mut opening, &keys, ToServer, SIMPLE_CLIENT_FLIGHT);
    assert_eq!((finished[0].0, finished[0].1[0]), (22, 20));
    let ticket = open(&mut opening, &keys, ToClient, SIMPLE_TICKET);
    assert_eq!((ticket[0].0, ticket[0].1[0]), (22, 4));
    assert_eq!(
        open(&mut opening, &keys, ToServer, SIMPLE_CLIENT_DATA),
        data()
    );
    assert_eq!(
        open(&mut opening, &keys, ToClient, SIMPLE_SERVER_DATA),
        data()
    );
}

#[test]
fn the_resumed_handshake_of_rfc_8448_with_early_data() {
    use rfc8448::*;
    let keys = keys(RESUMED_CLIENT_HELLO, RESUMED);
    let mut opening = Opening::new(random(RESUMED_CLIENT_HELLO), true, &keys);
    let [(header, payload)] = records(&hex(RESUMED_EARLY)).try_into().unwrap();
    let mut early = payload;
    match opening.open(ToServer, header, &mut early, &keys) {
        Opened::Plain {
            plain, early: true, ..
        } => assert_eq!(&early[plain.start..plain.end], b"ABCDEF"),
        other => panic!("{other:?}"),
    }
    opening.server_hello(chose(RESUMED_SERVER_HELLO));
    let flight = open(&mut opening, &keys, ToClient, RESUMED_SERVER_FLIGHT);
    assert_eq!(flight[0].1[0], 8);
    let flight = open(&mut opening, &keys, ToServer, RESUMED_CLIENT_FLIGHT);
    assert_eq!((flight[0].1[0], flight[1].1[0]), (5, 20));
    assert_eq!(
        open(&mut opening, &keys, ToServer, RESUMED_CLIENT_DATA),
        data()
    );
    assert_eq!(
        open(&mut opening, &keys, ToClient, RESUMED_SERVER_DATA),
        data()
    );
}

#[test]
fn traffic_secrets_alone_are_enough_for_what_follows_the_handshake() {
    use rfc8448::*;
    let keys = keys(SIMPLE_CLIENT_HELLO, &SIMPLE[2..]);
    let mut opening = Opening::new(random(SIMPLE_CLIENT_HELLO), false, &keys);
    opening.server_hello(chose(SIMPLE_SERVER_HELLO));
    for (direction, sent) in [
        (ToClient, SIMPLE_SERVER_FLIGHT),
        (ToServer, SIMPLE_CLIENT_FLIGHT),
    ] {
        for (header, mut payload) in records(&hex(sent)) {
            let opened = opening.open(direction, header, &mut payload, &keys);
            assert!(matches!(opened, Opened::Unlogged), "{opened:?}");
        }
    }
    assert_eq!(open(&mut opening, &keys, ToClient, SIMPLE_TICKET)[0].0, 22);
    assert_eq!(
        open(&mut opening, &keys, ToServer, SIMPLE_CLIENT_DATA),
        data()
    );
    assert_eq!(
        open(&mut opening, &keys, ToClient, SIMPLE_SERVER_DATA),
        data()
    );
}

#[test]
fn a_lost_record_is_passed_over_and_counted() {
    use rfc8448::*;
    let keys = keys(SIMPLE_CLIENT_HELLO, SIMPLE);
    let mut opening = Opening::new(random(SIMPLE_CLIENT_HELLO), false, &keys);
    opening.server_hello(chose(SIMPLE_SERVER_HELLO));
    open(&mut opening, &keys, ToClient, SIMPLE_SERVER_FLIGHT);
    opening.lose(ToClient);
    // The ticket was lost.
    let (header, mut payload) = records(&hex(SIMPLE_SERVER_DATA)).remove(0);
    match opening.open(ToClient, header, &mut payload, &keys) {
        Opened::Plain { plain, skipped, .. } => {
            assert_eq!(skipped, 1);
            assert_eq!(payload[plain.start..plain.end], data()[0].1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn why_nothing_can_be_read_is_told() {
    use rfc8448::*;
    let random = random(SIMPLE_CLIENT_HELLO);
    let never = |keys: &Keys, hello: Hello, spoil: bool| {
        let mut opening = Opening::new(random, false, keys);
        opening.server_hello(hello);
        let (header, mut payload) = records(&hex(SIMPLE_SERVER_FLIGHT)).remove(0);
        payload[9] ^= u8::from(spoil);
        match opening.open(ToClient, header, &mut payload, keys) {
            Opened::Never(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let right = chose(SIMPLE_SERVER_HELLO);
    let all = keys(SIMPLE_CLIENT_HELLO, SIMPLE);
    let of_another = keys(RESUMED_CLIENT_HELLO, RESUMED);
    assert_eq!(never(&of_another, right, false), NotDecrypted::NoSecret);
    assert_eq!(never(&all, right, true), NotDecrypted::NotAuthentic);
    let some = keys(SIMPLE_CLIENT_HELLO, &SIMPLE[..1]);
    assert_eq!(never(&some, right, false), NotDecrypted::Incomplete);
    let ccm = Hello {
        suite: 0x1306,
        ..right
    };
    assert_eq!(never(&all, ccm, false), NotDecrypted::Suite(0x1306));
    let sha384 = Hello {
        suite: 0x1302,
        ..right
    };
    assert_eq!(never(&all, sha384, false), NotDecrypted::NotAuthentic);
    let mut growing = of_another.clone();
    growing.grow();
    let mut opening = Opening::new(random, false, &growing);
    opening.server_hello(right);
    let (header, mut payload) = records(&hex(SIMPLE_SERVER_FLIGHT)).remove(0);
    let opened = opening.open(ToClient, header, &mut payload, &growing);
    assert!(matches!(opened, Opened::Wait));
}
