//! `icmp-net-unreachable`. In: an attempt whose SYN an ICMP network unreachable quotes. Out: the
//! verdict, with who sent it.
//!
//! The rule: the quoted packet decides which attempt is meant, never the outer addresses.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "icmp-net-unreachable",
    family: Family::Connect,
    title: "ICMP reported no route to the upstream's network",
    explanation: "An ICMP network unreachable came back for the gateway's SYN: the router that \
     sent it has no route to the upstream's network. The path is missing, whatever the state of \
     the host.",
    signature: "SYN; ICMP type 3 code 0 (IPv6: type 1 code 0) that quotes that SYN. Repeated SYNs \
     after it do not contradict it.",
    is_not: &[
        "icmp-host-unreachable: there the network is known and the one host is not.",
        "connect-timeout: there the packets vanish without a word.",
        "no-upstream-attempt: a route that is missing on the gateway itself leaves no packet at \
         all.",
    ],
    contributing: &["Nothing: the ICMP error quotes the SYN that it answers."],
    root_causes: &[
        "A route is missing or was withdrawn: VPN or tunnel down, BGP session lost, peering not \
         set up.",
        "A wrong upstream address outside the networks that are known.",
        "IPv6 was chosen where only IPv4 is routed.",
        "A blackhole or reject route, set on purpose.",
    ],
    next_steps: &[
        "On the ICMP's sender: `ip route get UPSTREAM`.",
        "Check the tunnel, the peering or the routing session that should carry that network.",
        "If the upstream has A and AAAA records, try each: `curl -4 ...` and `curl -6 ...` from \
         the gateway.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    attempt.icmp(IcmpReason::Net, "network unreachable")
}
