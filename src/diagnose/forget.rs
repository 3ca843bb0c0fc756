//! What the timeline forgets, and when. In: time, and connections that are over. Out: room.
//!
//! Hosts: a client of one connection leaves with it. Of the others, when there are too many, those leave that were idle: what
//! only asked soon, what was asked itself after an hour.
//!
//! The rule: what went well is forgotten soon, what failed when no gateway waits for it any more; where there is no room,
//! what nobody answered goes first, the oldest before all. A connection is looked at when something on it may be over, and
//! not before: at a busy gateway looking at all of them took longer than what they said.

use std::net::IpAddr;

use crate::diagnose::host::whose;
use crate::diagnose::record::AttemptId;
use crate::diagnose::timeline::{
    CONNECTIONS_MAX, EXCHANGES_PER_CONNECTION_MAX, FAILED_KEPT_NANOS, HOSTS_MAX,
    SETTLED_KEPT_NANOS, Timeline, UNANSWERED_MAX,
};
use crate::flow::Vantage;
use crate::frame::Mark;
use crate::protocol::observation::ExchangeId;
use crate::tcp::event::ConnectionId;
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// How long a host that was never asked is remembered though nothing that it did is, seconds: as long as its failures are.
const CLIENT_KEPT_SECONDS: i64 = FAILED_KEPT_NANOS / NANOS_PER_SECOND;
/// The same of a host or an endpoint that was asked, seconds: longer than any idle connection of a pool lives.
pub(super) const ASKED_KEPT_SECONDS: i64 = 3_600;

impl Timeline {
    /// Forgets what is older than it may matter, as of `now`.
    pub fn tick(&mut self, now: Timestamp) {
        self.second = now.second();
        self.services.tick(self.second);
        let connections = &self.connections;
        let answered = |id: &ConnectionId| {
            let record = connections.get(id);
            record.is_none_or(|record| record.answered)
        };
        while self.unanswered.front().is_some_and(answered) {
            self.unanswered.pop_front();
        }
        if self.unanswered.len() > 2 * CONNECTIONS_MAX {
            self.unanswered.retain(|id| !answered(id));
        }
        while let Some(id) = self.newcomers.take(now.second()) {
            self.look_again(id, now);
        }
        while let Some(due) = self.due.take(now.second()) {
            for id in due {
                self.look_again(id, now);
            }
        }
    }

    /// Forgets what is over of a connection, or says when to look at it next.
    fn look_again(&mut self, id: ConnectionId, now: Timestamp) {
        let Some(record) = self.connections.get_mut(&id) else {
            return;
        };
        record.newcomer = None;
        let at = Mark {
            time: now,
            ..Mark::default()
        };
        self.hidden_seen |= record.was_hidden(at, at);
        let kept = |well: bool| {
            if well {
                SETTLED_KEPT_NANOS
            } else {
                FAILED_KEPT_NANOS
            }
        };
        let mut gone = Vec::new();
        while let Some(front) = record.exchanges.front() {
            let over = front.response_end.is_some()
                && now.nanos_since(front.last_at().time) > kept(front.went_well());
            if !over && record.exchanges.len() <= EXCHANGES_PER_CONNECTION_MAX {
                break;
            }
            gone.push((front.request_at, front.id));
            record.exchanges.pop_front();
        }
        let over = record.ended.is_some()
            && now.nanos_since(record.last_at().time) > kept(record.settled());
        let ends = (
            record.facts.vantage,
            record.facts.client.addr,
            record.facts.server.addr,
        );
        if over {
            self.forget(id);
        } else if let Some(record) = self.connections.get_mut(&id) {
            record.scheduled = record.needs_a_look();
            if record.scheduled {
                // Exchanges leave in order: the first that is over says when.
                let first = record.exchanges.front();
                let first = first.filter(|_| !record.facts.flags_only);
                let leaves = first.filter(|first| first.response_end.is_some());
                let leaves = leaves.map_or(i64::MIN, |first| {
                    let kept = kept(first.went_well());
                    first.last_at().time.plus_nanos(kept).second() + 1
                });
                self.due.insert(leaves.max(now.second() + 2), id);
            } else if record.ended.is_some() {
                let over = record.last_at().time.plus_nanos(kept(record.settled()));
                self.due
                    .insert((over.second() + 1).max(now.second() + 1), id);
            }
        }
        for (at, exchange) in gone {
            self.drop_exchange(ends, at, exchange);
        }
    }

    /// Takes an exchange out of what its hosts did lately.
    pub(super) fn drop_exchange(
        &mut self,
        facts: (Vantage, IpAddr, IpAddr),
        at: Mark,
        id: ExchangeId,
    ) {
        let (vantage, client, server) = facts;
        if let Some(host) = self.hosts.get_mut(&whose(vantage, client)) {
            host.uses.remove(&(
                at,
                AttemptId {
                    connection: id.connection,
                    index: Some(id.index),
                },
            ));
        }
        if let Some(host) = self.hosts.get_mut(&whose(vantage, server)) {
            host.served.remove(&(at, id));
        }
    }

    /// Forgets a connection and all that was on it.
    fn forget(&mut self, id: ConnectionId) {
        if let Some(record) = self.connections.remove(&id) {
            let ends = (
                record.facts.vantage,
                record.facts.client.addr,
                record.facts.server.addr,
            );
            self.views.forget(&record.facts);
            if !record.answered {
                self.unanswered_now = self.unanswered_now.saturating_sub(1);
            }
            for exchange in &record.exchanges {
                self.drop_exchange(ends, exchange.request_at, exchange.id);
            }
            let client = whose(ends.0, ends.1);
            if let Some(host) = self.hosts.get_mut(&client) {
                host.uses.remove(&(
                    record.facts.opened,
                    AttemptId {
                        connection: id,
                        index: None,
                    },
                ));
                if host.is_spent() {
                    self.hosts.remove(&client);
                }
            }
        }
    }

    /// Makes room for one more host; false where all are in use. It is looked for once a second: looking at all of them
    /// takes milliseconds.
    pub(super) fn sweep_hosts(&mut self) -> bool {
        if std::mem::replace(&mut self.swept, self.second) == self.second {
            return false;
        }
        let now = self.second;
        self.hosts.retain(|_, host| {
            let kept = match host.ports.is_empty() {
                true => CLIENT_KEPT_SECONDS,
                false => ASKED_KEPT_SECONDS,
            };
            !host.is_idle() || now.saturating_sub(host.last) <= kept
        });
        self.hosts.len() < HOSTS_MAX
    }

    /// Makes room for one more connection: the oldest that nobody has answered leaves first, else what would be looked at
    /// next.
    pub(super) fn make_room(&mut self) {
        while self.connections.len() >= CONNECTIONS_MAX || self.unanswered_now >= UNANSWERED_MAX {
            let mut unanswered = std::iter::from_fn(|| self.unanswered.pop_front());
            let connections = &self.connections;
            let still = |id: &ConnectionId| {
                let record = connections.get(id);
                record.is_some_and(|record| !record.answered)
            };
            let next = || {
                let due = self.due.take_first();
                due.or_else(|| self.newcomers.take(i64::MAX))
            };
            let Some(id) = unanswered.find(still).or_else(next) else {
                return;
            };
            let known = self.connections.contains_key(&id);
            self.forget(id);
            self.loss
                .add("connections_forgotten_early", u64::from(known));
        }
    }
}
