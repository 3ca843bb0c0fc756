//! Incidents: failures of the same cause, gateway and upstream. In: findings. Out: incidents, and each
//! finding's incident id.

use std::collections::BTreeMap;

use crate::diagnose::finding::{Finding, Incident};
use crate::flow::Endpoint;

type Key = (Endpoint, &'static str, Option<Endpoint>);

/// Folds findings (in order of time) into incidents, in order of their first finding.
#[must_use]
pub fn fold(findings: &mut [Finding]) -> Vec<Incident> {
    let mut by_key: BTreeMap<Key, usize> = BTreeMap::new();
    let mut incidents: Vec<Incident> = Vec::new();
    for finding in findings {
        let gateway = finding.exchange.connection.server;
        let next = incidents.len();
        let index = *by_key
            .entry((gateway, finding.code, finding.upstream))
            .or_insert(next);
        if index == next {
            incidents.push(Incident {
                id: format!("i{}", next + 1),
                code: finding.code,
                gateway,
                upstream: finding.upstream,
                first: finding.at.time,
                last: finding.at.time,
                findings: Vec::new(),
            });
        }
        if let Some(incident) = incidents.get_mut(index) {
            finding.incident.clone_from(&incident.id);
            incident.last = incident.last.max(finding.at.time);
            incident.findings.push(finding.id.clone());
        }
    }
    incidents
}
