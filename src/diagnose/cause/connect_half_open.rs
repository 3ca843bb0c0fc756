//! `connect-half-open`. In: an attempt whose handshake came to one side only. Out: the verdict.
//!
//! The rule: who repeats its part has not got the other's. Where the upstream repeats its SYN-ACK and other connections to
//! it work, its queue is the nearer reason (`listen-queue-overflow`).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::frame::Mark;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "connect-half-open",
    family: Family::Connect,
    title: "The handshake reached one side only",
    explanation: "The capture shows a SYN-ACK, yet one side goes on as if the other were silent: \
     the gateway repeats its SYN, so the SYN-ACK never reached it; or the upstream repeats its \
     SYN-ACK, so the gateway's acknowledgement never reached the upstream. Packets pass in one \
     direction and not in the other.",
    signature: "SYN, SYN-ACK, and the SYN again half a second or more after the SYN-ACK; or \
     SYN-ACK, ACK, data, and then the SYN-ACK again, with nothing acknowledged.",
    is_not: &[
        "connect-timeout: there no SYN-ACK is in the capture at all.",
        "listen-queue-overflow: the second form, while other connections to the port work.",
        "response-timeout: there the upstream acknowledged the request.",
    ],
    contributing: &[
        "loss-stall: what the side that believes in the connection sends is never \
         acknowledged.",
    ],
    root_causes: &[
        "Asymmetric routing through a stateful firewall that sees one direction only.",
        "A reverse path filter, or a rule that drops the answer.",
        "Wrong address translation on the way back: the answer comes with another address.",
        "Two hosts with one address.",
    ],
    next_steps: &[
        "Capture on both sides of each firewall between gateway and upstream: where the SYN-ACK \
         (or the ACK) is seen last, it is dropped next.",
        "Compare the route there and the route back: `ip route get ADDRESS` on both hosts.",
        "`sysctl net.ipv4.conf.all.rp_filter`, `nstat -az TcpExtIPReversePathFilter`.",
        "Check translation of addresses on the way, and duplicate addresses: `arping -D ADDRESS`.",
    ],
    examine: Examine::Attempt(examine),
};

/// A SYN that is sent this long after a SYN-ACK did not cross it, nanoseconds: a sender waits a second at least (RFC
/// 6298), and ways around the world take 300 ms.
const CROSSED_NANOS: i64 = 500_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let server = facts.server;
    let accepted = *facts.from_server.syns.first()?;
    if facts.from_server.sent > 0 || attempt.closed_by_upstream().is_some() || attempt.outlived() {
        return None;
    }
    if let Some(again) = syn_again(attempt, accepted) {
        return Some(
            attempt
                .syns(Verdict::absent())
                .proof(accepted, format!("{server} answers with SYN-ACK"))
                .proof(
                    again,
                    "the gateway sends its SYN again: the SYN-ACK has not reached it",
                )
                .not("connect-timeout", "a SYN-ACK is in the capture"),
        );
    }
    let again = syn_ack_again(attempt)?;
    Some(not_heard(attempt, again).at_most(
        Confidence::Likely,
        "a full accept queue of the upstream looks the same",
    ))
}

/// The gateway's SYN after the SYN-ACK, on a connection that never came about.
fn syn_again(attempt: &Attempt<'_>, accepted: Mark) -> Option<Mark> {
    let facts = &attempt.connection.facts;
    let again = *facts.from_client.syns.last()?;
    let open = facts.established.is_none() && facts.from_client.sent == 0;
    (open && again.time.nanos_since(accepted.time) >= CROSSED_NANOS).then_some(again)
}

/// The upstream's SYN-ACK after the gateway's acknowledgement, on a connection on which it acknowledged nothing.
pub fn syn_ack_again(attempt: &Attempt<'_>) -> Option<Mark> {
    let facts = &attempt.connection.facts;
    let (first, again) = (
        *facts.from_server.syns.first()?,
        *facts.from_server.syns.last()?,
    );
    let timed = again.time.nanos_since(first.time) >= CROSSED_NANOS;
    let heard = facts
        .from_client
        .acknowledged
        .is_some_and(|bytes| bytes > 0);
    let inside = again.time <= attempt.until && again > facts.established?;
    (inside && timed && !heard && facts.from_client.sent > 0).then_some(again)
}

/// The verdict that the upstream has not heard what the gateway sent after the SYN.
pub fn not_heard(attempt: &Attempt<'_>, again: Mark) -> Verdict {
    let facts = &attempt.connection.facts;
    let server = facts.server;
    let verdict = match attempt.closed_by_gateway() {
        Some(close) => Verdict::gave_up(close.closing.mark),
        None => Verdict::absent(),
    };
    let mut verdict = attempt.syns(verdict);
    if let Some(established) = facts.established {
        verdict = verdict.proof(
            established,
            format!("{server} has answered with SYN-ACK, and the gateway acknowledges it"),
        );
    }
    attempt
        .asked(verdict)
        .proof(
            again,
            format!("{server} sends its SYN-ACK again: for it the handshake is not over"),
        )
        .not("response-timeout", "the request was never acknowledged")
        .not("connect-timeout", "the SYN was answered")
}
