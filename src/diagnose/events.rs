//! What is no finding: failed attempts that the client did not notice, clients that left, errors that an
//! application wrote itself. In: the timeline. Out: events and counts.
//!
//! The rule (interface.md): counted and told, never mixed with findings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::diagnose::candidate::{CANDIDATES_MAX, Candidate, Gateway, Standing, candidates};
use crate::diagnose::checks;
use crate::diagnose::client;
use crate::diagnose::conclusion::Chain;
use crate::diagnose::finding::{ClientEvent, Diagnosis, UpstreamEvent};
use crate::diagnose::hands::Hands;
use crate::diagnose::record::{AttemptId, cut_short};
use crate::diagnose::retry::recovery;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::verdict::report_attempt;
use crate::flow::{Endpoint, Vantage};
use crate::frame::Mark;
use crate::protocol::observation::{Completion, ConnectionEvent, ExchangeId, Seen};
use crate::time::Timestamp;

/// Most attempts that wait to be looked at as events; further ones are not told.
const PENDING_MAX: usize = 100_000;
/// How long after an attempt its retry is looked for, milliseconds.
const RETRY_SEEN_MILLIS: i64 = 2_000;
/// Most events that are listed.
pub const EVENTS_MAX: usize = 10_000;

/// Events as they gather.
#[derive(Debug, Default)]
pub struct Events {
    /// Attempts that look failed, with the moment of it.
    pending: BTreeSet<(Mark, AttemptId)>,
    /// Attempts that were beyond [`PENDING_MAX`], or for which there was no time.
    not_looked_at: u64,
    client_aborts: u64,
    client_request_timeouts: u64,
    client_bad_requests: u64,
    application_errors: u64,
    /// Answers that may blame the client, with their first byte.
    refusals: BTreeSet<(Mark, ExchangeId)>,
    /// Events of clients, as they are listed.
    of_clients: Vec<ClientEvent>,
    /// Events of clients beyond [`EVENTS_MAX`].
    not_listed: u64,
}

impl Events {
    /// Notes what may become an event.
    pub fn note(&mut self, timeline: &Timeline, what: &Seen) {
        match what {
            Seen::Connection {
                event: ConnectionEvent::Reset(_) | ConnectionEvent::Ended(_),
                facts,
            } if facts.from_server.sent == 0 => {
                let index = timeline
                    .connection(facts.id)
                    .and_then(|record| record.exchanges.back())
                    .map(|x| x.id.index);
                self.push(
                    facts.opened,
                    AttemptId {
                        connection: facts.id,
                        index,
                    },
                );
            }
            Seen::Icmp {
                connection: Some(id),
                error,
            } => self.push(
                error.mark,
                AttemptId {
                    connection: *id,
                    index: None,
                },
            ),
            Seen::ResponseFault { exchange, at, .. } => self.push(*at, attempt(*exchange)),
            Seen::ResponseHead { exchange, head } if head.status >= 500 => {
                self.push(head.at, attempt(*exchange))
            }
            Seen::ResponseHead { exchange, head } if client::blames_client(head.status) => {
                if self.refusals.len() < PENDING_MAX {
                    self.refusals.insert((head.at, *exchange));
                } else {
                    self.not_looked_at += 1;
                }
            }
            Seen::ResponseEnd { exchange, end, .. }
                if end.how == Completion::Nothing || cut_short(end.how) =>
            {
                self.push(end.at, attempt(*exchange));
            }
            _ => {}
        }
    }

    fn push(&mut self, at: Mark, id: AttemptId) {
        if self.pending.len() < PENDING_MAX {
            self.pending.insert((at, id));
        } else {
            self.not_looked_at += 1;
        }
    }

    /// A client left before its answer.
    pub fn client_left(&mut self, timeline: &Timeline, suspect: &Suspect) {
        let Some(record) = timeline.connection(suspect.exchange.connection) else {
            return;
        };
        let facts = &record.facts;
        let client_is_gateway = facts.client.addr != facts.server.addr
            && timeline.is_asked(facts.vantage, facts.client.addr);
        if !client_is_gateway {
            self.client_aborts += 1;
            let event = client::left(timeline, suspect.exchange);
            self.list(event);
        }
    }

    /// Lists an event of a client.
    fn list(&mut self, event: Option<ClientEvent>) {
        if self.of_clients.len() < EVENTS_MAX {
            self.of_clients.extend(event);
        } else {
            self.not_listed += u64::from(event.is_some());
        }
    }

    /// Looks at answers up to `settled` that may blame the client.
    fn settle_refusals(&mut self, timeline: &Timeline, settled: Timestamp) {
        while let Some(&(at, id)) = self.refusals.first() {
            if at.time > settled {
                return;
            }
            self.refusals.pop_first();
            let event = client::refused(timeline, id);
            match event.as_ref().map(|event| event.code) {
                Some("client-request-timeout") => self.client_request_timeouts += 1,
                Some(_) => self.client_bad_requests += 1,
                None => {}
            }
            self.list(event);
        }
    }

    /// An error that a plain application wrote.
    pub fn application_error(&mut self, suspect: &Suspect) {
        if suspect.status.is_some() {
            self.application_errors += 1;
        }
    }

    /// Looks at failed attempts up to `settled` that no finding has claimed: recovered ones become events.
    /// Where there is no time for it (`hurry`) they are counted instead.
    pub fn settle(
        &mut self,
        timeline: &mut Timeline,
        settled: Timestamp,
        out: &mut Diagnosis,
        hurry: &AtomicBool,
    ) {
        self.settle_refusals(timeline, settled);
        timeline.loss.add(
            "client_events_not_listed",
            std::mem::take(&mut self.not_listed),
        );
        let mut ready = Vec::new();
        while let Some(&(at, id)) = self.pending.first() {
            if at.time > settled {
                break;
            }
            self.pending.pop_first();
            ready.push(id);
        }
        let mut by_gateway: BTreeMap<(Vantage, IpAddr), BTreeSet<AttemptId>> = BTreeMap::new();
        for id in ready {
            if let Some(gateway) = unexplained(timeline, id) {
                by_gateway.entry(gateway).or_default().insert(id);
            }
        }
        for ((vantage, addr), ids) in by_gateway {
            let (found, left) = recovered(timeline, vantage, addr, &ids, hurry);
            self.not_looked_at += left;
            for (event, claim) in found {
                timeline.claim(claim);
                if out.upstream_events.len() < EVENTS_MAX {
                    out.upstream_events.push(event);
                } else {
                    timeline.loss.add("upstream_events_not_listed", 1);
                }
            }
        }
        timeline.loss.add(
            "failed_attempts_not_looked_at",
            std::mem::take(&mut self.not_looked_at),
        );
    }

    /// Puts the counts into the numbers of the report.
    pub fn count(&mut self, out: &mut Diagnosis) {
        out.health.client_aborts = self.client_aborts;
        out.health.client_request_timeouts = self.client_request_timeouts;
        out.health.client_bad_requests = self.client_bad_requests;
        out.client_events = std::mem::take(&mut self.of_clients);
        out.client_events
            .sort_by_key(|event| (event.at, event.client, event.gateway));
        out.health.application_errors = self.application_errors;
        out.upstream_events.sort_by(|a, b| {
            (a.attempt.start, a.attempt.upstream).cmp(&(b.attempt.start, b.attempt.upstream))
        });
    }
}

fn attempt(id: ExchangeId) -> AttemptId {
    AttemptId {
        connection: id.connection,
        index: Some(id.index),
    }
}

/// The gateway of an attempt that no finding explains; none when its client is no gateway.
fn unexplained(timeline: &Timeline, id: AttemptId) -> Option<(Vantage, IpAddr)> {
    let record = timeline.connection(id.connection)?;
    let claimed = id
        .index
        .and_then(|index| record.exchange(index))
        .map_or(record.claimed, |exchange| exchange.claimed);
    let facts = &record.facts;
    let is_gateway = facts.client.addr == facts.server.addr
        || timeline.is_asked(facts.vantage, facts.client.addr);
    let best = timeline.is_best_client_view(id.connection, facts.vantage, &[facts.client.addr]);
    (is_gateway && !claimed && best).then_some((facts.vantage, facts.client.addr))
}

/// The events of attempts of one host that failed and were followed by a good one; and how many attempts were not looked at,
/// for want of time.
fn recovered(
    timeline: &Timeline,
    vantage: Vantage,
    addr: IpAddr,
    ids: &BTreeSet<AttemptId>,
    hurry: &AtomicBool,
) -> (Vec<(UpstreamEvent, AttemptId)>, u64) {
    // Port 0 is nobody's: no upstream is taken for the gateway's own endpoint.
    let gateway = Gateway {
        vantage,
        endpoint: Endpoint::new(addr, 0),
        addrs: vec![addr],
        product: None,
    };
    let records = || {
        ids.iter()
            .filter_map(|id| Some((id, timeline.connection(id.connection)?)))
    };
    let begun = records().map(|(id, record)| {
        let exchange = id.index.and_then(|index| record.exchange(index));
        exchange.map_or(record.facts.opened.time, |exchange| {
            exchange.request_at.time
        })
    });
    let over = records().map(|(_, record)| {
        record
            .facts
            .from_client
            .last_seen
            .unwrap_or(record.facts.opened)
            .time
    });
    let (Some(from), Some(until)) = (begun.min(), over.max()) else {
        return (Vec::new(), 0);
    };
    let all = candidates(
        timeline,
        &gateway,
        (from, until.plus_millis(RETRY_SEEN_MILLIS)),
        CANDIDATES_MAX,
        &Hands::default(),
    );
    let asked_for = |candidate: &&Candidate| {
        let any_use = AttemptId {
            connection: candidate.id.connection,
            index: None,
        };
        ids.contains(&candidate.id) || ids.contains(&any_use)
    };
    let failed = |candidate: &&Candidate| {
        candidate.standing == Standing::Failed
            && !candidate.claimed
            && !candidate.whole
            && candidate.code != Some("upstream-returned-5xx")
            && !checks::is_check(timeline, candidate.id)
    };
    let mut left = 0;
    let found = all
        .iter()
        .filter(asked_for)
        .filter(failed)
        .filter_map(|candidate| {
            if hurry.load(Ordering::Relaxed) {
                left += 1;
                return None;
            }
            recovery(timeline, candidate, &all)?;
            let chain = Chain {
                attempts: Vec::new(),
                assignment: None,
                runner_up: None,
                unsettled: false,
                dangling: None,
                torn: None,
                unread: Vec::new(),
            };
            let client = timeline.connection(candidate.id.connection)?.facts.client;
            Some((
                UpstreamEvent {
                    attempt: report_attempt(timeline, candidate, &chain),
                    gateway: client,
                },
                candidate.id,
            ))
        })
        .collect();
    (found, left)
}
