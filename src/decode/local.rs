//! Addresses of the capturing machine. In: a frame of a Linux cooked capture. Out: whether the machine sent it.
//!
//! The rule: only the cooked headers say so (packet type 4, "outgoing", of the LINKTYPE_LINUX_SLL and
//! LINKTYPE_LINUX_SLL2 pages); elsewhere nothing is claimed.

use crate::frame::{Frame, LinkType};

/// Packet type of a frame that the capturing machine sent itself.
const OUTGOING: u8 = 4;

/// Whether the capturing machine sent this frame, as far as the link layer says.
#[must_use]
pub fn is_outgoing(frame: &Frame<'_>) -> bool {
    let kind = match frame.link {
        // Two bytes, network order: the type is the second.
        LinkType::LINUX_SLL => frame.data.get(1),
        LinkType::LINUX_SLL2 => frame.data.get(10),
        _ => None,
    };
    kind == Some(&OUTGOING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Mark;

    fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
        Frame {
            data,
            original_len: data.len() as u32,
            mark: Mark::default(),
            link,
        }
    }

    #[test]
    fn only_type_four_of_a_cooked_header_is_outgoing() {
        let mut sll2 = [0_u8; 20];
        assert!(!is_outgoing(&frame(LinkType::LINUX_SLL2, &sll2)));
        sll2[10] = 4;
        assert!(is_outgoing(&frame(LinkType::LINUX_SLL2, &sll2)));
        assert!(!is_outgoing(&frame(LinkType::ETHERNET, &sll2)));
        assert!(is_outgoing(&frame(LinkType::LINUX_SLL, &[0, 4, 0, 1])));
        assert!(!is_outgoing(&frame(LinkType::LINUX_SLL, &[0])));
    }
}
