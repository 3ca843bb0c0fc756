//! What is odd about a response's head. In: its bytes. Out: each broken rule once, with its first place.
//!
//! The rule: products differ in what they refuse, so everything is reported and nothing is refused here,
//! save a first line that is no status line.

use crate::protocol::http1::lines::{Line, lines};
use crate::protocol::observation::{Fault, Rule};

/// Bytes before and after the offending place that a [`Fault`] shows.
const EXCERPT_SIDE_MAX: usize = 12;

/// Fields whose values are secrets: an excerpt never shows them.
const SECRET_FIELDS: [&[u8]; 5] = [
    b"set-cookie",
    b"cookie",
    b"authorization",
    b"proxy-authorization",
    b"www-authenticate",
];

/// What can be said of the start of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// So far it may become a status line. The first digit of the status, where it is there.
    Partial(Option<u8>),
    /// A status line with this status, 0 to 999.
    Status(u16),
    /// The byte at this place cannot stand in a status line.
    Broken(usize),
}

/// Reads `HTTP/1.x SP 3DIGIT` and the byte after it (RFC 9112, section 4). The reason phrase, and the
/// space before it, may be absent: many servers omit them and no product minds.
#[must_use]
pub fn status_line(bytes: &[u8]) -> StatusLine {
    const START: &[u8] = b"HTTP/1.";
    // What nearly all begin with.
    if let Some([b'0'..=b'9', b' ', a, b, c, b' ' | b'\r' | b'\n', ..]) = bytes.strip_prefix(START)
        && [a, b, c].iter().all(|digit| digit.is_ascii_digit())
    {
        let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
        return StatusLine::Status(digits.iter().fold(0, |status, digit| status * 10 + digit));
    }
    let mut status = 0;
    let mut first_digit = None;
    for place in 0..=START.len() + 5 {
        let Some(byte) = bytes.get(place) else {
            return StatusLine::Partial(first_digit);
        };
        let fits = match place {
            7 => byte.is_ascii_digit(),
            8 => *byte == b' ',
            9..=11 => {
                first_digit = first_digit.or(Some(*byte));
                status = status * 10 + u16::from(byte.wrapping_sub(b'0').min(9));
                byte.is_ascii_digit()
            }
            12 => matches!(byte, b' ' | b'\r' | b'\n'),
            _ => START.get(place) == Some(byte),
        };
        if !fits {
            return StatusLine::Broken(place);
        }
    }
    StatusLine::Status(status)
}

/// Collects each rule once.
#[derive(Debug)]
pub struct Oddities<'a> {
    head: &'a [u8],
    found: Vec<Fault>,
}

impl<'a> Oddities<'a> {
    /// None yet, for a head.
    #[must_use]
    pub fn new(head: &'a [u8]) -> Self {
        Self {
            head,
            found: Vec::new(),
        }
    }

    /// What was found, in the order of offsets.
    #[must_use]
    pub fn into_faults(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|fault| (fault.offset, fault.rule));
        self.found
    }

    /// Notes a rule that is broken by the byte at `at`, unless it is noted already.
    pub fn byte(&mut self, rule: Rule, at: usize) {
        self.note(rule, at, self.head.get(at).copied());
    }

    /// Notes a rule that is broken by what starts at `at`, unless it is noted already.
    pub fn place(&mut self, rule: Rule, at: usize) {
        self.note(rule, at, None);
    }

    fn note(&mut self, rule: Rule, at: usize, byte: Option<u8>) {
        if self.found.iter().any(|fault| fault.rule == rule) {
            return;
        }
        self.found.push(Fault {
            rule,
            offset: u32::try_from(at).unwrap_or(u32::MAX),
            byte,
            excerpt: excerpt(self.head, at),
        });
    }

    /// Reads all lines for bytes and forms that RFC 9112, section 5, does not allow.
    pub fn scan(&mut self) {
        for (number, line) in lines(self.head).enumerate() {
            self.scan_bytes(&line);
            if number > 0 {
                self.scan_name(&line);
            }
        }
    }

    fn scan_bytes(&mut self, line: &Line<'_>) {
        for (at, byte) in line.text.iter().enumerate() {
            match byte {
                b'\t' | b' '..=b'~' | 0x80.. => {}
                0 => self.byte(Rule::Nul, line.offset + at),
                b'\r' => self.byte(Rule::BareCr, line.offset + at),
                _ => self.byte(Rule::ControlCharacter, line.offset + at),
            }
        }
    }

    fn scan_name(&mut self, line: &Line<'_>) {
        if line.is_folded() {
            self.byte(Rule::ObsFold, line.offset);
            return;
        }
        let Some(colon) = memchr::memchr(b':', line.text) else {
            self.place(Rule::NoColon, line.offset);
            return;
        };
        let raw = line.text.get(..colon).unwrap_or_default();
        let name = raw.trim_ascii_end();
        if name.is_empty() {
            self.byte(Rule::EmptyName, line.offset);
        }
        if name.len() < raw.len() {
            self.byte(Rule::SpaceBeforeColon, line.offset + name.len());
        }
        for (at, byte) in name.iter().enumerate() {
            match byte {
                b' ' | b'\t' => self.byte(Rule::SpaceInName, line.offset + at),
                // Control characters have rules of their own.
                0..b' ' | 0x7f => {}
                _ if !is_token_byte(*byte) => self.byte(Rule::NameCharacter, line.offset + at),
                _ => {}
            }
        }
    }
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// A few bytes around a place; of a line whose value is a secret only its name.
fn excerpt(head: &[u8], at: usize) -> Box<[u8]> {
    let line_start = head
        .get(..at)
        .and_then(|before| memchr::memrchr(b'\n', before))
        .map_or(0, |newline| newline + 1);
    let line_len = head
        .get(line_start..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
        .unwrap_or(head.len().saturating_sub(line_start));
    let mut start = at.saturating_sub(EXCERPT_SIDE_MAX).max(line_start);
    let mut end = at
        .saturating_add(EXCERPT_SIDE_MAX)
        .min(line_start + line_len);
    let line = head
        .get(line_start..line_start + line_len)
        .unwrap_or_default();
    let secret = SECRET_FIELDS
        .iter()
        .find(|name| starts_with_ignoring_case(line, name));
    if let Some(name) = secret {
        start = line_start;
        end = line_start + name.len();
    }
    head.get(start..end).unwrap_or_default().into()
}

fn starts_with_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len())
        .is_some_and(|first| first.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(fields: &[u8]) -> Vec<(Rule, u32, Option<u8>)> {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.extend_from_slice(fields);
        head.extend_from_slice(b"\r\n\r\n");
        let mut oddities = Oddities::new(&head);
        oddities.scan();
        let bare = lines(&head).find_map(|line| line.bare_lf());
        if let Some(at) = bare {
            oddities.place(Rule::BareLf, at);
        }
        let faults = oddities.into_faults();
        faults
            .iter()
            .map(|f| (f.rule, f.offset - 17, f.byte))
            .collect()
    }

    #[test]
    fn names_the_rule_the_place_and_the_byte() {
        assert_eq!(rules(b"A: b"), []);
        assert_eq!(rules(b"A: b\0c"), [(Rule::Nul, 4, Some(0))]);
        assert_eq!(
            rules(b"A: b\x01\x02"),
            [(Rule::ControlCharacter, 4, Some(1))]
        );
        assert_eq!(rules(b"A b: c"), [(Rule::SpaceInName, 1, Some(b' '))]);
        assert_eq!(rules(b"Ab : c"), [(Rule::SpaceBeforeColon, 2, Some(b' '))]);
        assert_eq!(rules(b"no colon here"), [(Rule::NoColon, 0, None)]);
        assert_eq!(rules(b": empty"), [(Rule::EmptyName, 0, Some(b':'))]);
        assert_eq!(rules(b"A(b: c"), [(Rule::NameCharacter, 1, Some(b'('))]);
        assert_eq!(
            rules(b"N\xc3\xa9: c"),
            [(Rule::NameCharacter, 1, Some(0xc3))]
        );
        assert_eq!(rules(b"A: b\r\n c"), [(Rule::ObsFold, 6, Some(b' '))]);
        assert_eq!(rules(b"A: b\nC: d"), [(Rule::BareLf, 4, None)]);
        assert_eq!(rules(b"A: b\rc"), [(Rule::BareCr, 4, Some(b'\r'))]);
        assert_eq!(rules("A: caf\u{e9}".as_bytes()), [], "obs-text is allowed");
    }

    #[test]
    fn an_excerpt_never_shows_a_cookie() {
        let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\0token\r\n\r\n";
        let mut oddities = Oddities::new(head);
        oddities.scan();
        assert_eq!(&*oddities.into_faults()[0].excerpt, b"Set-Cookie");
    }

    #[test]
    fn status_lines() {
        use StatusLine::{Broken, Partial, Status};
        assert_eq!(status_line(b"HTTP/1.1 200 OK\r\n"), Status(200));
        assert_eq!(status_line(b"HTTP/1.0 099\r\n"), Status(99));
        assert_eq!(status_line(b""), Partial(None));
        assert_eq!(status_line(b"HTTP/1.1 "), Partial(None));
        assert_eq!(status_line(b"HTTP/1.1 20"), Partial(Some(b'2')));
        assert_eq!(status_line(b"HTTP/1.1 200"), Partial(Some(b'2')));
        assert_eq!(status_line(b"HTTP/2.0 200 OK"), Broken(5));
        assert_eq!(status_line(b"HTTP/1.1  200 OK"), Broken(9));
        assert_eq!(status_line(b"HTTP/1.1 2000 OK"), Broken(12));
        assert_eq!(status_line(b"HTTP/1.1 abc"), Broken(9));
        assert_eq!(status_line(b"ICY 200 OK"), Broken(0));
        assert_eq!(status_line(b"\x15\x03\x01\x00\x02\x02\x46"), Broken(0));
        assert_eq!(status_line(b"\r\nHTTP/1.1 200"), Broken(0));
    }
}
