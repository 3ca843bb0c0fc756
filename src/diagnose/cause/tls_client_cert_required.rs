//! `tls-client-cert-required`. In: an attempt that the upstream refused for want of a certificate. Out: the verdict.
//!
//! The rule: alert 116, or handshake_failure right after an empty Certificate, says it; in TLS 1.3 only sizes tell, and then it is likely at most.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::{AT_ONCE_NANOS, Story};

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-client-cert-required",
    family: Family::Tls,
    title: "The upstream demands a client certificate",
    explanation: "The upstream asked the gateway for a certificate, got none, and refused. In TLS 1.3 the gateway believes the handshake complete and sends its request before it learns of the refusal.",
    signature: "CertificateRequest from the upstream, an empty Certificate from the gateway, then the fatal alert 40, 42 or 116; in TLS 1.3 a record of the size of an empty Certificate, then one of the size of an alert from the upstream and a close, its own or at once the gateway's, without an answer.",
    is_not: &[
        "tls-client-cert-rejected: there a certificate was sent, and refused.",
        "closed-before-response: there the handshake was complete, and nothing in it asked for a certificate.",
        "tls-alert-from-upstream: handshake_failure without a request for a certificate.",
    ],
    contributing: &["Nothing: the upstream's refusal explains itself."],
    root_causes: &[
        "Mutual TLS was switched on at the upstream only (a mesh in STRICT mode, `ssl_verify_client on`).",
        "The gateway has a certificate configured, but not for this upstream.",
        "The gateway has a certificate, but of none of the issuers that the upstream names in its request.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME </dev/null`: \"Acceptable client certificate CA names\" shows what it asks for.",
        "Give the gateway one: `proxy_ssl_certificate` and `proxy_ssl_certificate_key` (nginx), `crt` on the server line (HAProxy), `tls_certificates` (Envoy), `SSLProxyMachineCertificateFile` (Apache), `tls_client_auth` (Caddy).",
        "Read the upstream's TLS error log at that time.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert certificate_required.
const REQUIRED: u8 = 116;
/// Alerts that follow an empty Certificate where one is demanded: handshake_failure and bad_certificate.
const AFTER_NONE: &[u8] = &[40, 42];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    if let Some(alert) = story.refused_by(&[REQUIRED]) {
        return Some(story.refusal(alert));
    }
    let none = story
        .own
        .filter(|(chain, _)| chain.certificates.is_empty())
        .map(|(_, at)| at);
    if let (Some(alert), Some(requested), Some(none)) =
        (story.refused_by(AFTER_NONE), story.requested, none)
    {
        return Some(
            story
                .refusal(alert)
                .proof(
                    requested,
                    format!("{} asks the gateway for a certificate", story.server),
                )
                .proof(
                    none,
                    "the gateway has none: its Certificate message is empty",
                ),
        );
    }
    sealed(attempt, &story)
}

/// What TLS 1.3 shows without keys: an empty certificate by its size, and an alert by its own, before any answer.
fn sealed(attempt: &Attempt<'_>, story: &Story<'_>) -> Option<Verdict> {
    let none = story.none_like?;
    let alert = story.sealed_refusal.filter(|_| story.answered.is_none())?;
    let end = match attempt.closed_by_upstream() {
        Some(close) if close.reset => " and ends the connection with RST",
        Some(_) => " and ends the connection with FIN",
        // A gateway that read the alert may be gone before the upstream's own end is on the wire.
        None => {
            let left = attempt.closed_by_gateway()?.closing.mark;
            (left > alert && left.time.nanos_since(alert.time) <= AT_ONCE_NANOS)
                .then_some("; the gateway leaves at once")?
        }
    };
    Some(
        story
            .told(Verdict::seen(alert))
            .proof(
                none,
                "the gateway sends a record of the size of an empty Certificate message: it was asked for one, and has none",
            )
            .proof(
                alert,
                format!(
                    "{} answers with an encrypted record of the size of an alert{end}",
                    story.server
                ),
            )
            .not("closed-before-response", "the upstream had asked for a certificate and got none")
            .at_most(
                Confidence::Likely,
                "the alert is encrypted: its meaning is told from sizes and order; a TLS key log would show it",
            ),
    )
}
