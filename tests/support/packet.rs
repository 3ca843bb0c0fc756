//! Headers as the wire language writes them: IPv4 and IPv6, TCP, UDP, DNS, ARP, Ethernet with VLAN tags.
//!
//! The rule: by hand, from the RFCs; nothing of gwcap is used. No checksums.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// LINKTYPE_ETHERNET.
pub const ETHERNET: u32 = 1;
/// EtherTypes (IANA ieee-802-numbers).
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;

/// What an IP header says beside its addresses.
#[derive(Clone, Copy)]
pub struct Header {
    pub protocol: u8,
    pub ttl: u8,
    pub ip_id: u16,
    /// Total length 0.
    pub without_length: bool,
}

/// RFC 791, RFC 8200.
pub fn ip(header: Header, ends: (IpAddr, IpAddr), data: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| match header.without_length {
        true => [0, 0],
        false => u16::try_from(bytes).unwrap().to_be_bytes(),
    };
    let mut bytes = Vec::new();
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.extend([0x45, 0]);
            bytes.extend(length(20 + data.len()));
            bytes.extend(header.ip_id.to_be_bytes());
            bytes.extend([0x40, 0, header.ttl, header.protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(length(data.len()));
            bytes.extend([header.protocol, header.ttl]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        _ => panic!("two versions of IP"),
    }
    bytes.extend(data);
    bytes
}

/// Gives an IPv4 packet another identification.
pub fn renumber(packet: &mut [u8], ip_id: u16) {
    if packet[0] >> 4 == 4 {
        packet[4..6].copy_from_slice(&ip_id.to_be_bytes());
    }
}

/// Takes hops off a packet.
pub fn forward(packet: &mut [u8], hops: u8) {
    let at = if packet[0] >> 4 == 4 { 8 } else { 7 };
    packet[at] -= hops;
}

/// RFC 9293. Options are filled up to a multiple of four bytes.
pub fn tcp(
    ports: (u16, u16),
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    options: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledgement.to_be_bytes());
    let words = 5 + options.len().div_ceil(4);
    bytes.extend([u8::try_from(words).unwrap() << 4, flags]);
    bytes.extend(window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.resize(words * 4, 0);
    bytes.extend(data);
    bytes
}

/// RFC 768.
pub fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend((8 + u16::try_from(data.len()).unwrap()).to_be_bytes());
    bytes.extend([0; 2]);
    bytes.extend(data);
    bytes
}

/// The header of a frame, with a tag (802.1Q) where it has a VLAN.
pub fn ethernet(kind: u16, vlan: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if let Some(vlan) = vlan {
        bytes.extend([0x81, 0]);
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(kind.to_be_bytes());
    bytes
}

/// Gives an IPv4 packet with TCP other ends.
pub fn readdress(packet: &mut [u8], ends: (SocketAddr, SocketAddr)) {
    for (end, address, port) in [(ends.0, 12, 20), (ends.1, 16, 22)] {
        let IpAddr::V4(ip) = end.ip() else {
            panic!("{end}")
        };
        packet[address..address + 4].copy_from_slice(&ip.octets());
        packet[port..port + 2].copy_from_slice(&end.port().to_be_bytes());
    }
}

/// ARP (RFC 826): operation 1 asks for `other`, 2 tells it where `sender` is.
pub fn arp(operation: u8, sender: &str, other: &str) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    bytes.extend([2, 0, 0, 0, 0, 1]);
    bytes.extend(address(sender));
    bytes.extend([0; 6]);
    bytes.extend(address(other));
    bytes
}

/// A DNS query for the addresses of a name (RFC 1035).
pub fn dns_query(id: u16, name: &str) -> Vec<u8> {
    dns(id, 0x0100, name, None)
}

/// The answer to it: an RCODE, and an address where there is one.
pub fn dns_answer(id: u16, name: &str, rcode: u16, address: Option<[u8; 4]>) -> Vec<u8> {
    dns(id, 0x8180 | rcode, name, address)
}

fn dns(id: u16, flags: u16, name: &str, address: Option<[u8; 4]>) -> Vec<u8> {
    let answers = u16::from(address.is_some());
    let mut bytes = Vec::new();
    for word in [id, flags, 1, answers, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    if let Some(address) = address {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address);
    }
    bytes
}
