//! `connect-reset-after-accept`. In: an attempt that was connected and closed before any request.
//! Out: the verdict.
//!
//! The rule: not one payload byte of the gateway may have been sent before the upstream's close.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "connect-reset-after-accept",
    family: Family::Connect,
    title: "The upstream accepted and dropped the connection",
    explanation: "The TCP handshake completed, and the upstream closed or reset the connection \
     before the gateway had sent a byte. Something accepts in front of the real service and finds \
     nobody behind it, or the service turns connections away by policy.",
    signature: "SYN, SYN-ACK, ACK; then RST or FIN from the upstream before the first payload \
     byte of the gateway.",
    is_not: &[
        "connect-refused: there the SYN itself is answered by the reset.",
        "closed-before-response and reset-before-response: there the request was already sent.",
        "tls-handshake-closed and tls-handshake-reset: there a ClientHello was already sent.",
        "A pooled connection that its server closes while idle is normal housekeeping.",
    ],
    contributing: &[
        "listen-queue-overflow: a queue that resets (tcp_abort_on_overflow) looks the same \
         from outside.",
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "A TCP load balancer, kube-proxy or tunnel accepts, and has no healthy server behind it.",
        "A connection limit of the upstream, in all or per source address.",
        "An access list in the server or TCP wrappers closes unknown sources.",
        "The port belongs to another service than expected.",
        "The accept queue overflowed with tcp_abort_on_overflow set.",
    ],
    next_steps: &[
        "Find out what owns the port: `ss -ltnp 'sport = :PORT'` on the upstream's host.",
        "If a balancer or proxy stands there, read its own list of healthy servers.",
        "Check connection limits and address lists of the upstream for the gateway's address.",
        "`sysctl net.ipv4.tcp_abort_on_overflow` and `nstat -az TcpExtListenOverflows` on the \
         upstream.",
    ],
    examine: Examine::Attempt(examine),
};

/// A close later than this after the handshake is an idle connection that was taken back, nanoseconds.
const PROMPT_MAX_NANOS: i64 = 1_000_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let accepted = facts.from_server.syns.first().copied()?;
    let close = attempt.closed_by_upstream()?.closing;
    let before_request = close.peer_sent == 0 && close.acknowledges.unwrap_or(0) == 0;
    let silent = facts.from_server.sent == 0;
    let prompt = close.mark.time.nanos_since(accepted.time) <= PROMPT_MAX_NANOS;
    if !before_request || !silent || !prompt || attempt.prior_responses() > 0 {
        return None;
    }
    let flag = attempt.close_words();
    let mut verdict = attempt.syns(Verdict::seen(close.mark));
    if facts.from_client.syns.is_empty() {
        // It may have carried the request (RFC 7413).
        verdict = verdict.at_most(Confidence::Likely, "the SYN itself is not in the capture");
    }
    if close.acknowledges.is_none() {
        // A host without the socket answers so to whatever reaches it, a request that the capture lost included.
        verdict = verdict
            .at_most(
                Confidence::Likely,
                "the RST does not tell what it answers: a request before it may be missing from the capture",
            )
            .contributes(CAUSE.code, "listen-queue-overflow")
            .proof(
                close.mark,
                "a bare RST: no process had taken the connection (a full queue with tcp_abort_on_overflow, or a balancer without a target)",
            );
    }
    Some(
        verdict
            .proof(accepted, format!("{} accepts with SYN-ACK", facts.server))
            .proof(
                close.mark,
                format!(
                    "{} sends {flag} before the gateway had sent a byte",
                    facts.server
                ),
            )
            .not("connect-refused", "the handshake was answered by a SYN-ACK")
            .not(
                "reset-before-response",
                "the gateway had not sent anything yet",
            ),
    )
}
