//! From a frame to the segment, datagram or ICMP error that it carries: borrowed, no copy.
//!
//! The rule: what is not decoded is counted by name. Checksums are not looked at: with offload the card fills them in
//! after the capture saw the packet, and a packet with a truly wrong one is dropped by its receiver, which shows.
//! Left out: reassembly of IP fragments, and tunnels.

mod icmp;
pub mod link;
mod network;
pub mod segment;
mod transport;

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
