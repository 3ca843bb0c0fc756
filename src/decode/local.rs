//! Which way a frame went. In: a frame. Out: whether the capturing machine sent it, or got it from somebody else.
//!
//! The rule: a cooked header says so (the packet types of the LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2 pages), else the
//! flags of a pcapng packet; elsewhere nothing is claimed. On a loopback interface whatever comes in was sent by the machine.

use crate::frame::{Frame, LinkType, Way};

/// ARPHRD_LOOPBACK of linux/if_arp.h.
const LOOPBACK: [u8; 2] = 772_u16.to_be_bytes();

/// Which way the frame went through the interface of the capturing machine, as far as the link layer or the file says.
#[must_use]
pub fn way(frame: &Frame<'_>) -> Way {
    let (kind, device) = match frame.link {
        // Two bytes, network order: the type is the second.
        LinkType::LINUX_SLL => (frame.data.get(1), frame.data.get(2..4)),
        LinkType::LINUX_SLL2 => (frame.data.get(10), frame.data.get(8..10)),
        // A loopback interface that is captured as Ethernet has addresses of zeros.
        LinkType::ETHERNET if frame.data.first_chunk() == Some(&[0; 12]) => return Way::Unknown,
        _ => return frame.way,
    };
    match kind {
        // To this host, to all, to some, to another host.
        Some(0..=3) if device != Some(&LOOPBACK) => Way::Incoming,
        Some(4) => Way::Outgoing,
        _ => Way::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Mark;

    fn of(link: LinkType, data: &[u8], told: Way) -> Way {
        way(&Frame {
            data,
            original_len: data.len() as u32,
            mark: Mark::default(),
            link,
            way: told,
        })
    }

    #[test]
    fn cooked_headers_say_it_themselves() {
        let mut sll2 = [0_u8; 20];
        for (kind, device, expected) in [
            (0, 1, Way::Incoming),
            (3, 65_534, Way::Incoming),
            (4, 1, Way::Outgoing),
            (4, 772, Way::Outgoing),
            (0, 772, Way::Unknown),
            (5, 1, Way::Unknown),
        ] {
            sll2[8..10].copy_from_slice(&u16::to_be_bytes(device));
            sll2[10] = kind;
            let told = of(LinkType::LINUX_SLL2, &sll2, Way::Unknown);
            assert_eq!(told, expected, "{kind} {device}");
            let [high, low] = device.to_be_bytes();
            let sll = of(LinkType::LINUX_SLL, &[0, kind, high, low], Way::Unknown);
            assert_eq!(sll, expected, "{kind} {device}");
        }
        assert_eq!(of(LinkType::LINUX_SLL, &[0], Way::Outgoing), Way::Unknown);
    }

    #[test]
    fn elsewhere_the_file_says_it() {
        for told in [Way::Unknown, Way::Incoming, Way::Outgoing] {
            assert_eq!(of(LinkType::ETHERNET, &[2; 14], told), told);
            assert_eq!(of(LinkType::RAW, &[0x45], told), told);
            assert_eq!(of(LinkType::ETHERNET, &[0; 14], told), Way::Unknown);
        }
    }
}
