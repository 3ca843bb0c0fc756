//! Incidents: failures of the same cause, gateway and upstream. In: findings. Out: incidents, and each
//! finding's incident id.
//!
//! The rule: an incident keeps the id that its first judged finding was told with.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnose::contrast;
use crate::diagnose::finding::{Finding, Incident};
use crate::diagnose::habits::{self, Traits};
use crate::flow::Endpoint;

type Key = (Endpoint, &'static str, Option<Endpoint>);

/// The incidents so far, by what their findings share.
#[derive(Debug, Default)]
pub struct Register {
    numbers: BTreeMap<Key, usize>,
}

impl Register {
    /// The id of a finding's incident: a new one for the first of its kind.
    pub fn id_of(&mut self, finding: &Finding) -> String {
        let gateway = finding.exchange.connection.server;
        let next = self.numbers.len() + 1;
        let number = self
            .numbers
            .entry((gateway, finding.code, finding.upstream))
            .or_insert(next);
        format!("i{number}")
    }

    /// The id that a finding's incident has, or would have as the next one.
    #[must_use]
    pub fn peek(&self, finding: &Finding) -> String {
        let key = (
            finding.exchange.connection.server,
            finding.code,
            finding.upstream,
        );
        let number = self.numbers.get(&key);
        format!("i{}", number.copied().unwrap_or(self.numbers.len() + 1))
    }

    /// Folds findings (in order of time) into incidents, in order of their first finding.
    #[must_use]
    pub fn fold(&mut self, findings: &mut [Finding]) -> Vec<Incident> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut incidents: Vec<Incident> = Vec::new();
        for finding in findings {
            finding.incident = self.id_of(finding);
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
}

/// Counts whom each incident touched, and names what separates its failures from what went well.
pub fn compare(incidents: &mut [Incident], findings: &[Finding], habits: &habits::Register) {
    let mut members: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        members.entry(&finding.incident).or_default().push(finding);
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
        let Some(well) = members.iter().find_map(|one| habits.of(&one.traits.asker?)) else {
            continue;
        };
        incident.went_well = incident
            .upstream
            .map(|upstream| well.upstreams.get(&upstream).copied().unwrap_or(0));
        let failed: Vec<&Traits> = members.iter().map(|one| &one.traits).collect();
        incident.in_common = contrast::common(&failed, well);
    }
}
