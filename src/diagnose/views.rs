//! Several views of one connection: on both sides of address translation, inside and outside of a tunnel, at two
//! capture points. In: the facts of connections. Out: which of them are one.
//!
//! The rule: views share a mark that only their end hosts chose, at the same time, and contradict each other in
//! nothing. A connection that is taken for two counts twice; two that are taken for one hide a failure.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::flow::Vantage;
use crate::protocol::observation::ExchangeId;
use crate::tcp::birthmark::Birthmark;
use crate::tcp::event::{Connection, ConnectionId};
use crate::time::Timestamp;

/// Most views of one connection that are folded: `any` on a container host shows five, each of some capture points
/// as many.
pub const VIEWS_MAX: usize = 16;
/// How far apart one machine may see a mark twice, nanoseconds: a bridge takes microseconds, a relay that shapes
/// traffic some hundred milliseconds.
const APART_NANOS_MAX: u64 = 500_000_000;
/// The same where only a sequence number tells them.
const WEAK_APART_NANOS_MAX: u64 = 50_000_000;

/// Which connections are views of one another. Only what is folded takes room in `groups`.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Who bore a mark latest, and when it was seen.
    by_mark: HashMap<Birthmark, (ConnectionId, Timestamp)>,
    group_of: HashMap<ConnectionId, ConnectionId>,
    groups: BTreeMap<ConnectionId, Vec<ConnectionId>>,
    /// Connections a mark of which another bore too: whether they are one may show later.
    contested: HashSet<ConnectionId>,
    /// Views that were beyond [`VIEWS_MAX`].
    pub not_folded: u64,
}

impl Views {
    /// The other connection that `facts` is a view of, if it is found now; `look` gives the facts of others.
    pub fn note<'f>(
        &mut self,
        facts: &Connection,
        look: impl Fn(ConnectionId) -> Option<&'f Connection>,
    ) -> Option<ConnectionId> {
        let mut found = None;
        for (mark, seen) in facts.birthmarks.iter() {
            let (known, before) = *self.by_mark.entry(mark).or_insert((facts.id, seen));
            if known != facts.id {
                self.contested.extend([known, facts.id]);
            }
            if known == facts.id || found.is_some() || self.same(known, facts.id) {
                continue;
            }
            let apart = seen.nanos_since(before).unsigned_abs();
            match look(known) {
                Some(other) if may_be_one(facts, other, mark, apart) => found = Some(known),
                // The latest bearer is the one that another view may follow soon.
                _ => {
                    self.by_mark.insert(mark, (facts.id, seen));
                }
            }
        }
        found.filter(|known| self.join(*known, facts.id))
    }

    /// Whether another connection bears a mark of this one.
    pub fn is_contested(&self, id: ConnectionId) -> bool {
        !self.contested.is_empty() && self.contested.contains(&id)
    }

    /// Forgets a connection.
    pub fn forget(&mut self, facts: &Connection) {
        self.contested.remove(&facts.id);
        for (mark, _) in facts.birthmarks.iter() {
            if self
                .by_mark
                .get(&mark)
                .is_some_and(|(id, _)| *id == facts.id)
            {
                self.by_mark.remove(&mark);
            }
        }
        if let Some(group) = self.group_of.remove(&facts.id)
            && let Some(members) = self.groups.get_mut(&group)
        {
            members.retain(|id| *id != facts.id);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// All views of a connection, itself included; none when it has no other.
    pub fn of(&self, id: ConnectionId) -> &[ConnectionId] {
        self.group_of
            .get(&id)
            .and_then(|group| self.groups.get(group))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether two connections are one.
    pub fn same(&self, one: ConnectionId, other: ConnectionId) -> bool {
        one == other
            || self
                .group_of
                .get(&one)
                .is_some_and(|group| self.group_of.get(&other) == Some(group))
    }

    /// Whether this view is the one by which the connection is counted.
    pub fn counts(&self, id: ConnectionId) -> bool {
        self.of(id).first().is_none_or(|first| *first == id)
    }

    /// Makes two groups one; false when it would be too large.
    fn join(&mut self, one: ConnectionId, other: ConnectionId) -> bool {
        let members = |id| match self.of(id) {
            [] => vec![id],
            members => members.to_vec(),
        };
        let mut all = members(one);
        all.extend(members(other));
        if all.len() > VIEWS_MAX {
            self.not_folded += 1;
            return false;
        }
        for id in &all {
            if let Some(group) = self.group_of.get(id) {
                self.groups.remove(group);
            }
        }
        all.sort_unstable();
        let Some(group) = all.first().copied() else {
            return false;
        };
        for id in &all {
            self.group_of.insert(*id, group);
        }
        self.groups.insert(group, all);
        true
    }
}

/// Whether two connections that share a mark, seen `apart` nanoseconds from each other, may be one.
fn may_be_one(one: &Connection, other: &Connection, mark: Birthmark, apart: u64) -> bool {
    let contradicts = |one: Option<u32>, other: Option<u32>| matches!((one, other), (Some(one), Some(other)) if one != other);
    if contradicts(one.initial_sequences.0, other.initial_sequences.0)
        || contradicts(one.initial_sequences.1, other.initial_sequences.1)
    {
        return false;
    }
    let ends = |facts: &Connection| (facts.client, facts.server);
    let elsewhere = one.vantage != other.vantage;
    if !elsewhere && ends(one) == ends(other) && one.overlay == other.overlay {
        return false;
    }
    if mark.is_strong() {
        // The clocks of two machines may differ by anything.
        return elsewhere || apart <= APART_NANOS_MAX;
    }
    let related = one.client == other.client
        || one.server == other.server
        || one.client.port == other.client.port;
    related && apart <= WEAK_APART_NANOS_MAX
}

impl Timeline {
    /// The other views of a connection.
    pub fn other_views(&self, id: ConnectionId) -> impl Iterator<Item = &ConnectionRecord> {
        let views = self.views.of(id).iter().filter(move |view| **view != id);
        views.filter_map(|view| self.connection(*view))
    }

    /// Whether two connections are views of one.
    #[must_use]
    pub fn is_same(&self, one: ConnectionId, other: ConnectionId) -> bool {
        self.views.same(one, other)
    }

    /// Whether this view is the one by which its connection is counted.
    #[must_use]
    pub fn counts(&self, id: ConnectionId) -> bool {
        self.views.counts(id)
    }

    /// The same exchange in all views of its connection, itself included: by the sequence number of the request's
    /// first byte, which address translation leaves as it is.
    #[must_use]
    pub fn exchange_views(&self, id: ExchangeId) -> Vec<ExchangeId> {
        let mut found = vec![id];
        if self.views.of(id.connection).is_empty() {
            return found;
        }
        let Some((record, exchange)) = self.exchange(id) else {
            return found;
        };
        let Some(sequence) = sequence_of(record, exchange) else {
            return found;
        };
        found.extend(self.other_views(id.connection).filter_map(|view| {
            let same = |other: &&ExchangeRecord| sequence_of(view, other) == Some(sequence);
            let mut exchanges = view.exchanges.iter().rev().map(Box::as_ref);
            exchanges.find(same).map(|same| same.id)
        }));
        found
    }

    /// The same attempt in all views of its connection, itself included.
    #[must_use]
    pub fn attempt_views(&self, id: AttemptId) -> Vec<AttemptId> {
        let Some(index) = id.index else {
            let others = self.other_views(id.connection).map(|view| AttemptId {
                connection: view.facts.id,
                index: None,
            });
            return std::iter::once(id).chain(others).collect();
        };
        let exchange = ExchangeId {
            connection: id.connection,
            index,
        };
        self.exchange_views(exchange)
            .into_iter()
            .map(|view| AttemptId {
                connection: view.connection,
                index: Some(view.index),
            })
            .collect()
    }

    /// Whether another view of this connection, from another address, began before it: then the host that seems to
    /// open it passes it on. Only where both beginnings were captured by one machine.
    pub(super) fn began_elsewhere(&self, id: ConnectionId) -> bool {
        let Some(record) = self.connection(id) else {
            return false;
        };
        let syn = |record: &ConnectionRecord| record.facts.from_client.syns.first().copied();
        let (facts, Some(mine)) = (&record.facts, syn(record)) else {
            return false;
        };
        self.other_views(id).any(|other| {
            other.facts.vantage == facts.vantage
                && other.facts.client.addr != facts.client.addr
                && syn(other).is_some_and(|theirs| theirs < mine)
        })
    }

    /// Whether this view is the one to judge an attempt of the host at these addresses by: of those that it opened,
    /// the one seen by `vantage`, then the one that was seen first, which has the address that was dialled.
    #[must_use]
    pub fn is_best_client_view(
        &self,
        id: ConnectionId,
        vantage: Vantage,
        addrs: &[IpAddr],
    ) -> bool {
        let mine = |record: &ConnectionRecord| {
            !record.passed_on && addrs.contains(&record.facts.client.addr)
        };
        self.is_best(id, vantage, mine)
    }

    /// The same among the views with the same server.
    #[must_use]
    pub fn is_best_server_view(&self, id: ConnectionId, vantage: Vantage) -> bool {
        let Some(record) = self.connection(id) else {
            return false;
        };
        if self.views.groups.is_empty() {
            return true;
        }
        let addr = record.facts.server.addr;
        self.is_best(id, vantage, |other| other.facts.server.addr == addr)
    }

    fn is_best(
        &self,
        id: ConnectionId,
        vantage: Vantage,
        may: impl Fn(&ConnectionRecord) -> bool,
    ) -> bool {
        let Some(record) = self.connection(id).filter(|record| may(record)) else {
            return false;
        };
        if self.views.groups.is_empty() {
            return true;
        }
        let elsewhere = |view: &ConnectionRecord| view.facts.vantage != vantage;
        !self.other_views(id).any(|other| {
            may(other)
                && elsewhere(other)
                    .cmp(&elsewhere(record))
                    .then_with(|| nearer_to_opener(&other.facts, &record.facts))
                    .is_lt()
        })
    }

    /// Whether another view of this connection shows more of its beginning than this one.
    #[must_use]
    pub fn is_cut_view(&self, record: &ConnectionRecord) -> bool {
        let marks = record.facts.birthmarks.len();
        self.other_views(record.facts.id)
            .any(|other| other.facts.birthmarks.len() > marks)
    }
}

/// Which of two views of a connection was seen nearer to its opener: the one that saw the same segment of it first.
fn nearer_to_opener(one: &Connection, other: &Connection) -> Ordering {
    let by_segment = one
        .birthmarks
        .of_client()
        .zip(other.birthmarks.of_client())
        .find_map(|(one, other)| {
            let ((one, seen), (other, then)) = (one?, other?);
            (one == other).then(|| seen.cmp(&then))
        });
    by_segment
        .unwrap_or(Ordering::Equal)
        .then_with(|| (one.opened, one.id).cmp(&(other.opened, other.id)))
}

/// The sequence number of a request's first byte.
fn sequence_of(record: &ConnectionRecord, exchange: &ExchangeRecord) -> Option<u32> {
    let after_syn = |initial: u32| initial.wrapping_add(1);
    let origin = record.facts.initial_sequences.0.map(after_syn);
    let origin = origin.or(record.facts.from_client.origin)?;
    // The low 32 bits are what the wire carries.
    Some(origin.wrapping_add(exchange.request_offset as u32))
}
