//! `icmp-ttl-exceeded`. In: an attempt whose SYN an ICMP time exceeded quotes. Out: the verdict, with who sent it.
//!
//! The rule: the quoted packet decides which attempt is meant, never the outer addresses.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "icmp-ttl-exceeded",
    family: Family::Connect,
    title: "ICMP reported that the SYN ran out of hops",
    explanation: "An ICMP time exceeded came back for the gateway's SYN: it was passed on from \
     router to router until its hop count was used up. Mostly two routers send it back and forth; \
     rarely the hop count was too small from the start.",
    signature: "SYN; ICMP type 11 code 0 (IPv6: type 3 code 0) that quotes that SYN. Repeated SYNs \
     after it do not contradict it.",
    is_not: &[
        "icmp-net-unreachable: there a router says that it knows no way.",
        "icmp-host-unreachable: there the last router cannot deliver.",
        "A traceroute makes the same messages on purpose, for packets of its own.",
    ],
    contributing: &["Nothing: the ICMP error quotes the SYN that it answers."],
    root_causes: &[
        "A routing loop: two routers, or a router and a tunnel, each think that the other is next.",
        "A withdrawn network whose default route leads back.",
        "A hop count that was set too small on the gateway (`ip_default_ttl`, a TTL rule).",
    ],
    next_steps: &[
        "`traceroute -T -p PORT UPSTREAM` from the gateway: the same two addresses in turn are the \
         loop.",
        "Compare the routes of those two routers for the upstream's network.",
        "On the gateway: `sysctl net.ipv4.ip_default_ttl`, and rules that set the TTL.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    attempt.icmp(IcmpReason::TimeExceeded, "time to live exceeded in transit")
}
