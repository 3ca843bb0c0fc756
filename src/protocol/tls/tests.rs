//! TLS conversations. The hellos were recorded with OpenSSL 3; encrypted records are of the sizes that it sent.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::playbook::{Play, both};
use crate::tcp::event::Ending;

/// ServerHello of TLS 1.2.
const SERVER_HELLO_12: &str = "16030300410200003d03037f03f87dd8deb6fc9c37c634c7f4ce3131ebf0a1c0f80c7471edd5f296\
    32de3d00c02c000015ff01000100000b0004030001020023000000170000";
/// ServerHello of TLS 1.3.
const SERVER_HELLO_13: &str = "160303007a020000760303d6fb5c8e038144e73bfaf58bdf2d127f621c501af29b97b0a9541ecc3c7480\
    db203f3fd1fc8af191279a1cff79ebacba2eaa86f7c41af7279e2a15d84f0f874fc2130200002e002b0002030400330024001d002071a082\
    bab2fe9877e18ef4f43bbb69fa558085c6657766765eb77fd579f0777c";

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

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3];
    bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn data(len: usize) -> Vec<u8> {
    record(23, &vec![0xee; len])
}

fn ccs() -> Vec<u8> {
    record(20, &[1])
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

fn extension(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0, kind][..], &vector(data)].concat()
}

fn client_hello() -> Vec<u8> {
    let name = [&[0][..], &vector(b"x.test")].concat();
    let extensions = [
        extension(0, &vector(&name)),
        extension(16, &vector(b"\x02h2\x08http/1.1")),
        extension(43, &[6, 0x2a, 0x2a, 3, 4, 3, 3]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &vector(&[0x13, 1]),
        &[1, 0],
        &vector(&extensions),
    ]
    .concat();
    let message = [&[1, 0][..], &vector(&body)].concat();
    record(22, &message)
}

const CLIENT_HELLO_TOLD: &str =
    "tls ClientHello { sni: Some(\"x.test\"), alpn: [\"h2\", \"http/1.1\"], versions: [772, 771] }";

fn handshake_13(play: &mut Play) {
    play.client(client_hello());
    let flight = [
        hex(SERVER_HELLO_13),
        ccs(),
        data(23),
        data(408),
        data(97),
        data(69),
    ];
    play.server(flight.concat());
    play.client([ccs(), data(69)].concat());
}

#[test]
fn tls_1_3_with_tickets_while_the_request_is_under_way() {
    both(
        |play| {
            handshake_13(play);
            play.client(data(300))
                .server([data(250), data(250)].concat());
            play.server(data(900)).client(data(310)).server(data(700));
            play.client(data(19))
                .fin(ToServer)
                .server(data(19))
                .fin(ToClient);
        },
        &format!(
            "Tls
            {CLIENT_HELLO_TOLD}
            tls ServerHello {{ version: 772 }}
            tls Finished
            tls ApplicationData {{ direction: ToServer }}
            0 request at 176
            tls ApplicationData {{ direction: ToClient }}
            0 request Complete 300 to 481
            0 response
            0 response Complete 900 to 2165
            1 request at 481
            1 request Complete 310 to 796
            1 response
            tls EncryptedAlertLike {{ direction: ToServer, acknowledges: Some(2870) }}
            tls EncryptedAlertLike {{ direction: ToClient, acknowledges: Some(820) }}
            1 response CompleteByClose 700 to 2870"
        ),
    );
}

/// Length of the payload of [`client_hello`].
fn body_len() -> usize {
    client_hello().len() - 5
}

#[test]
fn tickets_alone_are_no_answer() {
    for tickets in [vec![], vec![250], vec![250, 250], vec![130]] {
        let mut play = Play::new();
        handshake_13(&mut play);
        play.client(data(300));
        for len in &tickets {
            play.server(data(*len));
        }
        play.fin(ToServer)
            .fin(ToClient)
            .ends(Ending::Closed(ToServer));
        let last = play.lines().pop().unwrap();
        assert!(
            last.starts_with("0 response Nothing 0"),
            "{tickets:?}: {last}"
        );
    }
}

#[test]
fn a_single_small_record_is_an_answer_when_the_client_goes_on() {
    let mut play = Play::new();
    handshake_13(&mut play);
    play.client(data(300)).server(data(250)).client(data(300));
    let lines = play.lines();
    assert!(lines.contains(&"0 response".into()), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("1 request at"));
}

#[test]
fn tls_1_2() {
    both(
        |play| {
            play.client(client_hello());
            play.server([hex(SERVER_HELLO_12), record(22, &[11, 0, 0, 2, 1, 1])].concat());
            play.client(
                [
                    record(22, &[16, 0, 0, 1, 9]),
                    ccs(),
                    record(22, &[0xaa; 40]),
                ]
                .concat(),
            );
            play.server([ccs(), record(22, &[0xbb; 40])].concat());
            play.client(data(56)).server(data(64));
            play.server(record(21, &[0xcc; 26]))
                .fin(ToClient)
                .reset(ToServer);
        },
        &format!(
            "Tls
            {CLIENT_HELLO_TOLD}
            tls ServerHello {{ version: 771 }}
            tls Finished
            tls ApplicationData {{ direction: ToServer }}
            0 request at {start}
            tls ApplicationData {{ direction: ToClient }}
            0 request Complete 56 to {end}
            0 response
            tls EncryptedAlertLike {{ direction: ToClient, acknowledges: Some(218) }}
            0 response CompleteByClose 64 to 201",
            start = body_len() + 5 + 10 + 6 + 45,
            end = body_len() + 5 + 10 + 6 + 45 + 61,
        ),
    );
}

#[test]
fn handshakes_that_fail() {
    both(
        |play| {
            play.client(client_hello());
            play.server(record(21, &[2, 70])).fin(ToClient);
        },
        &format!(
            "Tls\n{CLIENT_HELLO_TOLD}\ntls Alert {{ direction: ToClient, level: 2, description: 70, acknowledges: Some(96) }}"
        ),
    );
    let mut play = Play::new();
    play.client(client_hello())
        .server("HTTP/1.1 400 Bad Request\r\n\r\n");
    play.tells(&format!(
        "Tls\n{CLIENT_HELLO_TOLD}\nnot tls HTTP/1.1 400 Bad Request\\r\\n\\r\\n"
    ));
    // The client does not like the certificate, and says so in clear, which TLS 1.3 allows.
    let mut play = Play::new();
    play.client(client_hello());
    play.server([hex(SERVER_HELLO_13), data(408)].concat());
    play.client(record(21, &[2, 48])).reset(ToServer);
    assert_eq!(
        play.lines().last().unwrap(),
        "tls Alert { direction: ToServer, level: 2, description: 48, acknowledges: Some(540) }"
    );
}

#[test]
fn a_retry_is_no_server_hello() {
    let retry = [
        &[2, 0, 0, 40, 3, 3][..],
        &hex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"),
        &[0, 0x13, 1, 0, 0, 0],
    ]
    .concat();
    let mut play = Play::new();
    play.client(client_hello());
    play.server([record(22, &retry), ccs()].concat());
    play.client([ccs(), client_hello()].concat());
    play.server([hex(SERVER_HELLO_13), data(408), data(69)].concat());
    play.tells(&format!(
        "Tls\n{CLIENT_HELLO_TOLD}\ntls Retry\ntls ServerHello {{ version: 772 }}"
    ));
    play.client(data(53));
    assert_eq!(play.lines().last().unwrap(), "tls Finished");
}

#[test]
fn a_hello_spread_over_records() {
    let hello = client_hello();
    let (one, two) = hello[5..].split_at(40);
    let mut play = Play::new();
    play.client([record(22, one), record(22, two)].concat());
    assert_eq!(play.lines()[1], CLIENT_HELLO_TOLD);
}

#[test]
fn joined_in_the_middle() {
    let mut play = Play::joined();
    play.server("tail of a record")
        .client(data(100))
        .server(data(200));
    play.tells(
        "Tls
        tls ApplicationData { direction: ToServer }
        0 request at 0
        tls ApplicationData { direction: ToClient }
        0 request Complete 100 to 105
        0 response",
    );
}

#[test]
fn gaps_inside_and_across_records() {
    let mut play = Play::new();
    handshake_13(&mut play);
    play.client(data(300));
    let answer = data(5000);
    play.server(&answer[..100])
        .gap(ToClient, 4905)
        .server(data(77));
    play.gap(ToClient, 4000).server("rest").server(data(50));
    play.fin(ToClient);
    let last = play.lines().pop().unwrap();
    assert!(
        last.starts_with("0 response CompleteByClose 9127 "),
        "{last}"
    );
}

#[test]
fn mutated_records_never_panic() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut dice = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides as u64) as usize
    };
    let parts = [
        client_hello(),
        hex(SERVER_HELLO_12),
        hex(SERVER_HELLO_13),
        ccs(),
        data(53),
        data(250),
        record(21, &[2, 40]),
        data(19),
    ];
    for _ in 0..4000 {
        let mut play = Play::new();
        play.connection.roles_known = dice(6) > 0;
        play.segment_max = 1 + dice(700);
        play.client(client_hello());
        for _ in 0..dice(12) {
            let mut bytes = parts[dice(parts.len())].clone();
            for _ in 0..dice(3) {
                let at = dice(bytes.len());
                bytes[at] = dice(256) as u8;
            }
            let direction = if dice(2) == 0 { ToServer } else { ToClient };
            match dice(10) {
                0 => play.gap(direction, 1 + dice(400) as u64),
                1 => play.fin(direction),
                _ => play.says(direction, &bytes),
            };
        }
        play.ends(Ending::Closed(ToClient));
    }
}

#[test]
fn alerts_that_are_cut_or_joined() {
    let mut play = Play::new();
    play.client(client_hello());
    play.server([record(21, &[2]), record(21, &[40])].concat());
    assert_eq!(
        play.lines().last().unwrap(),
        "tls Alert { direction: ToClient, level: 2, description: 40, acknowledges: Some(96) }"
    );
    let mut play = Play::new();
    play.client(client_hello());
    play.server([hex(SERVER_HELLO_12), record(22, &[11, 0, 0, 9, 0, 0])].concat());
    // Between the halves of a handshake message.
    play.server(record(21, &[1, 112, 2, 80]));
    play.server(record(22, &[6, 0, 0, 3, 1, 2, 3]));
    let lines = play.lines();
    assert_eq!(
        lines[3..5],
        [
            "tls Alert { direction: ToClient, level: 1, description: 112, acknowledges: Some(96) }",
            "tls Alert { direction: ToClient, level: 2, description: 80, acknowledges: Some(96) }"
        ]
    );
    assert!(
        lines[5].starts_with("tls Certificate { direction: ToClient, "),
        "{lines:#?}"
    );
}

#[test]
fn a_client_without_a_certificate_in_tls_1_3() {
    for flight in [vec![25, 69], vec![77], vec![61]] {
        let mut play = Play::new();
        play.client(client_hello());
        play.server([hex(SERVER_HELLO_13), ccs(), data(23), data(408), data(97)].concat());
        play.client(
            flight
                .iter()
                .flat_map(|len| data(*len))
                .collect::<Vec<u8>>(),
        );
        assert!(
            play.lines().contains(&"tls NoCertificateLike".to_owned()),
            "{flight:?}"
        );
    }
    let mut play = Play::new();
    handshake_13(&mut play);
    assert!(!play.lines().contains(&"tls NoCertificateLike".to_owned()));
}

#[test]
fn a_hello_in_the_form_of_sslv2() {
    let hello = [
        &[0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16][..],
        &[0, 0, 5],
        &[7; 16],
    ]
    .concat();
    assert_eq!(hello.len(), 30);
    let mut play = Play::new();
    play.client(hello);
    play.server(record(21, &[2, 70])).fin(ToClient);
    play.tells(
        "Tls
        tls ClientHello { sni: None, alpn: [], versions: [769] }
        tls Alert { direction: ToClient, level: 2, description: 70, acknowledges: Some(30) }",
    );
}

#[test]
fn a_handshake_that_begins_anew() {
    let mut play = Play::new();
    play.client(client_hello());
    play.server([hex(SERVER_HELLO_12), record(22, &[14, 0, 0, 0])].concat());
    play.client([ccs(), record(22, &[0xaa; 40])].concat());
    play.server([ccs(), record(22, &[0xbb; 40])].concat());
    play.client(data(56));
    play.server(record(22, &[0xcc; 30]));
    play.client(record(22, &[0xdd; 300]));
    let lines = play.lines();
    let count = lines
        .iter()
        .filter(|line| *line == "tls Renegotiation")
        .count();
    assert_eq!(count, 1, "{lines:#?}");
}

#[test]
fn sixteen_megabytes_of_certificates_are_counted_and_what_follows_is_read() {
    let mut play = Play::new();
    play.client(client_hello());
    play.server([hex(SERVER_HELLO_12), record(22, &[11, 0xff, 0xff, 0xff])].concat());
    let mut left = (1 << 24) - 1;
    while left > 0 {
        let len = left.min(16_000);
        play.server(record(22, &vec![1; len]));
        left -= len;
    }
    play.server(record(22, &[13, 0, 0, 8, 1, 64, 0, 2, 4, 3, 0, 0]));
    assert_eq!(play.lines().last().unwrap(), "tls CertificateRequested");
    assert_eq!(play.loss.get("tls_messages_too_long"), 1);
}

/// The simple handshake of RFC 8448 and what follows it. The lines of the key log come behind the handshake, if at all; what
/// is `lost` stands in for the client's flight, and only of a log that `grows` anything is expected.
fn told_with_a_log(grows: bool, comes: bool, lost: bool) -> String {
    use super::open::rfc8448::*;
    let mut play = Play::new();
    play.keys.add_log(b"", &mut play.loss);
    if grows {
        play.keys.grow();
    }
    play.client(hex(SIMPLE_CLIENT_HELLO));
    play.server(hex(SIMPLE_SERVER_HELLO));
    play.server(hex(SIMPLE_SERVER_FLIGHT));
    let flight = hex(SIMPLE_CLIENT_FLIGHT);
    match lost {
        true => play.gap(ToServer, flight.len() as u64),
        false => play.client(flight),
    };
    if comes {
        let random = &hex(SIMPLE_CLIENT_HELLO)[11..43];
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        for (label, secret) in SIMPLE {
            let line = format!("{label} {random} {secret}\n");
            play.keys.add_log(line.as_bytes(), &mut play.loss);
        }
    }
    play.server(hex(SIMPLE_TICKET));
    play.client(hex(SIMPLE_CLIENT_DATA));
    play.server(hex(SIMPLE_SERVER_DATA));
    play.fin(ToClient);
    play.lines().join("\n")
}

#[test]
fn records_wait_for_a_key_log_that_comes_a_moment_later() {
    let told = told_with_a_log(true, true, false);
    assert!(told.contains("tls Decrypted"), "{told}");
    // Both sides' close_notify was read, which stands behind all that waited.
    assert_eq!(told.matches("tls Alert").count(), 2, "{told}");
}

#[test]
fn what_waits_in_vain_is_told_from_outside() {
    for lost in [false, true] {
        let told = told_with_a_log(true, false, lost);
        assert!(told.contains("NoSecret"), "{told}");
        assert_eq!(told, told_with_a_log(false, false, lost));
    }
}
