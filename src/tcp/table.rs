//! All connections of a shard. In: segments in capture order, ticks, the end. Out: events of connections.
//!
//! The rule: no output depends on a hash. What is done to several connections at once (expiry, the end) goes
//! by time and connection id. Nothing expires but at a tick, and everything here has a limit.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use crate::decode::segment::Segment;
use crate::flow::{Endpoint, FlowKey};
use crate::frame::Mark;
use crate::loss::Loss;
use crate::tcp::connection::Entry;
use crate::tcp::event::{Connection, ConnectionId, StreamEvent};
use crate::tcp::life::Leaving;
use crate::tcp::outlet::Shared;
use crate::tcp::waiting::{Slot, Waiting};

/// Most connections of one table. With 64 tables half a million, at two kilobytes each beside
/// what the next room keeps. When it is reached, the oldest unfinished handshake leaves, or else the
/// connection that would expire first: closed ones before silent ones.
pub const CONNECTIONS_MAX: usize = 8_192;

/// Most unfinished handshakes of one table; a flood of SYNs must not use up the room of the others. With 64 tables
/// 32,768, 30 MB: those of 160 ms of a flood of 200,000 a second, which is longer than a handshake takes, and of 32 s of
/// 1,000 attempts a second at a dead upstream, longer than any gateway waits for one. What leaves early was unanswered,
/// and diagnosis remembers it.
pub const HANDSHAKES_MAX: usize = 512;

/// Unfinished handshakes of one table from which on further ones wait in little room: so many are open where SYNs
/// stay unanswered, and nowhere else, and what is answered soon is better made whole at once.
const HANDSHAKES_CROWD: usize = HANDSHAKES_MAX / 8;

/// Handshakes in the queue below which nobody sweeps it.
const HANDSHAKES_SWEPT_MIN: usize = HANDSHAKES_MAX / 2;

/// Most connections that are looked at to find one that expires soon, when there is no room.
const EVICTION_LOOKS_MAX: usize = 8;

/// When a connection is to be looked at again. Its order is the order of all output that no segment causes.
type Due = (i64, ConnectionId);

/// The connections of one shard. `S` is what the next room keeps for each.
#[derive(Debug)]
pub struct ConnectionTable<S> {
    entries: HashMap<FlowKey, Slot<S>, foldhash::fast::RandomState>,
    /// Every connection once, under its `due` second.
    due: BTreeMap<Due, FlowKey>,
    /// Connections in the order in which their handshakes began; those that ended or were established
    /// since are skipped.
    handshakes: VecDeque<(ConnectionId, FlowKey)>,
    half_open: usize,
    shared: Shared,
    /// Latest second of any segment or tick: it never runs backwards.
    second: i64,
}

impl<S: Default> Default for ConnectionTable<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Default> ConnectionTable<S> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: HashMap::default(),
            due: BTreeMap::new(),
            handshakes: VecDeque::new(),
            half_open: 0,
            shared: Shared::default(),
            second: i64::MIN,
        }
    }

    /// Takes one segment and calls `sink` for each event that it brings about, in order, with what is kept
    /// for the connection, its facts, and the frame being processed.
    pub fn push<F>(&mut self, segment: &Segment<'_>, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        self.second = self.second.max(segment.mark.time.second());
        let key = segment.flow();
        if let Some(slot) = self.entries.get_mut(&key) {
            let entry = slot.open();
            if entry.is_copy(segment) {
                self.shared.duplicate_frames += 1;
                return;
            }
            if !entry.is_superseded_by(segment) {
                let was_half_open = entry.is_half_open();
                entry.push(segment, self.second, &mut self.shared, sink);
                if was_half_open && !entry.is_half_open() {
                    self.half_open = self.half_open.saturating_sub(1);
                } else if !was_half_open && entry.is_half_open() {
                    self.half_open += 1;
                }
                reschedule(&mut self.due, entry, key);
                return;
            }
            self.remove(&key, Leaving::Table, segment.mark, sink);
        }
        self.open(segment, key, sink);
    }

    fn open<F>(&mut self, segment: &Segment<'_>, key: FlowKey, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        self.make_room(segment.mark, sink);
        let (second, shared) = (self.second, &mut self.shared);
        let crowded = self.half_open >= HANDSHAKES_CROWD;
        let waiting = crowded.then(|| Waiting::of(segment, second, shared, sink));
        let mut slot = match waiting.flatten() {
            Some(waiting) => Slot::Waiting(waiting),
            None => {
                let mut entry = Box::new(Entry::open(segment));
                entry.is_copy(segment);
                entry.push(segment, second, shared, sink);
                Slot::Open(entry)
            }
        };
        let (due, id) = (slot.deadline(), slot.facts().id);
        slot.set_due(due);
        self.due.insert((due, id), key);
        if slot.is_half_open() {
            self.half_open += 1;
            self.note_handshake(id, key);
        }
        self.entries.insert(key, slot);
    }

    /// Time passes: to be called at each whole second of capture time. Holes that nothing will fill are
    /// given up, and connections that were silent for too long leave. `now` is the mark of these events.
    pub fn tick<F>(&mut self, now: Mark, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        self.second = self.second.max(now.time.second());
        while let Some((&(due, id), &key)) = self.due.first_key_value() {
            if due > self.second {
                break;
            }
            self.due.remove(&(due, id));
            let Some(slot) = self.entries.get_mut(&key) else {
                continue;
            };
            // The true deadline may have moved on since; then it waits for its turn at that second.
            let mut deadline = slot.deadline();
            if deadline <= due {
                let over = match slot {
                    Slot::Waiting(_) => true,
                    Slot::Open(entry) => entry.expire(now, due, &mut self.shared, sink),
                };
                if over {
                    slot.set_due(due);
                    self.due.insert((due, id), key);
                    self.remove(&key, Leaving::Table, now, sink);
                    continue;
                }
                deadline = slot.deadline();
            }
            // Later than before, so that the loop comes to its end.
            slot.set_due(deadline.max(due.saturating_add(1)));
            self.due.insert((slot.due(), id), key);
        }
    }

    /// The capture is over: tells what is buffered and the end of every connection, by connection id.
    pub fn finish<F>(&mut self, at: Mark, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let due = std::mem::take(&mut self.due);
        let by_id: BTreeMap<_, _> = due.into_iter().map(|((_, id), key)| (id, key)).collect();
        for key in by_id.values() {
            match self.entries.remove(key) {
                Some(Slot::Waiting(waiting)) => waiting.end(at, sink),
                Some(Slot::Open(mut entry)) => {
                    entry.end(Leaving::Capture, at, self.second, &mut self.shared, sink);
                }
                None => {}
            }
        }
        self.handshakes.clear();
        self.half_open = 0;
    }

    /// The connection of a packet that an ICMP error quotes: by flow, the packet's sender, and its sequence
    /// number, which must lie within what that sender has sent. `None` when there is no such connection.
    pub fn lookup(
        &mut self,
        key: &FlowKey,
        source: Endpoint,
        sequence: Option<u32>,
    ) -> Option<(&mut S, &Connection)> {
        let entry = self.entries.get_mut(key)?.open();
        let from_client = source == entry.facts.client;
        if sequence.is_some_and(|sequence| !entry.has_sent(from_client, sequence)) {
            return None;
        }
        Some((&mut entry.state, &entry.facts))
    }

    /// Number of connections in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes what was counted since the last call: `duplicate_frames`, `overlapping_bytes_differ`,
    /// `connections_evicted`, and rows that begin with `tcp_`.
    pub fn loss(&mut self) -> Loss {
        self.shared.take_loss()
    }

    // ---- Leaving --------------------------------------------------------------------------------------

    fn remove<F>(&mut self, key: &FlowKey, leaving: Leaving, now: Mark, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let Some(slot) = self.entries.remove(key) else {
            return;
        };
        self.due.remove(&(slot.due(), slot.facts().id));
        if slot.is_half_open() {
            self.half_open = self.half_open.saturating_sub(1);
        }
        match slot {
            Slot::Waiting(waiting) => waiting.end(now, sink),
            Slot::Open(mut entry) => {
                entry.end(leaving, now, self.second, &mut self.shared, sink);
            }
        }
    }

    /// Evicts until one more connection may come.
    fn make_room<F>(&mut self, now: Mark, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        while self.half_open >= HANDSHAKES_MAX || self.entries.len() >= CONNECTIONS_MAX {
            let Some(key) = self.oldest_handshake().or_else(|| self.soonest_to_expire()) else {
                return;
            };
            self.shared.connections_evicted += 1;
            self.remove(&key, Leaving::Table, now, sink);
        }
    }

    /// Queues an unfinished handshake. The queue is swept before it holds more than twice what is alive, or a few hundred.
    fn note_handshake(&mut self, id: ConnectionId, key: FlowKey) {
        if self.handshakes.len() >= (2 * self.half_open).max(HANDSHAKES_SWEPT_MIN) {
            let entries = &self.entries;
            self.handshakes.retain(|(id, key)| {
                let slot = entries.get(key);
                slot.is_some_and(|slot| slot.facts().id == *id && slot.is_half_open())
            });
        }
        self.handshakes.push_back((id, key));
    }

    fn oldest_handshake(&mut self) -> Option<FlowKey> {
        while let Some((id, key)) = self.handshakes.pop_front() {
            let slot = self.entries.get(&key);
            if slot.is_some_and(|slot| slot.facts().id == id && slot.is_half_open()) {
                return Some(key);
            }
        }
        None
    }

    fn soonest_to_expire(&mut self) -> Option<FlowKey> {
        for _ in 0..EVICTION_LOOKS_MAX {
            let (&(due, id), &key) = self.due.first_key_value()?;
            let slot = self.entries.get_mut(&key)?;
            let deadline = slot.deadline();
            if deadline <= due {
                return Some(key);
            }
            self.due.remove(&(due, id));
            slot.set_due(deadline);
            self.due.insert((deadline, id), key);
        }
        self.due.first_key_value().map(|(_, key)| *key)
    }
}

/// Moves a connection to an earlier second. A later one is found out when its turn comes.
fn reschedule<S>(due: &mut BTreeMap<Due, FlowKey>, entry: &mut Entry<S>, key: FlowKey) {
    if entry.is_steady() {
        // Each of its segments moves the time on.
        debug_assert!(entry.deadline() >= entry.due, "a steady time grew shorter");
        return;
    }
    let deadline = entry.deadline();
    if deadline < entry.due {
        due.remove(&(entry.due, entry.facts.id));
        entry.due = deadline;
        due.insert((deadline, entry.facts.id), key);
    }
}

#[cfg(test)]
mod tests;
