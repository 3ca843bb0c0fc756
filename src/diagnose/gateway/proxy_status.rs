//! The Proxy-Status field (RFC 9209). In: its value. Out: the cause that a gateway itself tells in it.
//!
//! The rule: only error types that stand for one cause are read; those that stand for several tell nothing.

use crate::diagnose::gateway::product::header;
use crate::protocol::observation::ResponseHead;

/// Error types of the registry (RFC 9209, section 2.3) and the cause that each is, as `code` or `code:detail`.
const ERRORS: &[(&str, &str)] = &[
    ("dns_timeout", "dns-timeout"),
    ("destination_not_found", "no-upstream-attempt:no-route"),
    (
        "destination_unavailable",
        "no-upstream-attempt:no-live-upstream",
    ),
    ("destination_ip_prohibited", "no-upstream-attempt:policy"),
    ("connection_refused", "connect-refused"),
    ("connection_timeout", "connect-timeout"),
    (
        "connection_limit_reached",
        "no-upstream-attempt:pool-overflow",
    ),
    ("connection_read_timeout", "response-timeout"),
    ("http_response_timeout", "response-timeout"),
    ("proxy_loop_detected", "no-upstream-attempt:loop-detected"),
    ("proxy_configuration_error", "no-upstream-attempt:no-route"),
];

/// The cause that the last gateway on the way tells: each adds its own entry at the end (RFC 9209, section 2).
#[must_use]
pub fn cause(head: &ResponseHead) -> Option<&'static str> {
    let value = header(&head.kept, "proxy-status")?;
    let last = value.rsplit(',').next()?;
    let error = last
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("error="))?;
    let told = ERRORS.iter().find(|(name, _)| *name == error.trim())?;
    Some(told.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::fixture::response;

    #[test]
    fn the_last_gateway_is_heard() {
        let told = |value: &str| {
            let head = format!("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: {value}\r\n\r\n");
            cause(&response(Box::leak(head.into_boxed_str())))
        };
        assert_eq!(
            told("proxy.example; error=connection_refused"),
            Some("connect-refused")
        );
        assert_eq!(
            told("inner; error=dns_timeout, outer; error=connection_limit_reached; details=\"x\""),
            Some("no-upstream-attempt:pool-overflow")
        );
        assert_eq!(told("outer; received-status=502"), None);
        assert_eq!(told("outer; error=connection_terminated"), None);
        assert_eq!(told(";;,=error=,"), None);
    }
}
