//! `http-on-tls-port`. In: an attempt that sent clear HTTP to a TLS port. Out: the verdict.
//!
//! The rule: a TLS alert in answer, or a close on a port that speaks TLS with others.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "http-on-tls-port",
    family: Family::ProtocolMismatch,
    title: "The gateway sent plain HTTP to a TLS port",
    explanation: "The gateway sent a request in clear, and the upstream expects TLS. It answered \
     with a TLS alert, or closed. Some servers instead answer 400 in clear, which the gateway \
     passes on without an error of its own.",
    signature: "Request in clear; a TLS alert record (first bytes 15 03), a RST or a FIN from a \
     port on which other connections begin with a ClientHello.",
    is_not: &[
        "tls-on-http-port: the reverse, TLS to a plain port.",
        "reset-before-response and closed-before-response: without a sign that the port speaks \
         TLS.",
        "malformed-status-line: the answer is neither HTTP nor TLS.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The upstream's scheme or protocol is http in the gateway's configuration where it must \
         be https.",
        "The port is the TLS one (443, 8443, 6443) of a service that has both.",
        "TLS was switched on in the upstream, and the gateway was not told.",
        "A service mesh demands mutual TLS and the gateway stands outside of it.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT </dev/null`: a certificate means that TLS is \
         spoken.",
        "Set https for this upstream in the gateway, or dial its plain port.",
        "In a mesh: check the mutual TLS mode of the workload and of the gateway.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    /// A TLS alert record begins with these bytes (RFC 8446, section 5.1).
    const ALERT_RECORD: [u8; 2] = [0x15, 0x03];
    let exchange = attempt.exchange?;
    exchange.request.as_ref()?;
    let server = attempt.connection.facts.server;
    if let Some((_, at, prefix)) = exchange.fault.as_deref()
        && prefix.starts_with(&ALERT_RECORD)
        && at.time <= attempt.until
    {
        return Some(
            attempt
                .asked(Verdict::seen(*at))
                .proof(
                    *at,
                    format!("{server} answers the plain HTTP request with a TLS alert"),
                )
                .not("malformed-status-line", "the bytes are a TLS alert record"),
        );
    }
    let close = attempt.closed_by_upstream()?;
    (attempt.server_speaks_tls && exchange.response_at.is_none() && attempt.prior_responses() == 0)
        .then(|| {
            attempt
                .asked(Verdict::seen(close.closing.mark))
                .proof(
                    close.closing.mark,
                    format!(
                        "{server} sends {} instead of an answer",
                        attempt.close_words()
                    ),
                )
                .at_most(
                    Confidence::Likely,
                    "other connections to the same port complete TLS handshakes",
                )
        })
}
