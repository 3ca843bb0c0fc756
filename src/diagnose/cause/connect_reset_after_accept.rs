//! `connect-reset-after-accept`. In: an attempt that was connected and closed before any request.
//! Out: the verdict.
//!
//! The rule: not one payload byte of the gateway may have been sent before the upstream's close.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
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

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
