//! What a secret looks like. In: names and values of parameters. Out: whether to hide them, and what to show
//! in their place.
//!
//! The rule: in doubt it is one. It leaves out where secrets stand: `redact` knows that.

use std::borrow::Cow;

/// Names of query parameters whose value is a secret, compared without case and separators.
const SECRET_KEYS: &[&str] = &[
    "auth",
    "authorization",
    "bearer",
    "code",
    "cookie",
    "hmac",
    "jwt",
    "key",
    "nonce",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "pin",
    "private",
    "pwd",
    "samlrequest",
    "samlresponse",
    "sid",
    "sig",
    "sso",
    "ticket",
    "totp",
];

/// Parts of names that make any value a secret: `x-amz-security-token`, `client_secret`, `PHPSESSID`.
const SECRET_KEY_PARTS: &[&str] = &[
    "accesskey",
    "apikey",
    "assertion",
    "credential",
    "passw",
    "privatekey",
    "secret",
    "sessid",
    "session",
    "signature",
    "token",
];

/// Shortest value that can be told from a word by its randomness, characters.
const RANDOM_MIN: usize = 20;

/// Most percent-encodings of one value that are taken off; what lies under more hides on purpose.
const DECODED_MAX: usize = 4;

/// Whether a query parameter of this name holds a secret.
pub fn is_secret_key(key: &str) -> bool {
    let plain: String = percent_decoded(key)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_KEYS.contains(&plain.as_str())
        || SECRET_KEY_PARTS.iter().any(|part| plain.contains(part))
}

/// Three parts of base64url of which the first begins as `{"` does (RFC 7519, section 3).
pub fn looks_like_jwt(value: &str) -> bool {
    value.starts_with("eyJ") && value.len() >= RANDOM_MIN && value.split('.').count() >= 2
}

/// Whether a value is long and changes between letters and digits, or small and capital letters, as often as
/// random text does: base64, hex, a UUID. Words, dates and numbers do not.
pub fn looks_random(value: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '=' | '.' | '~');
    if value.len() < RANDOM_MIN || !value.chars().all(allowed) {
        return false;
    }
    let kind = |c: char| match c {
        'a'..='z' => Some(0),
        'A'..='Z' => Some(1),
        '0'..='9' => Some(2),
        _ => None,
    };
    let kinds: Vec<u8> = value.chars().filter_map(kind).collect();
    let changes = kinds
        .windows(2)
        .filter(|pair| pair.first() != pair.last())
        .count();
    kinds.len() >= RANDOM_MIN - RANDOM_MIN / 5 && changes * 5 >= kinds.len()
}

/// What stands for a secret: the class of its length, so that its shape is kept and its length is not told.
pub fn placeholder(secret: &str) -> String {
    let class = match secret.chars().count() {
        0..=7 => "1-7",
        8..=15 => "8-15",
        16..=31 => "16-31",
        32..=63 => "32-63",
        64..=255 => "64-255",
        _ => "256+",
    };
    let kind = if looks_like_jwt(secret) { "jwt:" } else { "" };
    format!("<redacted:{kind}{class}>")
}

/// A value without its percent-encodings, however many lie over each other as they do after redirects; `None`
/// where there are more than a few.
pub fn fully_decoded(value: &str) -> Option<Cow<'_, str>> {
    let mut decoded = Cow::Borrowed(value);
    for _ in 0..DECODED_MAX {
        let next = percent_decoded(&decoded).into_owned();
        if next == decoded {
            return Some(decoded);
        }
        decoded = Cow::Owned(next);
    }
    None
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_text_is_told_from_words() {
        for random in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "dGhpc0lzQVNlY3JldDEyMw==",
        ] {
            assert!(looks_random(random), "{random}");
        }
        for plain in [
            "summer-sale-landing-page-2026",
            "12345678901234567890123",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "short1A2",
        ] {
            assert!(!looks_random(plain), "{plain}");
        }
    }

    #[test]
    fn encodings_come_off_up_to_the_limit() {
        assert_eq!(fully_decoded("a%2520b").unwrap(), "a b");
        assert_eq!(fully_decoded("100%").unwrap(), "100%");
        assert_eq!(fully_decoded(&format!("%{}20", "25".repeat(40))), None);
    }

    #[test]
    fn a_placeholder_tells_the_class_of_the_length_alone() {
        assert_eq!(placeholder("hunter2"), "<redacted:1-7>");
        assert_eq!(placeholder(&"x".repeat(300)), "<redacted:256+>");
    }
}
