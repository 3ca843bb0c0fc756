//! A lane: one client at a time, what it does next, and the frames of it that are still to be written.
//!
//! In: calls that say what happens on its connections. Out: steps, each one frame, with the numbers that TCP gives it.

use super::body::Block;
use super::random::Random;
use super::wire::{ACK, Endpoint, FIN, PSH, Packet, RST, SYN};

/// Payload of a frame as large as Ethernet lets it be, with timestamps.
const SEGMENT: usize = 1448;

/// Which side of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client = 0,
    Server = 1,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A leg of the gateway: whom it faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The client's connection, of a lane's two the first.
    Client = 0,
    /// The upstream connection.
    Upstream = 1,
}

/// A TCP connection.
#[derive(Clone, Debug)]
pub struct Connection {
    ends: [Endpoint; 2],
    /// Next sequence number of each side.
    next: [u32; 2],
    /// Next IP identification of each side.
    ids: [u16; 2],
    /// What each side's timestamp clock is ahead, milliseconds.
    clocks: [u32; 2],
    /// Requests that it served.
    pub uses: u64,
    /// Requests that it will serve.
    pub uses_max: u64,
}

impl Connection {
    pub fn new(client: Endpoint, server: Endpoint, uses_max: u64, random: &mut Random) -> Self {
        let (initial, other) = (random.next(), random.next());
        Self {
            ends: [client, server],
            next: [initial as u32, (initial >> 32) as u32],
            ids: [other as u16, (other >> 16) as u16],
            clocks: [(other >> 32) as u32 >> 2, (other >> 40) as u32],
            uses: 0,
            uses_max,
        }
    }

    /// Who opened it.
    pub fn client(&self) -> Endpoint {
        self.ends[0]
    }
}

/// How frames of data are cut and disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Cutting {
    /// Segments that offload puts into one frame, at most.
    pub segments_max: u64,
    /// Of a thousand frames with data so many come out of order, are lost and sent again, or come twice.
    pub disturbed_per_mille: u64,
    /// Whether a message is acknowledged even when the answer to it follows.
    pub acknowledge_all: bool,
}

/// What a frame's payload is: a range of the lane's heads, and a piece of a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payload {
    pub head: (u32, u32),
    pub body: (u64, u32),
}

impl Payload {
    fn len(&self) -> usize {
        (self.head.1 - self.head.0) as usize + self.body.1 as usize
    }

    /// The part from `at`, `len` bytes long.
    fn part(&self, at: usize, len: usize) -> Self {
        let head = (self.head.1 - self.head.0) as usize;
        let (from, to) = (at.min(head), (at + len).min(head));
        let skipped = (at + (to - from)).saturating_sub(head);
        Self {
            head: (self.head.0 + from as u32, self.head.0 + to as u32),
            body: (self.body.0 + skipped as u64, (len - (to - from)) as u32),
        }
    }
}

/// One frame, and how long nothing happens before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    leg: Leg,
    side: Side,
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    payload: Payload,
    wait: u64,
}

impl Step {
    /// Whether the gateway sends it.
    fn is_outgoing(&self) -> bool {
        (self.leg == Leg::Upstream) == (self.side == Side::Client)
    }
}

/// See above.
pub struct Lane {
    /// The connections of the exchange under way; the client's first.
    pub connections: [Connection; 2],
    pub cutting: Cutting,
    /// Whether the client's connection serves further requests.
    pub open: bool,
    /// Whether the exchange under way is one that fails.
    pub failing: bool,
    /// Whether the upstream connection goes back to the pool afterwards.
    pub pooled: bool,
    /// Nothing is written before this time.
    pub wake: u64,
    heads: Vec<u8>,
    steps: Vec<Step>,
    at: usize,
    wait: u64,
}

impl Lane {
    pub fn new(connections: [Connection; 2], cutting: Cutting) -> Self {
        Self {
            connections,
            cutting,
            open: false,
            failing: false,
            pooled: false,
            wake: 0,
            heads: Vec::new(),
            steps: Vec::new(),
            at: 0,
            wait: 0,
        }
    }

    /// Whether every frame was written.
    pub fn is_done(&self) -> bool {
        self.at == self.steps.len()
    }

    /// Forgets the frames that were written.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.heads.clear();
        self.at = 0;
    }

    /// Whether the next frame is one that the gateway sends.
    pub fn is_gateways_turn(&self) -> bool {
        self.steps.get(self.at).is_some_and(Step::is_outgoing)
    }

    /// How long nothing happens before the next frame, told once.
    pub fn take_wait(&mut self) -> u64 {
        self.steps
            .get_mut(self.at)
            .map_or(0, |step| std::mem::take(&mut step.wait))
    }

    /// The next frame.
    pub fn next<'l>(&'l mut self, time: u64, block: &'l Block) -> Packet<'l> {
        let step = &self.steps[self.at];
        self.at += 1;
        let connection = &mut self.connections[step.leg as usize];
        let (us, peer) = (step.side as usize, step.side.other() as usize);
        connection.ids[us] = connection.ids[us].wrapping_add(1);
        let clock = |side: usize| ((time / 1_000_000) as u32).wrapping_add(connection.clocks[side]);
        let answers = step.flags & ACK != 0;
        let (head, body) = (step.payload.head, step.payload.body);
        Packet {
            time,
            source: connection.ends[us],
            destination: connection.ends[peer],
            outgoing: step.is_outgoing(),
            interface: 2 + step.leg as u8,
            id: connection.ids[us],
            sequence: step.sequence,
            acknowledgement: step.acknowledgement,
            flags: step.flags,
            timestamps: (clock(us), if answers { clock(peer) } else { 0 }),
            head: &self.heads[head.0 as usize..head.1 as usize],
            body: block.piece(body.0, body.1 as usize),
        }
    }

    /// Lets time pass, nanoseconds.
    pub fn wait(&mut self, nanos: u64) {
        self.wait += nanos;
    }

    /// Keeps text for a payload.
    pub fn head(&mut self, text: std::fmt::Arguments<'_>) -> Payload {
        use std::io::Write;
        let from = self.heads.len() as u32;
        self.heads.write_fmt(text).unwrap();
        Payload {
            head: (from, self.heads.len() as u32),
            body: (0, 0),
        }
    }

    /// The handshake.
    pub fn open(&mut self, leg: Leg) {
        self.control(leg, Side::Client, SYN);
        self.control(leg, Side::Server, SYN | ACK);
        self.control(leg, Side::Client, ACK);
    }

    /// A SYN that nobody answers, and its copies after so many nanoseconds each.
    pub fn knock(&mut self, leg: Leg, after: &[u64]) {
        let first = self.connections[leg as usize].next[0];
        self.control(leg, Side::Client, SYN);
        for nanos in after {
            self.connections[leg as usize].next[0] = first;
            self.wait(*nanos);
            self.control(leg, Side::Client, SYN);
        }
    }

    /// A SYN that is refused.
    pub fn refuse(&mut self, leg: Leg) {
        self.control(leg, Side::Client, SYN);
        let connection = &mut self.connections[leg as usize];
        let acknowledgement = connection.next[0];
        self.push(
            leg,
            Side::Server,
            RST | ACK,
            0,
            acknowledgement,
            Payload::default(),
        );
    }

    /// One side closes and the other follows.
    pub fn close(&mut self, leg: Leg, side: Side) {
        self.control(leg, side, FIN | ACK);
        self.control(leg, side.other(), ACK);
        self.control(leg, side.other(), FIN | ACK);
        self.control(leg, side, ACK);
    }

    /// One side resets.
    pub fn reset(&mut self, leg: Leg, side: Side) {
        self.control(leg, side, RST | ACK);
    }

    /// One side sends a message, cut into frames; the other acknowledges.
    pub fn say(&mut self, leg: Leg, side: Side, message: Payload, random: &mut Random) {
        let connection = &mut self.connections[leg as usize];
        let start = connection.next[side as usize];
        let acknowledgement = connection.next[side.other() as usize];
        connection.next[side as usize] = start.wrapping_add(message.len() as u32);
        let pieces = self.cut(&message, random);
        let order = disturb(pieces.len(), self.cutting.disturbed_per_mille, random);
        let mut arrived = vec![false; pieces.len()];
        let (mut complete, mut unacknowledged) = (0, 0);
        for (index, again) in order {
            let (at, len) = pieces[index];
            if again {
                // Three acknowledgements have to come before a segment is sent again, or a timer has to run out.
                self.wait(random.between(8_000_000, 40_000_000));
            }
            let flags = if index + 1 == pieces.len() {
                PSH | ACK
            } else {
                ACK
            };
            let sequence = start.wrapping_add(at as u32);
            self.push(
                leg,
                side,
                flags,
                sequence,
                acknowledgement,
                message.part(at, len),
            );
            let odd = arrived[index] || index != complete;
            arrived[index] = true;
            while arrived.get(complete) == Some(&true) {
                complete += 1;
            }
            unacknowledged += 1;
            let whole = complete == pieces.len();
            let spared = whole && !self.cutting.acknowledge_all && random.chance(500);
            if odd || unacknowledged == 2 || (whole && !spared) {
                unacknowledged = 0;
                let heard = pieces.get(complete).map_or(message.len(), |(at, _)| *at);
                let heard = start.wrapping_add(heard as u32);
                self.push(
                    leg,
                    side.other(),
                    ACK,
                    acknowledgement,
                    heard,
                    Payload::default(),
                );
            }
        }
    }

    /// Where the frames of a message begin, and their lengths.
    fn cut(&self, message: &Payload, random: &mut Random) -> Vec<(usize, usize)> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < message.len() {
            let largest = SEGMENT * random.between(1, self.cutting.segments_max) as usize;
            let len = largest.min(message.len() - at);
            pieces.push((at, len));
            at += len;
        }
        pieces
    }

    /// A frame without payload, and the sequence number that it takes.
    fn control(&mut self, leg: Leg, side: Side, flags: u8) {
        let connection = &mut self.connections[leg as usize];
        let sequence = connection.next[side as usize];
        let acknowledgement = if flags & ACK == 0 {
            0
        } else {
            connection.next[side.other() as usize]
        };
        let taken = u32::from(flags & (SYN | FIN) != 0);
        connection.next[side as usize] = sequence.wrapping_add(taken);
        self.push(
            leg,
            side,
            flags,
            sequence,
            acknowledgement,
            Payload::default(),
        );
    }

    fn push(
        &mut self,
        leg: Leg,
        side: Side,
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
        payload: Payload,
    ) {
        let wait = std::mem::take(&mut self.wait);
        self.steps.push(Step {
            leg,
            side,
            flags,
            sequence,
            acknowledgement,
            payload,
            wait,
        });
    }
}

/// The order in which the frames of a message are seen, and whether they were sent again then. One that comes twice was
/// sent twice; one that comes late was overtaken, or lost before it was seen and sent again.
fn disturb(frames: usize, per_mille: u64, random: &mut Random) -> Vec<(usize, bool)> {
    let mut order: Vec<(usize, bool)> = (0..frames).map(|index| (index, false)).collect();
    for place in 0..frames {
        if per_mille == 0 || !random.chance(per_mille) {
            continue;
        }
        let again = (order[place].0, true);
        match random.next() % 3 {
            0 if place + 1 < order.len() => order.swap(place, place + 1),
            1 if place + 3 < order.len() => {
                order[place] = again;
                order[place..=place + 3].rotate_left(1);
            }
            _ => order.insert((place + 2).min(order.len()), again),
        }
    }
    order
}
