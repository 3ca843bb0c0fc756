//! `dns-servfail`. In: the lookups of a gateway before an error. Out: the manual; the assignment
//! decides.
//!
//! The rule: a failure that another resolver made good is not the cause.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-servfail",
    family: Family::NameResolution,
    title: "The resolver failed on the upstream's name",
    explanation: "The resolver answered that it failed. It says nothing of whether the name \
     exists: the fault lies between the resolver and the name's own servers, or in DNSSEC. No \
     connection followed.",
    signature: "Query for the upstream's name; answer with RCODE 2, possibly from several \
     resolvers; no SYN after it.",
    is_not: &[
        "dns-nxdomain: there the answer is definite.",
        "dns-refused: there the resolver does not want to answer.",
        "dns-timeout: there it does not answer at all.",
    ],
    contributing: &[
        "Nothing: the resolver's answer explains itself; what failed behind the resolver is \
         in no packet here.",
    ],
    root_causes: &[
        "The zone's own name servers are down or unreachable from the resolver.",
        "DNSSEC validation fails: expired signatures, a wrong DS record.",
        "A forwarding loop, or an overloaded cluster resolver (CoreDNS).",
        "A delegation that points to servers that do not serve the zone.",
    ],
    next_steps: &[
        "`dig @RESOLVER NAME` and `dig +cd @RESOLVER NAME`: only the second works means DNSSEC.",
        "`dig +trace NAME` from the resolver's host; read its log.",
        "Look for an Extended DNS Error (EDE) in the answer: it names the reason.",
    ],
    examine: Examine::Whole,
};
