//! `alpn-mismatch`. In: an attempt without a common application protocol. Out: the verdict.
//!
//! The rule: alert 120 says it; a gateway that offers HTTP/2 alone and leaves when it is not chosen is likely.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "alpn-mismatch",
    family: Family::Tls,
    title: "No application protocol in common (ALPN)",
    explanation: "The gateway offers application protocols in its ClientHello, and the upstream speaks none of them: it refuses by no_application_protocol, or chooses none and the gateway leaves.",
    signature: "ClientHello with application protocols; the fatal alert 120 from either side; or in TLS 1.2 a ServerHello without a protocol to an offer of h2 alone, and the gateway's close without a request.",
    is_not: &[
        "h2-on-h1-port: there the gateway speaks HTTP/2 without an agreement.",
        "tls-closed-after-handshake: there the gateway leaves although a protocol was agreed or none was offered.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "The gateway is set to HTTP/2 towards an upstream that speaks HTTP/1.1 alone.",
        "The upstream's HTTP/2 was switched off.",
        "A balancer in front of the upstream ends TLS and does not offer what lies behind it.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -alpn h2,http/1.1 </dev/null`: which protocol does it choose?",
        "Allow HTTP/1.1 towards this upstream (`alpn`, `http_protocol_options`, `versions 1.1`), or switch HTTP/2 on there.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert no_application_protocol.
const NO_PROTOCOL: u8 = 120;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    if let Some(alert) = story.refused_by(&[NO_PROTOCOL]) {
        return Some(story.refusal(alert));
    }
    if let Some(alert) = story.rejected_by(&[NO_PROTOCOL]) {
        return Some(story.rejection(alert));
    }
    // What TLS 1.3 chose is encrypted.
    let unchosen = story.choice?.alpn.is_none() && !story.is_sealed();
    let only_http2 = matches!(story.offer.alpn, [only] if &**only == "h2");
    if !unchosen || !only_http2 || !story.fatal_problems().is_empty() {
        return None;
    }
    let at = story.silent_rejection(attempt)?;
    Some(story.rejected_in_silence(at).at_most(
        Confidence::Likely,
        "the gateway offered h2 alone and the upstream chose no protocol; it does not say that this is why it leaves",
    ))
}
