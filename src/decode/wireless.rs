//! Radio: IEEE 802.11 with what a driver writes in front. In: a frame. Out: where the IP header of a data frame starts.
//!
//! The rule: what is encrypted is called so, because a reader would else look for a fault in the filter. Left out:
//! frames that hold several packets (A-MSDU), 802.11 fragments, and decryption.

use crate::decode::ether;
use crate::decode::layer::{Skip, Stripped};
use crate::flow::Overlay;

/// Most words of presence bits in a radiotap header: one for each antenna, and cards have four.
const PRESENCE_WORDS_MAX: usize = 16;

/// What the header of the driver says about the frame after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Radio {
    /// The header is padded to a multiple of four bytes.
    padded: bool,
}

/// radiotap.org: version, pad, length (little endian), presence words, fields in their order.
pub(super) fn radiotap(data: &[u8], offset: usize) -> Result<Stripped, Skip> {
    let rest = data.get(offset..).unwrap_or_default();
    let [version, _, a, b] = *rest.first_chunk::<4>().ok_or(Skip::Cut)?;
    if version != 0 {
        return Err(Skip::named("radiotap of an unknown version"));
    }
    let length = usize::from(u16::from_le_bytes([a, b]));
    let header = rest.get(..length).ok_or(Skip::Cut)?;
    let flags = radiotap_flags(header).unwrap_or(0);
    let radio = Radio {
        padded: flags & 0x20 != 0,
    };
    frame(data, offset.saturating_add(length), radio)
}

/// The flags field: second in order, after a timer of eight bytes that is aligned to eight.
fn radiotap_flags(header: &[u8]) -> Option<u8> {
    let present = |word: usize| -> Option<u32> {
        let at = word.saturating_mul(4).saturating_add(4);
        Some(u32::from_le_bytes(*header.get(at..)?.first_chunk::<4>()?))
    };
    let first = present(0)?;
    let mut words = 1_usize;
    while present(words.saturating_sub(1))? >> 31 == 1 {
        words = words.saturating_add(1);
        if words > PRESENCE_WORDS_MAX {
            return None;
        }
    }
    let fields = words.saturating_mul(4).saturating_add(4);
    let at = if first & 1 == 1 {
        fields.next_multiple_of(8).saturating_add(8)
    } else {
        fields
    };
    (first & 2 != 0).then(|| header.get(at).copied()).flatten()
}

/// The header of Prism cards: a code and the length of all of it, in the byte order of the machine.
pub(super) fn prism(data: &[u8], offset: usize) -> Result<Stripped, Skip> {
    let rest = data.get(offset..).unwrap_or_default();
    let [_, _, _, _, length @ ..] = *rest.first_chunk::<8>().ok_or(Skip::Cut)?;
    let length = u32::from_le_bytes(length).min(u32::from_be_bytes(length)) as usize;
    frame(data, offset.saturating_add(length), Radio::default())
}

/// A frame of IEEE 802.11 (clause 9.2.4), of which only data frames carry IP, behind LLC.
pub(super) fn frame(data: &[u8], offset: usize, radio: Radio) -> Result<Stripped, Skip> {
    let rest = data.get(offset..).unwrap_or_default();
    let [kind, flags] = *rest.first_chunk::<2>().ok_or(Skip::Cut)?;
    match kind & 0x0c {
        0x00 => return Err(Skip::named("IEEE 802.11 management")),
        0x04 => return Err(Skip::named("IEEE 802.11 control")),
        0x08 => {}
        _ => return Err(Skip::named("IEEE 802.11 extension")),
    }
    if kind & 0x40 != 0 {
        return Err(Skip::named("IEEE 802.11 data frames without data"));
    }
    if flags & 0x40 != 0 {
        return Err(Skip::named("IEEE 802.11 data, encrypted"));
    }
    let sequence = rest.get(22..).and_then(<[u8]>::first_chunk::<2>);
    let [fragment, _] = *sequence.ok_or(Skip::Cut)?;
    if flags & 0x04 != 0 || fragment & 0x0f != 0 {
        return Err(Skip::named("IEEE 802.11 fragments"));
    }
    // From one access point to another there is a fourth address.
    let mut length: usize = if flags & 0x03 == 0x03 { 30 } else { 24 };
    if kind & 0x80 != 0 {
        if rest.get(length).ok_or(Skip::Cut)? & 0x80 != 0 {
            return Err(Skip::named("IEEE 802.11 data, several packets in a frame"));
        }
        length = length.saturating_add(2);
        if flags & 0x80 != 0 {
            length = length.saturating_add(4);
        }
    }
    if radio.padded {
        length = length.next_multiple_of(4);
    }
    ether::llc(data, offset.saturating_add(length), Overlay::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

    /// A data frame to an access point; with quality of service when `kind` has that bit.
    fn data_frame(kind: u8, flags: u8) -> Vec<u8> {
        let mut frame = vec![kind, flags];
        frame.resize(24, 0);
        if kind & 0x80 != 0 {
            frame.extend([0, 0]);
        }
        frame.extend(SNAP);
        frame
    }

    fn name(outcome: Result<Stripped, Skip>) -> String {
        match outcome {
            Err(Skip::Named(name)) => name.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn data_frames_behind_radiotap() {
        // Length 12, flags and rate present: 0x10 says that a check sequence follows the frame.
        let head = [0, 0, 12, 0, 6, 0, 0, 0, 0x10, 2, 0, 0];
        for kind in [0x08, 0x88] {
            let bytes = [&head[..], &data_frame(kind, 1)].concat();
            assert_eq!(radiotap(&bytes, 0), Ok(Stripped::plain(bytes.len())));
        }
        // A timer comes first, aligned to 8 after two presence words of 4; flags ask for padding.
        let mut timed = vec![0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0];
        timed.resize(24, 0);
        timed.push(0x20);
        let mut qos = data_frame(0x88, 1);
        qos.splice(26..26, [0, 0]);
        let bytes = [&timed[..], &qos].concat();
        assert_eq!(radiotap(&bytes, 0), Ok(Stripped::plain(bytes.len())));
    }

    #[test]
    fn what_carries_no_readable_data_has_a_name() {
        let radio = Radio::default();
        for (kind, flags, words) in [
            (0x80, 0, "IEEE 802.11 management"),
            (0xd4, 0, "IEEE 802.11 control"),
            (0x48, 1, "IEEE 802.11 data frames without data"),
            (0x88, 0x41, "IEEE 802.11 data, encrypted"),
            (0x08, 0x05, "IEEE 802.11 fragments"),
        ] {
            let bytes = data_frame(kind, flags);
            assert_eq!(name(frame(&bytes, 0, radio)), words);
        }
        assert_eq!(frame(&[0x08], 0, radio), Err(Skip::Cut));
        assert_eq!(radiotap(&[0, 0, 200, 0, 0], 0), Err(Skip::Cut));
    }

    #[test]
    fn four_addresses_and_prism() {
        let mut bridge = data_frame(0x08, 3);
        bridge.splice(24..24, [0; 6]);
        assert_eq!(
            frame(&bridge, 0, Radio::default()),
            Ok(Stripped::plain(bridge.len()))
        );
        let mut bytes = vec![0, 0, 0, 0x44, 144, 0, 0, 0];
        bytes.resize(144, 0);
        bytes.extend(data_frame(0x08, 1));
        assert_eq!(prism(&bytes, 0), Ok(Stripped::plain(bytes.len())));
    }
}
