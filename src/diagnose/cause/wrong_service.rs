//! `wrong-service`. In: an attempt in HTTP that another service answered. Out: the verdict, with its name.
//!
//! The rule: the service is named by its own first words, never by the number of the port.

use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::cause::banner::{instead_of_http, service};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "wrong-service",
    family: Family::ProtocolMismatch,
    title: "Another service answers on the port",
    explanation: "The gateway expects HTTP, and the bytes that came are the greeting or the \
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

/// How long a gateway waits at least for what follows a greeting that it took for an answer, nanoseconds: its timers are of
/// seconds, and a check that only connects closes at once.
const PATIENCE_NANOS_MIN: i64 = 500_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    instead_of_an_answer(attempt).or_else(|| never_asked(attempt))
}

/// The request was sent.
fn instead_of_an_answer(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (at, bytes) = instead_of_http(attempt)?;
    let name = service(bytes)?;
    let failed = attempt.moment_of_refusal(at);
    Some(
        attempt
            .asked(Verdict::seen(failed))
            .detail(name)
            .proof(at, words(attempt, name, bytes))
            .not(
                "malformed-status-line",
                "the bytes are the words of a known service",
            )
            .not("closed-before-response", "bytes of the upstream came"),
    )
}

/// The greeting came so soon that the gateway read it before it wrote. nginx then takes it for the answer, keeps the request
/// to itself, and gives up when nothing follows. A slow check that only connects looks alike, so that this is not certain.
fn never_asked(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (at, bytes) = attempt.connection.unsolicited.as_ref()?;
    let name = service(bytes)?;
    let close = attempt.closed_by_gateway()?.closing;
    let sent = &attempt.connection.facts.from_client;
    // The close bears a number: no byte was sent before it, whatever the capture holds.
    let waited = close.mark.time.nanos_since(at.time);
    if attempt.exchange.is_some() || sent.sent.max(sent.reached) > 0 || waited < PATIENCE_NANOS_MIN
    {
        return None;
    }
    Some(
        Verdict::gave_up(close.mark)
            .detail(name)
            .proof(*at, words(attempt, name, bytes))
            .proof(
                close.mark,
                format!(
                    "the gateway closes after {} and has not sent its request",
                    millis(waited)
                ),
            )
            .at_most(
                Confidence::Likely,
                "no request was sent on this connection: the greeting came before it",
            ),
    )
}

fn words(attempt: &Attempt<'_>, name: &str, bytes: &[u8]) -> String {
    let server = attempt.connection.facts.server;
    let first = shown(bytes.get(..SHOWN_MAX).unwrap_or(bytes));
    format!("{server} speaks {name}, not HTTP: `{first}`")
}
