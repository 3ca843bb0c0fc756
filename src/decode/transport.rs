//! TCP and UDP headers. In: an IP payload with both of its lengths. Out: their fields and payload, borrowed.
//!
//! The rule: the first 20 bytes of a TCP header are enough, because a snap length of 64 cuts the options off; that is
//! why this is not etherparse's `TcpSlice`, which wants them all.

use crate::decode::segment::TcpFlags;

/// Bytes of a TCP header without options (RFC 9293, section 3.1).
const TCP_HEADER_MIN: usize = 20;

/// Bytes of a UDP header (RFC 768).
const UDP_HEADER: usize = 8;

/// The option of Multipath TCP (RFC 8684, section 9.1).
const MULTIPATH: u8 = 30;

/// A TCP header and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp<'a> {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
    pub(super) options: Options,
    pub(super) payload: &'a [u8],
    pub(super) payload_len: u32,
}

/// The options that are looked at (RFC 7323, RFC 8684).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) window_scale: Option<u8>,
    pub(super) timestamps: Option<(u32, u32)>,
    /// Any option of Multipath TCP.
    pub(super) multipath: bool,
}

/// A UDP header and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Udp<'a> {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) payload: &'a [u8],
    pub(super) payload_len: u32,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The capture cut it.
    Cut,
    Malformed,
}

/// What it means that `needed` bytes are not in `data`, of which `wire_len` were on the wire.
fn short(needed: usize, wire_len: usize) -> Refusal {
    if wire_len < needed {
        Refusal::Malformed
    } else {
        Refusal::Cut
    }
}

/// Reads a TCP header.
pub(super) fn tcp(data: &[u8], wire_len: usize) -> Result<Tcp<'_>, Refusal> {
    let header = data
        .first_chunk::<TCP_HEADER_MIN>()
        .ok_or_else(|| short(TCP_HEADER_MIN, wire_len))?;
    let [
        a,
        b,
        c,
        d,
        s0,
        s1,
        s2,
        s3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = *header;
    let header_len = usize::from(offset >> 4).saturating_mul(4);
    if header_len < TCP_HEADER_MIN || header_len > wire_len {
        return Err(Refusal::Malformed);
    }
    let option_bytes = data.get(TCP_HEADER_MIN..header_len.min(data.len()));
    Ok(Tcp {
        source_port: u16::from_be_bytes([a, b]),
        destination_port: u16::from_be_bytes([c, d]),
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: TcpFlags(flags),
        window: u16::from_be_bytes([w0, w1]),
        options: options(option_bytes.unwrap_or_default()),
        payload: data.get(header_len..).unwrap_or_default(),
        payload_len: to_u32(wire_len.saturating_sub(header_len)),
    })
}

/// Scans options up to the end, or to the first that is cut. At most 40 bytes, so at most 40 turns.
fn options(mut bytes: &[u8]) -> Options {
    let mut found = Options::default();
    // What nearly every segment of a connection carries: two fillers and the timestamps.
    loop {
        bytes = match *bytes {
            [1, ref rest @ ..] => rest,
            [8, 10, v0, v1, v2, v3, e0, e1, e2, e3, ref rest @ ..] => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                let echo = u32::from_be_bytes([e0, e1, e2, e3]);
                found.timestamps = Some((value, echo));
                rest
            }
            [3, 3, shift, ref rest @ ..] => {
                found.window_scale = Some(shift);
                rest
            }
            [kind, length, ..] if kind > 1 && length >= 2 => {
                found.multipath |= kind == MULTIPATH;
                match bytes.get(usize::from(length)..) {
                    Some(rest) => rest,
                    None => return found,
                }
            }
            _ => return found,
        };
    }
}

/// Reads a UDP header. A length of 0 (a jumbogram, or what offload leaves) stands for the IP payload.
pub(super) fn udp(data: &[u8], wire_len: usize) -> Result<Udp<'_>, Refusal> {
    let header = data
        .first_chunk::<UDP_HEADER>()
        .ok_or_else(|| short(UDP_HEADER, wire_len))?;
    let [a, b, c, d, l0, l1, ..] = *header;
    let length = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => wire_len,
        length if (UDP_HEADER..=wire_len).contains(&length) => length,
        _ => return Err(Refusal::Malformed),
    };
    Ok(Udp {
        source_port: u16::from_be_bytes([a, b]),
        destination_port: u16::from_be_bytes([c, d]),
        payload: data
            .get(UDP_HEADER..length.min(data.len()))
            .unwrap_or_default(),
        payload_len: to_u32(length.saturating_sub(UDP_HEADER)),
    })
}

/// Whether a datagram is a QUIC packet with a long header of a version that is in use (RFC 8999, section 5.1; RFC 9000,
/// RFC 9369): with these a connection begins. Later packets have no mark of their own.
pub(super) fn is_quic(payload: &[u8]) -> bool {
    let [first, v0, v1, v2, v3, ..] = *payload else {
        return false;
    };
    let version = u32::from_be_bytes([v0, v1, v2, v3]);
    first & 0xc0 == 0xc0 && matches!(version, 1 | 0x6b33_43cf)
}

/// Whether a datagram is a record of DTLS that carries a hello (RFC 6347, section 4.1; RFC 9147, section 5): with these a
/// conversation begins.
pub(super) fn is_dtls(payload: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    /// Type of the message, behind the header of the record.
    const TYPE_AT: usize = 13;
    let hello = matches!(payload.get(TYPE_AT), Some(1..=3));
    matches!(payload, [HANDSHAKE, 0xfe, 0xff | 0xfd, ..]) && hello
}

fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: u8, rest: &[u8]) -> Vec<u8> {
        let fixed = [
            0x03,
            0xe8,
            0,
            80,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            words << 4,
            0x18,
            0xff,
            0xfe,
            0,
            0,
            0,
            0,
        ];
        [&fixed, rest].concat()
    }

    #[test]
    fn fields_and_payload() {
        let bytes = header(5, b"GET");
        let tcp = tcp(&bytes, bytes.len()).unwrap();
        assert_eq!((tcp.source_port, tcp.destination_port), (1000, 80));
        assert_eq!(
            (tcp.sequence, tcp.acknowledgement, tcp.window),
            (1, 2, 0xfffe)
        );
        assert!(tcp.flags.ack() && !tcp.flags.syn());
        assert_eq!((tcp.payload, tcp.payload_len), (&b"GET"[..], 3));
    }

    #[test]
    fn options_of_a_syn_and_of_data() {
        // mss 1460, SACK permitted, timestamps 5 and 6, filler, window scale 7: what Linux sends.
        let syn = [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1, 3, 3, 7,
        ];
        let expected = Options {
            window_scale: Some(7),
            timestamps: Some((5, 6)),
            multipath: false,
        };
        assert_eq!(options(&syn), expected);
        assert!(options(&[2, 4, 5, 0xb4, 30, 4, 1, 0x81]).multipath);
        assert_eq!(
            options(&[1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]).timestamps,
            Some((5, 6))
        );
        for end in 0..syn.len() {
            options(&syn[..end]);
        }
        assert_eq!(options(&[0, 3, 3, 7]), Options::default());
        assert_eq!(options(&[9, 0, 3, 3, 7]), Options::default());
    }

    #[test]
    fn options_that_the_capture_cut_do_not_cost_the_segment() {
        let bytes = header(8, &[1, 1, 8, 10]);
        let tcp = tcp(&bytes, 132).unwrap();
        assert_eq!((tcp.payload.len(), tcp.payload_len), (0, 100));
        assert_eq!(tcp.options, Options::default());
    }

    #[test]
    fn impossible_headers_are_malformed_and_short_ones_cut() {
        assert_eq!(tcp(&header(4, b""), 20).unwrap_err(), Refusal::Malformed);
        assert_eq!(tcp(&header(8, b""), 20).unwrap_err(), Refusal::Malformed);
        assert_eq!(tcp(&header(5, b"")[..8], 40).unwrap_err(), Refusal::Cut);
        assert_eq!(tcp(&[0; 8], 8).unwrap_err(), Refusal::Malformed);
        assert_eq!(udp(&[0; 4], 40).unwrap_err(), Refusal::Cut);
        assert_eq!(
            udp(&[0, 1, 0, 2, 0, 7, 0, 0], 8).unwrap_err(),
            Refusal::Malformed
        );
    }

    #[test]
    fn quic_is_told_by_its_long_header_and_version() {
        assert!(is_quic(&[0xc3, 0, 0, 0, 1, 8]));
        assert!(is_quic(&[0xd3, 0x6b, 0x33, 0x43, 0xcf]));
        // A short header, a DNS query, a version of the future, too little.
        assert!(!is_quic(&[0x43, 0, 0, 0, 1, 8]));
        assert!(!is_quic(&[0, 7, 1, 0, 0, 1]));
        assert!(!is_quic(&[0xc3, 0, 0, 0, 9, 8]));
        assert!(!is_quic(&[0xc3, 0, 0, 0]));
    }

    #[test]
    fn dtls_is_told_by_its_hellos() {
        let record = |kind: u8, major: u8, message: u8| {
            [&[kind, major, 0xfd][..], &[0; 10], &[message, 0, 0, 50]].concat()
        };
        assert!(is_dtls(&record(22, 0xfe, 1)));
        assert!(!is_dtls(&record(23, 0xfe, 1)));
        assert!(!is_dtls(&record(22, 3, 1)));
        assert!(!is_dtls(&record(22, 0xfe, 11)));
        assert!(!is_dtls(&[22, 0xfe, 0xfd]));
    }

    #[test]
    fn udp_lengths() {
        let bytes = [0, 53, 4, 0, 0, 10, 0, 0, 1, 2, 3, 4];
        let whole = udp(&bytes, bytes.len()).unwrap();
        assert_eq!((whole.source_port, whole.destination_port), (53, 1024));
        assert_eq!((whole.payload, whole.payload_len), (&[1, 2][..], 2));
        let cut = udp(&[0, 53, 4, 0, 0, 100, 0, 0, 1], 100).unwrap();
        assert_eq!((cut.payload.len(), cut.payload_len), (1, 92));
        let offloaded = udp(&[0, 53, 4, 0, 0, 0, 0, 0, 1, 2], 10).unwrap();
        assert_eq!((offloaded.payload.len(), offloaded.payload_len), (2, 2));
    }
}
