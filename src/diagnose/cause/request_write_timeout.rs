//! `request-write-timeout`. In: an attempt whose request could not be sent to its end. Out: the verdict, with the
//! stall.
//!
//! The rule: what was sent stays unacknowledged or the window is shut; a client that sends slowly is no
//! fault of the upstream.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::frame::Mark;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "request-write-timeout",
    family: Family::SendingRequest,
    title: "The upstream stopped taking the request",
    explanation: "The gateway could not get rid of the request: the upstream's window was zero or \
     its acknowledgements stopped, and it stayed so until the gateway lost patience. The \
     upstream's process does not read, or the path loses what is sent.",
    signature: "Request head and part of its body; a window of zero or no more acknowledgements; \
     no response byte; the gateway gives up.",
    is_not: &[
        "response-timeout: there the whole request had been taken.",
        "request-reset-mid-body: there the upstream closes.",
        "A client that uploads slowly leaves nothing unacknowledged: then the gateway waits for \
         the client.",
    ],
    contributing: &[
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "path-mtu-blackhole: ICMP told that a packet of this attempt was too big, and it was \
         sent again.",
    ],
    root_causes: &[
        "The application does not read the body: all its workers are busy, or it waits for \
         something before it reads.",
        "The process is stopped: garbage collection, swapping, a debugger, a full disk under the \
         upload.",
        "Packets of full size are lost on the way (MTU), while small ones pass.",
        "A balancer in between buffers and has no room.",
    ],
    next_steps: &[
        "On the upstream: `ss -tnp 'sport = :PORT'`: a growing Recv-Q means that the process does \
         not read.",
        "Take a thread dump or `strace -p PID` of the worker at that moment.",
        "For lost packets: compare small and large uploads; `tracepath UPSTREAM` shows the MTU.",
    ],
    examine: Examine::Attempt(examine),
};

/// Less than this is no patience but a decision, nanoseconds.
const WAITED_MIN_NANOS: i64 = 200_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let facts = &attempt.connection.facts;
    if attempt.response_start().is_some()
        || attempt.closed_by_upstream().is_some()
        || attempt.outlived()
    {
        return None;
    }
    let gave_up = attempt.closed_by_gateway().map(|close| close.closing.mark);
    let until = gave_up.map_or(attempt.until, |mark| mark.time);
    let last = facts
        .from_client
        .last_data
        .filter(|last| last.time <= until)
        .unwrap_or(exchange.request_at);
    let end = gave_up.unwrap_or(Mark {
        time: until,
        ..last
    });
    if !attempt.was_sending_at(end) {
        return None;
    }
    let shut = facts
        .from_server
        .zero_window
        .filter(|since| since.time <= until);
    let unread = facts
        .from_client
        .acknowledged
        .is_none_or(|acknowledged| acknowledged < facts.from_client.sent);
    let since = shut.unwrap_or(last);
    if !(shut.is_some() || unread) || until.nanos_since(since.time) < WAITED_MIN_NANOS {
        return None;
    }
    let server = facts.server;
    let sent = attempt.sent_of_body(None);
    let stalled = match shut {
        Some(_) => format!("{server} shuts its window: it has no room for more than {sent}"),
        None => format!("{server} acknowledges no more: {sent} had been sent"),
    };
    let verdict = match gave_up {
        Some(mark) => Verdict::gave_up(mark),
        // Behind a shut window the gateway's FIN cannot leave.
        None => Verdict::absent(),
    };
    let verdict = attempt
        .asked(verdict)
        .detail(if shut.is_some() {
            "zero-window"
        } else {
            "no-acknowledgement"
        })
        .proof(since, stalled)
        .not("response-timeout", "the request was never sent to its end")
        .not(
            "request-reset-mid-body",
            "the upstream did not end the connection",
        );
    let verdict = match gave_up {
        Some(mark) => verdict.proof(
            mark,
            format!("the gateway gives up {} later", attempt.waited(since, mark)),
        ),
        None if shut.is_some() => verdict,
        None => verdict.at_most(
            Confidence::Likely,
            "the gateway's own close of the connection was not seen",
        ),
    };
    Some(if shut.is_some() {
        verdict
    } else {
        verdict.at_most(
            Confidence::Likely,
            "acknowledgements may be missing from the capture",
        )
    })
}
