//! Where a body ends (RFC 9112, section 6). In: the bytes after a head. Out: how many belong to the body.
//!
//! The rule: bodies are counted, not kept. Lines that end by LF alone are taken as lines, as most products do.

use crate::protocol::observation::Rule;
use crate::protocol::tally::Tally;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length; 0 where a message has no body.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// What a body did with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It took all of them and wants more.
    More,
    /// It is complete after this many of them.
    Done(usize),
    /// The byte at this place breaks a rule of the chunked coding.
    Broken(usize, Rule),
}

/// A body being read.
#[derive(Debug)]
pub struct Body {
    /// Its bytes, chunk framing not counted.
    pub tally: Tally,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    Chunk(Chunk),
}

/// Where in the chunked coding (RFC 9112, section 7.1) the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the size: its value and number of digits so far.
    Size { value: u64, digits: u8 },
    /// After the size, in white space or an extension, up to the end of the line.
    Extension { size: u64 },
    /// After the CR of the size line.
    SizeLf { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// After the data.
    DataCr,
    /// After the CR behind the data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
    /// After the CR of an empty trailer line.
    LastLf,
}

/// Most digits of a chunk size: what fits 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

const FIRST_CHUNK: Chunk = Chunk::Size {
    value: 0,
    digits: 0,
};

impl Body {
    /// Starts a body. `None` when the framing says that there is none.
    #[must_use]
    pub fn new(framing: Framing, tally: Tally) -> Option<Self> {
        let state = match framing {
            Framing::Length(0) => return None,
            Framing::Length(len) => State::Length(len),
            Framing::Chunked => State::Chunk(FIRST_CHUNK),
            Framing::UntilClose => State::UntilClose,
        };
        Some(Self { tally, state })
    }

    /// A body without an end of its own, for what follows a fault.
    #[must_use]
    pub fn until_close(tally: Tally) -> Self {
        Self {
            tally,
            state: State::UntilClose,
        }
    }

    /// Whether only the end of the connection ends it.
    #[must_use]
    pub fn ends_by_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Takes bytes in when they surely lie inside it, which most segments of a large body do. False: they
    /// were not taken.
    #[must_use]
    pub fn take_inside(&mut self, bytes: &[u8]) -> bool {
        let len = bytes.len() as u64;
        let inside = match &mut self.state {
            State::UntilClose => true,
            State::Length(left) | State::Chunk(Chunk::Data { left }) if *left > len => {
                *left -= len;
                true
            }
            State::Length(_) | State::Chunk(_) => false,
        };
        if inside {
            self.tally.take(bytes);
        }
        inside
    }

    /// Takes bytes in.
    pub fn take(&mut self, bytes: &[u8]) -> Progress {
        match self.state {
            State::UntilClose => {
                self.tally.take(bytes);
                Progress::More
            }
            State::Length(left) => {
                let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.tally.take(bytes.get(..count).unwrap_or_default());
                let left = left - count as u64;
                self.state = State::Length(left);
                if left == 0 {
                    Progress::Done(count)
                } else {
                    Progress::More
                }
            }
            State::Chunk(chunk) => self.take_chunks(chunk, bytes),
        }
    }

    /// Counts `len` bytes that were not captured, when they all lie inside data whose length is known.
    /// `None`: they do not, so the end of this body is unknown.
    #[must_use]
    pub fn skip(&mut self, len: u64) -> Option<Progress> {
        match &mut self.state {
            State::UntilClose => {}
            State::Length(left) | State::Chunk(Chunk::Data { left }) if *left >= len => {
                *left -= len;
            }
            State::Length(_) | State::Chunk(_) => return None,
        }
        self.tally.skip(len);
        match self.state {
            State::Length(0) => Some(Progress::Done(0)),
            State::Chunk(Chunk::Data { left: 0 }) => {
                self.state = State::Chunk(Chunk::DataCr);
                Some(Progress::More)
            }
            _ => Some(Progress::More),
        }
    }

    fn take_chunks(&mut self, mut chunk: Chunk, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Chunk::Data { left } = chunk {
                let rest = bytes.get(at..).unwrap_or_default();
                let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.tally.take(rest.get(..count).unwrap_or_default());
                at += count;
                chunk = match left - count as u64 {
                    0 => Chunk::DataCr,
                    left => Chunk::Data { left },
                };
                continue;
            }
            match chunk.step(*byte) {
                Step::To(next) => chunk = next,
                Step::Done => return Progress::Done(at + 1),
                Step::Broken(rule) => return Progress::Broken(at, rule),
            }
            at += 1;
        }
        self.state = State::Chunk(chunk);
        Progress::More
    }
}

enum Step {
    To(Chunk),
    Done,
    Broken(Rule),
}

impl Chunk {
    /// Takes one byte of the framing around the data.
    fn step(self, byte: u8) -> Step {
        Step::To(match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits >= SIZE_DIGITS_MAX {
                    return Step::Broken(Rule::ChunkTooLarge);
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                Self::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return Step::Broken(Rule::ChunkSize),
            (Self::Size { value, .. } | Self::Extension { size: value }, b'\r') => {
                Self::SizeLf { size: value }
            }
            (
                Self::Size { value: size, .. } | Self::Extension { size } | Self::SizeLf { size },
                b'\n',
            ) => {
                if size == 0 {
                    Self::TrailerStart
                } else {
                    Self::Data { left: size }
                }
            }
            // Some servers pad the size with spaces; RFC 9112 asks to ignore unknown extensions.
            (Self::Size { value, .. }, b';' | b' ' | b'\t') => Self::Extension { size: value },
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::Size { .. } | Self::SizeLf { .. }, _) => return Step::Broken(Rule::ChunkSize),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataCr | Self::DataLf, b'\n') => FIRST_CHUNK,
            (Self::DataCr | Self::DataLf, _) => return Step::Broken(Rule::ChunkEnd),
            (Self::TrailerStart, b'\r') => Self::LastLf,
            (Self::TrailerStart | Self::LastLf, b'\n') => return Step::Done,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::Trailer | Self::LastLf, _) => Self::Trailer,
            (Self::Data { left }, _) => Self::Data { left },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(framing: Framing) -> Body {
        Body::new(framing, Tally::with_prefix()).unwrap()
    }

    /// Feeds all at once and byte by byte; both must agree.
    fn chunked(bytes: &[u8]) -> (Progress, u64, Box<[u8]>) {
        let mut whole = body(Framing::Chunked);
        let result = whole.take(bytes);
        let mut slow = body(Framing::Chunked);
        let mut slow_result = Progress::More;
        for (at, byte) in bytes.iter().enumerate() {
            slow_result = match slow.take(&[*byte]) {
                Progress::More => continue,
                Progress::Done(count) => Progress::Done(at + count),
                Progress::Broken(place, rule) => Progress::Broken(at + place, rule),
            };
            break;
        }
        assert_eq!(result, slow_result);
        assert_eq!(whole.tally.hash(), slow.tally.hash());
        (result, whole.tally.len(), whole.tally.into_prefix())
    }

    #[test]
    fn a_length_ends_a_body() {
        let mut body = body(Framing::Length(5));
        assert_eq!(body.take(b"abc"), Progress::More);
        assert_eq!(body.take(b"deHTTP"), Progress::Done(2));
        assert_eq!(body.tally.len(), 5);
        assert!(Body::new(Framing::Length(0), Tally::default()).is_none());
    }

    #[test]
    fn chunks_with_extensions_and_trailers() {
        let wire = b"4;name=\"v\"\r\nWiki\r\n6  \r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nExpires: x\r\nA: b\r\n\r\nHTTP";
        let (result, len, prefix) = chunked(wire);
        assert_eq!(result, Progress::Done(wire.len() - 4));
        assert_eq!(len, 24);
        assert_eq!(&*prefix, b"Wikipedia in \r\n\r\nchunks.");
    }

    #[test]
    fn chunks_with_lf_alone() {
        assert_eq!(chunked(b"3\nabc\n0\n\n").0, Progress::Done(9));
    }

    #[test]
    fn broken_chunks_name_the_byte_and_the_rule() {
        use Rule::{ChunkEnd, ChunkSize, ChunkTooLarge};
        for (wire, place, rule) in [
            (&b"xyz\r\n"[..], 0, ChunkSize),
            (b"3\r\nabcd\r\n", 6, ChunkEnd),
            (b"3\rabc", 2, ChunkSize),
            // A size needs a digit.
            (b"\r\n", 0, ChunkSize),
            // More than 64 bits.
            (b"11111111111111111\r\n", 16, ChunkTooLarge),
        ] {
            assert_eq!(chunked(wire).0, Progress::Broken(place, rule));
        }
        assert_eq!(
            chunked(b"ffffffffffffffff\r\nab").0,
            Progress::More,
            "large but a number"
        );
    }

    #[test]
    fn a_hole_inside_known_data_does_no_harm() {
        let mut counted = body(Framing::Length(10));
        assert_eq!(counted.skip(4), Some(Progress::More));
        assert_eq!(counted.skip(7), None);
        assert_eq!(counted.skip(6), Some(Progress::Done(0)));
        let mut chunks = body(Framing::Chunked);
        assert_eq!(chunks.skip(1), None, "inside the framing");
        assert_eq!(chunks.take(b"5\r\nab"), Progress::More);
        assert_eq!(chunks.skip(3), Some(Progress::More));
        assert_eq!(chunks.take(b"\r\n0\r\n\r\n"), Progress::Done(7));
        assert_eq!(chunks.tally.len(), 5);
    }
}
