//! `connect-timeout`. In: an attempt whose SYNs nobody answered. Out: the verdict that the
//! connection never came about.
//!
//! The rule: an absence is claimed only where the capture would have shown the answer.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "connect-timeout",
    family: Family::Connect,
    title: "Nobody answered the connection attempt",
    explanation: "The gateway sent SYNs and got neither a SYN-ACK nor a reset nor an ICMP error, \
     until it gave up. Packets are dropped on the way there or back, or the host is not there. \
     Near the gateway a full accept queue looks the same.",
    signature: "SYN, then the same SYN again (same port, same sequence number) after about 1 s, 3 \
     s, 7 s; no SYN-ACK, no RST, no ICMP; the gateway stops and answers its client.",
    is_not: &[
        "connect-refused: there a reset arrives at once.",
        "icmp-host-unreachable: there a router says that it cannot deliver.",
        "response-timeout: there the connection is up and the request was sent.",
        "A SYN-ACK that is in the capture while SYNs go on means a one-way path, not silence.",
    ],
    root_causes: &[
        "A firewall, security group or network policy drops the packets.",
        "The address is wrong or its host is gone (replaced pod or instance, old DNS answer).",
        "The upstream's accept queue is full because its workers are stuck.",
        "The way back is broken: asymmetric route, a NACL without ephemeral ports, reverse path \
         filter.",
        "A NAT or connection tracking table is full.",
    ],
    next_steps: &[
        "From the gateway's host: `nc -vz -w 5 UPSTREAM PORT`, and `traceroute -T -p PORT \
         UPSTREAM`.",
        "See whether other connections to the same port succeeded at the same time: if so, \
         suspect load, not a firewall.",
        "On the upstream: `ss -ltn` (Recv-Q at Send-Q means a full queue) and `nstat -az \
         TcpExtListenOverflows TcpExtListenDrops`.",
        "Check drop rules both ways, including the ephemeral ports of the answer.",
        "Capture on the upstream too: SYNs that arrive there unanswered settle which side drops.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
