//! What a request starts with. In: the first bytes of a segment. Out: whether they start a request.
//!
//! The rule: where nothing else speaks for HTTP, only the methods of the IANA registry count, since
//! text protocols start their lines with a word and a space too.

use crate::protocol::http1::syntax::is_token_byte;
use crate::protocol::parser::Verdict;

/// Methods of the IANA registry (RFC 9110, section 16.1) and those that caches and proxies add.
const METHODS: &[&[u8]] = &[
    b"ACL",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"OPTIONS",
    b"ORDERPATCH",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"PUT",
    b"QUERY",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"TRACE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UPDATE",
    b"UPDATEREDIRECTREF",
    b"VERSION-CONTROL",
];

/// Longest method that a probe waits for; the longest registered one has 17 letters.
const METHOD_MAX: usize = 32;

/// Whether a segment starts like a request: a registered method and a space.
#[must_use]
pub fn looks_like_request(bytes: &[u8]) -> bool {
    method(bytes).is_some_and(|method| METHODS.binary_search(&method).is_ok())
}

/// Whether a segment starts like a response.
#[must_use]
pub fn looks_like_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.")
}

/// Whether bytes are the start of [`looks_like_response`]'s mark, or start with it.
#[must_use]
pub fn may_be_response(bytes: &[u8]) -> bool {
    let mark = b"HTTP/1.";
    let len = bytes.len().min(mark.len());
    bytes.get(..len) == mark.get(..len)
}

fn method(bytes: &[u8]) -> Option<&[u8]> {
    let space = memchr::memchr(b' ', bytes.get(..=METHOD_MAX).unwrap_or(bytes))?;
    bytes.get(..space)
}

/// Judges the first bytes of a client and of a server.
#[must_use]
pub fn probe(client: &[u8], server: &[u8]) -> Verdict {
    if looks_like_response(server) {
        return Verdict::Yes;
    }
    let client = trim_blank(client);
    let decided = match method(client) {
        Some(method) if METHODS.binary_search(&method).is_ok() => Verdict::Yes,
        // The preface of HTTP/2.
        Some(b"PRI") => Verdict::No,
        Some(method) if is_method(method) => target(client.get(method.len() + 1..)),
        Some(_) => Verdict::No,
        None if client.len() <= METHOD_MAX && is_method(client) => Verdict::More,
        None => Verdict::No,
    };
    match decided {
        Verdict::More if !server.is_empty() && !may_be_response(server) => Verdict::No,
        decided => decided,
    }
}

/// An unknown method counts when its target looks like one of HTTP (RFC 9112, section 3.2).
fn target(bytes: Option<&[u8]>) -> Verdict {
    match bytes.unwrap_or_default() {
        [] | b"h" | b"ht" | b"htt" => Verdict::More,
        [b'/', ..] | [b'h', b't', b't', b'p', ..] => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn is_method(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is_token_byte(*byte))
}

fn trim_blank(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    bytes
        .get(bytes.iter().take_while(blank).count()..)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_sorted() {
        assert!(METHODS.is_sorted());
    }

    #[test]
    fn requests_by_their_first_bytes() {
        assert!(looks_like_request(b"GET / HTTP/1.1"));
        assert!(looks_like_request(b"VERSION-CONTROL /x"));
        assert!(!looks_like_request(b"GET"));
        assert!(!looks_like_request(b"220 mail.test ESMTP"));
        assert!(!looks_like_request(b"HTTP/1.1 200 OK"));
        assert!(!looks_like_request(b""));
    }

    #[test]
    fn probes_wait_only_while_they_must() {
        assert_eq!(probe(b"GET /", b""), Verdict::Yes);
        assert_eq!(probe(b"\r\nGET /", b""), Verdict::Yes);
        assert_eq!(probe(b"GE", b""), Verdict::More);
        assert_eq!(probe(b"GE", b"HT"), Verdict::More);
        assert_eq!(probe(b"GE", b"SSH"), Verdict::No);
        assert_eq!(probe(b"SPAM /x", b""), Verdict::Yes);
        assert_eq!(probe(b"SPAM ", b""), Verdict::More);
        assert_eq!(probe(b"get key", b""), Verdict::No, "memcached");
        assert_eq!(probe(b"PRI * HTTP/2.0", b""), Verdict::No);
        assert_eq!(probe(b"\x16\x03\x01", b""), Verdict::No);
        assert_eq!(probe(b"\x01\x01\x00\x01", b""), Verdict::No, "FastCGI");
        assert_eq!(probe(b"", b"HTTP/1.0 408"), Verdict::Yes);
        assert_eq!(probe(&[b'A'; 64], b""), Verdict::No);
        assert_eq!(probe(b"", b""), Verdict::More);
    }
}
