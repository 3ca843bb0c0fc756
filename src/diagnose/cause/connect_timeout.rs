//! `connect-timeout`. In: an attempt whose SYNs nobody answered. Out: the verdict that the
//! connection never came about.
//!
//! The rule: an absence is claimed only where the capture would have shown the answer.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
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
    contributing: &[
        "neighbor-unresolved: nobody on the link answered for the upstream's address any \
         more.",
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

/// A SYN that was sent less than this before the end is merely on its way, nanoseconds: round trips around
/// the world take 300 ms.
const UNANSWERED_MIN_NANOS: i64 = 300_000_000;

/// No stack repeats an unanswered SYN sooner, nanoseconds: the initial time-out is a second (RFC 6298, section 2.1), and
/// some systems are set to half of it.
const REPEATED_MIN_NANOS: i64 = 400_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let syns = &facts.from_client.syns;
    let (first, last) = (syns.first()?, syns.last()?);
    let waited = attempt.until.nanos_since(first.time);
    if attempt.connected()
        || attempt.outlived()
        || attempt.by_now(facts.from_server.reset).is_some()
        || attempt.by_now(facts.from_server.fin).is_some()
        || !attempt.connection.icmp.is_empty()
        || waited < UNANSWERED_MIN_NANOS
    {
        return None;
    }
    let mut verdict = Verdict::absent().proof(
        *first,
        format!("SYN to {}: no answer ever comes", facts.server),
    );
    if last != first {
        let times = syns.len().saturating_sub(1);
        verdict = verdict.proof(
            *last,
            format!("the SYN is sent again ({times} more), still no SYN-ACK, RST or ICMP"),
        );
    }
    if last != first && attempt.until.nanos_since(last.time) < UNANSWERED_MIN_NANOS {
        verdict = verdict.at_most(
            Confidence::Likely,
            "the last SYN was sent right before the end; its answer may be missing from the capture",
        );
    }
    if syns
        .get(1)
        .is_some_and(|second| second.time.nanos_since(first.time) < REPEATED_MIN_NANOS)
    {
        verdict = verdict.at_most(
            Confidence::Likely,
            "the SYN is sent again sooner than silence explains: something that the capture does not hold answered it",
        );
    }
    if last == first && attempt.server_unreachable {
        verdict = verdict.at_most(
            Confidence::Likely,
            "another SYN to this upstream was answered by an ICMP error; the one for this SYN may be missing from the capture",
        );
    }
    if facts.from_server.last_seen.is_some() {
        verdict = verdict.at_most(
            Confidence::Possible,
            "the upstream's address answers the SYN, though with no SYN-ACK and no RST: it may hold an older connection on these ports",
        );
    }
    // Only a sender that got no answer repeats its SYN.
    if last == first && !attempt.gateway_hears {
        verdict = verdict.at_most(
            Confidence::Likely,
            "nothing that is sent to this gateway from behind is in the capture: it may show one direction only",
        );
    }
    Some(
        verdict
            .not("connect-refused", "no RST came back")
            .not("icmp-host-unreachable", "no ICMP error quotes the SYN"),
    )
}
