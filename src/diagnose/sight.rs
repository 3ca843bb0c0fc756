//! One view of each failed exchange. In: suspects, of which several may be one exchange seen at several places.
//! Out: one of each, the view that is nearest to the gateway.
//!
//! The rule: a failure is told once, and never when another view shows that it was none.

use std::collections::BTreeMap;

use crate::diagnose::finding::Failure;
use crate::diagnose::record::ConnectionRecord;
use crate::diagnose::role::{Role, Told, role, uses_inside};
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;
use crate::protocol::observation::ExchangeId;

/// A suspect, and whether it is to be judged now.
pub type Due = (Suspect, bool);

/// Leaves one view of each exchange.
#[must_use]
pub fn one_of_each(timeline: &Timeline, told: &Told, suspects: Vec<Due>) -> Vec<Due> {
    let mut single = Vec::new();
    let mut folded: BTreeMap<ExchangeId, Vec<Due>> = BTreeMap::new();
    for (suspect, due) in suspects {
        if timeline
            .exchange(suspect.exchange)
            .is_some_and(|(_, exchange)| exchange.told)
        {
            continue;
        }
        let views = timeline.exchange_views(suspect.exchange);
        match views.iter().min() {
            Some(name) if views.len() > 1 => folded.entry(*name).or_default().push((suspect, due)),
            _ => single.push((suspect, due)),
        }
    }
    let chosen = folded
        .into_values()
        .filter_map(|views| choose(timeline, told, &views));
    single.extend(chosen);
    single.sort_by_key(|(suspect, _)| (suspect.at, suspect.exchange));
    single
}

fn choose(timeline: &Timeline, told: &Told, views: &[Due]) -> Option<Due> {
    let (first, _) = views.first()?;
    let all = timeline.exchange_views(first.exchange);
    let went_well = |id: &ExchangeId| {
        timeline
            .exchange(*id)
            .is_some_and(|(_, exchange)| exchange.went_well())
    };
    let relays = |id: &ExchangeId| {
        let suspect = Suspect {
            exchange: *id,
            ..*first
        };
        matches!(
            role(timeline, told, &suspect),
            Some(Role::UpstreamOfGateway)
        )
    };
    if all.iter().any(went_well) || all.iter().any(relays) {
        return None;
    }
    let has_status = |suspect: &Suspect| suspect.failure == Failure::Status;
    let status = views.iter().any(|(suspect, _)| has_status(suspect));
    let due = views.iter().any(|(_, due)| *due);
    views
        .iter()
        .map(|(suspect, _)| suspect)
        .filter(|suspect| !status || has_status(suspect))
        .max_by_key(|suspect| (nearness(timeline, told, suspect), suspect.exchange))
        .map(|suspect| (*suspect, due))
}

/// How near to the gateway a view is: first by what its server is seen to do, then the request's arrival, which is
/// last where it is read.
fn nearness(timeline: &Timeline, told: &Told, suspect: &Suspect) -> (u8, Mark) {
    let Some((connection, exchange)) = timeline.exchange(suspect.exchange) else {
        return (0, Mark::default());
    };
    let rank = match role(timeline, told, suspect) {
        Some(Role::Gateway(identified)) if identified.asks => {
            let inside = |same_machine: bool| {
                identified
                    .gateway
                    .addrs
                    .iter()
                    .filter_map(|addr| timeline.host(connection.facts.vantage, *addr))
                    .flat_map(|host| uses_inside(host, exchange.request_at, suspect.at))
                    .filter_map(|id| timeline.connection(id.connection))
                    .any(|record| {
                        is_own_attempt(timeline, connection, record)
                            && (!same_machine || record.facts.vantage == connection.facts.vantage)
                    })
            };
            2 + u8::from(inside(false)) + u8::from(inside(true))
        }
        Some(Role::Gateway(_)) => 1,
        _ => 0,
    };
    (rank, exchange.request_at)
}

/// Whether a connection was opened by the host itself and is not the client's, seen elsewhere.
fn is_own_attempt(
    timeline: &Timeline,
    client_leg: &ConnectionRecord,
    record: &ConnectionRecord,
) -> bool {
    !record.passed_on && !timeline.is_same(client_leg.facts.id, record.facts.id)
}
