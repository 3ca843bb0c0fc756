//! What a frame carries, borrowed from it. In: nothing. Out: the types that `decode` makes.
//!
//! The rule: no copy; lengths on the wire and lengths captured are kept apart.

use std::net::IpAddr;

use crate::flow::{Endpoint, FlowKey, Overlay, Vantage};
use crate::frame::Mark;

/// The payload of one decoded frame.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// A TCP segment.
    Segment(Segment<'a>),
    /// A UDP datagram.
    Datagram(Datagram<'a>),
    /// An ICMP or ICMPv6 error with the packet that it quotes.
    Icmp(IcmpError),
    /// A step of address resolution on a link.
    Resolution(Resolution),
}

impl Packet<'_> {
    /// The flow that this packet belongs to; for an ICMP error the flow that it quotes, for a step of address
    /// resolution the two neighbours without ports.
    #[must_use]
    #[inline]
    pub fn flow(&self) -> FlowKey {
        match self {
            Self::Segment(segment) => segment.flow(),
            Self::Datagram(datagram) => FlowKey::new(
                datagram.source,
                datagram.destination,
                datagram.overlay,
                datagram.vantage,
            ),
            Self::Icmp(error) => FlowKey::new(
                error.quoted_source,
                error.quoted_destination,
                error.overlay,
                error.vantage,
            ),
            Self::Resolution(resolution) => FlowKey::new(
                Endpoint::new(resolution.speaker, 0),
                Endpoint::new(resolution.target, 0),
                resolution.overlay,
                resolution.vantage,
            ),
        }
    }

    /// The address that sent a TCP segment, a UDP datagram, or a question for a neighbour.
    #[must_use]
    #[inline]
    pub fn sender(&self) -> Option<IpAddr> {
        match self {
            Self::Segment(segment) => Some(segment.source.addr),
            Self::Datagram(datagram) => Some(datagram.source.addr),
            Self::Icmp(_) => None,
            // An answer may be given for another host (proxy ARP); a question comes from whom it names.
            Self::Resolution(resolution) if resolution.step == Step::Asks => {
                Some(resolution.speaker)
            }
            Self::Resolution(_) => None,
        }
    }

    /// Number and time of the frame.
    #[must_use]
    pub fn mark(&self) -> Mark {
        match self {
            Self::Segment(segment) => segment.mark,
            Self::Datagram(datagram) => datagram.mark,
            Self::Icmp(error) => error.mark,
            Self::Resolution(resolution) => resolution.mark,
        }
    }
}

/// The control bits of a TCP segment (RFC 9293, section 3.1): the low eight bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    #[must_use]
    #[inline]
    pub const fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }
    /// Synchronise sequence numbers.
    #[must_use]
    #[inline]
    pub const fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }
    /// Reset the connection.
    #[must_use]
    #[inline]
    pub const fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
    /// The acknowledgement field is significant.
    #[must_use]
    #[inline]
    pub const fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// One TCP segment (RFC 9293).
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// VLAN and tunnel ids.
    pub overlay: Overlay,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Sequence number of the first payload byte (of the SYN when that bit is set).
    pub sequence: u32,
    /// Acknowledgement number; meaningful with [`TcpFlags::ack`].
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, unscaled.
    pub window: u16,
    /// Window scale option of a SYN (RFC 7323), where present.
    pub window_scale: Option<u8>,
    /// Timestamp option: value and echo (RFC 7323), where present.
    pub timestamps: Option<(u32, u32)>,
    /// Whether an option of Multipath TCP is present (RFC 8684).
    pub multipath: bool,
    /// IPv4 identification; `None` on IPv6.
    pub ip_id: Option<u16>,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Captured payload bytes.
    pub payload: &'a [u8],
    /// Payload bytes on the wire; more than `payload.len()` when the capture cut the frame.
    pub payload_len: u32,
    /// Number and time of the frame.
    pub mark: Mark,
}

impl Segment<'_> {
    /// The flow of this segment, the same for both directions.
    #[must_use]
    #[inline]
    pub fn flow(&self) -> FlowKey {
        FlowKey::new(self.source, self.destination, self.overlay, self.vantage)
    }
}

/// One UDP datagram (RFC 768).
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// VLAN and tunnel ids.
    pub overlay: Overlay,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Captured payload bytes.
    pub payload: &'a [u8],
    /// Payload bytes on the wire.
    pub payload_len: u32,
    /// Number and time of the frame.
    pub mark: Mark,
}

/// What an ICMP error says (RFC 792, RFC 1812, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpReason {
    /// Destination network unreachable (v4 3/0, 3/6, 3/11; v6 1/0 no route).
    Net,
    /// Destination host unreachable (v4 3/1, 3/7, 3/12; v6 1/3 address unreachable).
    Host,
    /// Protocol unreachable (v4 3/2; v6 4/1).
    Protocol,
    /// Port unreachable (v4 3/3; v6 1/4).
    Port,
    /// Administratively prohibited (v4 3/9, 3/10, 3/13; v6 1/1, 1/5, 1/6).
    AdminProhibited,
    /// Packet too big, with the next hop's MTU in bytes (v4 3/4; v6 2/0).
    TooBig(u32),
    /// Time exceeded in transit (v4 11/0; v6 3/0).
    TimeExceeded,
    /// Any other error message, by type and code.
    Other(u8, u8),
}

/// An ICMP or ICMPv6 error and the TCP or UDP packet that it quotes.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError {
    /// The device that sent the error.
    pub reporter: IpAddr,
    /// What it says.
    pub reason: IcmpReason,
    /// Type and code as on the wire.
    pub type_code: (u8, u8),
    /// Sender of the quoted packet.
    pub quoted_source: Endpoint,
    /// Receiver of the quoted packet.
    pub quoted_destination: Endpoint,
    /// Whether the quoted packet is TCP (else UDP).
    pub quoted_tcp: bool,
    /// Sequence number of the quoted TCP segment, where the quote reaches that far.
    pub quoted_sequence: Option<u32>,
    /// VLAN and tunnel ids.
    pub overlay: Overlay,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Number and time of the frame.
    pub mark: Mark,
}

/// What is said in address resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Who has this address? (ARP request, neighbour solicitation.)
    Asks,
    /// This address is here. (ARP reply or announcement, neighbour advertisement.)
    Tells,
}

/// A question for a neighbour's hardware address, or the answer: ARP (RFC 826) or neighbour discovery (RFC 4861).
#[derive(Clone, Copy, Debug)]
pub struct Resolution {
    /// The sender's own address, never the unspecified one.
    pub speaker: IpAddr,
    /// The address that is asked for, or told.
    pub target: IpAddr,
    /// Which of the two.
    pub step: Step,
    /// Whom an answer is given to; `None` for one to all, and for a question.
    pub listener: Option<IpAddr>,
    /// VLAN and tunnel ids.
    pub overlay: Overlay,
    /// The machine that captured it.
    pub vantage: Vantage,
    /// Number and time of the frame.
    pub mark: Mark,
}
