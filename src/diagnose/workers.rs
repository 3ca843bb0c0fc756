//! Which connections are served by the same worker of a gateway. In: exchanges whose attempt is known by its
//! relayed answer. Out: whether a client's connection and an upstream's may belong together.
//!
//! The rule: Envoy's threads, HAProxy's and nginx's processes each keep an upstream pool of their own, and a
//! client's connection stays with one of them. Learnt from the capture; where it does not show, nothing is said.

use hashbrown::HashMap;

use crate::tcp::event::ConnectionId;

/// Groups smaller than this are chance: too few exchanges were seen to tell workers apart.
const MEMBERS_MIN: usize = 4;
/// Groups are trusted only when each connection in them was tied this often on average: by then the pool of
/// a single worker would have grown together.
const TIES_PER_MEMBER_MIN: usize = 4;

/// Exchanges by the connections that they tie together.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// Parent of each connection; a root is its own.
    parents: HashMap<ConnectionId, ConnectionId>,
    /// Members and ties of each root.
    sizes: HashMap<ConnectionId, (usize, usize)>,
}

impl Ties {
    /// Notes that a client's connection was served over an upstream connection.
    pub fn tie(&mut self, client: ConnectionId, upstream: ConnectionId) {
        let one = self.root_or_new(client);
        let other = self.root_or_new(upstream);
        // The lesser id becomes the root, so that the outcome does not depend on a hash.
        let (root, child) = if one <= other {
            (one, other)
        } else {
            (other, one)
        };
        let mut size = self.sizes.get(&root).copied().unwrap_or((1, 0));
        if root != child {
            let joined = self.sizes.remove(&child).unwrap_or((1, 0));
            size = (size.0 + joined.0, size.1 + joined.1);
            self.parents.insert(child, root);
        }
        size.1 += 1;
        self.sizes.insert(root, size);
    }

    fn root_or_new(&mut self, id: ConnectionId) -> ConnectionId {
        if !self.parents.contains_key(&id) {
            self.parents.insert(id, id);
            self.sizes.insert(id, (1, 0));
        }
        self.root(id).unwrap_or(id)
    }

    fn root(&self, id: ConnectionId) -> Option<ConnectionId> {
        let mut at = id;
        loop {
            let parent = *self.parents.get(&at)?;
            if parent == at {
                return Some(at);
            }
            at = parent;
        }
    }

    /// What the ties tell of workers.
    #[must_use]
    pub fn workers(&self) -> Workers {
        let team = |id: &ConnectionId| {
            let root = self.root(*id)?;
            let known = self.sizes.get(&root).is_some_and(|(members, ties)| {
                *members >= MEMBERS_MIN && *ties >= members * TIES_PER_MEMBER_MIN
            });
            Some((*id, Team { root, known }))
        };
        Workers {
            teams: self.parents.keys().filter_map(team).collect(),
        }
    }
}

/// Connections that were seen to work together.
#[derive(Clone, Copy, Debug)]
pub struct Team {
    /// Its name: the least of its connections.
    root: ConnectionId,
    /// Whether enough was seen of it to tell it from others.
    known: bool,
}

/// Which connections work together.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    teams: HashMap<ConnectionId, Team>,
}

impl Workers {
    /// Those with which a connection works.
    #[must_use]
    pub fn team(&self, id: ConnectionId) -> Option<Team> {
        self.teams.get(&id).copied()
    }

    /// Whether two connections are known to be of one worker (`Some(true)`), of two (`Some(false)`), or
    /// neither.
    #[must_use]
    pub fn same(&self, one: ConnectionId, other: ConnectionId) -> Option<bool> {
        same(self.team(one), self.team(other))
    }
}

/// The same for two teams.
#[must_use]
pub fn same(one: Option<Team>, other: Option<Team>) -> Option<bool> {
    let (one, other) = (one?, other?);
    if one.root == other.root {
        return Some(true);
    }
    (one.known && other.known).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    fn id(number: u64) -> ConnectionId {
        ConnectionId(FrameId::new(0, number))
    }

    #[test]
    fn two_pools_are_told_apart_only_when_both_are_well_known() {
        let mut ties = Ties::default();
        let often = |ties: &mut Ties, pairs: [(u64, u64); 4]| {
            for (client, upstream) in pairs.repeat(4) {
                ties.tie(id(client), id(upstream));
            }
        };
        often(&mut ties, [(1, 11), (2, 11), (1, 12), (2, 12)]);
        ties.tie(id(3), id(13));
        assert_eq!(ties.workers().same(id(1), id(12)), Some(true));
        assert_eq!(
            ties.workers().same(id(1), id(13)),
            None,
            "one tie is chance"
        );
        often(&mut ties, [(3, 13), (3, 14), (4, 13), (4, 14)]);
        assert_eq!(ties.workers().same(id(1), id(13)), Some(false));
        assert_eq!(ties.workers().same(id(1), id(99)), None);
    }
}
