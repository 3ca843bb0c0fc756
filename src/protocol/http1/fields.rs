//! The fields of a head. In: its lines. Out: what is kept of them, and what they say of the framing.
//!
//! The rule: one pass, no copy of what is not kept; of credentials only a hash.

use std::borrow::Cow;

use crate::protocol::http1::lines::{Line, lines};
use crate::protocol::http1::names::{Meaning, Name, Table};
use crate::protocol::http1::syntax::{Oddities, is_token_byte};
use crate::protocol::kept::{KEPT_MAX, Kept};
use crate::protocol::observation::Rule;
use crate::protocol::tally::Fnv;

/// What Content-Length fields say together (RFC 9110, section 8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// One value, or the same several times.
    Valid(u64),
    /// Two values; the first.
    Differing(u64),
    /// No number.
    Invalid,
}

impl Length {
    /// The length, where it is sound.
    #[must_use]
    pub fn valid(self) -> Option<u64> {
        match self {
            Self::Valid(len) => Some(len),
            _ => None,
        }
    }

    fn and(self, value: &[u8]) -> Self {
        value
            .split(|byte| *byte == b',')
            .fold(self, |length, part| match (length, number(part)) {
                (Self::Invalid, _) | (_, None) => Self::Invalid,
                (Self::None, Some(len)) => Self::Valid(len),
                (Self::Valid(first), Some(len)) if first != len => Self::Differing(first),
                (known, Some(_)) => known,
            })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    // `parse` takes a sign, the RFC does not.
    let sound = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| sound)?
        .parse()
        .ok()
}

/// What the fields of a head say.
#[derive(Debug)]
pub struct Fields {
    /// Those that diagnosis reads.
    pub kept: Kept,
    /// Hash over Cookie and Authorization.
    pub credentials: Option<Fnv>,
    /// Content-Length.
    pub length: Length,
    /// Offset of the last Transfer-Encoding line, where there is one.
    pub coding: Option<usize>,
    /// The last coding is chunked.
    pub chunked: bool,
    /// Connection holds `close`.
    pub close: bool,
    /// Connection holds `keep-alive`.
    pub keep_alive: bool,
    /// There is an Upgrade.
    pub upgrade: bool,
    /// No name has an upper-case letter.
    pub lower_case: bool,
    /// Field lines.
    pub count: u32,
    /// Longest line, bytes.
    pub longest: u32,
    /// Every line but the first is a name of token bytes, a colon at once behind it, and a value.
    plain_names: bool,
    /// Bytes of CR and LF that end lines, the empty one included.
    line_ends: usize,
    /// Offset of the first LF without a CR before it, that of the first line included.
    bare_lf: Option<usize>,
    /// Offset of the first Content-Length line.
    length_at: usize,
    /// Chunked is the only coding.
    only_chunked: bool,
}

impl Fields {
    /// Reads all lines but the first; `table` names the fields to keep.
    #[must_use]
    pub fn read(head: &[u8], table: &Table) -> Self {
        let mut fields = Self {
            kept: Kept::default(),
            credentials: None,
            length: Length::None,
            length_at: 0,
            coding: None,
            chunked: false,
            only_chunked: true,
            close: false,
            keep_alive: false,
            upgrade: false,
            lower_case: true,
            count: 0,
            longest: 0,
            plain_names: true,
            line_ends: 0,
            bare_lf: None,
        };
        let mut kept = Keeping::of(head);
        let mut end = 0;
        for (number, line) in lines(head).enumerate() {
            let ending = if line.crlf { 2 } else { 1 };
            end = line.offset + line.text.len() + ending;
            fields.line_ends += ending;
            fields.bare_lf = fields.bare_lf.or(line.bare_lf());
            if number == 0 {
                continue;
            }
            fields.longest = fields.longest.max(len32(line.text.len()));
            // The continuation of a folded line is left out: no field that matters is folded in practice.
            if line.is_folded() {
                fields.plain_names = false;
            } else {
                fields.count = fields.count.saturating_add(1);
                fields.line(&line, table, &mut kept);
            }
        }
        fields.line_ends += match head.get(end..) {
            Some(b"\r\n") => 2,
            Some(b"\n") => 1,
            _ => 0,
        };
        fields.kept = kept.pack();
        fields
    }

    fn line(&mut self, line: &Line<'_>, table: &Table, kept: &mut Keeping<'_>) {
        let Some((name, value)) = line.field() else {
            self.plain_names = false;
            return;
        };
        self.lower_case = self.lower_case && !name.iter().any(u8::is_ascii_uppercase);
        self.plain_names &= line.text.get(name.len()) == Some(&b':');
        let Some(known) = table.find(name) else {
            self.plain_names &= !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte));
            return;
        };
        match known.meaning {
            Meaning::None => {}
            Meaning::Length => {
                if self.length == Length::None {
                    self.length_at = line.offset;
                }
                self.length = self.length.and(value);
            }
            Meaning::Coding => self.coding(value, line.offset),
            // What nearly all say.
            Meaning::Connection if value == b"keep-alive" => self.keep_alive = true,
            Meaning::Connection => {
                self.close |= has_word(value, b"close");
                self.keep_alive |= has_word(value, b"keep-alive");
            }
            Meaning::Upgrade => self.upgrade = true,
            Meaning::Credentials => {
                self.credentials.get_or_insert_default().write(value);
            }
        }
        if let Some(name) = known.kept {
            // Its place in the line, which holds it.
            let before = value
                .as_ptr()
                .addr()
                .saturating_sub(line.text.as_ptr().addr());
            kept.add(name, line.offset + before, value.len());
        }
    }

    /// Whether `head`, of which these are the fields, is plainly what RFC 9112, section 5, allows: plain names, and no control
    /// character but those that end its lines. One that is not may be so all the same: a tab may stand in a value.
    #[must_use]
    pub fn are_plain(&self, head: &[u8]) -> bool {
        self.plain_names && controls(head) == self.line_ends
    }

    fn coding(&mut self, value: &[u8], at: usize) {
        let last = value
            .rsplit(|byte| *byte == b',')
            .next()
            .unwrap_or_default();
        self.only_chunked &= value.eq_ignore_ascii_case(b"chunked") && self.coding.is_none();
        self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        self.coding = Some(at);
    }

    /// Notes what is odd about the framing, of the head and of the message.
    pub fn judge(&self, oddities: &mut Oddities<'_>) {
        if let Some(at) = self.bare_lf {
            oddities.place(Rule::BareLf, at);
        }
        match self.length {
            Length::Differing(_) => oddities.place(Rule::TwoLengths, self.length_at),
            Length::Invalid => oddities.place(Rule::InvalidLength, self.length_at),
            Length::None | Length::Valid(_) => {}
        }
        if let Some(at) = self.coding {
            if self.length != Length::None {
                oddities.place(Rule::LengthAndCoding, at);
            }
            if !self.only_chunked {
                oddities.place(Rule::UnknownCoding, at);
            }
        }
    }
}

/// Fields that are to be kept, where they lie: nothing is copied before it is known how much there is.
struct Keeping<'a> {
    head: &'a [u8],
    /// Name, offset of the value and its length.
    fields: [(Name, u32, u32); KEPT_MAX],
    count: usize,
}

impl<'a> Keeping<'a> {
    fn of(head: &'a [u8]) -> Self {
        Self {
            head,
            fields: [(Name::default(), 0, 0); KEPT_MAX],
            count: 0,
        }
    }

    fn add(&mut self, name: Name, at: usize, len: usize) {
        if let Some(free) = self.fields.get_mut(self.count) {
            *free = (name, len32(at), len32(len));
            self.count += 1;
        }
    }

    fn pack(&self) -> Kept {
        let fields = self.fields.get(..self.count).unwrap_or_default();
        Kept::pack(fields.iter().map(|(name, at, len)| {
            let value = self
                .head
                .get(*at as usize..)
                .and_then(|rest| rest.get(..*len as usize));
            (*name, value.unwrap_or_default())
        }))
    }
}

/// How many control characters there are.
fn controls(bytes: &[u8]) -> usize {
    /// As many as a count of one byte holds, so that sixteen are compared at once.
    const AT_ONCE: usize = 255;
    let of_part = |part: &[u8]| {
        let count = |count: u8, byte: &u8| count.wrapping_add(u8::from(byte.is_ascii_control()));
        usize::from(part.iter().fold(0, count))
    };
    bytes.chunks(AT_ONCE).map(of_part).sum()
}

/// Whether a list of words holds one, whatever its case.
fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// Text as on the wire, at most `max` bytes of it, without a copy where it is one of `usual`.
#[must_use]
pub fn word(bytes: &[u8], usual: &[&'static str], max: usize) -> Cow<'static, str> {
    let found = usual.iter().find(|word| word.as_bytes() == bytes);
    found.map_or_else(
        || Cow::Owned(text(bytes, max).into_string()),
        |word| Cow::Borrowed(*word),
    )
}

/// Text as on the wire, at most `max` bytes of it.
#[must_use]
pub fn text(bytes: &[u8], max: usize) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes)).into()
}

/// A length that stops at what 32 bits hold.
#[must_use]
pub fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
