//! From a frame to the segment, datagram or ICMP error that it carries: borrowed, no copy.
//!
//! The rule: what is not decoded is counted by name. Checksums are not looked at: with offload the card fills them in
//! after the capture saw the packet, and a packet with a truly wrong one is dropped by its receiver, which shows.
//! Fragments come out as such, because only order can put them together: see [`reassemble`].

mod ether;
mod fragment;
mod icmp;
mod layer;
mod link;
mod local;
mod neighbour;
mod network;
pub mod segment;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;
mod wireless;

use crate::flow::{Endpoint, Overlay, Vantage};
use crate::frame::Frame;
use crate::loss::{Loss, LossName};

use fragment::Origin;
pub use fragment::{Fragment, LostPieces, Reassembler, Whole};
use layer::Skip;
pub use local::way;
use network::{Network, Read, TCP, UDP};
use segment::{Datagram, IcmpError, Packet, Resolution, Segment};
use tunnel::TUNNELS_MAX;

/// Frames that the capture cut before the ports of TCP or UDP.
pub const FRAMES_CUT: LossName = "frames_cut_inside_headers";
/// Frames whose IP, TCP or UDP header contradicts itself.
pub const FRAMES_MALFORMED: LossName = "frames_with_malformed_headers";
/// Frames with more tunnels inside each other than are followed.
pub const TUNNELS_TOO_DEEP: LossName = "tunnels_nested_too_deep";

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Decoded<'a> {
    /// A packet for the rooms above.
    Packet {
        /// The packet.
        packet: Packet<'a>,
        /// Tunnels around it.
        tunnels: usize,
    },
    /// A piece of a packet.
    Fragment(Fragment<'a>),
}

impl<'a> Decoded<'a> {
    /// The packet, unless it is a piece of one.
    #[must_use]
    pub fn packet(self) -> Option<Packet<'a>> {
        match self {
            Self::Packet { packet, .. } => Some(packet),
            Self::Fragment(_) => None,
        }
    }
}

/// Decodes one frame. `None` when it carries nothing for the rooms above; then `loss` tells why.
pub fn decode<'a>(frame: Frame<'a>, vantage: Vantage, loss: &mut Loss) -> Option<Decoded<'a>> {
    let mut origin = Origin {
        overlay: Overlay::default(),
        vantage,
        mark: frame.mark,
        depth: 0,
    };
    let stripped = match link::strip(frame.link, frame.data) {
        Ok(stripped) => stripped,
        Err(skip) => return origin.without_ip(&skip, frame.data, loss),
    };
    origin.overlay = stripped.overlay;
    let data = frame.data.get(stripped.offset..).unwrap_or_default();
    let wire_len = (frame.original_len as usize).saturating_sub(stripped.offset);
    match read(data, wire_len, loss)? {
        // No tunnel begins with TCP, and nearly all frames carry it.
        Read::Whole(network) if network.protocol == TCP => {
            let packet = counted(origin.segment(&network), loss)?;
            Some(Decoded::Packet { packet, tunnels: 0 })
        }
        Read::Whole(network) => follow(origin, network, loss),
        Read::Fragment(piece) => Some(Decoded::Fragment(Fragment { origin, piece })),
    }
}

/// Adds a fragment to what is known; the packet that it completes, if it does. Fragments must come in the order of
/// their frames. A completed packet that turns out to be a fragment inside a tunnel is added in its turn.
pub fn reassemble(
    reassembler: &mut Reassembler,
    fragment: &Fragment<'_>,
    loss: &mut Loss,
) -> Option<Whole> {
    let mut whole = reassembler.push(fragment, loss)?;
    for _ in 0..TUNNELS_MAX {
        // What this loses is counted when the packet is decoded in earnest.
        let inner = match decode_whole(&whole, &mut Loss::default()) {
            Some(Decoded::Fragment(inner)) => reassembler.push(&inner, loss)?,
            _ => break,
        };
        whole = inner;
    }
    Some(whole)
}

/// Decodes a packet that was put together.
pub fn decode_whole<'a>(whole: &'a Whole, loss: &mut Loss) -> Option<Decoded<'a>> {
    follow(whole.origin, whole.network(), loss)
}

/// Goes through the tunnels around a packet.
fn follow<'a>(
    mut origin: Origin,
    mut network: Network<'a>,
    loss: &mut Loss,
) -> Option<Decoded<'a>> {
    loop {
        let inside = match tunnel::enter(&network, origin.overlay) {
            Ok(None) => {
                let packet = packet(&origin, &network, loss)?;
                let tunnels = origin.depth;
                return Some(Decoded::Packet { packet, tunnels });
            }
            Ok(Some(inside)) => inside,
            Err(skip) => return origin.without_ip(&skip, network.payload, loss),
        };
        origin.depth = origin.depth.saturating_add(1);
        if origin.depth > TUNNELS_MAX {
            loss.add(TUNNELS_TOO_DEEP, 1);
            return None;
        }
        origin.overlay = inside.overlay;
        let data = network.payload.get(inside.offset..).unwrap_or_default();
        let wire_len = network.payload_len.saturating_sub(inside.offset);
        network = match read(data, wire_len, loss)? {
            Read::Whole(network) => network,
            Read::Fragment(piece) => {
                return Some(Decoded::Fragment(Fragment { origin, piece }));
            }
        };
    }
}

fn read<'a>(data: &'a [u8], wire_len: usize, loss: &mut Loss) -> Option<Read<'a>> {
    let name = match network::read(data, wire_len.max(data.len())) {
        Ok(read) => return Some(read),
        Err(network::Refusal::Cut) => FRAMES_CUT,
        Err(network::Refusal::Malformed) => FRAMES_MALFORMED,
    };
    loss.add(name, 1);
    None
}

fn skipped<T>(skip: &Skip, loss: &mut Loss) -> Option<T> {
    match skip {
        Skip::Named(name) => loss.skip(name),
        Skip::Cut => loss.add(FRAMES_CUT, 1),
        Skip::Arp(_) => loss.skip("ARP"),
    }
    None
}

/// The packet that IP carries for the rooms above.
fn packet<'a>(origin: &Origin, network: &Network<'a>, loss: &mut Loss) -> Option<Packet<'a>> {
    match network.protocol {
        1 => origin.icmp(icmp::Version::V4, network, loss),
        TCP => counted(origin.segment(network), loss),
        UDP => counted(origin.datagram(network), loss).inspect(|packet| name_sealed(packet, loss)),
        58 => match neighbour::discovery(network) {
            Some(message) => origin.resolution(message, loss),
            None => origin.icmp(icmp::Version::V6, network, loss),
        },
        other => {
            skip_protocol(other, loss);
            None
        }
    }
}

impl Origin {
    /// What is told of `data` without an IP header: an ARP message, or why it is passed over.
    fn without_ip<'a>(&self, skip: &Skip, data: &[u8], loss: &mut Loss) -> Option<Decoded<'a>> {
        let Skip::Arp(place) = skip else {
            return skipped(skip, loss);
        };
        let overlay = place.overlay;
        let message = neighbour::arp(data.get(place.offset..).unwrap_or_default());
        let packet = Self { overlay, ..*self }.resolution(message, loss)?;
        let tunnels = self.depth;
        Some(Decoded::Packet { packet, tunnels })
    }

    fn resolution<'a>(
        &self,
        message: Result<neighbour::Message, Skip>,
        loss: &mut Loss,
    ) -> Option<Packet<'a>> {
        match message {
            Ok(message) => Some(Packet::Resolution(Resolution {
                speaker: message.speaker,
                target: message.target,
                step: message.step,
                listener: message.listener,
                overlay: self.overlay,
                vantage: self.vantage,
                mark: self.mark,
            })),
            Err(skip) => skipped(&skip, loss),
        }
    }

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
            multipath: tcp.options.multipath,
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

/// Counts a packet of QUIC or a hello of DTLS by its name: neither is read, and an exchange over it is not seen.
fn name_sealed(packet: &Packet<'_>, loss: &mut Loss) {
    let Packet::Datagram(datagram) = packet else {
        return;
    };
    if transport::is_quic(datagram.payload) {
        loss.skip("QUIC");
    } else if transport::is_dtls(datagram.payload) {
        loss.skip("DTLS");
    }
}

/// Counts a packet of another protocol by its name (IANA protocol-numbers).
fn skip_protocol(protocol: u8, loss: &mut Loss) {
    let name = match protocol {
        2 => "IGMP",
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
