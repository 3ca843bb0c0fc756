//! The part of an input that is in memory. In: bytes. Out: words of either byte order, and how far a reader came.
//!
//! The rule: a reader decides nothing from the edge of a window unless the input itself ends there, so results never
//! depend on how much was read at once.

/// The bytes that are in memory, and where they lie in the input.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Offset of the first byte in the input.
    pub(super) base: u64,
    /// Whether the input ends with the last byte.
    pub(super) at_end: bool,
}

impl<'a> Window<'a> {
    /// Offset in the input of the byte at `index`.
    pub(super) fn offset(&self, index: usize) -> u64 {
        self.base.saturating_add(index as u64)
    }

    /// `N` bytes from `index`, `None` when the window ends before.
    pub(super) fn chunk<const N: usize>(&self, index: usize) -> Option<&'a [u8; N]> {
        self.bytes.get(index..)?.first_chunk()
    }

    /// Bytes from `index` to the end of the window.
    pub(super) fn rest(&self, index: usize) -> usize {
        self.bytes.len().saturating_sub(index)
    }
}

/// How far a reader came in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// Everything before index `from` is done; from there at least `needed` bytes must be in the window.
    More { from: usize, needed: usize },
    /// Nothing that can be read follows.
    End,
}

/// A damaged place that is being passed over: where it starts and what is wrong there.
pub(super) struct Lost {
    pub(super) since: u64,
    pub(super) what: String,
}

/// What a search for the next plausible record found.
pub(super) enum Search {
    At(usize),
    /// Cannot be decided at this index without `needed` bytes from there.
    More {
        from: usize,
        needed: usize,
    },
    Nothing,
}

/// Byte order of a file or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The 16-bit word at `index` of `bytes`.
    pub(super) fn u16_at(self, bytes: &[u8], index: usize) -> Option<u16> {
        bytes
            .get(index..)?
            .first_chunk()
            .map(|word| self.u16(*word))
    }

    /// The 32-bit word at `index` of `bytes`.
    pub(super) fn u32_at(self, bytes: &[u8], index: usize) -> Option<u32> {
        bytes
            .get(index..)?
            .first_chunk()
            .map(|word| self.u32(*word))
    }
}
