//! `tls-cert-name-mismatch`. In: an attempt in which the gateway refused a certificate for another name. Out: the verdict, with both names.
//!
//! The rule: never certain: the gateway may verify another name than the one it asks for.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::certificate::Problem;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-cert-name-mismatch",
    family: Family::Tls,
    title: "The upstream's certificate is for another name",
    explanation: "The gateway asked for one name, and the upstream's certificate covers others. The gateway refuses it, or completes the handshake and leaves without a request.",
    signature: "ClientHello with a server name; Certificate from the upstream whose subjectAltName does not cover it; the gateway's fatal alert 42, 46 or 80, or its close right after the handshake.",
    is_not: &[
        "tls-sni-unrecognized: there the upstream refuses the name.",
        "tls-sni-missing: there no name was asked for.",
        "tls-untrusted-ca: there the name fits, and the issuer is unknown.",
    ],
    contributing: &["Nothing: the two names explain it."],
    root_causes: &[
        "nginx verifies `proxy_ssl_name`, which is the name in proxy_pass unless it is set: the name of an upstream group is a classic mistake.",
        "The upstream answers with its default certificate because it does not know the name.",
        "The certificate was renewed without one of its names.",
        "The gateway reaches the upstream by address, and the certificate covers names only.",
    ],
    next_steps: &[
        "Compare the name in the captured ClientHello with the names of the certificate: both stand in the evidence.",
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -showcerts </dev/null | openssl x509 -noout -dates -subject -issuer -ext subjectAltName`.",
        "Set the name to verify: `proxy_ssl_name` (nginx), `verifyhost` and `sni` (HAProxy), `match_typed_subject_alt_names` (Envoy), `tls_server_name` (Caddy).",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let asked = story.offer.sni?;
    let verdict = story.rejected_for(attempt, |problem| matches!(problem, Problem::Name(_)))?;
    Some(verdict.detail(asked))
}
