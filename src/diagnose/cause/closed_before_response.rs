//! `closed-before-response`. In: an attempt whose request the upstream read and then closed on.
//! Out: the verdict.
//!
//! The rule: the upstream's FIN comes first, after the request, with no byte of a response.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "closed-before-response",
    family: Family::WaitingForHead,
    title: "The upstream closed without answering",
    explanation: "The upstream took the request and closed the connection with a FIN before the \
     first byte of a response. The process ended or chose to close; packets do not tell a crash \
     from an orderly exit.",
    signature: "Request from the gateway, acknowledged; FIN from the upstream with no response \
     byte; the gateway closes after it.",
    is_not: &[
        "stale-keepalive-reuse: there the close belongs to the idle time before the request, and \
         does not acknowledge it.",
        "reset-before-response: the same moment, by RST.",
        "response-timeout: there the gateway closes first.",
        "closed-mid-head: there part of a response head had come.",
    ],
    contributing: &[
        "Nothing: the upstream's FIN explains itself; what made it close is in its own log.",
    ],
    root_causes: &[
        "The worker crashed, exited or was killed (unhandled error, segfault, out of memory).",
        "A supervisor's timeout killed the worker (gunicorn timeout, uWSGI harakiri, php-fpm \
         request_terminate_timeout).",
        "A deploy or restart without draining.",
        "The application closes by policy: unknown Host, too many requests, worker recycling.",
        "The port speaks another protocol and gave up on what it read.",
    ],
    next_steps: &[
        "Read the upstream's log and `dmesg -T | grep -i -E 'oom|segfault'` at the time of the \
         FIN.",
        "Compare the delay between request and FIN with the server's limits: about 30 s is \
         gunicorn's default.",
        "Check for a restart: `systemctl status SERVICE`, `kubectl describe pod POD` (Last State, \
         OOMKilled).",
        "Repeat the request directly: `curl -v --http1.1 http://UPSTREAM:PORT/PATH -H 'Host: \
         NAME'`.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let close = attempt.closed_by_upstream().filter(|close| !close.reset)?;
    if attempt.response_start().is_some() {
        return None;
    }
    let server = attempt.connection.facts.server;
    let after = attempt.waited(exchange.request_at, close.closing.mark);
    let verdict = Verdict::seen(close.closing.mark.max(exchange.request_at));
    Some(
        attempt
            .asked(attempt.nothing_before(&close.closing, verdict))
            .proof(
                close.closing.mark,
                format!(
                    "{server} closes with {} after {after}, without a byte of an answer",
                    attempt.close_words()
                ),
            )
            .not(
                "reset-before-response",
                format!(
                    "the first sign of the end is {}, not a RST",
                    match close.goodbye {
                        true => "a goodbye of TLS",
                        false => "a FIN",
                    }
                ),
            )
            .not("stale-keepalive-reuse", attempt.why_not_stale())
            .not(
                "response-timeout",
                "the upstream closed first, not the gateway",
            ),
    )
}
