//! `tls-closed-after-handshake`. In: an attempt that the gateway left when the handshake was complete. Out: the verdict, with what is wrong with the certificate.
//!
//! The rule: no request may have been sent, and the gateway must close at once. Never certain: the gateway does not say why.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-closed-after-handshake",
    family: Family::Tls,
    title: "The gateway left after the handshake",
    explanation: "The handshake was completed, and the gateway closed at once without sending a request. nginx and Apache do so when the upstream's certificate or its name does not satisfy them: they look at it only then.",
    signature: "A complete handshake, no application data from the gateway, its close_notify and FIN within a quarter of a second.",
    is_not: &[
        "tls-cert-expired tls-cert-name-mismatch tls-untrusted-ca: the same, where the certificate can be read and shows the fault.",
        "tls-cert-rejected-unknown: there the gateway refuses within the handshake.",
        "closed-before-response: there a request was sent.",
    ],
    contributing: &["Nothing: the close is the gateway's own decision."],
    root_causes: &[
        "The certificate's issuer is not trusted (`proxy_ssl_verify on`, `SSLProxyVerify require`).",
        "The certificate is not for the name that the gateway verifies (`proxy_ssl_name`, `SSLProxyCheckPeerName`).",
        "The certificate had expired, which TLS 1.3 hides.",
        "The gateway gave up for another reason at that moment: its client left, or a limit.",
    ],
    next_steps: &[
        "The gateway's own log names the reason: nginx \"upstream SSL certificate verify error\" or \"does not match\", Apache AH02039, AH02040, AH02411.",
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME -showcerts </dev/null | openssl x509 -noout -dates -subject -issuer -ext subjectAltName`.",
        "With a TLS key log of the gateway the certificate of TLS 1.3 can be read too.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    story.done?;
    let at = story.silent_rejection(attempt)?;
    let verdict = story.rejected_in_silence(at);
    let verdict = verdict.at_most(
        Confidence::Likely,
        "why the gateway left is not in the capture: the certificate that was shown need not be the reason",
    );
    Some(if story.is_sealed() {
        verdict.at_most(
            Confidence::Likely,
            "what TLS 1.3 encrypts is told from sizes and order; a TLS key log would show the certificate",
        )
    } else {
        verdict
    })
}
