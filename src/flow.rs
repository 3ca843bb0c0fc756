//! Who talks to whom. In: addresses and ports of a packet. Out: keys that both directions share.
//!
//! The rule: a flow is both endpoints, the overlay that carried them, and the machine that saw them;
//! equal inner addresses of two overlays or of two machines never merge.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// Number of shards that flows are spread over. It never depends on the thread count, so that limits
/// which count per shard act the same everywhere.
pub const SHARDS: usize = 64;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address on the wire.
    pub addr: IpAddr,
    /// The port; 0 where the protocol has none.
    pub port: u16,
}

impl Endpoint {
    /// Makes an endpoint.
    #[must_use]
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Self { addr, port }
    }
}

impl fmt::Display for Endpoint {
    /// `10.0.0.1:80`, and `[::1]:443` for IPv6 (RFC 3986, section 3.2.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            IpAddr::V4(addr) => write!(f, "{addr}:{}", self.port),
            IpAddr::V6(addr) => write!(f, "[{addr}]:{}", self.port),
        }
    }
}

/// The overlay that a packet travelled in: a hash over the outer VLAN and tunnel ids, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Overlay(pub u32);

/// The machine whose inputs a packet came from. One machine's 127.0.0.1 is not another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vantage(pub u16);

/// Both endpoints without order, the overlay and the vantage: the same for either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    low: Endpoint,
    high: Endpoint,
    overlay: Overlay,
    vantage: Vantage,
}

impl FlowKey {
    /// The key of the flow between `one` and `other`, in whichever order they are given.
    #[must_use]
    #[inline]
    pub fn new(one: Endpoint, other: Endpoint, overlay: Overlay, vantage: Vantage) -> Self {
        let in_order = match (one.addr, other.addr) {
            // The order of all endpoints, in two words.
            (IpAddr::V4(addr), IpAddr::V4(other_addr)) => {
                (addr.to_bits(), one.port) <= (other_addr.to_bits(), other.port)
            }
            _ => one <= other,
        };
        let (low, high) = if in_order { (one, other) } else { (other, one) };
        Self {
            low,
            high,
            overlay,
            vantage,
        }
    }

    /// The shard of this flow, in `0..SHARDS`. A fixed hash, so that reports never depend on a seed.
    #[must_use]
    #[inline]
    pub fn shard(&self) -> usize {
        let mut hash = Mixed(0);
        self.hash(&mut hash);
        (hash.0 % SHARDS as u64) as usize
    }
}

impl Hash for FlowKey {
    /// In whole words: field by field it took as long as all the rest of finding a connection.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.low.addr, self.high.addr) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                state.write_u64(u64::from(low.to_bits()) << 32 | u64::from(high.to_bits()));
            }
            (low, high) => {
                for addr in [low, high] {
                    let bits = match addr {
                        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
                        IpAddr::V6(addr) => addr.to_bits(),
                    };
                    state.write_u64((bits >> 64) as u64);
                    state.write_u64(bits as u64);
                }
            }
        }
        let ports = u64::from(self.low.port) << 16 | u64::from(self.high.port);
        state.write_u64(ports << 32 | u64::from(self.overlay.0));
        state.write_u64(u64::from(self.vantage.0));
    }
}

/// The finaliser of SplitMix64 over machine words: short, fixed and good enough to spread flows over 64 shards.
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        let word = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = word ^ (word >> 31);
    }
}

/// Which way bytes travel on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the one who sent the SYN (or is taken for it) to the other.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}
