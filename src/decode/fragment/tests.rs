//! Tests of putting fragments together.

use super::*;
use crate::decode::network::{Read, read};
use crate::frame::FrameId;

/// A fragment of a UDP packet of IPv4 at `offset`, as it lies in a frame.
fn bytes(id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let total = payload.len() as u16 + 20;
    let field = (offset / 8) | if more { 0x2000 } else { 0 };
    let mut bytes = vec![0x45, 0];
    for word in [total, id, field] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([61, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend_from_slice(payload);
    bytes
}

struct Bench {
    reassembler: Reassembler,
    loss: Loss,
    frame: u64,
    second: i64,
}

impl Bench {
    fn new() -> Self {
        Self {
            reassembler: Reassembler::default(),
            loss: Loss::default(),
            frame: 0,
            second: 0,
        }
    }

    fn push(&mut self, data: &[u8]) -> Option<Whole> {
        self.push_cut(data, data.len())
    }

    fn push_cut(&mut self, data: &[u8], wire_len: usize) -> Option<Whole> {
        self.frame += 1;
        let mark = Mark {
            time: Timestamp(self.second * NANOS_PER_SECOND),
            frame: FrameId::new(0, self.frame),
        };
        let Ok(Read::Fragment(piece)) = read(data, wire_len) else {
            panic!("no fragment")
        };
        let origin = Origin {
            overlay: Overlay(0),
            vantage: Vantage(0),
            mark,
            depth: 0,
        };
        self.reassembler
            .push(&Fragment { origin, piece }, &mut self.loss)
    }

    fn finish(mut self) -> Loss {
        self.reassembler.finish(&mut self.loss);
        assert_eq!(self.reassembler.waiting_bytes, 0);
        assert_eq!(self.reassembler.pieces, 0);
        assert!(self.reassembler.packets.is_empty());
        self.loss
    }
}

#[test]
fn pieces_in_any_order_make_one_packet() {
    let pieces = [
        bytes(7, 0, true, &[1; 16]),
        bytes(7, 16, true, &[2; 8]),
        bytes(7, 24, false, &[3; 5]),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut bench = Bench::new();
        assert!(bench.push(&pieces[order[0]]).is_none());
        assert!(bench.push(&pieces[order[1]]).is_none());
        let whole = bench.push(&pieces[order[2]]).unwrap();
        let network = whole.network();
        let expected = [&[1; 16][..], &[2; 8], &[3; 5]].concat();
        assert_eq!(network.payload, expected);
        assert_eq!((network.payload_len, network.protocol), (29, 17));
        assert_eq!((network.ip_id, network.ttl), (Some(7), 61));
        assert_eq!(whole.mark().frame.number(), 3);
        assert_eq!(bench.finish(), Loss::default());
    }
}

#[test]
fn each_view_of_a_piece_is_the_same_piece() {
    let mut bench = Bench::new();
    let (one, two) = (bytes(7, 0, true, &[1; 8]), bytes(7, 8, false, &[2; 8]));
    assert!(bench.push(&one).is_none());
    assert!(bench.push(&one).is_none());
    assert!(bench.push(&two).is_some());
    assert!(bench.push(&two).is_none());
    assert!(bench.push(&one).is_none());
    // The id comes round again with other bytes.
    assert!(bench.push(&bytes(7, 0, true, &[3; 8])).is_none());
    assert!(bench.push(&bytes(7, 8, false, &[4; 8])).is_some());
    assert_eq!(bench.finish(), Loss::default());
}

#[test]
fn what_the_capture_cut_of_a_piece_is_missing_behind_it() {
    let mut bench = Bench::new();
    let first = bytes(7, 0, true, &[1; 1480]);
    assert!(bench.push_cut(&first[..96], 1500).is_none());
    let whole = bench.push(&bytes(7, 1480, false, &[2; 8])).unwrap();
    assert_eq!(whole.network().payload, [1; 76]);
    assert_eq!(whole.network().payload_len, 1488);
}

#[test]
fn overlapping_pieces_and_a_second_end_are_given_up() {
    for bad in [
        bytes(7, 8, true, &[9; 16]),
        bytes(7, 0, true, &[9; 8]),
        bytes(7, 40, true, &[9; 8]),
        bytes(7, 8, false, &[9; 4]),
    ] {
        let mut bench = Bench::new();
        assert!(bench.push(&bytes(7, 0, true, &[1; 16])).is_none());
        assert!(bench.push(&bytes(7, 24, false, &[3; 8])).is_none());
        assert!(bench.push(&bad).is_none());
        assert!(bench.push(&bytes(7, 16, true, &[2; 8])).is_none());
        assert_eq!(bench.finish().get(FRAGMENTS_OVERLAPPING), 4);
    }
}

#[test]
fn what_waits_too_long_is_counted_and_never_joined() {
    let mut bench = Bench::new();
    assert!(bench.push(&bytes(7, 0, true, &[1; 8])).is_none());
    bench.second = WAIT_SECONDS_MAX + 1;
    assert!(bench.push(&bytes(7, 8, false, &[2; 8])).is_none());
    assert_eq!(bench.loss.get(FRAGMENTS_INCOMPLETE), 1);
    assert_eq!(bench.finish().get(FRAGMENTS_INCOMPLETE), 2);
}

#[test]
fn memory_is_bounded() {
    let mut bench = Bench::new();
    for id in 0..6000 {
        bench.push(&bytes(id, 0, true, &[1; 1480]));
        assert!(bench.reassembler.waiting_bytes <= WAITING_BYTES_MAX);
        assert!(bench.reassembler.order.len() <= PACKETS_MAX);
    }
    let mut small = Bench::new();
    for id in 0..300 {
        for piece in 0..=PIECES_MAX as u16 {
            small.push(&bytes(id, piece * 16, true, &[1; 8]));
        }
        assert!(small.reassembler.pieces <= PIECES_KNOWN_MAX);
    }
    assert!(bench.finish().get(FRAGMENTS_OVER_LIMIT) > 3000);
    assert_eq!(small.finish().get(FRAGMENTS_OVER_LIMIT), 300 * 257);
}
