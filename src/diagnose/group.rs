//! Failed exchanges of one gateway, judged together. In: suspects that are due. Out: findings, and failed
//! attempts that the client did not notice.
//!
//! The rule: attempts are given out once, so that in a crowd each failure has its own.

use std::collections::BTreeSet;

use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{Confidence, Finding};
use crate::diagnose::hands::Hands;
use crate::diagnose::inferred;
use crate::diagnose::nothing;
use crate::diagnose::record::{AttemptId, ExchangeRecord};
use crate::diagnose::scene::Scene;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::unresolved;
use crate::diagnose::verdict;

/// Judges the members of one gateway together.
pub fn judge(timeline: &mut Timeline, members: &[Member], hands: &Hands) -> Vec<Finding> {
    let Some(judged) = judged(timeline, members, hands) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (finding, claims) in judged {
        for id in claims {
            timeline.claim(id);
        }
        findings.extend(finding);
    }
    findings
}

/// What [`judge`] would say now, without giving any attempt away.
#[must_use]
pub fn preview(timeline: &Timeline, members: &[Member]) -> Vec<Finding> {
    let judged = judged(timeline, members, &Hands::default());
    let findings = judged.into_iter().flatten();
    findings.filter_map(|(finding, _)| finding).collect()
}

/// A finding, and the attempts of its exchange.
type Judged = (Option<Finding>, Vec<AttemptId>);

fn judged(timeline: &Timeline, members: &[Member], hands: &Hands) -> Option<Vec<Judged>> {
    let scene = Scene::gather(timeline, members, hands)?;
    let assignments = scene.assign(timeline, hands);
    let taken: BTreeSet<AttemptId> = assignments
        .iter()
        .flatten()
        .filter_map(|assignment| scene.candidates.get(assignment.candidate))
        .map(|candidate| candidate.id)
        .collect();
    let mut due: Vec<_> = scene.members.iter().zip(assignments).collect();
    due.retain(|((member, _), _)| member.due);
    let judged = hands.map(&due, |((member, exchange), assignment)| {
        let chain = scene.chain(timeline, member, exchange, assignment.clone(), &taken);
        inferred::holds(timeline, member, &chain).then(|| {
            let claims = chain.attempts.iter().map(|candidate| candidate.id);
            let finding = compose(timeline, member, exchange, &chain);
            (finding, claims.collect())
        })
    });
    Some(judged.into_iter().flatten().collect())
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
