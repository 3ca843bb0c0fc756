//! `tls-cert-not-yet-valid`. In: an attempt in which the gateway refused a certificate of the future. Out: the verdict.
//!
//! The rule: the certificate must have been seen: no alert says it alone.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::certificate::Problem;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-cert-not-yet-valid",
    family: Family::Tls,
    title: "The upstream's certificate is not valid yet",
    explanation: "The gateway verifies the upstream's certificate, and its first day lies after the time of the capture.",
    signature: "Certificate from the upstream whose first day lies after the capture's time; the gateway's fatal alert 42 or 45, another refusal of it, or its close right after the handshake.",
    is_not: &[
        "tls-cert-expired: there the last day has passed.",
        "tls-untrusted-ca: there the dates are right, and the issuer is unknown.",
    ],
    contributing: &["Nothing: the dates explain it."],
    root_causes: &[
        "The clock of the gateway, or of the machine that made the certificate, is wrong.",
        "A certificate for later was installed too early.",
        "A fresh certificate is used within the clocks' difference (short-lived certificates of a mesh).",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -showcerts </dev/null | openssl x509 -noout -dates -subject -issuer -ext subjectAltName`.",
        "Compare clocks: `date -u` on the gateway, the upstream and the issuer; `chronyc tracking`.",
        "Let the issuer date its certificates a few minutes back.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert certificate_expired, by which some mean every date that does not fit.
const EXPIRED: u8 = 45;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let is_it = |problem: &Problem| matches!(problem, Problem::NotYetValid(..));
    match story.rejected_by(&[EXPIRED]) {
        Some(alert) if story.problems().iter().any(is_it) => Some(story.rejection(alert)),
        _ => story.rejected_for(attempt, is_it),
    }
}
