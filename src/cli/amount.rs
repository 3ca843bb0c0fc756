//! Amounts as people type them. In: a word. Out: bytes or nanoseconds.

use gwcap::capture::RING_BYTES_MIN;
use gwcap::time::NANOS_PER_SECOND;

/// Longest time around a failure: what the largest ring holds is shorter.
const TIME_MAX_NANOS: i64 = 24 * 3_600 * NANOS_PER_SECOND;

/// A size in bytes: K, M and G are powers of 1024.
pub fn bytes(word: &str) -> Result<u64, String> {
    let (number, factor) = match word.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (word.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (word.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (word.get(..at), 1 << 30),
        _ => (Some(word), 1),
    };
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a size is a number, with K, M or G where wanted: 64M".to_owned())
}

/// The size of a file as tcpdump takes it: a bare number counts millions of bytes.
pub fn millions(word: &str) -> Result<u64, String> {
    let size = match word.parse::<u64>() {
        Ok(number) => number.checked_mul(1_000_000),
        Err(_) => Some(bytes(word)?),
    };
    size.filter(|size| *size > 0)
        .ok_or_else(|| "the size is out of range".to_owned())
}

/// The size of a ring.
pub fn ring_bytes(word: &str) -> Result<usize, String> {
    let size = usize::try_from(bytes(word)?).unwrap_or(usize::MAX);
    if size < RING_BYTES_MIN {
        return Err(format!("a ring has at least {}M", RING_BYTES_MIN >> 20));
    }
    Ok(size)
}

/// A time in nanoseconds: `10s`, `500ms`, `2m`; a bare number counts seconds.
pub fn nanos(word: &str) -> Result<i64, String> {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = word
        .strip_suffix(unit)
        .and_then(|number| number.parse().ok());
    let factor = match unit {
        "ms" => NANOS_PER_SECOND / 1_000,
        "s" | "" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => 0,
    };
    number
        .filter(|_| factor > 0)
        .and_then(|number: i64| number.checked_mul(factor))
        .filter(|nanos| *nanos <= TIME_MAX_NANOS)
        .ok_or_else(|| "a time is a number with ms, s, m or h, at most 24h: 10s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("64M"), Ok(67_108_864));
        assert_eq!((bytes("7"), bytes("2k")), (Ok(7), Ok(2_048)));
        assert_eq!((millions("2"), millions("2K")), (Ok(2_000_000), Ok(2_048)));
        for word in ["", "M", "1T", "-1", "1.5G", "99999999999G"] {
            assert!(bytes(word).is_err(), "{word}");
        }
        assert!(millions("0").is_err());
        assert!(ring_bytes("1M").is_err());
        assert_eq!(ring_bytes("2M"), Ok(2 << 20));
    }

    #[test]
    fn times() {
        assert_eq!(
            (nanos("10s"), nanos("3")),
            (Ok(10_000_000_000), Ok(3_000_000_000))
        );
        assert_eq!(
            (nanos("500ms"), nanos("2m")),
            (Ok(500_000_000), Ok(120_000_000_000))
        );
        for word in ["", "s", "1d", "-1s", "25h", "9223372036854775807h"] {
            assert!(nanos(word).is_err(), "{word}");
        }
    }
}
