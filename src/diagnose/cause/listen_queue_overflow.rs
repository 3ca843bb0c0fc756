//! `listen-queue-overflow`. In: an attempt that the upstream's kernel did not take in, while it took others. Out: the
//! verdict. The other forms, an unanswered SYN and a reset at once, are told where the whole is judged (`refine.rs`).
//!
//! The rule: a full queue and a dropping path make the same packets; only what else happens at the same port tells them
//! apart, and never for certain.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::connect_half_open::{not_heard, syn_ack_again};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "listen-queue-overflow",
    family: Family::Connect,
    title: "The upstream's accept queue was full",
    explanation: "The upstream's host is up and its port is open, but its kernel did not take the \
     connection in: the process behind the port does not accept as fast as connections come, and \
     the queue of those that wait is full. The kernel then drops SYNs, or the last step of the \
     handshake.",
    signature: "While other connections to the same port are open: SYNs without an answer; or \
     SYN-ACK, ACK and data, none of it acknowledged, and the SYN-ACK again; or a bare RST right \
     after the handshake's ACK.",
    is_not: &[
        "connect-timeout: the same silence, but no other connection to the port is being served or \
         held.",
        "connect-half-open: the same packets, but no other connection to the port works.",
        "connect-refused: there nobody listens.",
        "response-timeout: there the connection was taken in and the request acknowledged.",
    ],
    contributing: &[
        "loss-stall: after the handshake, the request was sent again and not acknowledged.",
    ],
    root_causes: &[
        "All workers are busy: php-fpm `pm.max_children`, gunicorn's sync workers, Tomcat's \
         threads with `acceptCount` 100.",
        "The process is stopped or stuck: garbage collection, SIGSTOP, a debugger, a deadlock.",
        "The queue is too short for a burst: the backlog of listen(), `net.core.somaxconn`.",
        "A burst of connections after a restart of the gateway, or without keep-alive.",
    ],
    next_steps: &[
        "On the upstream: `ss -ltn`: Recv-Q at Send-Q of the port means a full queue.",
        "`nstat -az TcpExtListenOverflows TcpExtListenDrops`: growing numbers prove it.",
        "Count the workers and what they wait for; a longer queue only hides too few of them.",
        "Let the gateway reuse connections: each request then needs no place in the queue.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    if facts.from_server.sent > 0 || attempt.closed_by_upstream().is_some() || attempt.outlived() {
        return None;
    }
    let again = syn_ack_again(attempt)?;
    let works = attempt.server_active?;
    Some(
        not_heard(attempt, again)
            .proof(
                works,
                format!("{} takes what is sent on another connection", facts.server),
            )
            .at_most(
                Confidence::Likely,
                "only the upstream's own counters prove a full queue: a firewall that drops one direction looks the same",
            )
            .not(
                "connect-half-open",
                "other connections to the same port work",
            ),
    )
}
