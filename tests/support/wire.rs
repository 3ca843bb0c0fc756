//! A tiny language that writes conversations as frames: who connects, says, resets, closes, and waits; what the
//! network repeats and turns round; what the capture loses, cuts, doubles and stamps wrongly.
//!
//! The rule: each sentence is one or two frames, with the numbers that TCP would give them; the receiver of data
//! acknowledges at once. IP over Ethernet, no checksums.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::packet::{self, Header};
use super::pcap::{self, Clock};

/// Time between two frames, nanoseconds.
const STEP_NANOS: i64 = 50_000;
const WINDOW: u16 = 65_000;
const TTL: u8 = 64;
/// Payload of a segment on Ethernet.
const SEGMENT: usize = 1_400;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// Who acts on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one who opened it.
    Opener,
    /// The one who listened.
    Listener,
}
pub use Side::{Listener, Opener};

impl Side {
    fn other(self) -> Self {
        match self {
            Opener => Listener,
            Listener => Opener,
        }
    }
}

/// A connection, by its number.
#[derive(Clone, Copy)]
pub struct Leg(usize);

#[derive(Clone)]
struct Tcp {
    ends: [SocketAddr; 2],
    /// Next sequence number of the opener and of the listener.
    next: [u32; 2],
    /// Whether its segments carry timestamps (RFC 7323), one tick a millisecond.
    stamped: bool,
    vlan: Option<u16>,
}

/// A segment that the plain sentences do not write. It moves no sequence number.
#[derive(Clone, Copy)]
pub struct Odd<'a> {
    pub flags: u8,
    pub data: &'a [u8],
    /// Where it lies, counted from the sender's next sequence number.
    pub shift: i64,
    /// What it acknowledges, counted from the receiver's next sequence number.
    pub ack_shift: i64,
    pub window: u16,
    pub ttl: u8,
    /// `None` takes the next one.
    pub ip_id: Option<u16>,
    pub options: &'a [u8],
    /// The IP header says 0, as of a packet that the card is to cut.
    pub without_length: bool,
}

impl Default for Odd<'_> {
    fn default() -> Self {
        Self {
            flags: ACK,
            data: &[],
            shift: 0,
            ack_shift: 0,
            window: WINDOW,
            ttl: TTL,
            ip_id: None,
            options: &[],
            without_length: false,
        }
    }
}

#[derive(Clone)]
struct Sent {
    nanos: i64,
    ends: (SocketAddr, SocketAddr),
    /// EtherType.
    kind: u16,
    /// What follows the header of Ethernet.
    bytes: Vec<u8>,
    vlan: Option<u16>,
}

/// A conversation in the making.
#[derive(Clone)]
pub struct Wire {
    /// True time.
    now: i64,
    /// By how much the capture's clock is ahead of it.
    clock_ahead: i64,
    ip_id: u16,
    legs: Vec<Tcp>,
    frames: Vec<Sent>,
    snap: usize,
    tick: i64,
}

impl Wire {
    /// An empty capture; the clock stands at a whole second of 2026.
    pub fn new() -> Self {
        Self {
            now: 1_795_179_845_000_000_000,
            clock_ahead: 0,
            ip_id: 1,
            legs: Vec::new(),
            frames: Vec::new(),
            snap: usize::MAX,
            tick: 1,
        }
    }

    /// Time passes.
    pub fn waits_ms(&mut self, millis: i64) -> &mut Self {
        self.now += millis * 1_000_000;
        self
    }

    // ---- Connections ----------------------------------------------------------------------------------

    /// A SYN that nobody has answered yet.
    pub fn syn(&mut self, opener: &str, listener: &str) -> Leg {
        let leg = self.prepares(opener, listener);
        self.segment(leg, Opener, SYN, &[]);
        leg
    }

    /// A connection of which nothing has been sent yet.
    pub fn prepares(&mut self, opener: &str, listener: &str) -> Leg {
        let number = u32::try_from(self.legs.len()).unwrap();
        self.legs.push(Tcp {
            ends: [opener.parse().unwrap(), listener.parse().unwrap()],
            next: [number.wrapping_mul(77_777), number.wrapping_mul(55_555)],
            stamped: false,
            vlan: None,
        });
        Leg(self.legs.len() - 1)
    }

    /// SYN, SYN and ACK, ACK.
    pub fn connects(&mut self, opener: &str, listener: &str) -> Leg {
        let leg = self.syn(opener, listener);
        self.accepts(leg);
        leg
    }

    /// The same with timestamps in every segment.
    pub fn connects_with_timestamps(&mut self, opener: &str, listener: &str) -> Leg {
        let leg = self.prepares(opener, listener);
        self.legs[leg.0].stamped = true;
        self.segment(leg, Opener, SYN, &[]).accepts(leg);
        leg
    }

    /// From now on the frames of a connection carry a VLAN tag.
    pub fn on_vlan(&mut self, leg: Leg, vlan: u16) -> &mut Self {
        self.legs[leg.0].vlan = Some(vlan);
        self
    }

    /// The listener answers the SYN, and the opener acknowledges.
    pub fn accepts(&mut self, leg: Leg) -> &mut Self {
        self.segment(leg, Listener, SYN | ACK, &[]);
        self.segment(leg, Opener, ACK, &[])
    }

    /// Data, and its acknowledgement.
    pub fn says(&mut self, leg: Leg, side: Side, data: impl AsRef<[u8]>) -> &mut Self {
        for piece in data.as_ref().chunks(SEGMENT) {
            self.segment(leg, side, PSH | ACK, piece);
            self.segment(leg, side.other(), ACK, &[]);
        }
        self
    }

    /// Data that is not acknowledged yet.
    pub fn sends(&mut self, leg: Leg, side: Side, data: impl AsRef<[u8]>) -> &mut Self {
        for piece in data.as_ref().chunks(SEGMENT) {
            self.segment(leg, side, PSH | ACK, piece);
        }
        self
    }

    /// A bare acknowledgement.
    pub fn acks(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, ACK, &[])
    }

    /// A RST with ACK: of a live socket, or in answer to a SYN.
    pub fn resets(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, RST | ACK, &[])
    }

    /// A RST without ACK: the host has no such socket.
    pub fn knows_nothing(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, RST, &[])
    }

    /// A FIN.
    pub fn closes(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, FIN | ACK, &[])
    }

    /// Data that nobody acknowledges.
    pub fn says_in_vain(&mut self, leg: Leg, side: Side, data: impl AsRef<[u8]>) -> &mut Self {
        for piece in data.as_ref().chunks(1_400) {
            self.segment(leg, side, PSH | ACK, piece);
        }
        self
    }

    /// An acknowledgement with a window of zero: there is no room for more.
    pub fn shuts(&mut self, leg: Leg, side: Side) -> &mut Self {
        self.segment(leg, side, ACK, &[]);
        let sent = self.frames.last_mut().unwrap();
        // The window lies at 14 of TCP, behind 20 bytes of IPv4.
        sent.bytes[34..36].fill(0);
        self
    }

    /// A segment with any control bits; data and SYN and FIN move the sender's sequence number.
    pub fn segment(&mut self, leg: Leg, side: Side, flags: u8, data: &[u8]) -> &mut Self {
        let odd = Odd {
            flags,
            data,
            ..Odd::default()
        };
        let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let moved = u32::try_from(data.len()).unwrap() + counted;
        self.odd(leg, side, odd).skips(leg, side, moved)
    }

    /// Any segment.
    pub fn odd(&mut self, leg: Leg, side: Side, odd: Odd<'_>) -> &mut Self {
        let tcp = &self.legs[leg.0];
        let (me, other) = (usize::from(side == Listener), usize::from(side == Opener));
        let near = |next: u32, shift: i64| (i64::from(next) + shift) as u32;
        let mut options = odd.options.to_vec();
        if tcp.stamped {
            let millis = (self.now / 1_000_000) as u32;
            options.extend([1, 1, 8, 10]);
            options.extend(millis.to_be_bytes());
            options.extend(millis.wrapping_sub(1).to_be_bytes());
        }
        let acknowledges = odd.flags & ACK != 0;
        let bytes = packet::tcp(
            (tcp.ends[me].port(), tcp.ends[other].port()),
            near(tcp.next[me], odd.shift),
            if acknowledges {
                near(tcp.next[other], odd.ack_shift)
            } else {
                0
            },
            odd.flags,
            odd.window,
            &options,
            odd.data,
        );
        let (ends, vlan) = ((tcp.ends[me], tcp.ends[other]), tcp.vlan);
        let header = Header {
            protocol: 6,
            ttl: odd.ttl,
            ip_id: odd.ip_id.unwrap_or(self.ip_id),
            without_length: odd.without_length,
        };
        self.ip(header, ends, vlan, &bytes)
    }

    /// Moves a side's next sequence number, as if that many bytes had been said unseen.
    pub fn skips(&mut self, leg: Leg, side: Side, bytes: u32) -> &mut Self {
        let me = usize::from(side == Listener);
        let next = &mut self.legs[leg.0].next[me];
        *next = next.wrapping_add(bytes);
        self
    }

    // ---- Beside TCP -----------------------------------------------------------------------------------

    /// A UDP datagram.
    pub fn datagram(&mut self, from: &str, to: &str, data: &[u8]) -> &mut Self {
        let ends: (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let bytes = packet::udp((ends.0.port(), ends.1.port()), data);
        self.packet(17, ends, &bytes)
    }

    /// An ICMP destination unreachable of that code, about the latest segment that `side` has sent.
    pub fn unreachable(&mut self, reporter: &str, code: u8, leg: Leg, side: Side) -> &mut Self {
        let from = self.legs[leg.0].ends[usize::from(side == Listener)];
        let quoted = self.frames.iter().rev().find(|sent| sent.ends.0 == from);
        let quoted = quoted.unwrap().bytes[..28].to_vec();
        let bytes = [&[3, code, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        let reporter: IpAddr = reporter.parse().unwrap();
        self.packet(1, (SocketAddr::new(reporter, 0), from), &bytes)
    }

    /// A packet of any protocol.
    pub fn packet(
        &mut self,
        protocol: u8,
        ends: (SocketAddr, SocketAddr),
        data: &[u8],
    ) -> &mut Self {
        let header = Header {
            protocol,
            ttl: TTL,
            ip_id: self.ip_id,
            without_length: false,
        };
        self.ip(header, ends, None, data)
    }

    /// ARP: who has `target`? Tell `who`.
    pub fn asks_for(&mut self, who: &str, target: &str) -> &mut Self {
        self.arp(1, who, target)
    }

    /// ARP: `who` is here, said to `listener`.
    pub fn is_here(&mut self, who: &str, listener: &str) -> &mut Self {
        self.arp(2, who, listener)
    }

    /// The first fragment of a TCP segment whose rest is lost.
    pub fn half_a_packet(&mut self, from: &str, to: &str) -> &mut Self {
        const MORE_FRAGMENTS: u8 = 0x20;
        let end = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        self.packet(6, (end(from), end(to)), &[0; 24]);
        if let Some(sent) = self.frames.last_mut() {
            sent.bytes[6] |= MORE_FRAGMENTS;
        }
        self
    }

    fn arp(&mut self, operation: u8, sender: &str, other: &str) -> &mut Self {
        let nobody = SocketAddr::new(IpAddr::from([0; 4]), 0);
        self.put(Sent {
            nanos: 0,
            ends: (nobody, nobody),
            kind: packet::ARP,
            bytes: packet::arp(operation, sender, other),
            vlan: None,
        })
    }

    fn ip(
        &mut self,
        header: Header,
        ends: (SocketAddr, SocketAddr),
        vlan: Option<u16>,
        data: &[u8],
    ) -> &mut Self {
        self.ip_id = self.ip_id.wrapping_add(1);
        let kind = if ends.0.is_ipv4() {
            packet::IPV4
        } else {
            packet::IPV6
        };
        self.put(Sent {
            nanos: 0,
            ends,
            kind,
            bytes: packet::ip(header, (ends.0.ip(), ends.1.ip()), data),
            vlan,
        })
    }

    fn put(&mut self, mut sent: Sent) -> &mut Self {
        self.now += STEP_NANOS;
        sent.nanos = self.now + self.clock_ahead;
        self.frames.push(sent);
        self
    }

    // ---- What the network does ------------------------------------------------------------------------

    /// The sender of the frame `back` frames ago (1 is the latest) sends the same segment again.
    pub fn sends_again(&mut self, back: usize) -> &mut Self {
        let mut sent = self.frames[self.frames.len() - back].clone();
        packet::renumber(&mut sent.bytes, self.ip_id);
        self.ip_id = self.ip_id.wrapping_add(1);
        self.put(sent)
    }

    /// The latest two frames arrive in the other order.
    pub fn turns_round(&mut self) -> &mut Self {
        let last = self.frames.len() - 1;
        self.frames.swap(last - 1, last);
        let early = self.frames[last].nanos;
        self.frames[last].nanos = self.frames[last - 1].nanos;
        self.frames[last - 1].nanos = early;
        self
    }

    // ---- What the capture does ------------------------------------------------------------------------

    /// The latest frames are not in the capture.
    pub fn misses(&mut self, frames: usize) -> &mut Self {
        self.frames.truncate(self.frames.len() - frames);
        self
    }

    /// The capture loses a frame.
    pub fn loses(&mut self, at: usize) -> &mut Self {
        self.frames.remove(at);
        self
    }

    /// Every frame of a connection is seen a second time, ten microseconds nearer to `side`, between these ends: at
    /// the other side of address translation.
    pub fn seen_also(&mut self, leg: Leg, side: Side, opener: &str, listener: &str) -> &mut Self {
        const AWAY_NANOS: i64 = 10_000;
        let here = self.legs[leg.0].ends;
        let there: [SocketAddr; 2] = [opener, listener].map(|end| end.parse().unwrap());
        let away = if side == Opener {
            AWAY_NANOS
        } else {
            -AWAY_NANOS
        };
        let mut seen = Vec::new();
        for sent in &self.frames {
            let (ends, later) = match sent.ends {
                (from, to) if [from, to] == here => ((there[0], there[1]), -away),
                (from, to) if [to, from] == here => ((there[1], there[0]), away),
                _ => continue,
            };
            let mut copy = sent.clone();
            packet::readdress(&mut copy.bytes, ends);
            copy.ends = ends;
            copy.nanos += later;
            seen.push(copy);
        }
        self.frames.extend(seen);
        self.frames.sort_by_key(|sent| sent.nanos);
        self
    }

    /// The packet `back` frames ago is seen once more, on another interface behind `hops` routers.
    pub fn sees_again(&mut self, back: usize, hops: u8) -> &mut Self {
        let mut sent = self.frames[self.frames.len() - back].clone();
        packet::forward(&mut sent.bytes, hops);
        self.put(sent)
    }

    /// Every packet so far is seen on a second interface too, `nanos` later and one router on.
    pub fn sees_all_twice(&mut self, nanos: i64) -> &mut Self {
        let mut both = Vec::new();
        for sent in &self.frames {
            let mut copy = sent.clone();
            copy.nanos += nanos;
            packet::forward(&mut copy.bytes, 1);
            both.extend([sent.clone(), copy]);
        }
        both.sort_by_key(|sent| sent.nanos);
        self.frames = both;
        self
    }

    /// Only the packets of which `sees` is told sender and receiver are in the capture so far.
    pub fn sees_only(&mut self, sees: impl Fn(SocketAddr, SocketAddr) -> bool) -> &mut Self {
        self.frames.retain(|sent| sees(sent.ends.0, sent.ends.1));
        self
    }

    /// At most so many bytes of each packet, from its IP header on, are in the capture.
    pub fn cuts_at(&mut self, bytes: usize) -> &mut Self {
        self.snap = bytes;
        self
    }

    /// The capture's clock is set: ahead, or back where negative.
    pub fn clock_steps_ms(&mut self, millis: i64) -> &mut Self {
        self.clock_ahead += millis * 1_000_000;
        self
    }

    /// The capture's clock moves on in steps of so many nanoseconds.
    pub fn clock_ticks_nanos(&mut self, nanos: i64) -> &mut Self {
        self.tick = nanos;
        self
    }

    /// Number of frames so far.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Writes the capture into `folder` and gives its path.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let mut file = pcap::header(Clock::Nanos, packet::ETHERNET);
        for sent in &self.frames {
            let head = packet::ethernet(sent.kind, sent.vlan);
            let frame = [&head[..], &sent.bytes].concat();
            let captured = frame.len().min(head.len().saturating_add(self.snap));
            let nanos = sent.nanos / self.tick * self.tick;
            pcap::record(&mut file, nanos, &frame[..captured], frame.len());
        }
        let path = folder.join("wire.pcap");
        std::fs::write(&path, file).unwrap();
        path
    }
}
