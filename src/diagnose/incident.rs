//! Incidents: failures of the same cause, gateway and upstream. In: findings. Out: incidents, and each
//! finding's incident id.
//!
//! The rule: an incident keeps the id that its first judged finding was told with.

use std::collections::BTreeMap;

use crate::diagnose::finding::{Finding, Incident};
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
