//! Replaces the kernel's filter of a running capture. In: the capture and an expression. Out: the new filter at work.
//!
//! The rule: at once. libpcap's own call lets nothing pass and empties its queue before it sets the new filter, and nobody
//! counts what is lost meanwhile; SO_ATTACH_FILTER (socket(7)) exchanges one program for another between two frames.
//! What the old one had let pass stays in the ring, which is what a wider filter wants.

use pcap::{Active, Capture};
use socket2::{SockFilter, SockRef};

use crate::frame::LinkType;

/// Instruction classes that load from the packet: `ld` and `ldx` (linux/bpf_common.h).
const LOADS: [u16; 2] = [0x00, 0x01];
/// Ways to load that name a place in the packet: absolute, relative to X, and the length of an IP header.
const PLACES: [u16; 3] = [0x20, 0x40, 0xa0];

/// Where the kernel keeps what cooked headers hold: offsets from `SKF_AD_OFF` of linux/filter.h.
const KERNEL_FACTS: u32 = 0xffff_f000;
const PROTOCOL: u32 = KERNEL_FACTS;
const PACKET_TYPE: u32 = KERNEL_FACTS + 4;
const INTERFACE: u32 = KERNEL_FACTS + 8;
const HARDWARE_TYPE: u32 = KERNEL_FACTS + 28;

/// One instruction, as `tcpdump -ddd` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

/// Exchanges the filter of `capture`, without a moment in which nothing passes.
///
/// # Errors
/// Why not: the expression does not compile, looks at what the kernel does not keep, or the kernel refuses. The filter of
/// before is then still at work.
pub fn replace(capture: &Capture<Active>, link: LinkType, expression: &str) -> Result<(), String> {
    let program = capture
        .compile(expression, true)
        .map_err(|error| error.to_string())?;
    let filters = program
        .get_instructions()
        .iter()
        .map(|it| {
            let instruction = parsed(&it.to_string()).ok_or("libpcap prints no instruction")?;
            let it = placed(instruction, link).ok_or("the kernel keeps no such field")?;
            Ok(SockFilter::new(
                it.code,
                it.jump_true,
                it.jump_false,
                it.value,
            ))
        })
        .collect::<Result<Vec<_>, String>>()?;
    SockRef::from(capture)
        .attach_filter(&filters)
        .map_err(|error| error.to_string())
}

fn parsed(line: &str) -> Option<Instruction> {
    let mut numbers = line.split_whitespace();
    let instruction = Instruction {
        code: numbers.next()?.parse().ok()?,
        jump_true: numbers.next()?.parse().ok()?,
        jump_false: numbers.next()?.parse().ok()?,
        value: numbers.next()?.parse().ok()?,
    };
    numbers.next().is_none().then_some(instruction)
}

/// The instruction as the kernel needs it: on a cooked capture its packet begins behind the header that libpcap makes up, whose
/// fields it keeps elsewhere. `None` for one that it does not keep.
fn placed(instruction: Instruction, link: LinkType) -> Option<Instruction> {
    let class = instruction.code & 0x07;
    let way = instruction.code & 0xe0;
    if !LOADS.contains(&class) || !PLACES.contains(&way) {
        return Some(instruction);
    }
    // Pseudo-header fields by their offsets (LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2).
    let (header, fields): (u32, &[(u32, u32)]) = match link {
        LinkType::LINUX_SLL => (16, &[(0, PACKET_TYPE), (2, HARDWARE_TYPE), (14, PROTOCOL)]),
        LinkType::LINUX_SLL2 => (
            20,
            &[
                (0, PROTOCOL),
                (4, INTERFACE),
                (8, HARDWARE_TYPE),
                (10, PACKET_TYPE),
            ],
        ),
        _ => return Some(instruction),
    };
    let at = instruction.value;
    let value = if at >= KERNEL_FACTS {
        at
    } else if at >= header {
        at - header
    } else {
        fields.iter().find(|(offset, _)| *offset == at)?.1
    };
    Some(Instruction {
        value,
        ..instruction
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libpcap 1.10 prints for `tcp port 80` on LINUX_SLL2 (tcpdump -y LINUX_SLL2 -ddd), in part.
    #[test]
    fn a_cooked_header_is_the_kernels_business() {
        for (line, on, value) in [
            ("40 0 0 0", LinkType::LINUX_SLL2, PROTOCOL),
            ("40 0 0 14", LinkType::LINUX_SLL, PROTOCOL),
            ("32 0 0 4", LinkType::LINUX_SLL2, INTERFACE),
            ("48 0 0 29", LinkType::LINUX_SLL2, 9),
            ("177 0 0 20", LinkType::LINUX_SLL2, 0),
            ("72 0 0 22", LinkType::LINUX_SLL2, 2),
            ("48 0 0 29", LinkType::ETHERNET, 29),
            // A comparison and a return name no place.
            ("21 0 8 2048", LinkType::LINUX_SLL2, 2_048),
            ("6 0 0 262144", LinkType::LINUX_SLL2, 262_144),
        ] {
            let placed = placed(parsed(line).unwrap(), on).unwrap();
            assert_eq!(placed.value, value, "{line}");
            assert_eq!(placed.code, parsed(line).unwrap().code);
        }
    }

    #[test]
    fn what_the_kernel_does_not_keep_is_refused() {
        let address = parsed("32 0 0 12").unwrap();
        assert_eq!(placed(address, LinkType::LINUX_SLL2), None);
        for line in ["", "40 0 0", "40 0 0 x", "40 0 0 0 0"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
