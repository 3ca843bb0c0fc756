//! `malformed-status-line`. In: an attempt whose response does not begin with a status line. Out:
//! the verdict, with the bytes.
//!
//! The rule: RFC 9112, section 4; what a tolerant gateway makes of it is not judged here.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "malformed-status-line",
    family: Family::MalformedHead,
    title: "The answer does not begin with a status line",
    explanation: "The first bytes from the upstream are not `HTTP/1.x`, a space and three digits. \
     Another service owns the port, the server speaks another version of HTTP, or the application \
     writes broken output. Some gateways pass such bytes on as they are, instead of an error.",
    signature: "Request; first response bytes that are no status line (RFC 9112, section 4).",
    is_not: &[
        "http-on-tls-port: there the bytes are a TLS alert.",
        "bad-header: there the status line is good and a later line is not.",
        "closed-mid-head: there the bytes that came are a correct beginning.",
    ],
    root_causes: &[
        "Wrong port: an SSH, mail, Redis or database server answers with its banner.",
        "The upstream speaks HTTP/2 only; its first bytes are a SETTINGS frame.",
        "A FastCGI, uwsgi or PROXY protocol mismatch between gateway and upstream.",
        "A CGI script or hand-written server that writes the body without a head.",
        "Left-over bytes of the previous response on a reused connection.",
    ],
    next_steps: &[
        "Read the first bytes in the finding: a banner names the service.",
        "`printf 'GET / HTTP/1.1\\r\\nHost: NAME\\r\\n\\r\\n' | nc UPSTREAM PORT | xxd | head`.",
        "`curl -v --http2-prior-knowledge http://UPSTREAM:PORT/` tells whether it wants HTTP/2.",
        "Check port and protocol of the upstream in the gateway's configuration.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let (fault, at, prefix) = exchange.fault.as_ref()?;
    if fault.rule != Rule::StatusLine || at.time > attempt.until || exchange.response.is_some() {
        return None;
    }
    let shown: String = prefix
        .iter()
        .take(24)
        .map(|byte| byte.escape_ascii().to_string())
        .collect();
    let server = attempt.connection.facts.server;
    Some(
        attempt
            .asked(Verdict::seen(*at))
            .proof(
                *at,
                format!(
                    "{server} answers with `{shown}`, which is no HTTP status line (byte {})",
                    fault.offset
                ),
            )
            .not("closed-before-response", "bytes of an answer came"),
    )
}
