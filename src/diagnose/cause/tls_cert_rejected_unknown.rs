//! `tls-cert-rejected-unknown`. In: an attempt in which the gateway refused the certificate without a reason that shows. Out: the verdict.
//!
//! The rule: never certain: the alert says that, and not why; encrypted, it is told from its size.

use crate::diagnose::attempt::{Attempt, Verdict, alert_name};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::{Story, TLS13};

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-cert-rejected-unknown",
    family: Family::Tls,
    title: "The gateway refused the upstream's certificate",
    explanation: "The gateway answered the upstream's certificate with an alert, and neither the alert nor the certificate as far as it can be read says why.",
    signature: "Certificate from the upstream, or its encrypted flight in TLS 1.3; the gateway's fatal alert 42, 43, 46, 80 or 113, or an encrypted record of the size of an alert before the handshake is complete.",
    is_not: &[
        "tls-cert-expired tls-cert-name-mismatch tls-untrusted-ca: there the reason shows.",
        "tls-client-cert-rejected: there the upstream refuses.",
        "tls-closed-after-handshake: there the handshake was completed first.",
    ],
    contributing: &["Nothing: the refusal is the end."],
    root_causes: &[
        "The name is another than the one that the gateway verifies.",
        "The issuer is not trusted; Go programs such as Caddy and Traefik say bad_certificate for each reason.",
        "The certificate had expired, which TLS 1.3 hides.",
        "The certificate is not meant for servers (extended key usage), or its signature is too weak.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -showcerts </dev/null | openssl x509 -noout -dates -subject -issuer -ext subjectAltName`.",
        "The gateway's own log names the reason; with a TLS key log of the gateway the certificate can be read too.",
    ],
    examine: Examine::Attempt(examine),
};

/// bad_certificate, unsupported_certificate, certificate_unknown and bad_certificate_status_response.
const OF_CERTIFICATES: &[u8] = &[42, 43, 46, 113];
/// The alert internal_error: what OpenSSL says when the caller's own check failed.
const INTERNAL_ERROR: u8 = 80;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let choice = story.choice?;
    if let Some(alert) = story.rejected_by(OF_CERTIFICATES) {
        return Some(
            story
                .rejection(alert)
                .detail(alert_name(alert.alert))
                .at_most(
                    Confidence::Likely,
                    "the alert does not say what is wrong with the certificate",
                ),
        );
    }
    if let Some(alert) = story.rejected_by(&[INTERNAL_ERROR]) {
        let verdict = story.rejection(alert).detail(alert_name(alert.alert));
        return Some(verdict.at_most(
            Confidence::Possible,
            "internal_error may mean the certificate's name, or something else in the gateway",
        ));
    }
    // A close right after the handshake has a code of its own.
    if choice.version != TLS13 || story.done.is_some() {
        return None;
    }
    let at = story.silent_rejection(attempt)?;
    Some(story.rejected_in_silence(at).at_most(
        Confidence::Likely,
        "alert and certificate are encrypted: this is told from sizes and order; a TLS key log would show both",
    ))
}
