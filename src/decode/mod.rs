//! From a frame to the segment, datagram or ICMP error that it carries: borrowed, no copy.
//!
//! The rule: what is not decoded is counted by name. Checksums are not looked at: with offload the card fills them in
//! after the capture saw the packet, and a packet with a truly wrong one is dropped by its receiver, which shows.
//! Left out: reassembly of IP fragments, and tunnels.

mod icmp;
pub mod link;
mod local;
mod network;
pub mod segment;
mod transport;

pub use local::is_outgoing;

use crate::flow::{Endpoint, Overlay, Vantage};
use crate::frame::{Frame, Mark};
use crate::loss::{Loss, LossName};

use link::Skip;
use network::Network;
use segment::{Datagram, IcmpError, Packet, Segment};

/// Frames that the capture cut before the ports of TCP or UDP.
pub const FRAMES_CUT: LossName = "frames_cut_inside_headers";
/// Frames whose IP, TCP or UDP header contradicts itself.
pub const FRAMES_MALFORMED: LossName = "frames_with_malformed_headers";
/// IP fragments, first ones too: half of a segment would look like a lost byte that never was.
pub const FRAGMENTS: LossName = "ip_fragments_not_reassembled";

/// Decodes one frame. `None` when it carries nothing for the rooms above; then `loss` tells why.
pub fn decode<'a>(frame: Frame<'a>, vantage: Vantage, loss: &mut Loss) -> Option<Packet<'a>> {
    let stripped = match link::strip(frame.link, frame.data) {
        Ok(stripped) => stripped,
        Err(Skip::Named(name)) => {
            loss.skip(&name);
            return None;
        }
        Err(Skip::Cut) => {
            loss.add(FRAMES_CUT, 1);
            return None;
        }
    };
    let data = frame.data.get(stripped.offset..).unwrap_or_default();
    let wire_len = (frame.original_len as usize).saturating_sub(stripped.offset);
    let network = match network::read(data, wire_len.max(data.len())) {
        Ok(network) => network,
        Err(refusal) => {
            let name = match refusal {
                network::Refusal::Cut => FRAMES_CUT,
                network::Refusal::Malformed => FRAMES_MALFORMED,
                network::Refusal::Fragment => FRAGMENTS,
            };
            loss.add(name, 1);
            return None;
        }
    };
    let origin = Origin {
        overlay: stripped.overlay,
        vantage,
        mark: frame.mark,
    };
    match network.protocol {
        1 => origin.icmp(icmp::Version::V4, &network, loss),
        6 => counted(origin.segment(&network), loss),
        17 => counted(origin.datagram(&network), loss),
        58 => origin.icmp(icmp::Version::V6, &network, loss),
        other => {
            skip_protocol(other, loss);
            None
        }
    }
}

/// Where a packet was seen: the same for all that it carries.
struct Origin {
    overlay: Overlay,
    vantage: Vantage,
    mark: Mark,
}

impl Origin {
    fn segment<'a>(&self, network: &Network<'a>) -> Result<Packet<'a>, transport::Refusal> {
        let tcp = transport::tcp(network.payload, network.payload_len)?;
        Ok(Packet::Segment(Segment {
            source: Endpoint::new(network.source, tcp.source_port),
            destination: Endpoint::new(network.destination, tcp.destination_port),
            overlay: self.overlay,
            vantage: self.vantage,
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgement,
            flags: tcp.flags,
            window: tcp.window,
            window_scale: tcp.options.window_scale,
            timestamps: tcp.options.timestamps,
            ip_id: network.ip_id,
            ttl: network.ttl,
            payload: tcp.payload,
            payload_len: tcp.payload_len,
            mark: self.mark,
        }))
    }

    fn datagram<'a>(&self, network: &Network<'a>) -> Result<Packet<'a>, transport::Refusal> {
        let udp = transport::udp(network.payload, network.payload_len)?;
        Ok(Packet::Datagram(Datagram {
            source: Endpoint::new(network.source, udp.source_port),
            destination: Endpoint::new(network.destination, udp.destination_port),
            overlay: self.overlay,
            vantage: self.vantage,
            payload: udp.payload,
            payload_len: udp.payload_len,
            mark: self.mark,
        }))
    }

    fn icmp<'a>(
        &self,
        version: icmp::Version,
        network: &Network<'a>,
        loss: &mut Loss,
    ) -> Option<Packet<'a>> {
        match icmp::read(version, network.payload) {
            Ok(message) => Some(Packet::Icmp(IcmpError {
                reporter: network.source,
                reason: message.reason,
                type_code: message.type_code,
                quoted_source: message.quoted_source,
                quoted_destination: message.quoted_destination,
                quoted_tcp: message.quoted_tcp,
                quoted_sequence: message.quoted_sequence,
                overlay: self.overlay,
                vantage: self.vantage,
                mark: self.mark,
            })),
            Err(icmp::Refusal::Named(name)) => {
                loss.skip(&name);
                None
            }
            Err(icmp::Refusal::Cut) => {
                loss.add(FRAMES_CUT, 1);
                None
            }
        }
    }
}

fn counted<'a>(
    outcome: Result<Packet<'a>, transport::Refusal>,
    loss: &mut Loss,
) -> Option<Packet<'a>> {
    match outcome {
        Ok(packet) => return Some(packet),
        Err(transport::Refusal::Cut) => loss.add(FRAMES_CUT, 1),
        Err(transport::Refusal::Malformed) => loss.add(FRAMES_MALFORMED, 1),
    }
    None
}

/// Counts a packet of another protocol by its name (IANA protocol-numbers).
fn skip_protocol(protocol: u8, loss: &mut Loss) {
    let name = match protocol {
        2 => "IGMP",
        4 => "IPv4 in IP",
        41 => "IPv6 in IP",
        47 => "GRE",
        50 => "ESP",
        59 => "IPv6 without payload",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        132 => "SCTP",
        other => return loss.skip(&format!("IP protocol {other}")),
    };
    loss.skip(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameId, LinkType};
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

    fn frame(data: &[u8], original_len: usize, link: LinkType) -> Frame<'_> {
        Frame {
            data,
            original_len: original_len as u32,
            mark: Mark {
                time: Timestamp(1),
                frame: FrameId {
                    input: 0,
                    number: 4,
                },
            },
            link,
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
            (segment.vantage, segment.mark.frame.number),
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
        bytes[18 + 6] = 0x20;
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
        assert_eq!(skipped, [("SCTP", 1), ("link type 195", 1)]);
        assert_eq!(loss.get(FRAGMENTS), 1);
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

    #[test]
    fn no_mutation_panics() {
        let links = [0, 1, 12, 101, 108, 113, 228, 229, 276, 9999];
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
}
