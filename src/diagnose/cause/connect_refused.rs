//! `connect-refused`. In: an attempt whose SYN was answered by a reset. Out: the verdict that
//! nothing listens there.
//!
//! The rule: only a RST in answer to a SYN counts; a reset after the handshake is another cause.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "connect-refused",
    family: Family::Connect,
    title: "The upstream refused the connection",
    explanation: "The gateway sent a SYN and the upstream's address answered with a reset. A host \
     is up and reachable there, but no process accepts connections on that port, or a firewall \
     rule answers in its place.",
    signature: "SYN from the gateway; RST with ACK (ack = SYN's sequence + 1, window 0) from the \
     upstream, normally within one round trip; no payload in either direction.",
    is_not: &[
        "connect-timeout: there nobody answers the SYN; here an answer came at once.",
        "connect-reset-after-accept: there the handshake completes before the reset.",
        "icmp-port-unreachable: the same refusal, but said by ICMP instead of by TCP.",
        "Not a security group or a NACL of a cloud: those drop in silence.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The upstream process is down, restarting or not yet listening.",
        "The gateway dials the wrong port (container port, Service targetPort, changed config).",
        "The process listens on 127.0.0.1 or on one IP family only.",
        "The gateway holds a stale address that another host now owns.",
        "A firewall rule rejects with tcp-reset.",
        "A full accept queue on a stack that resets instead of dropping.",
    ],
    next_steps: &[
        "On the upstream: `ss -ltnp 'sport = :PORT'`; check that it listens, and on which address.",
        "From the gateway's network namespace: `nc -vz UPSTREAM PORT` (or `curl -v \
         telnet://UPSTREAM:PORT`).",
        "Compare the refused port with the gateway's configuration and with the Service's \
         targetPort.",
        "Look for a restart or a deploy at the time of the reset: `journalctl -u SERVICE --since \
         ...`, `kubectl get events`.",
        "If something does listen, look for a REJECT rule: `nft list ruleset | grep -i reset`.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let reset = attempt.by_now(facts.from_server.reset)?;
    let nothing_said = facts.from_client.sent == 0 && facts.from_server.sent == 0;
    if !facts.from_server.syns.is_empty() || !nothing_said || !reset.with_ack {
        return None;
    }
    let verdict = attempt
        .syns(Verdict::seen(reset.mark))
        .proof(
            reset.mark,
            format!(
                "{} answers the SYN with RST+ACK: nobody listens there",
                facts.server
            ),
        )
        .not("connect-timeout", "the SYN was answered")
        .not(
            "connect-reset-after-accept",
            "no SYN-ACK came before the RST",
        );
    Some(if facts.from_client.syns.is_empty() {
        verdict.at_most(Confidence::Likely, "the SYN itself is not in the capture")
    } else {
        verdict
    })
}
