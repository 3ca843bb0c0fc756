//! The attempts of one exchange. In: the last of them. Out: the failures that led to it, and what else lies in its window.

use std::collections::BTreeSet;

use super::Scene;
use crate::diagnose::assign::Assignment;
use crate::diagnose::candidate::{CLEAN_UP_MILLIS, Candidate, Standing};
use crate::diagnose::conclusion::{Chain, Member};
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::retry::{RETRY_PROMPT_NANOS, recovery};
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;

/// Most attempts of one exchange that are reported.
pub const CHAIN_MAX: usize = 16;
/// Attempts without a failure that are kept of one window, the latest.
const UNREAD_MAX: usize = 32;

impl Scene<'_> {
    /// The attempts of a member: its last one and the failures that led to it. `taken` are the last attempts
    /// of all members.
    pub fn chain(
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
                .fit(
                    timeline,
                    (member, exchange, self.turns.of_answer(member)),
                    given.candidate,
                    Some(taken),
                )
                .unwrap_or_else(|| given.fit.clone());
        }
        let mut attempts = Vec::new();
        let at = |index: usize| Some((index, self.candidates.get(index)?));
        let mut next = assignment
            .as_ref()
            .and_then(|assignment| at(assignment.candidate));
        while let Some((index, candidate)) = next {
            attempts.push(Candidate {
                start: candidate.begun_since(exchange.request_at),
                ..candidate.clone()
            });
            if attempts.len() >= CHAIN_MAX {
                break;
            }
            // A failure that was followed by a good attempt is nobody's error.
            let free = |(_, before): &(usize, &Candidate)| {
                !taken.contains(&before.id)
                    && recovery(timeline, before, &self.candidates).is_none()
            };
            next = self
                .predecessor(timeline, (index, candidate), exchange)
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
            .and_then(|assignment| self.candidates.get(assignment.runner_up?))
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
            .take(UNREAD_MAX)
            .cloned()
            .collect();
        found.reverse();
        found
    }
}
