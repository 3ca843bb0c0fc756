//! `stall-mid-response`. In: an attempt whose body stopped coming and that the gateway gave up. Out: the verdict,
//! with the wait.
//!
//! The rule: the gateway's own close ends it; the head was complete, the body was not.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::{Family, Wait};
use crate::protocol::observation::Completion;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "stall-mid-response",
    family: Family::Body,
    title: "The upstream fell silent inside the body",
    explanation: "The head was complete and part of the body came; then the upstream sent nothing \
     more and did not close, until the gateway lost patience. The client usually sees the \
     original status and a broken body.",
    signature: "Complete response head; an incomplete body; silence; the gateway closes first.",
    is_not: &[
        "head-timeout: there the head was unfinished.",
        "response-timeout: there not a byte had come.",
        "truncated-body: there the upstream closed.",
        "A client that left makes the gateway close too, but at once and not after a wait.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "zero-window-stall: the gateway, behind a slow client, took no more bytes.",
        "path-mtu-blackhole: ICMP told that a packet of this attempt was too big, and it was \
         sent again.",
    ],
    root_causes: &[
        "The application waits for something inside the body: a query that streams rows, a remote \
         file, a lock.",
        "A Content-Length that is larger than the body: both sides wait for the rest.",
        "A stream without data for longer than the limit: server-sent events or long polling \
         without a heartbeat.",
        "The worker hangs or is stopped in a debugger; the path lost packets in one direction.",
    ],
    next_steps: &[
        "Compare the silence with the gateway's read timeout, which usually counts from one read \
         to the next.",
        "Look at what the upstream did after the last byte: its log, `strace -p PID`, a thread \
         dump.",
        "For streams: send a heartbeat more often than the limit, or raise the limit for that \
         path.",
    ],
    examine: Examine::Attempt(examine),
};

/// Less than this is no patience but a decision, nanoseconds.
const WAITED_MIN_NANOS: i64 = 200_000_000;
/// Server errors begin here (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange
        .response
        .as_ref()
        .filter(|head| head.at.time <= attempt.until && head.status < SERVER_ERROR)?;
    let over = exchange.response_end.is_some_and(|end| {
        let unknown = matches!(end.how, Completion::LostInGap | Completion::Malformed);
        unknown || (end.how.is_complete() && end.at.time <= attempt.until)
    });
    if over || attempt.closed_by_upstream().is_some() || attempt.outlived() {
        return None;
    }
    let gave_up = attempt.closed_by_gateway();
    let until = gave_up.map_or(attempt.until, |close| close.closing.mark.time);
    let last = attempt.connection.facts.from_server.last_data?;
    // What comes after the gateway's close says nothing of the silence before it.
    let heard = gave_up.and_then(|close| close.closing.peer_last);
    let silent_since = match heard {
        Some(heard) if last.time > until => heard.max(head.at),
        _ if last.time <= until => last,
        _ => head.at,
    };
    if until.nanos_since(silent_since.time) < WAITED_MIN_NANOS {
        return None;
    }
    let server = attempt.connection.facts.server;
    let proven = |verdict: Verdict| {
        attempt
            .asked(verdict)
            .proof(head.at, format!("{server} answers {}", head.status))
            .proof(
                silent_since,
                format!("{server} sends part of the body, then nothing more"),
            )
            .not("truncated-body", "the upstream did not end the connection")
            .not("head-timeout", "the head was complete")
    };
    let verdict = match gave_up {
        Some(close) => proven(Verdict::gave_up(close.closing.mark)).proof(
            close.closing.mark,
            format!(
                "the gateway gives up {} later{}",
                attempt.waited(silent_since, close.closing.mark),
                attempt.equal_timers(Wait::Response, silent_since, close.closing.mark)
            ),
        ),
        None => proven(Verdict::absent()).at_most(
            Confidence::Likely,
            "the gateway's own close of the connection was not seen",
        ),
    };
    Some(if last.time > until {
        verdict.at_most(
            Confidence::Possible,
            "the upstream went on sending after the gateway had closed",
        )
    } else {
        verdict
    })
}
