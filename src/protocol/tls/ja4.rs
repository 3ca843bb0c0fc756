//! JA4: a fingerprint of what a client offers. In: a ClientHello. Out: 36 characters.
//!
//! The rule: as the published description says (FoxIO, JA4 technical details): a readable part, then twelve
//! hexadecimal digits for the sorted suites, then twelve for the sorted extensions and the signature algorithms. The
//! hash is that of the TLS provider that is compiled in anyway.

use std::fmt::Write as _;

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use crate::protocol::tls::hello::{ClientHello, is_grease};

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// What stands for an empty list.
const NOTHING: &str = "000000000000";
/// Counts are written with two digits.
const COUNT_MAX: usize = 99;

/// The fingerprint of a client that speaks TLS over TCP.
pub(crate) fn of(hello: &ClientHello) -> Box<str> {
    let suites = without_grease(&hello.suites);
    let extensions = without_grease(&hello.extensions);
    let named = if extensions.contains(&SERVER_NAME) {
        'd'
    } else {
        'i'
    };
    let counts = [suites.len(), extensions.len()].map(|count| count.min(COUNT_MAX));
    let [suite_count, extension_count] = counts;
    let mut hashed: Vec<u16> = extensions
        .iter()
        .copied()
        .filter(|kind| !matches!(*kind, SERVER_NAME | ALPN))
        .collect();
    hashed.sort_unstable();
    let mut sorted = suites.clone();
    sorted.sort_unstable();
    let mut offers = list(&hashed);
    let algorithms = without_grease(&hello.signature_algorithms);
    if !algorithms.is_empty() {
        offers.push('_');
        offers.push_str(&list(&algorithms));
    }
    format!(
        "t{}{named}{suite_count:02}{extension_count:02}{}_{}_{}",
        version(hello),
        protocol(hello),
        digest(&list(&sorted), sorted.is_empty()),
        digest(&offers, hashed.is_empty() && algorithms.is_empty()),
    )
    .into()
}

fn without_grease(numbers: &[u16]) -> Vec<u16> {
    numbers
        .iter()
        .copied()
        .filter(|number| !is_grease(*number))
        .collect()
}

fn version(hello: &ClientHello) -> &'static str {
    let listed = hello.versions.iter().copied().filter(|it| !is_grease(*it));
    match listed.max().unwrap_or(hello.version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; where they are no letters or digits, those of its hexadecimal form.
fn protocol(hello: &ClientHello) -> String {
    let Some(name) = hello.alpn.first() else {
        return "00".to_owned();
    };
    match (name.first(), name.last()) {
        (Some(first), Some(last))
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() =>
        {
            [*first, *last].map(char::from).iter().collect()
        }
        (Some(first), Some(last)) => {
            let digits = format!("{first:02x}{last:02x}");
            digits
                .chars()
                .take(1)
                .chain(digits.chars().skip(3))
                .collect()
        }
        _ => "00".to_owned(),
    }
}

fn list(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(numbers.len() * 5);
    for (place, number) in numbers.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{number:04x}");
    }
    text
}

fn digest(text: &str, empty: bool) -> String {
    let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13().filter(|_| !empty) else {
        return NOTHING.to_owned();
    };
    let hash = suite.common.hash_provider.hash(text.as_bytes());
    let mut digits = String::with_capacity(NOTHING.len());
    for byte in hash.as_ref().iter().take(NOTHING.len() / 2) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the published description: Chrome, with GREASE in every list.
    #[test]
    fn the_published_example() {
        let hello = ClientHello {
            version: 0x0303,
            versions: vec![0x6a6a, 0x0304, 0x0303],
            suites: vec![
                0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x1a1a, 0x0000, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005, 0x000d,
                0x0012, 0x0033, 0x002d, 0x002b, 0x001b, 0x4469, 0x2a2a, 0x0015,
            ],
            signature_algorithms: vec![
                0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
            ],
            alpn: vec![b"h2"[..].into(), b"http/1.1"[..].into()],
            ..ClientHello::default()
        };
        assert_eq!(&*of(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn a_client_that_offers_next_to_nothing() {
        let hello = ClientHello {
            version: 0x0301,
            alpn: vec![[0xab, 0x31, 0xcd][..].into()],
            ..ClientHello::default()
        };
        assert_eq!(&*of(&hello), "t10i0000ad_000000000000_000000000000");
    }
}
