//! `h2-on-h1-port`. In: an attempt in HTTP/2 that was answered in HTTP/1, or not at all. Out: the verdict.
//!
//! The rule: the answer's own bytes decide; a close alone is only likely.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Protocol;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "h2-on-h1-port",
    family: Family::ProtocolMismatch,
    title: "The gateway spoke HTTP/2 to an HTTP/1 port",
    explanation: "The gateway began with the preface of HTTP/2, and the upstream answered in \
     HTTP/1, mostly `400`, or closed. The port does not speak HTTP/2 in clear.",
    signature: "The preface of HTTP/2 (`PRI * HTTP/2.0`); an answer that begins with `HTTP/1.`, \
     or a close without a byte.",
    is_not: &[
        "h1-on-h2-port: the reverse, HTTP/1 to a port that speaks HTTP/2.",
        "tls-on-http-port: there the gateway spoke TLS.",
        "closed-before-response: there the request was HTTP/1.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "HTTP/2 or gRPC is set for this upstream in the gateway, and the application speaks \
         HTTP/1.",
        "The port is the HTTP/1 one of a service that has both.",
        "The server speaks HTTP/2 over TLS only, by ALPN, and not in clear.",
        "A proxy in between (a sidecar, a balancer) passes HTTP/1 only.",
    ],
    next_steps: &[
        "`curl -v --http1.1 http://UPSTREAM:PORT/` succeeds where `--http2-prior-knowledge` fails.",
        "Set HTTP/1.1 for this upstream in the gateway, or dial its HTTP/2 port.",
        "In Kubernetes: check `appProtocol` and the name of the port (`grpc`, `http2`).",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of the answer that the finding shows.
const SHOWN_MAX: usize = 32;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    if attempt.connection.protocol != Some(Protocol::Http2) || exchange.id.index > 0 {
        return None;
    }
    let server = attempt.connection.facts.server;
    if let Some(at) = attempt.response_start() {
        let answer = &exchange.body_prefix;
        return answer.starts_with(b"HTTP/1.").then(|| {
            let first = shown(answer.get(..SHOWN_MAX).unwrap_or(answer));
            attempt
                .asked(Verdict::seen(at))
                .proof(
                    at,
                    format!("{server} answers the preface of HTTP/2 in HTTP/1: `{first}`"),
                )
                .not("closed-before-response", "the upstream answered")
        });
    }
    let close = attempt.closed_by_upstream()?;
    let verdict = attempt
        .asked(Verdict::seen(close.closing.mark.max(exchange.request_at)))
        .proof(
            close.closing.mark,
            format!(
                "{server} sends {} after the preface of HTTP/2, without a frame of its own",
                attempt.close_words()
            ),
        );
    Some(verdict.at_most(
        Confidence::Likely,
        "a server of HTTP/2 that fails at once looks the same",
    ))
}
