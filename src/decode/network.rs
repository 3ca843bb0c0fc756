//! IP. In: bytes from the IP header on. Out: addresses, protocol, and the payload with both of its lengths.
//!
//! The rule: a header whose length is 0, as offload leaves it, or larger than what was captured is no error. A
//! fragment is told apart with its place, for `fragment.rs` to put together. Header checksums are not looked at: see the head of this room.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{LaxIpSlice, err::ip::LaxHeaderSliceError};

/// An IP packet without its headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// IPv4 identification.
    pub(super) ip_id: Option<u16>,
    pub(super) ttl: u8,
    /// Protocol number after all extension headers (IANA protocol-numbers).
    pub(super) protocol: u8,
    /// Captured bytes after the headers, without the padding of short Ethernet frames.
    pub(super) payload: &'a [u8],
    /// Bytes after the headers on the wire.
    pub(super) payload_len: usize,
}

/// A piece of an IP packet (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The packet's facts; the payload is that of this piece alone.
    pub(super) network: Network<'a>,
    /// What all pieces of a packet share, beside addresses and protocol.
    pub(super) id: u32,
    /// Bytes of the packet's payload before this piece.
    pub(super) offset: usize,
    /// Whether further pieces follow.
    pub(super) more: bool,
}

/// What an IP header turned out to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read<'a> {
    Whole(Network<'a>),
    Fragment(Piece<'a>),
}

/// Why a packet has no payload to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Cut,
    Malformed,
}

/// Most IPv6 extension headers in front of a fragment header; RFC 8200 knows three that may stand there.
const EXTENSIONS_MAX: usize = 8;

/// Bytes of an IPv6 header without extensions.
const IPV6_HEADER: usize = 40;

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;

/// Numbers of protocols (IANA protocol-numbers) whose header follows at once, so that there is nothing to pass over.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Reads the IP headers of `data`, of which `wire_len` bytes were on the wire.
pub(super) fn read(data: &[u8], wire_len: usize) -> Result<Read<'_>, Refusal> {
    match plain_v4(data).or_else(|| plain_v6(data)) {
        Some(network) => Ok(Read::Whole(network)),
        None => read_any(data, wire_len),
    }
}

/// The fixed part of an IPv4 header (RFC 791, section 3.1).
struct HeaderV4 {
    /// Version and length of the header, in words of four bytes.
    first: u8,
    /// Bytes of the whole packet.
    total: usize,
    id: u16,
    /// Flags and offset of a fragment.
    fragment: u16,
    ttl: u8,
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
}

impl HeaderV4 {
    fn read(data: &[u8]) -> Option<Self> {
        let header = data.first_chunk::<IPV4_HEADER>()?;
        let [
            first,
            _,
            t0,
            t1,
            i0,
            i1,
            f0,
            f1,
            ttl,
            protocol,
            _,
            _,
            s @ ..,
            d0,
            d1,
            d2,
            d3,
        ] = *header;
        Some(Self {
            first,
            total: usize::from(u16::from_be_bytes([t0, t1])),
            id: u16::from_be_bytes([i0, i1]),
            fragment: u16::from_be_bytes([f0, f1]),
            ttl,
            protocol,
            source: IpAddr::from(s),
            destination: IpAddr::from([d0, d1, d2, d3]),
        })
    }

    /// The packet behind a header of `length` bytes; `None` where `data` ends inside the header, or it claims to.
    fn network<'a>(&self, data: &'a [u8], length: usize) -> Option<Network<'a>> {
        Some(Network {
            source: self.source,
            destination: self.destination,
            ip_id: Some(self.id),
            ttl: self.ttl,
            protocol: self.protocol,
            payload: data.get(length..self.total.min(data.len()))?,
            payload_len: self.total.saturating_sub(length),
        })
    }
}

/// What nearly every packet is: IPv4 that is whole, without options, before TCP or UDP. Going through all that a header may be
/// takes two and a half times as many instructions.
fn plain_v4(data: &[u8]) -> Option<Network<'_>> {
    let header = HeaderV4::read(data)?;
    // Neither an offset nor "more fragments".
    let whole = header.fragment & 0x3fff == 0;
    let plain = header.first == 0x45 && whole && matches!(header.protocol, TCP | UDP);
    // A length of 0, as offload leaves it, lies before the payload: that is no plain packet.
    header.network(data, IPV4_HEADER).filter(|_| plain)
}

/// The same of IPv6: no extension headers, and a length.
fn plain_v6(data: &[u8]) -> Option<Network<'_>> {
    let header = data.first_chunk::<IPV6_HEADER>()?;
    let [first, _, _, _, l0, l1, next, ttl, ends @ ..] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 6 || length == 0 || !matches!(next, TCP | UDP) {
        return None;
    }
    let (source, destination) = ends.split_first_chunk::<16>()?;
    let total = IPV6_HEADER.saturating_add(length);
    Some(Network {
        source: IpAddr::from(*source),
        destination: IpAddr::from(*destination.first_chunk::<16>()?),
        ip_id: None,
        ttl,
        protocol: next,
        payload: data.get(IPV6_HEADER..total.min(data.len()))?,
        payload_len: length,
    })
}

/// Reads IP headers of every form.
fn read_any(data: &[u8], wire_len: usize) -> Result<Read<'_>, Refusal> {
    let (ip, stopped) = LaxIpSlice::from_slice(data).map_err(|error| match error {
        LaxHeaderSliceError::Len(_) if data.len() < wire_len => Refusal::Cut,
        _ => Refusal::Malformed,
    })?;
    if ip.is_fragmenting_payload() {
        return piece(data, wire_len).map(Read::Fragment);
    }
    if stopped.is_some() {
        let cut = ip.payload().incomplete;
        return Err(if cut {
            Refusal::Cut
        } else {
            Refusal::Malformed
        });
    }
    let (ip_id, ttl, headers, total) = match &ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            let auth = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let total = usize::from(header.total_len());
            // 0: the card was to cut this packet into segments and to fill in the length of each.
            let known = total >= header.slice().len();
            let headers = header.slice().len().saturating_add(auth);
            (
                Some(header.identification()),
                header.ttl(),
                headers,
                if known { total } else { wire_len },
            )
        }
        LaxIpSlice::Ipv6(ip) => {
            let header = ip.header();
            let fixed = header.slice().len();
            // 0: a jumbogram (RFC 2675), or BIG TCP before the card.
            let total = match header.payload_length() {
                0 => wire_len,
                length => fixed.saturating_add(usize::from(length)),
            };
            let headers = fixed.saturating_add(ip.extensions().slice().len());
            (None, header.hop_limit(), headers, total)
        }
    };
    let payload = ip.payload();
    Ok(Read::Whole(Network {
        source: ip.source_addr(),
        destination: ip.destination_addr(),
        ip_id,
        ttl,
        protocol: payload.ip_number.0,
        payload: payload.payload,
        payload_len: total.saturating_sub(headers).max(payload.payload.len()),
    }))
}

/// Reads a fragment of either version.
fn piece(data: &[u8], wire_len: usize) -> Result<Piece<'_>, Refusal> {
    let short = if data.len() < wire_len {
        Refusal::Cut
    } else {
        Refusal::Malformed
    };
    let piece = match data.first().map(|byte| byte >> 4) {
        Some(4) => piece_v4(data),
        _ => piece_v6(data),
    };
    let piece = piece.ok_or(short)?;
    // All but the last end on a multiple of eight bytes, and none reaches beyond the largest packet.
    let end = piece.offset.saturating_add(piece.network.payload_len);
    let odd = piece.more && !piece.network.payload_len.is_multiple_of(8);
    if odd || piece.network.payload_len == 0 || end > usize::from(u16::MAX) {
        return Err(Refusal::Malformed);
    }
    Ok(piece)
}

fn piece_v4(data: &[u8]) -> Option<Piece<'_>> {
    let header = HeaderV4::read(data)?;
    let length = usize::from(header.first & 0x0f).saturating_mul(4);
    Some(Piece {
        network: header.network(data, length)?,
        id: u32::from(header.id),
        offset: usize::from(header.fragment & 0x1fff).saturating_mul(8),
        more: header.fragment & 0x2000 != 0,
    })
}

fn piece_v6(data: &[u8]) -> Option<Piece<'_>> {
    let header = data.first_chunk::<IPV6_HEADER>()?;
    let total = usize::from(u16::from_be_bytes([header[4], header[5]])).saturating_add(IPV6_HEADER);
    let address = |at: usize| Some(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?));
    let (mut next, mut at) = (header[6], IPV6_HEADER);
    for _ in 0..EXTENSIONS_MAX {
        let [following, length, o0, o1, i @ ..] = *data.get(at..)?.first_chunk::<8>()?;
        if next == 44 {
            let field = u16::from_be_bytes([o0, o1]);
            let start = at.saturating_add(8);
            return Some(Piece {
                network: Network {
                    source: IpAddr::V6(address(8)?),
                    destination: IpAddr::V6(address(24)?),
                    ip_id: None,
                    ttl: header[7],
                    protocol: following,
                    payload: data.get(start..total.min(data.len()))?,
                    payload_len: total.saturating_sub(start),
                },
                id: u32::from_be_bytes(i),
                offset: usize::from(field & 0xfff8),
                more: field & 1 != 0,
            });
        }
        if !matches!(next, 0 | 43 | 60) {
            return None;
        }
        next = following;
        at = at.saturating_add(usize::from(length).saturating_add(1).saturating_mul(8));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[u8], wire_len: usize) -> Network<'_> {
        match read(data, wire_len) {
            Ok(Read::Whole(network)) => network,
            other => panic!("{other:?}"),
        }
    }

    fn fragment(data: &[u8], wire_len: usize) -> Piece<'_> {
        match read(data, wire_len) {
            Ok(Read::Fragment(piece)) => piece,
            other => panic!("{other:?}"),
        }
    }

    fn v4(total: u16, flags: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b] = total.to_be_bytes();
        let [c, d] = flags.to_be_bytes();
        let header = [
            0x45, 0, a, b, 0x12, 0x34, c, d, 63, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        [&header, payload].concat()
    }

    fn v6(length: u16, next: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b] = length.to_be_bytes();
        let mut bytes = vec![0x60, 0, 0, 0, a, b, next, 62];
        bytes.extend([0; 15]);
        bytes.push(1);
        bytes.extend([0; 15]);
        bytes.push(2);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn plain_packets_read_as_any_other() {
        let told = |read: Result<Read<'_>, Refusal>| format!("{read:?}");
        for payload in [0, 1, 24, 60] {
            let payload = vec![7; payload];
            for total in [0, 19, 20, 21, 44, 60, 80, 1500] {
                for flags in [0, 0x4000, 0x8000, 0x2000, 0x0001] {
                    for protocol in [1, 4, 6, 17, 51] {
                        let bytes = v4(total, flags, protocol, &payload);
                        for (at, byte) in [(0, 0x45), (0, 0x46), (0, 0x55)] {
                            let mut bytes = bytes.clone();
                            bytes[at] = byte;
                            for wire_len in [bytes.len(), 1500] {
                                let any = told(read_any(&bytes, wire_len));
                                assert_eq!(told(read(&bytes, wire_len)), any, "{bytes:?}");
                            }
                        }
                    }
                }
            }
            for length in [0, 1, 20, 40, 1460] {
                for next in [0, 6, 17, 44, 58, 60] {
                    let bytes = v6(length, next, &payload);
                    for cut in [0, 1, 21] {
                        let bytes = &bytes[..bytes.len() - cut];
                        let any = told(read_any(bytes, 1500));
                        assert_eq!(told(read(bytes, 1500)), any, "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn padding_is_no_payload() {
        let bytes = v4(22, 0, 6, &[1, 2, 0, 0, 0, 0]);
        let ip = whole(&bytes, bytes.len());
        assert_eq!((ip.payload, ip.payload_len), (&[1, 2][..], 2));
        assert_eq!((ip.ip_id, ip.ttl, ip.protocol), (Some(0x1234), 63, 6));
        assert_eq!(ip.source.to_string(), "10.0.0.1");
    }

    #[test]
    fn what_the_capture_cut_is_counted_on_the_wire() {
        let bytes = v4(1500, 0, 6, &[7; 76]);
        let ip = whole(&bytes, 1500);
        assert_eq!((ip.payload.len(), ip.payload_len), (76, 1480));
    }

    #[test]
    fn a_length_of_zero_means_the_frame() {
        let bytes = v4(0, 0, 6, &[7; 100]);
        let ip = whole(&bytes, 70_000);
        assert_eq!((ip.payload.len(), ip.payload_len), (100, 69_980));
        let bytes = v6(0, 6, &[7; 100]);
        let ip = whole(&bytes, 90_000);
        assert_eq!((ip.payload.len(), ip.payload_len), (100, 89_960));
    }

    #[test]
    fn extension_headers_are_passed_over() {
        // Hop-by-hop options of 8 bytes, then TCP.
        let bytes = v6(12, 0, &[6, 0, 1, 4, 0, 0, 0, 0, 9, 9, 9, 9]);
        let ip = whole(&bytes, bytes.len());
        assert_eq!(
            (ip.protocol, ip.payload, ip.payload_len),
            (6, &[9; 4][..], 4)
        );
    }

    #[test]
    fn fragments_are_told_apart() {
        let bytes = v4(28, 0x2000, 6, &[1; 8]);
        let first = fragment(&bytes, 28);
        assert_eq!((first.id, first.offset, first.more), (0x1234, 0, true));
        assert_eq!((first.network.protocol, first.network.ttl), (6, 63));
        let bytes = v4(24, 0x0003, 6, &[1; 4]);
        let later = fragment(&bytes, 24);
        assert_eq!((later.offset, later.more), (24, false));
        assert_eq!(later.network.payload, [1; 4]);
        let bytes = v4(1500, 0x2000, 6, &[1; 8]);
        let cut = fragment(&bytes, 1500).network;
        assert_eq!((cut.payload.len(), cut.payload_len), (8, 1480));
        whole(&v4(24, 0x4000, 6, &[1; 4]), 24);
        // Hop-by-hop options, then a fragment header: offset 1480, the last one.
        let mut bytes = v6(20, 0, &[44, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([17, 0, 0x05, 0xc8, 1, 2, 3, 4, 9, 9, 9, 9]);
        let six = fragment(&bytes, bytes.len());
        assert_eq!((six.id, six.offset, six.more), (0x0102_0304, 1480, false));
        assert_eq!(
            (six.network.protocol, six.network.payload),
            (17, &[9; 4][..])
        );
    }

    #[test]
    fn impossible_fragments_are_malformed() {
        // A middle piece that does not end on eight bytes, one without payload, one beyond the largest packet.
        for bytes in [
            v4(24, 0x2000, 6, &[1; 4]),
            v4(20, 0x2000, 6, &[]),
            v4(120, 0x1fff, 6, &[1; 100]),
        ] {
            assert_eq!(read(&bytes, bytes.len()).unwrap_err(), Refusal::Malformed);
        }
    }

    #[test]
    fn atomic_fragments_are_whole() {
        // An atomic fragment (RFC 6946) is whole.
        let atomic = v6(12, 44, &[6, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9]);
        assert_eq!(whole(&atomic, 52).payload, [9; 4]);
    }

    #[test]
    fn cut_and_malformed_headers_differ() {
        let bytes = v4(40, 0, 6, &[]);
        assert_eq!(read(&bytes[..12], 40).unwrap_err(), Refusal::Cut);
        assert_eq!(read(&bytes[..12], 12).unwrap_err(), Refusal::Malformed);
        assert_eq!(read(&[0x95; 40], 40).unwrap_err(), Refusal::Malformed);
        assert_eq!(read(&[], 40).unwrap_err(), Refusal::Cut);
    }
}
