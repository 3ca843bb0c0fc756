//! Records that the capture lost: what follows them comes out under its own number and under its own keys.

use rustls::version::{TLS12, TLS13};

use super::{ends, heard, keys, nothing_lost, with_early_data, with_refused_early_data, words};
use crate::flow::Direction::{ToClient, ToServer};

#[test]
fn a_hundred_holes_of_full_records_leave_the_rest_readable() {
    for version in [&TLS12, &TLS13] {
        let ends = ends(version, &[]);
        let mut talk = ends.meet();
        talk.carry().client_says(&words(1, 40));
        let begun = talk.wire.len();
        let said: Vec<Vec<u8>> = (0..200).map(|n| words(n * 10_000, 16 * 1024)).collect();
        for words in &said {
            talk.server_says(words);
        }
        assert_eq!(talk.wire.len(), begun + said.len());
        let heard = heard(&talk, &keys(&ends), |number, _| {
            number >= begun && (number - begun).is_multiple_of(2)
        });
        let kept: Vec<u8> = said.iter().skip(1).step_by(2).flatten().copied().collect();
        assert!(heard.server == kept, "{} bytes", heard.server.len());
        assert_eq!(heard.missing.len(), 100);
        assert!(heard.missing.iter().all(|(_, _, len)| *len == 16 * 1024));
    }
}

#[test]
fn a_hole_that_swallows_the_update_of_keys() {
    let ends = ends(&TLS13, &[]);
    let mut talk = ends.meet();
    talk.carry().client_says(&words(1, 40));
    talk.server_says(&words(10, 9_000));
    let lost = talk.wire.len();
    talk.server.refresh_traffic_keys().unwrap();
    talk.server_says(&words(50_000, 2_000));
    talk.server_says(&words(90_000, 12_000));
    let heard = heard(&talk, &keys(&ends), |number, _| number == lost);
    assert!(heard.server == [words(10, 9_000), words(90_000, 12_000)].concat());
    // The message that changes keys is among the missing bytes (RFC 8446, section 4.6.3): five of them, as good as data.
    assert_eq!(heard.missing, [(ToClient, 9_000, 2_005)]);
    assert_eq!(heard.loss.get("tls_holes_of_uncertain_length"), 1);
}

#[test]
fn keys_that_are_updated_after_a_hole() {
    let ends = ends(&TLS13, &[]);
    let mut talk = ends.meet();
    talk.carry().client_says(&words(1, 40));
    talk.server_says(&words(10, 9_000));
    let lost = talk.wire.len();
    talk.server_says(&words(50_000, 2_000));
    talk.server_says(&words(60_000, 2_000));
    for turn in 0..3 {
        talk.server.refresh_traffic_keys().unwrap();
        talk.server_says(&words(70_000 + turn * 10_000, 2_000));
    }
    let heard = heard(&talk, &keys(&ends), |number, _| number == lost);
    let after = [60_000, 70_000, 80_000, 90_000].map(|from| words(from, 2_000));
    assert!(heard.server == [words(10, 9_000), after.concat()].concat());
    assert_eq!(heard.missing, [(ToClient, 9_000, 2_000)]);
}

#[test]
fn a_hole_that_swallows_the_end_of_the_handshake() {
    let ends = ends(&TLS13, &[]);
    let mut talk = ends.meet();
    talk.carry();
    let last_flight = talk.wire.iter().rposition(|(client, _)| *client).unwrap();
    talk.client_says(&words(1, 500));
    talk.server_says(&words(1_000, 30_000));
    let heard = heard(&talk, &keys(&ends), |number, _| number == last_flight);
    assert_eq!(heard.client, words(1, 500));
    assert!(heard.server == words(1_000, 30_000));
}

#[test]
fn a_hole_in_early_data() {
    let mut ends = ends(&TLS13, &[]);
    ends.server.max_early_data_size = 1 << 20;
    let mut talk = with_early_data(&ends, &words(1, 60_000));
    talk.client_says(&words(90_000, 100));
    let talk = talk.by_record();
    let early = talk.wire.iter().position(|(_, bytes)| bytes[0] == 23);
    let second = early.unwrap() + 1;
    let full = talk.wire[second].1.len();
    assert!(full > 16_000, "{full}");
    let whole = heard(&talk, &keys(&ends), nothing_lost);
    assert!(whole.client == [words(1, 60_000), words(90_000, 100)].concat());
    let heard = heard(&talk, &keys(&ends), |number, _| number == second);
    // The header, the type of what it holds, and the tag (RFC 8446, section 5.2).
    let first = talk.wire[second - 1].1.len() - 5 - 1 - 16;
    let missing = full - 5 - 1 - 16;
    let rest = whole.client[first + missing..].to_vec();
    assert_eq!(heard.missing, [(ToServer, first, missing as u64)]);
    assert!(heard.client == [words(1, first), rest].concat());
}

#[test]
fn early_data_that_nobody_decided_upon_are_counted() {
    let mut ends = ends(&TLS13, &[]);
    ends.server.max_early_data_size = 1 << 20;
    let talk = with_early_data(&ends, &words(1, 5_000));
    let answer = talk.wire.iter().position(|(client, _)| !client).unwrap();
    let heard = heard(&talk, &keys(&ends), |number, _| number >= answer);
    assert_eq!(heard.client, b"");
    assert_eq!(heard.loss.get("tls_early_data_bytes_undecided"), 5_000);
}

#[test]
fn refused_early_data_of_which_nobody_logged_the_secret_are_passed_over() {
    let mut ends = ends(&TLS13, &[]);
    let early = [0, 1_000, 2_000].map(|from| words(from, 500));
    let mut talk = with_refused_early_data(&mut ends, &early);
    talk.client_says(&words(70, 20_000))
        .server_says(&words(80, 100));
    let mut talk = talk.by_record();
    // On their way when the server answers: they are seen after its hello, as every client far away has it.
    let sealed = |(client, bytes): &(bool, Vec<u8>)| *client && bytes[0] == 23;
    let early = talk.wire.iter().position(sealed).unwrap();
    let answer = talk.wire.iter().position(|(client, _)| !client).unwrap();
    let hello = talk.wire[answer..].iter().position(|(client, _)| *client);
    talk.wire[early..answer + hello.unwrap()].rotate_left(answer - early);
    let log = ends.key_log();
    let without: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("CLIENT_EARLY"))
        .collect();
    let (mut keys, mut loss) = (
        crate::capture::Keys::default(),
        crate::loss::Loss::default(),
    );
    keys.add_log(without.join("\n").as_bytes(), &mut loss);
    let heard = heard(&talk, &keys, nothing_lost);
    assert!(
        heard.client == words(70, 20_000),
        "{} bytes",
        heard.client.len()
    );
    assert_eq!(heard.server, words(80, 100));
    assert_eq!(heard.missing, []);
}
