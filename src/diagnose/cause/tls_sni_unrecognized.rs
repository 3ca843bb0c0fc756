//! `tls-sni-unrecognized`. In: an attempt whose server name the upstream refused. Out: the verdict, with the name.
//!
//! The rule: alert 112 means the name and nothing else (RFC 6066, section 3).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-sni-unrecognized",
    family: Family::Tls,
    title: "The upstream does not serve the name (SNI)",
    explanation: "The upstream refused the server name in the gateway's ClientHello with the alert unrecognized_name: it serves other names on this port.",
    signature: "ClientHello with server_name; the fatal alert 112 (unrecognized_name) from the upstream.",
    is_not: &[
        "tls-sni-missing: there no name was sent.",
        "tls-cert-name-mismatch: there the upstream goes on, and the gateway refuses its certificate.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "The gateway sends the name of its upstream group or the client's Host, and not the upstream's own.",
        "The name was moved to another server, or its configuration there is gone.",
        "A typing error in `proxy_ssl_name`, `sni` or `tls_server_name`.",
    ],
    next_steps: &[
        "Compare the name in the captured ClientHello with the names that the upstream serves.",
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME </dev/null` with either name.",
        "Set the right one: `proxy_ssl_name` (nginx), `sni str(NAME)` (HAProxy), `sni` (Envoy), `tls_server_name` (Caddy).",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert unrecognized_name.
const UNRECOGNIZED_NAME: u8 = 112;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let asked = story.offer.sni?;
    let alert = story.refused_by(&[UNRECOGNIZED_NAME])?;
    Some(story.refusal(alert).detail(asked))
}
