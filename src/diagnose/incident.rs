//! Incidents: failures of the same cause, gateway and upstream. In: findings. Out: incidents, and each
//! finding's incident id.
//!
//! The rule: an incident's id says what its findings share.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnose::contrast;
use crate::diagnose::finding::{Finding, Incident};
use crate::diagnose::habits::{self, Traits};
use crate::diagnose::restarts;
use crate::flow::Endpoint;

/// The id of a finding's incident: cause, gateway and upstream, so that it is the same in every capture of it, and whether
/// the finding is told early or late.
#[must_use]
pub fn id_of(finding: &Finding) -> String {
    let (code, gateway) = (finding.code, finding.exchange.connection.server);
    match finding.upstream {
        Some(upstream) => format!("{code}/{gateway}/{upstream}"),
        None => format!("{code}/{gateway}/-"),
    }
}

/// Folds findings (in order of time) into incidents, in order of their first finding.
#[must_use]
pub fn fold(findings: &mut [Finding]) -> Vec<Incident> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut incidents: Vec<Incident> = Vec::new();
    for finding in findings {
        finding.incident = id_of(finding);
        let place = *places
            .entry(finding.incident.clone())
            .or_insert(incidents.len());
        if place == incidents.len() {
            incidents.push(Incident {
                id: finding.incident.clone(),
                code: finding.code,
                gateway: finding.exchange.connection.server,
                upstream: finding.upstream,
                first: finding.at.time,
                last: finding.at.time,
                findings: Vec::new(),
                clients: 0,
                targets: 0,
                went_well: None,
                failed_there: None,
                in_common: Vec::new(),
            });
        }
        if let Some(incident) = incidents.get_mut(place) {
            incident.last = incident.last.max(finding.at.time);
            incident.findings.push(finding.id.clone());
        }
    }
    incidents
}

/// Counts whom each incident touched, and names what separates its failures from what went well.
pub fn compare(
    incidents: &mut [Incident],
    findings: &[Finding],
    habits: &habits::Register,
    restarts: &restarts::Register,
) {
    let mut members: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    let mut failed_at: BTreeMap<(Endpoint, Endpoint), u64> = BTreeMap::new();
    for finding in findings {
        members.entry(&finding.incident).or_default().push(finding);
        if let Some(upstream) = finding.upstream {
            let gateway = finding.exchange.connection.server;
            *failed_at.entry((gateway, upstream)).or_default() += 1;
        }
    }
    for incident in incidents {
        let Some(members) = members.get(incident.id.as_str()) else {
            continue;
        };
        let clients = members
            .iter()
            .map(|one| one.exchange.connection.client.addr);
        incident.clients = clients.collect::<BTreeSet<_>>().len() as u64;
        let targets = members
            .iter()
            .filter_map(|one| one.exchange.target.as_deref());
        let without_query = targets.map(|target| target.split('?').next().unwrap_or(target));
        incident.targets = without_query.collect::<BTreeSet<_>>().len() as u64;
        incident.failed_there = incident
            .upstream
            .and_then(|upstream| failed_at.get(&(incident.gateway, upstream)).copied());
        let Some(well) = members.iter().find_map(|one| habits.of(&one.traits.asker?)) else {
            continue;
        };
        incident.went_well = incident
            .upstream
            .map(|upstream| well.upstreams.get(&upstream).copied().unwrap_or(0));
        let failed: Vec<Traits> = members
            .iter()
            .map(|one| one.traits.clone().at(restarts, one.at.time))
            .collect();
        // Where the gateway has an address for each side, its clients are counted at the other.
        let served = members.iter().find_map(|one| habits.of(&one.traits.asked?));
        incident.in_common = contrast::common(&failed, well, served.unwrap_or(well));
    }
}
