//! Gateways that share a machine. In: a gateway and one of its exchanges. Out: the addresses from which it asks there, and which
//! attempts are not its own but those of a gateway beside it.
//!
//! The rule: over loopback one process asks another, and the other asks in its turn from the machine's own address, so
//! addresses do not tell the two apart. What does is that one exchange lies inside the other, with the same request.

use std::net::IpAddr;

use crate::diagnose::candidate::{Candidate, Gateway};
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::Confidence;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::role::uses_inside;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;

/// First server error (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// Attempts that are looked at for one over loopback in which another may lie: those that began last before it.
const AROUND_MAX: usize = 64;

/// Further addresses of its machine from which a gateway asked while `exchange` was open: loopback where it is reached from
/// elsewhere, the machine's own where it is reached over loopback.
#[must_use]
pub fn addrs(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
) -> Vec<IpAddr> {
    let outwards = connection.facts.server.addr.is_loopback();
    let passes_on = |record: &ConnectionRecord, inner: Option<&ExchangeRecord>| match inner {
        Some(inner) => same_request(exchange, inner) != Some(false),
        // A connection that never came about carries no request.
        None => outwards || record.facts.established.is_none(),
    };
    askers(timeline, connection, exchange, suspect, passes_on)
}

/// Whether a server that is reached over loopback is a gateway itself: it passed the request on, or tried to connect.
#[must_use]
pub fn is_gateway(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
) -> bool {
    let passes_on = |record: &ConnectionRecord, inner: Option<&ExchangeRecord>| match inner {
        Some(inner) => same_request(exchange, inner) == Some(true),
        None => record.facts.established.is_none(),
    };
    connection.facts.server.addr.is_loopback()
        && !askers(timeline, connection, exchange, suspect, passes_on).is_empty()
}

/// The addresses of the machine, on the other side of loopback, with a use inside `exchange` of which `passes_on` is true.
fn askers(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
    passes_on: impl Fn(&ConnectionRecord, Option<&ExchangeRecord>) -> bool,
) -> Vec<IpAddr> {
    let facts = &connection.facts;
    let outwards = facts.server.addr.is_loopback();
    let Some(machine) = timeline
        .host(facts.vantage, facts.server.addr)
        .and_then(|host| host.local)
    else {
        return Vec::new();
    };
    let counts = |id: AttemptId| {
        timeline.connection(id.connection).is_some_and(|record| {
            let inner = id.index.and_then(|index| record.exchange(index));
            record.facts.server.addr.is_loopback() != outwards && passes_on(record, inner)
        })
    };
    let mut found: Vec<IpAddr> = timeline
        .local_askers(machine)
        .filter(|(addr, _)| addr.is_loopback() != outwards)
        .filter(|(_, host)| uses_inside(host, exchange.request_at, suspect.at).any(counts))
        .map(|(addr, _)| addr)
        .collect();
    found.sort_unstable();
    found
}

/// Whether an attempt's answer was a server error of a service on the gateway's own machine.
#[must_use]
pub fn erred_here(timeline: &Timeline, gateway: &Gateway, attempt: &Candidate) -> bool {
    attempt.status.is_some_and(|status| status >= SERVER_ERROR)
        && is_here(timeline, gateway, attempt)
}

/// Whether two exchanges ask for the same; `None` where one of them cannot be read.
fn same_request(one: &ExchangeRecord, other: &ExchangeRecord) -> Option<bool> {
    let (one, other) = (one.request.as_ref()?, other.request.as_ref()?);
    Some(one.method == other.method && one.target == other.target)
}

/// Whether `attempt` is that of a gateway on the same machine, which `exchange` was passed on to: another attempt of the
/// exchange, to a service of the machine itself, spans it and got the very error that the client got. `candidates` are by
/// their beginning; `erring` are the places of those [with a server error from here](erred_here), in order.
#[must_use]
pub fn is_of_a_neighbour(
    timeline: &Timeline,
    (suspect, exchange): (&Suspect, &ExchangeRecord),
    (candidates, erring): (&[Candidate], &[usize]),
    attempt: &Candidate,
) -> bool {
    if erring.is_empty() || suspect.status.is_none_or(|status| status < SERVER_ERROR) {
        return false;
    }
    let before = candidates.partition_point(|other| other.sent < attempt.start);
    let from = before.saturating_sub(AROUND_MAX);
    let until = erring.partition_point(|place| *place < before);
    let around = erring.get(..until).unwrap_or_default().iter().rev();
    let around = around.take_while(|place| **place >= from);
    let mut around = around.filter_map(|place| candidates.get(*place));
    around.any(|other| {
        other.id != attempt.id
            && other.upstream != attempt.upstream
            && other.status == suspect.status
            && spans(other, attempt, exchange.request_at, suspect.at)
            && timeline
                .attempt(other.id)
                .is_some_and(|passed| same_request(exchange, passed) != Some(false))
    })
}

/// Takes a step off where the attempt may be that of a gateway on the same machine, because frames between the two are missing.
pub fn weigh(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let gateway = &member.identified.gateway;
    let Some((_, exchange)) = timeline.exchange(member.suspect.exchange) else {
        return;
    };
    let machine = timeline
        .host(gateway.vantage, gateway.endpoint.addr)
        .and_then(|host| host.local);
    let (Some(machine), false) = (machine, gateway.endpoint.addr.is_loopback()) else {
        return;
    };
    let torn = |id: AttemptId| {
        id.connection != last.id.connection
            && timeline
                .connection(id.connection)
                .is_some_and(ConnectionRecord::is_lossy)
    };
    let hides = timeline
        .local_askers(machine)
        .filter(|(addr, _)| addr.is_loopback())
        .any(|(_, host)| uses_inside(host, exchange.request_at, member.suspect.at).any(torn));
    if hides && !is_here(timeline, gateway, last) {
        conclusion.at_most(
            Confidence::Likely,
            "frames that one process of the machine sent another meanwhile are missing: it may have been the other that asked",
        );
    }
}

fn spans(outer: &Candidate, inner: &Candidate, asked: Mark, answered: Mark) -> bool {
    outer.start >= asked
        && outer
            .answered
            .is_some_and(|at| at <= answered && at > inner.start)
}

/// Whether an attempt went to a service of the gateway's own machine.
fn is_here(timeline: &Timeline, gateway: &Gateway, attempt: &Candidate) -> bool {
    let local = |addr: IpAddr| {
        timeline
            .host(gateway.vantage, addr)
            .and_then(|host| host.local)
    };
    let machine = local(gateway.endpoint.addr);
    machine.is_some() && local(attempt.upstream.addr) == machine
}
