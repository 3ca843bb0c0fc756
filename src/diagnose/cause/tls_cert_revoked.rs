//! `tls-cert-revoked`. In: an attempt in which the gateway refused a revoked certificate. Out: the verdict.
//!
//! The rule: the gateway's alert 44 means this and nothing else.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-cert-revoked",
    family: Family::Tls,
    title: "The upstream's certificate was revoked",
    explanation: "The gateway checks revocation (a list or OCSP), found the upstream's certificate revoked, and said so by the alert certificate_revoked.",
    signature: "Certificate from the upstream; the fatal alert 44 (certificate_revoked) from the gateway.",
    is_not: &[
        "tls-cert-expired: there the dates are wrong.",
        "tls-client-cert-rejected: the same alert from the upstream, about the gateway's certificate.",
    ],
    contributing: &["Nothing: the alert explains itself."],
    root_causes: &[
        "The certificate was revoked after a renewal or a leak, and the upstream still uses it.",
        "The issuer revoked a whole batch.",
        "The wrong serial number was revoked.",
    ],
    next_steps: &[
        "`openssl crl -in CRL -noout -text` with the list that the gateway uses, or `openssl ocsp -issuer CA -cert CERT -url URL`.",
        "Install the new certificate at the upstream and reload it.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert certificate_revoked.
const REVOKED: u8 = 44;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    Some(story.rejection(story.rejected_by(&[REVOKED])?))
}
