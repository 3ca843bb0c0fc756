//! `tls-no-shared-cipher`. In: an attempt that the upstream refused for its parameters. Out: the verdict.
//!
//! The rule: alert 40 has many reasons: only what the same upstream took from others tells that it is the suites. Never certain.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-no-shared-cipher",
    family: Family::Tls,
    title: "No TLS cipher suite in common",
    explanation: "The upstream found no parameters that both sides take: cipher suites, groups or signature algorithms. It says so by insufficient_security, or by handshake_failure while it chose a suite elsewhere that this gateway does not offer.",
    signature: "ClientHello from the gateway; the fatal alert 71 from the upstream, or 40 before any ServerHello while none of the suites that the same upstream chose elsewhere in the capture is offered.",
    is_not: &[
        "tls-version-mismatch: alert 70.",
        "tls-alert-from-upstream: handshake_failure without a sign that it is the suites.",
        "tls-client-cert-required: there the upstream asked for a certificate before.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "One side was hardened: the upstream takes forward-secret AEAD suites only, or the gateway's list is a short, old one.",
        "The upstream has an RSA certificate and the gateway offers ECDSA suites only, or the other way round.",
        "A policy of the system (FIPS, crypto-policies, SECLEVEL) removed suites or groups.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -cipher ALL </dev/null` shows what the upstream chooses; `nmap --script ssl-enum-ciphers -p PORT UPSTREAM` lists all.",
        "Compare with the suites in the captured ClientHello.",
        "Widen one side: `proxy_ssl_ciphers`, `ssl-default-server-ciphers`, `cipher_suites`, `SSLProxyCipherSuite`.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert insufficient_security.
const INSUFFICIENT_SECURITY: u8 = 71;
/// The alert handshake_failure.
const HANDSHAKE_FAILURE: u8 = 40;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    if let Some(alert) = story.refused_by(&[INSUFFICIENT_SECURITY]) {
        return Some(story.refusal(alert).at_most(
            Confidence::Likely,
            "the alert means suites, groups or signature algorithms alike",
        ));
    }
    let alert = story.refused_by(&[HANDSHAKE_FAILURE])?;
    if story.choice.is_some() {
        return None;
    }
    let (at, words) = story.offer.shares_no_suite_of(attempt.server_took)?;
    Some(
        story
            .refusal(alert)
            .proof(at, words)
            .at_most(
                Confidence::Likely,
                "handshake_failure has other reasons too: this one rests on what the upstream chose elsewhere",
            ),
    )
}
