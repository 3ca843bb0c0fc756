//! How pcapng frames its blocks. In: a window of the file. Out: block types, lengths, and after damage the next place
//! where blocks look real.
//!
//! The rule: a block carries its length twice, and one that is believed has two equal lengths.

use crate::capture::pcap::{CAPTURED_HEADER_MAX, CAPTURED_MAX};
use crate::capture::window::{Order, Search, Window};

/// Block types (section 11.1 of the draft, and Wireshark's wiretap for those that it shows as frames).
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE: u32 = 1;
pub(super) const PACKET: u32 = 2;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const NAME_RESOLUTION: u32 = 4;
pub(super) const STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
pub(super) const JOURNAL_EXPORT: u32 = 9;
pub(super) const DECRYPTION_SECRETS: u32 = 10;
pub(super) const SYSDIG: u32 = 0x204;
pub(super) const SYSDIG_2: u32 = 0x216;
pub(super) const SYSDIG_2_LARGE: u32 = 0x221;
pub(super) const CUSTOM: u32 = 0x0000_0bad;
pub(super) const CUSTOM_NO_COPY: u32 = 0x4000_0bad;

/// What a section header says in its own byte order.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Bytes of the smallest block: type and both lengths.
pub(super) const BLOCK_MIN: usize = 12;

/// Bytes of the largest block: a frame of the largest size with its options. Secrets and names are split by writers
/// long before.
pub(super) const BLOCK_MAX: usize = CAPTURED_HEADER_MAX as usize + 64 * 1024;

/// Bytes of the largest block that is believed after damage: a frame of the usual largest size with options.
const BLOCK_AFTER_DAMAGE_MAX: usize = CAPTURED_MAX as usize + 64 * 1024;

/// Blocks in a row whose two lengths must agree before reading goes on there.
const CHAIN_MIN: usize = 2;

/// Type of the block at `at` and the byte order to read it with: a section header brings its own.
pub(super) fn kind_at(order: Order, window: Window<'_>, at: usize) -> Option<(u32, Order)> {
    let kind = order.u32(*window.chunk::<4>(at)?);
    if kind != SECTION_HEADER {
        return Some((kind, order));
    }
    window.chunk::<BLOCK_MIN>(at)?;
    Some((kind, section_order(window.bytes, at).unwrap_or(order)))
}

/// The next index from which blocks in a row have two lengths that agree.
pub(super) fn search(order: Order, window: Window<'_>, from: usize) -> Search {
    for start in from..window.bytes.len() {
        match chain(order, window, start) {
            Chain::Real => return Search::At(start),
            Chain::Broken => {}
            Chain::Needs(needed) => {
                return Search::More {
                    from: start,
                    needed,
                };
            }
        }
    }
    if window.at_end {
        Search::Nothing
    } else {
        Search::More {
            from: window.bytes.len(),
            needed: BLOCK_MIN,
        }
    }
}

fn chain(order: Order, window: Window<'_>, start: usize) -> Chain {
    let (mut at, mut order) = (start, order);
    for links in 0..CHAIN_MIN {
        // Where the input ends, one block is enough: the next is not there, or cut.
        let needs = |length: usize| match (window.at_end, links) {
            (true, 0) => Chain::Broken,
            (true, _) => Chain::Real,
            (false, _) => Chain::Needs(at.saturating_sub(start).saturating_add(length)),
        };
        let Some((kind, own_order)) = kind_at(order, window, at) else {
            return needs(BLOCK_MIN);
        };
        order = own_order;
        if !is_known(kind) {
            return Chain::Broken;
        }
        let length = match block_length(window, at, order, BLOCK_AFTER_DAMAGE_MAX) {
            Length::Bytes(length) => length,
            Length::Impossible(_) => return Chain::Broken,
            Length::NotHere => return needs(BLOCK_MIN),
        };
        let end = at.saturating_add(length);
        if end > window.bytes.len() {
            return needs(length);
        }
        if order.u32_at(window.bytes, end.saturating_sub(4)) != u32::try_from(length).ok() {
            return Chain::Broken;
        }
        at = end;
    }
    Chain::Real
}

/// Whether blocks from a place look real.
enum Chain {
    Real,
    Broken,
    /// So many bytes from the start are needed to tell.
    Needs(usize),
}

/// The first length of a block.
pub(super) enum Length {
    Bytes(usize),
    Impossible(u32),
    NotHere,
}

/// Reads the first length of the block at `at`; at most `max` bytes are possible.
pub(super) fn block_length(window: Window<'_>, at: usize, order: Order, max: usize) -> Length {
    let Some(claimed) = order.u32_at(window.bytes, at.saturating_add(4)) else {
        return Length::NotHere;
    };
    let length = claimed as usize;
    if (BLOCK_MIN..=max).contains(&length) && length.is_multiple_of(4) {
        Length::Bytes(length)
    } else {
        Length::Impossible(claimed)
    }
}

/// Byte order of the section whose header block starts at `at`, by its magic; `None` when that is wrong.
pub(super) fn section_order(bytes: &[u8], at: usize) -> Option<Order> {
    let [a, b, c, d, _, _, _, _, magic @ ..] = *bytes.get(at..)?.first_chunk::<BLOCK_MIN>()?;
    // The block type reads the same in either order.
    if u32::from_be_bytes([a, b, c, d]) != SECTION_HEADER {
        return None;
    }
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(magic) == BYTE_ORDER_MAGIC)
}

/// Block types that are believed after damage.
fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER
            | INTERFACE
            | PACKET
            | SIMPLE_PACKET
            | NAME_RESOLUTION
            | STATISTICS
            | ENHANCED_PACKET
            | JOURNAL_EXPORT
            | DECRYPTION_SECRETS
            | CUSTOM
            | CUSTOM_NO_COPY
    )
}
