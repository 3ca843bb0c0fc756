//! From attempts to a finding. In: a failed exchange with the attempts it was given. Out: a finding.
//!
//! The rule: never more than the packets show. Each reservation takes a step off the confidence and is told.

use crate::diagnose::assign::Assignment;
use crate::diagnose::attempt::{Verdict, millis};
use crate::diagnose::auxiliary;
use crate::diagnose::candidate::Candidate;
use crate::diagnose::checks;
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{
    AttemptReport, Confidence, ConnectionName, Evidence, FailedExchange, Failure, Finding, Leg,
    Origin, RuledOut,
};
use crate::diagnose::gateway;
use crate::diagnose::habits::Traits;
use crate::diagnose::hidden;
use crate::diagnose::host::whose;
use crate::diagnose::inferred;
use crate::diagnose::naming::{asked_upstream, named};
use crate::diagnose::page;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::refine::refine;
use crate::diagnose::shown;
use crate::diagnose::sidecar;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::unresolved;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{ExchangeId, HttpVersion};

/// Below this margin two pairings that tell different stories are as good as each other.
const MARGIN_AMBIGUOUS: f64 = 0.25;
/// Below this margin the better pairing is only likely.
const MARGIN_LIKELY: f64 = 0.8;

/// Below this margin without what order says, order alone decides, and one turn of an event loop may take
/// what arrived together in any order.
const MARGIN_PLAIN: f64 = 0.3;

/// Concludes from the last failed attempt of a chain.
#[must_use]
pub fn from_attempt(
    timeline: &Timeline,
    member: &Member,
    chain: &Chain,
    last: &Candidate,
) -> Conclusion {
    let Some(verdict) = &last.verdict else {
        return Conclusion::new("ambiguous", Confidence::Unknown);
    };
    let code = last.code.unwrap_or("ambiguous");
    let mut conclusion = Conclusion::new(code, verdict.confidence);
    conclusion.detail.clone_from(&verdict.detail);
    conclusion.reasons.clone_from(&verdict.reservations);
    conclusion.evidence.clone_from(&verdict.evidence);
    conclusion.ruled_out.clone_from(&verdict.ruled_out);
    conclusion.contributing.clone_from(&verdict.contributing);
    conclusion.attempts = chain
        .attempts
        .iter()
        .map(|attempt| report_attempt(timeline, attempt, chain))
        .collect();
    conclusion.last = Some(last.clone());
    for earlier in chain.attempts.iter().rev().skip(1) {
        conclusion.evidence.extend(
            earlier
                .verdict
                .iter()
                .flat_map(|verdict| verdict.evidence.clone()),
        );
    }
    if let Some(assignment) = &chain.assignment {
        weigh_pairing(member, &mut conclusion, assignment, chain);
    }
    page::compare(member, &mut conclusion);
    if code == "upstream-returned-5xx"
        && let Some((_, answered)) = asked_upstream(timeline, last)
    {
        page::author(answered, &mut conclusion);
    }
    if let Some(after) = &chain.dangling {
        conclusion.at_most(
            Confidence::Possible,
            format!(
                "a later attempt, at {}, has no end in the capture: it may be the one that counted",
                after.upstream
            ),
        );
    }
    let identified = chain.assignment.as_ref().is_some_and(|it| it.fit.decisive);
    if let Some(other) = chain.torn.as_ref().filter(|_| !identified) {
        conclusion.at_most(
            Confidence::Likely,
            format!(
                "frames of another attempt, at {}, are missing from the capture: it may be the one that counted",
                other.upstream
            ),
        );
    }
    let sure = |assignment: &Assignment| assignment.fit.decisive || assignment.runner_up.is_none();
    if chain.unsettled && !chain.assignment.as_ref().is_some_and(sure) {
        conclusion.at_most(
            Confidence::Likely,
            "frames are missing around other exchanges of this moment, so that attempts may have been exchanged",
        );
    }
    if !identified {
        hidden::weigh(timeline, member, last, &mut conclusion);
    }
    weigh_loss(timeline, member, last, &mut conclusion);
    weigh_clocks(timeline, member, last, &mut conclusion);
    unresolved::remark(timeline, member, last, &mut conclusion);
    unresolved::rival(timeline, member, last, &mut conclusion);
    if was_not_repeated(timeline, member, last) {
        conclusion.at_most(
            Confidence::Likely,
            "a SYN that nobody answers is sent again after a second, and this one was not: its answer may be missing from the capture",
        );
    }
    if let Some(gap) = late_reaction(member, verdict) {
        conclusion.at_most(
            Confidence::Possible,
            format!(
                "the gateway answered only {} after its close: it may have closed one direction and gone on waiting",
                millis(gap)
            ),
        );
    }
    if member.identified.by_alias {
        conclusion.at_most(
            Confidence::Likely,
            "the gateway's upstream address differs from the one that its client used; it was recognised by the request",
        );
    }
    sidecar::weigh(timeline, member, last, &mut conclusion);
    refine(timeline, member, last, &mut conclusion);
    auxiliary::weigh(timeline, member, last, &mut conclusion);
    if checks::is_on_beat(timeline, last.id) {
        conclusion.at_most(
            Confidence::Likely,
            "the attempt falls on the beat of what the gateway does without clients, as health checks do",
        );
    }
    inferred::weigh(timeline, member, last, &mut conclusion);
    if conclusion.confidence == Confidence::Certain {
        conclusion.reasons.insert(0, why_certain(chain).to_owned());
    }
    conclusion
}

/// Whether a SYN that is said to have had no answer was sent only once though there was time for more.
fn was_not_repeated(timeline: &Timeline, member: &Member, last: &Candidate) -> bool {
    /// Any stack of today has sent a SYN again after this, nanoseconds (RFC 6298: 1 s).
    const SENT_AGAIN_NANOS: i64 = 1_500_000_000;
    let waited = member.suspect.at.time.nanos_since(last.start.time);
    let once = timeline
        .connection(last.id.connection)
        .is_some_and(|record| record.facts.from_client.syns.len() == 1);
    last.code == Some("connect-timeout") && once && waited > SENT_AGAIN_NANOS
}

/// How long after a close by which it is said to have given up the gateway answered, nanoseconds, where that is no
/// reaction to it any more.
fn late_reaction(member: &Member, verdict: &Verdict) -> Option<i64> {
    /// A gateway that gives up says so at once; a busy one within this, nanoseconds.
    const AT_ONCE_NANOS: i64 = 250_000_000;
    // Of an answer that is cut short nothing more can come after the close; Envoy keeps the client's connection for a
    // second longer.
    let cut = member.suspect.failure == Failure::TruncatedRelay;
    let closed = verdict.at.filter(|_| verdict.by_gateway && !cut)?;
    let gap = member.suspect.at.time.nanos_since(closed.time);
    (gap > AT_ONCE_NANOS).then_some(gap)
}

/// How each reason begins for which a conclusion about an attempt is certain.
pub const WHY_CERTAIN: &str = "the cause was seen, on";

/// What makes a conclusion certain (causes.md B.7).
fn why_certain(chain: &Chain) -> &'static str {
    match &chain.assignment {
        Some(assignment) if assignment.fit.decisive => {
            "the cause was seen, on the attempt that carries the same id as the request"
        }
        Some(assignment) if assignment.runner_up.is_none() => {
            "the cause was seen, on the only attempt that fits the exchange"
        }
        _ => {
            "the cause was seen, on the attempt that fits the exchange clearly better than every other"
        }
    }
}

/// Takes the doubt about the pairing off the confidence.
fn weigh_pairing(
    member: &Member,
    conclusion: &mut Conclusion,
    assignment: &Assignment,
    chain: &Chain,
) {
    let readable = chain.attempts.last().is_some_and(|last| last.whole);
    if assignment.fit.status_clash && readable {
        conclusion.ruled_out.push(RuledOut {
            code: conclusion.code,
            reason: "this product does not answer it with this status".to_owned(),
        });
        conclusion.code = "attempt-succeeded-but-error";
        conclusion.detail = None;
        conclusion.at_most(
            Confidence::Likely,
            "the upstream's answer is whole, and what is odd about it does not explain this status",
        );
    } else if assignment.fit.status_clash {
        conclusion.at_most(
            Confidence::Possible,
            "this product does not usually answer this cause with this status",
        );
    }
    if assignment.shared {
        conclusion.interchangeable = true;
        conclusion.at_most(
            Confidence::Likely,
            "this failed connect is another request's too: requests that wait for one connection fail with it",
        );
    }
    if assignment.fit.decisive {
        return;
    }
    // Of answers that cannot be read any may be no error at all; `inferred` names those that it may have been.
    let seen = member.suspect.failure != Failure::Suspected;
    if seen && assignment.contested < MARGIN_LIKELY {
        conclusion.at_most(
            Confidence::Possible,
            "another error, which is left without an attempt, fits this one as well: an attempt is missing from the capture",
        );
    }
    let rival = chain
        .runner_up
        .as_ref()
        .and_then(|rival| rival.code.map(|code| (code, rival.upstream)));
    if let Some((code, upstream)) = rival {
        let words = format!("{code} on {upstream} fits the same moment almost as well");
        if assignment.margin < MARGIN_AMBIGUOUS && code == conclusion.code {
            // Whichever it is, the cause is the same; only where it happened is not known.
            conclusion.at_most(Confidence::Possible, words);
        } else if assignment.margin < MARGIN_AMBIGUOUS {
            conclusion.ruled_out.push(RuledOut {
                code,
                reason: words.clone(),
            });
            conclusion.at_most(Confidence::Unknown, words);
            conclusion
                .reasons
                .push(format!("the best of them is {}", conclusion.code));
            conclusion.code = "ambiguous";
            conclusion.detail = None;
        } else if assignment.margin < MARGIN_LIKELY {
            conclusion.at_most(Confidence::Likely, words);
        } else if assignment.plain_margin < MARGIN_PLAIN {
            conclusion.at_most(
                Confidence::Likely,
                format!(
                    "only the order in which the gateway serves tells it from {code} on {upstream}"
                ),
            );
        } else {
            conclusion.ruled_out.push(RuledOut {
                code,
                reason: format!("another attempt, on {upstream}, fits less well in time"),
            });
        }
    }
    if assignment.alike {
        conclusion.interchangeable = true;
        conclusion.reasons.push("other attempts failed in the same way at the same upstream; which one was whose is immaterial".to_owned());
    }
}

fn weigh_loss(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let upstream = timeline.connection(last.id.connection);
    if let Some(record) = upstream
        && (record.lossy(Direction::ToClient) || record.lossy(Direction::ToServer))
    {
        let confidence = conclusion.confidence.weakened();
        conclusion.at_most(
            confidence,
            "the capture lost frames of the upstream connection",
        );
    }
    if let Some(record) = upstream
        && !record.facts.roles_known
    {
        let confidence = conclusion.confidence.weakened();
        conclusion.at_most(
            confidence,
            "the upstream connection began before the capture",
        );
    }
    if let Some(record) = upstream
        && timeline.is_cut_view(record)
    {
        let confidence = conclusion.confidence.weakened();
        conclusion.at_most(
            confidence,
            "the places where the upstream connection was seen do not show the same of it",
        );
    }
    let client = timeline.connection(member.suspect.exchange.connection);
    if [upstream, client]
        .into_iter()
        .flatten()
        .any(|record| record.facts.multipath)
    {
        conclusion.at_most(
            Confidence::Likely,
            "the connection is Multipath TCP, which gwcap does not follow: a part of its bytes may have taken another path",
        );
    }
    if client.is_some_and(|record| record.lossy(Direction::ToClient)) {
        let confidence = conclusion.confidence.weakened();
        conclusion.at_most(
            confidence,
            "the capture lost frames of the client's connection",
        );
    }
}

/// Takes the doubt about clocks off the confidence, where two machines captured the two legs.
fn weigh_clocks(
    timeline: &Timeline,
    member: &Member,
    last: &Candidate,
    conclusion: &mut Conclusion,
) {
    let (error, cause) = (member.suspect.at, last.end.unwrap_or(last.start));
    let gap = error.time.nanos_since(cause.time).saturating_abs();
    match timeline.clock_tolerance(error.frame, cause.frame) {
        None => conclusion.at_most(
            Confidence::Possible,
            "the legs are in captures of two machines, whose clocks could not be compared",
        ),
        Some(unsure) if unsure > gap => conclusion.at_most(
            conclusion.confidence.weakened(),
            format!(
                "the clocks of the two captures are only known to agree within {}, and the cause is {} from the error",
                millis(unsure),
                millis(gap)
            ),
        ),
        Some(_) => {}
    }
}

/// One attempt for the report.
#[must_use]
pub fn report_attempt(timeline: &Timeline, candidate: &Candidate, chain: &Chain) -> AttemptReport {
    let matched_by = match &chain.assignment {
        Some(assignment)
            if chain
                .attempts
                .last()
                .is_some_and(|last| last.id == candidate.id) =>
        {
            assignment.fit.reasons.clone().into_list()
        }
        _ => vec!["its failure was followed by the next attempt at once".to_owned()],
    };
    let mut frames = vec![candidate.start];
    if let Some(verdict) = &candidate.verdict {
        frames.extend(verdict.evidence.iter().map(|evidence| evidence.mark));
    }
    frames.sort_unstable();
    frames.dedup();
    AttemptReport {
        cause: candidate.code,
        detail: candidate
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.detail.clone()),
        upstream: Some(candidate.upstream),
        connection: timeline
            .connection(candidate.id.connection)
            .map(|record| name_with_views(timeline, record)),
        start: candidate.start.time,
        end: candidate.end.map(|end| end.time),
        matched_by,
        frames,
    }
}

/// The name of a connection for the report.
#[must_use]
pub fn connection_name(record: &ConnectionRecord) -> ConnectionName {
    ConnectionName {
        id: record.facts.id,
        client: record.facts.client,
        server: record.facts.server,
        tcp_stream: Some(record.stream_number),
        views: Vec::new(),
    }
}

/// The name of a connection with its other views.
fn name_with_views(timeline: &Timeline, record: &ConnectionRecord) -> ConnectionName {
    let mut name = connection_name(record);
    name.views
        .extend(timeline.other_views(record.facts.id).map(connection_name));
    name
}

/// Puts a conclusion beside its exchange.
#[must_use]
pub fn finding(
    timeline: &Timeline,
    member: &Member,
    client_leg: &ConnectionRecord,
    exchange: &ExchangeRecord,
    conclusion: Conclusion,
) -> Finding {
    let suspect = &member.suspect;
    let last = conclusion.last.as_ref();
    let upstream = last
        .map(|candidate| candidate.upstream)
        .or(conclusion.upstream);
    let mut evidence = conclusion.evidence;
    evidence.extend(client_evidence(member, exchange));
    evidence.sort_by(|a, b| (a.mark, a.leg, &a.summary).cmp(&(b.mark, b.leg, &b.summary)));
    evidence.dedup();
    let origin = match conclusion.code {
        "upstream-returned-5xx" | "relayed-nested" => Origin::Relayed,
        "upstream-leg-not-captured" | "ambiguous" | "capture-gap" | "encrypted-inconclusive"
            if !member
                .identified
                .recognised
                .as_ref()
                .is_some_and(|page| page.own_page) =>
        {
            Origin::Unknown
        }
        _ if suspect.failure == Failure::TruncatedRelay || suspect.failure == Failure::Raw => {
            Origin::Relayed
        }
        _ if suspect.failure == Failure::Suspected => Origin::Unknown,
        _ => Origin::Generated,
    };
    Finding {
        id: name_of(timeline, suspect),
        at: suspect.at,
        failure: suspect.failure,
        status: suspect.status,
        origin,
        exchange: failed_exchange(name_with_views(timeline, client_leg), exchange, suspect.at),
        gateway: named(timeline, member, exchange, last),
        code: conclusion.code,
        detail: conclusion.detail,
        confidence: conclusion.confidence,
        confidence_reasons: conclusion.reasons,
        contributing: conclusion.contributing,
        caused_by: caused_by(timeline, last),
        blames: conclusion.blamed,
        upstream,
        upstream_connection: last
            .and_then(|candidate| timeline.connection(candidate.id.connection))
            .map(|record| name_with_views(timeline, record)),
        interchangeable: conclusion.interchangeable,
        attempts: conclusion.attempts,
        evidence,
        ruled_out: conclusion.ruled_out,
        not_observable: conclusion.not_observable,
        incident: String::new(),
        traits: traits_of(timeline, client_leg, last),
        handshake: last
            .and_then(|candidate| timeline.connection(candidate.id.connection))
            .and_then(|record| shown::handshake(record, &timeline.trust))
            .map(Box::new),
    }
}

/// A finding's id: the frame of its error, and the exchange where one frame carries several.
#[must_use]
pub fn finding_id(at: Mark, exchange: ExchangeId) -> String {
    format!(
        "f{}-{}-{}",
        at.frame.input(),
        at.frame.number(),
        exchange.index
    )
}

/// What may tell a failed attempt from those that went well.
fn traits_of(
    timeline: &Timeline,
    client_leg: &ConnectionRecord,
    last: Option<&Candidate>,
) -> Traits {
    let known = last.and_then(|candidate| {
        let record = timeline.connection(candidate.id.connection)?;
        let exchange = candidate.id.index.and_then(|index| record.exchange(index));
        Some((record, exchange))
    });
    let traits = match known {
        Some((record, Some(exchange))) => Traits::of(record, exchange),
        Some((record, None)) => Traits::of_connection(record),
        None => Traits::default(),
    };
    let facts = &client_leg.facts;
    Traits {
        asked: Some(whose(facts.vantage, facts.server.addr)),
        client: Some(facts.client.addr),
        ..traits
    }
}

/// The id of a finding, the same whichever view of its exchange is told.
fn name_of(timeline: &Timeline, suspect: &Suspect) -> String {
    let first = timeline
        .exchange_views(suspect.exchange)
        .into_iter()
        .filter(|_| suspect.failure == Failure::Status)
        .filter_map(|id| timeline.exchange(id))
        .filter_map(|(_, exchange)| Some((exchange.response_at?, exchange.id)))
        .min();
    let (at, id) = first.unwrap_or((suspect.at, suspect.exchange));
    finding_id(at, id)
}

/// The inner gateway's error that was relayed, by its id.
fn caused_by(timeline: &Timeline, last: Option<&Candidate>) -> Option<String> {
    let candidate = last.filter(|candidate| candidate.code == Some("upstream-returned-5xx"))?;
    let (record, inner) = asked_upstream(timeline, candidate)?;
    let host = timeline.host(record.facts.vantage, record.facts.server.addr)?;
    let own_page = inner
        .response
        .as_ref()
        .and_then(|head| gateway::recognise(head, &inner.body_prefix))
        .is_some_and(|(_, recognised)| recognised.own_page);
    let is_gateway = host.opened > 0 || own_page;
    let suspect = Suspect {
        exchange: inner.id,
        failure: Failure::Status,
        status: inner.status(),
        at: inner.response_at.unwrap_or(inner.request_at),
    };
    is_gateway.then(|| name_of(timeline, &suspect))
}

fn failed_exchange(
    connection: ConnectionName,
    exchange: &ExchangeRecord,
    response: Mark,
) -> FailedExchange {
    let head = exchange.request.as_ref();
    FailedExchange {
        connection,
        index: exchange.id.index,
        method: head.map(|head| head.method.to_string()),
        target: head.map(|head| head.target.to_string()),
        host: head
            .and_then(|head| head.host())
            .map(|host| host.into_owned()),
        http_version: head.map(|head| match head.version {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
        }),
        request: exchange.request_at,
        response,
    }
}

fn client_evidence(member: &Member, exchange: &ExchangeRecord) -> Vec<Evidence> {
    let suspect = &member.suspect;
    let name = member.identified.name.product.unwrap_or("the gateway");
    let sealed = suspect.failure == Failure::Suspected;
    let line = exchange.request.as_ref().map_or_else(
        || {
            if sealed {
                "an encrypted request"
            } else {
                "request"
            }
            .to_owned()
        },
        |head| format!("{} {}", head.method, head.target),
    );
    let took = millis(suspect.at.time.nanos_since(exchange.request_at.time));
    let answer = match (suspect.failure, suspect.status) {
        (Failure::Status, Some(status)) => format!("{name} answers {status} after {took}"),
        (Failure::SilentClose, _) => {
            format!("{name} closes the connection without a byte of an answer after {took}")
        }
        (Failure::Raw, _) => format!("{name} passes on bytes without an HTTP head after {took}"),
        (Failure::TruncatedRelay, Some(status)) => {
            format!("{name} cuts its {status} answer short after {took}")
        }
        (Failure::Suspected, _) if exchange.response_at.is_none() => {
            format!("{name} closes the encrypted connection after {took}")
        }
        (Failure::Suspected, _) => format!("{name} sends something encrypted after {took}"),
        _ => format!("{name} ends the exchange after {took}"),
    };
    vec![
        Evidence {
            mark: exchange.request_at,
            leg: Leg::Client,
            summary: format!("the client asks: {line}"),
        },
        Evidence {
            mark: suspect.at,
            leg: Leg::Client,
            summary: answer,
        },
    ]
}
