//! Few bytes without room of their own. In: bytes. Out: the same, owned.
//!
//! The rule: values of fields are mostly short, and there are some in each head: asking the allocator for each, and giving it
//! back on another thread, took longer than reading them.

use std::fmt;
use std::ops::Deref;

/// Longest value that takes no room of its own, bytes: a Date (RFC 9110, section 5.6.7) has 29.
const INLINE_MAX: usize = 30;

/// Bytes that are seldom many.
#[derive(Clone)]
pub struct Short(Held);

#[derive(Clone)]
enum Held {
    Here { len: u8, bytes: [u8; INLINE_MAX] },
    There(Box<[u8]>),
}

impl Deref for Short {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Here { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Held::There(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Short {
    fn from(value: &[u8]) -> Self {
        let mut bytes = [0; INLINE_MAX];
        Self(
            match (bytes.get_mut(..value.len()), u8::try_from(value.len())) {
                (Some(room), Ok(len)) => {
                    room.copy_from_slice(value);
                    Held::Here { len, bytes }
                }
                _ => Held::There(value.into()),
            },
        )
    }
}

impl PartialEq for Short {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Short {}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_it_was_given() {
        for len in [0, 1, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 512] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let short = Short::from(&*bytes);
            assert_eq!((&*short, short.clone() == short), (&*bytes, true));
            assert!(short != Short::from(&b"other"[..]));
        }
    }
}
