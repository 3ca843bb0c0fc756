//! What bodies are made of: one block of bytes, repeated for ever, with the sums that checksums need.
//!
//! The rule: a piece of a body costs a copy and no look at its bytes, or a generator of gigabytes would be slower than
//! what it measures.

use super::random::Random;

/// Largest piece of a body that one frame carries.
pub const PIECE_MAX: usize = 65_536;
/// Bytes after which a body repeats itself: more than a compressor's usual look back, less than a processor's cache.
const PERIOD: usize = 262_144;

/// What bodies look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// JSON, an item a line.
    Text,
    /// Bytes without any order, as packed pictures are.
    Binary,
    /// A capture file inside the capture: its record headers look like those around them.
    Capture,
}

/// The bytes of all bodies.
pub struct Block {
    bytes: Vec<u8>,
    period: usize,
    /// Sum of the bytes before each place as 16-bit words that start at even places; it wraps, differences hold.
    sums: Vec<u32>,
}

impl Block {
    /// The block for a kind of bodies. `capture` gives the bytes of a capture of about that many bytes.
    pub fn new(bodies: Bodies, random: &mut Random, capture: impl Fn(usize) -> Vec<u8>) -> Self {
        let mut bytes = match bodies {
            Bodies::Text => text(random),
            Bodies::Binary => (0..PERIOD / 8)
                .flat_map(|_| random.next().to_le_bytes())
                .collect(),
            Bodies::Capture => capture(PERIOD),
        };
        let period = bytes.len();
        while bytes.len() < period + PIECE_MAX {
            bytes.push(bytes[bytes.len() - period]);
        }
        let mut sums = Vec::with_capacity(bytes.len() + 1);
        let mut sum = 0_u32;
        for (place, byte) in bytes.iter().enumerate() {
            sums.push(sum);
            sum = sum.wrapping_add(u32::from(*byte) << (8 * (1 - place % 2)));
        }
        sums.push(sum);
        Self {
            bytes,
            period,
            sums,
        }
    }

    /// The piece of a body from `position`, and the sum of its 16-bit words, not yet folded.
    pub fn piece(&self, position: u64, len: usize) -> (&[u8], u32) {
        let start = (position % self.period as u64) as usize;
        let sum = self.sums[start + len].wrapping_sub(self.sums[start]);
        let sum = if start.is_multiple_of(2) {
            sum
        } else {
            swapped(sum)
        };
        (&self.bytes[start..start + len], sum)
    }
}

/// The sum of words when every byte moves by one place (RFC 1071, section 2 (B)).
pub fn swapped(sum: u32) -> u32 {
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    u32::from((folded as u16).swap_bytes())
}

fn text(random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "amber", "birch", "cedar", "delta", "ember", "frost", "grove", "heath",
    ];
    let mut bytes = Vec::with_capacity(PERIOD + 128);
    while bytes.len() < PERIOD {
        let (id, price) = (random.next() % 1_000_000, random.next() % 100_000);
        let (one, other) = (random.next() % 8, random.next() % 8);
        let (one, other) = (WORDS[one as usize], WORDS[other as usize]);
        bytes.extend_from_slice(
            format!("{{\"item\": {id}, \"name\": \"{one} {other}\", \"price\": {price}, \"stock\": true}},\n")
                .as_bytes(),
        );
    }
    bytes.truncate(PERIOD);
    bytes
}
