//! The fields that are read. In: a field name. Out: its number, if it is kept, and what it says of the message.
//!
//! The rule: what is not listed here is counted and forgotten. Cookies and credentials are never kept.

use std::sync::LazyLock;

/// Fields of a request that identify it, its client or its gateway. Sorted.
const IN_REQUESTS: &[&str] = &[
    "accept",
    "akamai-origin-hop",
    "cdn-loop",
    "cf-connecting-ip",
    "cf-ray",
    "connection",
    "content-type",
    "expect",
    "fastly-ff",
    "forwarded",
    "host",
    "idempotency-key",
    "if-none-match",
    "range",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-amzn-trace-id",
    "x-appgw-trace-id",
    "x-arr-log-id",
    "x-azure-clientip",
    "x-azure-fdid",
    "x-azure-ref",
    "x-b3-traceid",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-kong-request-id",
    "x-original-host",
    "x-real-ip",
    "x-request-id",
    "x-varnish",
];

/// Fields of a response that tell who wrote it, and what it announces. Sorted.
const IN_RESPONSES: &[&str] = &[
    "apigw-requestid",
    "cf-error-type",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-type",
    "date",
    "etag",
    "grpc-status",
    "keep-alive",
    "location",
    "mime-version",
    "proxy-status",
    "retry-after",
    "server",
    "upgrade",
    "via",
    "x-amz-apigw-id",
    "x-amz-cf-id",
    "x-amzn-errortype",
    "x-amzn-requestid",
    "x-azure-ref",
    "x-cache",
    "x-correlation-id",
    "x-envoy-overloaded",
    "x-envoy-upstream-service-time",
    "x-kong-request-id",
    "x-powered-by",
    "x-request-id",
    "x-served-by",
    "x-squid-error",
    "x-varnish",
];

/// What a field says of its message, beside what diagnosis reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing.
    None,
    /// Content-Length.
    Length,
    /// Transfer-Encoding.
    Coding,
    /// Connection.
    Connection,
    /// Upgrade.
    Upgrade,
    /// Who asks: Cookie or Authorization.
    Credentials,
}

/// Fields of either kind of message that say something of it.
const MEANT: [(&str, Meaning); 6] = [
    ("authorization", Meaning::Credentials),
    ("connection", Meaning::Connection),
    ("content-length", Meaning::Length),
    ("cookie", Meaning::Credentials),
    ("transfer-encoding", Meaning::Coding),
    ("upgrade", Meaning::Upgrade),
];

/// The fields of a request that are read, to be searched.
pub static READ_IN_REQUESTS: LazyLock<Table> = LazyLock::new(|| Table::of(IN_REQUESTS, 0));

/// The fields of a response that are read, to be searched.
pub static READ_IN_RESPONSES: LazyLock<Table> =
    LazyLock::new(|| Table::of(IN_RESPONSES, IN_REQUESTS.len()));

/// Both lists, one after the other: each name in the place of its number.
static NUMBERED: [&str; IN_REQUESTS.len() + IN_RESPONSES.len()] = {
    let mut all = [""; IN_REQUESTS.len() + IN_RESPONSES.len()];
    let (of_requests, rest) = all.split_at_mut(IN_REQUESTS.len());
    of_requests.copy_from_slice(IN_REQUESTS);
    rest.copy_from_slice(IN_RESPONSES);
    all
};

/// A name of either list by its number: those of requests go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name(u8);

impl Name {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The name of that number.
    #[must_use]
    pub const fn numbered(number: u8) -> Option<Self> {
        if (number as usize) < IN_REQUESTS.len() + IN_RESPONSES.len() {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NUMBERED
            .get(usize::from(self.0))
            .copied()
            .unwrap_or_default()
    }
}

/// Longest name in the lists.
const NAME_MAX: usize = 32;

/// A field that is read.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    name: &'static str,
    /// As most products write it: `User-Agent`.
    usual: [u8; NAME_MAX],
    /// Its number, where it is kept.
    pub kept: Option<Name>,
    /// What it says of the message.
    pub meaning: Meaning,
}

impl Known {
    fn new(name: &'static str, kept: Option<Name>, meaning: Meaning) -> Self {
        let mut usual = [0; NAME_MAX];
        let mut begins = true;
        for (place, letter) in usual.iter_mut().zip(name.bytes()) {
            *place = match begins {
                true => letter.to_ascii_uppercase(),
                false => letter,
            };
            begins = letter == b'-';
        }
        Self {
            name,
            usual,
            kept,
            meaning,
        }
    }

    /// Whether `name` is its name. The usual spelling first: to compare without case is most of the search.
    fn is(&self, name: &[u8]) -> bool {
        self.usual.get(..self.name.len()) == Some(name)
            || self.name.as_bytes().eq_ignore_ascii_case(name)
    }
}

/// Places of a [`Table`]'s index: a power of two, and several times as many as names, so that most names that are not read
/// meet an empty one.
const PLACES: usize = 256;

/// Names with an index: each field of each head is looked up.
#[derive(Debug)]
pub struct Table {
    known: Vec<Known>,
    /// By [`place`], and the next free ones: one more than where a name stands, 0 for none.
    index: [u8; PLACES],
}

impl Table {
    /// Of the names of a list, of which the first has the number `first`, and those that mean something.
    fn of(names: &'static [&'static str], first: usize) -> Self {
        let meaning = |name: &str| {
            let meant = MEANT.iter().find(|(meant, _)| *meant == name);
            meant.map_or(Meaning::None, |(_, meaning)| *meaning)
        };
        let kept = (first..).zip(names).map(|(number, name)| {
            let number = u8::try_from(number).ok().and_then(Name::numbered);
            Known::new(name, number, meaning(name))
        });
        let meant = MEANT.iter().filter(|(name, _)| !names.contains(name));
        let meant = meant.map(|(name, meaning)| Known::new(name, None, *meaning));
        let known: Vec<_> = kept.chain(meant).collect();
        let mut index = [0; PLACES];
        for (number, known) in (1..=u8::MAX).zip(&known) {
            let mut place = place(known.name.as_bytes());
            while index.get(place).is_some_and(|taken| *taken != 0) {
                place = (place + 1) % PLACES;
            }
            if let Some(free) = index.get_mut(place) {
                *free = number;
            }
        }
        Self { known, index }
    }

    /// The field of that name, whatever its case (RFC 9110, section 5.1).
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Known> {
        let mut place = place(name);
        loop {
            let at = usize::from(*self.index.get(place)?).checked_sub(1)?;
            let known = self.known.get(at)?;
            if known.is(name) {
                return Some(known);
            }
            place = (place + 1) % PLACES;
        }
    }
}

/// Where a name is looked for first, whatever its case: by its length and the letters in which names of one length differ
/// most.
fn place(name: &[u8]) -> usize {
    let middle = name.get(name.len() / 2);
    let (Some(first), Some(middle), Some(last)) = (name.first(), middle, name.last()) else {
        return 0;
    };
    let letter = |letter: &u8| usize::from(letter.to_ascii_lowercase());
    (name.len() * 31 + letter(first) * 7 + letter(middle) * 61 + letter(last) * 17) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_found_in_either_case() {
        for (names, table) in [
            (IN_REQUESTS, &*READ_IN_REQUESTS),
            (IN_RESPONSES, &*READ_IN_RESPONSES),
        ] {
            assert!(names.is_sorted());
            for name in names {
                assert!(name.len() <= NAME_MAX);
                for spelt in [name.to_string(), name.to_uppercase()] {
                    let known = table.find(spelt.as_bytes()).unwrap();
                    assert_eq!(known.kept.map(Name::as_str), Some(*name));
                }
            }
            for (name, meaning) in MEANT {
                let known = table.find(name.as_bytes()).unwrap();
                assert_eq!(known.meaning, meaning);
                assert_eq!(known.kept.is_some(), names.contains(&name));
            }
            for other in ["set-cookie", "x-varnisg", "x", ""] {
                assert!(table.find(other.as_bytes()).is_none());
            }
            for secret in ["cookie", "set-cookie", "authorization"] {
                assert!(!names.contains(&secret));
            }
        }
    }
}
