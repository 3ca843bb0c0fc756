//! One capture, many times over: each copy later than the one before and between addresses of its own.

use std::path::Path;

use gwcap::time::Timestamp;

use super::frames::Owned;
use super::pcap::{self, Clock};

/// The first two octets of the lab's addresses; the text of each copy's has as many characters.
const LAB: [u8; 2] = [10, 77];
const LAB_TEXT: &[u8] = b"10.77.";

/// Most copies that have addresses of their own.
pub const COPIES_MAX: usize = 90 * 90;

/// Writes `copies` of `frames` to one pcap file, `apart_nanos` from the beginning of one to that of the next.
pub fn write(path: &Path, frames: &[Owned], copies: usize, apart_nanos: i64) {
    assert!(copies <= COPIES_MAX, "addresses would repeat");
    let mut all: Vec<(Timestamp, usize, usize)> = Vec::with_capacity(frames.len() * copies);
    for copy in 0..copies {
        let later = i64::try_from(copy).unwrap() * apart_nanos;
        all.extend(
            frames
                .iter()
                .enumerate()
                .map(|(index, frame)| (frame.time.plus_nanos(later), copy, index)),
        );
    }
    // Stable, so that a copy keeps the order of its file where two frames share a time.
    all.sort_by_key(|(time, copy, _)| (*time, *copy));
    let mut bytes = pcap::header(Clock::Nanos, frames[0].link.0);
    for (time, copy, index) in all {
        let frame = &frames[index];
        let data = moved(&frame.data, copy);
        pcap::record(&mut bytes, time.0, &data, frame.original_len as usize);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The same bytes with the addresses of another copy: binary in the headers and quoted in ICMP, as text in
/// `Host` and `X-Forwarded-For`.
fn moved(data: &[u8], copy: usize) -> Vec<u8> {
    let octets = [10 + copy / 90, 10 + copy % 90].map(|octet| u8::try_from(octet).unwrap());
    let text = format!("{}.{}.", octets[0], octets[1]).into_bytes();
    let mut moved = data.to_vec();
    let mut at = 0;
    while at + LAB_TEXT.len() <= moved.len() {
        if moved[at..].starts_with(LAB_TEXT) {
            moved[at..at + text.len()].copy_from_slice(&text);
        } else if moved[at..].starts_with(&LAB) && moved[at + 2] == 0 && is_header(data, at) {
            moved[at..at + 2].copy_from_slice(&octets);
        }
        at += 1;
    }
    moved
}

/// Whether these bytes lie in front of any payload: the lab's payloads are text, and headers end within this.
fn is_header(data: &[u8], at: usize) -> bool {
    at < 120.min(data.len())
}
