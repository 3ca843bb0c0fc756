//! `tls-on-http-port`. In: an attempt whose ClientHello was answered by something that is not TLS.
//! Out: the verdict.
//!
//! The rule: the answer's own bytes decide; a server that only waits looks like a handshake
//! timeout.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::TlsStep;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-on-http-port",
    family: Family::ProtocolMismatch,
    title: "The gateway spoke TLS to a port that does not",
    explanation: "The gateway began a TLS handshake, and the upstream answered in clear text, \
     mostly `HTTP/1.1 400`. The port speaks plain HTTP (or another protocol).",
    signature: "ClientHello from the gateway; bytes from the upstream that are no TLS record.",
    is_not: &[
        "http-on-tls-port: the reverse, clear HTTP to a TLS port.",
        "tls-handshake-timeout: a plain server that waits for the end of a line stays silent; the \
         cause may be the same.",
        "tls-alert-from-upstream: there the upstream does speak TLS.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
    ],
    root_causes: &[
        "The upstream's scheme is https in the gateway's configuration where it must be http.",
        "The port is the plain one (80, 8080) of a service that has both.",
        "TLS was switched off in the upstream, or a sidecar that ended TLS is gone.",
        "The upstream expects a PROXY header before the TLS bytes, or sends STARTTLS style \
         banners.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT </dev/null`: \"wrong version number\" confirms \
         it.",
        "`curl -v http://UPSTREAM:PORT/` from the gateway's host.",
        "Set http for this upstream in the gateway, or dial its TLS port.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let server = attempt.connection.facts.server;
    let hello = attempt.client_hello()?;
    attempt.connection.tls.iter().find_map(|(step, at)| {
        let TlsStep::NotTls { prefix } = step else {
            return None;
        };
        let printable = prefix
            .iter()
            .take(8)
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        (printable && !prefix.is_empty() && at.time <= attempt.until).then(|| {
            Verdict::seen(*at)
                .proof(
                    hello,
                    format!("the gateway sends a TLS ClientHello to {server}"),
                )
                .proof(
                    *at,
                    format!("{server} answers in plain text: it does not speak TLS on this port"),
                )
                .not("tls-handshake-closed", "the answer is text, not TLS")
        })
    })
}
