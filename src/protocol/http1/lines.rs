//! A head as lines. In: bytes. Out: where the head ends, its lines and the parts of a field line.
//!
//! The rule: a line ends by LF, with or without CR before it, since every product accepts both
//! (RFC 9112, section 2.2); nothing is judged here.

use memchr::{memchr, memchr_iter};

/// The place after the empty line that ends a head, if it lies in `bytes`. The search starts at `from`:
/// for bytes that were searched before and grew, [`resume`] says where.
#[must_use]
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    memchr_iter(b'\n', tail).find_map(|at| {
        let next = from + at + 1;
        match (bytes.get(next), bytes.get(next + 1)) {
            (Some(b'\n'), _) => Some(next + 1),
            (Some(b'\r'), Some(b'\n')) => Some(next + 2),
            _ => None,
        }
    })
}

/// Where [`head_end`] shall go on after it found nothing in `len` bytes: an LF or LF CR may be the last.
#[must_use]
pub const fn resume(len: usize) -> usize {
    len.saturating_sub(2)
}

/// One line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of its first byte in the head.
    pub offset: usize,
    /// Its bytes without the line end.
    pub text: &'a [u8],
    /// Whether a CR stood before the LF.
    pub crlf: bool,
}

/// The lines of a head, up to and without the empty one.
pub fn lines(head: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = head.get(offset..)?;
        let len = memchr(b'\n', rest)?;
        let line = rest.get(..len)?;
        let (text, crlf) = match line {
            [text @ .., b'\r'] => (text, true),
            text => (text, false),
        };
        let start = offset;
        offset += len + 1;
        (!text.is_empty()).then_some(Line {
            offset: start,
            text,
            crlf,
        })
    })
}

impl<'a> Line<'a> {
    /// Whether it continues the line before it (RFC 9112, section 5.2).
    #[must_use]
    pub fn is_folded(&self) -> bool {
        matches!(self.text.first(), Some(b' ' | b'\t'))
    }

    /// Where LF alone ends it.
    #[must_use]
    pub fn bare_lf(&self) -> Option<usize> {
        (!self.crlf).then_some(self.offset + self.text.len())
    }

    /// Name and trimmed value. White space before the colon is not part of the name.
    #[must_use]
    pub fn field(&self) -> Option<(&'a [u8], &'a [u8])> {
        // Names are short: a search that is prepared for long texts takes longer.
        let colon = self.text.iter().position(|byte| *byte == b':')?;
        let name = self.text.get(..colon)?.trim_ascii_end();
        Some((name, self.text.get(colon + 1..)?.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_empty_line_in_either_form() {
        assert_eq!(head_end(b"A\r\nB: c\r\n\r\nbody", 0), Some(11));
        assert_eq!(head_end(b"A\nB: c\n\nbody", 0), Some(8));
        assert_eq!(head_end(b"A\nB: c\n\r\nbody", 0), Some(9));
        assert_eq!(head_end(b"A\r\nB: c\r\n\r", 0), None);
        assert_eq!(head_end(b"", 0), None);
    }

    #[test]
    fn resumes_without_missing_a_split_end() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(head_end(&head[..cut], 0), None);
            assert_eq!(head_end(head, resume(cut)), Some(head.len()), "cut {cut}");
        }
    }

    #[test]
    fn splits_lines_and_fields() {
        let head = b"HTTP/1.1 200 OK\r\nName : v \n folded\r\nnone\r\n\r\n";
        let found: Vec<_> = lines(head).collect();
        assert_eq!(found.len(), 4);
        assert_eq!(found[1].field(), Some((&b"Name"[..], &b"v"[..])));
        assert_eq!((found[1].offset, found[1].crlf), (17, false));
        assert!(found[2].is_folded());
        assert_eq!(found[3].field(), None);
    }
}
