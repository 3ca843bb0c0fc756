//! `tls-decrypt-error`. In: an attempt whose handshake ended over keys or proofs. Out: the verdict, with the alert.
//!
//! The rule: alerts 20, 21 and 51 mean that bytes could not be decrypted or verified, whoever sends them.

use crate::diagnose::attempt::{Attempt, Verdict, alert_name};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-decrypt-error",
    family: Family::Tls,
    title: "TLS keys or proofs do not fit",
    explanation: "One side could not decrypt or verify what the other sent: a signature, a Finished message or a record. The alert names it; certificates and names are not meant.",
    signature: "The fatal alert 20 (bad_record_mac), 21 (decryption_failed) or 51 (decrypt_error) from the upstream or the gateway.",
    is_not: &[
        "tls-cert-rejected-unknown: there the certificate is refused, and not a proof.",
        "tls-handshake-reset: there nothing is said.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again meanwhile; TCP repairs them, so that they are no reason.",
    ],
    root_causes: &[
        "The upstream restarted, or several share a name and not their ticket keys: resumption fails where full handshakes succeed.",
        "Key and certificate of one side do not belong together.",
        "A device on the way changes bytes, or a faulty offload (kTLS, network card) does.",
        "A bug of one library: compare versions.",
    ],
    next_steps: &[
        "Compare the keys: `openssl x509 -noout -pubkey -in CERT` and `openssl pkey -pubout -in KEY` must print the same.",
        "Switch resumption off for a test: `proxy_ssl_session_reuse off`, `no-ssl-reuse`.",
        "If several upstreams share a name, give them the same ticket keys.",
    ],
    examine: Examine::Attempt(examine),
};

/// bad_record_mac, decryption_failed and decrypt_error.
const OF_KEYS: &[u8] = &[20, 21, 51];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let (alert, verdict) = match (story.refused_by(OF_KEYS), story.rejected_by(OF_KEYS)) {
        (Some(alert), _) => (alert, story.refusal(alert)),
        (None, Some(alert)) => (alert, story.rejection(alert)),
        (None, None) => return None,
    };
    Some(verdict.detail(alert_name(alert.alert)))
}
