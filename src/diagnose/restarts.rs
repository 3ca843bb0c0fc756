//! Upstreams that went away and came back. In: what happens to connections. Out: for a moment, how long before it all
//! connections of its upstream had ended at once, as when a new version is put in place.
//!
//! The rule: three things in a row, each seen: the server ends all of its connections within a second, refuses the next one,
//! and then takes new ones. Idle connections that time out together are no restart, for nobody is refused.

use hashbrown::HashMap;

use crate::diagnose::host::whose;
use crate::diagnose::timeline::Timeline;
use crate::flow::{Direction, Endpoint, Vantage};
use crate::protocol::observation::{ConnectionEvent, Seen};
use crate::tcp::event::Connection;
use crate::time::Timestamp;

/// Most upstreams that are followed: a gateway has fewer.
pub const UPSTREAMS_MAX: usize = 4_096;
/// Most restarts that are remembered of one upstream, the latest.
const RESTARTS_MAX: usize = 16;
/// All connections of a server that is stopped end within this, nanoseconds.
const AT_ONCE_NANOS: i64 = 1_000_000_000;
/// One connection that ends is no restart.
const CLOSED_MIN: u32 = 2;

/// The upstreams of a capture.
#[derive(Debug, Default)]
pub struct Register {
    upstreams: HashMap<(Vantage, Endpoint), Upstream>,
    /// Connections to upstreams beyond [`UPSTREAMS_MAX`].
    pub not_followed: u64,
}

#[derive(Debug, Default)]
struct Upstream {
    /// Connections that are established and that nobody has closed.
    open: u32,
    /// First and number of the closes by the server that lie within a second.
    closes: Option<(Timestamp, u32)>,
    /// All of its connections ended then, and nothing came since.
    gone: Option<Timestamp>,
    /// Since then it refuses.
    refuses: Option<Timestamp>,
    /// When it ended all, of those times after which it came back, oldest first.
    restarts: Vec<Timestamp>,
}

impl Register {
    /// Notes what happens to a connection.
    pub fn note(&mut self, timeline: &Timeline, what: &Seen) {
        let Seen::Connection { event, facts } = what else {
            return;
        };
        if !timeline.counts(facts.id) {
            return;
        }
        let key = key(facts.vantage, facts.server);
        if self.upstreams.len() >= UPSTREAMS_MAX && !self.upstreams.contains_key(&key) {
            self.not_followed += u64::from(*event == ConnectionEvent::Opened);
            return;
        }
        self.upstreams.entry(key).or_default().note(*event, facts);
    }

    /// How long before `at` the latest restart of an upstream began, nanoseconds.
    #[must_use]
    pub fn since(&self, vantage: Vantage, upstream: Endpoint, at: Timestamp) -> Option<i64> {
        let upstream = self.upstreams.get(&key(vantage, upstream))?;
        let before = upstream.restarts.iter().rev().find(|began| **began <= at)?;
        Some(at.nanos_since(*before))
    }
}

fn key(vantage: Vantage, upstream: Endpoint) -> (Vantage, Endpoint) {
    (whose(vantage, upstream.addr).0, upstream)
}

impl Upstream {
    fn note(&mut self, event: ConnectionEvent, facts: &Connection) {
        match event {
            ConnectionEvent::Established => {
                self.open = self.open.saturating_add(1);
                if let (Some(_), Some(began)) = (self.refuses.take(), self.gone) {
                    self.restarts.push(began);
                    if self.restarts.len() > RESTARTS_MAX {
                        self.restarts.remove(0);
                    }
                }
                self.gone = None;
            }
            ConnectionEvent::Reset(Direction::ToClient) if facts.established.is_none() => {
                let at = facts.from_server.reset.map(|reset| reset.mark.time);
                self.refuses = self.refuses.or(at).filter(|_| self.gone.is_some());
            }
            ConnectionEvent::Fin(by) | ConnectionEvent::Reset(by)
                if facts.established.is_some() && is_first_close(facts) =>
            {
                self.close(by, facts);
            }
            ConnectionEvent::Ended(_) if facts.established.is_some() && closes(facts) == 0 => {
                self.open = self.open.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn close(&mut self, by: Direction, facts: &Connection) {
        self.open = self.open.saturating_sub(1);
        let half = facts.half(by);
        let closing = half.fin.or(half.reset);
        let Some(at) = closing.map(|closing| closing.mark.time) else {
            return;
        };
        if by == Direction::ToServer {
            return;
        }
        let (first, count) = match self.closes {
            Some((first, count)) if at.nanos_since(first) <= AT_ONCE_NANOS => (first, count + 1),
            _ => (at, 1),
        };
        self.closes = Some((first, count));
        if self.open == 0 && count >= CLOSED_MIN {
            self.gone = Some(first);
        }
    }
}

/// Closes that a connection has seen.
fn closes(facts: &Connection) -> usize {
    [&facts.from_client, &facts.from_server]
        .into_iter()
        .map(|half| usize::from(half.fin.is_some()) + usize::from(half.reset.is_some()))
        .sum()
}

fn is_first_close(facts: &Connection) -> bool {
    closes(facts) == 1
}
