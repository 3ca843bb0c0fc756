//! The PROXY header, with which a balancer tells the client's address (HAProxy's specification, versions 1 and
//! 2). In: the first bytes of a client. Out: how many of them are the header.
//!
//! The rule: only what can be nothing else counts. The addresses in it are not read.

/// Longest header of version 1, its CRLF included (section 2.1).
const TEXT_MAX: usize = 107;
/// Longest header of version 2 that is waited for: more than any sender adds, bytes.
const BINARY_MAX: usize = 2_048;
/// What a header of version 1 begins with.
const TEXT_MARK: &[u8] = b"PROXY ";
/// What a header of version 2 begins with (section 2.2).
const BINARY_MARK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// No PROXY header.
    No,
    /// They may become one.
    Part,
    /// A header of that version, and its length in bytes.
    Whole {
        /// 1 or 2.
        version: u8,
        /// Its length.
        len: usize,
    },
}

/// Judges the first bytes of a client.
#[must_use]
pub fn header(bytes: &[u8]) -> Header {
    if begins(bytes, TEXT_MARK) {
        text(bytes)
    } else if begins(bytes, BINARY_MARK) {
        binary(bytes)
    } else {
        Header::No
    }
}

/// Whether bytes begin with a mark, or are its beginning.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    let len = bytes.len().min(mark.len());
    bytes.get(..len) == mark.get(..len)
}

fn text(bytes: &[u8]) -> Header {
    let families: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    let family = bytes.get(TEXT_MARK.len()..).unwrap_or_default();
    if !families.iter().any(|name| begins(family, name)) {
        return Header::No;
    }
    let line = bytes.get(..TEXT_MAX).unwrap_or(bytes);
    match memchr::memchr(b'\n', line) {
        Some(end) if bytes.get(end.wrapping_sub(1)) == Some(&b'\r') => Header::Whole {
            version: 1,
            len: end + 1,
        },
        None if bytes.len() < TEXT_MAX => Header::Part,
        _ => Header::No,
    }
}

fn binary(bytes: &[u8]) -> Header {
    let (Some(version), Some(high), Some(low)) = (bytes.get(12), bytes.get(14), bytes.get(15))
    else {
        return Header::Part;
    };
    let len = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    if version >> 4 != 2 || len > BINARY_MAX {
        Header::No
    } else if bytes.len() < len {
        Header::Part
    } else {
        Header::Whole { version: 2, len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_headers() {
        // From the specification, section 2.1.
        let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
        let whole = Header::Whole {
            version: 1,
            len: line.len(),
        };
        assert_eq!(header(line), whole);
        assert_eq!(header(&[&line[..], b"GET / HTTP/1.1"].concat()), whole);
        for cut in 1..line.len() {
            assert_eq!(header(&line[..cut]), Header::Part, "{cut}");
        }
        assert_eq!(
            header(b"PROXY UNKNOWN\r\n"),
            Header::Whole {
                version: 1,
                len: 15
            }
        );
    }

    #[test]
    fn binary_headers() {
        let mut bytes = BINARY_MARK.to_vec();
        bytes.extend([0x21, 0x11, 0, 12]);
        bytes.extend([127, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x34, 0, 80]);
        for cut in 1..bytes.len() {
            assert_eq!(header(&bytes[..cut]), Header::Part, "{cut}");
        }
        bytes.extend(b"GET /");
        assert_eq!(
            header(&bytes),
            Header::Whole {
                version: 2,
                len: 28
            }
        );
        bytes[12] = 0x31;
        assert_eq!(header(&bytes), Header::No, "no version 3 is known");
        bytes[12] = 0x21;
        bytes[14] = 0xff;
        assert_eq!(header(&bytes), Header::No, "longer than anyone sends");
    }

    #[test]
    fn what_only_looks_like_one() {
        assert_eq!(header(b"PROXY /cache HTTP/1.1\r\n"), Header::No);
        assert_eq!(header(b"\r\n\r\nGET / HTTP/1.1"), Header::No);
        assert_eq!(header(b"GET / HTTP/1.1\r\n"), Header::No);
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 120], b"\r\n"].concat();
        assert_eq!(header(&long), Header::No);
        assert_eq!(header(b"PROXY TCP4 a\nb"), Header::No, "LF alone");
    }
}
