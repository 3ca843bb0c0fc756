//! Requests that a gateway makes of its own accord while it serves a client: may the client pass, who is it. In: an error
//! and the attempt that failed before it. Out: whether such a request explains the status that was sent.
//!
//! The rule (causes.md B.1): an auxiliary call is told from the product's own rules, never certain. Copies of requests
//! (mirrors) need nothing said: no client fails by them.

use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, Failure};
use crate::diagnose::gateway::product::Product;
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::timeline::Timeline;

/// How a product answers where the call fails that is to tell whether a request may pass.
struct AskFirst {
    product: &'static str,
    /// What it calls that.
    name: &'static str,
    /// The status, where it is always the same; else any server error that was configured.
    status: Option<u16>,
    /// Whether the answer has no body, as that for a failed attempt of the request itself has.
    bare: bool,
}

/// Envoy says 403 unless `status_on_error` names a server error, and only then its clients see an error of a gateway. Traefik
/// (`pkg/middlewares/auth/forward.go`) was not run.
const ASK_FIRST: &[AskFirst] = &[
    AskFirst {
        product: "nginx",
        name: "auth_request",
        status: Some(500),
        bare: false,
    },
    AskFirst {
        product: "Envoy",
        name: "ext_authz",
        status: None,
        bare: true,
    },
    AskFirst {
        product: "Traefik",
        name: "forwardAuth",
        status: Some(500),
        bare: true,
    },
];

/// First server error (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// Whether a product answers so where an auxiliary call fails.
#[must_use]
pub fn explains(product: &Product, answer: &ExchangeRecord) -> bool {
    rule(product, answer).is_some()
}

fn rule(product: &Product, answer: &ExchangeRecord) -> Option<&'static AskFirst> {
    let status = answer.status().filter(|status| *status >= SERVER_ERROR)?;
    let bare = answer
        .response_end
        .is_some_and(|end| end.how.is_complete() && end.body_len == 0);
    ASK_FIRST.iter().find(|rule| {
        rule.product == product.name
            && rule.status.is_none_or(|it| it == status)
            && (bare || !rule.bare)
    })
}

/// Says that the failed attempt was no attempt of the request itself.
pub fn weigh(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let suspect = &member.suspect;
    let answer = timeline.exchange(suspect.exchange);
    let product = member.identified.gateway.product;
    let Some((rule, status)) = product
        .zip(answer)
        .and_then(|(product, (_, answer))| rule(product, answer).zip(answer.status()))
    else {
        return;
    };
    if suspect.failure != Failure::Status {
        return;
    }
    let how = if rule.bare { " without a body" } else { "" };
    let otherwise = if rule.bare {
        "a page"
    } else {
        "other statuses"
    };
    let asked = timeline
        .connection(last.id.connection)
        .and_then(|record| record.exchange(last.id.index?)?.request.as_ref());
    let own = answer.and_then(|(_, exchange)| exchange.request.as_ref());
    let other = asked.filter(|asked| own.is_some_and(|own| own.target != asked.target));
    let words = match other {
        Some(asked) => format!(
            "the failed request, {} {}, is not the client's",
            asked.method,
            asked.target.split('?').next().unwrap_or_default()
        ),
        None => "what it was to ask was not sent".to_owned(),
    };
    conclusion.at_most(
        Confidence::Likely,
        format!(
            "{} answers {status}{how} where an auxiliary call ({}) fails, and with {otherwise} where the request itself does; {words}",
            rule.product, rule.name
        ),
    );
}
