//! A tiny language for tests. In: what client and server send. Out: what the table tells, as lines.
//!
//! The rule: offsets are stream offsets; a line begins with `>` for the client's direction, `<` for the
//! server's.

use std::net::{IpAddr, Ipv4Addr};

use crate::decode::segment::{Segment, TcpFlags};
use crate::flow::{Direction, Endpoint, FlowKey, Overlay, Vantage};
use crate::frame::{FrameId, Mark};
use crate::tcp::event::{Connection, GapReason, StreamEvent};
use crate::tcp::table::ConnectionTable;
use crate::time::Timestamp;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// A table, a clock, and everything that the table has told.
pub(super) struct Play {
    pub table: ConnectionTable<Vec<u8>>,
    pub log: Vec<String>,
    /// The facts at the latest event.
    pub facts: Option<Connection>,
    pub client_isn: u32,
    pub server_isn: u32,
    pub client: Endpoint,
    pub server: Endpoint,
    /// Nanoseconds.
    pub now: i64,
    pub(super) frame: u64,
    pub ip_id: u16,
}

/// One segment before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Seg {
    pub from_client: bool,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub payload: Vec<u8>,
    pub payload_len: u32,
    pub window: u16,
    pub ip_id: Option<u16>,
    pub timestamps: Option<(u32, u32)>,
}

pub(super) fn endpoint(last: u8, port: u16) -> Endpoint {
    Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port)
}

impl Play {
    pub(super) fn new() -> Self {
        Self {
            table: ConnectionTable::new(),
            log: Vec::new(),
            facts: None,
            client_isn: 1_000,
            server_isn: 900_000,
            client: endpoint(1, 40_000),
            server: endpoint(2, 80),
            now: 1_000_000_000_000,
            frame: 0,
            ip_id: 0,
        }
    }

    /// A play whose handshake is done and whose log is empty.
    pub(super) fn established() -> Self {
        let mut play = Self::new();
        play.handshake();
        play.log.clear();
        play
    }

    pub(super) fn handshake(&mut self) {
        self.syn();
        self.syn_ack();
        self.push(&self.ack(true, 0, 0));
    }

    pub(super) fn seg(&self, from_client: bool, flags: u8, offset: i64, acked: i64) -> Seg {
        let (own, peer) = if from_client {
            (self.client_isn, self.server_isn)
        } else {
            (self.server_isn, self.client_isn)
        };
        let at = |isn: u32, offset: i64| isn.wrapping_add(1).wrapping_add(offset as u32);
        Seg {
            from_client,
            flags,
            sequence: at(own, offset),
            acknowledgement: at(peer, acked),
            payload: Vec::new(),
            payload_len: 0,
            window: 500,
            ip_id: None,
            timestamps: None,
        }
    }

    pub(super) fn ack(&self, from_client: bool, offset: i64, acked: i64) -> Seg {
        self.seg(from_client, ACK, offset, acked)
    }

    pub(super) fn data(&self, from_client: bool, offset: i64, bytes: &[u8], acked: i64) -> Seg {
        let mut seg = self.seg(from_client, ACK, offset, acked);
        seg.payload = bytes.to_vec();
        seg.payload_len = bytes.len() as u32;
        seg
    }

    pub(super) fn syn(&mut self) {
        let mut seg = self.seg(true, SYN, -1, 0);
        seg.acknowledgement = 0;
        self.push(&seg);
    }

    pub(super) fn syn_ack(&mut self) {
        self.push(&self.seg(false, SYN | ACK, -1, 0));
    }

    pub(super) fn client_says(&mut self, offset: i64, bytes: &[u8], acked: i64) {
        self.push(&self.data(true, offset, bytes, acked));
    }

    pub(super) fn server_says(&mut self, offset: i64, bytes: &[u8], acked: i64) {
        self.push(&self.data(false, offset, bytes, acked));
    }

    pub(super) fn fin(&mut self, from_client: bool, offset: i64, acked: i64) {
        self.push(&self.seg(from_client, FIN | ACK, offset, acked));
    }

    pub(super) fn rst(&mut self, from_client: bool, offset: i64, acked: Option<i64>) {
        let flags = if acked.is_some() { RST | ACK } else { RST };
        let mut seg = self.seg(from_client, flags, offset, acked.unwrap_or(0));
        seg.window = 0;
        if acked.is_none() {
            seg.acknowledgement = 0;
        }
        self.push(&seg);
    }

    /// Sends a segment 1 ms after the one before, with an IP id of its own unless it has one.
    pub(super) fn push(&mut self, seg: &Seg) {
        self.now += 1_000_000;
        self.ip_id = self.ip_id.wrapping_add(1).max(1);
        let mut seg = seg.clone();
        seg.ip_id = seg.ip_id.or(Some(self.ip_id));
        self.push_at_once(&seg);
    }

    /// Sends a segment as it is, at the time that it is.
    pub(super) fn push_at_once(&mut self, seg: &Seg) {
        self.frame += 1;
        let (source, destination) = if seg.from_client {
            (self.client, self.server)
        } else {
            (self.server, self.client)
        };
        let segment = Segment {
            source,
            destination,
            overlay: Overlay(0),
            vantage: Vantage(0),
            sequence: seg.sequence,
            acknowledgement: seg.acknowledgement,
            flags: TcpFlags(seg.flags),
            window: seg.window,
            window_scale: None,
            timestamps: seg.timestamps,
            multipath: false,
            ip_id: seg.ip_id,
            ttl: 64,
            payload: &seg.payload,
            payload_len: seg.payload_len,
            mark: self.mark(),
        };
        let (log, facts) = (&mut self.log, &mut self.facts);
        self.table.push(&segment, &mut recorder(log, facts));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            time: Timestamp(self.now),
            frame: FrameId::new(0, self.frame),
        }
    }

    /// Lets `seconds` pass, with a tick at each.
    pub(super) fn wait(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += 1_000_000_000;
            let mark = self.mark();
            let (log, facts) = (&mut self.log, &mut self.facts);
            self.table.tick(mark, &mut recorder(log, facts));
        }
    }

    pub(super) fn finish(&mut self) {
        let mark = self.mark();
        let (log, facts) = (&mut self.log, &mut self.facts);
        self.table.finish(mark, &mut recorder(log, facts));
    }

    pub(super) fn key(&self) -> FlowKey {
        FlowKey::new(self.client, self.server, Overlay(0), Vantage(0))
    }

    /// The facts as the table holds them now.
    pub(super) fn current(&mut self) -> Connection {
        let key = self.key();
        let (client, table) = (self.client, &mut self.table);
        table.lookup(&key, client, None).unwrap().1.clone()
    }

    /// What was told since the last call.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// All data of one direction that was told, in order; fails when offsets leave an untold hole.
    pub(super) fn stream(&self, from_client: bool) -> String {
        let sign = if from_client { "> " } else { "< " };
        let lines = self.log.iter().filter_map(|line| line.strip_prefix(sign));
        let data = lines.filter_map(|line| line.split_once(": "));
        data.map(|(_, bytes)| bytes).collect()
    }
}

fn recorder<'r>(
    log: &'r mut Vec<String>,
    facts: &'r mut Option<Connection>,
) -> impl FnMut(&mut Vec<u8>, &Connection, Mark, StreamEvent<'_>) + 'r {
    |_, connection, _, event| {
        *facts = Some(connection.clone());
        log.push(line(&event));
        if let StreamEvent::Opened { syn: true, .. } = event {
            log.push("syn".to_owned());
        }
    }
}

fn sign(direction: Direction) -> char {
    match direction {
        Direction::ToServer => '>',
        Direction::ToClient => '<',
    }
}

fn line(event: &StreamEvent<'_>) -> String {
    match event {
        StreamEvent::Opened { .. } => "opened".to_owned(),
        StreamEvent::Syn => "syn".to_owned(),
        StreamEvent::Established => "established".to_owned(),
        StreamEvent::Joined => "joined".to_owned(),
        StreamEvent::Data {
            direction,
            offset,
            bytes,
            ..
        } => {
            let text = String::from_utf8_lossy(bytes);
            format!("{} {offset}: {text}", sign(*direction))
        }
        StreamEvent::Gap {
            direction,
            offset,
            len,
            reason,
        } => {
            let reason = match reason {
                GapReason::Snapped => "snapped",
                GapReason::Lost => "lost",
                GapReason::Hidden => "hidden",
            };
            format!("{} {offset} +{len} {reason}", sign(*direction))
        }
        StreamEvent::Ahead { direction } => format!("{} ahead", sign(*direction)),
        StreamEvent::ClockLeap { nanos } => format!("leap {nanos}"),
        StreamEvent::Finished { direction } => format!("{} finished", sign(*direction)),
        StreamEvent::Fin { direction } => format!("{} fin", sign(*direction)),
        StreamEvent::Reset { direction } => format!("{} reset", sign(*direction)),
        StreamEvent::Ended(ending) => format!("ended {ending:?}"),
    }
}
