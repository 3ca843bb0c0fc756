//! Frames as a capture file holds them. In: what a packet says. Out: records of pcap or pcapng, with right checksums.

use std::io::{self, Write};

use super::body::swapped;

/// Bytes that are gathered before they are written.
const GATHERED: usize = 1 << 20;

/// The capture's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic format, microseconds.
    Pcap,
    /// The next generation, one section and one interface, microseconds.
    Pcapng,
}

/// The link type of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Linux cooked capture, version 1.
    Sll,
    /// Linux cooked capture, version 2.
    Sll2,
    /// Ethernet.
    Ethernet,
}

impl Link {
    /// LINKTYPE_ value (tcpdump.org/linktypes.html).
    fn number(self) -> u32 {
        match self {
            Self::Sll => 113,
            Self::Sll2 => 276,
            Self::Ethernet => 1,
        }
    }
}

/// Address and port of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub address: [u8; 4],
    pub port: u16,
}

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// A TCP segment and where it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'p> {
    /// Nanoseconds since 1970.
    pub time: u64,
    pub source: Endpoint,
    pub destination: Endpoint,
    /// Whether the capturing machine sent it.
    pub outgoing: bool,
    /// Index of the interface.
    pub interface: u8,
    pub id: u16,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    /// Timestamp value and echo (RFC 7323).
    pub timestamps: (u32, u32),
    /// The first bytes of the payload.
    pub head: &'p [u8],
    /// The rest of it, and the sum of its words.
    pub body: (&'p [u8], u32),
}

/// Writes records.
pub struct Recorder<W> {
    to: W,
    gathered: Vec<u8>,
    format: Format,
    link: Link,
    written: u64,
    frames: u64,
}

impl<W: Write> Recorder<W> {
    /// Begins a capture.
    pub fn new(to: W, format: Format, link: Link) -> Self {
        let mut gathered = Vec::with_capacity(2 * GATHERED);
        let words: &[u32] = match format {
            Format::Pcap => &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link.number()],
            Format::Pcapng => &[
                // Section header, its length unknown; then the interface.
                0x0a0d_0d0a,
                28,
                0x1a2b_3c4d,
                1,
                u32::MAX,
                u32::MAX,
                28,
                1,
                20,
                link.number(),
                262_144,
                20,
            ],
        };
        gathered.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        Self {
            to,
            gathered,
            format,
            link,
            written: 0,
            frames: 0,
        }
    }

    /// Bytes of the capture so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Writes one frame.
    pub fn record(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut header = Header::default();
        let payload = packet.head.len() + packet.body.0.len();
        let options = if packet.flags & SYN == 0 { 12 } else { 20 };
        let link = match self.link {
            Link::Sll => 16,
            Link::Sll2 => 20,
            Link::Ethernet => 14,
        };
        let len = link + 20 + 20 + options + payload;
        self.open_record(&mut header, packet.time, len as u32);
        self.link(&mut header, packet);
        network(&mut header, packet, 40 + options + payload);
        transport(&mut header, packet, options, payload);
        self.gathered.extend_from_slice(header.bytes());
        self.gathered.extend_from_slice(packet.head);
        self.gathered.extend_from_slice(packet.body.0);
        if self.format == Format::Pcapng {
            let padding = len.wrapping_neg() % 4;
            self.gathered.resize(self.gathered.len() + padding, 0);
            let total = (32 + len + padding) as u32;
            self.gathered.extend(total.to_le_bytes());
        }
        self.frames += 1;
        if self.gathered.len() >= GATHERED {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.gathered)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        self.to.flush()
    }

    fn open_record(&self, header: &mut Header, time: u64, len: u32) {
        let micros = time / 1000;
        match self.format {
            Format::Pcap => {
                header.little((micros / 1_000_000) as u32);
                header.little((micros % 1_000_000) as u32);
            }
            Format::Pcapng => {
                header.little(6);
                header.little(len.div_ceil(4) * 4 + 32);
                header.little(0);
                header.little((micros >> 32) as u32);
                header.little(micros as u32);
            }
        }
        header.little(len);
        header.little(len);
    }

    fn link(&self, header: &mut Header, packet: &Packet<'_>) {
        let mac = [2, 0, 0, 0, packet.interface, u8::from(packet.outgoing)];
        let kind = if packet.outgoing { 4 } else { 0 };
        match self.link {
            Link::Sll => {
                header.push(&[0, kind, 0, 1, 0, 6]);
                header.push(&mac);
                header.push(&[0, 0, 8, 0]);
            }
            Link::Sll2 => {
                header.push(&[8, 0, 0, 0, 0, 0, 0, packet.interface, 0, 1, kind, 6]);
                header.push(&mac);
                header.push(&[0, 0]);
            }
            Link::Ethernet => {
                header.push(&[2, 0, 0, 0, packet.interface, u8::from(!packet.outgoing)]);
                header.push(&mac);
                header.push(&[8, 0]);
            }
        }
    }
}

/// The bytes before the payload.
struct Header {
    bytes: [u8; 160],
    len: usize,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            bytes: [0; 160],
            len: 0,
        }
    }
}

impl Header {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn little(&mut self, value: u32) {
        self.push(&value.to_le_bytes());
    }

    fn word(&mut self, value: u16) {
        self.push(&value.to_be_bytes());
    }

    fn double(&mut self, value: u32) {
        self.push(&value.to_be_bytes());
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Puts the checksum of what follows `start`, with `more` added, at `place` (RFC 1071).
    fn seal(&mut self, start: usize, place: usize, more: u32) {
        let mut sum = words(&self.bytes[start..self.len]).wrapping_add(more);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        self.bytes[place..place + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}

fn network(header: &mut Header, packet: &Packet<'_>, total: usize) {
    let start = header.len;
    header.push(&[0x45, 0]);
    header.word(total as u16);
    header.word(packet.id);
    header.push(&[0x40, 0, 64, 6, 0, 0]);
    header.push(&packet.source.address);
    header.push(&packet.destination.address);
    header.seal(start, start + 10, 0);
}

fn transport(header: &mut Header, packet: &Packet<'_>, options: usize, payload: usize) {
    let start = header.len;
    header.word(packet.source.port);
    header.word(packet.destination.port);
    header.double(packet.sequence);
    header.double(packet.acknowledgement);
    header.push(&[((20 + options) / 4 * 16) as u8, packet.flags]);
    header.push(&[1, 0xf5, 0, 0, 0, 0]);
    if options == 20 {
        // Segment size 1460, SACK permitted, timestamps, window scale 7: what Linux offers.
        header.push(&[2, 4, 5, 0xb4, 4, 2, 8, 10]);
    } else {
        header.push(&[1, 1, 8, 10]);
    }
    header.double(packet.timestamps.0);
    header.double(packet.timestamps.1);
    if options == 20 {
        header.push(&[1, 3, 3, 7]);
    }
    let (_, body) = packet.body;
    let body = if packet.head.len().is_multiple_of(2) {
        body
    } else {
        swapped(body)
    };
    let body = (body & 0xffff) + (body >> 16);
    let of_ip = words(&packet.source.address) + words(&packet.destination.address);
    let of_ip = of_ip + 6 + (20 + options + payload) as u32;
    header.seal(start, start + 16, of_ip + words(packet.head) + body);
}

/// The sum of 16-bit words; a last odd byte counts as a word's first.
fn words(bytes: &[u8]) -> u32 {
    let mut pairs = bytes.chunks_exact(2);
    let sum: u32 = (&mut pairs)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    sum + pairs
        .remainder()
        .first()
        .map_or(0, |last| u32::from(*last) << 8)
}
