//! Which hosts are gateways. In: the timeline. Out: a gateway with its addresses and product, or none.
//!
//! The rule (causes.md B.2): a gateway is asked by clients and asks upstreams from the same address; where
//! addresses do not tell (loopback, two networks), the page, the headers and enclosed exchanges do.

use std::net::IpAddr;

use crate::diagnose::candidate::Gateway;
use crate::diagnose::finding::{Failure, GatewayName};
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::{Product, Recognised};
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::sidecar;
use crate::diagnose::suspect::Suspect;
use crate::diagnose::timeline::{SERVED_LOOKED_AT_MAX, Timeline};
use crate::flow::{Endpoint, Vantage};
use crate::frame::Mark;
use crate::protocol::observation::ExchangeId;

/// What the user told about hosts, where it cannot be inferred.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Addresses that are gateways.
    pub gateways: Vec<IpAddr>,
    /// Addresses that are upstreams and no gateways.
    pub upstreams: Vec<IpAddr>,
    /// Further statuses that count as gateway errors.
    pub statuses: Vec<u16>,
}

/// What the host that answered is.
#[derive(Clone, Debug)]
pub enum Role {
    /// A gateway.
    Gateway(Box<Identified>),
    /// No sign of a gateway, and its client is one: the exchange is an attempt of that one.
    UpstreamOfGateway,
    /// No sign of a gateway, and its client is a plain one.
    Application,
}

/// A gateway and how it was recognised.
#[derive(Clone, Debug)]
pub struct Identified {
    /// For candidates.
    pub gateway: Gateway,
    /// For the report.
    pub name: GatewayName,
    /// What its error page said, when the exchange has one.
    pub recognised: Option<Recognised>,
    /// Whether its address towards upstreams was found by enclosed exchanges, not by being the same.
    pub by_alias: bool,
    /// Whether it was seen to ask anyone else in the whole capture so far.
    pub asks: bool,
}

/// Decides what the server of a failed exchange is.
#[must_use]
pub fn role(timeline: &Timeline, told: &Told, suspect: &Suspect) -> Option<Role> {
    let (connection, exchange) = timeline.exchange(suspect.exchange)?;
    let facts = &connection.facts;
    let (vantage, endpoint) = (facts.vantage, facts.server);
    let page = page_of(timeline, vantage, endpoint, exchange);
    let own_page = page
        .as_ref()
        .is_some_and(|(_, recognised)| recognised.own_page);
    let same_host = facts.client.addr == endpoint.addr;
    let asks = asks_others(timeline, vantage, endpoint.addr)
        && !is_called_back(timeline, connection, exchange, suspect);
    let is_gateway = !told.upstreams.contains(&endpoint.addr)
        && (told.gateways.contains(&endpoint.addr)
            || own_page
            || if same_host {
                encloses(timeline, connection, exchange, suspect)
                    || sidecar::is_gateway(timeline, connection, exchange, suspect)
            } else {
                asks
            });
    if is_gateway {
        return Some(Role::Gateway(Box::new(identify(
            timeline, connection, exchange, suspect, page, asks,
        ))));
    }
    let client_is_gateway = told.gateways.contains(&facts.client.addr)
        || (same_host && enclosed(timeline, connection, exchange))
        || (!same_host && !connection.passed_on && timeline.is_asked(vantage, facts.client.addr));
    Some(match (client_is_gateway, page) {
        (true, _) => Role::UpstreamOfGateway,
        (false, Some(page)) => Role::Gateway(Box::new(identify(
            timeline,
            connection,
            exchange,
            suspect,
            Some(page),
            asks,
        ))),
        (false, None) => Role::Application,
    })
}

/// With more hosts that ask than this, a gateway's other address is not searched for among them.
const ASKERS_MAX: usize = 256;

type Page = (&'static Product, Recognised);

/// The product by this answer, else by what the endpoint wrote in earlier ones.
fn page_of(
    timeline: &Timeline,
    vantage: Vantage,
    endpoint: Endpoint,
    exchange: &ExchangeRecord,
) -> Option<Page> {
    let head = exchange.response.as_ref();
    if let Some(found) = head.and_then(|head| gateway::recognise(head, &exchange.body_prefix)) {
        return Some(found);
    }
    timeline.service(vantage, endpoint)?.page.clone()
}

fn identify(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
    page: Option<Page>,
    asks: bool,
) -> Identified {
    let facts = &connection.facts;
    let mut addrs = vec![facts.server.addr];
    let mut by_alias = false;
    if !asks && facts.client.addr != facts.server.addr {
        addrs.extend(local_aliases(timeline, facts.vantage, facts.server.addr));
        if addrs.len() == 1 {
            addrs.extend(aliases(timeline, connection, exchange, suspect));
            by_alias = addrs.len() > 1;
        }
    }
    for addr in sidecar::addrs(timeline, connection, exchange, suspect) {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    let asks = asks || addrs.len() > 1;
    let (product, recognised) = page.map_or((None, None), |(product, recognised)| {
        (Some(product), Some(recognised))
    });
    let name = GatewayName {
        product: product.map(|product| product.name),
        version: recognised
            .as_ref()
            .and_then(|recognised| recognised.version.clone()),
        identified_by: recognised
            .as_ref()
            .map(|recognised| recognised.identified_by.clone())
            .unwrap_or_default(),
    };
    let gateway = Gateway {
        vantage: facts.vantage,
        endpoint: facts.server,
        addrs,
        product,
    };
    Identified {
        gateway,
        name,
        recognised,
        by_alias,
        asks,
    }
}

/// Whether the host opened connections or sent requests to anyone.
fn asks_others(timeline: &Timeline, vantage: Vantage, addr: IpAddr) -> bool {
    timeline
        .host(vantage, addr)
        .is_some_and(|host| host.opened > 0 || !host.lookups.is_empty())
}

/// Whether the host asks nobody but this very client, and did not do so for this exchange: an application that itself
/// calls the gateway which asks it.
fn is_called_back(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
) -> bool {
    let facts = &connection.facts;
    if facts.client.addr == facts.server.addr
        || !timeline.is_asked(facts.vantage, facts.client.addr)
    {
        return false;
    }
    if timeline.is_behind(facts.vantage, facts.server.addr, facts.client.addr) {
        return true;
    }
    timeline
        .host(facts.vantage, facts.server.addr)
        .is_some_and(|host| {
            host.lookups.is_empty()
                && !host.asks_others_than(facts.client.addr)
                && uses_inside(host, exchange.request_at, suspect.at)
                    .next()
                    .is_none()
        })
}

/// On one shared address: whether an exchange that the host itself sent, elsewhere, lies inside this one.
fn encloses(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
) -> bool {
    let facts = &connection.facts;
    let Some(host) = timeline.host(facts.vantage, facts.server.addr) else {
        return false;
    };
    uses_inside(host, exchange.request_at, suspect.at).any(|id| {
        timeline.connection(id.connection).is_some_and(|record| {
            record.facts.id != facts.id
                && record.facts.server != facts.server
                && id
                    .index
                    .and_then(|index| record.exchange(index))
                    .is_none_or(|inner| same_request(exchange, inner))
        })
    })
}

/// On one shared address: whether this exchange lies inside one that another port of the host served.
fn enclosed(timeline: &Timeline, connection: &ConnectionRecord, exchange: &ExchangeRecord) -> bool {
    let facts = &connection.facts;
    let Some(host) = timeline.host(facts.vantage, facts.client.addr) else {
        return false;
    };
    let latest = ExchangeId {
        connection: facts.id,
        index: u32::MAX,
    };
    host.served
        .range(..=(exchange.request_at, latest))
        .rev()
        .take_while(|(at, _)| *at > exchange.request_at.back_seconds(130))
        .take(SERVED_LOOKED_AT_MAX)
        .any(|(_, id)| {
            id.connection != facts.id
                && timeline.exchange(*id).is_some_and(|(record, outer)| {
                    record.facts.server.port != facts.server.port
                        && same_request(outer, exchange)
                        && outer
                            .response_at
                            .is_none_or(|answered| answered >= exchange.request_at)
                })
        })
}

/// The uses of a host that began between two marks.
pub fn uses_inside(
    host: &crate::diagnose::host::Host,
    from: Mark,
    until: Mark,
) -> impl Iterator<Item = AttemptId> + '_ {
    let first = (
        from,
        AttemptId {
            connection: Default::default(),
            index: None,
        },
    );
    host.uses
        .range(first..)
        .take_while(move |(at, _)| *at <= until)
        .map(|(_, id)| *id)
}

fn same_request(one: &ExchangeRecord, other: &ExchangeRecord) -> bool {
    match (&one.request, &other.request) {
        (Some(one), Some(other)) => one.method == other.method && one.target == other.target,
        _ => true,
    }
}

/// Other addresses of the capturing machine, when the gateway is that machine: a gateway on two networks, or
/// with an upstream on loopback. Addresses that are asked themselves are other containers or services.
fn local_aliases(timeline: &Timeline, vantage: Vantage, addr: IpAddr) -> Vec<IpAddr> {
    let Some(machine) = timeline.host(vantage, addr).and_then(|host| host.local) else {
        return Vec::new();
    };
    let mut found: Vec<IpAddr> = timeline
        .local_askers(machine)
        .filter(|(other, host)| *other != addr && (host.ports.is_empty() || other.is_loopback()))
        .map(|(other, _)| other)
        .collect();
    found.sort_unstable();
    found
}

/// Other addresses of a gateway on several networks: those that sent the same request while it was open, and
/// that nobody asked anything.
fn aliases(
    timeline: &Timeline,
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    suspect: &Suspect,
) -> Vec<IpAddr> {
    let facts = &connection.facts;
    let asked = exchange.request.as_ref();
    if timeline.askers().nth(ASKERS_MAX).is_some() {
        return Vec::new();
    }
    let mut found: Vec<IpAddr> = timeline
        .askers()
        .filter(|((_, addr), _)| {
            !addr.is_loopback() && *addr != facts.client.addr && *addr != facts.server.addr
        })
        .filter(|(_, host)| {
            uses_inside(host, exchange.asked_at(), suspect.at).any(|id| {
                id.index
                    .and_then(|index| {
                        timeline.exchange(ExchangeId {
                            connection: id.connection,
                            index,
                        })
                    })
                    .and_then(|(_, inner)| inner.request.as_ref())
                    .zip(asked)
                    .is_some_and(|(inner, asked)| {
                        inner.method == asked.method && inner.target == asked.target
                    })
            })
        })
        .map(|((_, addr), _)| *addr)
        .collect();
    found.sort_unstable();
    found.truncate(4);
    found
}

/// Ports on which nobody but HTTP is expected (RFC 9110, section 4.2) and its usual others.
const HTTP_PORTS: &[u16] = &[80, 443, 8080, 8443];

/// An error status that only gateways write (502, 504, 52x), from a host that shows no other sign of one; or bytes without a
/// head from a port of HTTP, as only a gateway passes them on.
#[must_use]
pub fn unnamed(timeline: &Timeline, suspect: &Suspect) -> Option<Identified> {
    let (connection, exchange) = timeline.exchange(suspect.exchange)?;
    let raw = suspect.failure == Failure::Raw && HTTP_PORTS.contains(&connection.facts.server.port);
    let status = matches!(
        suspect.status,
        Some(502 | 504 | 520..=527 | 530 | 561 | 463)
    );
    if !(raw || status) {
        return None;
    }
    Some(identify(
        timeline, connection, exchange, suspect, None, false,
    ))
}
