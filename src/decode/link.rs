//! The link layer. In: a link type and a frame. Out: where the IP header starts, and the overlay.
//!
//! The rule: what is not IP is named, so that a report can say what was passed over. Left out: tunnels, MPLS, PPPoE.

use std::borrow::Cow;

use crate::flow::Overlay;
use crate::frame::LinkType;

/// Most VLAN tags that are taken off one frame: two are QinQ, and providers stack a third.
pub const VLAN_TAGS_MAX: usize = 4;

/// Where the IP header of a frame starts. Its own first four bits tell the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// Bytes before the IP header.
    pub offset: usize,
    /// The VLAN ids that the frame was tagged with.
    pub overlay: Overlay,
}

/// Why a frame has no IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It carries something else, or its link type is not known: the name for the report.
    Named(Cow<'static, str>),
    /// It was cut by the capture before the network protocol.
    Cut,
}

/// Takes the link layer off a frame.
///
/// # Errors
/// A [`Skip`] for frames without IP, of unknown link types, and for those that are cut before the IP header.
pub fn strip(link: LinkType, data: &[u8]) -> Result<Stripped, Skip> {
    match link {
        LinkType::ETHERNET => ethernet(data),
        // The protocol field means an EtherType for every device that carries IP, whatever its ARPHRD_ number.
        LinkType::LINUX_SLL => cooked(data, 14, 16),
        LinkType::LINUX_SLL2 => cooked(data, 0, 20),
        LinkType::NULL | LinkType::LOOP => loopback(data),
        // 12 and 14 are what BSDs called raw IP; some tools write them into files.
        LinkType::RAW | LinkType(12 | 14) | LinkType::IPV4 | LinkType::IPV6 => Ok(plain(0)),
        LinkType(number) => Err(Skip::Named(format!("link type {number}").into())),
    }
}

/// IEEE 802.3 with any VLAN tags (802.1Q, 802.1ad and what came before it).
fn ethernet(data: &[u8]) -> Result<Stripped, Skip> {
    tagged(data, 12, 14, Overlay::default())
}

/// A Linux cooked header of `length` bytes with its protocol at `field`. What was captured on `any` shows the tagged
/// and the untagged copy of a frame; tags give no overlay here, so that both belong to one flow.
fn cooked(data: &[u8], field: usize, length: usize) -> Result<Stripped, Skip> {
    tagged(data, field, length, Overlay::default()).map(|stripped| plain(stripped.offset))
}

/// Follows the EtherType at `field` through the tags that start at `next`.
fn tagged(data: &[u8], field: usize, next: usize, untagged: Overlay) -> Result<Stripped, Skip> {
    let (mut kind, mut offset, mut overlay) = (word(data, field)?, next, untagged);
    for _ in 0..=VLAN_TAGS_MAX {
        match kind {
            0x0800 | 0x86dd => return Ok(Stripped { offset, overlay }),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                overlay = with_vlan(overlay, word(data, offset)? & 0x0fff);
                kind = word(data, offset.saturating_add(2))?;
                offset = offset.saturating_add(4);
            }
            other => return Err(Skip::Named(ether_type_name(other))),
        }
    }
    Err(Skip::Named("VLAN tags nested too deep".into()))
}

/// Adds a VLAN id to an overlay: FNV-1a over the ids, outermost first. Id 0 is a mere priority tag (802.1Q), and the
/// frame belongs to the untagged network.
fn with_vlan(overlay: Overlay, id: u16) -> Overlay {
    if id == 0 {
        return overlay;
    }
    let seed = if overlay == Overlay::default() {
        0x811c_9dc5
    } else {
        overlay.0
    };
    let hash = id.to_be_bytes().iter().fold(seed, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    Overlay(hash.max(1))
}

/// BSD loopback: an address family in the byte order of the machine that captured (or of the network), where IPv6 is
/// 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS and 10 on Linux.
fn loopback(data: &[u8]) -> Result<Stripped, Skip> {
    let family = *data.first_chunk::<4>().ok_or(Skip::Cut)?;
    let little = u32::from_le_bytes(family);
    // Families are small numbers, so the order that gives one is the right one.
    let family = little.min(u32::from_be_bytes(family));
    match family {
        2 | 10 | 24 | 28 | 30 => Ok(plain(4)),
        other => Err(Skip::Named(
            format!("loopback address family {other}").into(),
        )),
    }
}

fn plain(offset: usize) -> Stripped {
    Stripped {
        offset,
        overlay: Overlay::default(),
    }
}

fn word(data: &[u8], at: usize) -> Result<u16, Skip> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk::<2>);
    bytes
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(Skip::Cut)
}

/// EtherTypes by name (IEEE registration authority); below 0x600 it is the length of an 802.2 frame.
fn ether_type_name(kind: u16) -> Cow<'static, str> {
    match kind {
        0x0000..=0x05ff => "802.2 LLC (spanning tree and the like)",
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x8809 => "LACP",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x9000 => "Ethernet loop test",
        other => return format!("EtherType 0x{other:04x}").into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(after_addresses: &[u8]) -> Vec<u8> {
        [&[0; 12], after_addresses].concat()
    }

    fn name(link: LinkType, data: &[u8]) -> String {
        match strip(link, data) {
            Err(Skip::Named(name)) => name.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn ethernet_with_and_without_tags() {
        let untagged = strip(LinkType::ETHERNET, &frame(&[8, 0])).unwrap();
        assert_eq!(untagged, plain(14));
        let vlan = strip(LinkType::ETHERNET, &frame(&[0x81, 0, 0, 7, 0x86, 0xdd])).unwrap();
        assert_eq!(vlan.offset, 18);
        assert_ne!(vlan.overlay, Overlay(0));
        let double = frame(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 8, 0]);
        let double = strip(LinkType::ETHERNET, &double).unwrap();
        assert_eq!(double.offset, 22);
        assert_ne!(double.overlay, vlan.overlay);
        let swapped = frame(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0]);
        assert_ne!(
            strip(LinkType::ETHERNET, &swapped).unwrap().overlay,
            double.overlay
        );
    }

    #[test]
    fn priority_bits_and_priority_tags_are_no_overlay() {
        let tagged = |tci: [u8; 2]| {
            strip(LinkType::ETHERNET, &frame(&[0x81, 0, tci[0], tci[1], 8, 0])).unwrap()
        };
        assert_eq!(tagged([0xe0, 7]).overlay, tagged([0, 7]).overlay);
        assert_eq!(tagged([0xe0, 0]).overlay, Overlay(0));
    }

    #[test]
    fn tags_without_end_are_given_up() {
        let deep = frame(&[0x81, 0, 0, 1].repeat(10));
        assert_eq!(name(LinkType::ETHERNET, &deep), "VLAN tags nested too deep");
    }

    #[test]
    fn cooked_headers_of_both_versions() {
        let mut one = [0; 16];
        one[14] = 8;
        assert_eq!(strip(LinkType::LINUX_SLL, &one).unwrap(), plain(16));
        let mut two = [0; 24];
        [two[0], two[1]] = [0x81, 0];
        two[21] = 100;
        [two[22], two[23]] = [0x86, 0xdd];
        assert_eq!(strip(LinkType::LINUX_SLL2, &two).unwrap(), plain(24));
        assert_eq!(name(LinkType::LINUX_SLL2, &[8, 6, 0, 0]), "ARP");
    }

    #[test]
    fn loopback_of_either_byte_order() {
        for family in [2_u32, 24, 28, 30, 10] {
            assert_eq!(
                strip(LinkType::NULL, &family.to_le_bytes()).unwrap(),
                plain(4)
            );
            assert_eq!(
                strip(LinkType::LOOP, &family.to_be_bytes()).unwrap(),
                plain(4)
            );
        }
        assert_eq!(
            name(LinkType::NULL, &[7, 0, 0, 0]),
            "loopback address family 7"
        );
    }

    #[test]
    fn what_is_not_ip_has_a_name() {
        assert_eq!(name(LinkType::ETHERNET, &frame(&[0x08, 0x06])), "ARP");
        assert_eq!(
            name(LinkType::ETHERNET, &frame(&[0, 38])),
            "802.2 LLC (spanning tree and the like)"
        );
        assert_eq!(
            name(LinkType::ETHERNET, &frame(&[0xab, 0xcd])),
            "EtherType 0xabcd"
        );
        assert_eq!(name(LinkType(195), &[]), "link type 195");
        assert_eq!(strip(LinkType::ETHERNET, &[0; 13]), Err(Skip::Cut));
        for link in [
            LinkType::RAW,
            LinkType::IPV4,
            LinkType::IPV6,
            LinkType(12),
            LinkType(14),
        ] {
            assert_eq!(strip(link, &[]), Ok(plain(0)));
        }
    }
}
