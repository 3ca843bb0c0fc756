//! DNS messages (RFC 1035). In: the payload of a datagram. Out: its question and its addresses.
//!
//! The rule: header and question are read by hand, since a resolver's failure is told by them even where
//! the rest is cut or odd; only the records of an answer go through the library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::Packet;
use simple_dns::rdata::RData;

use crate::loss::Loss;

/// Most addresses of one answer that are kept.
pub const ADDRESSES_MAX: usize = 32;
/// Longest name on the wire (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 255;
const HEADER_LEN: usize = 12;

/// A DNS message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Transaction id.
    pub id: u16,
    /// An answer, no query.
    pub response: bool,
    /// How the resolver fared: 0 no error, 3 no such name.
    pub rcode: u16,
    /// The name asked for, lower case, without the trailing dot; empty when there is no question.
    pub name: Box<str>,
    /// The type asked for; 0 when there is no question.
    pub kind: u16,
    /// Addresses in the answer.
    pub addresses: Vec<IpAddr>,
}

/// Reads a message. `whole` is false when the capture cut it. What is no DNS, or is odd, is counted.
pub fn read(payload: &[u8], whole: bool, loss: &mut Loss) -> Option<Message> {
    let Some(mut message) = question(payload) else {
        let name = if whole {
            "dns_messages_malformed"
        } else {
            "dns_messages_cut"
        };
        loss.add(name, 1);
        return None;
    };
    if message.response {
        match Packet::parse(payload) {
            Ok(packet) => message.addresses = addresses(&packet),
            Err(_) if whole => loss.add("dns_messages_malformed", 1),
            Err(_) => loss.add("dns_messages_cut", 1),
        }
    }
    Some(message)
}

/// Header and first question (RFC 1035, section 4.1).
fn question(payload: &[u8]) -> Option<Message> {
    let (header, rest) = payload.split_at_checked(HEADER_LEN)?;
    let &[
        id_high,
        id_low,
        high,
        low,
        questions_high,
        questions_low,
        ..,
    ] = header
    else {
        return None;
    };
    // Other opcodes than a standard query are updates and notices.
    if high >> 3 & 0x0f != 0 {
        return None;
    }
    let mut message = Message {
        id: u16::from_be_bytes([id_high, id_low]),
        response: high & 0x80 != 0,
        rcode: u16::from(low & 0x0f),
        name: Box::default(),
        kind: 0,
        addresses: Vec::new(),
    };
    if (questions_high, questions_low) == (0, 0) {
        // Some resolvers leave the question out of a refusal.
        return message.response.then_some(message);
    }
    let (name, after) = name(rest)?;
    let &[kind_high, kind_low, ..] = after else {
        return None;
    };
    message.name = name;
    message.kind = u16::from_be_bytes([kind_high, kind_low]);
    Some(message)
}

/// The first name of a message, which cannot be compressed: there is nothing before it to point to.
fn name(mut bytes: &[u8]) -> Option<(Box<str>, &[u8])> {
    let mut name = String::new();
    loop {
        let (len, rest) = bytes.split_first()?;
        if *len == 0 {
            return Some((name.into(), rest));
        }
        if *len > 63 {
            return None;
        }
        let (label, rest) = rest.split_at_checked(usize::from(*len))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        bytes = rest;
        // A byte that is no text takes three after the conversion.
        if name.len() > NAME_MAX * 3 {
            return None;
        }
    }
}

fn addresses(packet: &Packet<'_>) -> Vec<IpAddr> {
    packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
            RData::AAAA(aaaa) => Some(IpAddr::V6(Ipv6Addr::from(aaaa.address))),
            _ => None,
        })
        .take(ADDRESSES_MAX)
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn message(id: u16, flags: [u8; 2], answers: u8, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&flags);
        bytes.extend_from_slice(&[0, 1, 0, answers, 0, 0, 0, 0]);
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    pub(in crate::protocol) fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
        message(id, [1, 0], 0, name, kind)
    }

    pub(in crate::protocol) fn answer(
        id: u16,
        name: &str,
        kind: u16,
        rcode: u8,
        addresses: &[[u8; 4]],
    ) -> Vec<u8> {
        let mut bytes = message(id, [0x81, 0x80 | rcode], addresses.len() as u8, name, kind);
        for address in addresses {
            bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            bytes.extend_from_slice(address);
        }
        bytes
    }

    #[test]
    fn reads_queries_and_answers() {
        let mut loss = Loss::default();
        let asked = read(&query(0x1234, "A.Example", 28), true, &mut loss).unwrap();
        assert_eq!((asked.id, asked.kind, asked.response), (0x1234, 28, false));
        assert_eq!(&*asked.name, "a.example");
        let bytes = answer(1, "a.example", 1, 0, &[[192, 0, 2, 1], [192, 0, 2, 2]]);
        let answered = read(&bytes, true, &mut loss).unwrap();
        assert_eq!(answered.addresses.len(), 2);
        assert_eq!(
            answered.addresses[1],
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))
        );
        let none = read(&answer(1, "a.example", 1, 3, &[]), true, &mut loss).unwrap();
        assert_eq!((none.rcode, none.response), (3, true));
        assert_eq!(loss, Loss::default());
    }

    #[test]
    fn a_cut_answer_still_tells_its_question() {
        let mut loss = Loss::default();
        let bytes = answer(9, "a.example", 1, 2, &[[192, 0, 2, 1]]);
        let cut = read(&bytes[..bytes.len() - 6], false, &mut loss).unwrap();
        assert_eq!(
            (cut.rcode, &*cut.name, cut.addresses.len()),
            (2, "a.example", 0)
        );
        assert_eq!(loss.get("dns_messages_cut"), 1);
        assert!(read(&bytes[..20], false, &mut loss).is_none());
        assert!(read(b"no dns", true, &mut loss).is_none());
        assert_eq!(loss.get("dns_messages_malformed"), 1);
    }

    #[test]
    fn a_refusal_without_a_question() {
        let bytes = [0, 7, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0];
        let message = read(&bytes, true, &mut Loss::default()).unwrap();
        assert_eq!((message.rcode, message.kind, &*message.name), (5, 0, ""));
    }

    #[test]
    fn mutated_messages_never_panic() {
        let mut state = 99_u64;
        let bytes = answer(1, "some.name.example", 1, 0, &[[1, 2, 3, 4]; 3]);
        for _ in 0..50_000 {
            let mut mutant = bytes.clone();
            for _ in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = (state >> 33) as usize % mutant.len();
                mutant[at] = (state >> 20) as u8;
            }
            mutant.truncate((state >> 40) as usize % (mutant.len() + 1));
            let _ = read(&mutant, state & 1 == 0, &mut Loss::default());
        }
    }
}
