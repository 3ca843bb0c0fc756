//! Tests of the corridor: batches and inputs leave no trace.

use super::*;
use crate::frame::{FrameId, LinkType, Way};

/// Largest piece of an IP payload in these tests.
const PIECE: usize = 24;

/// A packet of IPv4 in fragments, each a frame of raw IP.
fn fragments(id: u16, from: u8, to: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = payload.chunks(PIECE).collect();
    let piece = |(index, piece): (usize, &&[u8])| {
        let more = if index + 1 < pieces.len() { 0x2000 } else { 0 };
        let mut bytes = vec![0x45, 0];
        let field = (index * PIECE / 8) as u16 | more;
        for word in [piece.len() as u16 + 20, id, field] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend([64, 6, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
        bytes.extend_from_slice(piece);
        bytes
    };
    pieces.iter().enumerate().map(piece).collect()
}

/// A TCP segment between the client's port and port 80.
fn tcp(to_server: bool, sequence: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = if to_server {
        (4000_u16, 80_u16)
    } else {
        (80, 4000)
    };
    let mut bytes = source.to_be_bytes().to_vec();
    bytes.extend(destination.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A conversation that ends in a 502, a few milliseconds a frame, two seconds before the answer.
fn frames() -> Vec<(i64, Vec<u8>)> {
    let request = b"GET /slow HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n";
    let (asked, answered) = (request.len() as u32 + 1, answer.len() as u32 + 1);
    let segments = [
        (true, tcp(true, 0, 0, 0x02, b"")),
        (false, tcp(false, 0, 1, 0x12, b"")),
        (true, tcp(true, 1, 1, 0x10, b"")),
        (true, tcp(true, 1, 1, 0x18, request)),
        (false, tcp(false, 1, asked, 0x18, answer)),
        (true, tcp(true, asked, answered, 0x10, b"")),
    ];
    let mut frames = Vec::new();
    for (id, (to_server, segment)) in (1..).zip(&segments) {
        let (from, to) = if *to_server { (1, 2) } else { (2, 1) };
        let mut pieces = fragments(id, from, to, segment);
        // The last piece first: order inside a packet must not matter.
        pieces.reverse();
        let late = if id >= 5 { 2_000_000_000 } else { 0 };
        frames.extend(pieces.into_iter().map(|piece| (late, piece)));
    }
    for (index, (time, _)) in (0..).zip(&mut frames) {
        *time += 1_700_000_000_000_000_000 + index * 3_000_000;
    }
    frames
}

/// Batches of at most `at_once` frames; frame `n` comes from the input that `input` says.
fn batches(at_once: usize, input: impl Fn(usize) -> u16) -> Vec<Batch> {
    let mut numbers = [0_u64; 4];
    let mut batches = Vec::new();
    let frames: Vec<_> = frames().into_iter().enumerate().collect();
    for part in frames.chunks(at_once) {
        let mut batch = Batch::default();
        for (index, (time, bytes)) in part {
            let input = input(*index);
            numbers[usize::from(input)] += 1;
            batch.records.push(Record {
                start: batch.bytes.len(),
                captured_len: bytes.len() as u32,
                original_len: bytes.len() as u32,
                mark: Mark {
                    time: Timestamp(*time),
                    frame: FrameId::new(input, numbers[usize::from(input)]),
                },
                link: LinkType::RAW,
                way: Way::Unknown,
                offset: 0,
                asked: true,
            });
            batch.bytes.extend_from_slice(bytes);
        }
        batches.push(batch);
    }
    batches
}

fn analysed(batches: &[Batch]) -> Analysis {
    let mut analyzer = Analyzer::new(Options {
        threads: 2,
        ..Options::default()
    });
    for batch in batches {
        analyzer.feed(batch);
    }
    analyzer.finish()
}

#[test]
fn fragments_become_a_finding_whatever_the_batch_size() {
    let whole = analysed(&batches(1000, |_| 0));
    let [finding] = whole.diagnosis.findings.as_slice() else {
        panic!("{:?}", whole.diagnosis.findings)
    };
    assert_eq!(finding.status, Some(502));
    assert_eq!(whole.loss, Loss::default());
    for at_once in [1, 2, 3, 7] {
        let parts = analysed(&batches(at_once, |_| 0));
        assert_eq!(
            format!("{:?}", parts.diagnosis),
            format!("{:?}", whole.diagnosis)
        );
        assert_eq!(parts.loss, whole.loss);
    }
}

#[test]
fn inputs_that_take_turns_are_one_timeline_whatever_the_batch_size() {
    // The later input holds the earlier frames, and they take turns in between.
    let turns = |index: usize| [3, 1, 2, 0][index / 2 % 4];
    let whole = analysed(&batches(1000, turns));
    assert_eq!(whole.diagnosis.findings.len(), 1);
    for at_once in [1, 2, 5] {
        let parts = analysed(&batches(at_once, turns));
        assert_eq!(
            format!("{:?}", parts.diagnosis),
            format!("{:?}", whole.diagnosis)
        );
    }
}

#[test]
fn a_lost_fragment_is_counted() {
    let mut batches = batches(1000, |_| 0);
    let last_of_request = batches[0].records.len() - 5;
    batches[0].records.remove(last_of_request);
    assert!(analysed(&batches).loss.get("ip_fragments_not_reassembled") > 0);
}
