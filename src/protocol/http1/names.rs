//! The fields that diagnosis reads. In: a field name. Out: its fixed lower-case form, if it is kept.
//!
//! The rule: what is not listed here is counted and forgotten. Cookies and credentials are never listed.

use std::sync::LazyLock;

/// Longest name that is looked up; longer than every name below.
pub const NAME_MAX: usize = 32;

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

/// The fields of a request that are kept, to be searched.
pub static KEPT_IN_REQUESTS: LazyLock<Table> = LazyLock::new(|| Table::of(IN_REQUESTS, 0));

/// The fields of a response that are kept, to be searched.
pub static KEPT_IN_RESPONSES: LazyLock<Table> =
    LazyLock::new(|| Table::of(IN_RESPONSES, IN_REQUESTS.len()));

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
        let number = usize::from(self.0);
        let of_response = || IN_RESPONSES.get(number.checked_sub(IN_REQUESTS.len())?);
        IN_REQUESTS
            .get(number)
            .or_else(of_response)
            .copied()
            .unwrap_or_default()
    }
}

/// Places of a [`Table`]'s index: a power of two, and several times as many as names, so that most names that are not kept
/// meet an empty one.
const PLACES: usize = 256;

/// Names with an index: each field of each head is looked up, and most are not kept.
#[derive(Debug)]
pub struct Table {
    names: &'static [&'static str],
    /// Number of the first of them.
    first: usize,
    /// By [`place`], and the next free ones: one more than where a name stands, 0 for none.
    index: [u8; PLACES],
}

impl Table {
    fn of(names: &'static [&'static str], first: usize) -> Self {
        let mut index = [0; PLACES];
        for (number, name) in (1..=u8::MAX).zip(names) {
            let mut place = place(name.as_bytes());
            while index.get(place).is_some_and(|taken| *taken != 0) {
                place = (place + 1) % PLACES;
            }
            if let Some(free) = index.get_mut(place) {
                *free = number;
            }
        }
        Self {
            names,
            first,
            index,
        }
    }

    /// The entry that equals `lower`, a name in lower case.
    #[must_use]
    pub fn find(&self, lower: &[u8]) -> Option<Name> {
        let mut place = place(lower);
        loop {
            let at = usize::from(*self.index.get(place)?).checked_sub(1)?;
            let name = *self.names.get(at)?;
            if name.as_bytes() == lower {
                return Name::numbered(u8::try_from(self.first + at).ok()?);
            }
            place = (place + 1) % PLACES;
        }
    }
}

/// Where a name is looked for first: by its length and the letters in which names of one length differ most.
fn place(name: &[u8]) -> usize {
    let middle = name.get(name.len() / 2);
    let (Some(first), Some(middle), Some(last)) = (name.first(), middle, name.last()) else {
        return 0;
    };
    let letters = [(*first, 7), (*middle, 61), (*last, 17)];
    let mixed = letters.map(|(letter, weight)| usize::from(letter) * weight);
    (name.len() * 31 + mixed.iter().sum::<usize>()) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_short_enough() {
        for table in [&*KEPT_IN_REQUESTS, &*KEPT_IN_RESPONSES] {
            assert!(table.names.is_sorted());
            for name in table.names {
                assert!(name.len() <= NAME_MAX);
                assert_eq!(table.find(name.as_bytes()).map(Name::as_str), Some(*name));
                assert!(!["cookie", "set-cookie", "authorization"].contains(name));
            }
            for other in ["cookie", "content-length", "x-varnisg", "x", ""] {
                assert_eq!(table.find(other.as_bytes()), None);
            }
        }
    }
}
