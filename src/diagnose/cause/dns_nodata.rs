//! `dns-nodata`. In: the lookups of a gateway before an error. Out: the manual; the assignment
//! decides.
//!
//! The rule: an empty answer counts only when no other type gave an address.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-nodata",
    family: Family::NameResolution,
    title: "The upstream's name has no address of that type",
    explanation: "The resolver answered without an error and without an address: the name exists, \
     but not with the record type that the gateway asked for. No connection followed.",
    signature: "Query for A or AAAA; answer with RCODE 0, no address (often a SOA in the \
     authority section); no SYN after it.",
    is_not: &[
        "dns-nxdomain: there the name itself does not exist.",
        "dns-servfail: there the resolver could not find out.",
        "An empty AAAA beside a good A answer is harmless.",
    ],
    contributing: &["Nothing: the resolver's answer explains itself."],
    root_causes: &[
        "The name has only an AAAA and the gateway asks for A, or the reverse.",
        "A headless Kubernetes Service without ready endpoints.",
        "A name in the middle of the zone, or one with only MX or TXT records.",
        "A CNAME whose target has no address.",
    ],
    next_steps: &[
        "`dig @RESOLVER NAME A`, `dig @RESOLVER NAME AAAA`, `dig @RESOLVER NAME CNAME`.",
        "Check which IP families the gateway looks up (its resolver settings for IPv4 and IPv6).",
        "Kubernetes: `kubectl get endpointslices -l kubernetes.io/service-name=SERVICE`.",
    ],
    examine: Examine::Whole,
};
