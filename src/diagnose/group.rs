//! Failed exchanges of one gateway, judged together. In: suspects that are due. Out: findings, and failed
//! attempts that the client did not notice.
//!
//! The rule: attempts are given out once, so that in a crowd each failure has its own.

use std::collections::{BTreeSet, HashMap};

use crate::diagnose::assign::{Assignment, Case, assign};
use crate::diagnose::backlog::RECOUNT_NANOS;
use crate::diagnose::candidate::{
    CANDIDATES_MAX, CLEAN_UP_MILLIS, Candidate, Standing, candidates,
};
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{Confidence, Finding};
use crate::diagnose::fit::{Fit, fit};
use crate::diagnose::inferred;
use crate::diagnose::nothing;
use crate::diagnose::order::{Order, relayed};
use crate::diagnose::page;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::rewrites;
use crate::diagnose::sidecar;
use crate::diagnose::timeline::{SETTLED_KEPT_NANOS, Timeline};
use crate::diagnose::turns::Turns;
use crate::diagnose::unresolved;
use crate::diagnose::verdict;
use crate::frame::Mark;
use crate::protocol::observation::Protocol;

/// A retry follows its failure within this, nanoseconds: Envoy waits up to 25 ms before the first, 75 ms
/// before the second.
const RETRY_PROMPT_NANOS: i64 = 80_000_000;
/// The longest deliberate wait before a retry: HAProxy waits 1 s after a refused connect. Nanoseconds.
const RETRY_WAIT_NANOS: i64 = 1_300_000_000;
/// What it costs that an upstream connection belongs to the pool of another worker.
const OTHER_WORKER: f64 = 1.5;
/// How far back order and workers are learnt: as long as what went well is remembered. Milliseconds.
const LEARNT_FROM_MILLIS: i64 = SETTLED_KEPT_NANOS / 1_000_000;
/// Failed attempts that one exchange is compared with from each side (latest ends, first beginnings, nobody
/// answered): beyond, the gap alone rules a pairing out, and an outage of 100,000 errors stays near linear.
const NEAR_MAX: usize = 32;
/// Attempts that are looked at to find them.
const SCANNED_MAX: usize = 256;
/// Failed attempts that are looked at as the one before a retry.
const PREDECESSORS_MAX: usize = 16;
/// Most attempts of one exchange that are reported.
pub const CHAIN_MAX: usize = 16;

/// Judges the members of one gateway together.
pub fn judge(timeline: &mut Timeline, members: &[Member]) -> Vec<Finding> {
    let Some((findings, claims)) = judged(timeline, members) else {
        return Vec::new();
    };
    for id in claims {
        timeline.claim(id);
    }
    findings
}

/// What [`judge`] would say now, without giving any attempt away.
#[must_use]
pub fn preview(timeline: &Timeline, members: &[Member]) -> Vec<Finding> {
    judged(timeline, members).map_or(Vec::new(), |(findings, _)| findings)
}

fn judged(timeline: &Timeline, members: &[Member]) -> Option<(Vec<Finding>, Vec<AttemptId>)> {
    let scene = Scene::gather(timeline, members)?;
    let assignments = scene.assign(timeline);
    let taken: BTreeSet<AttemptId> = assignments
        .iter()
        .flatten()
        .filter_map(|assignment| scene.candidates.get(assignment.candidate))
        .map(|candidate| candidate.id)
        .collect();
    let mut findings = Vec::new();
    let mut claims = Vec::new();
    for ((member, exchange), assignment) in scene.members.iter().zip(assignments) {
        if !member.due {
            continue;
        }
        let chain = scene.chain(timeline, member, exchange, assignment, &taken);
        if !inferred::holds(timeline, member, &chain) {
            continue;
        }
        claims.extend(chain.attempts.iter().map(|candidate| candidate.id));
        findings.extend(compose(timeline, member, exchange, &chain));
    }
    Some((findings, claims))
}

/// Makes the finding of one exchange; `None` when nothing failed through the gateway's doing.
fn compose(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
    chain: &Chain,
) -> Option<Finding> {
    let client_leg = timeline.connection(member.suspect.exchange.connection)?;
    let step = timeline
        .clock
        .step_between(exchange.request_at, member.suspect.at);
    let conclusion = match (chain.attempts.last(), step) {
        (Some(last), _) => {
            let mut conclusion = from_chain(timeline, member, exchange, chain, last);
            if let Some(step) = step {
                conclusion.at_most(
                    Confidence::Likely,
                    format!("{} between the request and the error", step.words()),
                );
            }
            conclusion
        }
        (None, Some(step)) => nothing::untimed(step),
        (None, None) => {
            let mut conclusion = nothing::conclude(timeline, member, exchange, chain)?;
            if client_leg.is_lossy() {
                conclusion.at_most(
                    Confidence::Possible,
                    "the capture lost frames of the client's connection",
                );
            }
            if timeline.clocks.any_unknown() {
                conclusion.at_most(
                    Confidence::Possible,
                    "the clock of an input is unknown, so that attempts may stand elsewhere in it",
                );
            }
            conclusion
        }
    };
    Some(verdict::finding(
        timeline, member, client_leg, exchange, conclusion,
    ))
}

/// Concludes from a chain, with the attempts before and after it that left nothing but questions on the link.
fn from_chain(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
    chain: &Chain,
    last: &Candidate,
) -> Conclusion {
    if let Some(mut conclusion) = unresolved::after(timeline, member, chain) {
        let earlier = chain.attempts.iter();
        let earlier = earlier.map(|attempt| verdict::report_attempt(timeline, attempt, chain));
        conclusion.attempts.splice(0..0, earlier);
        return conclusion;
    }
    let mut conclusion = verdict::from_attempt(timeline, member, chain, last);
    let before = chain
        .attempts
        .first()
        .and_then(|first| unresolved::before(timeline, member, exchange.asked_at(), first));
    conclusion.attempts.splice(0..0, before);
    conclusion
}

/// All attempts of a gateway in the window of a group.
struct Scene<'a> {
    members: Vec<(&'a Member, &'a ExchangeRecord)>,
    /// By the moment at which they were sent at the latest.
    candidates: Vec<Candidate>,
    /// Failed ones with a moment of failure, by that moment.
    by_end: Vec<usize>,
    /// Failed ones without (nobody ever answered), in the order of `candidates`.
    endless: Vec<usize>,
    /// Those with a server error for an answer.
    erring: Vec<usize>,
    /// Method and target that each of `candidates` carries.
    carried: Vec<Option<(&'a str, &'a str)>>,
    order: Order,
    turns: Turns,
    /// Whether frames of any connection in it are missing.
    unsettled: bool,
    /// How far apart two machines may show one instant, nanoseconds.
    unsure: i64,
    /// How many members have asked each method and target.
    asked: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Scene<'a> {
    fn gather(timeline: &'a Timeline, members: &'a [Member]) -> Option<Self> {
        let members: Vec<(&Member, &ExchangeRecord)> = members
            .iter()
            .filter_map(|member| Some((member, timeline.exchange(member.suspect.exchange)?.1)))
            .collect();
        let open = members
            .iter()
            .map(|(_, exchange)| exchange.request_at)
            .min()?;
        let from = open.time.plus_millis(-1);
        let until = members
            .iter()
            .map(|(member, _)| member.suspect.at)
            .max()?
            .time;
        let gateway = &members.first()?.0.identified.gateway;
        // What was still to do when the first of them was asked counts too.
        let before = from.plus_nanos(-RECOUNT_NANOS);
        let mut found = candidates(timeline, gateway, before, until, CANDIDATES_MAX);
        let order = Order::measure(
            timeline,
            gateway,
            from.plus_millis(-LEARNT_FROM_MILLIS),
            until,
        );
        let turns = Turns::count(&members, &found, &order, before);
        let widest = timeline.clocks.widest();
        found.retain(|candidate| candidate.sent.time >= from.plus_nanos(-widest));
        // An answer that a client has got was not refused, however odd it is.
        let spoken_for = |candidate: &Candidate| {
            candidate.claimed || (candidate.whole && order.served.contains(&candidate.id))
        };
        found.retain(|candidate| !spoken_for(candidate));
        let failed = |ended: bool| {
            let found = &found;
            (0..found.len()).filter(move |index| {
                found.get(*index).is_some_and(|candidate| {
                    candidate.standing == Standing::Failed && candidate.end.is_some() == ended
                })
            })
        };
        let endless = failed(false).collect();
        let carried = found
            .iter()
            .map(|candidate| sent_with(timeline, candidate))
            .collect();
        let places = found.iter().enumerate();
        let erring = places
            .filter_map(|(place, candidate)| sidecar::erred(candidate).then_some(place))
            .collect();
        let mut by_end: Vec<usize> = failed(true).collect();
        by_end.sort_by_key(|index| {
            found
                .get(*index)
                .map(|candidate| (candidate.end, candidate.id))
        });
        let clients = members
            .iter()
            .map(|(member, _)| member.suspect.exchange.connection);
        let attempts = found.iter().map(|candidate| candidate.id.connection);
        let unsettled = members.len() > 1
            && clients
                .chain(attempts)
                .filter_map(|id| timeline.connection(id))
                .any(ConnectionRecord::is_lossy);
        let mut asked = HashMap::new();
        for (_, exchange) in &members {
            if let Some(request) = request_of(exchange) {
                *asked.entry(request).or_default() += 1;
            }
        }
        Some(Self {
            members,
            asked,
            candidates: found,
            by_end,
            endless,
            erring,
            carried,
            order,
            turns,
            unsettled,
            unsure: timeline.clocks.widest(),
        })
    }

    fn end_of(&self, index: usize) -> Option<Mark> {
        self.candidates.get(index)?.end
    }

    fn sent_with(&self, index: usize) -> Option<(&'a str, &'a str)> {
        self.carried.get(index).copied().flatten()
    }

    fn sent_at(&self, index: usize) -> Option<Mark> {
        Some(self.candidates.get(index)?.sent)
    }

    /// Gives each member its last attempt.
    fn assign(&self, timeline: &Timeline) -> Vec<Option<Assignment>> {
        let cases: Vec<Case<'_>> = self
            .members
            .iter()
            .map(|(member, exchange)| {
                let near = self.near(member, exchange);
                let fits = near
                    .into_iter()
                    .filter_map(|index| {
                        Some((index, self.fit(timeline, member, exchange, index, None)?))
                    })
                    .collect();
                Case {
                    suspect: member.suspect,
                    exchange,
                    fits,
                }
            })
            .collect();
        assign(&cases, &self.candidates, &self.order)
    }

    /// The failed attempts that are worth a comparison: those that ended last before the error, those that
    /// began first after the request, and those that nobody answered.
    fn near(&self, member: &Member, exchange: &ExchangeRecord) -> BTreeSet<usize> {
        let at = member.suspect.at.time.plus_millis(CLEAN_UP_MILLIS);
        let (at, asked) = (at.plus_nanos(self.unsure), exchange.request_at);
        let asked = asked.back_nanos(self.unsure);
        let ended = self
            .by_end
            .partition_point(|index| self.end_of(*index).is_some_and(|end| end.time <= at));
        let inside = |index: &usize| {
            self.sent_at(*index)
                .is_some_and(|start| start >= asked && start.time <= at)
        };
        let last = self
            .by_end
            .iter()
            .take(ended)
            .rev()
            .take(SCANNED_MAX)
            .copied()
            .filter(inside)
            .take(NEAR_MAX);
        let begun = self
            .candidates
            .partition_point(|candidate| candidate.sent < asked);
        let first = (begun..self.candidates.len())
            .take(SCANNED_MAX)
            .filter(|index| {
                self.candidates
                    .get(*index)
                    .is_some_and(|c| c.standing == Standing::Failed)
            })
            .filter(inside)
            .take(NEAR_MAX);
        let waited = self
            .endless
            .partition_point(|index| self.sent_at(*index).is_some_and(|start| start < asked));
        let silent = self
            .endless
            .iter()
            .skip(waited)
            .copied()
            .filter(inside)
            .take(NEAR_MAX);
        last.chain(first).chain(silent).collect()
    }

    /// How a candidate fits. `given` are the last attempts of all members once they are known; the words are wanted then.
    fn fit(
        &self,
        timeline: &Timeline,
        member: &Member,
        exchange: &ExchangeRecord,
        index: usize,
        given: Option<&BTreeSet<AttemptId>>,
    ) -> Option<Fit> {
        let candidate = self.candidates.get(index)?;
        if sidecar::is_of_a_neighbour(
            timeline,
            &member.identified.gateway,
            (&member.suspect, exchange),
            (&self.candidates, &self.erring),
            candidate,
        ) {
            return None;
        }
        let (trigger, before) = self.trigger(timeline, candidate, exchange, given);
        let product = member.identified.gateway.product;
        let mut fit = fit(
            timeline,
            &member.suspect,
            exchange,
            candidate,
            trigger,
            product,
            given.is_some(),
        )?;
        if let Some(before) = before {
            fit.retries(before, asked_before(candidate, exchange));
        }
        let client = member.suspect.exchange.connection;
        let start = candidate.begun_since(exchange.request_at).time;
        fit.order_cost += self.order.against(client, exchange.asked_at().time, start);
        if self.order.workers.same(client, candidate.id.connection) == Some(false) {
            fit.score -= OTHER_WORKER;
        }
        if candidate
            .code
            .and_then(|code| page::contradicts(member, code))
            == Some(true)
        {
            fit.take_contradiction();
        }
        self.weigh_request(timeline, &mut fit, exchange, (index, candidate));
        self.turns.weigh(&mut fit, (member, exchange), candidate);
        Some(fit)
    }

    /// Weighs whose request an attempt carries, among those that failed: most gateways pass the target on as it is.
    fn weigh_request(
        &self,
        timeline: &Timeline,
        fit: &mut Fit,
        exchange: &ExchangeRecord,
        (index, candidate): (usize, &Candidate),
    ) {
        let (Some(sent), Some(asked)) = (self.sent_with(index), request_of(exchange)) else {
            return;
        };
        let askers = self.asked.get(&sent).copied().unwrap_or(0);
        if sent == asked {
            fit.own = askers == 1;
        } else if askers > 0 && !is_rewritten(timeline, exchange, candidate) {
            fit.take_anothers_request();
        }
    }

    /// Whether a failed attempt cannot have been a part of `exchange` though it lies within: it carries another's request.
    fn is_anothers(
        &self,
        timeline: &Timeline,
        exchange: &ExchangeRecord,
        (index, candidate): (usize, &Candidate),
    ) -> bool {
        match (self.sent_with(index), request_of(exchange)) {
            (Some(sent), Some(asked)) => {
                sent != asked
                    && self.asked.contains_key(&sent)
                    && !is_rewritten(timeline, exchange, candidate)
            }
            _ => false,
        }
    }

    /// What set an attempt off inside an exchange: the request, or the failure of an attempt before it, which is named then.
    /// What is the last attempt of a member (`given`) led to no other.
    fn trigger(
        &self,
        timeline: &Timeline,
        candidate: &Candidate,
        exchange: &ExchangeRecord,
        given: Option<&BTreeSet<AttemptId>>,
    ) -> (Mark, Option<usize>) {
        let asked = asked_before(candidate, exchange);
        let free = |before: &Candidate| given.is_none_or(|given| !given.contains(&before.id));
        let before = self
            .predecessor(timeline, candidate, exchange)
            .and_then(|index| Some((index, self.candidates.get(index)?)))
            .filter(|(_, before)| free(before));
        match before.and_then(|(index, before)| Some((index, before.end?))) {
            Some((index, failed)) if failed > asked => (failed, Some(index)),
            _ => (asked, None),
        }
    }

    /// The failed attempt that `candidate` may be the retry of, inside `exchange`.
    fn predecessor(
        &self,
        timeline: &Timeline,
        candidate: &Candidate,
        exchange: &ExchangeRecord,
    ) -> Option<usize> {
        let start = candidate.begun_since(exchange.request_at);
        let since_asked = start.time.nanos_since(exchange.asked_at().time);
        let ended = self
            .by_end
            .partition_point(|index| self.end_of(*index).is_some_and(|end| end <= start));
        let begun = self
            .endless
            .partition_point(|index| self.sent_at(*index).is_some_and(|at| at < start));
        let fits = |index: usize, found: Option<(i64, AttemptId, usize)>| {
            let before = self.candidates.get(index)?;
            let gap = retry_gap(before, candidate)?;
            let fits = !before.whole
                && before.id != candidate.id
                && before.sent >= exchange.request_at
                && before.start < start
                && gap < since_asked
                && found.is_none_or(|(least, id, _)| (gap, before.id) < (least, id))
                && !self.is_anothers(timeline, exchange, (index, before));
            fits.then_some((gap, before.id, index))
        };
        let mut found: Option<(i64, AttemptId, usize)> = None;
        for index in latest(&self.by_end, ended) {
            // Those that ended last come first: gaps grow, and what is beyond the least is of no use.
            let gap = self
                .end_of(index)
                .map(|end| candidate.start.time.nanos_since(end.time));
            let useless =
                |gap: i64| gap >= since_asked || found.is_some_and(|(least, ..)| gap > least);
            if gap.is_none_or(useless) {
                break;
            }
            found = fits(index, found).or(found);
        }
        for index in latest(&self.endless, begun) {
            found = fits(index, found).or(found);
        }
        found.map(|(.., index)| index)
    }

    /// The attempts of a member: its last one and the failures that led to it. `taken` are the last attempts
    /// of all members.
    fn chain(
        &self,
        timeline: &Timeline,
        member: &Member,
        exchange: &ExchangeRecord,
        assignment: Option<Assignment>,
        taken: &BTreeSet<AttemptId>,
    ) -> Chain {
        let mut assignment = assignment;
        if let Some(given) = &mut assignment {
            // The words of the chosen pairing, which the comparison did without.
            given.fit = self
                .fit(timeline, member, exchange, given.candidate, Some(taken))
                .unwrap_or_else(|| given.fit.clone());
        }
        let mut attempts = Vec::new();
        let at = |index: usize| self.candidates.get(index);
        let mut next = assignment
            .as_ref()
            .and_then(|assignment| at(assignment.candidate));
        while let Some(candidate) = next {
            attempts.push(Candidate {
                start: candidate.begun_since(exchange.request_at),
                ..candidate.clone()
            });
            if attempts.len() >= CHAIN_MAX {
                break;
            }
            // A failure that was followed by a good attempt is nobody's error.
            let free = |before: &&Candidate| {
                !taken.contains(&before.id)
                    && recovery(timeline, before, &self.candidates).is_none()
            };
            next = self
                .predecessor(timeline, candidate, exchange)
                .and_then(at)
                .filter(free);
        }
        attempts.reverse();
        let unread = self.unread(timeline, member, exchange);
        let dangling = attempts
            .last()
            .and_then(|last| self.dangling(timeline, member, last, &unread));
        let torn = unread
            .iter()
            .rev()
            .find(|other| {
                let record = timeline.connection(other.id.connection);
                !other.whole && record.is_some_and(ConnectionRecord::is_lossy)
            })
            .cloned();
        let runner_up = assignment
            .as_ref()
            .and_then(|assignment| at(assignment.runner_up?))
            .cloned();
        Chain {
            attempts,
            assignment,
            runner_up,
            unsettled: self.unsettled,
            dangling,
            torn,
            unread,
        }
    }

    /// An attempt that began at once when `last` had failed, that no other client's request explains, and of
    /// which nothing more is seen after the error.
    fn dangling(
        &self,
        timeline: &Timeline,
        member: &Member,
        last: &Candidate,
        unread: &[Candidate],
    ) -> Option<Candidate> {
        let failed = last.end?;
        let prompt = |after: &&Candidate| {
            let gap = after.start.time.nanos_since(failed.time);
            after.standing == Standing::Open
                && !after.whole
                && (0..RETRY_PROMPT_NANOS).contains(&gap)
        };
        let ended = |after: &&Candidate| {
            timeline
                .connection(after.id.connection)
                .is_some_and(|record| {
                    let facts = &record.facts;
                    let seen = facts.from_client.last_seen.max(facts.from_server.last_seen);
                    seen.is_none_or(|seen| {
                        seen.time <= member.suspect.at.time.plus_millis(CLEAN_UP_MILLIS)
                    })
                })
        };
        let endpoint = member.identified.gateway.endpoint;
        let asked_by_another = |after: &&Candidate| {
            let until = after.start;
            let from = Mark {
                time: until.time.plus_nanos(-RETRY_PROMPT_NANOS),
                ..Mark::default()
            };
            timeline
                .served_on(
                    member.identified.gateway.vantage,
                    endpoint.addr,
                    from,
                    until,
                )
                .any(|id| {
                    id != member.suspect.exchange
                        && timeline.exchange(id).is_some_and(|(_, other)| {
                            other.response_at.is_none_or(|at| at > member.suspect.at)
                        })
                })
        };
        unread
            .iter()
            .filter(prompt)
            .filter(ended)
            .find(|after| !asked_by_another(after))
            .cloned()
    }

    /// What remains inside the window of an exchange without a failed attempt: answers that were whole,
    /// opaque or open, and that no served client explains.
    fn unread(
        &self,
        timeline: &Timeline,
        member: &Member,
        exchange: &ExchangeRecord,
    ) -> Vec<Candidate> {
        let (asked, answered) = (exchange.request_at, member.suspect.at);
        let from = self
            .candidates
            .partition_point(|candidate| candidate.sent < asked.back_nanos(self.unsure));
        let until = self
            .candidates
            .partition_point(|candidate| candidate.sent.back_nanos(self.unsure) <= answered);
        let other = |candidate: &&Candidate| {
            let unsure = timeline.clock_tolerance(answered.frame, candidate.start.frame);
            let unsure = unsure.unwrap_or(0);
            candidate.standing != Standing::Failed
                && candidate.sent >= asked.back_nanos(unsure)
                && candidate.sent.back_nanos(unsure) <= answered
                && candidate
                    .end
                    .is_none_or(|end| end.back_nanos(unsure) <= answered)
        };
        let inside = self.candidates.get(from..until).unwrap_or_default();
        let mut found: Vec<Candidate> = inside
            .iter()
            .rev()
            .filter(other)
            .take(NEAR_MAX)
            .cloned()
            .collect();
        found.reverse();
        found
    }
}

/// The last of a list before `until`, the latest first, as far as they are looked at.
fn latest(list: &[usize], until: usize) -> impl Iterator<Item = usize> + '_ {
    let list = list.get(..until).unwrap_or_default();
    list.iter().rev().take(PREDECESSORS_MAX).copied()
}

/// When `exchange` had asked for what `candidate` carries: its request was whole, or had begun.
fn asked_before(candidate: &Candidate, exchange: &ExchangeRecord) -> Mark {
    let start = candidate.begun_since(exchange.request_at);
    match exchange.request_end {
        Some(end) if end.how.is_complete() && end.at <= start => end.at,
        _ => exchange.asked_at().min(start.max(exchange.request_at)),
    }
}

/// Method and target that a client asked.
fn request_of(exchange: &ExchangeRecord) -> Option<(&str, &str)> {
    let head = exchange.request.as_ref()?;
    Some((&head.method, &head.target))
}

/// Method and target that an attempt carries.
fn sent_with<'t>(timeline: &'t Timeline, candidate: &Candidate) -> Option<(&'t str, &'t str)> {
    let record = timeline.connection(candidate.id.connection)?;
    request_of(record.exchange(candidate.id.index?)?)
}

/// Whether an attempt carries what this gateway is known to make of the client's request.
fn is_rewritten(timeline: &Timeline, exchange: &ExchangeRecord, candidate: &Candidate) -> bool {
    let attempt = candidate.id.index.and_then(|index| {
        timeline
            .connection(candidate.id.connection)?
            .exchange(index)
    });
    match (
        &exchange.request,
        attempt.and_then(|attempt| attempt.request.as_ref()),
    ) {
        (Some(asked), Some(sent)) => rewrites::seen(timeline, exchange, asked, sent).is_some(),
        _ => false,
    }
}

/// How long after the failure of `before` the attempt `next` began, nanoseconds, if it may be its retry: at
/// once, or after a deliberate wait at the same upstream. A SYN that nobody answered has no moment of
/// failure: there the next attempt ends the wait.
fn retry_gap(before: &Candidate, next: &Candidate) -> Option<i64> {
    /// The shortest connect timeout that is told from a SYN still on its way, nanoseconds.
    const CONNECT_WAIT_MIN_NANOS: i64 = 300_000_000;
    let Some(end) = before.end else {
        let waited = next.start.time.nanos_since(before.start.time);
        return (waited >= CONNECT_WAIT_MIN_NANOS && before.upstream != next.upstream)
            .then_some(waited);
    };
    let gap = next.start.time.nanos_since(end.time);
    let prompt =
        gap < RETRY_PROMPT_NANOS || (gap < RETRY_WAIT_NANOS && before.upstream == next.upstream);
    (end <= next.start && prompt).then_some(gap)
}

/// The good attempt that followed a failed one at once, with the same request: a retry that succeeded.
#[must_use]
pub fn recovery<'c>(
    timeline: &Timeline,
    failed: &Candidate,
    candidates: &'c [Candidate],
) -> Option<&'c Candidate> {
    let first = candidates.partition_point(|next| next.sent < failed.start);
    let soon = failed
        .end
        .unwrap_or(failed.start)
        .time
        .plus_nanos(RETRY_WAIT_NANOS);
    candidates
        .iter()
        .skip(first)
        .take_while(|next| failed.end.is_none() || next.sent.time <= soon)
        .filter(|next| next.whole || matches!(next.standing, Standing::Well | Standing::Opaque))
        .filter(|next| retry_gap(failed, next).is_some() && same_request(timeline, failed, next))
        .find(|next| retried_not_asked(timeline, failed, next))
}

/// Whether the failure explains the start of `next` better than a new request does: a client that had asked
/// before the failed attempt got the answer of `next`, and none that asked between can have got it.
fn retried_not_asked(timeline: &Timeline, failed: &Candidate, next: &Candidate) -> bool {
    let Some(record) = timeline.connection(next.id.connection) else {
        return false;
    };
    let Some(answer) = next.id.index.and_then(|index| record.exchange(index)) else {
        return false;
    };
    let end = failed.end.unwrap_or(failed.start);
    let served = |from: Mark, until: Mark| {
        timeline
            .served_on(record.facts.vantage, record.facts.client.addr, from, until)
            .any(|id| {
                id.connection != next.id.connection
                    && timeline.exchange(id).is_some_and(|(leg, client)| {
                        // What is encrypted on either leg cannot be compared.
                        if next.whole && leg.protocol != Some(Protocol::Tls) {
                            return relayed(timeline, client, answer);
                        }
                        client.response_at >= answer.response_at
                            && client.status().is_none_or(|status| status < 500)
                    })
            })
    };
    served(failed.start.back_seconds(130), failed.start)
        && (!served(end, next.start) || all_served(timeline, failed))
}

/// Whether every client that had asked the same before the failed request was sent, and had no answer when it
/// failed, was served: whosever the request was, it was repeated.
fn all_served(timeline: &Timeline, failed: &Candidate) -> bool {
    let Some(record) = timeline.connection(failed.id.connection) else {
        return false;
    };
    let Some(attempt) = failed.id.index.and_then(|index| record.exchange(index)) else {
        return false;
    };
    let asked = attempt
        .request
        .as_ref()
        .map(|head| (&head.method, &head.target));
    let end = failed.end.unwrap_or(failed.start);
    let mut open = timeline
        .served_on(
            record.facts.vantage,
            record.facts.client.addr,
            failed.start.back_seconds(130),
            failed.start,
        )
        .filter_map(|id| timeline.exchange(id))
        .map(|(_, client)| client)
        .filter(|client| {
            client
                .request
                .as_ref()
                .map(|head| (&head.method, &head.target))
                == asked
        })
        .filter(|client| client.response_at.is_none_or(|answered| answered > end))
        .peekable();
    open.peek().is_some() && open.all(|client| client.status().is_some_and(|status| status < 500))
}

fn same_request(timeline: &Timeline, one: &Candidate, other: &Candidate) -> bool {
    let head = |candidate: &Candidate| {
        let record = timeline.connection(candidate.id.connection)?;
        record
            .exchange(candidate.id.index?)?
            .request
            .as_ref()
            .map(|head| (head.method.clone(), head.target.clone()))
    };
    match (head(one), head(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
