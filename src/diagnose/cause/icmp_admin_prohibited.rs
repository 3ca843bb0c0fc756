//! `icmp-admin-prohibited`. In: an attempt whose SYN an ICMP "prohibited" quotes. Out: the verdict,
//! with who sent it.
//!
//! The rule: the quoted packet decides which attempt is meant, never the outer addresses.

use crate::decode::segment::IcmpReason;
use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "icmp-admin-prohibited",
    family: Family::Connect,
    title: "A firewall prohibited the connection by ICMP",
    explanation: "An ICMP \"administratively prohibited\" came back for the gateway's SYN. A \
     filter rule forbids this connection; the sender of the ICMP is the device that holds the \
     rule.",
    signature: "SYN; ICMP type 3 code 9, 10 or 13 (IPv6: type 1 code 1) that quotes that SYN. \
     Repeated SYNs after it do not contradict it.",
    is_not: &[
        "icmp-host-unreachable: there the host cannot be reached, and nobody forbids.",
        "connect-refused: there TCP itself refuses.",
        "connect-timeout: there the rule, if it is one, drops in silence.",
    ],
    contributing: &["Nothing: the ICMP error quotes the SYN that it answers."],
    root_causes: &[
        "The host firewall of the upstream does not allow the port (firewalld rejects this way).",
        "A router's access list does not allow gateway and upstream to talk.",
        "The gateway's address changed and the rules still hold the old one.",
    ],
    next_steps: &[
        "Look at the ICMP's source: equal to the upstream means its host firewall, else that \
         router.",
        "On the host: `firewall-cmd --list-all`, `nft list ruleset`; open the port for the \
         gateway's address.",
        "On a router: read its access list and its deny log at the time of the SYN.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    attempt.icmp(IcmpReason::AdminProhibited, "administratively prohibited")
}
