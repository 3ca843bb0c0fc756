//! Attempts that got no further than the link: a neighbour was asked for, and nobody answered. In: the timeline and the
//! window of an error. Out: the attempt without a connection, and what is concluded of it.
//!
//! The rule (causes.md A.6, D.24): with an unresolved neighbour the SYN waits inside the host, so the questions are all
//! there is. Hosts ask for many neighbours; only what fits the request at its beginning and the error at its end counts,
//! and what names no upstream, as a router's address, makes a missing attempt likely and no more.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decode::segment::{IcmpError, IcmpReason};
use crate::diagnose::attempt::{Verdict, millis};
use crate::diagnose::candidate::{Candidate, Gateway, candidates};
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{AttemptReport, Confidence, Leg};
use crate::diagnose::hands::Hands;
use crate::diagnose::host::Host;
use crate::diagnose::neighbour::Question;
use crate::diagnose::timeline::Timeline;
use crate::flow::Endpoint;
use crate::frame::Mark;
use crate::time::Timestamp;

/// The code of this cause.
pub const CODE: &str = "neighbor-unresolved";

/// A gateway dials this soon after a request or after the failure before; the question leaves with the dial.
/// Nanoseconds.
const DIALS_NANOS: i64 = 50_000_000;
/// A question that was asked less than this before the end may be answered yet, nanoseconds.
const UNANSWERED_MIN_NANOS: i64 = 300_000_000;
/// Questions after which Linux gives up (mcast_solicit, ucast_solicit; RFC 4861, section 10: MAX_MULTICAST_SOLICIT).
const ROW: u32 = 3;
/// How long after the last question of a row a kernel gives up: a second, in ticks of a timer. Nanoseconds.
const GIVES_UP_NANOS: std::ops::Range<i64> = 800_000_000..1_300_000_000;
/// A gateway answers this soon after its kernel gave up, nanoseconds.
const ANSWERS_NANOS: i64 = 100_000_000;
/// How long after the last question the error may come while a gateway still waits for its own timer, nanoseconds.
const STILL_WAITS_NANOS: i64 = 1_300_000_000;
/// How far back a row of questions may have begun that other requests of the gateway wait for too, milliseconds.
const ROW_MILLIS: i64 = 4_000;
/// How far back the gateway's attempts are looked at to know whether the neighbour spoke, milliseconds.
const SPOKE_FROM_MILLIS: i64 = 60_000;
/// Most attempts that are looked at for that.
const ATTEMPTS_LOOKED_AT_MAX: usize = 256;

/// An attempt without a connection.
#[derive(Clone, Debug)]
pub struct Unresolved {
    /// The neighbour that did not answer: the upstream, or the next hop towards it.
    target: IpAddr,
    /// The upstream, where the kernel's own ICMP error names it.
    upstream: Option<Endpoint>,
    /// The first question.
    started: Mark,
    /// The kernel's ICMP error.
    ended: Option<Mark>,
    verdict: Verdict,
}

/// Concludes from an attempt that began with the request, where nothing else was seen of the gateway upstream.
#[must_use]
pub fn conclude(timeline: &Timeline, member: &Member, asked: Mark) -> Option<Conclusion> {
    let found = look(timeline, member, asked, member.suspect.at)?;
    Some(found.conclusion("the questions began with the request and no connection followed"))
}

/// Concludes from an attempt that began when the last one of a chain had failed, and that lasted until the error.
#[must_use]
pub fn after(timeline: &Timeline, member: &Member, chain: &Chain) -> Option<Conclusion> {
    let failed = chain.attempts.last()?.end?;
    let mut found = look(timeline, member, failed, member.suspect.at)?;
    if chain.runner_up.is_some() {
        found.verdict = found.verdict.at_most(
            Confidence::Likely,
            "the attempt before it may have been another request's",
        );
    }
    Some(found.conclusion("the questions began when the attempt before had failed"))
}

/// Takes off what another attempt leaves of a connection that nobody answered: one that got no further than the link may
/// be the one that counted, and the answer to the SYN may be missing.
pub fn rival(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    if last.end.is_some() {
        return;
    }
    let found = look(timeline, member, last.start, member.suspect.at);
    let sure = |found: &Unresolved| found.verdict.confidence >= Confidence::Likely;
    if let Some(found) = found.filter(sure) {
        let words = format!(
            "{} was asked for in vain meanwhile: an attempt there may be the one that counted",
            found.target
        );
        conclusion.at_most(Confidence::Possible, words);
    }
}

/// The attempt that began with the request and had failed when the first one of a chain began.
#[must_use]
pub fn before(
    timeline: &Timeline,
    member: &Member,
    asked: Mark,
    first: &Candidate,
) -> Option<AttemptReport> {
    let found = look(timeline, member, asked, first.start)?;
    let over = found.ended.is_some() || found.verdict.at.is_some();
    over.then(|| found.report("its failure was followed by the next attempt at once"))
}

/// Notes on a connection that nobody answered that its neighbour was asked for in vain meanwhile.
pub fn remark(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let gateway = &member.identified.gateway;
    let silent = matches!(
        last.code,
        Some("connect-timeout" | "response-timeout" | "head-timeout" | "tls-handshake-timeout")
    );
    let open = |host: &'_ Host| -> Vec<Question> {
        host.questions
            .open(last.start.time, member.suspect.at.time)
            .filter(|question| question.target == last.upstream.addr)
            .copied()
            .collect()
    };
    let questions: Vec<Question> = gateway
        .addrs
        .iter()
        .filter_map(|addr| timeline.host(gateway.vantage, *addr))
        .flat_map(open)
        .collect();
    let [first, .., _] = questions.as_slice() else {
        return;
    };
    if silent {
        conclusion.contributing.push(CODE);
        let words = format!("nobody on the link answers for {} any more", first.target);
        let verdict = Verdict::absent().proof_on(Leg::Link, first.at, words);
        conclusion.evidence.extend(verdict.evidence);
    }
}

/// A neighbour that the gateway's host asked for in vain between two moments, over a whole row: what an attempt that
/// is not there may have failed by before.
#[must_use]
pub fn in_vain(
    timeline: &Timeline,
    gateway: &Gateway,
    from: Timestamp,
    until: Timestamp,
) -> Option<Question> {
    let hosts = gateway.addrs.iter();
    let hosts = hosts.filter_map(|addr| timeline.host(gateway.vantage, *addr));
    hosts
        .flat_map(|host| host.questions.open(from, until))
        .filter(|question| question.nth + 1 >= ROW)
        .max_by_key(|question| question.at)
        .copied()
}

/// The attempt of this kind that fits best between `since` and `until`.
fn look(timeline: &Timeline, member: &Member, since: Mark, until: Mark) -> Option<Unresolved> {
    let gateway = &member.identified.gateway;
    let from = since.time.plus_millis(-SPOKE_FROM_MILLIS);
    // Few captures hold a question in vain, and judging attempts for each error of an outage took most of its time.
    let mut tried = None;
    let mut found: Vec<Unresolved> = Vec::new();
    for addr in &gateway.addrs {
        let Some(host) = timeline.host(gateway.vantage, *addr) else {
            continue;
        };
        let mut rows: BTreeMap<IpAddr, Vec<Question>> = BTreeMap::new();
        let earliest = since.time.plus_millis(-ROW_MILLIS);
        for question in host.questions.open(earliest, until.time) {
            rows.entry(question.target).or_default().push(*question);
        }
        for (target, questions) in rows {
            let scene = Scene {
                timeline,
                member,
                host,
                own: *addr,
                target,
                since,
                until,
            };
            let tried = tried.get_or_insert_with(|| {
                candidates(
                    timeline,
                    gateway,
                    (from, until.time),
                    ATTEMPTS_LOOKED_AT_MAX,
                    &Hands::default(),
                )
            });
            if !scene.spoke(tried) {
                found.extend(scene.judge(&questions));
            }
        }
    }
    // The surest; of two as sure, the one that began first.
    found.sort_by_key(|one| (std::cmp::Reverse(one.verdict.confidence), one.started));
    let mut found = found.into_iter();
    let best = found.next()?;
    Some(match found.next() {
        Some(other) if other.verdict.confidence == best.verdict.confidence => {
            let words = format!("{} was asked for in vain at the same time", other.target);
            let verdict = best.verdict.at_most(Confidence::Possible, words);
            Unresolved { verdict, ..best }
        }
        _ => best,
    })
}

/// One neighbour in the window of one error.
struct Scene<'a> {
    timeline: &'a Timeline,
    member: &'a Member,
    host: &'a Host,
    own: IpAddr,
    target: IpAddr,
    since: Mark,
    until: Mark,
}

impl Scene<'_> {
    /// Whether the neighbour was there after all: something of it was seen meanwhile, or a SYN went out to it.
    fn spoke(&self, tried: &[Candidate]) -> bool {
        let inside = |mark: Mark| mark >= self.since && mark <= self.until;
        let gateway = &self.member.identified.gateway;
        let heard = self.timeline.host(gateway.vantage, self.target);
        heard.and_then(|host| host.heard).is_some_and(inside)
            || tried
                .iter()
                .filter(|candidate| candidate.upstream.addr == self.target)
                .any(|candidate| {
                    let record = self.timeline.connection(candidate.id.connection);
                    let seen = record.and_then(|record| record.facts.from_server.last_seen);
                    inside(candidate.start) || seen.is_some_and(|seen| seen >= self.since)
                })
    }

    fn judge(&self, questions: &[Question]) -> Option<Unresolved> {
        let last = questions.last()?;
        let dialled = |question: &&Question| {
            let after = question.at.time.nanos_since(self.since.time);
            question.at >= self.since && after <= DIALS_NANOS && question.nth.is_multiple_of(ROW)
        };
        let own = questions.iter().find(dialled);
        let icmp = self.given_up_by_the_kernel();
        let since_last = self.until.time.nanos_since(last.at.time);
        let whole_row = (last.nth + 1).is_multiple_of(ROW) && GIVES_UP_NANOS.contains(&since_last);
        let waited = self.until.time.nanos_since(self.since.time) >= UNANSWERED_MIN_NANOS;
        let first = match own {
            Some(own) => own,
            // Another request's row, whose end this one met too.
            None if waited && (icmp.is_some() || whole_row) => questions
                .iter()
                .rev()
                .find(|one| one.nth.is_multiple_of(ROW))?,
            None => return None,
        };
        let asked = self.until.time.nanos_since(first.at.time) >= UNANSWERED_MIN_NANOS;
        if icmp.is_none() && !asked {
            return None;
        }
        let mut verdict = self.verdict(first, last, icmp);
        verdict = self.doubts(verdict, own, icmp, whole_row);
        if icmp.is_none() && !whole_row && since_last > STILL_WAITS_NANOS {
            let words = format!(
                "the error comes {} after the last question",
                millis(since_last)
            );
            verdict = verdict.at_most(Confidence::Possible, words);
        }
        Some(Unresolved {
            target: self.target,
            upstream: icmp.map(|error| error.quoted_destination),
            started: first.at,
            ended: icmp.map(|error| error.mark),
            verdict,
        })
    }

    /// The ICMP error by which the gateway's own kernel gives up the connection, shortly before the end.
    fn given_up_by_the_kernel(&self) -> Option<&IcmpError> {
        let inside = |error: &&IcmpError| {
            let before = self.until.time.nanos_since(error.mark.time);
            error.quoted_tcp
                && error.reporter == self.own
                && error.reason == IcmpReason::Host
                && error.mark >= self.since
                && (0..=ANSWERS_NANOS).contains(&before)
        };
        let errors = || self.host.stray_icmp.iter().filter(inside);
        let names_it = |error: &&IcmpError| error.quoted_destination.addr == self.target;
        errors().find(names_it).or_else(|| errors().next())
    }

    /// What was seen.
    fn verdict(&self, first: &Question, last: &Question, icmp: Option<&IcmpError>) -> Verdict {
        let protocol = if self.target.is_ipv4() {
            "ARP"
        } else {
            "neighbour discovery"
        };
        let mut verdict = match icmp {
            Some(error) => Verdict::seen(error.mark),
            None => Verdict::absent(),
        };
        verdict = verdict.detail(self.target.to_string()).proof_on(
            Leg::Link,
            first.at,
            format!(
                "the gateway's host asks for {} ({protocol}): nobody ever answers",
                self.target
            ),
        );
        if last.at > first.at {
            let times = last.nth.saturating_sub(first.nth);
            let words = format!("asked again ({times} more), still no answer, and no SYN has left");
            verdict = verdict.proof_on(Leg::Link, last.at, words);
        }
        if let Some(error) = icmp {
            let words = format!(
                "the gateway's own kernel gives up the connection to {}: host unreachable",
                error.quoted_destination
            );
            verdict = verdict.proof_on(Leg::Icmp, error.mark, words);
        }
        verdict
            .not(
                "connect-timeout",
                "no SYN is on the wire: it waits for the neighbour",
            )
            .not(
                "no-upstream-attempt",
                "the gateway's host asked for a neighbour it needs",
            )
    }

    /// Takes off what is not known.
    fn doubts(
        &self,
        mut verdict: Verdict,
        own: Option<&Question>,
        icmp: Option<&IcmpError>,
        whole_row: bool,
    ) -> Verdict {
        let vantage = self.member.identified.gateway.vantage;
        let host = self.timeline.host(vantage, self.target);
        match icmp {
            Some(error) if error.quoted_destination.addr != self.target => {
                let words = format!(
                    "the connection that the kernel gave up was to {}: {} is at most the next hop towards it",
                    error.quoted_destination, self.target
                );
                verdict = verdict.at_most(Confidence::Likely, words);
            }
            Some(_) => {}
            None if host.is_some_and(|host| !host.ports.is_empty()) && whole_row => {}
            None => {
                let words = format!(
                    "no packet names the upstream: {} may be it, or a router on the way to it",
                    self.target
                );
                verdict = verdict.at_most(Confidence::Likely, words);
            }
        }
        match (own, icmp) {
            (Some(own), None) if own.nth > 0 => {
                let words = "questions for this neighbour were going on before";
                verdict = verdict.at_most(Confidence::Likely, words);
            }
            (Some(_), _) => {}
            (None, Some(_)) => {
                let words =
                    "the questions began before this request, which waited for the same answer";
                verdict = verdict.at_most(Confidence::Likely, words);
            }
            (None, None) => {
                let words =
                    "the questions began before this request: they may have been for another";
                verdict = verdict.at_most(Confidence::Possible, words);
            }
        }
        if host
            .and_then(|host| host.heard)
            .is_some_and(|heard| heard > self.until)
        {
            let words = "the neighbour speaks later in the capture: its answer may be missing";
            verdict = verdict.at_most(Confidence::Possible, words);
        }
        if own.is_some_and(|own| self.another_asked(own.at)) {
            let words =
                "another request came in the same moment: the questions may be for that one";
            verdict = verdict.at_most(Confidence::Likely, words);
        }
        verdict
    }

    /// Whether another request that was open at `at`, and that nobody served, may have set off the question.
    fn another_asked(&self, at: Mark) -> bool {
        let gateway = &self.member.identified.gateway;
        let from = Mark {
            time: at.time.plus_nanos(-DIALS_NANOS),
            ..Mark::default()
        };
        self.timeline
            .served_on(gateway.vantage, gateway.endpoint.addr, from, at)
            .filter(|id| *id != self.member.suspect.exchange)
            .filter_map(|id| self.timeline.exchange(id))
            .any(|(_, other)| {
                let open = other.response_at.is_none_or(|answered| answered > at);
                open && other.status().is_none_or(|status| status >= 500)
            })
    }
}

impl Unresolved {
    fn report(&self, matched_by: &str) -> AttemptReport {
        AttemptReport {
            cause: Some(CODE),
            detail: Some(self.target.to_string()),
            upstream: self.upstream,
            connection: None,
            start: self.started.time,
            end: self.ended.map(|end| end.time),
            matched_by: vec![matched_by.to_owned()],
            frames: self
                .verdict
                .evidence
                .iter()
                .map(|evidence| evidence.mark)
                .collect(),
        }
    }

    fn conclusion(self, matched_by: &str) -> Conclusion {
        let mut conclusion = Conclusion::new(CODE, self.verdict.confidence);
        conclusion.attempts.push(self.report(matched_by));
        conclusion.upstream = self.upstream;
        conclusion.detail = self.verdict.detail;
        conclusion.reasons = self.verdict.reservations;
        conclusion.evidence = self.verdict.evidence;
        conclusion.ruled_out = self.verdict.ruled_out;
        if conclusion.confidence == Confidence::Certain {
            let words = "the questions began with the request, and the kernel gave up right before the error";
            conclusion.reasons.insert(0, words.to_owned());
        }
        conclusion
    }
}
