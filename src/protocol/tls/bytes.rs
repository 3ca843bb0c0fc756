//! Reading the presentation language of TLS (RFC 8446, section 3). In: bytes. Out: numbers and vectors.
//!
//! The rule: nothing is read beyond the end; what is missing is `None`.

/// Bytes that are taken from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A `uint8`.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A `uint16`.
    pub(crate) fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A `uint24`.
    pub(crate) fn number24(&mut self) -> Option<usize> {
        let [a, b, c] = *self.take(3)? else {
            return None;
        };
        usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()
    }

    /// A `uint32`.
    pub(crate) fn number32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// 32 bytes, as a random is.
    pub(crate) fn random(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }

    /// A vector with a length of one byte.
    pub(crate) fn vector8(&mut self) -> Option<&'a [u8]> {
        let len = self.byte()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vector16(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of three bytes.
    pub(crate) fn vector24(&mut self) -> Option<&'a [u8]> {
        let len = self.number24()?;
        self.take(len)
    }

    /// An extension: its number and its data (RFC 8446, section 4.2).
    pub(crate) fn extension(&mut self) -> Option<(u16, Bytes<'a>)> {
        Some((self.number()?, Bytes(self.vector16()?)))
    }
}

/// The numbers of a list of `uint16`, at most `max` of them. A last odd byte is left out.
pub(crate) fn numbers(bytes: &[u8], max: usize) -> Vec<u16> {
    let mut bytes = Bytes(bytes);
    std::iter::from_fn(|| bytes.number()).take(max).collect()
}
