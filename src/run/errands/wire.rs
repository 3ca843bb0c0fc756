//! Requests to errands as bytes. In: a kind and a payload. Out: the same at the other end of a pipe.
//!
//! The rule: a request is its kind, four bytes of length and a payload; whatever is of another kind or too long ends the
//! errand, because it was not gwcap that wrote it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// Most bytes of a request: ten times what the largest page of metrics and the longest finding have.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an errand may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Serve this page from now on.
    Page(String),
    /// Run the program for this finding.
    Program(Program),
    /// Nothing more comes: finish, and tell what was done.
    End,
}

/// What a program is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Added to its environment.
    pub environment: BTreeMap<String, String>,
    /// Its standard input.
    pub input: String,
}

const PAGE: u8 = b'P';
const PROGRAM: u8 = b'F';
const END: u8 = b'E';

/// Writes a request.
///
/// # Errors
/// Those of `out`, and a payload beyond [`REQUEST_BYTES_MAX`].
pub fn write(request: &Request, out: &mut impl Write) -> io::Result<()> {
    let (kind, payload) = match request {
        Request::Page(page) => (PAGE, page.clone().into_bytes()),
        Request::Program(program) => (PROGRAM, serde_json::to_vec(program)?),
        Request::End => (END, Vec::new()),
    };
    if payload.len() > REQUEST_BYTES_MAX {
        return Err(io::Error::other("the request is too long"));
    }
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&payload)?;
    out.flush()
}

/// Reads a request; `None` at the end.
///
/// # Errors
/// Those of `from`, and what is no request.
pub fn read(from: &mut impl Read) -> io::Result<Option<Request>> {
    let refused = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut kind = [0];
    if from.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > REQUEST_BYTES_MAX {
        return Err(refused("the request is too long"));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    match kind {
        [PAGE] => String::from_utf8(payload)
            .map(|page| Some(Request::Page(page)))
            .map_err(|_| refused("the page is no text")),
        [PROGRAM] => Ok(Some(Request::Program(serde_json::from_slice(&payload)?))),
        [END] => Ok(Some(Request::End)),
        _ => Err(refused("there is no such request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_out_as_they_went_in() {
        let program = Program {
            environment: [("GWCAP_CAUSE".to_owned(), "connect-refused".to_owned())].into(),
            input: "{\"a\":\"\u{1b}\"}\n".to_owned(),
        };
        let requests = [
            Request::Page("a 1\n".to_owned()),
            Request::Program(program),
            Request::End,
        ];
        let mut bytes = Vec::new();
        for request in &requests {
            write(request, &mut bytes).unwrap();
        }
        let mut from = bytes.as_slice();
        for request in requests {
            assert_eq!(read(&mut from).unwrap(), Some(request));
        }
        assert_eq!(read(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [
            &b"X\0\0\0\0"[..],
            b"P\xff\xff\xff\xff",
            b"P\0\0\0\x02a",
            b"P\0\0\0\x01\xff",
            b"F\0\0\0\x02[]",
            b"E\0",
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        let long = Request::Page("x".repeat(REQUEST_BYTES_MAX + 1));
        assert!(write(&long, &mut Vec::new()).is_err());
    }
}
