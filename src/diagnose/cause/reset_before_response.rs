//! `reset-before-response`. In: an attempt whose request the upstream answered by a reset. Out: the
//! verdict.
//!
//! The rule: the upstream's RST comes first, after the request, with no byte of a response.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "reset-before-response",
    family: Family::WaitingForHead,
    title: "The upstream reset instead of answering",
    explanation: "The upstream, or a device in its name, answered the request with a RST before \
     the first byte of a response. With ACK set a live socket was aborted, often with the request \
     unread; a bare RST means that the host no longer knows the connection.",
    signature: "Request from the gateway; RST from the upstream with no response byte.",
    is_not: &[
        "stale-keepalive-reuse: on a reused connection whose server had already closed it.",
        "closed-before-response: the same moment, by FIN.",
        "connect-reset-after-accept: there no request byte had been sent.",
        "A RST of the gateway itself after it gave up is clean-up, not a cause.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The server closed with the request unread: overload shedding, connection limit, early \
         rejection.",
        "The process died with data in its receive queue.",
        "The service restarted between accept and request.",
        "Plain HTTP to a port that expects something else.",
        "A firewall or balancer injected the reset (idle limit, inspection, deregistered target).",
    ],
    next_steps: &[
        "Read the upstream's log and the kernel's (`dmesg -T`) at the time of the RST.",
        "Compare TTL and IP id of the RST with the upstream's other packets: different means a \
         middlebox.",
        "On the upstream: `nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose \
         TcpExtListenOverflows`.",
        "Check limits on connections and on requests in the upstream, and balancer targets that \
         left.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let close = attempt.closed_by_upstream().filter(|close| close.reset)?;
    if attempt.response_start().is_some() || close.closing.mark < exchange.request_at {
        return None;
    }
    let server = attempt.connection.facts.server;
    let kind = if close.closing.with_ack {
        "a live socket was aborted"
    } else {
        "the host has no such socket any more"
    };
    let verdict = attempt.nothing_before(&close.closing, Verdict::seen(close.closing.mark));
    let verdict = attempt
        .asked(verdict)
        .proof(
            close.closing.mark,
            format!(
                "{server} sends {} without a byte of an answer: {kind}",
                attempt.close_words()
            ),
        )
        .not(
            "closed-before-response",
            "the first sign of the end is a RST, not a FIN",
        )
        .not("stale-keepalive-reuse", attempt.why_not_stale())
        .not(
            "response-timeout",
            "the upstream ended the connection, not the gateway",
        );
    Some(attempt.with_whole_request(attempt.in_sequence(verdict, close)))
}
