//! `icmp-port-unreachable`. In: an attempt whose SYN an ICMP port unreachable quotes. Out: the
//! verdict, with who sent it.
//!
//! The rule: the quoted packet decides which attempt is meant, never the outer addresses.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "icmp-port-unreachable",
    family: Family::Connect,
    title: "ICMP reported the upstream's port unreachable",
    explanation: "An ICMP port unreachable came back for the gateway's SYN. A plain TCP host \
     would answer with a reset, so this is the signature of a firewall rule that rejects; the \
     sender of the ICMP names the device.",
    signature: "SYN; ICMP type 3 code 3 (IPv6: type 1 code 4) that quotes that SYN's addresses, \
     ports and sequence number. One or more repeated SYNs after it do not contradict it.",
    is_not: &[
        "connect-refused: the same meaning, but by a TCP reset: no listener rather than a rule.",
        "icmp-admin-prohibited: there the rule says openly that it forbids.",
        "connect-timeout: nothing comes back at all. ICMP is limited in rate, so in a burst some \
         failures may look like that.",
    ],
    contributing: &["Nothing: the ICMP error quotes the SYN that it answers."],
    root_causes: &[
        "A firewall on the upstream rejects with its default answer (iptables REJECT).",
        "A Kubernetes Service without ready endpoints: kube-proxy installs a reject rule.",
        "A router or security appliance on the way rejects on behalf of the host.",
    ],
    next_steps: &[
        "Look at the ICMP's source: the upstream itself means its host firewall, else that router.",
        "On that device: `nft list ruleset | grep -i reject`, `iptables -S | grep REJECT`.",
        "Kubernetes: `kubectl get endpointslices -l kubernetes.io/service-name=SERVICE`; empty \
         means not ready.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    attempt.icmp(IcmpReason::Port, "port unreachable")
}
