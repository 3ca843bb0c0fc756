//! `upstream-leg-not-captured`. In: an error of a gateway whose upstream traffic the capture lacks.
//! Out: the manual.
//!
//! The rule: what cannot be seen is said, with the capture that would show it.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "upstream-leg-not-captured",
    family: Family::CouldNotTell,
    title: "The capture lacks the gateway's upstream side",
    explanation: "The error is in the capture, but no traffic of the gateway towards any upstream \
     is. The cause cannot be seen here; the client side still tells the product, the delay and \
     the page.",
    signature: "The error on the client leg; no connection and no lookup that the gateway's host \
     started, in the whole capture.",
    is_not: &[
        "no-upstream-attempt: there other attempts of the same gateway are in the capture.",
        "capture-gap: there the leg was captured, with holes.",
        "encrypted-inconclusive: there the leg is there and cannot be read.",
    ],
    contributing: &["Nothing: what lies between gateway and upstream is not in the capture."],
    root_causes: &[
        "The capture was taken on the wrong interface, or on the client's side.",
        "A capture filter (`port 80`, `host CLIENT`) excludes the upstream leg.",
        "The upstream is reached by a Unix socket, loopback or inside a container's own namespace.",
        "Gateway and upstream talk by an address that the capture point does not see (overlay, \
         NAT).",
    ],
    next_steps: &[
        "Capture on the gateway's host on all interfaces: `tcpdump -i any -s 0 -w gw.pcap`.",
        "Leave the filter out, or name all: `'host UPSTREAM or host CLIENT or port 53 or icmp or \
         icmp6'`.",
        "Container: capture in its namespace, `nsenter -t PID -n tcpdump -i any -w gw.pcap`.",
        "Unix socket: read the gateway's log; `ss -x` and `strace -e trace=connect,recvfrom -p \
         PID`.",
    ],
    examine: Examine::Whole,
};
