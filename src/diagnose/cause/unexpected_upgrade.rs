//! `unexpected-upgrade`. In: an attempt whose response is 101 to a request that did not ask for it. Out: the
//! verdict.
//!
//! The rule: RFC 9110, section 7.8; a gateway that drops Upgrade on the way asks for less than its client.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::{refused, shown};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::{Family, header};
use crate::protocol::observation::{RequestHead, ResponseHead, Rule};

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "unexpected-upgrade",
    family: Family::MalformedHead,
    title: "The upstream switched protocols unasked",
    explanation: "The upstream answered 101 Switching Protocols to a request that carried no \
     Upgrade, or it switched to another protocol than the one asked for. What follows is no HTTP \
     any more; some gateways refuse it, others pass it on and the client is left with a protocol \
     that it does not speak.",
    signature: "Request without Upgrade, or with another one; 101 from the upstream; the gateway \
     closes and answers with an error.",
    is_not: &[
        "upstream-returned-5xx: there the upstream answers with an error of its own.",
        "bad-interim-response: 100, 102 and 103 leave the protocol as it is.",
        "A 101 that was asked for with that protocol is the start of a WebSocket or the like.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The gateway drops the hop-by-hop headers Upgrade and Connection, and the application \
         takes the path alone for a sign of WebSocket.",
        "A WebSocket endpoint is asked by plain HTTP: a browser, a health check, a crawler.",
        "A server that offers h2c switches though nobody asked.",
    ],
    next_steps: &[
        "Compare both legs: whether the client sent Upgrade, and whether the gateway passed it on.",
        "Pass Upgrade and Connection on for WebSocket paths in the gateway.",
        "Let the application answer 426 Upgrade Required where Upgrade is missing.",
    ],
    examine: Examine::Attempt(examine),
};

/// The status that switches protocols (RFC 9110, section 15.2.2).
const SWITCHING_PROTOCOLS: u16 = 101;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    refused(attempt, &[Rule::UnaskedUpgrade]).or_else(|| other_protocol(attempt))
}

/// 101 to another protocol than those that the request named.
fn other_protocol(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let request = exchange.request.as_ref()?;
    let head = exchange.response.as_ref().filter(|head| {
        head.status == SWITCHING_PROTOCOLS && attempt.rejected && head.at.time <= attempt.until
    })?;
    let (asked, got) = (asked_for(request)?, switched_to(head)?);
    let named = |token: &str| token.trim().eq_ignore_ascii_case(got.trim());
    if asked.split(',').any(named) {
        return None;
    }
    let server = attempt.connection.facts.server;
    let words = format!(
        "{server} switches to `{}` where `{}` was asked for",
        shown(got.as_bytes()),
        shown(asked.as_bytes())
    );
    let verdict = attempt
        .asked(Verdict::seen(head.at))
        .detail("other-protocol")
        .proof(head.at, words);
    Some(verdict.at_most(
        Confidence::Likely,
        "whether this gateway compares the protocols is not known",
    ))
}

fn asked_for(head: &RequestHead) -> Option<String> {
    header(&head.kept, "upgrade").map(|value| value.into_owned())
}

fn switched_to(head: &ResponseHead) -> Option<String> {
    header(&head.kept, "upgrade").map(|value| value.into_owned())
}
