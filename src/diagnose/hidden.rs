//! Upstream legs of which a filter let only segments with SYN, FIN or RST pass. In: the timeline. Out: whether a gateway's
//! leg is such a one, and what it tells all the same.
//!
//! The rule: sequence numbers prove how much was said and never what: what they leave open is said to be open.

use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, Evidence, Leg};
use crate::diagnose::record::ConnectionRecord;
use crate::diagnose::timeline::{HIDDEN_LOOKED_AT_MAX, Timeline};
use crate::frame::Mark;
use crate::tcp::event::ConnectionId;

/// An upstream leg of which a filter let only flags pass.
#[derive(Clone, Copy, Debug)]
pub enum Hidden<'t> {
    /// A connection that was in use while the exchange was open.
    Connection(&'t ConnectionRecord),
    /// Servers whose words were never seen: a connection that stayed open leaves no trace.
    Servers,
}

/// Whether a filter kept out what the gateway said to upstreams while the exchange was open, on connections other than
/// `known`.
#[must_use]
pub fn hides<'t>(
    timeline: &'t Timeline,
    member: &Member,
    known: Option<ConnectionId>,
) -> Option<Hidden<'t>> {
    if !timeline.hidden_seen {
        return None;
    }
    let gateway = &member.identified.gateway;
    let (_, exchange) = timeline.exchange(member.suspect.exchange)?;
    let (from, until) = (exchange.request_at, member.suspect.at);
    gateway.addrs.iter().find_map(|addr| {
        let host = timeline.host(gateway.vantage, *addr)?;
        let uses = host.uses.iter().rev();
        let record = uses
            .skip_while(|(start, _)| *start > until)
            .take(HIDDEN_LOOKED_AT_MAX)
            .filter(|(_, id)| Some(id.connection) != known)
            .filter_map(|(_, id)| timeline.connection(id.connection))
            .find(|record| record.was_hidden(from, until));
        match record {
            Some(record) => Some(Hidden::Connection(record)),
            None => (!host.hidden.is_empty()).then_some(Hidden::Servers),
        }
    })
}

/// Takes the doubt off the confidence that a connection leaves of which the capture does not show what was said.
pub fn weigh(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    match hides(timeline, member, Some(last.id.connection)) {
        Some(Hidden::Connection(record)) => conclusion.at_most(
            Confidence::Possible,
            format!(
                "a filter kept out what was said on a connection to {} at the same time: it may be the one that counted",
                record.facts.server
            ),
        ),
        Some(Hidden::Servers) => conclusion.at_most(
            Confidence::Likely,
            "a filter keeps out what the gateway says to other upstreams: one of them may be the one that counted",
        ),
        None => {}
    }
}

/// That what upstreams were asked was kept out of the capture.
#[must_use]
pub fn kept_out() -> Conclusion {
    let mut conclusion = Conclusion::new("upstream-leg-not-captured", Confidence::Unknown);
    conclusion.reasons.push(
        "a filter let only segments with SYN, FIN or RST of the gateway's connections to upstreams pass: a connection that stayed open leaves no trace"
            .to_owned(),
    );
    conclusion.not_observable.push(
        "what the gateway and its upstreams said to each other: add the upstreams' ports to the filter"
            .to_owned(),
    );
    conclusion
}

/// What a connection without its payload tells: who closed it, and when.
#[must_use]
pub fn behind_filter(
    timeline: &Timeline,
    member: &Member,
    record: &ConnectionRecord,
) -> Conclusion {
    let mut conclusion = kept_out();
    let facts = &record.facts;
    let server = facts.server;
    let closings = [
        (facts.from_server.fin, "closes", true),
        (facts.from_server.reset, "resets", true),
        (facts.from_client.fin, "closes", false),
        (facts.from_client.reset, "resets", false),
    ];
    let first = closings
        .into_iter()
        .filter_map(|(closing, verb, upstream)| Some((closing?, verb, upstream)))
        .min_by_key(|(closing, ..)| closing.mark);
    let inside = |mark: Mark| {
        timeline
            .exchange(member.suspect.exchange)
            .is_some_and(|(_, exchange)| mark >= exchange.request_at)
    };
    if let Some((closing, verb, upstream)) = first.filter(|(closing, ..)| inside(closing.mark)) {
        let who = if upstream {
            "the upstream"
        } else {
            "the gateway"
        };
        conclusion.evidence.push(Evidence {
            mark: closing.mark,
            leg: Leg::Upstream,
            summary: format!(
                "{who} {verb} the connection to {server}; {} bytes to it and {} from it were kept out of the capture",
                facts.from_client.hidden, facts.from_server.hidden
            ),
        });
    }
    conclusion
}
