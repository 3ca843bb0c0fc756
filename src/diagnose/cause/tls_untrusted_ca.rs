//! `tls-untrusted-ca`. In: an attempt in which the gateway did not trust the issuer. Out: the verdict.
//!
//! The rule: certain where the gateway says unknown_ca of a certificate that is signed by itself; likely where the certificate cannot be seen or its issuer may be trusted elsewhere.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::certificate::Problem;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-untrusted-ca",
    family: Family::Tls,
    title: "The gateway does not trust the issuer",
    explanation: "The gateway verifies the upstream's certificate and finds no way from it to an issuer that it trusts: a private or self-signed one, or an intermediate certificate that was not sent.",
    signature: "Certificate from the upstream, often signed by itself or sent without its intermediate; the gateway's fatal alert 48 (unknown_ca), another refusal of a self-signed one, or its close right after the handshake.",
    is_not: &[
        "tls-cert-expired: there the dates are wrong.",
        "tls-cert-name-mismatch: there the issuer is trusted, and the name is not the one asked for.",
        "tls-client-cert-rejected: the same alert from the upstream, about the gateway's certificate.",
    ],
    contributing: &["Nothing: the gateway's refusal explains itself."],
    root_causes: &[
        "The upstream's certificate is from a private issuer that the gateway was not given.",
        "The upstream sends its own certificate without the intermediate one.",
        "The certificate is self-signed, as installers make them.",
        "The gateway's bundle is old and lacks a new root, or a revocation list that it demands is missing.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -CAfile BUNDLE -showcerts </dev/null`: the verify return code names the link that is missing.",
        "Send the whole chain at the upstream: its own certificate first, then the intermediate ones.",
        "Give the gateway the issuer: `proxy_ssl_trusted_certificate` (nginx), `ca-file` (HAProxy), `trusted_ca` (Envoy), `SSLProxyCACertificateFile` (Apache), `tls_trust_pool` (Caddy).",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert unknown_ca.
const UNKNOWN_CA: u8 = 48;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let is_it = |problem: &Problem| matches!(problem, Problem::SelfSigned);
    let Some(alert) = story.rejected_by(&[UNKNOWN_CA]) else {
        return story.rejected_for(attempt, is_it);
    };
    let verdict = story.rejection(alert);
    if story.problems().iter().any(is_it) {
        return Some(verdict);
    }
    let why = match story.chain {
        Some(_) => {
            "which issuers the gateway trusts is not in the capture, and a revocation list that is missing is told by the same alert"
        }
        None => {
            "the certificate is encrypted: the gateway's word is all that shows; a TLS key log would show the chain"
        }
    };
    Some(verdict.at_most(Confidence::Likely, why))
}
