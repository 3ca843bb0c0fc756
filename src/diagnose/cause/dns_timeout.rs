//! `dns-timeout`. In: the lookups of a gateway before an error. Out: the manual; the assignment
//! decides.
//!
//! The rule: silence is claimed only where the capture shows this resolver's traffic, or would show
//! it.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-timeout",
    family: Family::NameResolution,
    title: "The resolver did not answer",
    explanation: "The gateway asked for the upstream's name, repeated the question, and got no \
     answer before it gave up. An answer that came after that is too late, and still means this \
     cause.",
    signature: "Query; the same query again, often after 5 s; no answer (or one after the error); \
     no SYN after it.",
    is_not: &[
        "dns-servfail: there an answer came, and it was a failure.",
        "connect-timeout: there the name was resolved and the host is silent.",
        "A capture filter that drops port 53 hides answers too.",
    ],
    contributing: &[
        "Nothing: a query that nobody answers explains itself; questions that were sent again \
         are its evidence.",
    ],
    root_causes: &[
        "The resolver is down or overloaded.",
        "A firewall or network policy drops port 53, UDP or TCP.",
        "The gateway is configured with a resolver address that no longer exists.",
        "Connection tracking races or full tables drop UDP (exact delays of 5 s).",
    ],
    next_steps: &[
        "`dig +tries=1 +time=2 @RESOLVER NAME` from the gateway's namespace; again with `+tcp`.",
        "Check the resolver's health and query rate; Kubernetes: `kubectl -n kube-system get pods \
         -l k8s-app=kube-dns`.",
        "Check rules for port 53 both ways, and `conntrack -S` for insert_failed and drop.",
    ],
    examine: Examine::Whole,
};
