//! `tls-handshake-reset`. In: an attempt whose handshake was cut by a reset. Out: the verdict.
//!
//! The rule: the upstream's RST comes first, after the ClientHello and before the handshake is
//! done.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::cut::Pair;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-handshake-reset",
    family: Family::Tls,
    title: "The upstream reset during the TLS handshake",
    explanation: "The gateway sent a ClientHello, and a RST came back before the handshake was \
     done, without an alert. A server that closes with the ClientHello unread does this, and so \
     do firewalls that judge the server name.",
    signature: "ClientHello from the gateway; RST from the upstream before the handshake is \
     complete; no alert.",
    is_not: &[
        "tls-alert-from-upstream: there it says why.",
        "tls-handshake-closed: the same moment, by FIN.",
        "connect-refused: there the SYN is reset.",
        "connect-reset-after-accept: there no ClientHello had been sent.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "A balancer without a healthy server, or one that does not know the server name.",
        "A firewall or inspection device resets on the server name or on the TLS version.",
        "The upstream's connection limit or overload protection.",
        "The port does not speak TLS, and its server closed with the bytes unread.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME </dev/null`; vary the name and \
         the version.",
        "Compare TTL and IP id of the RST with the SYN-ACK: different means a middlebox.",
        "Read the log of what listens there; check its connection limits.",
    ],
    examine: Examine::Attempt(examine),
};

const PAIR: Pair = Pair {
    reset: true,
    other: "tls-handshake-closed",
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    PAIR.in_handshake(attempt)
}
