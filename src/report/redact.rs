//! Takes secrets out of text before it is reported. In: targets and sentences from the wire. Out: the same
//! text with secret values replaced by the class of their length.
//!
//! The rule: what looks like a secret is one; a reader can still see that a value was there, under which
//! key and about how long it was. It leaves out bodies: none enter a report.

use std::borrow::Cow;

use crate::report::secret::{
    fully_decoded, is_secret_key, looks_like_jwt, looks_random, placeholder,
};

/// Headers whose value is a secret to its end.
const SECRET_HEADERS: &[&str] = &[
    "authorization:",
    "proxy-authorization:",
    "cookie:",
    "set-cookie:",
    "x-api-key:",
    "x-auth-token:",
    "x-amz-security-token:",
];

/// Shortest path segment that is taken for a secret: paths hold ids and hashes that a reader needs.
const RANDOM_SEGMENT_MIN: usize = 32;

/// Most addresses inside addresses that are looked into; deeper ones are replaced as a whole. The wire could
/// otherwise ask for as many as a target has characters.
const NESTED_MAX: usize = 2;

/// A request target (RFC 9112, section 3.2) without userinfo and without the values of secret parameters.
#[must_use]
pub fn target(target: &str) -> String {
    nested_target(target, 0)
}

/// A target that was found inside `depth` others.
fn nested_target(target: &str, depth: usize) -> String {
    let (target, fragment) = split_at_first(target, '#');
    let (path, query) = split_at_first(target, '?');
    let mut shown = without_userinfo(path)
        .split_inclusive('/')
        .map(|part| segment(part, depth))
        .collect::<String>();
    shown.push_str(&pairs(query, depth));
    shown.push_str(&pairs(fragment, depth));
    shown
}

/// A sentence that may quote the wire: words that are targets, parameters, credentials or signed tokens,
/// and the values of headers that carry them.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    for (colon, _) in text.match_indices(':') {
        let before = text.get(done..=colon).unwrap_or_default();
        if !ends_in_secret_header(before) {
            continue;
        }
        let value = header_value(text.get(colon + 1..).unwrap_or_default());
        let bare = value.trim_start();
        if !bare.is_empty() {
            shown.push_str(&words(before));
            shown.push_str(value.get(..value.len() - bare.len()).unwrap_or_default());
            shown.push_str(&placeholder(bare));
            done = colon + 1 + value.len();
        }
    }
    shown.push_str(&words(text.get(done..).unwrap_or_default()));
    shown
}

fn ends_in_secret_header(text: &str) -> bool {
    SECRET_HEADERS.iter().any(|name| {
        let start = text.len().checked_sub(name.len());
        start
            .and_then(|start| text.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
    })
}

/// What follows a header's colon, up to the end of its line or quotation.
fn header_value(text: &str) -> &str {
    let len = text.find(['"', '\r', '\n', '`']).unwrap_or(text.len());
    text.get(..len).unwrap_or_default()
}

fn words(text: &str) -> String {
    let stops =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '(' | ')' | '<' | '>');
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(stops) {
        let word = piece.trim_end_matches(stops);
        shown.push_str(&self::word(word));
        shown.push_str(piece.get(word.len()..).unwrap_or_default());
    }
    shown
}

fn word(word: &str) -> Cow<'_, str> {
    if word.contains('?') || word.contains("://") || word.starts_with('/') {
        return Cow::Owned(target(word));
    }
    if word.contains('=') {
        return Cow::Owned(pairs(word, 0));
    }
    if looks_like_jwt(word) {
        return Cow::Owned(placeholder(word));
    }
    Cow::Borrowed(word)
}

/// `http://user:password@host/` without the credentials (RFC 3986, section 3.2.1).
fn without_userinfo(path: &str) -> Cow<'_, str> {
    let start = path.find("://").map_or(0, |at| at + 3);
    let authority = path.get(start..).unwrap_or_default();
    // The authority form of CONNECT has no scheme; in a path an @ is a plain character.
    if start == 0 && authority.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let len = authority.find('/').unwrap_or(authority.len());
    let Some(at) = authority.get(..len).and_then(|name| name.rfind('@')) else {
        return Cow::Borrowed(path);
    };
    let (scheme, userinfo) = (path.get(..start), authority.get(..at));
    let host = authority.get(at..);
    Cow::Owned(format!(
        "{}{}{}",
        scheme.unwrap_or_default(),
        placeholder(userinfo.unwrap_or_default()),
        host.unwrap_or_default()
    ))
}

/// One path segment with its matrix parameters (`;jsessionid=`).
fn segment(segment: &str, depth: usize) -> String {
    let (name, parameters) = split_at_first(segment, ';');
    let slash = if name.ends_with('/') { "/" } else { "" };
    let bare = name.strip_suffix('/').unwrap_or(name);
    let secret = looks_like_jwt(bare) || (bare.len() >= RANDOM_SEGMENT_MIN && looks_random(bare));
    let shown = if secret {
        format!("{}{slash}", placeholder(bare))
    } else {
        name.to_owned()
    };
    shown + &pairs(parameters, depth)
}

/// `?a=1&token=x`: the separators stay, each value is judged by its key and its look.
fn pairs(query: &str, depth: usize) -> String {
    query
        .split_inclusive(['?', '&', ';', '#'])
        .map(|piece| {
            let body = piece.trim_end_matches(['?', '&', ';', '#']);
            let separator = piece.get(body.len()..).unwrap_or_default();
            format!("{}{separator}", pair(body, depth))
        })
        .collect()
}

fn pair(pair: &str, depth: usize) -> Cow<'_, str> {
    let Some((key, value)) = pair.split_once('=') else {
        return bare(pair, depth);
    };
    // The last slash of a path that ends in a value belongs to the path.
    let (value, slash) = match value.strip_suffix('/') {
        Some(bare) => (bare, "/"),
        None => (value, ""),
    };
    let Some(decoded) = fully_decoded(value) else {
        return Cow::Owned(format!("{key}={}{slash}", placeholder(value)));
    };
    let nested = decoded.contains("://") || decoded.contains('?') && decoded.contains('=');
    let secret = is_secret_key(key) || looks_like_jwt(&decoded) || looks_random(&decoded);
    if value.is_empty() {
        Cow::Borrowed(pair)
    } else if secret || nested && depth >= NESTED_MAX {
        Cow::Owned(format!("{key}={}{slash}", placeholder(value)))
    } else if nested {
        // A return address may itself carry a secret; where it does not, it stays as it was written.
        let shown = nested_target(&decoded, depth + 1);
        match shown == decoded {
            true => Cow::Borrowed(pair),
            false => Cow::Owned(format!("{key}={shown}{slash}")),
        }
    } else {
        Cow::Borrowed(pair)
    }
}

/// A parameter without a value, or with an encoded equals sign.
fn bare(word: &str, depth: usize) -> Cow<'_, str> {
    let Some(decoded) = fully_decoded(word) else {
        return Cow::Owned(placeholder(word));
    };
    let hides_pairs = decoded.contains('=') && decoded != word;
    if looks_like_jwt(&decoded) || looks_random(&decoded) || hides_pairs && depth >= NESTED_MAX {
        return Cow::Owned(placeholder(word));
    }
    if hides_pairs {
        let shown = pairs(&decoded, depth + 1);
        if shown != decoded {
            return Cow::Owned(shown);
        }
    }
    Cow::Borrowed(word)
}

/// The text before the first `separator`, and the rest with it.
fn split_at_first(text: &str, separator: char) -> (&str, &str) {
    text.find(separator)
        .map_or((text, ""), |at| text.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example token of RFC 7519, section 3.1, shortened.
    const JWT: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r";

    #[test]
    fn secret_keys_lose_their_values_and_nothing_else_does() {
        assert_eq!(
            target("/a?page=2&token=hunter2&q=cats#x"),
            "/a?page=2&token=<redacted:1-7>&q=cats#x"
        );
        for key in [
            "access_token",
            "api-key",
            "APIKEY",
            "%74oken",
            "X-Amz-Signature",
            "PHPSESSID",
            "code",
        ] {
            let shown = target(&format!("/cb?{key}=canary99"));
            assert_eq!(shown, format!("/cb?{key}=<redacted:8-15>"));
        }
        for plain in [
            "/",
            "*",
            "/orders/42?author=me&keyword=x&sort=code",
            "/a//b/;x?y",
            "/search?q=summer-sale-landing-page-2026",
            "/t?at=2026-11-20T13:00:00Z&n=12345678901234567890123",
            "/é?ü=ö&a=%zz%4",
            "host.example:443",
        ] {
            assert_eq!(target(plain), plain);
        }
    }

    #[test]
    fn what_looks_secret_is_one_under_any_key() {
        assert_eq!(target(&format!("/a?x={JWT}")), "/a?x=<redacted:jwt:64-255>");
        assert_eq!(
            target(&format!("/verify/{JWT}/now")),
            "/verify/<redacted:jwt:64-255>/now"
        );
        assert_eq!(
            target("/a?h=9f86d081884c7d659a2feaa0c55ad015"),
            "/a?h=<redacted:32-63>"
        );
        assert_eq!(
            target("/a;jsessionid=8A2F/b?x=1"),
            "/a;jsessionid=<redacted:1-7>/b?x=1"
        );
    }

    #[test]
    fn userinfo_and_nested_addresses() {
        assert_eq!(
            target("http://user:canary@h.example/x?y=1"),
            "http://<redacted:8-15>@h.example/x?y=1"
        );
        assert_eq!(target("/@scope/package"), "/@scope/package");
        let nested = target("/login?next=https%3A%2F%2Fa.example%2F%3Ftoken%3Dcanary");
        assert!(!nested.contains("canary"), "{nested}");
    }

    #[test]
    fn addresses_inside_addresses_end() {
        let mut deep = "token=canary".to_owned();
        for _ in 0..64 {
            deep = format!("u=x://?{deep}")
                .replace('?', "%3F")
                .replace("u%3F", "u=");
            let shown = target(&format!("/?{deep}"));
            assert!(shown.contains("<redacted:") && !shown.contains("canary"));
        }
        let mut encoded = "https://a.example/?token=canary"
            .replace('/', "%2F")
            .replace('=', "%3D");
        for _ in 0..64 {
            encoded = encoded.replace('%', "%25");
            let shown = target(&format!("/login?next={encoded}&page=2"));
            assert!(!shown.contains("canary") && shown.ends_with("&page=2"));
        }
        let clean = "/login?next=https%3A%2F%2Fa.example%2F%3Fpage%3D2";
        assert_eq!(target(clean), clean);
    }

    #[test]
    fn sentences_that_quote_the_wire() {
        assert_eq!(
            sentence("GET /x?sig=canary HTTP/1.1 was answered with \"502 Bad Gateway\""),
            "GET /x?sig=<redacted:1-7> HTTP/1.1 was answered with \"502 Bad Gateway\""
        );
        assert_eq!(
            sentence("the head says \"Authorization: Basic Y2FuYXJ5\" at byte 40"),
            "the head says \"Authorization: <redacted:8-15>\" at byte 40"
        );
        let both = sentence("cookie: a=canary; b\nSet-Cookie: canary");
        assert!(!both.contains("canary"), "{both}");
        let plain = "RST 0.3 ms after the SYN, seq=1 ack=2 (nothing listens on 10.0.0.1:80)";
        assert_eq!(sentence(plain), plain);
    }

    #[test]
    fn odd_text_neither_fails_nor_hangs() {
        for text in [
            "",
            "?",
            "=&=&",
            "cookie:",
            "cookie: \"cookie: x",
            "a://@",
            "%",
            "%4",
            "\u{0}?\u{ffff}=",
            "://@/",
        ] {
            let _ = (target(text), sentence(text));
        }
    }
}
