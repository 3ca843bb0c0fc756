//! `icmp-host-unreachable`. In: an attempt whose SYN an ICMP host unreachable quotes. Out: the
//! verdict, with who sent it.
//!
//! The rule: the quoted packet decides which attempt is meant, never the outer addresses.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "icmp-host-unreachable",
    family: Family::Connect,
    title: "ICMP reported the upstream's host unreachable",
    explanation: "An ICMP host unreachable came back for the gateway's SYN. The last router knows \
     the network but cannot reach the host, usually because nobody answers ARP or neighbour \
     discovery for the address.",
    signature: "SYN; ICMP type 3 code 1 (IPv6: type 1 code 3) that quotes that SYN. It often \
     comes about 3 s late, after the router gave up on ARP. Repeated SYNs after it do not \
     contradict it.",
    is_not: &[
        "icmp-net-unreachable: there no route to the whole network exists.",
        "icmp-admin-prohibited: there the host may be well and a rule forbids.",
        "connect-timeout: there no device says anything.",
    ],
    contributing: &[
        "Nothing: the ICMP error quotes the SYN that it answers; a neighbour that the \
         reporting router asks for in vain lies on another link.",
    ],
    root_causes: &[
        "The upstream host is off, crashed or was replaced; the gateway holds its old address.",
        "Wrong address in the configuration or in DNS.",
        "Wrong VLAN, subnet mask or bridge: the host is not on that segment.",
        "A firewall rule that rejects with icmp-host-unreachable.",
    ],
    next_steps: &[
        "Ask the ICMP's sender: from there, `ip neigh show UPSTREAM` (FAILED or INCOMPLETE) and \
         `ping UPSTREAM`.",
        "Check that the address is the current one of the host: DNS, instance list, `kubectl get \
         pods -o wide`.",
        "Reload the gateway if it resolved the name only at start.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    attempt.icmp(IcmpReason::Host, "host unreachable")
}
