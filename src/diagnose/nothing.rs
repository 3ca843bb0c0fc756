//! Errors without a failed attempt. In: a failed exchange and what else lies in its window. Out: the honest
//! conclusion.
//!
//! The rule (causes.md B.8): no attempt is claimed only where the capture shows that it sees the gateway's
//! upstream leg; what was lost, hidden or not captured is said instead.

use crate::decode::segment::{IcmpError, IcmpReason};
use crate::diagnose::attempt::millis;
use crate::diagnose::candidate::{Candidate, Standing, candidates};
use crate::diagnose::clock::Step;
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{AttemptReport, Confidence, Evidence, Failure, Leg};
use crate::diagnose::lookup::failed_lookups;
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::unresolved;
use crate::diagnose::verdict::report_attempt;
use crate::flow::Direction;

/// How far back failures are looked for that put an upstream on the bench: nginx's fail_timeout is 10 s,
/// Apache's retry 60 s. Milliseconds.
const BENCH_MILLIS: i64 = 60_000;
/// An answer as prompt as this was given without asking anybody, nanoseconds.
const PROMPT_NANOS: i64 = 20_000_000;
/// Most earlier attempts that are looked at for each error: the latest ones put the upstream on the bench.
const EARLIER_LOOKED_AT_MAX: usize = 256;
/// Most earlier failures that are shown.
const EARLIER_SHOWN_MAX: usize = 6;

/// Concludes what an error without a failed attempt means; `None` when it is no error of the gateway.
#[must_use]
pub fn conclude(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
    chain: &Chain,
) -> Option<Conclusion> {
    if let Some(conclusion) = from_lookup(timeline, member, exchange) {
        return Some(conclusion);
    }
    if let Some(conclusion) = chain
        .unread
        .iter()
        .rev()
        .find_map(|candidate| from_unread(timeline, chain, candidate))
    {
        return Some(conclusion);
    }
    if member.suspect.failure == Failure::SilentClose
        && !request_was_read(timeline, member, exchange)
    {
        return None;
    }
    if let Some(conclusion) = unresolved::conclude(timeline, member, exchange.asked_at()) {
        return Some(conclusion);
    }
    if !member.identified.asks {
        return Some(not_captured(member));
    }
    if let Some(conclusion) = from_stray_icmp(timeline, member, exchange) {
        return Some(conclusion);
    }
    if let Some(conclusion) = lost(timeline, member) {
        return Some(conclusion);
    }
    Some(no_attempt(timeline, member, exchange))
}

fn from_lookup(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
) -> Option<Conclusion> {
    let gateway = &member.identified.gateway;
    let until = member.suspect.at.time.plus_millis(1);
    let failed = gateway.addrs.iter().find_map(|addr| {
        let host = timeline.host(gateway.vantage, *addr)?;
        failed_lookups(
            &host.lookups,
            exchange.request_at.time.plus_millis(-1),
            until,
            host.hears(),
        )
        .into_iter()
        .next_back()
    })?;
    let mut conclusion = Conclusion::new(failed.code, failed.verdict.confidence);
    conclusion.evidence.clone_from(&failed.verdict.evidence);
    conclusion.ruled_out.clone_from(&failed.verdict.ruled_out);
    conclusion.reasons.clone_from(&failed.verdict.reservations);
    conclusion.detail = None;
    conclusion.attempts.push(AttemptReport {
        cause: Some(failed.code),
        detail: Some(failed.name.to_string()),
        upstream: None,
        connection: None,
        start: failed.started.time,
        end: failed.ended.map(|end| end.time),
        matched_by: vec![
            "the only lookup that failed while the exchange was open; no connection followed"
                .to_owned(),
        ],
        frames: failed
            .verdict
            .evidence
            .iter()
            .map(|evidence| evidence.mark)
            .collect(),
    });
    Some(conclusion)
}

/// An ICMP error that quotes a SYN which the capture does not hold.
fn from_stray_icmp(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
) -> Option<Conclusion> {
    let gateway = &member.identified.gateway;
    let inside = |error: &&IcmpError| {
        error.mark.time >= exchange.request_at.time && error.mark.time <= member.suspect.at.time
    };
    let error = gateway.addrs.iter().find_map(|addr| {
        timeline
            .host(gateway.vantage, *addr)?
            .stray_icmp
            .iter()
            .rev()
            .find(inside)
    })?;
    // Only its own kernel, or a rule on its own host, tells a host that a neighbour is not there.
    let own = gateway.addrs.contains(&error.reporter);
    let code = match error.reason {
        IcmpReason::Host if own => unresolved::CODE,
        IcmpReason::Port => "icmp-port-unreachable",
        IcmpReason::Host => "icmp-host-unreachable",
        IcmpReason::Net => "icmp-net-unreachable",
        IcmpReason::AdminProhibited => "icmp-admin-prohibited",
        _ => return None,
    };
    let mut conclusion = Conclusion::new(code, Confidence::Likely);
    conclusion
        .reasons
        .push("the SYN that the ICMP error quotes is not in the capture before it".to_owned());
    let summary = format!(
        "{} reports {} unreachable by ICMP",
        error.reporter, error.quoted_destination
    );
    conclusion.evidence.push(Evidence {
        mark: error.mark,
        leg: Leg::Icmp,
        summary,
    });
    Some(conclusion)
}

fn from_unread(timeline: &Timeline, chain: &Chain, candidate: &Candidate) -> Option<Conclusion> {
    let record = timeline.connection(candidate.id.connection)?;
    let lossy = record.lossy(Direction::ToClient) || record.lossy(Direction::ToServer);
    let cut = record.facts.from_server.snapped > 0 || record.facts.from_client.snapped > 0;
    let start = Evidence {
        mark: candidate.start,
        leg: Leg::Upstream,
        summary: format!("the gateway turns to {}", candidate.upstream),
    };
    let mut conclusion = match candidate.standing {
        Standing::Failed => {
            let verdict = candidate.verdict.clone()?;
            let mut conclusion = Conclusion::new(candidate.code?, verdict.confidence);
            conclusion.detail = verdict.detail;
            conclusion.reasons = verdict.reservations;
            conclusion.evidence = verdict.evidence;
            conclusion.ruled_out = verdict.ruled_out;
            conclusion
        }
        Standing::Open | Standing::Opaque | Standing::Well
            if lossy || cut || (candidate.standing == Standing::Well && !candidate.whole) =>
        {
            let mut conclusion = Conclusion::new("capture-gap", Confidence::Unknown);
            conclusion.reasons.push(
                "frames of the upstream connection are missing from the capture around the failure"
                    .to_owned(),
            );
            conclusion
        }
        Standing::Well => {
            let mut conclusion =
                Conclusion::new("attempt-succeeded-but-error", Confidence::Certain);
            let status = candidate.status.unwrap_or_default();
            if let Some(end) = candidate.end {
                let summary = format!(
                    "{} answers {status}, whole and well-formed",
                    candidate.upstream
                );
                conclusion.evidence.push(Evidence {
                    mark: end,
                    leg: Leg::Upstream,
                    summary,
                });
                let exchange = candidate.id.index.and_then(|index| record.exchange(index));
                if exchange.is_some_and(|exchange| exchange.was_sent_at(end)) {
                    conclusion.at_most(
                        Confidence::Likely,
                        "the upstream answered before it had the whole request; what came of the rest was not seen",
                    );
                }
            }
            conclusion
        }
        Standing::Opaque => {
            let mut conclusion = Conclusion::new("encrypted-inconclusive", Confidence::Unknown);
            conclusion.reasons.push(
                "the upstream answered, but its answer cannot be read in this capture".to_owned(),
            );
            conclusion.not_observable.push("the answer of the upstream: capture with a TLS key log of the gateway, or on the clear side of the upstream".to_owned());
            if let Some(end) = candidate.end {
                let summary = format!(
                    "{} answers with bytes that cannot be read",
                    candidate.upstream
                );
                conclusion.evidence.push(Evidence {
                    mark: end,
                    leg: Leg::Upstream,
                    summary,
                });
            }
            conclusion
        }
        Standing::Open => {
            let mut conclusion = Conclusion::new("capture-gap", Confidence::Unknown);
            conclusion.reasons.push(
                "the gateway asked this upstream, but how that ended is not in the capture"
                    .to_owned(),
            );
            conclusion
        }
    };
    conclusion.evidence.push(start);
    conclusion
        .attempts
        .push(report_attempt(timeline, candidate, chain));
    conclusion.last = Some(candidate.clone());
    Some(conclusion)
}

/// Whether the gateway's close acknowledges the request: else it closed an idle connection, and the client's
/// request crossed that.
fn request_was_read(timeline: &Timeline, member: &Member, exchange: &ExchangeRecord) -> bool {
    let Some(record) = timeline.connection(member.suspect.exchange.connection) else {
        return false;
    };
    let server = &record.facts.from_server;
    let closing = match (server.fin, server.reset) {
        (Some(fin), Some(reset)) => Some(if fin.mark <= reset.mark { fin } else { reset }),
        (fin, reset) => fin.or(reset),
    };
    closing
        .and_then(|closing| closing.acknowledges)
        .is_some_and(|acknowledged| acknowledged > exchange.request_offset)
}

fn not_captured(member: &Member) -> Conclusion {
    let mut conclusion = Conclusion::new("upstream-leg-not-captured", Confidence::Unknown);
    conclusion.reasons.push(format!(
        "{} sends nothing to anybody in this capture: its upstream leg was not captured",
        member.identified.gateway.endpoint.addr
    ));
    conclusion.not_observable.push(
        "everything between the gateway and its upstreams: a filter such as `port 80 or port 443` drops upstreams on other ports, DNS and ICMP; capture on the gateway's host without it"
            .to_owned(),
    );
    conclusion
}

/// The clock was set inside the exchange: what lies between its ends cannot be told from what does not.
#[must_use]
pub fn untimed(step: &Step) -> Conclusion {
    let mut conclusion = Conclusion::new("capture-gap", Confidence::Unknown);
    conclusion.reasons.push(format!(
        "{} between the request and the error: which attempts lie between cannot be told",
        step.words()
    ));
    conclusion
}

fn lost(timeline: &Timeline, member: &Member) -> Option<Conclusion> {
    let client = timeline.connection(member.suspect.exchange.connection)?;
    let lossy = client.lossy(Direction::ToClient) || client.lossy(Direction::ToServer);
    lossy.then(|| {
        let mut conclusion = Conclusion::new("capture-gap", Confidence::Unknown);
        conclusion
            .reasons
            .push("the capture lost frames around the error".to_owned());
        conclusion
    })
}

fn no_attempt(timeline: &Timeline, member: &Member, exchange: &ExchangeRecord) -> Conclusion {
    let at = member.suspect.at;
    let gateway = &member.identified.gateway;
    let waited = at.time.nanos_since(exchange.asked_at().time);
    let prompt = waited <= PROMPT_NANOS;
    let page_says = member
        .identified
        .recognised
        .as_ref()
        .and_then(|page| page.page_cause)
        == Some("no-upstream-attempt");
    let from = exchange.request_at.time.plus_millis(-BENCH_MILLIS);
    let tried = candidates(timeline, gateway, from, at.time, EARLIER_LOOKED_AT_MAX);
    let earlier: Vec<&Candidate> = tried
        .iter()
        .filter(|candidate| {
            candidate.standing == Standing::Failed
                && candidate.code != Some("upstream-returned-5xx")
        })
        .collect();
    let mut conclusion = Conclusion::new("no-upstream-attempt", Confidence::Possible);
    conclusion.reasons.push(
        "other exchanges of this gateway show attempts in the capture, this one none".to_owned(),
    );
    if let Some(last) = earlier.last()
        && let Some(code) = last.code
    {
        conclusion.detail = Some("no-live-upstream".to_owned());
        conclusion.contributing.push(code);
        conclusion.reasons.push(format!(
            "{} earlier attempts failed, the last by {code}: they put the upstream on the bench",
            earlier.len()
        ));
        for candidate in earlier.iter().rev().take(EARLIER_SHOWN_MAX) {
            conclusion.evidence.extend(
                candidate
                    .verdict
                    .iter()
                    .flat_map(|verdict| verdict.evidence.iter().take(3).cloned()),
            );
        }
    }
    if let Some(question) = unresolved::in_vain(timeline, gateway, from, at.time) {
        conclusion.contributing.push(unresolved::CODE);
        conclusion.reasons.push(format!(
            "the gateway's host asks for {} in vain: checks of that upstream may have failed by it",
            question.target
        ));
    }
    if page_says {
        conclusion.detail = Some("no-live-upstream".to_owned());
        conclusion
            .reasons
            .push("the error page itself says that no upstream was available".to_owned());
    }
    // Where the gateway's other upstream connections moved meanwhile, one of them may have been this exchange's.
    let moved = |candidate: &Candidate| {
        let facts = timeline
            .connection(candidate.id.connection)
            .map(|record| &record.facts);
        let seen =
            facts.and_then(|facts| facts.from_client.last_seen.max(facts.from_server.last_seen));
        candidate.start >= exchange.request_at
            || seen.is_some_and(|seen| seen >= exchange.request_at)
    };
    let alone = !tried.iter().any(moved);
    let own_page = member
        .identified
        .recognised
        .as_ref()
        .is_some_and(|page| page.own_page);
    conclusion.confidence = match (prompt && own_page && alone, page_says, earlier.is_empty()) {
        (true, true, _) | (true, _, false) => Confidence::Certain,
        (true, _, true) => Confidence::Likely,
        (false, _, false) => Confidence::Likely,
        (false, ..) => Confidence::Possible,
    };
    conclusion
        .reasons
        .push(format!("the gateway answered after {}", millis(waited)));
    conclusion.not_observable.push("an upstream behind a Unix socket leaves no packets: look at the gateway's own log, or at `ss -x`".to_owned());
    conclusion
}
