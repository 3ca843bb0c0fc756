//! Capture files as a test sees them: a writer of classic pcap, and the places of records in either format.
//!
//! The rule: independent of the reader that is tested. Left out: big-endian files, of which the cases have none.

use std::ops::Range;

/// The unit of a file's fractions of a second.
#[derive(Clone, Copy)]
pub enum Clock {
    Nanos,
}

const HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const ENHANCED_PACKET: u32 = 6;
const SIMPLE_PACKET: u32 = 3;

/// The header of a classic little-endian pcap file.
pub fn header(clock: Clock, link: u32) -> Vec<u8> {
    let magic: u32 = match clock {
        Clock::Nanos => 0xa1b2_3c4d,
    };
    let mut bytes = magic.to_le_bytes().to_vec();
    bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(262_144_u32.to_le_bytes());
    bytes.extend(link.to_le_bytes());
    bytes
}

/// Appends a record.
pub fn record(bytes: &mut Vec<u8>, time_nanos: i64, data: &[u8], original_len: usize) {
    let seconds = u32::try_from(time_nanos / 1_000_000_000).unwrap();
    let nanos = u32::try_from(time_nanos % 1_000_000_000).unwrap();
    let lengths = [data.len(), original_len].map(|length| u32::try_from(length).unwrap());
    for word in [seconds, nanos, lengths[0], lengths[1]] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(data);
}

/// One record of a file.
#[derive(Clone)]
pub struct Place {
    /// Its bytes, its own header included.
    pub range: Range<usize>,
    /// Whether it holds a frame.
    pub frame: bool,
}

/// Whether the lengths of all records lead exactly to the end of the file.
pub fn is_sound(file: &[u8]) -> bool {
    let word = |at: usize| {
        let bytes = file.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let pcapng = file.starts_with(&PCAPNG);
    let mut at = if pcapng { 0 } else { HEADER };
    while at < file.len() {
        let length = match pcapng {
            true => word(at + 4)
                .filter(|length| *length >= 12 && word(at + length - 4) == Some(*length)),
            false => word(at + 8).and_then(|length| length.checked_add(RECORD_HEADER)),
        };
        let Some(length) = length else {
            return false;
        };
        at += length;
    }
    at == file.len()
}

/// Where the records of a sound file lie. The header of a pcap file is no record.
pub fn records(file: &[u8]) -> Vec<Place> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let pcapng = file.starts_with(&PCAPNG);
    let mut at = if pcapng { 0 } else { HEADER };
    let mut places = Vec::new();
    while at < file.len() {
        let (length, frame) = match pcapng {
            true => (
                word(at + 4) as usize,
                matches!(word(at), ENHANCED_PACKET | SIMPLE_PACKET),
            ),
            false => (RECORD_HEADER + word(at + 8) as usize, true),
        };
        places.push(Place {
            range: at..at + length,
            frame,
        });
        at += length;
    }
    places
}
