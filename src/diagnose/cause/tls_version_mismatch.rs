//! `tls-version-mismatch`. In: an attempt whose handshake ended over the version. Out: the verdict, with the versions.
//!
//! The rule: alert 70 means the version and nothing else (RFC 8446, section 6.2), whoever sends it.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::diagnose::handshake::Story;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-version-mismatch",
    family: Family::Tls,
    title: "No TLS version in common",
    explanation: "One side refused the protocol version of the other with the alert protocol_version. What the gateway offers at most stands in its ClientHello.",
    signature: "ClientHello from the gateway; the fatal alert 70 (protocol_version) from the upstream, or from the gateway after a ServerHello of a version that it does not take.",
    is_not: &[
        "tls-no-shared-cipher: there the version is agreed and the suites are not.",
        "tls-on-http-port: there the answer is not TLS at all.",
        "tls-alert-from-upstream: another alert.",
    ],
    contributing: &["Nothing: the alert says itself why the handshake ended."],
    root_causes: &[
        "The upstream was hardened to TLS 1.2 or 1.3, and the gateway is older: nginx up to 1.22 offers at most TLS 1.2 upstream by default.",
        "The upstream is old and speaks TLS 1.0 or 1.1 only, which the gateway's library refuses.",
        "A policy of the system (FIPS, crypto-policies, SECLEVEL) removed a version on one side.",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -tls1_2 </dev/null`, then with `-tls1_3` and `-tls1_1`: which versions does it take?",
        "Compare `supported_versions` of the gateway's ClientHello with them.",
        "Allow a common version on one side: `proxy_ssl_protocols`, `ssl-min-ver`, `tls_minimum_protocol_version`, `SSLProxyProtocol`.",
    ],
    examine: Examine::Attempt(examine),
};

/// The alert protocol_version.
const PROTOCOL_VERSION: u8 = 70;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let story = Story::of(attempt)?;
    let verdict = match story.refused_by(&[PROTOCOL_VERSION]) {
        Some(alert) => story.refusal(alert),
        None => story.rejection(story.rejected_by(&[PROTOCOL_VERSION])?),
    };
    Some(match story.offer.falls_short_of(attempt.server_took) {
        Some((at, words)) => verdict.proof(at, words),
        None => verdict,
    })
}
