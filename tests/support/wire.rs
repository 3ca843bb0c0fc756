//! A tiny language that writes conversations as frames: who connects, says, resets, closes, and waits.
//!
//! The rule: each sentence is one or two frames, with the numbers that TCP would give them; the receiver of data
//! acknowledges at once. IPv4 over Ethernet, no checksums.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use super::pcap::{self, Clock};

/// Time between two frames, nanoseconds.
const STEP_NANOS: i64 = 50_000;
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
const WINDOW: u16 = 65_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Who acts on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one who opened it.
    Opener,
    /// The one who listened.
    Listener,
}
pub use Side::{Listener, Opener};

/// A connection, by its number.
#[derive(Clone, Copy)]
pub struct Leg(usize);

struct Tcp {
    ends: [SocketAddrV4; 2],
    /// Next sequence number of the opener and of the listener.
    next: [u32; 2],
    /// Whether anything was acknowledged yet.
    up: bool,
}

/// A conversation in the making.
pub struct Wire {
    now: i64,
    ip_id: u16,
    legs: Vec<Tcp>,
    frames: Vec<(i64, Vec<u8>)>,
}

impl Wire {
    /// An empty capture; the clock stands at a whole second of 2026.
    pub fn new() -> Self {
        Self {
            now: 1_795_179_845_000_000_000,
            ip_id: 1,
            legs: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Time passes.
    pub fn waits_ms(&mut self, millis: i64) -> &mut Self {
        self.now += millis * 1_000_000;
        self
    }

    /// A SYN that nobody has answered yet.
    pub fn syn(&mut self, opener: &str, listener: &str) -> Leg {
        let number = u32::try_from(self.legs.len()).unwrap();
        self.legs.push(Tcp {
            ends: [opener.parse().unwrap(), listener.parse().unwrap()],
            next: [number.wrapping_mul(77_777), number.wrapping_mul(55_555)],
            up: false,
        });
        let leg = Leg(self.legs.len() - 1);
        self.segment(leg, Opener, SYN, &[]);
        leg
    }

    /// SYN, SYN and ACK, ACK.
    pub fn connects(&mut self, opener: &str, listener: &str) -> Leg {
        let leg = self.syn(opener, listener);
        self.accepts(leg);
        leg
    }

    /// The listener answers the SYN, and the opener acknowledges.
    pub fn accepts(&mut self, leg: Leg) -> &mut Self {
        self.legs[leg.0].up = true;
        self.segment(leg, Listener, SYN | ACK, &[]);
        self.segment(leg, Opener, ACK, &[])
    }

    /// Data, and its acknowledgement.
    pub fn says(&mut self, leg: Leg, side: Side, data: impl AsRef<[u8]>) -> &mut Self {
        for piece in data.as_ref().chunks(1_400) {
            self.segment(leg, side, PSH | ACK, piece);
            let other = if side == Opener { Listener } else { Opener };
            self.segment(leg, other, ACK, &[]);
        }
        self
    }

    /// A RST.
    pub fn resets(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, RST | ACK, &[])
    }

    /// A FIN.
    pub fn closes(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, FIN | ACK, &[])
    }

    /// A segment with any control bits; data and SYN and FIN move the sender's sequence number.
    pub fn segment(&mut self, leg: Leg, side: Side, flags: u8, data: &[u8]) -> &mut Self {
        let tcp = &mut self.legs[leg.0];
        let (me, other) = if side == Opener { (0, 1) } else { (1, 0) };
        let mut bytes = Vec::new();
        bytes.extend(tcp.ends[me].port().to_be_bytes());
        bytes.extend(tcp.ends[other].port().to_be_bytes());
        bytes.extend(tcp.next[me].to_be_bytes());
        let acknowledges = if flags & ACK != 0 { tcp.next[other] } else { 0 };
        bytes.extend(acknowledges.to_be_bytes());
        bytes.extend([0x50, flags]);
        bytes.extend(WINDOW.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(data);
        let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        tcp.next[me] = tcp.next[me].wrapping_add(u32::try_from(data.len()).unwrap() + counted);
        let ends = (tcp.ends[me], tcp.ends[other]);
        self.packet(6, ends, &bytes)
    }

    /// Moves a side's next sequence number, as if that many bytes had been said unseen.
    pub fn skips(&mut self, leg: Leg, side: Side, bytes: u32) -> &mut Self {
        let me = usize::from(side == Listener);
        let next = &mut self.legs[leg.0].next[me];
        *next = next.wrapping_add(bytes);
        self
    }

    /// A UDP datagram.
    pub fn datagram(&mut self, from: &str, to: &str, data: &[u8]) -> &mut Self {
        let ends: (SocketAddrV4, SocketAddrV4) = (from.parse().unwrap(), to.parse().unwrap());
        let mut bytes = Vec::new();
        bytes.extend(ends.0.port().to_be_bytes());
        bytes.extend(ends.1.port().to_be_bytes());
        bytes.extend((8 + u16::try_from(data.len()).unwrap()).to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(data);
        self.packet(17, ends, &bytes)
    }

    /// ARP: who has `target`? Tell `who`.
    pub fn asks_for(&mut self, who: &str, target: &str) -> &mut Self {
        self.arp(1, who, target)
    }

    /// ARP: `who` is here, said to `listener`.
    pub fn is_here(&mut self, who: &str, listener: &str) -> &mut Self {
        self.arp(2, who, listener)
    }

    fn arp(&mut self, operation: u8, sender: &str, other: &str) -> &mut Self {
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        bytes.extend([2, 0, 0, 0, 0, 1]);
        bytes.extend(address(sender));
        bytes.extend([0; 6]);
        bytes.extend(address(other));
        self.frame(0x0806, &bytes)
    }

    fn frame(&mut self, kind: u16, data: &[u8]) -> &mut Self {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(kind.to_be_bytes());
        bytes.extend(data);
        self.now += STEP_NANOS;
        self.frames.push((self.now, bytes));
        self
    }

    fn packet(
        &mut self,
        protocol: u8,
        ends: (SocketAddrV4, SocketAddrV4),
        data: &[u8],
    ) -> &mut Self {
        let mut bytes = vec![0x45, 0];
        bytes.extend((20 + u16::try_from(data.len()).unwrap()).to_be_bytes());
        bytes.extend(self.ip_id.to_be_bytes());
        bytes.extend([0x40, 0, 64, protocol, 0, 0]);
        bytes.extend(ends.0.ip().octets());
        bytes.extend(ends.1.ip().octets());
        bytes.extend(data);
        self.ip_id = self.ip_id.wrapping_add(1);
        self.frame(0x0800, &bytes)
    }

    /// Every frame of a connection is seen a second time, ten microseconds nearer to `side`, between these ends: at
    /// the other side of address translation.
    pub fn seen_also(&mut self, leg: Leg, side: Side, opener: &str, listener: &str) -> &mut Self {
        const AWAY_NANOS: i64 = 10_000;
        let bytes = |end: SocketAddrV4| (end.ip().octets(), end.port().to_be_bytes());
        let here = self.legs[leg.0].ends.map(bytes);
        let there = [opener, listener].map(|end| bytes(end.parse().unwrap()));
        let away = if side == Opener {
            AWAY_NANOS
        } else {
            -AWAY_NANOS
        };
        let mut seen = Vec::new();
        for (time, frame) in &self.frames {
            if frame[12..14] != [8, 0] {
                continue;
            }
            // Behind 14 bytes of Ethernet addresses lie at 12 and 16, ports at 20 and 22.
            let ends = [(26, 34), (30, 36)].map(|(address, port)| {
                let address: [u8; 4] = frame[address..address + 4].try_into().unwrap();
                let port: [u8; 2] = frame[port..port + 2].try_into().unwrap();
                (address, port)
            });
            let (source, destination, later) = match ends {
                ends if ends == here => (there[0], there[1], -away),
                ends if ends == [here[1], here[0]] => (there[1], there[0], away),
                _ => continue,
            };
            let mut frame = frame.clone();
            for (at, (address, port)) in [source, destination].into_iter().enumerate() {
                frame[26 + 4 * at..30 + 4 * at].copy_from_slice(&address);
                frame[34 + 2 * at..36 + 2 * at].copy_from_slice(&port);
            }
            seen.push((time + later, frame));
        }
        self.frames.extend(seen);
        self.frames.sort_by_key(|(time, _)| *time);
        self
    }

    /// Number of frames so far.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The capture loses a frame.
    pub fn loses(&mut self, at: usize) -> &mut Self {
        self.frames.remove(at);
        self
    }

    /// Writes the capture into `folder` and gives its path.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let mut bytes = pcap::header(Clock::Nanos, ETHERNET);
        for (time, data) in &self.frames {
            pcap::record(&mut bytes, *time, data, data.len());
        }
        let path = folder.join("wire.pcap");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
