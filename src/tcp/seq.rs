//! Sequence numbers. In: 32-bit numbers that wrap. Out: 64-bit stream offsets that do not.
//!
//! The rule: two numbers are compared by their shorter way round the circle (RFC 9293, section 3.4).

/// Farthest that a believable segment or acknowledgement lies from what is known of a stream, in bytes: the
/// largest window that TCP can offer (RFC 7323, section 2.3). Farther ones belong to another connection or
/// are noise.
pub const REACH_MAX: i64 = 1 << 30;

/// Steps from `from` to `to`, negative when `to` comes before.
pub const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// The stream offset of `sequence` where offset 0 has the number `origin`, taken as near as possible to the
/// offset `near`. Negative for numbers before the origin.
pub const fn offset(origin: u32, sequence: u32, near: u64) -> i64 {
    // The low 32 bits of the offset are what the wire shows of it.
    let known = origin.wrapping_add(near as u32);
    (near.cast_signed()).saturating_add(distance(known, sequence) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_goes_the_shorter_way_round() {
        assert_eq!(distance(1, 3), 2);
        assert_eq!(distance(3, 1), -2);
        assert_eq!(distance(u32::MAX, 1), 2);
        assert_eq!(distance(1, u32::MAX), -2);
    }

    #[test]
    fn offsets_grow_past_four_gibibytes() {
        let origin = 0xffff_fff0;
        assert_eq!(offset(origin, 0xffff_fff0, 0), 0);
        assert_eq!(offset(origin, 0x10, 0), 0x20);
        assert_eq!(offset(origin, 0xffff_ffef, 0), -1);
        let near = 5 * (1_u64 << 32) + 7;
        let expected = 5 * (1_i64 << 32) + 9;
        assert_eq!(
            offset(origin, origin.wrapping_add(9), near),
            expected,
            "the fifth time round"
        );
        assert_eq!(
            offset(origin, origin.wrapping_sub(1), 1 << 32),
            (1 << 32) - 1
        );
    }
}
