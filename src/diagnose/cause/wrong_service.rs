//! `wrong-service`. In: an attempt in HTTP that another service answered. Out: the verdict, with its name.
//!
//! The rule: the service is named by its own first words, never by the number of the port.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::banner::{instead_of_http, service};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "wrong-service",
    family: Family::ProtocolMismatch,
    title: "Another service answers on the port",
    explanation: "The gateway asked in HTTP, and the bytes that came are the greeting or the \
     error of another service, which the finding names. The gateway dials the wrong host or the \
     wrong port.",
    signature: "HTTP request; before it or instead of an answer, the first words of another \
     protocol.",
    is_not: &[
        "malformed-status-line: the bytes belong to no service that is known.",
        "http09-response: there they are a page without a head.",
        "h1-on-h2-port: there they are a frame of HTTP/2.",
        "http-on-tls-port: there they are a TLS alert.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "A typo in the port, or two ports of one configuration exchanged.",
        "An address that now belongs to another machine: a stale DNS name, a reused container \
         address.",
        "A Service or target group that selects the wrong pods or the wrong target port.",
        "A port forwarding or NAT rule that leads elsewhere.",
    ],
    next_steps: &[
        "On the upstream's host: `ss -ltnp 'sport = :PORT'` names the process.",
        "`nc -v UPSTREAM PORT </dev/null | head -c 200` shows its greeting.",
        "Compare host and port in the gateway's configuration with where the application listens.",
    ],
    examine: Examine::Attempt(examine),
};

/// Bytes of the greeting that the finding shows.
const SHOWN_MAX: usize = 40;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (at, bytes) = instead_of_http(attempt)?;
    let name = service(bytes)?;
    let failed = attempt.moment_of_refusal(at);
    let server = attempt.connection.facts.server;
    let first = shown(bytes.get(..SHOWN_MAX).unwrap_or(bytes));
    Some(
        attempt
            .asked(Verdict::seen(failed))
            .detail(name)
            .proof(at, format!("{server} speaks {name}, not HTTP: `{first}`"))
            .not(
                "malformed-status-line",
                "the bytes are the words of a known service",
            )
            .not("closed-before-response", "bytes of the upstream came"),
    )
}
