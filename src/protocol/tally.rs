//! Counting bytes that are not kept. In: the bytes of a body or of a turn. Out: length, hash and prefix.
//!
//! The rule: at most [`PREFIX_MAX`] bytes are touched, the rest is only counted.

use crate::protocol::observation::PREFIX_MAX;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a with 64 bits: fixed, so that equal bytes have equal hashes in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(FNV_START)
    }
}

impl Fnv {
    /// Takes bytes in.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// The hash of all bytes so far.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// A hash over bytes, sixteen at a time: they may come in any pieces. Fixed, as [`Fnv`] is, which took as long for a body as
/// all the rest of its response.
#[derive(Clone, Copy, Debug, Default)]
struct Blocks {
    hash: u64,
    /// Bytes that do not fill a block yet, the first lowest.
    open: u128,
    bits: u32,
}

impl Blocks {
    fn write(&mut self, mut bytes: &[u8]) {
        while self.bits > 0
            && let Some((byte, rest)) = bytes.split_first()
        {
            self.byte(*byte);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            self.block(u128::from_le_bytes(*block));
        }
        rest.iter().for_each(|byte| self.byte(*byte));
    }

    fn byte(&mut self, byte: u8) {
        self.open |= u128::from(byte) << self.bits;
        self.bits += 8;
        if self.bits == u128::BITS {
            let block = std::mem::take(&mut self.open);
            self.bits = 0;
            self.block(block);
        }
    }

    /// A multiplication to twice the width, folded. Each step waits for the one before, so that what counts is how many there
    /// are.
    const fn block(&mut self, block: u128) {
        let low = self.hash ^ (block as u64);
        let high = 0xbf58_476d_1ce4_e5b9 ^ ((block >> 64) as u64);
        let product = (low as u128) * (high as u128);
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.hash = folded.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }

    /// Over all bytes so far, `len` of them. Ends in the finaliser of SplitMix64.
    const fn value(self, len: u64) -> u64 {
        let mut all = self;
        all.block(self.open);
        all.block(len as u128);
        let mixed = (all.hash ^ (all.hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 32)
    }
}

/// Length, hash and, if wanted, prefix of a run of bytes.
#[derive(Debug, Default)]
pub struct Tally {
    len: u64,
    hash: Blocks,
    torn: bool,
    prefix: Vec<u8>,
    /// How many of the first bytes are kept.
    kept: usize,
}

impl Tally {
    /// A tally that keeps the first bytes too.
    #[must_use]
    pub fn with_prefix() -> Self {
        Self::with_first(PREFIX_MAX)
    }

    /// A tally that keeps the first `kept` bytes, at most [`PREFIX_MAX`].
    #[must_use]
    pub fn with_first(kept: usize) -> Self {
        Self {
            kept: kept.min(PREFIX_MAX),
            ..Self::default()
        }
    }

    /// Takes bytes in.
    pub fn take(&mut self, bytes: &[u8]) {
        let room = (PREFIX_MAX as u64).saturating_sub(self.len) as usize;
        let first = bytes.get(..room).unwrap_or(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
        if first.is_empty() || self.torn {
            return;
        }
        self.hash.write(first);
        let wanted = self.kept.saturating_sub(self.prefix.len());
        self.prefix
            .extend_from_slice(first.get(..wanted).unwrap_or(first));
    }

    /// Counts bytes that exist but were not captured. Among the first ones they spoil the hash.
    pub fn skip(&mut self, len: u64) {
        if self.len < PREFIX_MAX as u64 {
            self.torn = true;
        }
        self.len = self.len.saturating_add(len);
    }

    /// How many bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hash over the first [`PREFIX_MAX`] bytes; 0 when there is none or when one of them was not captured.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        if self.len == 0 || self.torn {
            0
        } else {
            let hashed = if self.len < PREFIX_MAX as u64 {
                self.len
            } else {
                PREFIX_MAX as u64
            };
            self.hash.value(hashed)
        }
    }

    /// The first bytes, up to the first missing one; empty when they were not wanted.
    #[must_use]
    pub fn into_prefix(self) -> Box<[u8]> {
        self.prefix.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_fnv_1a_does() {
        let mut fnv = Fnv::default();
        fnv.write(b"foobar");
        assert_eq!(
            fnv.value(),
            0x8594_4171_f739_67e8,
            "draft-eastlake-fnv, test vectors"
        );
    }

    #[test]
    fn the_hash_does_not_depend_on_the_pieces() {
        let body: Vec<u8> = (0..PREFIX_MAX as u32 + 40).map(|n| (n * 7) as u8).collect();
        for len in [1, 7, 8, 9, 15, 16, 17, 63, 64, 300, body.len()] {
            let mut whole = Tally::default();
            whole.take(&body[..len]);
            for piece in [1, 3, 8, 13] {
                let mut pieces = Tally::default();
                body[..len].chunks(piece).for_each(|part| pieces.take(part));
                assert_eq!(
                    pieces.hash(),
                    whole.hash(),
                    "{len} bytes, {piece} at a time"
                );
            }
            let mut other = Tally::default();
            other.take(&body[1..len]);
            other.take(&[1]);
            assert_ne!(other.hash(), whole.hash());
        }
    }

    #[test]
    fn only_the_first_bytes_count_for_hash_and_prefix() {
        let mut whole = Tally::with_prefix();
        whole.take(&[7; PREFIX_MAX]);
        let mut longer = Tally::with_prefix();
        for _ in 0..PREFIX_MAX + 9 {
            longer.take(&[7]);
        }
        assert_eq!(whole.hash(), longer.hash());
        assert_eq!(longer.len(), PREFIX_MAX as u64 + 9);
        assert_eq!(longer.into_prefix().len(), PREFIX_MAX);
        let mut short = Tally::with_first(4);
        short.take(b"abc");
        short.take(b"defg");
        assert_eq!(short.len(), 7);
        assert_eq!(&*short.into_prefix(), b"abcd");
    }

    #[test]
    fn a_hole_among_the_first_bytes_leaves_no_hash() {
        let mut tally = Tally::with_prefix();
        tally.take(b"ab");
        tally.skip(3);
        tally.take(b"cd");
        assert_eq!((tally.len(), tally.hash()), (7, 0));
        assert_eq!(&*tally.into_prefix(), b"ab");
        let mut late = Tally::default();
        late.take(&[1; PREFIX_MAX]);
        let hash = late.hash();
        late.skip(10);
        assert_eq!(late.hash(), hash);
    }
}
