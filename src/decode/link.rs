//! The link layer. In: a link type and a frame. Out: where the IP header starts, and the overlay.
//!
//! The rule: what is not IP is named, so that a report can say what was passed over. What follows an EtherType is in
//! `ether.rs`, radio is in `wireless.rs`, and what travels inside IP is in `tunnel.rs`.

use crate::decode::ether::{self, ip_by_version, word};
use crate::decode::layer::{Skip, Stripped};
use crate::decode::wireless;
use crate::flow::Overlay;
use crate::frame::LinkType;

/// ARPHRD_ numbers of devices whose cooked frames go on with a header of their own (linux/if_arp.h).
const ARPHRD_IEEE80211: u16 = 801;
const ARPHRD_IEEE80211_PRISM: u16 = 802;
const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;

/// Takes the link layer off a frame.
///
/// # Errors
/// A [`Skip`] for frames without IP, of unknown link types, and for those that are cut before the IP header.
pub(super) fn strip(link: LinkType, data: &[u8]) -> Result<Stripped, Skip> {
    match plain(link, data) {
        Some(stripped) => Ok(stripped),
        None => strip_any(link, data),
    }
}

/// What nearly every frame is: IP right behind the header of Ethernet, or behind a cooked one of a device without a header
/// of its own.
fn plain(link: LinkType, data: &[u8]) -> Option<Stripped> {
    let (kind, device, length) = match link {
        LinkType::ETHERNET => {
            let [.., k0, k1] = *data.first_chunk::<14>()?;
            ([k0, k1], 0, 14)
        }
        LinkType::LINUX_SLL => {
            let [_, _, d0, d1, .., k0, k1] = *data.first_chunk::<16>()?;
            ([k0, k1], u16::from_be_bytes([d0, d1]), 16)
        }
        LinkType::LINUX_SLL2 => {
            let [k0, k1, _, _, _, _, _, _, d0, d1, ..] = *data.first_chunk::<20>()?;
            ([k0, k1], u16::from_be_bytes([d0, d1]), 20)
        }
        _ => return None,
    };
    let is_ip = matches!(kind, [0x08, 0x00] | [0x86, 0xdd]);
    let headed = matches!(
        device,
        ARPHRD_IEEE80211..=ARPHRD_IEEE80211_RADIOTAP | ARPHRD_NETLINK
    );
    (is_ip && !headed).then_some(Stripped::plain(length))
}

/// Takes any link layer off.
fn strip_any(link: LinkType, data: &[u8]) -> Result<Stripped, Skip> {
    let none = Overlay::default();
    match link {
        LinkType::ETHERNET => ether::frame(data, 0, none),
        LinkType::LINUX_SLL => cooked(data, 14, 2, 16),
        LinkType::LINUX_SLL2 => cooked(data, 0, 8, 20),
        LinkType::NULL | LinkType::LOOP => loopback(data, 0, 4),
        // 12 and 14 are what BSDs called raw IP; some tools write them into files.
        LinkType::RAW | LinkType(12 | 14) | LinkType::IPV4 | LinkType::IPV6 => {
            Ok(Stripped::plain(0))
        }
        // PPP of several systems; each may start with the address and the control byte of HDLC.
        LinkType(9 | 50 | 166) => ether::ppp(data, 0, none),
        LinkType(51) => ether::pppoe(data, 0, none),
        // Cisco HDLC: address, control, EtherType.
        LinkType(104) => ether::typed(word(data, 2)?, data, 4, none),
        LinkType(105) => wireless::frame(data, 0, wireless::Radio::default()),
        // OpenBSD's enc: family, index of the association, flags.
        LinkType(109) => loopback(data, 0, 12),
        LinkType(119) => wireless::prism(data, 0),
        LinkType(127) => wireless::radiotap(data, 0),
        // Apple's IP over IEEE 1394: two addresses of eight bytes, EtherType.
        LinkType(138) => ether::typed(word(data, 16)?, data, 18, none),
        LinkType(219) => ether::mpls(data, 0, none),
        LinkType(number) => Err(unknown(number)),
    }
}

/// A Linux cooked header of `length` bytes with its protocol and its ARPHRD_ number at these places. What was captured on
/// `any` shows the tagged and the untagged copy of a frame; tags give no overlay here, so that both belong to one flow.
fn cooked(data: &[u8], protocol: usize, device: usize, length: usize) -> Result<Stripped, Skip> {
    let (kind, device) = (word(data, protocol)?, word(data, device)?);
    let none = Overlay::default();
    let stripped = match (device, kind) {
        (ARPHRD_NETLINK, _) => Err(Skip::named("netlink messages")),
        (ARPHRD_IEEE80211, _) => wireless::frame(data, length, wireless::Radio::default()),
        (ARPHRD_IEEE80211_PRISM, _) => wireless::prism(data, length),
        (ARPHRD_IEEE80211_RADIOTAP, _) => wireless::radiotap(data, length),
        // Devices without a link layer (tun, ppp, sit) of old kernels name no protocol: the version tells.
        (_, 0) => ip_by_version(data, length, none),
        // What Linux calls "802.2 LLC follows" (ETH_P_802_2).
        (_, 0x0004) => ether::llc(data, length, none),
        // For every other device, GRE included, the protocol is the EtherType of what follows.
        (_, kind) => ether::typed(kind, data, length, none),
    };
    match stripped {
        Ok(stripped) => Ok(Stripped::plain(stripped.offset)),
        Err(Skip::Arp(stripped)) => Err(Skip::Arp(Stripped::plain(stripped.offset))),
        Err(skip) => Err(skip),
    }
}

/// BSD loopback: an address family in the byte order of the machine that captured (or of the network), where IPv6 is
/// 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS and 10 on Linux.
fn loopback(data: &[u8], field: usize, length: usize) -> Result<Stripped, Skip> {
    let family = data.get(field..).and_then(<[u8]>::first_chunk::<4>);
    let family = *family.ok_or(Skip::Cut)?;
    let little = u32::from_le_bytes(family);
    // Families are small numbers, so the order that gives one is the right one.
    let family = little.min(u32::from_be_bytes(family));
    match family {
        2 | 10 | 24 | 28 | 30 => Ok(Stripped::plain(length)),
        other => Err(Skip::Named(
            format!("loopback address family {other}").into(),
        )),
    }
}

/// A link type that no decoder reads, by its name where that helps (tcpdump.org/linktypes.html).
fn unknown(number: u32) -> Skip {
    let name = match number {
        6 => "token ring",
        8 => "SLIP",
        10 => "FDDI",
        107 => "frame relay",
        117 => "OpenBSD pflog",
        143 => "DOCSIS",
        147..=162 => "for private use",
        163 => "IEEE 802.11 with AVS header",
        187 | 201 | 251 | 254 | 272 => "Bluetooth",
        189 | 220 | 249 | 288 | 292..=295 => "USB",
        192 => "PPI",
        195 | 215 | 230 | 283 => "IEEE 802.15.4",
        190 | 227 => "CAN",
        224 => "Fibre Channel",
        247 => "InfiniBand",
        253 => "netlink",
        271 => "vsock",
        _ => return Skip::Named(format!("link type {number}").into()),
    };
    Skip::Named(format!("link type {number} ({name})").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(link: LinkType, data: &[u8]) -> String {
        match strip(link, data) {
            Err(Skip::Named(name)) => name.into_owned(),
            other => format!("{other:?}"),
        }
    }

    /// A cooked header of either version: protocol and ARPHRD_ number.
    fn sll(version: u8, kind: u16, device: u16) -> (LinkType, Vec<u8>) {
        let mut bytes = vec![0; if version == 1 { 16 } else { 20 }];
        let (at, device_at) = if version == 1 { (14, 2) } else { (0, 8) };
        bytes[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        bytes[device_at..device_at + 2].copy_from_slice(&device.to_be_bytes());
        let link = [LinkType::LINUX_SLL, LinkType::LINUX_SLL2][usize::from(version) - 1];
        (link, bytes)
    }

    #[test]
    fn cooked_headers_of_both_versions_and_every_device() {
        for version in [1, 2] {
            // Ethernet, loopback, ppp, tun, IP tunnel, sit, GRE, GRE over IPv6.
            for device in [1, 772, 512, 65534, 768, 776, 778, 823] {
                for kind in [0x0800, 0x86dd] {
                    let (link, bytes) = sll(version, kind, device);
                    assert_eq!(strip(link, &bytes).unwrap(), Stripped::plain(bytes.len()));
                }
            }
            let (link, mut tagged) = sll(version, 0x8100, 1);
            tagged.extend([0, 100, 0x86, 0xdd]);
            assert_eq!(strip(link, &tagged).unwrap(), Stripped::plain(tagged.len()));
            let (link, mut tun) = sll(version, 0, 65534);
            let length = tun.len();
            tun.push(0x45);
            assert_eq!(strip(link, &tun).unwrap(), Stripped::plain(length));
            let (link, arp) = sll(version, 0x0806, 1);
            let place = Stripped::plain(arp.len());
            assert_eq!(strip(link, &arp), Err(Skip::Arp(place)));
            let (link, netlink) = sll(version, 0x0000, 824);
            assert_eq!(name(link, &netlink), "netlink messages");
            assert_eq!(strip(link, &arp[..9]), Err(Skip::Cut));
        }
    }

    #[test]
    fn plain_headers_read_as_any_other() {
        for device in [1, 772, 801, 802, 803, 824] {
            for kind in [0x0800, 0x86dd, 0x0806, 0x8100, 0] {
                for (link, mut bytes) in [sll(1, kind, device), sll(2, kind, device)] {
                    bytes.extend([0x45, 0, 0, 20]);
                    for len in 0..=bytes.len() {
                        let cut = &bytes[..len];
                        assert_eq!(strip(link, cut), strip_any(link, cut));
                    }
                }
                let [high, low] = kind.to_be_bytes();
                let frame = [&[2; 12][..], &[high, low, 0x45, 0]].concat();
                for len in 0..=frame.len() {
                    let (link, cut) = (LinkType::ETHERNET, &frame[..len]);
                    assert_eq!(strip(link, cut), strip_any(link, cut));
                }
            }
        }
    }

    #[test]
    fn loopback_of_either_byte_order() {
        for family in [2_u32, 24, 28, 30, 10] {
            for link in [LinkType::NULL, LinkType::LOOP] {
                assert_eq!(strip(link, &family.to_le_bytes()), Ok(Stripped::plain(4)));
                assert_eq!(strip(link, &family.to_be_bytes()), Ok(Stripped::plain(4)));
            }
        }
        assert_eq!(
            name(LinkType::NULL, &[7, 0, 0, 0]),
            "loopback address family 7"
        );
    }

    #[test]
    fn serial_lines() {
        for link in [9, 50, 166] {
            for bytes in [
                &[0xff, 3, 0, 0x21, 0x45][..],
                &[0, 0x21, 0x45],
                &[0x21, 0x45],
            ] {
                let stripped = strip(LinkType(link), bytes).unwrap();
                assert_eq!(stripped, Stripped::plain(bytes.len() - 1), "{link}");
            }
        }
        assert_eq!(
            strip(LinkType(104), &[0x0f, 0, 8, 0, 0x45]),
            Ok(Stripped::plain(4))
        );
        assert_eq!(name(LinkType(9), &[0xff, 3, 0xc0, 0x21]), "PPP LCP");
        let session = [0x11, 0, 0, 9, 0, 3, 0, 0x57, 0x60];
        assert_eq!(strip(LinkType(51), &session).unwrap().offset, 8);
    }

    #[test]
    fn what_is_not_ip_has_a_name() {
        assert_eq!(name(LinkType(195), &[]), "link type 195 (IEEE 802.15.4)");
        assert_eq!(name(LinkType(9999), &[]), "link type 9999");
        for link in [
            LinkType::RAW,
            LinkType::IPV4,
            LinkType::IPV6,
            LinkType(12),
            LinkType(14),
        ] {
            assert_eq!(strip(link, &[]), Ok(Stripped::plain(0)));
        }
    }
}
