//! `response-timeout`. In: an attempt whose request nobody answered before the gateway gave up.
//! Out: the verdict.
//!
//! The rule: the gateway closes first, and the request had reached the upstream.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::{Family, Wait, header};
use crate::diagnose::record::ExchangeRecord;
use crate::frame::Mark;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "response-timeout",
    family: Family::WaitingForHead,
    title: "The upstream did not answer in time",
    explanation: "The request was delivered and acknowledged, no byte of a response came, and the \
     gateway's timer ran out: it closed the upstream connection and wrote the error. An \
     acknowledgement is the kernel's; it does not show that the application read the request.",
    signature: "Request from the gateway, acknowledged; silence; FIN or RST from the gateway \
     first, at the moment of the error to the client.",
    is_not: &[
        "closed-before-response: there the upstream closes first.",
        "head-timeout: there part of a head had come.",
        "connect-timeout: there no connection came about.",
        "A client that left first makes the gateway close too; then no error is written.",
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
        "A slow query or a slow dependency of the upstream.",
        "All workers busy: the request waits in the upstream's queue.",
        "A deadlock or an exhausted connection pool in the application.",
        "CPU throttling, garbage collection or swapping on the upstream.",
        "The gateway's timer is shorter than a legitimate long operation.",
    ],
    next_steps: &[
        "Compare the wait with the gateway's timer: equal to its default means that it was never \
         set for this route.",
        "On the upstream, during the fault: `ss -tn` (a standing Recv-Q means that nobody reads), \
         thread dump, slow query log.",
        "If a late answer is in the capture, its delay is the true service time: set the timer \
         above it.",
        "Separate queueing from work: compare the gateway's wait with the application's own \
         request time.",
    ],
    examine: Examine::Attempt(examine),
};

/// Less than this is no patience but a client that left or a decision, nanoseconds.
const WAITED_MIN_NANOS: i64 = 100_000_000;

/// The timeout that Envoy writes into its requests, milliseconds; 0 means none.
fn announced_millis(exchange: &ExchangeRecord) -> Option<u32> {
    let head = exchange.request.as_ref()?;
    let value = header(&head.kept, "x-envoy-expected-rq-timeout-ms")?;
    value.trim().parse().ok().filter(|millis| *millis > 0)
}

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
    let asked = exchange
        .request_end
        .filter(|end| end.how.is_complete())
        .map_or(exchange.asked_at(), |end| end.at);
    let gave_up = attempt.closed_by_gateway().map(|close| close.closing);
    let until = gave_up.map_or(attempt.until, |close| close.mark.time);
    if until.nanos_since(asked.time) < WAITED_MIN_NANOS {
        return None;
    }
    let server = facts.server;
    let end = Mark {
        time: until,
        ..exchange.request_at
    };
    let mut verdict = match gave_up {
        Some(close) => {
            let waited = attempt.waited(asked, close.mark);
            attempt.asked(Verdict::gave_up(close.mark)).proof(
                close.mark,
                format!(
                    "the gateway gives up after {waited}{}; {server} had not sent a byte",
                    attempt.equal_timers(Wait::Response, asked, close.mark)
                ),
            )
        }
        None => attempt.asked(Verdict::absent()).at_most(
            Confidence::Likely,
            "the gateway's own close of the upstream connection was not seen",
        ),
    };
    if let Some(announced) = announced_millis(exchange) {
        verdict = verdict.proof(
            exchange.request_at,
            format!("its own request announces that it waits {announced} ms (x-envoy-expected-rq-timeout-ms)"),
        );
    }
    if attempt.was_sending_at(end) {
        verdict = verdict.at_most(
            Confidence::Possible,
            "the request had not been sent to its end: the gateway may have waited for its client",
        );
    }
    if let Some(late) = exchange.response_at {
        let left = gave_up.map_or(String::new(), |close| {
            format!(
                ", the gateway had left after {}",
                attempt.waited(asked, close.mark)
            )
        });
        verdict = verdict.proof(
            late,
            format!(
                "too late: {server} answers {} after the request{left}",
                attempt.waited(asked, late)
            ),
        );
    }
    // A FIN has a number of its own.
    let counted = facts.from_server.sent + u64::from(facts.from_server.fin.is_some());
    if facts.from_server.reached > counted {
        verdict = verdict.at_most(
            Confidence::Likely,
            format!(
                "{server} had sent {} bytes that never came here: they were lost on the way",
                facts.from_server.reached - counted
            ),
        );
        verdict.contributing.push("loss-stall");
    }
    if gave_up
        .and_then(|close| close.acknowledges)
        .is_some_and(|acknowledged| acknowledged > facts.from_server.sent)
    {
        verdict = verdict.at_most(
            Confidence::Possible,
            "the gateway acknowledges something of the upstream that the capture does not hold",
        );
    }
    // What comes after the gateway's close may come late, and says nothing of what came before.
    let heard = gave_up.map_or(facts.from_server.last_data, |close| close.peer_last);
    if heard.is_some_and(|last| last > exchange.request_at && last.time <= until) {
        verdict = verdict.at_most(
            Confidence::Possible,
            "the upstream sent bytes after the request that belong to no answer",
        );
    }
    if facts
        .from_client
        .acknowledged
        .is_none_or(|acknowledged| acknowledged < attempt.request_end_offset())
    {
        verdict = verdict.at_most(
            Confidence::Likely,
            "the upstream's host had not acknowledged the whole request",
        );
        verdict.contributing.push("loss-stall");
    }
    Some(
        attempt
            .with_whole_request(verdict)
            .not(
                "closed-before-response",
                "the upstream did not close the connection before the gateway did",
            )
            .not(
                "connect-timeout",
                "the connection was established and the request sent",
            ),
    )
}
