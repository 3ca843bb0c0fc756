//! `loss-stall`. In: an attempt whose request was repeated and never acknowledged. Out: the verdict that it did not
//! arrive.
//!
//! The rule: primary only where nothing of the request arrived; where a part did, it contributes (`path.rs`).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::path;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "loss-stall",
    family: Family::Path,
    title: "Request or answer did not get through",
    explanation: "The connection was up, but what one side sent never reached the other: the \
     gateway's request was sent again and again without an acknowledgement, or the upstream's \
     answer never came, until the gateway's timer ran out. The path lost it, or the upstream's \
     host died without a word. The application is not to blame.",
    signature: "Handshake complete; the request, then the same bytes again after growing pauses; \
     no acknowledgement of them; the gateway closes. Or the request is acknowledged, no answer \
     comes, and a later segment of the upstream has a number beyond bytes that were never seen.",
    is_not: &[
        "response-timeout: there the request was acknowledged, and the application is slow.",
        "path-mtu-blackhole: there only large segments are lost.",
        "idle-drop-middlebox: there the connection had been idle, and new ones work.",
        "listen-queue-overflow: there the upstream repeats its SYN-ACK as well.",
    ],
    contributing: &[
        "path-mtu-blackhole: ICMP told that a packet of this attempt was too big, and it was \
         sent again.",
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
    ],
    root_causes: &[
        "Packets are lost on the way: a bad link, a full queue, a policer.",
        "The upstream's host died or was cut off after the handshake.",
        "A firewall drops what follows the handshake, or one direction of it.",
        "The way back lost the acknowledgements: an asymmetric route.",
    ],
    next_steps: &[
        "Capture at the upstream too: requests that arrive there show that the way back is broken.",
        "`mtr -T -P PORT UPSTREAM` from the gateway's host, during the fault.",
        "On both hosts: `nstat -az TcpRetransSegs TcpExtTCPTimeouts`, `ip -s link` for drops.",
        "See whether other connections to the same host had losses at that time.",
    ],
    examine: Examine::Attempt(examine),
};

/// A loss of more than this is at least one segment of full size, bytes.
const LARGE_MIN: u64 = 1_000;

/// The verdict that the upstream had answered.
fn answer_lost(attempt: &Attempt<'_>, lost: &path::LostAnswer) -> Verdict {
    let server = attempt.connection.facts.server;
    let mut verdict = attempt
        .asked(Verdict::gave_up(lost.gave_up))
        .proof(
            lost.gave_up,
            "the gateway gives up; not a byte of an answer has reached it",
        )
        .proof(
            lost.shown,
            format!(
                "{server} has sent {} bytes before this segment that never came: it had answered",
                lost.bytes
            ),
        )
        .at_most(
            Confidence::Likely,
            "the answer was lost on the way; packets do not show where",
        )
        .not("response-timeout", "the upstream had sent an answer");
    if lost.bytes >= LARGE_MIN {
        verdict = verdict.contributes(CAUSE.code, "path-mtu-blackhole");
    }
    verdict
}

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    if let Some(lost) = path::lost_answer(attempt) {
        return Some(answer_lost(attempt, &lost));
    }
    let stuck = path::stuck(attempt)?;
    let verdict = stuck
        .verdict(attempt)
        .at_most(
            Confidence::Likely,
            "packets show that nothing came back, not which way was broken",
        )
        .not(
            "response-timeout",
            "the request was not acknowledged: the application may never have seen it",
        );
    Some(verdict)
}
