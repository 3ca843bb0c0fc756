//! Answers that cannot be read. In: failures on upstream legs, and encrypted answers to clients. Out: suspects: answers
//! that most probably were errors.
//!
//! The rule (causes.md B.4): never more than possible, and never where an answer of an upstream accounts for what the
//! client got.

use std::collections::BTreeSet;

use crate::diagnose::accounted::{PASSED_ON_NANOS, is_accounted_for};
use crate::diagnose::candidate::{CLEAN_UP_MILLIS, Gateway};
use crate::diagnose::checks;
use crate::diagnose::finding::Failure;
use crate::diagnose::inferred::{REACTION_NANOS, looks_like_page};
use crate::diagnose::record::{AttemptId, ExchangeRecord};
use crate::diagnose::role::{Role, Told, role};
use crate::diagnose::suspect::{Suspect, first_close};
use crate::diagnose::timeline::{FAILED_KEPT_NANOS, Timeline};
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{
    Completion, ConnectionEvent, ExchangeId, Protocol, Seen, TlsStep,
};
use crate::tcp::event::Connection;
use crate::time::Timestamp;

/// Most encrypted answers that wait to be looked at: three seconds of a busy gateway.
const ANSWERS_MAX: usize = 200_000;
/// Most failures that wait for an answer that followed them.
const FAILURES_MAX: usize = 100_000;
/// Most connects without an answer that are remembered, the latest.
const ENDLESS_MAX: usize = 10_000;
/// Answers and failures around one moment that are looked at.
const AROUND_MAX: usize = 512;

/// What is gathered until it can be told.
#[derive(Debug, Default)]
pub struct Sealed {
    /// Encrypted answers, by their first byte, or by their last where that came later.
    answers: BTreeSet<(Mark, ExchangeId)>,
    /// What looks like the failure of an attempt, by its moment.
    failures: BTreeSet<(Mark, AttemptId)>,
    /// SYNs that were repeated without an answer: their failure has no moment.
    endless: BTreeSet<(Mark, AttemptId)>,
    /// Answers and failures beyond the limits.
    not_kept: u64,
}

impl Sealed {
    /// Notes an encrypted answer, or what looks like a failed attempt.
    pub fn note(&mut self, timeline: &Timeline, what: &Seen) {
        if let Some((at, id)) = answer(timeline, what) {
            if self.answers.len() < ANSWERS_MAX {
                self.answers.insert((at, id));
            } else {
                self.not_kept += 1;
            }
        }
        if let Some(failure) = failure(timeline, what) {
            if self.failures.len() < FAILURES_MAX {
                self.failures.insert(failure);
            } else {
                self.not_kept += 1;
            }
        }
        if let Some(syn) = repeated_syn(what) {
            self.endless.insert(syn);
            if self.endless.len() > ENDLESS_MAX {
                self.endless.pop_first();
                self.not_kept += 1;
            }
        }
    }

    /// The answers up to `until` that most probably were errors.
    pub fn settle(
        &mut self,
        timeline: &mut Timeline,
        told: &Told,
        until: Timestamp,
    ) -> Vec<Suspect> {
        timeline.loss.add(
            "encrypted_answers_not_looked_at",
            std::mem::take(&mut self.not_kept),
        );
        let mut found: Vec<Suspect> = Vec::new();
        while let Some(&(at, id)) = self.answers.first() {
            if at.time > until {
                break;
            }
            self.answers.pop_first();
            if found
                .iter()
                .rev()
                .take(AROUND_MAX)
                .any(|known| known.exchange == id)
            {
                continue;
            }
            found.extend(self.suspect(timeline, told, at, id));
        }
        let over = |at: Mark, kept: i64| until.nanos_since(at.time) > kept;
        while self
            .failures
            .first()
            .is_some_and(|(at, _)| over(*at, PASSED_ON_NANOS))
        {
            self.failures.pop_first();
        }
        while self
            .endless
            .first()
            .is_some_and(|(at, _)| over(*at, FAILED_KEPT_NANOS))
        {
            self.endless.pop_first();
        }
        found
    }

    fn suspect(
        &self,
        timeline: &Timeline,
        told: &Told,
        at: Mark,
        id: ExchangeId,
    ) -> Option<Suspect> {
        let (record, exchange) = timeline.exchange(id)?;
        let mut near = self.near(exchange, at).peekable();
        near.peek()?;
        let suspect = Suspect {
            exchange: id,
            failure: Failure::Suspected,
            status: None,
            at,
        };
        if exchange.told
            || !looks_like_page(record, exchange)
            || !timeline.is_best_server_view(id.connection, record.facts.vantage)
        {
            return None;
        }
        let Some(Role::Gateway(identified)) = role(timeline, told, &suspect) else {
            return None;
        };
        let gateway = &identified.gateway;
        let began = near
            .filter_map(|failed| began(timeline, gateway, failed))
            .min()?;
        (identified.asks && !is_accounted_for(timeline, gateway, &suspect, exchange, began))
            .then_some(suspect)
    }

    /// Failures at the moment of an answer, and connects that nobody had answered by then.
    fn near<'s>(
        &'s self,
        exchange: &ExchangeRecord,
        at: Mark,
    ) -> impl Iterator<Item = AttemptId> + 's {
        let from = first_at(at.time.plus_nanos(-REACTION_NANOS));
        let until = first_at(at.time.plus_millis(CLEAN_UP_MILLIS));
        let waited = first_at(exchange.request_at.time)..first_at(at.time);
        let waited = (waited.start <= waited.end).then(|| self.endless.range(waited));
        self.failures
            .range(from..until)
            .chain(waited.into_iter().flatten())
            .map(|(_, id)| *id)
            .take(AROUND_MAX)
    }
}

/// The place of a moment among marks and names.
fn first_at(time: Timestamp) -> (Mark, AttemptId) {
    let mark = Mark {
        time,
        ..Mark::default()
    };
    let id = AttemptId {
        connection: Default::default(),
        index: None,
    };
    (mark, id)
}

/// An encrypted answer of a server: its first byte, and its end where it went on for a while; or the server's close that
/// came instead.
fn answer(timeline: &Timeline, what: &Seen) -> Option<(Mark, ExchangeId)> {
    let (Seen::ResponseStart { exchange, .. } | Seen::ResponseEnd { exchange, .. }) = what else {
        return None;
    };
    let record = timeline.connection(exchange.connection)?;
    if record.protocol != Some(Protocol::Tls) {
        return None;
    }
    let at = match what {
        Seen::ResponseStart { at, .. } => *at,
        Seen::ResponseEnd { end, .. } if end.how == Completion::Nothing => {
            match first_close(record)? {
                (Direction::ToClient, at) => at,
                (Direction::ToServer, _) => return None,
            }
        }
        // Under HTTP/2 a turn may hold more than one answer: the last is looked at too.
        Seen::ResponseEnd { end, .. } => end.at,
        _ => return None,
    };
    Some((at, *exchange))
}

/// What looks like the failure of an attempt; whether it was one is judged later.
fn failure(timeline: &Timeline, what: &Seen) -> Option<(Mark, AttemptId)> {
    let of = |exchange: &ExchangeId| AttemptId {
        connection: exchange.connection,
        index: Some(exchange.index),
    };
    match what {
        Seen::Connection { event, facts } => {
            let at = match event {
                ConnectionEvent::Fin(by) => facts.half(*by).fin,
                ConnectionEvent::Reset(by) => facts.half(*by).reset,
                _ => None,
            }?;
            Some((at.mark, latest_use(timeline, facts)?))
        }
        Seen::Icmp {
            connection: Some(id),
            error,
        } => {
            let record = timeline.connection(*id)?;
            Some((error.mark, latest_use(timeline, &record.facts)?))
        }
        Seen::Tls {
            connection,
            step:
                TlsStep::Alert {
                    direction: Direction::ToClient,
                    level: 2,
                    ..
                },
            at,
        } => {
            let record = timeline.connection(*connection)?;
            Some((*at, latest_use(timeline, &record.facts)?))
        }
        Seen::ResponseFault { exchange, at, .. } => Some((*at, of(exchange))),
        Seen::ResponseHead { exchange, head } if head.status >= 500 => {
            Some((head.at, of(exchange)))
        }
        Seen::ResponseEnd { exchange, end, .. } if !end.how.is_complete() => {
            Some((end.at, of(exchange)))
        }
        _ => None,
    }
}

/// The latest use of a connection; none where that one had gone well, so that an idle connection ends.
fn latest_use(timeline: &Timeline, facts: &Connection) -> Option<AttemptId> {
    let record = timeline.connection(facts.id)?;
    let index = match record.exchanges.back() {
        Some(last) if last.went_well() => return None,
        last => last.map(|last| last.id.index),
    };
    Some(AttemptId {
        connection: facts.id,
        index,
    })
}

fn repeated_syn(what: &Seen) -> Option<(Mark, AttemptId)> {
    match what {
        Seen::Connection {
            event: ConnectionEvent::Syn,
            facts,
        } if facts.from_client.syns.len() > 1 && facts.from_server.syns.is_empty() => {
            let id = AttemptId {
                connection: facts.id,
                index: None,
            };
            Some((facts.opened, id))
        }
        _ => None,
    }
}

/// When the attempt of this gateway began that looks like a failure; none where it is another's, or given away.
fn began(timeline: &Timeline, gateway: &Gateway, id: AttemptId) -> Option<Timestamp> {
    let record = timeline.connection(id.connection)?;
    let exchange = id.index.and_then(|index| record.exchange(index));
    let claimed = exchange.map_or(record.claimed, |exchange| exchange.claimed);
    let its_own = record.facts.server != gateway.endpoint
        && gateway.addrs.contains(&record.facts.client.addr);
    (its_own && !claimed && !checks::is_check(timeline, id)).then(|| {
        exchange
            .map_or(record.facts.opened, |exchange| exchange.request_at)
            .time
    })
}
