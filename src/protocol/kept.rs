//! The fields of a head that are kept. In: names and values. Out: the same, packed.
//!
//! The rule: one piece of memory a head, no larger than what it holds. Of a busy gateway the heads of seconds are remembered,
//! and room of its own for each value took a third of all memory.

use std::fmt;

use crate::protocol::http1::names::Name;
use crate::protocol::observation::PREFIX_MAX;

/// Most fields of one head that are kept: names repeat, and the wire chooses how often.
pub const KEPT_MAX: usize = 48;

/// A field that was kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Lower-case name, one of those that diagnosis reads.
    pub name: &'static str,
    /// The value, trimmed, as on the wire, at most [`PREFIX_MAX`] bytes.
    pub value: &'a [u8],
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value.escape_ascii())
    }
}

/// Fields in the order of the wire: of each its name's number, two bytes of length, and the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Kept(Box<[u8]>);

/// Name and length before a value.
const BEFORE: usize = 3;

impl Kept {
    /// Packs fields; of a value beyond [`PREFIX_MAX`] its first bytes.
    #[must_use]
    pub fn pack<'a>(fields: impl Iterator<Item = (Name, &'a [u8])> + Clone) -> Self {
        let cut = |value: &[u8]| value.len().min(PREFIX_MAX);
        let len = fields.clone().map(|(_, value)| BEFORE + cut(value)).sum();
        let mut packed = Vec::with_capacity(len);
        for (name, value) in fields {
            let value = value.get(..PREFIX_MAX).unwrap_or(value);
            let [low, high] = (value.len() as u16).to_le_bytes();
            packed.extend_from_slice(&[name.number(), low, high]);
            packed.extend_from_slice(value);
        }
        Self(packed.into_boxed_slice())
    }

    /// The fields, in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let ([number, low, high], after) = rest.split_first_chunk::<BEFORE>()?;
            let (value, next) = after.split_at_checked(u16::from_le_bytes([*low, *high]).into())?;
            rest = next;
            let name = Name::numbered(*number)?.as_str();
            Some(Header { name, value })
        })
    }

    /// The value of the first field of that name, which is in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.iter().find(|header| header.name == name)?;
        Some(found.value)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http1::names::{READ_IN_REQUESTS, READ_IN_RESPONSES};
    use crate::protocol::observation::{RequestHead, ResponseHead};

    #[test]
    fn it_holds_what_it_was_given() {
        let long = [b'x'; PREFIX_MAX + 1];
        let given: [(&str, &[u8]); 4] = [
            ("via", b"1.1 a"),
            ("via", b""),
            ("x-request-id", b"7f\xff"),
            ("user-agent", &long),
        ];
        let name = |name: &str| {
            let known = READ_IN_REQUESTS.find(name.as_bytes());
            known.and_then(|known| known.kept).unwrap()
        };
        let kept = Kept::pack(given.map(|(text, value)| (name(text), value)).into_iter());
        let told: Vec<_> = kept.iter().map(|it| (it.name, it.value)).collect();
        assert_eq!(told[..3], given[..3]);
        assert_eq!(told[3], ("user-agent", &long[..PREFIX_MAX]));
        assert_eq!(kept.get("via"), Some(&b"1.1 a"[..]));
        assert_eq!((kept.get("server"), told.len()), (None, 4));
        assert_eq!(
            format!("{:?}", Kept::pack([(name("via"), &b"a\n"[..])].into_iter())),
            "[via: a\\n]"
        );
    }

    #[test]
    fn heads_fill_a_class_of_the_allocator() {
        // With the counts of an `Arc`; a byte more takes a quarter more memory, hundreds of thousands of times.
        assert!(size_of::<RequestHead>() + 16 <= 128);
        assert!(size_of::<ResponseHead>() + 16 <= 128);
    }

    #[test]
    fn names_of_responses_are_told_from_those_of_requests() {
        let server = READ_IN_RESPONSES.find(b"server").unwrap().kept.unwrap();
        let kept = Kept::pack([(server, &b"nginx"[..])].into_iter());
        assert_eq!(kept.get("server"), Some(&b"nginx"[..]));
    }
}
