//! Traffic of a gateway, made and not recorded: as much of it as is wanted, the same for the same seed.
//!
//! In: a [`Plan`]. Out: a capture as the gateway's machine would record it on all interfaces, both legs of every
//! exchange in it, with right numbers and checksums. Tables stay small, so that a capture may be of any size; nothing
//! here is taken from gwcap, which reads what is written here.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

mod body;
mod exchange;
mod lane;
mod random;
pub mod wire;

use std::io::{self, Write};

use body::Block;
pub use body::Bodies;
pub use exchange::Failure;
use exchange::Gateway;
use lane::Lane;
use random::Random;
use wire::{Endpoint, Packet, Recorder, SYN};
pub use wire::{Format, Link};

/// Friday, 2026-11-20, seconds since 1970.
const FRIDAY: u64 = 1_795_132_800;
/// When captures begin: in that day's morning.
const BEGINS: u64 = FRIDAY + 8 * 3_600;

/// What the traffic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clients and upstreams that keep their connections, answers of 15 kB in frames of up to twelve segments.
    Mixed,
    /// Connections of one small exchange each.
    Short,
    /// Few connections with answers of megabytes, every segment a frame.
    Bulk,
    /// SYNs from ever new addresses and ports, to which nobody answers.
    Flood,
    /// As mixed, with 5 % of the frames with data out of order, lost and sent again, or sent twice.
    Disturbed,
}

impl Kind {
    /// All, as they are named on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("mixed", Self::Mixed),
        ("short", Self::Short),
        ("bulk", Self::Bulk),
        ("flood", Self::Flood),
        ("disturbed", Self::Disturbed),
    ];

    /// Bytes of a capture of this kind, unless told otherwise.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Mixed => 1_100_000_000,
            Self::Short | Self::Disturbed => 300_000_000,
            Self::Bulk => 1_000_000_000,
            // Two million SYNs.
            Self::Flood => 2_000_000 * 92,
        }
    }

    /// Time from one frame to the next on average, nanoseconds.
    fn pace(self) -> u64 {
        match self {
            Self::Mixed => 100_000,
            Self::Short => 20_000,
            Self::Bulk => 10_000,
            Self::Flood => 5_000,
            Self::Disturbed => 50_000,
        }
    }

    /// Clients at once.
    fn lanes(self) -> usize {
        match self {
            Self::Bulk => 16,
            _ => 200,
        }
    }
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kind: Kind,
    /// Bytes of the capture: it ends with the frame that reaches them.
    pub bytes: u64,
    pub seed: u64,
    /// Exchanges that fail, spread evenly; the capture grows until all of them are in it.
    pub errors: u64,
    pub format: Format,
    pub link: Link,
    pub bodies: Bodies,
    /// Whether the gateway is overloaded: milliseconds pass, and others get their turn, before it reacts.
    pub slow_gateway: bool,
}

impl Plan {
    /// A capture of a kind in its usual size.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            bytes: kind.bytes(),
            seed: 1,
            errors: 0,
            format: Format::Pcap,
            link: Link::Sll,
            bodies: Bodies::Text,
            slow_gateway: false,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    pub frames: u64,
    /// Connections that were opened, on both legs.
    pub connections: u64,
    /// Exchanges that were begun by clients.
    pub exchanges: u64,
    /// Those of them that fail, in the order in which they begin.
    pub failures: Vec<Failure>,
}

/// Writes a capture.
pub fn write(plan: &Plan, to: impl Write) -> io::Result<Written> {
    let mut recorder = Recorder::new(to, plan.format, plan.link);
    let mut clock = Clock {
        now: BEGINS * 1_000_000_000,
        pace: plan.kind.pace(),
        random: Random::new(plan.seed ^ 0x00c1_0c0c),
    };
    let mut written = Written::default();
    if plan.kind == Kind::Flood {
        written.connections = flood(plan, &mut recorder, &mut clock)?;
    } else {
        exchanges(plan, &mut recorder, &mut clock, &mut written)?;
    }
    recorder.flush()?;
    written.bytes = recorder.bytes();
    written.frames = recorder.frames();
    Ok(written)
}

/// The capture's time.
struct Clock {
    now: u64,
    pace: u64,
    random: Random,
}

impl Clock {
    fn advance(&mut self) -> u64 {
        self.now += self.random.between(self.pace / 2, self.pace * 3 / 2);
        self.now
    }
}

fn exchanges<W: Write>(
    plan: &Plan,
    recorder: &mut Recorder<W>,
    clock: &mut Clock,
    written: &mut Written,
) -> io::Result<()> {
    let mut random = Random::new(plan.seed);
    let block = Block::new(plan.bodies, &mut random, |bytes| inner(plan, bytes));
    let mut gateway = Gateway::new(plan.kind, random);
    let mut lanes: Vec<Lane> = (0..plan.kind.lanes()).map(|_| gateway.lane()).collect();
    let mut turn = 0;
    // Lanes without anything to write now, one after the other.
    let mut idle = 0;
    loop {
        turn = (turn + 1) % lanes.len();
        let lane = &mut lanes[turn];
        let over = recorder.bytes() >= plan.bytes && gateway.failures.len() as u64 >= plan.errors;
        if over && !lane.failing || lane.wake > clock.now {
            idle += 1;
            if idle == lanes.len() {
                // Everybody sleeps, or is at the end: until the first wakes that has something to do.
                let waking = lanes.iter().filter(|lane| lane.failing || !over);
                let Some(first) = waking.map(|lane| lane.wake).min() else {
                    break;
                };
                clock.now = clock.now.max(first);
                idle = 0;
            }
            continue;
        }
        idle = 0;
        if lane.is_done() {
            let due = u128::from(plan.errors) * u128::from(recorder.bytes() + plan.bytes / 50);
            let failed = gateway.failures.len() as u64;
            let fails = u128::from(failed) * u128::from(plan.bytes) < due && failed < plan.errors;
            gateway.next(lane, fails, clock.now);
        }
        for count in 1.. {
            let wait = lane.take_wait();
            if wait > 0 {
                lane.wake = clock.now + wait;
                break;
            }
            recorder.record(&lane.next(clock.advance(), &block))?;
            if lane.is_done() {
                gateway.finished(lane);
                break;
            }
            // What comes in comes a frame or two at a time; what the gateway does about it, it does at once, unless it
            // is overloaded.
            if count >= 2 && (plan.slow_gateway || !lane.is_gateways_turn()) {
                break;
            }
        }
    }
    written.connections = gateway.connections;
    written.exchanges = gateway.exchanges;
    written.failures = gateway.failures;
    Ok(())
}

fn flood<W: Write>(plan: &Plan, recorder: &mut Recorder<W>, clock: &mut Clock) -> io::Result<u64> {
    let mut random = Random::new(plan.seed);
    let mut count: u32 = 0;
    while recorder.bytes() < plan.bytes {
        // An odd factor makes every count another address.
        let [a, b, c, d] = count.wrapping_mul(0x9e37_79b1).to_be_bytes();
        let chance = random.next();
        recorder.record(&Packet {
            time: clock.advance(),
            source: Endpoint {
                address: [a, b, c, d],
                port: 1024 + (chance % 64_000) as u16,
            },
            destination: exchange::FRONT,
            outgoing: false,
            interface: 2,
            id: (chance >> 16) as u16,
            sequence: (chance >> 32) as u32,
            acknowledgement: 0,
            flags: SYN,
            timestamps: (count, 0),
            head: &[],
            body: (&[], 0),
        })?;
        count = count.wrapping_add(1);
    }
    Ok(u64::from(count))
}

/// A capture to be carried in bodies: the same link type and about the same time, so that it looks like what is around it.
fn inner(plan: &Plan, bytes: usize) -> Vec<u8> {
    let mut capture = Vec::new();
    let inner = Plan {
        kind: Kind::Short,
        bytes: bytes as u64,
        bodies: Bodies::Text,
        errors: 20,
        ..*plan
    };
    write(&inner, &mut capture).unwrap();
    capture
}
