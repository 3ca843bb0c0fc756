//! Errors that are to be judged. In: suspects. Out: the same, one an exchange, in the groups in which they compete.

use std::collections::BTreeMap;

use crate::diagnose::conclusion::Member;
use crate::diagnose::host;
use crate::diagnose::role::Identified;
use crate::diagnose::suspect::Suspect;
use crate::flow::{Endpoint, Vantage};

/// Errors by the gateway that answered.
pub type Groups = BTreeMap<(Vantage, Endpoint), Vec<Member>>;

/// Puts a suspect into the group of its gateway.
pub fn add(groups: &mut Groups, suspect: Suspect, identified: Identified, due: bool) {
    let endpoint = identified.gateway.endpoint;
    let key = (
        host::whose(identified.gateway.vantage, endpoint.addr).0,
        endpoint,
    );
    groups.entry(key).or_default().push(Member {
        suspect,
        identified,
        due,
    });
}

/// One suspect an exchange: an error status that is also cut short is told once, by its status.
#[must_use]
pub fn dedup(mut suspects: Vec<Suspect>) -> Vec<Suspect> {
    suspects.sort_by_key(|suspect| (suspect.exchange, suspect.at));
    suspects.dedup_by_key(|suspect| suspect.exchange);
    suspects.sort_by_key(|suspect| (suspect.at, suspect.exchange));
    suspects
}
