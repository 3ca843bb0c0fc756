//! Reading clues from headers and pages. In: header values and the first bytes of a body. Out: names,
//! versions and texts that are safe to print.
//!
//! The rule: the wire chose these bytes, so only harmless characters leave this file, and few of them.

/// Longest version that is repeated; real ones are shorter (`1.21.4.1`, `2.4.71`).
const VERSION_MAX: usize = 24;

/// Whether `product` stands in `value` as a product token (RFC 9110, section 10.1.5), in any case; inside,
/// its version, where it announces one.
#[must_use]
pub fn product(value: &str, product: &str) -> Option<Option<String>> {
    value
        .split(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | ')' | ',' | ';'))
        .find_map(|token| {
            let (name, version) = match token.split_once('/') {
                Some((name, version)) => (name, Some(version)),
                None => (token, None),
            };
            name.eq_ignore_ascii_case(product)
                .then(|| version.and_then(harmless))
        })
}

/// A version as it may be printed: its leading letters, digits, dots, hyphens and pluses.
fn harmless(version: &str) -> Option<String> {
    let kept: String = version
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'))
        .take(VERSION_MAX)
        .collect();
    (!kept.is_empty()).then_some(kept)
}

/// Whether `body` holds `text`, byte for byte.
#[must_use]
pub fn holds(body: &[u8], text: &str) -> bool {
    find(body, text.as_bytes()).is_some()
}

/// Where `text` stands first. Bodies are short and each is asked for many texts: making ready for each, as a searcher for long
/// ones does, took longer than looking.
fn find(body: &[u8], text: &[u8]) -> Option<usize> {
    let (first, rest) = text.split_first()?;
    let here = |at: &usize| {
        body.get(at + 1..)
            .is_some_and(|body| body.starts_with(rest))
    };
    memchr::memchr_iter(*first, body).find(here)
}

/// What stands in `body` between `before` and the next `after`, if that is text.
#[must_use]
pub fn between<'a>(body: &'a [u8], before: &str, after: &str) -> Option<&'a str> {
    let start = find(body, before.as_bytes())?.checked_add(before.len())?;
    let rest = body.get(start..)?;
    let end = find(rest, after.as_bytes())?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The whole body as text without the space around it; `None` where it is not text.
#[must_use]
pub fn text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_tokens_are_whole_words() {
        assert_eq!(
            product("nginx/1.22.1 (Ubuntu)", "nginx"),
            Some(Some("1.22.1".into()))
        );
        assert_eq!(product("openresty", "OpenResty"), Some(None));
        assert_eq!(product("nginxish/1", "nginx"), None);
        assert_eq!(
            product("1.1 host (squid/5.7)", "squid"),
            Some(Some("5.7".into()))
        );
    }

    #[test]
    fn versions_carry_nothing_harmful() {
        assert_eq!(
            product("nginx/1.2\u{1b}[31m", "nginx"),
            Some(Some("1.2".into()))
        );
        assert_eq!(product("nginx/\u{1b}", "nginx"), Some(None));
        let long = format!("nginx/{}", "9".repeat(400));
        assert_eq!(product(&long, "nginx"), Some(Some("9".repeat(VERSION_MAX))));
    }

    #[test]
    fn texts_between_marks() {
        assert_eq!(between(b"a<b>c</b>", "<b>", "</b>"), Some("c"));
        assert_eq!(between(b"a<b>c", "<b>", "</b>"), None);
        assert_eq!(between(b"<b>\xff</b>", "<b>", "</b>"), None);
        assert_eq!(text(b" no healthy upstream\n"), Some("no healthy upstream"));
    }
}
