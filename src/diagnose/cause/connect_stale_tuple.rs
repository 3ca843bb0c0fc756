//! `connect-stale-tuple`. In: an attempt whose SYN was answered for an older connection on the same ports. Out: the
//! verdict.
//!
//! The rule: the answer acknowledges another number than the SYN's, so it is no answer to it.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "connect-stale-tuple",
    family: Family::Connect,
    title: "The upstream still held an older connection",
    explanation: "The gateway's SYN was answered by a plain ACK for another sequence number: the \
     upstream, or a device before it, still holds a connection with the same addresses and ports. \
     The gateway resets that one and tries again after a second; if its timer is shorter, or the \
     old state stays, the connect fails.",
    signature: "SYN; an ACK without SYN that acknowledges an unexpected number (challenge ACK, RFC \
     5961); RST from the gateway; the SYN again about 1 s later; no SYN-ACK before the gateway \
     gives up.",
    is_not: &[
        "connect-timeout: there nothing answers the SYN.",
        "connect-refused: there the SYN is answered by a RST.",
        "connect-half-open: there the answer is a SYN-ACK, and does not arrive.",
    ],
    contributing: &["Nothing: the answer to the SYN shows the old connection."],
    root_causes: &[
        "The gateway, or a NAT before the upstream, uses the same source port again too soon.",
        "Several gateways share one translated address, and their ports collide.",
        "The gateway was restarted or restored and forgot its connections; the upstream did not.",
        "A device on the way resets idle connections towards one side only.",
    ],
    next_steps: &[
        "On the upstream: `ss -tan 'dport = :PORT'` shows the connection that is still held.",
        "Give the gateway more source ports or addresses: `net.ipv4.ip_local_port_range`, more \
         addresses for translation.",
        "Let the gateway reuse connections, so that it needs fewer ports.",
        "On a NAT: compare its timeout for closed connections with the upstream's TIME_WAIT.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let challenge = facts.challenge.filter(|at| at.time <= attempt.until)?;
    if attempt.connected() || attempt.outlived() {
        return None;
    }
    let mut verdict = attempt.syns(Verdict::absent()).proof(
        challenge,
        format!(
            "{} answers with an ACK that belongs to an older connection on the same ports",
            facts.server
        ),
    );
    if let Some(reset) = attempt.by_now(facts.from_client.reset) {
        verdict = verdict.proof(reset.mark, "the gateway resets that older connection");
    }
    if let Some(again) = facts.from_client.syns.last().filter(|at| **at > challenge) {
        verdict = verdict.proof(*again, "the gateway sends its SYN again");
    }
    Some(
        verdict
            .not(
                "connect-timeout",
                "the SYN was answered, by an ACK that does not fit",
            )
            .not("connect-refused", "the upstream did not reset"),
    )
}
