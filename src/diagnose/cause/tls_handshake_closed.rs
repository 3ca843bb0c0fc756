//! `tls-handshake-closed`. In: an attempt whose handshake the upstream ended by FIN. Out: the
//! verdict.
//!
//! The rule: the upstream closes first, after the ClientHello and before the handshake is done.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-handshake-closed",
    family: Family::Tls,
    title: "The upstream closed during the TLS handshake",
    explanation: "The gateway sent a ClientHello, and the upstream closed with a FIN before the \
     handshake was done, without an alert. Either it does not speak TLS there, or something in \
     front of it hung up.",
    signature: "ClientHello from the gateway; FIN from the upstream before the handshake is \
     complete; no alert.",
    is_not: &[
        "tls-alert-from-upstream: there it says why.",
        "tls-handshake-reset: the same moment, by RST.",
        "connect-reset-after-accept: there no ClientHello had been sent.",
        "tls-handshake-timeout: there the gateway closes first.",
    ],
    contributing: &["Nothing: the close explains itself."],
    root_causes: &[
        "A balancer or tunnel accepts, and has no server behind it for that name.",
        "The server name (SNI) is missing or unknown, and the upstream hangs up on it.",
        "The port does not speak TLS.",
        "The upstream's worker crashed, or it has no certificate loaded.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -msg </dev/null` from the \
         gateway's host.",
        "Try with and without `-servername`: a difference means name-based routing.",
        "Read the log of what listens there, and its list of healthy servers if it is a balancer.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: false,
    other: "tls-handshake-reset",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_handshake(attempt)
}
