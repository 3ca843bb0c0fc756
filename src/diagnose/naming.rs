//! Which product a gateway is called in its finding. In: what its answers and its requests give away. Out: its name.
//!
//! The rule: an answer names it before a request does, and what an upstream wrote, or a client, does not name it at all.

use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::Member;
use crate::diagnose::finding::GatewayName;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::header;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::protocol::observation::{ExchangeId, ResponseHead};

/// The gateway's name, unless what gave it away is the upstream's own: HAProxy, Apache and Caddy pass on the
/// Server header and the page of an upstream that answered with an error itself (causes.md B.9).
#[must_use]
pub fn named(
    timeline: &Timeline,
    member: &Member,
    exchange: &ExchangeRecord,
    last: Option<&Candidate>,
) -> GatewayName {
    let relayed = last.filter(|candidate| candidate.code == Some("upstream-returned-5xx"));
    let upstream = relayed
        .and_then(|candidate| asked_upstream(timeline, candidate))
        .and_then(|(_, upstream)| upstream.response.as_ref());
    let server = |head: &ResponseHead| header(&head.kept, "server").map(|value| value.into_owned());
    let passed_on = match (exchange.response.as_ref(), upstream) {
        (Some(sent), Some(got)) => server(sent).is_some() && server(sent) == server(got),
        _ => false,
    };
    let name = if passed_on {
        GatewayName::default()
    } else {
        member.identified.name.clone()
    };
    by_its_request(timeline, exchange, last, name)
}

/// The same name, or where nothing in its answers named the gateway, the product whose requests to upstreams look so
/// (causes.md C.2). What the client's own request looked like is no sign of the gateway.
fn by_its_request(
    timeline: &Timeline,
    exchange: &ExchangeRecord,
    last: Option<&Candidate>,
    name: GatewayName,
) -> GatewayName {
    let sent = last
        .and_then(|candidate| asked_upstream(timeline, candidate))
        .and_then(|(_, sent)| sent.request.as_ref())
        .and_then(|head| gateway::recognise_request(head));
    let Some((product, clause)) = sent else {
        return name;
    };
    let own = exchange
        .request
        .as_ref()
        .and_then(|head| gateway::recognise_request(head))
        .is_some_and(|(asker, _)| asker == product);
    let open = name
        .product
        .and_then(gateway::by_name)
        .is_none_or(|known| gateway::writes_the_page_of(product, known));
    if own || !open {
        return name;
    }
    let mut identified_by = name.identified_by;
    identified_by.push(format!("its request upstream: {clause}"));
    GatewayName {
        product: Some(product.name),
        version: None,
        identified_by,
    }
}

/// The exchange of an attempt on its upstream connection.
#[must_use]
pub fn asked_upstream<'t>(
    timeline: &'t Timeline,
    candidate: &Candidate,
) -> Option<(&'t ConnectionRecord, &'t ExchangeRecord)> {
    timeline.exchange(ExchangeId {
        connection: candidate.id.connection,
        index: candidate.id.index?,
    })
}
