//! `head-timeout`. In: an attempt whose response head began and then stood still. Out: the verdict.
//!
//! The rule: the gateway closes first, after a silence; a hole in the capture is no silence.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::{Family, Wait};

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "head-timeout",
    family: Family::WaitingForHead,
    title: "The upstream never finished its response head",
    explanation: "The upstream sent part of a head and then nothing. The gateway's timer ran out, \
     and it closed the connection. The upstream is stuck inside the writing of its response.",
    signature: "Request; first bytes of a head from the upstream; silence; FIN or RST from the \
     gateway first.",
    is_not: &[
        "response-timeout: there not one byte came.",
        "closed-mid-head: there the upstream closes first.",
        "Interim responses (1xx) are no part of the final head.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
        "path-mtu-blackhole: ICMP told that a packet of this attempt was too big, and it was \
         sent again.",
        "neighbor-unresolved: nobody on the link answered for the upstream's address any \
         more.",
    ],
    root_causes: &[
        "The application flushes its headers one by one and blocks between them.",
        "A server that waits for the rest of the request, or for a lock, after the first write.",
        "Packets of the upstream are lost on the way: look for retransmissions.",
        "A server that never writes the blank line.",
    ],
    next_steps: &[
        "Fetch the raw bytes with `nc` and see where they stop.",
        "Take a thread dump or stack trace of the upstream's worker while it hangs.",
        "Look for retransmissions of the upstream in the same connection: then it is the path.",
    ],
    examine: Examine::Attempt(examine),
};

/// Less than this is no patience but a decision, nanoseconds.
const WAITED_MIN_NANOS: i64 = 200_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let begun = attempt.head_begun()?;
    if attempt.closed_by_upstream().is_some() || attempt.outlived() {
        return None;
    }
    let last = attempt
        .connection
        .facts
        .from_server
        .last_data
        .unwrap_or(begun);
    let gave_up = attempt.closed_by_gateway();
    let until = gave_up.map_or(attempt.until, |close| close.closing.mark.time);
    if until.nanos_since(last.time) < WAITED_MIN_NANOS {
        return None;
    }
    let server = attempt.connection.facts.server;
    let proven = |verdict: Verdict| {
        attempt
            .asked(verdict)
            .proof(
                last,
                format!("{server} sends part of a head, then nothing more"),
            )
            .not("closed-mid-head", "the upstream did not end the connection")
            .not("response-timeout", "part of the head had come")
    };
    Some(match gave_up {
        Some(close) => proven(Verdict::gave_up(close.closing.mark)).proof(
            close.closing.mark,
            format!(
                "the gateway gives up {} later{}",
                attempt.waited(last, close.closing.mark),
                attempt.equal_timers(Wait::Response, last, close.closing.mark)
            ),
        ),
        None => proven(Verdict::absent()).at_most(
            Confidence::Likely,
            "the gateway's own close of the connection was not seen",
        ),
    })
}
