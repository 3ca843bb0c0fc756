//! What a stapled OCSP response says (RFC 6960, section 4.2). In: DER. Out: status and dates, in words.
//!
//! The rule: only what a reader needs: the first answer's status and how old it is. Signatures are not verified; what does
//! not read is told as such.

use x509_parser::asn1_rs::{FromDer, GeneralizedTime};

use crate::time::{NANOS_PER_SECOND, Timestamp};

const SEQUENCE: u8 = 0x30;
const ENUMERATED: u8 = 0x0a;
const OCTET_STRING: u8 = 0x04;
const GENERALIZED_TIME: u8 = 0x18;
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;
const UNKNOWN: u8 = 0x82;
const VERSION: u8 = 0xa0;
/// Optional fields in front of the answers: version, and either form of the responder's name.
const NEXT_UPDATE: u8 = 0xa0;

/// What the first answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// `good`, `revoked` or `unknown`.
    pub word: &'static str,
    /// When it was known to be so.
    pub this_update: Timestamp,
    /// When newer word is to be had.
    pub next_update: Option<Timestamp>,
}

/// Reads a response.
#[must_use]
pub fn read(der: &[u8]) -> Option<Status> {
    let (_, response, _) = element(der, SEQUENCE)?;
    let (_, status, rest) = element(response, ENUMERATED)?;
    if status != [0] {
        return None;
    }
    let (_, bytes, _) = element(rest, 0xa0)?;
    let (_, bytes, _) = element(bytes, SEQUENCE)?;
    let (_, _, rest) = any(bytes)?;
    let (_, basic, _) = element(rest, OCTET_STRING)?;
    let (_, basic, _) = element(basic, SEQUENCE)?;
    let (_, mut data, _) = element(basic, SEQUENCE)?;
    if let Some((_, _, rest)) = element(data, VERSION) {
        data = rest;
    }
    // Who answers, and when the answer was made.
    let (_, _, rest) = any(data)?;
    let (_, _, rest) = element(rest, GENERALIZED_TIME)?;
    let (_, answers, _) = element(rest, SEQUENCE)?;
    let (_, answer, _) = element(answers, SEQUENCE)?;
    let (_, _, rest) = element(answer, SEQUENCE)?;
    let (tag, _, rest) = any(rest)?;
    let word = match tag {
        GOOD => "good",
        REVOKED => "revoked",
        UNKNOWN => "unknown",
        _ => return None,
    };
    let (this_update, rest) = time(rest)?;
    let next = element(rest, NEXT_UPDATE).and_then(|(_, inner, _)| time(inner));
    Some(Status {
        word,
        this_update,
        next_update: next.map(|(at, _)| at),
    })
}

/// The same in words, with its age at a moment.
#[must_use]
pub fn words(der: &[u8], at: Timestamp) -> String {
    const HOUR_NANOS: i64 = 3_600 * NANOS_PER_SECOND;
    let Some(status) = read(der) else {
        return "a stapled OCSP response that cannot be read, or is an error".to_owned();
    };
    let hours = at.nanos_since(status.this_update) / HOUR_NANOS;
    let stale = match status.next_update {
        Some(next) if at > next => ", out of date",
        _ => "",
    };
    format!(
        "stapled OCSP response: {}, {hours} hours old{stale}",
        status.word
    )
}

fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (_, _, rest) = element(bytes, GENERALIZED_TIME)?;
    let (_, time) = GeneralizedTime::from_der(bytes).ok()?;
    let seconds = time.utc_datetime().ok()?.unix_timestamp();
    Some((Timestamp(seconds.saturating_mul(NANOS_PER_SECOND)), rest))
}

/// The next element, when it has this tag: tag, contents, what follows.
fn element(bytes: &[u8], wanted: u8) -> Option<(u8, &[u8], &[u8])> {
    any(bytes).filter(|(tag, ..)| *tag == wanted)
}

/// The next element of any tag of one byte, with a definite length (X.690, section 8.1).
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let len = digits
                .iter()
                .fold(0_usize, |len, digit| len << 8 | usize::from(*digit));
            (len, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ocsp`, which prints: good, this update Nov 28 19:01:48 2026, next update Nov 30 19:01:48 2026.
    const OF_GOOD: &str = "3081fb0a0100a081f53081f206092b06010505073001010481e43081e1308187a10e300c310a300806035504030c0152180f32303236313132383139303134385a30643062303a300906052b0e03021a050004144073d94b08abe3a184d2a27c97640940bae11f910414e5640e69c3d9ee53d02ec02f5fbecb8bb7ae3b560201018000180f32303236313132383139303134385aa011180f32303236313133303139303134385a300a06082a8648ce3d0403020349003046022100a0b114408efbd4fa7f409605ea90feeda99c314344f16f40fc7460a82891d9b80221008d9b7f4dd24f35805d9544ab957b682d09535041f1fd31bfa0527e319e78cba8";
    /// The same of a certificate that was revoked.
    const OF_REVOKED: &str = "3082010c0a0100a08201053082010106092b06010505073001010481f33081f0308198a10e300c310a300806035504030c0152180f32303236313132383139303134385a30753073303a300906052b0e03021a050004144073d94b08abe3a184d2a27c97640940bae11f910414e5640e69c3d9ee53d02ec02f5fbecb8bb7ae3b56020102a111180f32303236313132383139303134385a180f32303236313132383139303134385aa011180f32303236313133303139303134385a300a06082a8648ce3d040302034700304402202435c42701719a2872c8e58939828c9d1e2691788dd76f723fe600a3695eeb96022025a8f90e81e187eca20722bef09b3ba7249e6cc934ebc704a4573c7786b92fc4";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn responses_of_openssl() {
        let good = read(&bytes(OF_GOOD)).unwrap();
        assert_eq!(good.word, "good");
        assert_eq!(good.this_update.rfc3339(), "2026-11-28T19:01:48.000000000Z");
        assert_eq!(
            good.next_update.unwrap().rfc3339(),
            "2026-11-30T19:01:48.000000000Z"
        );
        assert_eq!(read(&bytes(OF_REVOKED)).unwrap().word, "revoked");
        let later = good.this_update.plus_nanos(50 * 3_600 * NANOS_PER_SECOND);
        assert_eq!(
            words(&bytes(OF_GOOD), later),
            "stapled OCSP response: good, 50 hours old, out of date"
        );
    }

    #[test]
    fn cut_and_changed_responses_never_panic() {
        let good = bytes(OF_GOOD);
        for len in 0..good.len() {
            assert!(!words(&good[..len], Timestamp(0)).is_empty());
            for value in [0, 0x80, 0x84, 0xff] {
                let mut changed = good.clone();
                changed[len] = value;
                let _ = words(&changed, Timestamp(0));
            }
        }
    }
}
