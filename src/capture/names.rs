//! Names of addresses that a capture brings along. In: the bodies of pcapng name resolution blocks. Out: one name for
//! each address.
//!
//! The rule: nobody is asked for a name; the file says it or there is none. The first name of an address is kept. Names
//! come from the file's writer, so whoever shows one escapes it. Left out: names of link-layer addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::capture::window::Order;

/// Most addresses whose names are kept: a capture of a cluster names its hosts, and no report shows more.
pub const NAMES_MAX: usize = 4096;

/// Most bytes of a name: what DNS allows (RFC 1035, section 2.3.4), without the last dot.
pub const NAME_BYTES_MAX: usize = 253;

/// Record types (section 4.5 of the pcapng draft).
const RECORD_END: u16 = 0;
const RECORD_IPV4: u16 = 1;
const RECORD_IPV6: u16 = 2;

/// Names of addresses.
pub type Names = BTreeMap<IpAddr, String>;

/// Adds the names of a block's body; gives how many were not kept, or `None` when a record is cut.
pub(super) fn read(order: Order, mut body: &[u8], names: &mut Names) -> Option<u64> {
    let mut not_kept = 0_u64;
    while !body.is_empty() {
        let kind = order.u16_at(body, 0)?;
        if kind == RECORD_END {
            break;
        }
        let length = usize::from(order.u16_at(body, 2)?);
        let value = body.get(4..length.saturating_add(4))?;
        if let Some((addr, name)) = record(kind, value) {
            if names.len() >= NAMES_MAX && !names.contains_key(&addr) {
                not_kept = not_kept.saturating_add(1);
            } else {
                names.entry(addr).or_insert(name);
            }
        }
        let padded = length.next_multiple_of(4).saturating_add(4);
        body = body.get(padded..).unwrap_or_default();
    }
    Some(not_kept)
}

/// An address and the first of its names, which end with a zero byte each.
fn record(kind: u16, value: &[u8]) -> Option<(IpAddr, String)> {
    let (addr, names) = match kind {
        RECORD_IPV4 => {
            let (addr, names) = value.split_first_chunk::<4>()?;
            (IpAddr::from(*addr), names)
        }
        RECORD_IPV6 => {
            let (addr, names) = value.split_first_chunk::<16>()?;
            (IpAddr::from(*addr), names)
        }
        _ => return None,
    };
    let name = names.split(|byte| *byte == 0).next()?;
    let usable = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    usable.then(|| (addr, String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::samples::{w16, w32};

    fn add(order: Order, body: &mut Vec<u8>, kind: u16, value: &[u8]) {
        body.extend(w16(order, kind));
        body.extend(w16(order, value.len() as u16));
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    #[test]
    fn names_of_both_versions_and_byte_orders() {
        for order in [Order::Little, Order::Big] {
            let mut body = Vec::new();
            add(order, &mut body, 1, b"\x0a\0\0\x01gateway\0alias\0");
            add(order, &mut body, 3, b"\x02\0\0\0\0\x01card\0");
            let six = [&[0; 15][..], &[1], b"localhost\0"].concat();
            add(order, &mut body, 2, &six);
            add(order, &mut body, 1, b"\x0a\0\0\x01later\0");
            add(order, &mut body, 0, b"");
            body.extend(b"options are not read");
            let mut names = Names::new();
            assert_eq!(read(order, &body, &mut names), Some(0));
            let seen: Vec<String> = names.iter().map(|(a, n)| format!("{a} {n}")).collect();
            assert_eq!(seen, ["10.0.0.1 gateway", "::1 localhost"]);
        }
    }

    #[test]
    fn what_is_too_much_is_counted_and_what_is_cut_is_told() {
        let mut body = Vec::new();
        for number in 0..NAMES_MAX as u32 + 3 {
            let value = [&w32(Order::Big, number)[..], b"x\0"].concat();
            add(Order::Little, &mut body, 1, &value);
        }
        let mut names = Names::new();
        assert_eq!(read(Order::Little, &body, &mut names), Some(3));
        assert_eq!(names.len(), NAMES_MAX);
        assert_eq!(read(Order::Little, &body[..9], &mut names), None);
        let long = [&[1, 2, 3, 4][..], &[b'x'; 300], &[0]].concat();
        assert_eq!(record(RECORD_IPV4, &long), None);
        assert_eq!(record(RECORD_IPV4, &[1, 2]), None);
    }
}
