//! Address resolution on a link: ARP (RFC 826) and neighbour discovery (RFC 4861). In: a message. Out: who asked for
//! whose hardware address, or who told it.
//!
//! The rule: only what names two neighbours is told on. A sender without an address yet (a probe, RFC 5227) asks for
//! itself and means nobody else; it is named like every other message of these protocols. Hardware addresses are left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decode::layer::Skip;
use crate::decode::network::Network;
use crate::decode::segment::Step;

/// A message without the facts of the frame that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) speaker: IpAddr,
    pub(super) target: IpAddr,
    pub(super) step: Step,
    pub(super) listener: Option<IpAddr>,
}

/// Bytes of an ARP message before its addresses.
const ARP_HEADER: usize = 8;
/// Type, code, checksum, and four bytes of flags, before the target of a solicitation or an advertisement.
const TARGET_AT: usize = 8;
/// The hop limit that shows that no router passed the message on (RFC 4861, section 7.1).
const FROM_THE_LINK: u8 = 255;

/// Reads an ARP message about addresses of IPv4, over whatever hardware.
///
/// # Errors
/// A [`Skip`] for other messages, and for those that are cut before their last protocol address.
pub(super) fn arp(data: &[u8]) -> Result<Message, Skip> {
    let header = data.first_chunk::<ARP_HEADER>().ok_or(Skip::Cut)?;
    let [_, _, 0x08, 0x00, hardware, 4, o0, o1] = *header else {
        return Err(Skip::named("ARP"));
    };
    let hardware = usize::from(hardware);
    let address = |at: usize| {
        let bytes = data.get(at..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map(|bytes| Ipv4Addr::from(*bytes)).ok_or(Skip::Cut)
    };
    let sender_at = ARP_HEADER.saturating_add(hardware);
    let sender = address(sender_at)?;
    let other = address(sender_at.saturating_add(4).saturating_add(hardware))?;
    let (target, step) = match u16::from_be_bytes([o0, o1]) {
        // Who asks for itself tells that it is there (RFC 5227, section 3).
        1 if sender == other => (sender, Step::Tells),
        1 => (other, Step::Asks),
        2 => (sender, Step::Tells),
        _ => return Err(Skip::named("ARP")),
    };
    if sender.is_unspecified() {
        return Err(Skip::named("ARP"));
    }
    let to_one = step == Step::Tells && other != sender;
    Ok(Message {
        speaker: sender.into(),
        target: target.into(),
        step,
        listener: to_one.then_some(other.into()),
    })
}

/// Reads a neighbour solicitation or advertisement; `None` for any other message of ICMPv6.
///
/// # Errors
/// A [`Skip`] for one that names no two neighbours, or that is cut before its target.
pub(super) fn discovery(network: &Network<'_>) -> Option<Result<Message, Skip>> {
    let step = match network.payload.first()? {
        135 => Step::Asks,
        136 => Step::Tells,
        _ => return None,
    };
    let target = network.payload.get(TARGET_AT..);
    let Some(target) = target.and_then(<[u8]>::first_chunk::<16>) else {
        return Some(Err(Skip::Cut));
    };
    if network.ttl != FROM_THE_LINK || network.source.is_unspecified() {
        return Some(Err(Skip::named("ICMPv6 neighbour discovery")));
    }
    let to_one = step == Step::Tells && !network.destination.is_multicast();
    Some(Ok(Message {
        speaker: network.source,
        target: Ipv6Addr::from(*target).into(),
        step,
        listener: to_one.then_some(network.destination),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
        bytes.extend(sender);
        bytes.extend([0; 6]);
        bytes.extend(target);
        bytes
    }

    fn told(speaker: &str, target: &str, step: Step) -> Result<Message, Skip> {
        Ok(Message {
            speaker: speaker.parse().unwrap(),
            target: target.parse().unwrap(),
            step,
            listener: None,
        })
    }

    #[test]
    fn questions_answers_and_announcements_of_arp() {
        let (one, two) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let asks = message(1, one, two);
        assert_eq!(arp(&asks), told("10.0.0.1", "10.0.0.2", Step::Asks));
        let answer = arp(&message(2, two, one));
        let listener = Some("10.0.0.1".parse().unwrap());
        let told_to_one = told("10.0.0.2", "10.0.0.2", Step::Tells).map(|message| Message {
            listener,
            ..message
        });
        assert_eq!(answer, told_to_one);
        let announced = arp(&message(1, two, two));
        assert_eq!(announced, told("10.0.0.2", "10.0.0.2", Step::Tells));
        // Infiniband has hardware addresses of 20 bytes (RFC 4391).
        let mut wide = vec![0, 32, 8, 0, 20, 4, 0, 1];
        wide.extend([[7; 20].as_slice(), &one, &[0; 20], &two].concat());
        assert_eq!(arp(&wide), told("10.0.0.1", "10.0.0.2", Step::Asks));
        for end in 0..asks.len() {
            assert_eq!(arp(&asks[..end]), Err(Skip::Cut), "{end}");
        }
    }

    #[test]
    fn what_names_no_two_neighbours_is_named() {
        let probe = message(1, [0; 4], [10, 0, 0, 2]);
        assert_eq!(arp(&probe), Err(Skip::named("ARP")));
        let inverse = message(8, [10, 0, 0, 1], [10, 0, 0, 2]);
        assert_eq!(arp(&inverse), Err(Skip::named("ARP")));
        let mut other = message(1, [10, 0, 0, 1], [10, 0, 0, 2]);
        other[2] = 0x86;
        assert_eq!(arp(&other), Err(Skip::named("ARP")));
    }

    fn network<'a>(source: &str, ttl: u8, payload: &'a [u8]) -> Network<'a> {
        Network {
            source: source.parse().unwrap(),
            destination: "ff02::1:ff00:2".parse().unwrap(),
            ip_id: None,
            ttl,
            protocol: 58,
            payload,
            payload_len: payload.len(),
        }
    }

    #[test]
    fn solicitations_and_advertisements() {
        let mut bytes = vec![135, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        let asks = discovery(&network("fd00::1", 255, &bytes));
        assert_eq!(asks, Some(told("fd00::1", "fd00::2", Step::Asks)));
        let named = Some(Err(Skip::named("ICMPv6 neighbour discovery")));
        // Duplicate address detection, and a message that came through a router.
        assert_eq!(discovery(&network("::", 255, &bytes)), named);
        assert_eq!(discovery(&network("fd00::1", 64, &bytes)), named);
        let cut = discovery(&network("fd00::1", 255, &bytes[..23]));
        assert_eq!(cut, Some(Err(Skip::Cut)));
        bytes[0] = 136;
        let tells = discovery(&network("fd00::2", 255, &bytes));
        assert_eq!(tells, Some(told("fd00::2", "fd00::2", Step::Tells)));
        let mut to_one = network("fd00::2", 255, &bytes);
        to_one.destination = "fd00::1".parse().unwrap();
        let listener = discovery(&to_one).unwrap().unwrap().listener;
        assert_eq!(listener, Some("fd00::1".parse().unwrap()));
        bytes[0] = 134;
        assert_eq!(discovery(&network("fd00::2", 255, &bytes)), None);
    }
}
