//! Tunnels. In: an IP packet. Out: where the IP packet inside it starts, and the overlay.
//!
//! The rule: GRE and the IP protocols for IP say what they are; a UDP port only hints, so what travels there is taken for a
//! tunnel when its header is valid and what it carries looks real, else it stays a datagram.

use crate::decode::ether::{self, BRIDGED, ip_by_version, word};
use crate::decode::layer::{Id, Skip, Stripped, with_id};
use crate::decode::network::{Network, TCP, UDP};
use crate::flow::Overlay;

/// Most tunnels around a packet: a mirrored overlay inside an overlay has three, and a frame of a hostile file could
/// otherwise nest hundreds.
pub(super) const TUNNELS_MAX: usize = 8;

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// Ports of the tunnels in UDP (IANA service names; 8472 is what Linux took before there was one).
const PORT_VXLAN: u16 = 4789;
const PORT_VXLAN_LINUX: u16 = 8472;
const PORT_GENEVE: u16 = 6081;
const PORT_GTP_U: u16 = 2152;

/// Looks for a tunnel in a packet. `None` when it carries something else.
///
/// # Errors
/// A [`Skip`] when it is a tunnel without IP inside, or one that the capture cut.
pub(super) fn enter(network: &Network<'_>, overlay: Overlay) -> Result<Option<Stripped>, Skip> {
    let data = network.payload;
    match network.protocol {
        TCP => Ok(None),
        UDP => in_udp(network, overlay),
        // IP in IP (RFC 2003, RFC 4213): no id, and often in one direction only, as a load balancer sends it.
        4 | 41 => ip_by_version(data, 0, overlay).map(Some),
        47 => gre(data, overlay).map(Some),
        137 => ether::mpls(data, 0, overlay).map(Some),
        _ => Ok(None),
    }
}

fn in_udp(network: &Network<'_>, overlay: Overlay) -> Result<Option<Stripped>, Skip> {
    let data = network.payload;
    let Ok(port) = word(data, 2) else {
        return Ok(None);
    };
    let inside = match port {
        PORT_VXLAN | PORT_VXLAN_LINUX => vxlan(data, overlay),
        PORT_GENEVE => geneve(data, overlay),
        PORT_GTP_U => gtp_u(data, overlay),
        _ => return Ok(None),
    };
    match inside {
        Some(Ok(stripped)) if looks_like_ip(data, stripped.offset) => Ok(Some(stripped)),
        Some(Err(Skip::Named(name))) if !name.starts_with("EtherType") => Err(Skip::Named(name)),
        Some(Err(Skip::Arp(stripped))) => Err(Skip::Arp(stripped)),
        Some(Err(Skip::Cut)) if data.len() < network.payload_len => Err(Skip::Cut),
        _ => Ok(None),
    }
}

/// The version, or nothing at all because the capture cut the packet here.
fn looks_like_ip(data: &[u8], offset: usize) -> bool {
    data.get(offset)
        .is_none_or(|byte| matches!(byte >> 4, 4 | 6))
}

/// VXLAN (RFC 7348, section 5): flags of which the one for a valid network id is set, the id, an Ethernet frame.
fn vxlan(data: &[u8], overlay: Overlay) -> Option<Result<Stripped, Skip>> {
    let header = data.get(UDP_HEADER..)?.first_chunk::<8>()?;
    let [flags, _, _, _, a, b, c, reserved] = *header;
    // 0x80 marks a group policy; every other bit is reserved and sent as zero.
    if flags & 0x7f != 0x08 || reserved != 0 {
        return None;
    }
    let overlay = with_id(overlay, Id::Vxlan(u32::from_be_bytes([0, a, b, c])));
    Some(ether::frame(data, UDP_HEADER.saturating_add(8), overlay))
}

/// Geneve (RFC 8926, section 3.4): version 0, length of the options in words, an EtherType, the network id.
fn geneve(data: &[u8], overlay: Overlay) -> Option<Result<Stripped, Skip>> {
    let header = data.get(UDP_HEADER..)?.first_chunk::<8>()?;
    let [first, flags, k0, k1, a, b, c, reserved] = *header;
    if first & 0xc0 != 0 || flags & 0x3f != 0 || reserved != 0 {
        return None;
    }
    let options = usize::from(first & 0x3f).saturating_mul(4);
    let overlay = with_id(overlay, Id::Geneve(u32::from_be_bytes([0, a, b, c])));
    let at = UDP_HEADER.saturating_add(8).saturating_add(options);
    Some(carried(u16::from_be_bytes([k0, k1]), data, at, overlay))
}

/// GTP-U (3GPP TS 29.281, section 5): version 1, a packet of a user (message 255). Its endpoint ids differ by direction.
fn gtp_u(data: &[u8], overlay: Overlay) -> Option<Result<Stripped, Skip>> {
    let header = data.get(UDP_HEADER..)?.first_chunk::<8>()?;
    let [flags, 255, ..] = *header else {
        return None;
    };
    if flags & 0xf0 != 0x30 {
        return None;
    }
    let mut at = UDP_HEADER.saturating_add(8);
    // Any of sequence number, N-PDU number and extension headers brings the fields of all three.
    if flags & 0x07 != 0 {
        at = at.saturating_add(4);
        let mut next = *data.get(at.saturating_sub(1))?;
        for _ in 0..GTP_EXTENSIONS_MAX {
            if next == 0 {
                break;
            }
            let length = usize::from(*data.get(at)?).saturating_mul(4);
            if length == 0 {
                return None;
            }
            at = at.saturating_add(length);
            next = *data.get(at.saturating_sub(1))?;
        }
    }
    // It may also carry Ethernet or nothing of IP, and no field says which.
    match ip_by_version(data, at, overlay) {
        Err(Skip::Named(_)) => None,
        outcome => Some(outcome),
    }
}

/// Most extension headers of a GTP-U packet; 5G sends one.
const GTP_EXTENSIONS_MAX: usize = 8;

/// GRE (RFC 2784, RFC 2890; version 1: RFC 2637): flags, protocol, then checksum, key and numbers as the flags say.
fn gre(data: &[u8], overlay: Overlay) -> Result<Stripped, Skip> {
    let (flags, kind) = (word(data, 0)?, word(data, 2)?);
    let present = |bit: u16| if flags & bit != 0 { 4 } else { 0 };
    let (checksum, key, sequence) = (present(0x8000), present(0x2000), present(0x1000));
    if flags & 0x4000 != 0 {
        return Err(Skip::named("GRE with source routes"));
    }
    match flags & 0x0007 {
        0 => {}
        // PPTP: its key is a length and a call id, which differs by direction.
        1 => return ether::ppp(data, 8 + sequence + present(0x0080), overlay),
        _ => return Err(Skip::named("GRE of an unknown version")),
    }
    let mut overlay = overlay;
    if key > 0 {
        let bytes = data.get(4 + checksum..).and_then(<[u8]>::first_chunk::<4>);
        overlay = with_id(
            overlay,
            Id::Gre(u32::from_be_bytes(*bytes.ok_or(Skip::Cut)?)),
        );
    }
    let at = 4 + checksum + key + sequence;
    match kind {
        // Without a sequence number this is the first version, which has no header of its own.
        0x88be if sequence == 0 => ether::frame(data, at, overlay),
        0x88be => erspan(data, at, 8, overlay),
        0x22eb => erspan_3(data, at, overlay),
        kind => carried(kind, data, at, overlay),
    }
}

/// What a tunnel with an EtherType carries: a whole frame, or a packet.
fn carried(kind: u16, data: &[u8], at: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    match kind {
        BRIDGED => ether::frame(data, at, overlay),
        // A tunnel carries EtherTypes, never the lengths of 802.2.
        0x0000..=0x05ff => Err(Skip::Named(format!("EtherType 0x{kind:04x}").into())),
        kind => ether::typed(kind, data, at, overlay),
    }
}

/// ERSPAN (draft-foschiano-erspan): a mirrored frame behind a header of `length` bytes, whose second word ends in the
/// session's id.
fn erspan(data: &[u8], at: usize, length: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let session = word(data, at.saturating_add(2))? & 0x03ff;
    let overlay = with_id(overlay, Id::Erspan(session));
    ether::frame(data, at.saturating_add(length), overlay)
}

/// ERSPAN of type III: its last bits tell whether the mirrored thing is a frame, and whether eight bytes more follow.
fn erspan_3(data: &[u8], at: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let bits = word(data, at.saturating_add(10))?;
    let length = if bits & 1 != 0 { 20 } else { 12 };
    match (bits >> 10) & 0x1f {
        0 => erspan(data, at, length, overlay),
        2 => {
            let session = word(data, at.saturating_add(2))? & 0x03ff;
            let overlay = with_id(overlay, Id::Erspan(session));
            ip_by_version(data, at.saturating_add(length), overlay)
        }
        _ => Err(Skip::named("ERSPAN of another kind of frame")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(protocol: u8, payload: &[u8]) -> Network<'_> {
        Network {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            ip_id: Some(1),
            ttl: 64,
            protocol,
            payload,
            payload_len: payload.len(),
        }
    }

    fn inside(protocol: u8, payload: &[u8]) -> Result<Option<Stripped>, Skip> {
        enter(&network(protocol, payload), Overlay(0))
    }

    /// A UDP datagram to `port`.
    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xc0, 0];
        bytes.extend(port.to_be_bytes());
        bytes.extend((payload.len() as u16 + 8).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2; 12];
        bytes.extend(kind.to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    #[track_caller]
    fn assert_inside(protocol: u8, payload: &[u8], offset: usize) -> Overlay {
        let stripped = inside(protocol, payload).unwrap().unwrap();
        assert_eq!(stripped.offset, offset);
        stripped.overlay
    }

    #[test]
    fn ip_in_ip_has_no_id_and_no_other_payload() {
        assert_eq!(assert_inside(4, &[0x45], 0), Overlay(0));
        assert_eq!(assert_inside(41, &[0x60], 0), Overlay(0));
        assert!(inside(4, &[0x15]).is_err());
        assert_eq!(inside(6, &[0x45; 60]), Ok(None));
    }

    #[test]
    fn gre_with_every_field() {
        assert_eq!(assert_inside(47, &[0, 0, 8, 0, 0x45], 4), Overlay(0));
        let key = [0x20, 0, 8, 0, 0, 0, 0, 7, 0x45];
        let all = [
            0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0x60,
        ];
        assert_eq!(assert_inside(47, &key, 8), assert_inside(47, &all, 16));
        assert_ne!(assert_inside(47, &key, 8), Overlay(0));
        let bridged = [&[0, 0, 0x65, 0x58][..], &ethernet(0x0800, &[0x45])].concat();
        assert_inside(47, &bridged, 18);
        let pptp = [
            0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x21, 0x45,
        ];
        assert_inside(47, &pptp, 17);
        assert_eq!(
            inside(47, &[0x40, 0, 8, 0]),
            Err(Skip::named("GRE with source routes"))
        );
        assert_eq!(inside(47, &key[..7]), Err(Skip::Cut));
    }

    #[test]
    fn mirrors_of_all_three_types() {
        let frame = ethernet(0x0800, &[0x45]);
        let one = [&[0, 0, 0x88, 0xbe][..], &frame].concat();
        assert_inside(47, &one, 18);
        let head = [
            0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0x08, 9, 0, 0, 0, 0,
        ];
        let two = assert_inside(47, &[&head[..], &frame].concat(), 30);
        let mut head = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0x08, 9];
        head.extend([0, 0, 0, 0, 0, 0, 0, 0]);
        let three = assert_inside(47, &[&head[..], &frame].concat(), 34);
        assert_eq!(two, three);
        head[19] = 1;
        head.extend([0; 8]);
        assert_inside(47, &[&head[..], &frame].concat(), 42);
    }

    #[test]
    fn vxlan_on_both_ports_by_its_network() {
        let vxlan = |id: u8| [&[8, 0, 0, 0, 0, 0, id, 0][..], &ethernet(0x0800, &[0x45])].concat();
        let one = assert_inside(17, &udp(4789, &vxlan(1)), 30);
        assert_eq!(one, assert_inside(17, &udp(8472, &vxlan(1)), 30));
        assert_ne!(one, assert_inside(17, &udp(4789, &vxlan(2)), 30));
        let arp = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0806, &[0; 28])].concat();
        let place = Stripped {
            offset: 30,
            overlay: with_id(Overlay(0), Id::Vxlan(1)),
        };
        assert_eq!(inside(17, &udp(4789, &arp)), Err(Skip::Arp(place)));
    }

    #[test]
    fn geneve_with_options() {
        let head = [2, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 1, 4, 5, 6, 7];
        let frame = [&head[..], &ethernet(0x86dd, &[0x60])].concat();
        let framed = assert_inside(17, &udp(6081, &frame), 38);
        let ip = [0, 0, 8, 0, 0, 0, 9, 0, 0x45];
        assert_eq!(assert_inside(17, &udp(6081, &ip), 16), framed);
    }

    #[test]
    fn packets_of_gtp_with_and_without_extensions() {
        let plain = [0x30, 255, 0, 9, 1, 2, 3, 4, 0x45];
        assert_eq!(assert_inside(17, &udp(2152, &plain), 16), Overlay(0));
        let five_g = [0x34, 255, 0, 9, 1, 2, 3, 4, 0, 0, 0, 0x85, 1, 0, 9, 0, 0x60];
        assert_inside(17, &udp(2152, &five_g), 24);
        let echo = [0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(inside(17, &udp(2152, &echo)), Ok(None));
    }

    #[test]
    fn what_only_uses_the_port_stays_a_datagram() {
        // A DNS question from a port of chance to another.
        let question = [
            0x08, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w', 0,
        ];
        for port in [4789, 8472, 6081, 2152, 53] {
            assert_eq!(inside(17, &udp(port, &question)), Ok(None), "{port}");
            assert_eq!(inside(17, &udp(port, &[])), Ok(None));
        }
        let wrong = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &[0x15])].concat();
        assert_eq!(inside(17, &udp(4789, &wrong)), Ok(None));
    }

    #[test]
    fn a_tunnel_that_the_capture_cut_is_cut() {
        let bytes = udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0, 2, 2, 2]);
        let mut network = network(17, &bytes);
        network.payload_len = 400;
        assert_eq!(enter(&network, Overlay(0)), Err(Skip::Cut));
    }
}
