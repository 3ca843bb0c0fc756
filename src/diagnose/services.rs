//! What is remembered of server endpoints, by address and port. In: who is asked. Out: the record of it.
//!
//! The rule: bounded by number; where there is no room, those leave of which nothing was noted for an hour.

use hashbrown::HashMap;

use crate::diagnose::forget::ASKED_KEPT_SECONDS;
use crate::diagnose::host::{Service, whose};
use crate::diagnose::timeline::HOSTS_MAX;
use crate::flow::{Endpoint, Vantage};
use crate::loss::Loss;

/// Server endpoints.
#[derive(Debug, Default)]
pub(super) struct Services {
    known: HashMap<(Vantage, Endpoint), Noted>,
    second: i64,
    /// The second in which they were last looked through for those that may go.
    swept: i64,
}

#[derive(Debug, Default)]
struct Noted {
    service: Service,
    /// Second in which anything was last noted of it.
    last: i64,
}

impl Services {
    /// What is known of an endpoint.
    pub(super) fn get(&self, vantage: Vantage, endpoint: Endpoint) -> Option<&Service> {
        let noted = self.known.get(&(whose(vantage, endpoint.addr).0, endpoint));
        noted.map(|noted| &noted.service)
    }

    /// The same, to be added to; `None` where there is no room.
    pub(super) fn entry(
        &mut self,
        vantage: Vantage,
        endpoint: Endpoint,
        loss: &mut Loss,
    ) -> Option<&mut Service> {
        let key = (whose(vantage, endpoint.addr).0, endpoint);
        if self.known.len() >= HOSTS_MAX && !self.known.contains_key(&key) && !self.sweep() {
            loss.add("services_not_remembered", 1);
            return None;
        }
        let noted = self.known.entry(key).or_default();
        noted.last = self.second;
        Some(&mut noted.service)
    }

    /// A second of capture time begins.
    pub(super) fn tick(&mut self, second: i64) {
        self.second = second;
    }

    /// Makes room; false where all are in use. It is looked for once a second.
    fn sweep(&mut self) -> bool {
        let now = self.second;
        if std::mem::replace(&mut self.swept, now) == now {
            return false;
        }
        self.known
            .retain(|_, noted| now.saturating_sub(noted.last) <= ASKED_KEPT_SECONDS);
        self.known.len() < HOSTS_MAX
    }
}
