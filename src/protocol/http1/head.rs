//! Heads of requests and responses. In: a complete head, where it lies. Out: what it says, and its framing.
//!
//! The rule: a sound head is checked once by httparse and read once by line; only a head that httparse
//! refuses is searched for what is odd. A head is never refused for its fields, only for its first line.

use std::mem::MaybeUninit;
use std::num::NonZeroU64;

use crate::frame::Mark;
use crate::protocol::http1::body::Framing;
use crate::protocol::http1::fields::{Fields, Length, len32, text, word};
use crate::protocol::http1::lines::lines;
use crate::protocol::http1::names::{READ_IN_REQUESTS, READ_IN_RESPONSES};
use crate::protocol::http1::syntax::{Oddities, StatusLine, is_token_byte, status_line};
use crate::protocol::observation::{HttpVersion, RequestHead, ResponseHead, Rule};

/// Most bytes of a request target that are kept: more than any gateway accepts by default.
pub const TARGET_MAX: usize = 8 * 1024;
/// Most bytes of a reason phrase that are kept.
pub const REASON_MAX: usize = 128;
/// Most bytes of a method that are kept; the longest registered one has 17.
pub const METHOD_MAX: usize = 64;
/// Methods that nearly all requests have, the usual first.
const METHODS: &[&str] = &["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];
/// Reason phrases that most responses have.
const REASONS: &[&str] = &["OK", "Not Modified", "Found", "Not Found", "No Content"];
/// Most fields that httparse is given room for. A head with more is only searched for oddities, which
/// is slower and gives the same.
const FIELDS_CHECKED_MAX: usize = 96;

/// What a request asks of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// HEAD: the response has no body.
    pub head_only: bool,
    /// CONNECT: a 2xx response makes a tunnel.
    pub tunnel: bool,
    /// An Upgrade field: a 101 response changes the protocol.
    pub upgrade: bool,
}

impl Asked {
    /// What is assumed of a request that was not seen.
    pub const UNKNOWN: Self = Self {
        head_only: false,
        tunnel: false,
        upgrade: true,
    };
}

/// A request's head, and how its body is delimited; `None` where no rule says.
#[derive(Debug)]
pub struct Request {
    /// What it says.
    pub head: RequestHead,
    /// Where its body ends.
    pub framing: Option<Framing>,
    /// What it asks.
    pub asked: Asked,
}

/// A response's head, and how its body is delimited if it has one.
#[derive(Debug)]
pub struct Response {
    /// What it says.
    pub head: ResponseHead,
    /// Where its body ends, by its fields alone: the request and the status may say that there is none.
    pub framing: Framing,
}

impl Response {
    /// Where the body ends in the light of the request (RFC 9112, section 6.3).
    #[must_use]
    pub fn framing_for(&self, asked: Asked) -> Framing {
        if asked.head_only || matches!(self.head.status, 100..=199 | 204 | 304) {
            Framing::Length(0)
        } else {
            self.framing
        }
    }
}

/// Reads a request's head. `None` when its first line is no request line of HTTP/1.
#[must_use]
pub fn request(head: &[u8], at: Mark) -> Option<Request> {
    let first = lines(head).next()?;
    let (method, target, version) = request_line(first.text)?;
    let fields = Fields::read(head, &READ_IN_REQUESTS);
    let framing = if fields.coding.is_some() {
        fields.chunked.then_some(Framing::Chunked)
    } else {
        match fields.length {
            Length::None => Some(Framing::Length(0)),
            Length::Valid(len) => Some(Framing::Length(len)),
            Length::Differing(_) | Length::Invalid => None,
        }
    };
    let asked = Asked {
        head_only: method == b"HEAD",
        tunnel: method == b"CONNECT",
        upgrade: fields.upgrade,
    };
    let head = RequestHead {
        method: word(method, METHODS, METHOD_MAX),
        target: text(target, TARGET_MAX),
        version,
        kept: fields.kept,
        credentials_hash: fields
            .credentials
            .map(|hash| NonZeroU64::new(hash.value()).unwrap_or(NonZeroU64::MIN)),
        head_len: len32(head.len()),
        header_lines: fields.count,
        lower_case_names: fields.lower_case && fields.count > 0,
        content_length: fields.length.valid(),
        chunked: fields.chunked,
        at,
    };
    Some(Request {
        head,
        framing,
        asked,
    })
}

/// Reads a response's head, or what there is of one that a gap cut off. `None` when it does not start
/// with a status line of HTTP/1.
#[must_use]
pub fn response(head: &[u8], at: Mark) -> Option<Response> {
    let StatusLine::Status(status) = status_line(head) else {
        return None;
    };
    let version = match head.get(7) {
        Some(b'0') => HttpVersion::Http10,
        _ => HttpVersion::Http11,
    };
    let first = memchr::memchr(b'\n', head).and_then(|end| head.get(..end));
    let reason = first.unwrap_or(head).get(13..).unwrap_or_default();
    let reason = reason.trim_ascii();
    let fields = Fields::read(head, &READ_IN_RESPONSES);
    let mut oddities = Oddities::new(head);
    if !fields.are_plain(head) && !is_sound(head) {
        oddities.scan();
    }
    if !(100..=599).contains(&status) {
        oddities.place(Rule::StatusCode, 9);
    }
    fields.judge(&mut oddities);
    let framing = match fields.length {
        _ if fields.chunked => Framing::Chunked,
        // A server that sends another coding can only end it by closing (RFC 9112, section 6.3).
        _ if fields.coding.is_some() => Framing::UntilClose,
        Length::Valid(len) | Length::Differing(len) => Framing::Length(len),
        Length::None | Length::Invalid => Framing::UntilClose,
    };
    let head = ResponseHead {
        status,
        reason: word(reason, REASONS, REASON_MAX),
        version,
        kept: fields.kept,
        head_len: len32(head.len()),
        longest_line: fields.longest,
        header_lines: fields.count,
        content_length: fields.length.valid(),
        chunked: fields.chunked,
        close: fields.close || (version == HttpVersion::Http10 && !fields.keep_alive),
        oddities: oddities.into_faults().into(),
        at,
    };
    Some(Response { head, framing })
}

/// Method, target and version. Several spaces between them are taken as one, as many servers do.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], HttpVersion)> {
    let space = memchr::memchr(b' ', line)?;
    let method = line.get(..space)?;
    let rest = line.get(space..)?.trim_ascii();
    let last = memchr::memrchr(b' ', rest)?;
    let version = match rest.get(last + 1..)? {
        b"HTTP/1.0" => HttpVersion::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => HttpVersion::Http11,
        _ => return None,
    };
    let sound = !method.is_empty() && method.iter().all(|byte| is_token_byte(*byte));
    sound.then_some((method, rest.get(..last)?.trim_ascii(), version))
}

/// Whether httparse, which follows the RFC strictly, accepts a response's head.
fn is_sound(head: &[u8]) -> bool {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_CHECKED_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut room)
        .is_ok_and(|status| status.is_complete())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::kept::Header;

    fn rules_of(head: &[u8]) -> Vec<Rule> {
        let response = response(head, Mark::default()).unwrap();
        response
            .head
            .oddities
            .iter()
            .map(|fault| fault.rule)
            .collect()
    }

    #[test]
    fn reads_a_request() {
        let wire = b"POST /a?b HTTP/1.1\r\nHost: x.test:80\r\nX-Request-ID: 7f\r\nCookie: a=b\r\n\
            Authorization: Basic Zm9v\r\nContent-Length: 12\r\nX-Other: 1\r\n\r\n";
        let Request {
            head,
            framing,
            asked,
        } = request(wire, Mark::default()).unwrap();
        assert_eq!((&*head.method, &*head.target), ("POST", "/a?b"));
        assert_eq!(head.host().as_deref(), Some("x.test:80"));
        assert_eq!(
            head.kept.iter().last(),
            Some(Header {
                name: "x-request-id",
                value: b"7f"
            })
        );
        assert_eq!((head.header_lines, head.head_len as usize), (6, wire.len()));
        assert_eq!(framing, Some(Framing::Length(12)));
        assert!(!head.lower_case_names && !asked.head_only && head.credentials_hash.is_some());
        assert!(!format!("{head:?}").contains("Zm9v"));
    }

    #[test]
    fn request_lines() {
        let line = |text: &str| request(format!("{text}\r\n\r\n").as_bytes(), Mark::default());
        assert_eq!(
            line("GET / HTTP/1.0").unwrap().head.version,
            HttpVersion::Http10
        );
        assert_eq!(&*line("GET  /a b  HTTP/1.1").unwrap().head.target, "/a b");
        assert!(line("GET /").is_none(), "HTTP/0.9");
        assert!(line("GET / HTTP/2.0").is_none());
        assert!(line("G@T / HTTP/1.1").is_none());
    }

    #[test]
    fn reads_a_response() {
        let wire = b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Length: 5\r\n\
            Set-Cookie: secret\r\nConnection: Keep-Alive, Close\r\n\r\n";
        let Response { head, framing } = response(wire, Mark::default()).unwrap();
        assert_eq!((head.status, &*head.reason), (502, "Bad Gateway"));
        assert_eq!(framing, Framing::Length(5));
        assert!(head.close && head.oddities.is_empty());
        assert_eq!((head.longest_line, head.header_lines), (29, 4));
        assert!(!format!("{head:?}").contains("secret"));
    }

    #[test]
    fn framing_of_responses() {
        let framing = |fields: &str| {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            response(head.as_bytes(), Mark::default()).unwrap().framing
        };
        assert_eq!(framing(""), Framing::UntilClose);
        assert_eq!(framing("Content-Length: 7, 7\r\n"), Framing::Length(7));
        assert_eq!(framing("Content-Length: +7\r\n"), Framing::UntilClose);
        assert_eq!(
            framing("Transfer-Encoding: gzip, Chunked\r\n"),
            Framing::Chunked
        );
        assert_eq!(framing("transfer-encoding: gzip\r\n"), Framing::UntilClose);
        assert_eq!(
            framing("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n"),
            Framing::Chunked
        );
    }

    #[test]
    fn odd_heads_are_read_all_the_same() {
        for (fields, rule) in [
            ("A: b\0", Rule::Nul),
            ("A: b\x07", Rule::ControlCharacter),
            ("A b: c", Rule::SpaceInName),
            ("A : c", Rule::SpaceBeforeColon),
            ("no colon", Rule::NoColon),
            (": c", Rule::EmptyName),
            ("A[: c", Rule::NameCharacter),
            ("A: b\r\n c", Rule::ObsFold),
            ("A: b\nC: d", Rule::BareLf),
            ("A: b\rc", Rule::BareCr),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 1",
                Rule::LengthAndCoding,
            ),
            ("Content-Length: 1\r\nContent-Length: 2", Rule::TwoLengths),
            ("Content-Length: abc", Rule::InvalidLength),
            ("Transfer-Encoding: zip", Rule::UnknownCoding),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(rules_of(head.as_bytes()), [rule], "{fields:?}");
        }
        assert_eq!(rules_of(b"HTTP/1.1 999 X\r\n\r\n"), [Rule::StatusCode]);
        assert_eq!(rules_of(b"HTTP/1.1 099 X\r\n\r\n"), [Rule::StatusCode]);
        assert_eq!(rules_of(b"HTTP/1.1 200\r\nA: b\r\n\r\n"), []);
    }

    #[test]
    fn a_plain_head_has_no_oddities() {
        // Every byte in every place of a line: whatever is called plain is sound, and nothing is found in it.
        let mut plain = 0;
        for fields in [
            "Name: value\r\n",
            "server: a\nx-y: b\r\n",
            ": v\r\n",
            "v\r\n",
        ] {
            for at in 0..fields.len() {
                for byte in 0..=u8::MAX {
                    let mut head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
                    head[17 + at] = byte;
                    for len in [head.len(), head.len() - 1, head.len() - 2] {
                        let head = &head[..len];
                        if Fields::read(head, &READ_IN_RESPONSES).are_plain(head) {
                            let mut oddities = Oddities::new(head);
                            oddities.scan();
                            assert!(oddities.into_faults().is_empty(), "{}", head.escape_ascii());
                            plain += 1;
                        }
                    }
                }
            }
        }
        assert!(plain > 1_000, "{plain}");
    }

    #[test]
    fn a_head_with_very_many_fields_is_no_oddity() {
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(400));
        let response = response(head.as_bytes(), Mark::default()).unwrap();
        assert_eq!(response.head.header_lines, 400);
        assert!(response.head.oddities.is_empty());
    }
}
