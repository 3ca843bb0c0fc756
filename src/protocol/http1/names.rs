//! The fields that diagnosis reads. In: a field name. Out: its fixed lower-case form, if it is kept.
//!
//! The rule: what is not listed here is counted and forgotten. Cookies and credentials are never listed.

use std::sync::LazyLock;

/// Longest name that is looked up; longer than every name below.
pub const NAME_MAX: usize = 32;

/// Fields of a request that identify it, its client or its gateway. Sorted.
pub static KEPT_IN_REQUESTS: LazyLock<Table> = LazyLock::new(|| {
    Table::of(&[
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
    ])
});

/// Fields of a response that tell who wrote it, and what it announces. Sorted.
pub static KEPT_IN_RESPONSES: LazyLock<Table> = LazyLock::new(|| {
    Table::of(&[
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
    ])
});

/// Places of a [`Table`]'s index: a power of two, and several times as many as names, so that most names that are not kept
/// meet an empty one.
const PLACES: usize = 256;

/// Names with an index: each field of each head is looked up, and most are not kept.
#[derive(Debug)]
pub struct Table {
    names: &'static [&'static str],
    /// By [`place`], and the next free ones: one more than where a name stands, 0 for none.
    index: [u8; PLACES],
}

impl Table {
    fn of(names: &'static [&'static str]) -> Self {
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
        Self { names, index }
    }

    /// The entry that equals `lower`, a name in lower case.
    #[must_use]
    pub fn kept(&self, lower: &[u8]) -> Option<&'static str> {
        let mut place = place(lower);
        loop {
            let at = usize::from(*self.index.get(place)?).checked_sub(1)?;
            let name = *self.names.get(at)?;
            if name.as_bytes() == lower {
                return Some(name);
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
                assert_eq!(table.kept(name.as_bytes()), Some(*name));
                assert!(!["cookie", "set-cookie", "authorization"].contains(name));
            }
            for other in ["cookie", "content-length", "x-varnisg", "x", ""] {
                assert_eq!(table.kept(other.as_bytes()), None);
            }
        }
    }
}
