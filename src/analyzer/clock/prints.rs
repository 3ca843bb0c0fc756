//! Packets that another machine's capture may hold too. In: decoded segments of one input. Out: their prints.
//!
//! The rule: addresses are left out, because NAT changes them on the way, and ports too where the packet can be told
//! without. Left out: long segments, which network cards join and split, so that two machines see other packets.

use std::net::IpAddr;

use crate::analyzer::clock::sample::{Sample, hash_of, hash_of_bytes};
use crate::decode::segment::Segment;
use crate::flow::Endpoint;
use crate::time::Timestamp;

/// Longest payload of a packet that is looked for elsewhere: what fits one Ethernet frame.
const PAYLOAD_MAX: u32 = 1_460;
/// Copies of one packet inside a capture (`-i any` sees it on every device) follow each other within this,
/// nanoseconds. What comes later is another packet that looks the same.
const COPY_NANOS: i64 = 200_000_000;
/// FIN, SYN, RST and ACK: what routers leave alone.
const FLAGS: u8 = 0x17;

/// One packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Print {
    /// When it was captured, by that machine's clock.
    pub time: Timestamp,
    /// Who sent it and who was to get it, by hash.
    pub way: (u32, u32),
    /// Whether another packet of the capture looks the same.
    spoiled: bool,
}

/// The packets of one input.
#[derive(Debug)]
pub struct Prints(Sample<Print>);

impl Prints {
    /// No packets yet; at most `most` are kept.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Sample::new(most))
    }

    /// Takes the next segment.
    pub fn note(&mut self, segment: &Segment<'_>) {
        let Some(hash) = print_of(segment) else {
            return;
        };
        let time = segment.mark.time;
        if let Some(known) = self.0.of(hash) {
            known.spoiled |= time.nanos_since(known.time).saturating_abs() > COPY_NANOS;
            return;
        }
        let print = Print {
            time,
            way: way_of(segment),
            spoiled: false,
        };
        self.0.keep(hash, print);
    }

    /// The prints that are one packet's each, by hash.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(u64, Print)> {
        let mut sorted = self.0.into_sorted();
        sorted.retain(|(_, print)| !print.spoiled);
        sorted
    }
}

/// What tells a packet from all others wherever it is captured; `None` where nothing does.
fn print_of(segment: &Segment<'_>) -> Option<u64> {
    let flags = segment.flags;
    // A bare RST says too little, and an acknowledgement without payload says the same again.
    let bare = flags.rst() && !flags.ack();
    let marked = flags.syn() || flags.fin() || flags.rst() || segment.payload_len > 0;
    if bare || !marked || segment.payload_len > PAYLOAD_MAX {
        return None;
    }
    let acknowledges = if flags.ack() {
        segment.acknowledgement
    } else {
        0
    };
    let ports = match (segment.ip_id, segment.timestamps) {
        (Some(_), Some(_)) => 0,
        _ => u64::from(segment.source.port) << 16 | u64::from(segment.destination.port),
    };
    let stamps = segment
        .timestamps
        .map_or(0, |(value, echo)| u64::from(value) << 32 | u64::from(echo));
    let id = segment.ip_id.map_or(0, |id| u64::from(id) + 1);
    Some(hash_of(&[
        u64::from(segment.sequence) << 32 | u64::from(acknowledges),
        id << 40 | u64::from(flags.0 & FLAGS) << 32 | u64::from(segment.payload_len),
        stamps,
        ports,
    ]))
}

/// Sender and receiver. Where one address is both, its ports tell the two apart.
fn way_of(segment: &Segment<'_>) -> (u32, u32) {
    let alone = segment.source.addr == segment.destination.addr;
    let end = |endpoint: Endpoint| {
        let addr = match endpoint.addr {
            IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
            IpAddr::V6(addr) => addr.octets(),
        };
        let port = if alone { endpoint.port } else { 0 };
        let hash = hash_of(&[hash_of_bytes(&addr), u64::from(port)]);
        // The lower half alone: it only has to tell a few hosts apart.
        (hash & u64::from(u32::MAX)) as u32
    };
    (end(segment.source), end(segment.destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::segment::TcpFlags;
    use crate::flow::{Overlay, Vantage};
    use crate::frame::Mark;

    fn segment(millis: i64) -> Segment<'static> {
        let end = |text: &str, port| Endpoint::new(text.parse().unwrap(), port);
        Segment {
            source: end("10.0.0.9", 40_000),
            destination: end("10.0.0.1", 80),
            overlay: Overlay(0),
            vantage: Vantage(0),
            sequence: 7,
            acknowledgement: 9,
            flags: TcpFlags(0x18),
            window: 100,
            window_scale: None,
            timestamps: Some((1, 2)),
            multipath: false,
            ip_id: Some(77),
            ttl: 64,
            payload: &[],
            payload_len: 300,
            mark: Mark {
                time: Timestamp(millis * 1_000_000),
                ..Mark::default()
            },
        }
    }

    fn noted(segments: &[Segment<'_>]) -> Vec<(u64, Print)> {
        let mut prints = Prints::new(100);
        segments.iter().for_each(|segment| prints.note(segment));
        prints.into_sorted()
    }

    #[test]
    fn a_packet_is_known_again_behind_nat() {
        let mut beyond = segment(5);
        beyond.source = Endpoint::new("192.0.2.1".parse().unwrap(), 1_025);
        beyond.vantage = Vantage(1);
        beyond.ttl = 60;
        assert_eq!(print_of(&segment(0)), print_of(&beyond));
        // Without timestamps the ports are needed to tell it from others.
        let bare = |mut segment: Segment<'static>| {
            segment.timestamps = None;
            print_of(&segment)
        };
        assert_ne!(bare(segment(0)), bare(beyond));
        assert_ne!(way_of(&segment(0)), way_of(&beyond));
    }

    #[test]
    fn a_retransmission_is_another_packet() {
        for change in [
            |segment: &mut Segment<'_>| segment.ip_id = Some(78),
            |segment: &mut Segment<'_>| segment.timestamps = Some((3, 2)),
            |segment: &mut Segment<'_>| segment.sequence = 8,
            |segment: &mut Segment<'_>| segment.payload_len = 299,
        ] {
            let mut other = segment(0);
            change(&mut other);
            assert_ne!(print_of(&segment(0)), print_of(&other));
        }
    }

    #[test]
    fn copies_count_once_and_look_alikes_not_at_all() {
        assert_eq!(noted(&[segment(0), segment(1), segment(150)]).len(), 1);
        assert_eq!(noted(&[segment(0), segment(1)])[0].1.time, Timestamp(0));
        assert!(noted(&[segment(0), segment(1), segment(500)]).is_empty());
    }

    #[test]
    fn what_has_no_mark_of_its_own_is_left_out() {
        for change in [
            |segment: &mut Segment<'_>| segment.payload_len = 0,
            |segment: &mut Segment<'_>| segment.payload_len = 20_000,
            |segment: &mut Segment<'_>| segment.flags = TcpFlags(0x04),
        ] {
            let mut other = segment(0);
            change(&mut other);
            assert_eq!(print_of(&other), None);
        }
    }
}
