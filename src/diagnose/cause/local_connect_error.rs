//! `local-connect-error`. In: an error whose page or whose own kernel says that no packet could leave. Out: the manual;
//! `nothing.rs` decides.
//!
//! The rule: nothing on the wire shows it, so it is claimed only where the gateway or its kernel tells it.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "local-connect-error",
    family: Family::Connect,
    title: "The gateway's own host refused to connect",
    explanation: "The gateway tried to connect and its own kernel refused: no route, no free port, \
     no file descriptor, or a rule on its own host. No packet left. The gateway's page says so, or \
     an ICMP error that the kernel sent to itself.",
    signature: "The error within a few milliseconds; no lookup, ARP or SYN; the page tells of an \
     immediate connect error, or the gateway's own address reports the upstream unreachable.",
    is_not: &[
        "no-upstream-attempt: the same silence, but nothing tells that a connect was tried.",
        "neighbor-unresolved: there the host asks its link for the upstream in vain.",
        "icmp-host-unreachable and its kin: there another host reports it.",
    ],
    contributing: &["Nothing: no packet leaves; the gateway's own host refused."],
    root_causes: &[
        "No route to the upstream's network on the gateway (errno 101 or 113).",
        "A rule on the gateway's own host rejects what leaves (errno 1, 13, or as ICMP).",
        "All source ports towards that upstream are in use (errno 99).",
        "File descriptors are used up (errno 24).",
        "The upstream is a Unix socket that is missing or not permitted (errno 2 or 13).",
    ],
    next_steps: &[
        "Read the errno in the gateway's log.",
        "On the gateway: `ip route get UPSTREAM`, `nft list ruleset`, also in its network \
         namespace.",
        "`ss -s` and `ss -tan dst UPSTREAM | wc -l` against `net.ipv4.ip_local_port_range`.",
        "`ulimit -n` of the gateway's process, and `ls /proc/PID/fd | wc -l`.",
    ],
    examine: Examine::Whole,
};
