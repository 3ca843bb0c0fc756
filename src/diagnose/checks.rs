//! Health checks among a gateway's attempts. In: one use of an upstream connection. Out: whether it checks the upstream's
//! health rather than serving a client.
//!
//! The rule (causes.md B.10): told by the name that it gives itself, or by its beat. It is never the attempt behind a
//! client's failure; its own failure may be the reason why an upstream is not asked.

use std::net::IpAddr;

use crate::diagnose::gateway::product::header;
use crate::diagnose::host::whose;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::rhythm::Habitual;
use crate::diagnose::timeline::Timeline;
use crate::flow::Vantage;
use crate::frame::Mark;
use crate::protocol::observation::{ExchangeId, RequestHead};

/// How the User-Agent of health checks begins.
const CHECKS: &[&str] = &[
    "ELB-HealthChecker/",
    "GoogleHC/",
    "kube-probe/",
    "Envoy/HC",
    "Cloudflare-Traffic-Manager/",
];

/// Whether a request names itself a health check.
#[must_use]
pub fn names_itself(head: &RequestHead) -> bool {
    header(&head.kept, "user-agent")
        .is_some_and(|agent| CHECKS.iter().any(|name| agent.starts_with(name)))
}

/// Whether an attempt is a check of the gateway's own, and not the attempt of this client: a client may itself be a check
/// that passes through the gateway.
#[must_use]
pub fn is_not_of(client: &ExchangeRecord, attempt: &ExchangeRecord) -> bool {
    let names = |exchange: &ExchangeRecord| exchange.request.as_deref().map(names_itself);
    names(attempt) == Some(true) && names(client) == Some(false)
}

/// Whether an attempt falls on a beat of its gateway that no client sets.
#[must_use]
pub fn is_on_beat(timeline: &Timeline, id: AttemptId) -> bool {
    let Some(record) = timeline.connection(id.connection) else {
        return false;
    };
    let (vantage, addr) = (record.facts.vantage, record.facts.client.addr);
    let Some(rhythms) = timeline
        .host(vantage, addr)
        .and_then(|host| host.rhythms.as_ref())
    else {
        return false;
    };
    let (what, at) = match id.index.and_then(|index| record.exchange(index)) {
        Some(exchange) => match habitual(record, exchange) {
            Some(what) => (what, exchange.asked_at()),
            None => return false,
        },
        None => (Habitual::opening(record.facts.server), record.facts.opened),
    };
    rhythms.is_on_beat(what, at.time)
}

fn habitual(record: &ConnectionRecord, exchange: &ExchangeRecord) -> Option<Habitual> {
    let head = exchange.request.as_ref()?;
    Some(Habitual::request(
        record.facts.server,
        &head.method,
        &head.target,
    ))
}

/// Whether an attempt is a health check, by its name or its beat.
#[must_use]
pub fn is_check(timeline: &Timeline, id: AttemptId) -> bool {
    let named = timeline
        .connection(id.connection)
        .and_then(|record| record.exchange(id.index?)?.request.as_deref())
        .is_some_and(names_itself);
    named || is_on_beat(timeline, id)
}

impl Timeline {
    /// Notes what a host does that is asked itself, and owes nobody an answer.
    pub(super) fn note_habit(&mut self, vantage: Vantage, addr: IpAddr, what: Habitual, at: Mark) {
        /// Exchanges that are looked at for one that waits, the latest first.
        const WAITING_LOOKED_AT_MAX: usize = 8;
        // On loopback everybody has the same address: who waits for whom is not known.
        let Some(host) = self.host(vantage, addr).filter(|_| !addr.is_loopback()) else {
            return;
        };
        let waits = |(_, id): &(Mark, ExchangeId)| {
            self.exchange(*id).is_some_and(|(record, exchange)| {
                record.ended.is_none() && exchange.response_at.is_none()
            })
        };
        let latest = || host.served.iter().rev().take(WAITING_LOOKED_AT_MAX);
        if host.ports.is_empty() || latest().any(waits) {
            return;
        }
        let kept = self
            .hosts
            .get_mut(&whose(vantage, addr))
            .is_none_or(|host| host.rhythms.get_or_insert_default().note(what, at.time));
        self.loss.add("rhythms_forgotten", u64::from(!kept));
    }
}
