//! `dns-nxdomain`. In: the lookups of a gateway before an error. Out: the manual; the assignment
//! decides.
//!
//! The rule: only the whole set of searched names failing counts, and no connection may follow.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-nxdomain",
    family: Family::NameResolution,
    title: "The upstream's name does not exist in DNS",
    explanation: "The gateway asked for the upstream's name and the resolver answered that there \
     is no such name; no connection followed. With a search list several suffixed names fail \
     first, which is normal: only when all of them fail is it the cause.",
    signature: "Query from the gateway for the upstream's name; answer with RCODE 3; no SYN to an \
     upstream after it.",
    is_not: &[
        "dns-nodata: there the name exists without the wanted record type.",
        "dns-servfail: there the resolver could not find out.",
        "An NXDOMAIN for AAAA beside a good A answer is harmless.",
    ],
    contributing: &["Nothing: the resolver's answer explains itself."],
    root_causes: &[
        "A typing error in the gateway's upstream name.",
        "The service was deleted or renamed, or lives in another namespace.",
        "A private zone that is not attached to the gateway's network, or split-horizon DNS.",
        "An expired domain, or a record that automation removed.",
    ],
    next_steps: &[
        "Ask the gateway's own resolver from the gateway's own namespace: `dig @RESOLVER NAME A`.",
        "Check the search list: `cat /etc/resolv.conf`; try the fully qualified name with a final \
         dot.",
        "Kubernetes: `kubectl get svc -A | grep NAME`, and compare the namespace.",
    ],
    examine: Examine::Whole,
};
