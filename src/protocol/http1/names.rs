//! The fields that diagnosis reads. In: a field name. Out: its fixed lower-case form, if it is kept.
//!
//! The rule: what is not listed here is counted and forgotten. Cookies and credentials are never listed.

/// Longest name that is looked up; longer than every name below.
pub const NAME_MAX: usize = 32;

/// Fields of a request that identify it, its client or its gateway. Sorted.
pub const KEPT_IN_REQUESTS: &[&str] = &[
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
];

/// Fields of a response that tell who wrote it, and what it announces. Sorted.
pub const KEPT_IN_RESPONSES: &[&str] = &[
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

/// The entry of `table` that equals `lower`, a name in lower case.
#[must_use]
pub fn kept(table: &'static [&'static str], lower: &[u8]) -> Option<&'static str> {
    let at = table
        .binary_search_by(|entry| entry.as_bytes().cmp(lower))
        .ok()?;
    table.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_short_enough() {
        for table in [KEPT_IN_REQUESTS, KEPT_IN_RESPONSES] {
            assert!(table.is_sorted());
            for name in table {
                assert!(name.len() <= NAME_MAX);
                assert_eq!(kept(table, name.as_bytes()), Some(*name));
                assert!(!["cookie", "set-cookie", "authorization"].contains(name));
            }
            assert_eq!(kept(table, b"cookie"), None);
        }
    }
}
