//! What follows an EtherType. In: bytes and a place in them. Out: where the IP header starts, and the overlay.
//!
//! The rule: tags, labels and sessions are taken off one after the other, at most [`TAGS_MAX`] of them; what cannot
//! be read because it is encrypted is called so.

use std::borrow::Cow;

use crate::decode::layer::{Id, Skip, Stripped, with_id};
use crate::flow::Overlay;

/// Most headers (VLAN tags, MACsec, PPPoE) between a frame and its IP packet: providers stack three tags.
pub(super) const TAGS_MAX: usize = 6;

/// Most MPLS labels of a frame: segment routing stacks more than two or three, no card more than this.
pub(super) const LABELS_MAX: usize = 16;

/// The EtherType of a whole Ethernet frame inside something else (RFC 1701: transparent Ethernet bridging).
pub(super) const BRIDGED: u16 = 0x6558;

/// IEEE 802.3 from `offset` on.
pub(super) fn frame(data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let kind = word(data, offset.saturating_add(12))?;
    typed(kind, data, offset.saturating_add(14), overlay)
}

/// What EtherType `kind` says is at `offset`.
pub(super) fn typed(
    mut kind: u16,
    data: &[u8],
    mut offset: usize,
    mut overlay: Overlay,
) -> Result<Stripped, Skip> {
    for _ in 0..=TAGS_MAX {
        match kind {
            0x0800 | 0x86dd => return Ok(Stripped { offset, overlay }),
            0x0806 => return Err(Skip::Arp(Stripped { offset, overlay })),
            // 802.1Q, 802.1ad and what came before it.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                overlay = with_id(overlay, Id::Vlan(word(data, offset)? & 0x0fff));
                kind = word(data, offset.saturating_add(2))?;
                offset = offset.saturating_add(4);
            }
            0x8847 | 0x8848 => return mpls(data, offset, overlay),
            0x8864 => return pppoe(data, offset, overlay),
            0x880b => return ppp(data, offset, overlay),
            0x88e5 => {
                offset = macsec(data, offset)?;
                kind = word(data, offset)?;
                offset = offset.saturating_add(2);
            }
            // A length: what 802.2 says follows.
            0x0000..=0x05ff => return llc(data, offset, overlay),
            other => return Err(Skip::Named(name(other))),
        }
    }
    Err(Skip::named("VLAN tags nested too deep"))
}

/// 802.2 with SNAP in front of an EtherType (RFC 1042); anything else of 802.2 carries no IP.
pub(super) fn llc(data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let header = data.get(offset..).and_then(<[u8]>::first_chunk::<8>);
    match header {
        Some([0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, high, low]) => {
            let kind = u16::from_be_bytes([*high, *low]);
            typed_once(kind, data, offset.saturating_add(8), overlay)
        }
        _ => Err(Skip::named("802.2 LLC (spanning tree and the like)")),
    }
}

/// IP after SNAP, without further tags: so no frame can nest headers without end.
fn typed_once(kind: u16, data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    match kind {
        0x0800 | 0x86dd => Ok(Stripped { offset, overlay }),
        0x0806 => Err(Skip::Arp(Stripped { offset, overlay })),
        0x8847 => mpls(data, offset, overlay),
        other => Err(Skip::Named(name(other))),
    }
}

/// PPP in the form of HDLC or without its first two bytes, its protocol in one byte or two (RFC 1661, section 6.5).
pub(super) fn ppp(data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let rest = data.get(offset..).unwrap_or_default();
    // Address and control; a driver writes the direction in place of the address (LINKTYPE_PPP_PPPD).
    let at = match rest {
        [0xff | 0 | 1, 3, ..] => offset.saturating_add(2),
        _ => offset,
    };
    let first = data.get(at).ok_or(Skip::Cut)?;
    // Protocols are odd, and the first byte of two is even.
    let (protocol, at) = if first & 1 == 1 {
        (u16::from(*first), at.saturating_add(1))
    } else {
        (word(data, at)?, at.saturating_add(2))
    };
    let name = match protocol {
        0x0021 | 0x0057 => {
            return Ok(Stripped {
                offset: at,
                overlay,
            });
        }
        0x0281 => return mpls(data, at, overlay),
        0x003d => "PPP multilink fragments",
        0x00fb | 0x00fd => "PPP, compressed or encrypted",
        0x0053 | 0x0055 => "PPP, encrypted",
        0x002d | 0x002f => "PPP with compressed TCP headers",
        0x8021 => "PPP IPCP",
        0x8057 => "PPP IPV6CP",
        0x80fd => "PPP CCP",
        0xc021 => "PPP LCP",
        0xc023 => "PPP PAP",
        0xc223 => "PPP CHAP",
        other => return Err(Skip::Named(format!("PPP protocol 0x{other:04x}").into())),
    };
    Err(Skip::named(name))
}

/// A PPPoE session (RFC 2516, section 4): version and type, code, session, length, PPP.
pub(super) fn pppoe(data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let header = data.get(offset..).and_then(<[u8]>::first_chunk::<6>);
    let [0x11, 0, a, b, _, _] = *header.ok_or(Skip::Cut)? else {
        return Err(Skip::named("PPPoE discovery"));
    };
    let overlay = with_id(overlay, Id::Pppoe(u16::from_be_bytes([a, b])));
    ppp(data, offset.saturating_add(6), overlay)
}

/// MPLS (RFC 3032): labels up to the one that is marked as the last, then IP or a pseudowire with Ethernet (RFC 4448).
/// Nothing says which; the version of IP, the control word and the EtherType inside do.
pub(super) fn mpls(data: &[u8], offset: usize, overlay: Overlay) -> Result<Stripped, Skip> {
    let mut at = offset;
    for _ in 0..LABELS_MAX {
        let label = data.get(at..).and_then(<[u8]>::first_chunk::<4>);
        let [_, _, third, _] = *label.ok_or(Skip::Cut)?;
        at = at.saturating_add(4);
        if third & 1 == 0 {
            continue;
        }
        if let Ok(stripped) = ip_by_version(data, at, overlay) {
            return Ok(stripped);
        }
        return [at.saturating_add(4), at]
            .into_iter()
            .find_map(|at| bridged(data, at, overlay))
            .ok_or(Skip::named("MPLS without IP"));
    }
    Err(Skip::named("MPLS labels nested too deep"))
}

/// An Ethernet frame that carries IP at once or after one VLAN tag.
fn bridged(data: &[u8], offset: usize, overlay: Overlay) -> Option<Stripped> {
    let mut at = offset.saturating_add(12);
    let mut overlay = overlay;
    if word(data, at) == Ok(0x8100) {
        let id = word(data, at.saturating_add(2)).ok()? & 0x0fff;
        overlay = with_id(overlay, Id::Vlan(id));
        at = at.saturating_add(4);
    }
    let kind = word(data, at).ok()?;
    let inner = ip_by_version(data, at.saturating_add(2), overlay).ok()?;
    let version = data.get(inner.offset)? >> 4;
    matches!((kind, version), (0x0800, 4) | (0x86dd, 6)).then_some(inner)
}

/// MACsec (IEEE 802.1AE, clause 9): where the EtherType of a frame that is protected but not encrypted stands.
fn macsec(data: &[u8], offset: usize) -> Result<usize, Skip> {
    let control = *data.get(offset).ok_or(Skip::Cut)?;
    // Bits E and C: encrypted, or changed in another way.
    if control & 0x0c != 0 {
        return Err(Skip::named("MACsec, encrypted"));
    }
    let channel = if control & 0x20 != 0 { 8 } else { 0 };
    Ok(offset.saturating_add(6).saturating_add(channel))
}

/// IP of whatever version the first four bits at `offset` tell.
pub(super) fn ip_by_version(
    data: &[u8],
    offset: usize,
    overlay: Overlay,
) -> Result<Stripped, Skip> {
    match data.get(offset).ok_or(Skip::Cut)? >> 4 {
        4 | 6 => Ok(Stripped { offset, overlay }),
        _ => Err(Skip::named("packets without EtherType")),
    }
}

/// The 16-bit word at `at`, in the network's order.
pub(super) fn word(data: &[u8], at: usize) -> Result<u16, Skip> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk::<2>);
    bytes
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(Skip::Cut)
}

/// EtherTypes by name (IEEE registration authority).
fn name(kind: u16) -> Cow<'static, str> {
    match kind {
        0x8035 => "RARP",
        0x8809 => "LACP",
        0x8863 => "PPPoE discovery",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        0x88f7 => "PTP",
        0x893a => "IEEE 1905.1",
        0x9000 => "Ethernet loop test",
        other => return format!("EtherType 0x{other:04x}").into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet(after_addresses: &[u8]) -> Result<Stripped, Skip> {
        frame(&[&[0; 12], after_addresses].concat(), 0, Overlay(0))
    }

    fn named(after_addresses: &[u8]) -> String {
        match ethernet(after_addresses) {
            Err(Skip::Named(name)) => name.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn ethernet_with_and_without_tags() {
        assert_eq!(ethernet(&[8, 0]), Ok(Stripped::plain(14)));
        let vlan = ethernet(&[0x81, 0, 0, 7, 0x86, 0xdd]).unwrap();
        assert_eq!(vlan.offset, 18);
        assert_ne!(vlan.overlay, Overlay(0));
        let double = ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 8, 0]).unwrap();
        assert_eq!(double.offset, 22);
        assert_ne!(double.overlay, vlan.overlay);
        let swapped = ethernet(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0]).unwrap();
        assert_ne!(swapped.overlay, double.overlay);
    }

    #[test]
    fn priority_bits_and_priority_tags_are_no_overlay() {
        let tagged = |tci: [u8; 2]| ethernet(&[0x81, 0, tci[0], tci[1], 8, 0]).unwrap();
        assert_eq!(tagged([0xe0, 7]).overlay, tagged([0, 7]).overlay);
        assert_eq!(tagged([0xe0, 0]).overlay, Overlay(0));
    }

    #[test]
    fn tags_and_labels_without_end_are_given_up() {
        let deep = [0x81, 0, 0, 1].repeat(10);
        assert_eq!(named(&deep), "VLAN tags nested too deep");
        let deep = [&[0x88, 0x47][..], &[0, 1, 0, 64].repeat(40)].concat();
        assert_eq!(named(&deep), "MPLS labels nested too deep");
    }

    #[test]
    fn labels_in_front_of_ip_and_of_pseudowires() {
        let labels = [0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64];
        let ip = [&labels[..], &[0x45]].concat();
        assert_eq!(ethernet(&ip), Ok(Stripped::plain(22)));
        let mut inner = vec![2; 12];
        inner.extend([8, 0, 0x45]);
        let word = [&labels[..], &[0; 4], &inner].concat();
        assert_eq!(ethernet(&word), Ok(Stripped::plain(40)));
        let no_word = [&labels[..], &inner].concat();
        assert_eq!(ethernet(&no_word), Ok(Stripped::plain(36)));
        assert_eq!(
            named(&[&labels[..], &[0x10; 30]].concat()),
            "MPLS without IP"
        );
        assert_eq!(ethernet(&labels[..7]), Err(Skip::Cut));
    }

    #[test]
    fn sessions_of_pppoe() {
        let session = ethernet(&[0x88, 0x64, 0x11, 0, 0, 5, 0, 22, 0, 0x21, 0x45]).unwrap();
        assert_eq!(session.offset, 22);
        assert_ne!(session.overlay, Overlay(0));
        assert_eq!(named(&[0x88, 0x63, 0x11, 9, 0, 0, 0, 4]), "PPPoE discovery");
        let lcp = [0x88, 0x64, 0x11, 0, 0, 5, 0, 22, 0xc0, 0x21];
        assert_eq!(named(&lcp), "PPP LCP");
    }

    #[test]
    fn macsec_in_clear_and_encrypted() {
        let clear = [
            0x88, 0xe5, 0x20, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0,
        ];
        assert_eq!(ethernet(&clear), Ok(Stripped::plain(30)));
        let short = [0x88, 0xe5, 0x00, 0, 0, 0, 0, 1, 0x86, 0xdd];
        assert_eq!(ethernet(&short), Ok(Stripped::plain(22)));
        assert_eq!(named(&[0x88, 0xe5, 0x2c, 0, 0]), "MACsec, encrypted");
    }

    #[test]
    fn snap_carries_ip_and_the_rest_of_802_2_has_a_name() {
        let snap = [0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        assert_eq!(ethernet(&snap), Ok(Stripped::plain(22)));
        assert_eq!(
            named(&[0, 38, 0x42, 0x42, 3]),
            "802.2 LLC (spanning tree and the like)"
        );
        let tagged = ethernet(&[0x81, 0, 0, 7, 8, 6]);
        let overlay = with_id(Overlay(0), Id::Vlan(7));
        let arp = Stripped {
            offset: 18,
            overlay,
        };
        assert_eq!(tagged, Err(Skip::Arp(arp)));
        assert_eq!(named(&[0xab, 0xcd]), "EtherType 0xabcd");
        assert_eq!(ethernet(&[8]), Err(Skip::Cut));
    }
}
