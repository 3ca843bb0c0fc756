//! Tests of the whole room: from a frame to what it carries.

use super::segment::Step;
use super::*;
use crate::frame::{FrameId, LinkType, Mark, Way};
use crate::time::Timestamp;

/// Ethernet, VLAN 7, IPv4, TCP with timestamps, 100 bytes of payload.
fn tcp_frame() -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0, 0, 7, 8, 0]);
    frame.extend([0x45, 0, 0, 152, 0x12, 0x34, 0x40, 0, 61, 6, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([
        0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 8, 0x80, 0x18, 1, 2, 0, 0, 0, 0,
    ]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
    frame.extend([b'x'; 100]);
    frame
}

/// What a frame carries when it is no fragment.
fn decode<'a>(frame: Frame<'a>, vantage: Vantage, loss: &mut Loss) -> Option<Packet<'a>> {
    super::decode(frame, vantage, loss)?.packet()
}

fn frame(data: &[u8], original_len: usize, link: LinkType) -> Frame<'_> {
    Frame {
        data,
        original_len: original_len as u32,
        mark: Mark {
            time: Timestamp(1),
            frame: FrameId::new(0, 4),
        },
        link,
        way: Way::Unknown,
    }
}

#[test]
fn a_segment_with_all_its_facts() {
    let (bytes, mut loss) = (tcp_frame(), Loss::default());
    let packet = decode(
        frame(&bytes, 170, LinkType::ETHERNET),
        Vantage(3),
        &mut loss,
    );
    let Some(Packet::Segment(segment)) = packet else {
        panic!("{packet:?}")
    };
    assert_eq!(segment.source.to_string(), "10.0.0.1:40000");
    assert_eq!(segment.destination.to_string(), "10.0.0.2:80");
    assert_eq!((segment.sequence, segment.acknowledgement), (9, 8));
    assert_eq!(
        (segment.ip_id, segment.ttl, segment.window),
        (Some(0x1234), 61, 258)
    );
    assert_eq!(
        (segment.timestamps, segment.window_scale),
        (Some((5, 6)), None)
    );
    assert_eq!(
        (segment.payload, segment.payload_len),
        (&[b'x'; 100][..], 100)
    );
    assert_eq!(
        (segment.vantage, segment.mark.frame.number()),
        (Vantage(3), 4)
    );
    assert_ne!(segment.overlay, Overlay::default());
    assert_eq!(loss, Loss::default());
}

#[test]
fn a_frame_cut_at_any_byte_keeps_its_length_on_the_wire_or_is_counted() {
    let bytes = tcp_frame();
    for end in 0..bytes.len() {
        let mut loss = Loss::default();
        match decode(
            frame(&bytes[..end], 170, LinkType::ETHERNET),
            Vantage(0),
            &mut loss,
        ) {
            Some(Packet::Segment(segment)) => {
                // Link, IP, and the TCP header without its options.
                assert!(end >= 18 + 20 + 20);
                assert_eq!(segment.payload_len, 100);
                assert_eq!(segment.payload.len(), end.saturating_sub(70));
            }
            None => assert_eq!(loss.get(FRAMES_CUT), 1, "{end}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_passed_over_is_counted_by_name() {
    let mut loss = Loss::default();
    let mut bytes = tcp_frame();
    bytes[18 + 9] = 132;
    assert!(
        decode(
            frame(&bytes, 170, LinkType::ETHERNET),
            Vantage(0),
            &mut loss
        )
        .is_none()
    );
    assert!(decode(frame(&bytes, 170, LinkType(195)), Vantage(0), &mut loss).is_none());
    let skipped: Vec<_> = loss.skipped_kinds().collect();
    assert_eq!(skipped, [("SCTP", 1), ("link type 195 (IEEE 802.15.4)", 1)]);
}

#[test]
fn a_question_for_a_neighbour_keeps_its_overlay() {
    // Ethernet, 802.1Q, ARP: 10.0.0.1 asks for 10.0.0.2.
    let mut bytes = vec![0xff; 12];
    bytes.extend([0x81, 0, 0, 7, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let mut loss = Loss::default();
    let at = |link| frame(&bytes, 46, link);
    let packet = decode(at(LinkType::ETHERNET), Vantage(3), &mut loss);
    let Some(Packet::Resolution(asks)) = packet else {
        panic!("{packet:?}")
    };
    assert_eq!(asks.speaker.to_string(), "10.0.0.1");
    assert_eq!(asks.target.to_string(), "10.0.0.2");
    assert_eq!((asks.step, asks.vantage), (Step::Asks, Vantage(3)));
    assert_ne!(asks.overlay, Overlay::default());
    assert_eq!(loss, Loss::default());
    for end in 14..bytes.len() {
        let mut loss = Loss::default();
        let cut = frame(&bytes[..end], 46, LinkType::ETHERNET);
        assert!(decode(cut, Vantage(0), &mut loss).is_none());
        assert_eq!(loss.get(FRAMES_CUT), 1, "{end}");
    }
}

#[test]
fn an_icmp_error_belongs_to_the_flow_that_it_quotes() {
    let whole = tcp_frame();
    let mut bytes = vec![
        0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
    ];
    bytes.extend([3, 3, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&whole[18..18 + 28]);
    let mut loss = Loss::default();
    let error = decode(frame(&bytes, 56, LinkType::RAW), Vantage(0), &mut loss).unwrap();
    let Packet::Icmp(icmp) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(icmp.reporter.to_string(), "10.0.0.2");
    assert_eq!((icmp.quoted_tcp, icmp.quoted_sequence), (true, Some(9)));
    let segment = decode(
        frame(&whole[18..], 152, LinkType::RAW),
        Vantage(0),
        &mut loss,
    );
    assert_eq!(segment.unwrap().flow(), error.flow());
}

/// An IPv4 packet around `payload`.
fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b] = (payload.len() as u16 + 20).to_be_bytes();
    let mut bytes = vec![0x45, 0, a, b, 0, 9, 0, 0, 64, protocol, 0, 0];
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    bytes.extend_from_slice(payload);
    bytes
}

/// An IPv4 packet with VXLAN around a frame.
fn vxlan(network: u8, frame: &[u8]) -> Vec<u8> {
    let mut payload = vec![0xc0, 0, 0x12, 0xb5];
    payload.extend((frame.len() as u16 + 16).to_be_bytes());
    payload.extend([0, 0, 8, 0, 0, 0, 0, 0, network, 0]);
    payload.extend_from_slice(frame);
    ip(17, &payload)
}

#[test]
fn a_segment_inside_tunnels_keeps_its_length_and_gains_their_ids() {
    let plain = tcp_frame();
    let gre = [&[0, 0, 0x65, 0x58][..], &plain].concat();
    let mut outer = vec![2; 12];
    outer.extend([8, 0]);
    outer.extend(ip(47, &gre));
    let nested = ip(4, &vxlan(7, &outer));
    let mut loss = Loss::default();
    let whole = frame(&nested, nested.len(), LinkType::RAW);
    let Some(Packet::Segment(inner)) = decode(whole, Vantage(0), &mut loss) else {
        panic!("{loss:?}")
    };
    assert_eq!((inner.payload, inner.payload_len), (&[b'x'; 100][..], 100));
    let other = ip(4, &vxlan(8, &outer));
    let other = decode(
        frame(&other, other.len(), LinkType::RAW),
        Vantage(0),
        &mut loss,
    );
    assert_ne!(other.unwrap().flow(), inner.flow());
    // A snap length that cuts the payload.
    let end = nested.len() - 60;
    let cut = decode(
        frame(&nested[..end], nested.len(), LinkType::RAW),
        Vantage(0),
        &mut loss,
    );
    let Some(Packet::Segment(cut)) = cut else {
        panic!("{loss:?}")
    };
    assert_eq!((cut.payload.len(), cut.payload_len), (40, 100));
    assert_eq!(loss, Loss::default());
}

#[test]
fn tunnels_without_end_are_given_up() {
    let mut bytes = tcp_frame()[18..].to_vec();
    let mut loss = Loss::default();
    for depth in 1..=TUNNELS_MAX + 1 {
        bytes = ip(4, &bytes);
        let seen = decode(
            frame(&bytes, bytes.len(), LinkType::RAW),
            Vantage(0),
            &mut loss,
        );
        assert_eq!(seen.is_some(), depth <= TUNNELS_MAX);
    }
    assert_eq!(loss.get(TUNNELS_TOO_DEEP), 1);
}

#[test]
fn no_mutation_of_tunnels_and_fragments_panics() {
    let (mut state, mut loss) = (0x9e37_79b9_7f4a_7c15_u64, Loss::default());
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let whole = ip(4, &vxlan(7, &tcp_frame()));
    let mut reassembler = Reassembler::default();
    for _ in 0..200_000 {
        let mut bytes = whole.clone();
        for _ in 0..=next() % 5 {
            let at = next() % 100;
            bytes[at] = next() as u8;
        }
        // The protocol, the ports and the flags of fragments are worth more than chance gives them.
        match next() % 4 {
            0 => bytes[29] = [4, 41, 47, 137, 17][next() % 5],
            1 => bytes[42..44].copy_from_slice(&[6081_u16, 2152, 8472][next() % 3].to_be_bytes()),
            _ => bytes[6..8].copy_from_slice(&(next() as u16 & 0x201f).to_be_bytes()),
        }
        bytes.truncate(next() % 400);
        let seen = super::decode(
            frame(&bytes, next() % 3000, LinkType::RAW),
            Vantage(0),
            &mut loss,
        );
        if let Some(Decoded::Fragment(fragment)) = seen
            && let Some(whole) = reassemble(&mut reassembler, &fragment, &mut loss)
        {
            decode_whole(&whole, &mut loss);
        }
    }
    reassembler.finish(&mut loss);
    assert!(loss.get("ip_fragments_not_reassembled") > 0);
}

#[test]
fn no_mutation_panics() {
    let links = [
        0, 1, 9, 12, 50, 51, 101, 104, 105, 108, 109, 113, 119, 127, 138, 219, 228, 229, 276, 9999,
    ];
    let (mut state, mut loss) = (0x2545_f491_4f6c_dd1d_u64, Loss::default());
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for round in 0..200_000 {
        let mut bytes = tcp_frame();
        for _ in 0..=next() % 4 {
            let at = next() % 80;
            bytes[at] = next() as u8;
        }
        let start = [0, 14, 18][next() % 3];
        let end = start + next() % (bytes.len() - start + 1);
        let link = LinkType(links[round % links.len()]);
        let seen = decode(
            frame(&bytes[start..end], next() % 70_000, link),
            Vantage(0),
            &mut loss,
        );
        if let Some(Packet::Segment(segment)) = seen {
            assert!(segment.payload.len() <= segment.payload_len as usize);
        }
    }
}
