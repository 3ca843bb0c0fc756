//! `tls-cert-expired`. In: an attempt in which the gateway refused an expired certificate. Out: the verdict.
//!
//! The rule: certain where the gateway says so and the certificate that was seen had expired; likely where one of the two is missing.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::certificate::Problem;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-cert-expired",
    family: Family::Tls,
    title: "The upstream's certificate has expired",
    explanation: "The gateway verifies the upstream's certificate, and it, or an issuer's that was sent with it, had expired at the time of the capture.",
    signature: "Certificate from the upstream whose last day lies before the capture's time; the gateway's fatal alert 45, another refusal of it, or its close right after the handshake. Where the certificate is encrypted, alert 45 alone.",
    is_not: &[
        "tls-cert-not-yet-valid: the same alert of some gateways, for a certificate of the future.",
        "tls-untrusted-ca: there the dates are right, and the issuer is unknown.",
        "tls-client-cert-rejected: there the upstream refuses.",
    ],
    contributing: &["Nothing: the dates explain it."],
    root_causes: &[
        "The certificate was not renewed, or renewed on disk and the server not reloaded.",
        "One of several servers behind the name still has the old one.",
        "An intermediate certificate expired, and the old chain is still sent.",
        "The clock of the gateway or of the machine that captured is wrong.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -showcerts </dev/null | openssl x509 -noout -dates -subject -issuer -ext subjectAltName`.",
        "Reload the upstream after the renewal; watch the days left (14 days ahead gwcap warns).",
        "Compare the gateway's clock: `date -u`.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert certificate_expired.
const EXPIRED: u8 = 45;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let is_it = |problem: &Problem| matches!(problem, Problem::Expired(..));
    let Some(alert) = story.rejected_by(&[EXPIRED]) else {
        return story.rejected_for(attempt, is_it);
    };
    let problems = story.problems();
    if problems.iter().any(is_it) {
        return Some(story.rejection(alert));
    }
    // Some gateways say the same of a certificate of the future.
    if problems
        .iter()
        .any(|problem| matches!(problem, Problem::NotYetValid(..)))
    {
        return None;
    }
    let why = match story.chain {
        Some(_) => {
            "no certificate that was sent had expired at the capture's time: an issuer that was not sent, a revocation list, or a wrong clock may have"
        }
        None => {
            "the certificate is encrypted: the gateway's word is all that shows; a TLS key log would show the dates"
        }
    };
    Some(story.rejection(alert).at_most(Confidence::Likely, why))
}
