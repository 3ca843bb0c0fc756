//! `tls-sni-missing`. In: an attempt without a server name that the upstream refused. Out: the verdict.
//!
//! The rule: the absence of a name is a fact; that it is the reason is told by alert 112, or by handshakes with a name that the same upstream completes. Never certain.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-sni-missing",
    family: Family::Tls,
    title: "The gateway sends no server name (SNI)",
    explanation: "The gateway's ClientHello names no server, and the upstream refuses it. Servers with several certificates choose by that name, and some refuse who sends none.",
    signature: "ClientHello without server_name; the fatal alert 112 (unrecognized_name) from the upstream, or 40 or 80 while the same upstream completes handshakes with a name elsewhere in the capture.",
    is_not: &[
        "tls-sni-unrecognized: there a name was sent, and the upstream does not serve it.",
        "tls-alert-from-upstream: the same alerts without a sign that the name is the reason.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "nginx sends no name unless `proxy_ssl_server_name on` is set.",
        "HAProxy sends none unless the server line has `sni`.",
        "The upstream is configured by address, and the product sends names only for names.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -noservername </dev/null`, then with `-servername NAME`: only the second succeeds.",
        "Turn the name on: `proxy_ssl_server_name on` and `proxy_ssl_name` (nginx), `sni str(NAME)` (HAProxy), `sni` in UpstreamTlsContext (Envoy).",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert unrecognized_name.
const UNRECOGNIZED_NAME: u8 = 112;
/// Alerts by which servers refuse a missing name without saying so.
const UNTOLD: &[u8] = &[40, 80];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    if story.offer.sni.is_some() {
        return None;
    }
    if let Some(alert) = story.refused_by(&[UNRECOGNIZED_NAME]) {
        return Some(story.refusal(alert).at_most(
            Confidence::Likely,
            "the upstream complains of the name, and none was sent",
        ));
    }
    let alert = story
        .refused_by(UNTOLD)
        .filter(|_| story.choice.is_none())?;
    let took = attempt.server_took;
    let named = took.iter().find(|other| other.by_name)?;
    if took.iter().any(|other| !other.by_name) {
        return None;
    }
    Some(
        story
            .refusal(alert)
            .proof(
                named.at,
                format!("the same upstream answers {}, who asked by name", named.client.addr),
            )
            .at_most(
                Confidence::Likely,
                format!(
                    "the alert does not say why; the same upstream answers hellos with a name, as that of {}, and none without",
                    named.client.addr
                ),
            ),
    )
}
