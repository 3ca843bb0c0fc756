//! `malformed-status-line`. In: an attempt whose response does not begin with a status line. Out:
//! the verdict, with the bytes.
//!
//! The rule: RFC 9112, section 4; what a tolerant gateway makes of it is not judged here.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::{first_line, refused, shown};
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
    signature: "Request; first response bytes that are no status line (RFC 9112, section 4), or a \
     status outside 100 to 599 that the gateway does not take.",
    is_not: &[
        "http-on-tls-port: there the bytes are a TLS alert.",
        "wrong-service: there they are the words of a service that is known.",
        "http09-response: there they are a page or a file, without a head.",
        "bad-header: there the status line is good and a later line is not.",
        "closed-mid-head: there the bytes that came are a correct beginning.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "Wrong port: a service that is not known here answers in its own protocol.",
        "A FastCGI, uwsgi or PROXY protocol mismatch between gateway and upstream.",
        "A CGI script or hand-written server that writes the body without a head.",
        "Left-over bytes of the previous response on a reused connection.",
    ],
    next_steps: &[
        "Read the first bytes in the finding, and the place where they break the rule.",
        "`printf 'GET / HTTP/1.1\\r\\nHost: NAME\\r\\n\\r\\n' | nc UPSTREAM PORT | xxd | head`.",
        "Check port and protocol of the upstream in the gateway's configuration.",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of the first line that the finding shows.
const SHOWN_MAX: usize = 24;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    no_status_line(attempt).or_else(|| refused(attempt, &[Rule::StatusCode]))
}

fn no_status_line(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let (fault, at, prefix) = exchange.fault.as_deref()?;
    if fault.rule != Rule::StatusLine || at.time > attempt.until || exchange.response.is_some() {
        return None;
    }
    let server = attempt.connection.facts.server;
    let first = shown(prefix.get(..SHOWN_MAX).unwrap_or(prefix));
    let (wrong, known) = first_line(prefix, fault.offset);
    let byte = fault
        .byte
        .map_or_else(String::new, |byte| format!(" (0x{byte:02x})"));
    Some(
        attempt
            .asked(Verdict::seen(*at))
            .proof(
                *at,
                format!(
                    "{server} answers with `{first}`, which is no HTTP status line: {wrong}, at byte {}{byte}",
                    fault.offset
                ),
            )
            .proof(*at, known)
            .not("closed-before-response", "bytes of an answer came"),
    )
}
