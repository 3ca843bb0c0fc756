//! `dns-refused`. In: the lookups of a gateway before an error. Out: the manual; the assignment
//! decides.
//!
//! The rule: a refusal that another resolver made good is not the cause.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-refused",
    family: Family::NameResolution,
    title: "The resolver refused to answer",
    explanation: "The resolver answered REFUSED: by its policy it does not serve this client or \
     this name. No connection followed.",
    signature: "Query for the upstream's name; answer with RCODE 5; no SYN after it.",
    is_not: &[
        "dns-servfail: there the resolver tried and failed.",
        "dns-nxdomain: there it answered that the name does not exist.",
        "dns-timeout: there it does not answer at all.",
    ],
    contributing: &["Nothing: the resolver's answer explains itself."],
    root_causes: &[
        "The resolver's access list does not allow the gateway's address.",
        "The server is authoritative for other zones only and offers no recursion.",
        "The gateway uses the wrong resolver, or one of another view or network.",
        "A rate limit or a filter policy.",
    ],
    next_steps: &[
        "`dig @RESOLVER NAME` from the gateway's host and from a host that works.",
        "Check the access list of the resolver (allow-query, allow-recursion) for the gateway's \
         address.",
        "Check which resolver the gateway is configured with, apart from /etc/resolv.conf.",
    ],
    examine: Examine::Whole,
};
