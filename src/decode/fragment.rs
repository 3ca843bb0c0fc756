//! IP fragments put together. In: fragments in the order of their frames. Out: whole packets, owned.
//!
//! The rule: memory and time are bounded as Linux bounds them, and what is given up is counted. A packet whose pieces
//! overlap is given up (RFC 5722), because two receivers would read it in two ways; a piece that is seen twice, as on
//! `any`, is one piece.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::decode::network::{Network, Piece};
use crate::flow::{Overlay, Vantage};
use crate::frame::Mark;
use crate::loss::{Loss, LossName};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most packets whose pieces are known, those that became whole included, because a second view of them may follow.
pub const PACKETS_MAX: usize = 4096;

/// Most bytes of pieces that wait: what Linux allows (ipfrag_high_thresh).
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most pieces of one packet: 65,535 bytes in the smallest pieces that links of IPv4 must carry (68 bytes, RFC 791) would
/// be 1,366, but real links have at least 576.
pub const PIECES_MAX: usize = 256;

/// Most pieces of all packets: beside its bytes each takes about 130 bytes of memory.
pub const PIECES_KNOWN_MAX: usize = 65_536;

/// Seconds of capture time that a packet waits for its pieces: what Linux waits for IPv4 (ipfrag_time). IPv6 allows 60
/// (RFC 8200, section 4.5), but what is half a minute late is of no use to a connection.
pub const WAIT_SECONDS_MAX: i64 = 30;

/// Fragments of packets that never became whole.
pub const FRAGMENTS_INCOMPLETE: LossName = "ip_fragments_not_reassembled";
/// Fragments of packets whose pieces overlap.
pub const FRAGMENTS_OVERLAPPING: LossName = "ip_fragments_overlapping";
/// Fragments that were given up because too many waited.
pub const FRAGMENTS_OVER_LIMIT: LossName = "ip_fragments_beyond_the_limit";

/// Where a packet was seen: the same for all that it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) overlay: Overlay,
    pub(super) vantage: Vantage,
    pub(super) mark: Mark,
    /// Tunnels around it.
    pub(super) depth: usize,
}

/// A piece of an IP packet, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    pub(super) origin: Origin,
    pub(super) piece: Piece<'a>,
}

impl Fragment<'_> {
    /// Capture time of its frame.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.origin.mark.time
    }
}

/// An IP packet that was put together. Its frame is the one that completed it.
#[derive(Clone, Debug)]
pub struct Whole {
    pub(super) origin: Origin,
    source: IpAddr,
    destination: IpAddr,
    ip_id: Option<u16>,
    ttl: u8,
    protocol: u8,
    /// Captured bytes up to the first that the capture cut.
    payload: Vec<u8>,
    payload_len: usize,
}

impl Whole {
    /// The frame that completed the packet.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.origin.mark
    }

    pub(super) fn network(&self) -> Network<'_> {
        Network {
            source: self.source,
            destination: self.destination,
            ip_id: self.ip_id,
            ttl: self.ttl,
            protocol: self.protocol,
            payload: &self.payload,
            payload_len: self.payload_len,
        }
    }
}

/// A packet of which only pieces were seen, or pieces that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPieces {
    /// The machine that saw them.
    pub vantage: Vantage,
    /// Their sender.
    pub source: IpAddr,
    /// Their receiver.
    pub destination: IpAddr,
    /// Protocol number of what they carry.
    pub protocol: u8,
    /// Capture time of the first piece.
    pub first: Timestamp,
    /// Capture time of the last piece.
    pub last: Timestamp,
}

/// What the pieces of a packet share.
type Key = (Vantage, Overlay, IpAddr, IpAddr, u8, u32);

/// Puts fragments together.
#[derive(Debug, Default)]
pub struct Reassembler {
    packets: BTreeMap<Key, Packet>,
    /// Keys in the order in which their packets began, with the serial number of each.
    order: VecDeque<(u64, Key)>,
    serial: u64,
    waiting_bytes: usize,
    pieces: usize,
    /// Running maximum of the capture time of fragments.
    clock: Timestamp,
    /// Packets that were given up since they were taken last.
    lost: Vec<LostPieces>,
}

/// A packet in the making, or one that is done and kept to know its pieces when they are seen again.
#[derive(Debug)]
struct Packet {
    serial: u64,
    began: Timestamp,
    latest: Timestamp,
    pieces: BTreeMap<usize, Part>,
    /// Length of the payload, once the last piece is here.
    total: Option<usize>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Whole and handed over; the pieces have no bytes any more.
    Done,
    /// Its pieces overlap, or are too many.
    GivenUp,
}

#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    wire_len: usize,
    hash: u64,
    ttl: u8,
    ip_id: Option<u16>,
}

impl Reassembler {
    /// Adds a fragment; the packet that it completes, if it does.
    pub(super) fn push(&mut self, fragment: &Fragment<'_>, loss: &mut Loss) -> Option<Whole> {
        let (origin, piece) = (fragment.origin, &fragment.piece);
        self.expire(origin.mark.time, loss);
        let network = &piece.network;
        let key = (
            origin.vantage,
            origin.overlay,
            network.source,
            network.destination,
            network.protocol,
            piece.id,
        );
        let packet = self.packet(key);
        let verdict = packet.judge(piece);
        match verdict {
            Verdict::Known => return None,
            Verdict::Useless(name) => {
                loss.add(name, 1);
                self.give_up(&key, name, loss);
                return None;
            }
            // The sender has used the id again.
            Verdict::Another => self.forget(&key),
            Verdict::New => {}
        }
        let now = self.clock;
        let packet = self.packet(key);
        packet.latest = now;
        packet.add(piece);
        let whole = packet.whole(origin, &key);
        self.waiting_bytes = self.waiting_bytes.saturating_add(network.payload.len());
        self.pieces = self.pieces.saturating_add(1);
        if whole.is_some() {
            self.release(&key);
        }
        self.keep_limits(loss);
        whole
    }

    /// The capture is over: counts what waits in vain.
    pub fn finish(&mut self, loss: &mut Loss) {
        while self.drop_oldest(FRAGMENTS_INCOMPLETE, loss) {}
    }

    /// The packets that were given up since the last call, in order.
    pub fn take_lost(&mut self) -> Vec<LostPieces> {
        std::mem::take(&mut self.lost)
    }

    fn packet(&mut self, key: Key) -> &mut Packet {
        self.packets.entry(key).or_insert_with(|| {
            self.serial = self.serial.saturating_add(1);
            self.order.push_back((self.serial, key));
            Packet {
                serial: self.serial,
                began: self.clock,
                latest: self.clock,
                pieces: BTreeMap::new(),
                total: None,
                state: State::Open,
            }
        })
    }

    /// Gives up what has waited too long before `now`.
    fn expire(&mut self, now: Timestamp, loss: &mut Loss) {
        self.clock = self.clock.max(now);
        let wait = WAIT_SECONDS_MAX.saturating_mul(NANOS_PER_SECOND);
        while let Some((serial, key)) = self.order.front() {
            let alive = self.packets.get(key).is_some_and(|packet| {
                packet.serial == *serial && self.clock.nanos_since(packet.began) <= wait
            });
            if alive {
                return;
            }
            self.drop_oldest(FRAGMENTS_INCOMPLETE, loss);
        }
    }

    fn keep_limits(&mut self, loss: &mut Loss) {
        while self.order.len() > PACKETS_MAX
            || self.waiting_bytes > WAITING_BYTES_MAX
            || self.pieces > PIECES_KNOWN_MAX
        {
            if !self.drop_oldest(FRAGMENTS_OVER_LIMIT, loss) {
                return;
            }
        }
    }

    /// Forgets the packet that began first; `false` when there is none.
    fn drop_oldest(&mut self, name: LossName, loss: &mut Loss) -> bool {
        let Some((serial, key)) = self.order.pop_front() else {
            return false;
        };
        let same = |packet: &Packet| packet.serial == serial;
        if self.packets.get(&key).is_some_and(same) {
            self.give_up(&key, name, loss);
            self.forget(&key);
        }
        true
    }

    /// Counts the pieces of a packet that will not become whole, and lets go of their bytes.
    fn give_up(&mut self, key: &Key, name: LossName, loss: &mut Loss) {
        if let Some(packet) = self.packets.get_mut(key)
            && packet.state == State::Open
        {
            packet.state = State::GivenUp;
            loss.add(name, packet.pieces.len() as u64);
            let (vantage, _, source, destination, protocol, _) = *key;
            self.lost.push(LostPieces {
                vantage,
                source,
                destination,
                protocol,
                first: packet.began,
                last: packet.latest,
            });
        }
        self.release(key);
    }

    fn forget(&mut self, key: &Key) {
        if let Some(packet) = self.packets.remove(key) {
            self.pieces = self.pieces.saturating_sub(packet.pieces.len());
        }
    }

    /// Lets go of the bytes of a packet.
    fn release(&mut self, key: &Key) {
        let parts = self.packets.get_mut(key);
        for part in parts.into_iter().flat_map(|it| it.pieces.values_mut()) {
            let bytes = std::mem::take(&mut part.bytes);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes.len());
        }
    }
}

/// What a piece is to a packet.
enum Verdict {
    New,
    /// It was there before.
    Known,
    /// It belongs to another packet with the same id.
    Another,
    /// It cannot be used: the name under which it is counted.
    Useless(LossName),
}

impl Packet {
    fn judge(&self, piece: &Piece<'_>) -> Verdict {
        let (start, length) = (piece.offset, piece.network.payload_len);
        let end = start.saturating_add(length);
        let known = self.pieces.get(&start).is_some_and(|part| {
            part.wire_len == length && part.hash == hash(piece.network.payload)
        });
        if known {
            return Verdict::Known;
        }
        match self.state {
            State::Open => {}
            State::Done => return Verdict::Another,
            State::GivenUp => return Verdict::Useless(FRAGMENTS_OVERLAPPING),
        }
        let before = self.pieces.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, part)| at.saturating_add(part.wire_len) > start);
        // Nothing lies beyond the last piece, and there is one last piece.
        let last = self.pieces.last_key_value();
        let reach = last.map_or(0, |(at, part)| at.saturating_add(part.wire_len));
        let beyond = match (self.total, piece.more) {
            (Some(total), true) => end > total,
            (Some(_), false) => true,
            (None, true) => false,
            (None, false) => reach > end,
        };
        if overlaps || beyond {
            Verdict::Useless(FRAGMENTS_OVERLAPPING)
        } else if self.pieces.len() >= PIECES_MAX {
            Verdict::Useless(FRAGMENTS_OVER_LIMIT)
        } else {
            Verdict::New
        }
    }

    fn add(&mut self, piece: &Piece<'_>) {
        let network = &piece.network;
        if !piece.more {
            self.total = Some(piece.offset.saturating_add(network.payload_len));
        }
        let part = Part {
            bytes: network.payload.to_vec(),
            wire_len: network.payload_len,
            hash: hash(network.payload),
            ttl: network.ttl,
            ip_id: network.ip_id,
        };
        self.pieces.insert(piece.offset, part);
    }

    /// The packet, when no piece is missing.
    fn whole(&mut self, origin: Origin, key: &Key) -> Option<Whole> {
        let total = self.total?;
        let wire: usize = self.pieces.values().map(|part| part.wire_len).sum();
        if wire != total {
            return None;
        }
        let first = self.pieces.get(&0)?;
        let mut payload = Vec::with_capacity(total);
        for part in self.pieces.values() {
            payload.extend_from_slice(&part.bytes);
            if part.bytes.len() < part.wire_len {
                break;
            }
        }
        let (_, _, source, destination, protocol, _) = *key;
        let whole = Whole {
            origin,
            source,
            destination,
            ip_id: first.ip_id,
            ttl: first.ttl,
            protocol,
            payload,
            payload_len: total,
        };
        self.state = State::Done;
        Some(whole)
    }
}

/// FNV-1a: enough to know a piece again.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
