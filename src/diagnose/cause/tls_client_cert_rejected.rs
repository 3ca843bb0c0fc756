//! `tls-client-cert-rejected`. In: an attempt whose client certificate the upstream refused. Out: the verdict, with the alert.
//!
//! The rule: the alert must follow a certificate that the gateway sent.

use crate::diagnose::attempt::{Attempt, Verdict, alert_name};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::certificate::{self, Problem};
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-client-cert-rejected",
    family: Family::Tls,
    title: "The upstream refuses the client certificate",
    explanation: "The gateway sent its own certificate, and the upstream refused it with an alert that says what it minds: expired, revoked, an unknown issuer, or not good for another reason.",
    signature: "CertificateRequest from the upstream, a Certificate from the gateway, then one of the fatal alerts 42 to 46, 48 or 49 from the upstream.",
    is_not: &[
        "tls-client-cert-required: there the gateway sent none.",
        "tls-cert-rejected-unknown: there it is the gateway that refuses.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "The gateway's certificate expired, or was replaced and not reloaded.",
        "Its issuer is not in the upstream's list of trusted issuers.",
        "The certificate is not meant for clients (extended key usage), or its name is not allowed there.",
        "The clocks of the two differ.",
    ],
    next_steps: &[
        "`openssl x509 -in CERT -noout -dates -issuer -ext extendedKeyUsage` on the gateway.",
        "`openssl verify -CAfile UPSTREAM_CA.pem CERT` with the issuers that the upstream trusts.",
        "Reload the gateway after a renewal; read the upstream's TLS error log.",
    ],
    examine: Examine::Attempt(examine),
};

/// bad_certificate, unsupported_certificate, certificate_revoked, certificate_expired, certificate_unknown, unknown_ca and
/// access_denied.
const OF_CERTIFICATES: &[u8] = &[42, 43, 44, 45, 46, 48, 49];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let alert = story.refused_by(OF_CERTIFICATES)?;
    let (chain, at) = story
        .own
        .filter(|(chain, _)| !chain.certificates.is_empty())?;
    let mut words = match chain
        .certificates
        .first()
        .and_then(|der| certificate::read(der))
    {
        Some(own) => format!(
            "the gateway shows a certificate for {}, issued by {}",
            own.subject, own.issuer
        ),
        None => "the gateway shows a certificate that cannot be read".to_owned(),
    };
    for problem in certificate::problems(chain, at.time, None) {
        if matches!(problem, Problem::Expired(..) | Problem::NotYetValid(..)) {
            words.push_str("; ");
            words.push_str(&problem.words());
        }
    }
    Some(
        story
            .refusal(alert)
            .detail(alert_name(alert.alert))
            .proof(at, words),
    )
}
