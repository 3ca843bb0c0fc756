//! Names that DNS gave to addresses. In: answers. Out: the first name of each address.
//!
//! The rule: bounded; an address that many names lead to keeps the one that was answered first.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::loss::{Loss, LossName};
use crate::protocol::observation::Seen;

/// Most addresses whose names are remembered: a gateway has fewer upstreams.
pub const NAMES_MAX: usize = 4096;
/// Names from DNS answers beyond [`NAMES_MAX`].
const NAMES_NOT_KEPT: LossName = "names_from_dns_not_kept";

/// Notes the name of an answer that gives addresses.
pub fn note(names: &mut BTreeMap<IpAddr, String>, what: &Seen, loss: &mut Loss) {
    let Seen::Answer(answer) = what else { return };
    for addr in &answer.addresses {
        if names.contains_key(addr) {
            continue;
        }
        if names.len() >= NAMES_MAX {
            loss.add(NAMES_NOT_KEPT, 1);
        } else {
            names.insert(*addr, answer.name.to_string());
        }
    }
}
