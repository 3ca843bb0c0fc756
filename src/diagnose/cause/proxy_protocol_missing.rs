//! `proxy-protocol-missing`. In: an attempt without a PROXY header, to a port that answers only those
//! who send one. Out: the verdict.
//!
//! The rule: what others sent to the same port, and how they fared, is the only proof; so it is never certain.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "proxy-protocol-missing",
    family: Family::ProtocolMismatch,
    title: "The upstream waits for a PROXY header",
    explanation: "The upstream ended the connection or refused the request right away, and in the \
     same capture it answers only connections that begin with a PROXY header. It is set to expect \
     one, and the gateway does not send it.",
    signature: "Request without a PROXY header; a close or 400 from the upstream; other \
     connections to the same port that begin with a PROXY header and are answered.",
    is_not: &[
        "proxy-protocol-unexpected: the reverse, a header that the upstream cannot read.",
        "closed-before-response: nothing shows what the port expects.",
        "reset-before-response: the same, by RST.",
    ],
    contributing: &[
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "The PROXY protocol was switched on in the upstream for a balancer, and the gateway goes \
         around the balancer.",
        "It was switched on in the upstream and not in the gateway.",
        "A health check or an internal client dials the port that is meant for the balancer.",
    ],
    next_steps: &[
        "`curl --haproxy-protocol -v http://UPSTREAM:PORT/` succeeds where a plain request fails.",
        "Send the header: HAProxy `server ... send-proxy-v2`, Envoy \
         `ProxyProtocolUpstreamTransport`; nginx can do so in `stream` only.",
        "Or give the upstream a second port without it.",
    ],
    examine: Examine::Attempt(examine),
};

/// What a server answers to what it cannot read (RFC 9110, section 15.5.1).
const BAD_REQUEST: u16 = 400;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let only_with = attempt.server_answers_after_header && !attempt.server_answers_without_header;
    let has_header = attempt.connection.proxy_header.is_some();
    if !only_with || has_header || !attempt.connection.facts.roles_known || exchange.id.index > 0 {
        return None;
    }
    let server = attempt.connection.facts.server;
    let (at, what) = match &exchange.response {
        Some(head) if head.status == BAD_REQUEST && head.at.time <= attempt.until => {
            (head.at, format!("{server} answers 400"))
        }
        Some(_) => return None,
        None if attempt.response_start().is_some() => return None,
        None => {
            let close = attempt.closed_by_upstream()?.closing.mark;
            let words = attempt.close_words();
            (
                close.max(exchange.request_at),
                format!("{server} sends {words} instead of an answer"),
            )
        }
    };
    Some(attempt.asked(Verdict::seen(at)).proof(at, what).at_most(
        Confidence::Likely,
        "it is inferred from other connections to the same port: those that it answers \
                 begin with a PROXY header",
    ))
}
