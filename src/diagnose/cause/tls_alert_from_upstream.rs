//! `tls-alert-from-upstream`. In: an attempt whose handshake the upstream ended by an alert. Out:
//! the verdict, with the alert.
//!
//! The rule: only a fatal alert of the upstream counts; close_notify and warnings do not.

use crate::diagnose::attempt::{Attempt, Verdict, alert_name};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;
use crate::flow::Direction;
use crate::protocol::observation::TlsStep;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-alert-from-upstream",
    family: Family::Tls,
    title: "The upstream refused the TLS handshake by alert",
    explanation: "The upstream sent a fatal TLS alert, so it is alive and speaks TLS, and rejects \
     what the gateway offered. The number of the alert says what it objects to.",
    signature: "ClientHello from the gateway; a fatal alert record (15 03 .. 02 NN) from the \
     upstream in clear: 40 handshake_failure, 42 to 49 client certificate, 70 protocol_version, \
     80 internal_error, 112 unrecognized_name, 116 certificate_required, 120 \
     no_application_protocol.",
    is_not: &[
        "tls-handshake-reset and tls-handshake-closed: there the upstream says nothing.",
        "tls-on-http-port: there the answer is not TLS.",
        "An alert of the gateway means that it rejects the upstream's certificate, the other way \
         round.",
    ],
    contributing: &["Nothing: the alert says itself why the upstream gave up."],
    root_causes: &[
        "No SNI, or a name that the upstream does not serve (alerts 40, 80, 112; rustls says 49).",
        "The upstream demands a client certificate that the gateway does not send (40, 42, 116).",
        "The client certificate is expired, or its issuer is not trusted there (42 to 49).",
        "No common version or cipher suite: an old or a hardened side (40, 70, 71).",
        "No common application protocol (120).",
    ],
    next_steps: &[
        "`openssl s_client -connect UPSTREAM:PORT -servername NAME </dev/null`; then again \
         without `-servername`, with `-tls1_2`, and with `-cert` and `-key`.",
        "Compare the server name in the captured ClientHello with the names that the upstream \
         serves.",
        "If a client certificate is used: `openssl x509 -in CERT -noout -dates -issuer`.",
        "Read the upstream's TLS error log at that time: it names the reason.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    /// The alert level that ends a connection (RFC 8446, section 6).
    const FATAL: u8 = 2;
    let server = attempt.connection.facts.server;
    let hello = attempt.client_hello()?;
    attempt
        .connection
        .tls
        .iter()
        .find_map(|(step, at)| match step {
            TlsStep::Alert {
                direction: Direction::ToClient,
                level: FATAL,
                description,
                ..
            } if at.time <= attempt.until => {
                let name = alert_name(*description);
                Some(
                    Verdict::seen(*at)
                        .detail(name)
                        .proof(
                            hello,
                            format!("the gateway sends a TLS ClientHello to {server}"),
                        )
                        .proof(
                            *at,
                            format!("{server} answers with the fatal alert {description} ({name})"),
                        )
                        .not("tls-handshake-closed", "an alert came before the close"),
                )
            }
            _ => None,
        })
}
