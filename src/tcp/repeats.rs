//! Payload that is seen again. In: the payload of one direction as it comes. Out: whether its repetition may be a
//! retransmission, and how many of its bytes have changed.
//!
//! The rule: a sender needs a timer, or three acknowledgements that took the way there and back, before it repeats
//! anything. What comes sooner is the same packet on another way to the capture: a copy whose IP id a card or a bridge
//! has changed, or the pieces of a larger packet. Left out: bytes far into a segment are not compared.

use crate::tcp::reorder::Piece;

/// Soonest that payload is taken for a retransmission after it was first seen, in nanoseconds. Timers take 200 ms
/// (Linux TCP_RTO_MIN) or a second (RFC 6298); a fast retransmission inside a data centre may be taken for a copy,
/// which costs a count and no verdict.
pub const RETRANSMISSION_NANOS_MIN: u64 = 5_000_000;

/// Segments whose beginnings are kept: a head that is sent again is seldom followed by more.
const KEPT_MAX: usize = 2;

/// Bytes of each that are kept: a status line, or the beginning of a request line. Every connection has room for them.
const KEPT_BYTES_MAX: usize = 19;

/// What is known of the latest payload of a direction.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// All before this offset is older than [`RETRANSMISSION_NANOS_MIN`].
    old: u64,
    /// All before this offset was seen before `since`.
    recent: u64,
    /// When the bytes from `recent` on began to come, nanoseconds.
    since: i64,
    /// The latest first.
    kept: [Kept; KEPT_MAX],
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Low half of the stream offset.
    start: u32,
    len: u8,
    bytes: [u8; KEPT_BYTES_MAX],
}

impl Repeats {
    /// Notes a piece with new bytes; all before `sent` had been seen before it.
    pub(super) fn note(&mut self, piece: &Piece<'_>, sent: u64, now: i64) {
        if now.abs_diff(self.since) >= RETRANSMISSION_NANOS_MIN {
            (self.old, self.recent, self.since) = (self.recent, sent, now);
        }
        let mut kept = Kept {
            start: piece.start as u32,
            ..Kept::default()
        };
        let len = piece.bytes.len().min(KEPT_BYTES_MAX);
        if let (Some(room), Some(first)) = (kept.bytes.get_mut(..len), piece.bytes.get(..len)) {
            room.copy_from_slice(first);
            kept.len = len as u8;
        }
        self.kept.rotate_right(1);
        if let Some(first) = self.kept.first_mut() {
            *first = kept;
        }
    }

    /// Whether bytes up to `end`, all seen before, the `latest` new ones of them then, are seen again too soon to have
    /// been sent again.
    pub(super) fn is_too_soon(&self, end: u64, latest: i64, now: i64) -> bool {
        let near = |time: i64| now.abs_diff(time) < RETRANSMISSION_NANOS_MIN;
        near(latest) && end > self.old && (near(self.since) || end > self.recent)
    }

    /// How many bytes at the beginning of a piece differ from what was seen there first.
    pub(super) fn differing(&self, piece: &Piece<'_>) -> u64 {
        let at = piece.start as u32;
        let kept = self.kept.iter().find(|kept| kept.start == at);
        let known = kept.and_then(|kept| kept.bytes.get(..usize::from(kept.len)));
        let pairs = known.unwrap_or_default().iter().zip(piece.bytes);
        pairs.filter(|(a, b)| a != b).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: i64 = 1_000_000;

    fn piece(start: u64, bytes: &[u8]) -> Piece<'_> {
        Piece {
            start,
            bytes,
            len: bytes.len() as u64,
        }
    }

    #[test]
    fn a_repetition_takes_milliseconds() {
        let mut repeats = Repeats::default();
        let start = 1_000_000 * MILLI;
        for step in 0..100 {
            let sent = step as u64 * 10;
            repeats.note(&piece(sent, &[7; 10]), sent, start + step * MILLI);
        }
        let (latest, now) = (start + 99 * MILLI, start + 100 * MILLI);
        assert!(repeats.is_too_soon(1_000, latest, now), "1 ms old");
        assert!(repeats.is_too_soon(990, latest, now), "2 ms old");
        assert!(!repeats.is_too_soon(900, latest, now), "11 ms old");
        assert!(!repeats.is_too_soon(1_000, latest, latest + 5 * MILLI));
    }

    #[test]
    fn a_clock_that_was_set_back_proves_nothing_of_haste() {
        let mut repeats = Repeats::default();
        repeats.note(&piece(0, b"abc"), 0, 1_000_000 * MILLI);
        assert!(!repeats.is_too_soon(3, 1_000_000 * MILLI, 5));
    }

    #[test]
    fn bytes_are_compared_with_the_first_ones_at_the_same_place() {
        let mut repeats = Repeats::default();
        repeats.note(&piece(0, b"HTTP/1.1 200"), 0, 0);
        repeats.note(&piece(12, b" OK"), 12, 0);
        assert_eq!(repeats.differing(&piece(0, b"HTTP/1.1 500")), 1);
        assert_eq!(repeats.differing(&piece(0, b"HTTP")), 0);
        assert_eq!(repeats.differing(&piece(12, b" No, and more")), 2);
        assert_eq!(repeats.differing(&piece(5, b"?")), 0, "unknown");
        for start in 20..20 + KEPT_MAX as u64 {
            repeats.note(&piece(start, b"x"), start, 0);
        }
        assert_eq!(repeats.differing(&piece(0, b"FTP")), 0, "forgotten");
    }
}
