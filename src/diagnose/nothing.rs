//! Errors without a failed attempt. In: a failed exchange and what else lies in its window. Out: the honest
//! conclusion.
//!
//! The rule (causes.md B.8): no attempt is claimed only where the capture shows that it sees the gateway's
//! upstream leg; what was lost, hidden or not captured is said instead.

use crate::decode::segment::{IcmpError, IcmpReason};
use crate::diagnose::attempt::{default_words, millis};
use crate::diagnose::candidate::{Candidate, Standing};
use crate::diagnose::clock::Step;
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{AttemptReport, Confidence, Evidence, Failure, Finding, Leg};
use crate::diagnose::gateway::product::Wait;
use crate::diagnose::hidden::{self, Hidden};
use crate::diagnose::lookup::failed_lookups;
use crate::diagnose::page;
use crate::diagnose::reason;
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::silent;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::unresolved;
use crate::diagnose::verdict::report_attempt;
use crate::flow::Direction;

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
        .find_map(|candidate| from_unread(timeline, member, exchange, chain, candidate))
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
        return Some(
            silent::not_captured(member).unwrap_or_else(|| not_captured(member, exchange)),
        );
    }
    if let Some(conclusion) = from_hidden(timeline, member, exchange) {
        return Some(conclusion);
    }
    if let Some(conclusion) = from_stray_icmp(timeline, member, exchange) {
        return Some(conclusion);
    }
    if let Some(conclusion) = lost(timeline, member) {
        return Some(conclusion);
    }
    if let Some(conclusion) = silent::no_attempt(member) {
        return Some(conclusion);
    }
    Some(reason::no_attempt(timeline, member, exchange))
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
    if failed.code == "dns-timeout" {
        let waited = member.suspect.at.time.nanos_since(failed.started.time);
        conclusion.reasons.push(format!(
            "the gateway gave up {} after its first query{}",
            millis(waited),
            default_words(gateway.product, Wait::Resolve, waited)
        ));
    }
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
        error.quoted_tcp
            && error.mark.time >= exchange.request_at.time
            && error.mark.time <= member.suspect.at.time
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
        IcmpReason::Port | IcmpReason::Net | IcmpReason::AdminProhibited if own => {
            "local-connect-error"
        }
        IcmpReason::Port => "icmp-port-unreachable",
        IcmpReason::Host => "icmp-host-unreachable",
        IcmpReason::Net => "icmp-net-unreachable",
        IcmpReason::AdminProhibited => "icmp-admin-prohibited",
        IcmpReason::TimeExceeded => "icmp-ttl-exceeded",
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

fn from_unread(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
    chain: &Chain,
    candidate: &Candidate,
) -> Option<Conclusion> {
    let record = timeline.connection(candidate.id.connection)?;
    let lossy = record.lossy(Direction::ToClient) || record.lossy(Direction::ToServer);
    let cut = record.facts.from_server.snapped > 0 || record.facts.from_client.snapped > 0;
    let start = Evidence {
        mark: candidate.start,
        leg: Leg::Upstream,
        summary: format!("the gateway turns to {}", candidate.upstream),
    };
    let mut conclusion = match candidate.standing {
        _ if record.is_hidden() && candidate.standing != Standing::Failed => {
            hidden::behind_filter(timeline, member, record)
        }
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
            let mut conclusion = silent::although_well(member).unwrap_or_else(|| {
                Conclusion::new("attempt-succeeded-but-error", Confidence::Certain)
            });
            page::compare(member, &mut conclusion);
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
            conclusion.not_observable.push("the answer of the upstream: a TLS key log of the gateway for this connection (--keylog) would show it; or capture on the clear side of the upstream".to_owned());
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
        Standing::Open => silent::cut_by_gateway(timeline, member, exchange, chain, candidate)
            .unwrap_or_else(|| {
                let mut conclusion = Conclusion::new("capture-gap", Confidence::Unknown);
                conclusion.reasons.push(
                    "the gateway asked this upstream, but how that ended is not in the capture"
                        .to_owned(),
                );
                conclusion
            }),
    };
    conclusion.evidence.push(start);
    conclusion
        .attempts
        .push(report_attempt(timeline, candidate, chain));
    conclusion.last = Some(candidate.clone());
    Some(conclusion)
}

/// Whether a finding rests on the absence of the whole upstream leg, which may show up later in the capture.
#[must_use]
pub fn leg_is_missing(finding: &Finding) -> bool {
    let silent = matches!(
        finding.code,
        "gateway-raw-passthrough" | "gateway-truncated-relay"
    );
    finding.code == "upstream-leg-not-captured"
        || silent && finding.confidence == Confidence::Possible
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

fn not_captured(member: &Member, exchange: &ExchangeRecord) -> Conclusion {
    let mut conclusion = Conclusion::new("upstream-leg-not-captured", Confidence::Unknown);
    conclusion.reasons.push(format!(
        "{} sends nothing to anybody in this capture: its upstream leg was not captured",
        member.identified.gateway.endpoint.addr
    ));
    conclusion
        .reasons
        .extend(told_by_the_client_leg(member, exchange));
    conclusion.not_observable.push(
        "everything between the gateway and its upstreams: a filter such as `port 80 or port 443` drops upstreams on other ports, DNS and ICMP; capture on the gateway's host without it"
            .to_owned(),
    );
    conclusion
}

/// The gateway's connections to upstreams are in the capture, and what was said on them is not.
fn from_hidden(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
) -> Option<Conclusion> {
    let mut conclusion = match hidden::hides(timeline, member, None)? {
        Hidden::Connection(record) => hidden::behind_filter(timeline, member, record),
        Hidden::Servers => hidden::kept_out(),
    };
    conclusion
        .reasons
        .extend(told_by_the_client_leg(member, exchange));
    Some(conclusion)
}

/// What the client's leg alone tells of the cause (causes.md B.8): what the page says, and how long the answer took.
fn told_by_the_client_leg(member: &Member, exchange: &ExchangeRecord) -> Vec<String> {
    let page = member.identified.recognised.as_ref();
    let mut words = Vec::new();
    if let Some(page) = page.filter(|page| page.own_page)
        && let Some(code) = page.page_cause
    {
        words.push(match page.page_detail {
            Some(detail) => format!("the gateway's own error page says {code} ({detail})"),
            None => format!("the gateway's own error page says {code}"),
        });
    }
    let waited = member.suspect.at.time.nanos_since(exchange.asked_at().time);
    let product = member.identified.gateway.product;
    let equals = [Wait::Response, Wait::Connect]
        .map(|wait| default_words(product, wait, waited))
        .into_iter()
        .find(|words| !words.is_empty());
    words.push(format!(
        "the gateway answered after {}{}",
        millis(waited),
        equals.unwrap_or_default()
    ));
    words
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
