//! `neighbor-unresolved`. In: questions for a neighbour's hardware address that nobody answered. Out: the manual;
//! `unresolved.rs` decides.
//!
//! The rule: the SYN that waits for the answer is never on the wire, so what is missing is told by the questions.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "neighbor-unresolved",
    family: Family::Connect,
    title: "Nobody on the link answered for the upstream",
    explanation: "The gateway's host asked its link for the hardware address of the upstream, or of \
     the router on the way to it, and nobody answered. The SYN waited for that answer and never left \
     the host: there is no connection in the capture.",
    signature: "After the request: ARP who-has (IPv6: neighbour solicitation) from the gateway's \
     address, again after 1 s and 2 s, no reply, no SYN. After 3 s Linux gives up: on `any` an ICMP \
     host unreachable from the gateway's address to itself, then the error. A gateway with a shorter \
     connect timeout gives up before that.",
    is_not: &[
        "connect-timeout: there the SYN is on the wire, so the neighbour was found.",
        "icmp-host-unreachable: there another device, a router, could not find the host.",
        "no-upstream-attempt: there nothing was asked for because of this request.",
        "Questions for hosts that the gateway does not need at that time are mere noise.",
    ],
    contributing: &["Nothing: questions that nobody answers explain themselves."],
    root_causes: &[
        "The upstream host is off, crashed, or was replaced; the gateway holds its old address.",
        "Wrong address, VLAN, subnet mask or bridge: the host is not on this link.",
        "The router of the route to the upstream is down (then all behind it fail at once).",
        "A security group, port isolation or ARP inspection drops the questions or the answers.",
    ],
    next_steps: &[
        "On the gateway: `ip neigh show ADDRESS` (FAILED or INCOMPLETE), `ip route get UPSTREAM` (is \
         it the upstream itself or the router that does not answer?).",
        "On the gateway: `arping -c 3 -I INTERFACE ADDRESS`, or `ndisc6 ADDRESS INTERFACE` for IPv6.",
        "Check that the address is the current one of the host: DNS, instance list, `kubectl get \
         pods -o wide`.",
        "Capture on the upstream's side of the switch: questions that do not arrive there are \
         dropped on the way.",
    ],
    examine: Examine::Whole,
};
