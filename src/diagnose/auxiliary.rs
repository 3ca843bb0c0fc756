//! Requests that a gateway makes of its own accord while it serves a client: may the client pass, who is it. In: an error
//! and the attempt that failed before it. Out: whether such a request explains the status that was sent.
//!
//! The rule (causes.md B.1): an auxiliary call is told from the product's own rules, never certain. Copies of requests
//! (mirrors) need nothing said: no client fails by them.

use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, Failure};
use crate::diagnose::gateway::product::Product;
use crate::diagnose::timeline::Timeline;

/// Products that answer 500 where the subrequest fails that is to tell whether a request may pass (`auth_request`): for a
/// failed attempt of the request itself they have other statuses.
const ASK_FIRST: &[&str] = &["nginx"];
/// The status that they answer then.
const STATUS: u16 = 500;

/// Whether a product answers with this status where an auxiliary call fails.
#[must_use]
pub fn explains(product: &Product, status: Option<u16>) -> bool {
    status == Some(STATUS) && ASK_FIRST.contains(&product.name)
}

/// Says that the failed attempt was no attempt of the request itself.
pub fn weigh(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let suspect = &member.suspect;
    let product = member.identified.gateway.product;
    let Some(product) = product.filter(|product| explains(product, suspect.status)) else {
        return;
    };
    if suspect.failure != Failure::Status {
        return;
    }
    let asked = timeline
        .connection(last.id.connection)
        .and_then(|record| record.exchange(last.id.index?)?.request.as_ref());
    let own = timeline
        .exchange(suspect.exchange)
        .and_then(|(_, exchange)| exchange.request.as_ref());
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
            "{} answers {STATUS} where an auxiliary call (auth_request) fails, and other statuses where the request itself does; {words}",
            product.name
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::GATEWAYS;

    #[test]
    fn only_a_status_that_the_product_keeps_for_it() {
        let named = |name: &str| {
            *GATEWAYS
                .iter()
                .find(|product| product.name == name)
                .unwrap()
        };
        assert!(explains(named("nginx"), Some(500)));
        assert!(!explains(named("nginx"), Some(502)));
        assert!(!explains(named("HAProxy"), Some(500)));
        assert!(!explains(named("nginx"), None));
    }
}
