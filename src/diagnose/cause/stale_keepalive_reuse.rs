//! `stale-keepalive-reuse`. In: an attempt on a reused connection that its server was closing. Out:
//! the verdict.
//!
//! The rule: a response was complete on this connection before, and the close does not answer the
//! request.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "stale-keepalive-reuse",
    family: Family::WaitingForHead,
    title: "The gateway reused a connection that was closing",
    explanation: "The gateway sent the request on a pooled connection at the moment at which the \
     upstream closed it for idleness, or after. Nobody is broken: two idle timers race. Gateways \
     usually do not repeat a POST, so the client sees the error.",
    signature: "A complete response earlier on the connection; an idle gap; then the request \
     crosses the upstream's FIN (which does not acknowledge it) or is answered by RST at once.",
    is_not: &[
        "closed-before-response: there the upstream took the request and closed later.",
        "reset-before-response: there the connection was fresh, or not idle.",
        "connect-refused: a restarted upstream refuses the new connection that follows.",
    ],
    root_causes: &[
        "The upstream's keep-alive timeout is shorter than the gateway's (Node 5 s, gunicorn 2 s, \
         Apache 5 s).",
        "Both timers have the same value, so that they meet again and again.",
        "The upstream limits the number of requests on a connection.",
        "A NAT, firewall or balancer between them forgot the idle connection.",
        "The upstream was restarted and the pool kept its old connections.",
    ],
    next_steps: &[
        "Make the upstream keep idle connections longer than the gateway does (a few seconds \
         suffice), or shorten the gateway's pool timeout below the upstream's.",
        "Compare the idle gap of the finding with the `Keep-Alive: timeout=` header of the \
         upstream.",
        "Let the gateway retry requests that are safe to repeat on a fresh connection.",
        "For a middlebox: set TCP keep-alive on the gateway below the device's idle limit.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
