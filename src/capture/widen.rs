//! What a live capture sees beside what the user's filter asks for. In: the filter. Out: a filter that also lets pass what
//! diagnosis cannot do without.
//!
//! The rule: nothing but that: how connections begin and end, errors by ICMP, names, fragments and neighbours, and the
//! upstreams that are followed. What was added is told. libpcap cannot look behind VLAN tags on cooked captures and on
//! raw links: there tagged frames pass only when the user's own words let them.

use crate::capture::follow::FOLLOWED_MAX;
use crate::flow::Endpoint;
use crate::frame::LinkType;

/// What is added, in the order in which the kernel asks: first what is most frequent.
const NEEDS: &[(&str, &str)] = &[
    (
        "TCP segments with SYN, FIN or RST",
        "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0",
    ),
    // Extension headers before TCP hide its flags from a filter: a named limit.
    ("the same in IPv6", "ip6 proto 6 and ip6[53] & 7 != 0"),
    // Unreachable, time exceeded, parameter problem (RFC 792).
    (
        "ICMP errors",
        "icmp[icmptype] == 3 or icmp[icmptype] == 11 or icmp[icmptype] == 12",
    ),
    // Errors are 1 to 4 (RFC 4443), neighbour solicitation and advertisement 135 and 136 (RFC 4861).
    (
        "ICMPv6 errors and neighbour discovery",
        "ip6 proto 58 and (ip6[40] <= 4 or ip6[40] == 135 or ip6[40] == 136)",
    ),
    ("DNS", "port 53"),
    ("fragments", "ip[6:2] & 0x3fff != 0 or ip6 proto 44"),
    ("ARP", "arp"),
];

/// The words for what is added, for a notice.
#[must_use]
pub fn added() -> String {
    let names: Vec<&str> = NEEDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The user's filter, widened by what diagnosis needs on a link of this type, and by the segments of the upstreams that are
/// followed, at most [`FOLLOWED_MAX`].
#[must_use]
pub fn widened<'e>(
    user: &str,
    link: LinkType,
    followed: impl Iterator<Item = &'e Endpoint>,
) -> String {
    let mut terms = vec![format!("({user})")];
    terms.extend(NEEDS.iter().map(|(_, term)| format!("({term})")));
    terms.extend(
        followed
            .take(FOLLOWED_MAX)
            .map(|end| format!("(tcp and host {} and port {})", end.addr, end.port)),
    );
    let plain = terms.join(" or ");
    if link == LinkType::ETHERNET {
        // `vlan` moves all that follows it by the tag: so it comes last.
        return format!("{plain} or (vlan and ({plain}))");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::filter::{Filter, Verdict};

    const USER: &str = "port 80 or 443";

    fn end(addr: &str, port: u16) -> Endpoint {
        let addr = addr.parse().unwrap();
        Endpoint { addr, port }
    }

    fn passes(link: LinkType, followed: &[Endpoint], frame: &[u8]) -> bool {
        let expression = widened(USER, link, followed.iter());
        let mut filter = Filter::new(&expression).unwrap();
        filter.judge(link, frame).unwrap() == Verdict::Pass
    }

    /// IPv4 10.0.0.1:40000 to 10.0.0.2:8080, TCP with these flags, no payload (RFC 791, RFC 9293).
    fn segment(flags: u8) -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend_from_slice(&[0x9c, 0x40, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 1]);
        packet.extend_from_slice(&[0x50, flags, 1, 0, 0, 0, 0, 0]);
        packet
    }

    /// The same in IPv6 (RFC 8200).
    fn segment6(flags: u8) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        packet.extend_from_slice(&[0; 32]);
        packet.extend_from_slice(&segment(flags)[20..]);
        packet
    }

    fn on_ethernet(tags: &[u8], kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], tags, &kind[..], packet].concat()
    }

    const VLAN_7: &[u8] = &[0x81, 0, 0, 7];
    const IPV4: [u8; 2] = [8, 0];
    const IPV6: [u8; 2] = [0x86, 0xdd];

    #[test]
    fn beginnings_and_ends_of_connections_pass_on_any_port() {
        for (flags, pass) in [
            (0x02, true),
            (0x11, true),
            (0x14, true),
            (0x18, false),
            (0x10, false),
        ] {
            assert_eq!(
                passes(LinkType::RAW, &[], &segment(flags)),
                pass,
                "{flags:#x}"
            );
            assert_eq!(
                passes(LinkType::RAW, &[], &segment6(flags)),
                pass,
                "{flags:#x}"
            );
            for tags in [&[][..], VLAN_7] {
                let frame = on_ethernet(tags, IPV4, &segment(flags));
                assert_eq!(passes(LinkType::ETHERNET, &[], &frame), pass, "{flags:#x}");
                let frame = on_ethernet(tags, IPV6, &segment6(flags));
                assert_eq!(passes(LinkType::ETHERNET, &[], &frame), pass, "{flags:#x}");
            }
        }
    }

    #[test]
    fn a_followed_upstream_passes_with_its_payload() {
        let upstream = end("10.0.0.2", 8_080);
        let other = end("10.0.0.2", 8_081);
        assert!(passes(LinkType::RAW, &[upstream], &segment(0x18)));
        assert!(!passes(LinkType::RAW, &[other], &segment(0x18)));
    }

    #[test]
    fn errors_names_fragments_and_neighbours_pass() {
        let icmp = |kind: u8| {
            let mut packet = segment(0)[..20].to_vec();
            packet[9] = 1;
            packet.extend_from_slice(&[kind, 1, 0, 0, 0, 0, 0, 0]);
            packet
        };
        assert!(passes(LinkType::RAW, &[], &icmp(3)));
        assert!(!passes(LinkType::RAW, &[], &icmp(8)));
        let mut fragment = segment(0x10);
        fragment[6] = 0x20;
        assert!(passes(LinkType::RAW, &[], &fragment));
        let arp = on_ethernet(&[], [8, 6], &[0; 28]);
        assert!(passes(LinkType::ETHERNET, &[], &arp));
    }

    #[test]
    fn it_compiles_for_every_link_that_interfaces_have_and_for_as_many_upstreams_as_are_followed() {
        let ends: Vec<Endpoint> = (1..=FOLLOWED_MAX)
            .map(|host| end(&format!("2001:db8::{host:x}"), 8_080))
            .collect();
        for link in [
            LinkType::ETHERNET,
            LinkType::LINUX_SLL2,
            LinkType::LINUX_SLL,
            LinkType::RAW,
        ] {
            let mut filter = Filter::new(&widened(USER, link, ends.iter())).unwrap();
            filter.prepare(link).unwrap();
        }
    }
}
