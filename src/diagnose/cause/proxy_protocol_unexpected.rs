//! `proxy-protocol-unexpected`. In: an attempt that began with a PROXY header and was refused. Out:
//! the verdict.
//!
//! The rule: a refusal alone does not tell what was refused; others that fared well without the header do.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::frame::Mark;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "proxy-protocol-unexpected",
    family: Family::ProtocolMismatch,
    title: "The upstream does not expect a PROXY header",
    explanation: "The gateway began the connection with a PROXY header, and the upstream closed \
     or answered 400. It takes the header for a broken request, because it is not set to expect \
     one.",
    signature: "A PROXY header (`PROXY TCP4 ...` or its binary form) at the start of the \
     connection; a close, a TLS alert or 400 from the upstream.",
    is_not: &[
        "proxy-protocol-missing: the reverse, an upstream that waits for the header.",
        "closed-before-response: there the connection began with the request.",
        "tls-alert-from-upstream: there the connection began with the ClientHello.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The PROXY protocol is switched on for this upstream in the gateway, and not in the \
         upstream.",
        "The upstream expects the other version of the header (text or binary).",
        "The address now belongs to another service, which never spoke the PROXY protocol.",
    ],
    next_steps: &[
        "`curl -v http://UPSTREAM:PORT/` without the header succeeds where `curl \
         --haproxy-protocol` fails.",
        "Switch it off in the gateway (HAProxy `send-proxy`, `send-proxy-v2`), or on in the \
         upstream: nginx `listen ... proxy_protocol`, Apache `RemoteIPProxyProtocol On`, HAProxy \
         `accept-proxy`.",
    ],
    examine: Examine::Attempt(examine),
};

/// What a server answers to what it cannot read (RFC 9110, section 15.5.1).
const BAD_REQUEST: u16 = 400;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (version, sent) = attempt.connection.proxy_header?;
    if attempt.server_answers_after_header || attempt.prior_responses() > 0 {
        return None;
    }
    let server = attempt.connection.facts.server;
    let (at, what) = refusal(attempt)?;
    let verdict = attempt
        .asked(Verdict::seen(at))
        .detail(format!("v{version}"))
        .proof(
            sent,
            format!("the gateway begins with a PROXY header of version {version}"),
        )
        .proof(at, format!("{server} {what}"));
    Some(if attempt.server_answers_without_header {
        verdict.at_most(
            Confidence::Likely,
            "it is inferred from other connections to the same port, which are answered without a \
             PROXY header",
        )
    } else {
        verdict.at_most(
            Confidence::Possible,
            "nothing else shows whether this port expects a PROXY header",
        )
    })
}

/// How the upstream refused what came.
fn refusal(attempt: &Attempt<'_>) -> Option<(Mark, String)> {
    let head = attempt
        .exchange
        .and_then(|exchange| exchange.response.as_ref())
        .filter(|head| head.at.time <= attempt.until);
    if let Some(head) = head {
        return (head.status == BAD_REQUEST).then(|| (head.at, "answers 400".to_owned()));
    }
    if attempt.response_start().is_some() {
        return None;
    }
    let close = attempt.closed_by_upstream()?.closing.mark;
    let asked = attempt
        .exchange
        .map_or(close, |exchange| exchange.request_at);
    Some((
        close.max(asked),
        format!("sends {} instead of an answer", attempt.close_words()),
    ))
}
