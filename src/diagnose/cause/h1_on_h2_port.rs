//! `h1-on-h2-port`. In: an attempt in HTTP/1 that was answered with frames of HTTP/2. Out: the verdict.
//!
//! The rule: the first frame of a server of HTTP/2 is SETTINGS (RFC 9113, section 3.4), or GOAWAY.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::banner::{http2_frame, instead_of_http};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "h1-on-h2-port",
    family: Family::ProtocolMismatch,
    title: "The upstream speaks HTTP/2 only",
    explanation: "The gateway sent an HTTP/1 request in clear, and the upstream answered with \
     frames of HTTP/2. The port speaks HTTP/2 with prior knowledge, as gRPC servers do.",
    signature: "HTTP/1 request in clear; the first bytes from the upstream are the header of a \
     SETTINGS or GOAWAY frame.",
    is_not: &[
        "h2-on-h1-port: the reverse, HTTP/2 to a port that speaks HTTP/1.",
        "http-on-tls-port: there the answer is a TLS alert.",
        "malformed-status-line: the answer is neither HTTP nor a frame.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The upstream is a gRPC server, and the gateway asks in HTTP/1.",
        "The protocol of the upstream is missing in the gateway's configuration (h2, h2c, grpc).",
        "A Kubernetes Service without `appProtocol` or port name, so that the gateway takes \
         HTTP/1.",
        "The server was set to HTTP/2 only, or its HTTP/1 listener is on another port.",
    ],
    next_steps: &[
        "`curl -v --http2-prior-knowledge http://UPSTREAM:PORT/` succeeds where HTTP/1 fails.",
        "Set the protocol: nginx `grpc_pass`, HAProxy `server ... proto h2`, Envoy \
         `http2_protocol_options`, ingress-nginx `backend-protocol: GRPC`, Kubernetes \
         `appProtocol: kubernetes.io/h2c`.",
        "Or dial the upstream's HTTP/1 port.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (at, bytes) = instead_of_http(attempt)?;
    let frame = http2_frame(bytes)?;
    let failed = attempt.moment_of_refusal(at);
    let server = attempt.connection.facts.server;
    Some(
        attempt
            .asked(Verdict::seen(failed))
            .proof(
                at,
                format!("{server} sends a {frame} frame of HTTP/2 instead of an answer in HTTP/1"),
            )
            .not("malformed-status-line", "the bytes are a frame of HTTP/2")
            .not("closed-before-response", "bytes of the upstream came"),
    )
}
