//! IP. In: bytes from the IP header on. Out: addresses, protocol, and the payload with both of its lengths.
//!
//! The rule: a header whose length is 0, as offload leaves it, or larger than what was captured is no error. Fragments
//! are counted and not reassembled. Header checksums are not looked at: see the head of this room.

use std::net::IpAddr;

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

/// Why a packet has no payload to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Cut,
    Malformed,
    Fragment,
}

/// Reads the IP headers of `data`, of which `wire_len` bytes were on the wire.
pub(super) fn read(data: &[u8], wire_len: usize) -> Result<Network<'_>, Refusal> {
    let (ip, stopped) = LaxIpSlice::from_slice(data).map_err(|error| match error {
        LaxHeaderSliceError::Len(_) if data.len() < wire_len => Refusal::Cut,
        _ => Refusal::Malformed,
    })?;
    if ip.is_fragmenting_payload() {
        return Err(Refusal::Fragment);
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
    Ok(Network {
        source: ip.source_addr(),
        destination: ip.destination_addr(),
        ip_id,
        ttl,
        protocol: payload.ip_number.0,
        payload: payload.payload,
        payload_len: total.saturating_sub(headers).max(payload.payload.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn padding_is_no_payload() {
        let bytes = v4(22, 0, 6, &[1, 2, 0, 0, 0, 0]);
        let ip = read(&bytes, bytes.len()).unwrap();
        assert_eq!((ip.payload, ip.payload_len), (&[1, 2][..], 2));
        assert_eq!((ip.ip_id, ip.ttl, ip.protocol), (Some(0x1234), 63, 6));
        assert_eq!(ip.source.to_string(), "10.0.0.1");
    }

    #[test]
    fn what_the_capture_cut_is_counted_on_the_wire() {
        let bytes = v4(1500, 0, 6, &[7; 76]);
        let ip = read(&bytes, 1500).unwrap();
        assert_eq!((ip.payload.len(), ip.payload_len), (76, 1480));
    }

    #[test]
    fn a_length_of_zero_means_the_frame() {
        let bytes = v4(0, 0, 6, &[7; 100]);
        let ip = read(&bytes, 70_000).unwrap();
        assert_eq!((ip.payload.len(), ip.payload_len), (100, 69_980));
        let bytes = v6(0, 6, &[7; 100]);
        let ip = read(&bytes, 90_000).unwrap();
        assert_eq!((ip.payload.len(), ip.payload_len), (100, 89_960));
    }

    #[test]
    fn extension_headers_are_passed_over() {
        // Hop-by-hop options of 8 bytes, then TCP.
        let bytes = v6(12, 0, &[6, 0, 1, 4, 0, 0, 0, 0, 9, 9, 9, 9]);
        let ip = read(&bytes, bytes.len()).unwrap();
        assert_eq!(
            (ip.protocol, ip.payload, ip.payload_len),
            (6, &[9; 4][..], 4)
        );
    }

    #[test]
    fn fragments_are_told_apart() {
        let first = v4(24, 0x2000, 6, &[1; 4]);
        let later = v4(24, 0x0003, 6, &[1; 4]);
        let whole = v4(24, 0x4000, 6, &[1; 4]);
        assert_eq!(read(&first, 24).unwrap_err(), Refusal::Fragment);
        assert_eq!(read(&later, 24).unwrap_err(), Refusal::Fragment);
        assert!(read(&whole, 24).is_ok());
        // An atomic fragment (RFC 6946) is whole.
        let atomic = v6(12, 44, &[6, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9]);
        assert_eq!(read(&atomic, 52).unwrap().payload, [9; 4]);
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
