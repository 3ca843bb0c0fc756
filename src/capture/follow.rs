//! Upstreams whose packets a live capture is to see though the filter did not ask for them. In: their endpoints, from
//! whoever recognises them. Out: the same, for the captures that widen their filters.
//!
//! The rule: they are added and never taken away, at most [`FOLLOWED_MAX`] of them; what is left out is counted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::flow::Endpoint;

/// Most upstreams that are followed: each makes the kernel's program longer by about ten instructions, of which it takes
/// 4,096 (BPF_MAXINSNS), twice where VLAN tags are looked behind.
pub const FOLLOWED_MAX: usize = 64;

/// The upstreams that are followed. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Follow(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ends: Mutex<BTreeSet<Endpoint>>,
    /// How many there are, so that nobody waits for the lock in vain.
    count: AtomicUsize,
}

impl Follow {
    /// Adds an upstream; false when it is followed already or there is no room.
    pub fn add(&self, end: Endpoint) -> bool {
        let mut ends = self.ends();
        if ends.len() >= FOLLOWED_MAX {
            return false;
        }
        let new = ends.insert(end);
        self.0.count.store(ends.len(), Ordering::Release);
        new
    }

    /// How many are followed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Endpoint> {
        self.ends().iter().copied().collect()
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeSet<Endpoint>> {
        // A set is whole whatever its user did.
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_followed_once_and_not_more_than_fit() {
        let follow = Follow::default();
        let end = |port| Endpoint {
            addr: "10.0.0.1".parse().unwrap(),
            port,
        };
        assert!(follow.add(end(1)));
        assert!(!follow.add(end(1)));
        let added = (2..1_000).filter(|port| follow.add(end(*port))).count();
        assert_eq!(added, FOLLOWED_MAX - 1);
        assert_eq!(follow.clone().count(), FOLLOWED_MAX);
        assert_eq!(follow.all()[0], end(1));
    }
}
