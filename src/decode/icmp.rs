//! ICMP and ICMPv6 errors. In: an ICMP message. Out: its reason and the TCP or UDP packet that it quotes.
//!
//! The rule: 8 quoted bytes after the IP header are enough, since RFC 792 promises no more. What is no error is named.

use std::borrow::Cow;

use crate::decode::network;
use crate::decode::segment::IcmpReason;
use crate::flow::Endpoint;

/// An error message without the facts of the packet that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) reason: IcmpReason,
    pub(super) type_code: (u8, u8),
    pub(super) quoted_source: Endpoint,
    pub(super) quoted_destination: Endpoint,
    pub(super) quoted_tcp: bool,
    pub(super) quoted_sequence: Option<u32>,
}

/// Why a message gives no error about a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is of another kind: its name for the report.
    Named(Cow<'static, str>),
    /// The capture, or the router, cut it before the quoted ports.
    Cut,
}

/// Which of the two protocols a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

/// Bytes before the quoted packet: type, code, checksum, and four that depend on the type.
const HEADER: usize = 8;

/// Reads a message.
pub(super) fn read(version: Version, data: &[u8]) -> Result<Message, Refusal> {
    let header = data.first_chunk::<HEADER>().ok_or(Refusal::Cut)?;
    let [kind, code, _, _, m0, m1, m2, m3] = *header;
    let reason = match version {
        Version::V4 => reason_v4(kind, code, u16::from_be_bytes([m2, m3])),
        Version::V6 => reason_v6(kind, code, u32::from_be_bytes([m0, m1, m2, m3])),
    };
    let reason = reason.ok_or_else(|| Refusal::Named(name(version, kind)))?;
    let quoted = data.get(HEADER..).unwrap_or_default();
    // A quote is cut by its nature; whatever its IP header says is longer than what is there.
    let Ok(network::Read::Whole(quoted)) = network::read(quoted, usize::MAX) else {
        return Err(Refusal::Cut);
    };
    let quoted_tcp = match quoted.protocol {
        6 => true,
        17 => false,
        other => {
            let text = format!("ICMP error about IP protocol {other}");
            return Err(Refusal::Named(text.into()));
        }
    };
    let [s0, s1, d0, d1] = *quoted.payload.first_chunk::<4>().ok_or(Refusal::Cut)?;
    let sequence = quoted.payload.get(4..).and_then(<[u8]>::first_chunk::<4>);
    Ok(Message {
        reason,
        type_code: (kind, code),
        quoted_source: Endpoint::new(quoted.source, u16::from_be_bytes([s0, s1])),
        quoted_destination: Endpoint::new(quoted.destination, u16::from_be_bytes([d0, d1])),
        quoted_tcp,
        quoted_sequence: sequence
            .filter(|_| quoted_tcp)
            .map(|bytes| u32::from_be_bytes(*bytes)),
    })
}

/// Errors of RFC 792 and RFC 1812 that say something about a connection: types 3 and 11.
fn reason_v4(kind: u8, code: u8, next_hop_mtu: u16) -> Option<IcmpReason> {
    Some(match (kind, code) {
        (3, 0 | 6 | 11) => IcmpReason::Net,
        (3, 1 | 7 | 12) => IcmpReason::Host,
        (3, 2) => IcmpReason::Protocol,
        (3, 3) => IcmpReason::Port,
        (3, 4) => IcmpReason::TooBig(u32::from(next_hop_mtu)),
        (3, 9 | 10 | 13) => IcmpReason::AdminProhibited,
        (11, 0) => IcmpReason::TimeExceeded,
        (3 | 11, _) => IcmpReason::Other(kind, code),
        _ => return None,
    })
}

/// Errors of RFC 4443: types 1 to 4.
fn reason_v6(kind: u8, code: u8, mtu: u32) -> Option<IcmpReason> {
    Some(match (kind, code) {
        (1, 0) => IcmpReason::Net,
        (1, 1 | 5 | 6) => IcmpReason::AdminProhibited,
        (1, 3) => IcmpReason::Host,
        (1, 4) => IcmpReason::Port,
        (2, _) => IcmpReason::TooBig(mtu),
        (3, 0) => IcmpReason::TimeExceeded,
        (4, 1) => IcmpReason::Protocol,
        (1 | 3 | 4, _) => IcmpReason::Other(kind, code),
        _ => return None,
    })
}

fn name(version: Version, kind: u8) -> Cow<'static, str> {
    match (version, kind) {
        (Version::V4, 0 | 8) => "ICMP echo",
        (Version::V4, 5) => "ICMP redirect",
        (Version::V4, 9 | 10) => "ICMP router discovery",
        (Version::V6, 128 | 129) => "ICMPv6 echo",
        (Version::V6, 130..=132 | 143) => "ICMPv6 multicast listeners",
        (Version::V6, 133..=136) => "ICMPv6 neighbour discovery",
        (Version::V4, other) => return format!("ICMP type {other}").into(),
        (Version::V6, other) => return format!("ICMPv6 type {other}").into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quoted IPv4 packet from 10.0.0.1:1000 to 10.0.0.2:80 with 8 bytes of its payload.
    const QUOTED: [u8; 28] = [
        0x45, 0, 0x05, 0xdc, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x03, 0xe8, 0,
        80, 0, 0, 1, 2,
    ];

    fn v4(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
        [&[kind, code, 0, 0, 0, 0, 0x05, 0x78], quoted].concat()
    }

    #[test]
    fn eight_quoted_bytes_are_enough() {
        let message = read(Version::V4, &v4(3, 3, &QUOTED)).unwrap();
        assert_eq!(message.reason, IcmpReason::Port);
        assert_eq!(message.quoted_source.to_string(), "10.0.0.1:1000");
        assert_eq!(message.quoted_destination.to_string(), "10.0.0.2:80");
        assert_eq!(
            (message.quoted_tcp, message.quoted_sequence),
            (true, Some(258))
        );
        let message = read(Version::V4, &v4(3, 4, &QUOTED[..24])).unwrap();
        assert_eq!(message.reason, IcmpReason::TooBig(1400));
        assert_eq!(message.quoted_sequence, None);
    }

    #[test]
    fn icmp_v6_quotes_udp() {
        let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0, 0x60, 0, 0, 0, 0, 8, 17, 64];
        message.extend([0x20; 16]);
        message.extend([0x30; 16]);
        message.extend([0x03, 0xe8, 0, 53, 0, 8, 0, 0]);
        let message = read(Version::V6, &message).unwrap();
        assert_eq!(message.reason, IcmpReason::TooBig(1280));
        assert_eq!((message.quoted_tcp, message.quoted_sequence), (false, None));
        assert_eq!(message.quoted_destination.port, 53);
    }

    #[test]
    fn reasons_of_both_versions() {
        assert_eq!(reason_v4(3, 13, 0), Some(IcmpReason::AdminProhibited));
        assert_eq!(reason_v4(3, 1, 0), Some(IcmpReason::Host));
        assert_eq!(reason_v4(11, 1, 0), Some(IcmpReason::Other(11, 1)));
        assert_eq!(reason_v4(8, 0, 0), None);
        assert_eq!(reason_v6(1, 3, 0), Some(IcmpReason::Host));
        assert_eq!(reason_v6(1, 2, 0), Some(IcmpReason::Other(1, 2)));
        assert_eq!(reason_v6(4, 1, 0), Some(IcmpReason::Protocol));
        assert_eq!(reason_v6(135, 0, 0), None);
    }

    #[test]
    fn what_is_no_error_has_a_name() {
        let named = |text: &'static str| Err(Refusal::Named(text.into()));
        assert_eq!(read(Version::V4, &v4(8, 0, &[])), named("ICMP echo"));
        assert_eq!(
            read(Version::V6, &[135, 0, 0, 0, 0, 0, 0, 0]),
            named("ICMPv6 neighbour discovery")
        );
        for end in 0..32 {
            assert_eq!(
                read(Version::V4, &v4(3, 3, &QUOTED)[..end]),
                Err(Refusal::Cut)
            );
        }
    }
}
