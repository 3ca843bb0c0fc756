//! What clients did, or what gateways refused of them. In: failed exchanges that are no gateway errors. Out: events.
//!
//! The rule (interface.md): a client that left, was too slow or asked for nonsense is an event and no finding; its patience
//! is told where it is a timer and not a person.

use crate::diagnose::attempt::millis;
use crate::diagnose::finding::{ClientEvent, Evidence, Leg};
use crate::diagnose::gateway;
use crate::diagnose::host::Host;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::role::uses_inside;
use crate::diagnose::suspect::first_close;
use crate::diagnose::timeline::Timeline;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::ExchangeId;

/// Attempts inside an exchange that are looked at for the one whose status was passed on.
const ATTEMPTS_LOOKED_AT_MAX: usize = 64;
/// A timer fires within this of its whole second, nanoseconds.
const PUNCTUAL_NANOS: i64 = 50_000_000;

/// Statuses of a gateway's own that blame the client, and their codes.
const BLAMES: &[(u16, &str)] = &[(400, "client-bad-request"), (408, "client-request-timeout")];

/// Whether a status may blame the client.
#[must_use]
pub fn blames_client(status: u16) -> bool {
    BLAMES.iter().any(|(known, _)| *known == status)
}

/// The event of a client that left before its answer.
#[must_use]
pub fn left(timeline: &Timeline, id: ExchangeId) -> Option<ClientEvent> {
    let (record, exchange) = timeline.exchange(id)?;
    let (_, at) = first_close(record).filter(|(by, _)| *by == Direction::ToServer)?;
    let reset = record
        .facts
        .from_client
        .reset
        .is_some_and(|reset| reset.mark == at);
    let waited = at.time.nanos_since(exchange.request_at.time);
    let patience_seconds = patience(waited);
    let mut words = format!(
        "the client leaves with {} after {}",
        if reset { "RST" } else { "FIN" },
        millis(waited)
    );
    match exchange.response_at.filter(|answered| *answered < at) {
        Some(_) => words.push_str(", in the middle of the response"),
        None => words.push_str(", without a byte of an answer"),
    }
    if let Some(seconds) = patience_seconds {
        words.push_str(&format!(": a patience of {seconds} s, as a timer has it"));
    }
    Some(ClientEvent {
        patience_seconds,
        ..event("client-aborted", record, exchange, at, words)
    })
}

/// Whole seconds that a wait equals, where they are such as people give to timers.
fn patience(waited: i64) -> Option<u32> {
    let seconds = u32::try_from((waited + 500_000_000) / 1_000_000_000).ok()?;
    let off = waited.abs_diff(i64::from(seconds) * 1_000_000_000);
    let round = matches!(seconds, 1..=3) || seconds > 0 && seconds.is_multiple_of(5);
    (round && off <= PUNCTUAL_NANOS.unsigned_abs()).then_some(seconds)
}

/// The event of a status by which a gateway itself blames its client; `None` where another wrote it. It wrote what carries
/// its page, what it said before the request had ended, and what it said without asking anybody.
#[must_use]
pub fn refused(timeline: &Timeline, id: ExchangeId) -> Option<ClientEvent> {
    let (record, exchange) = timeline.exchange(id)?;
    let (status, at) = (exchange.status()?, exchange.response_at?);
    let (_, code) = BLAMES.iter().find(|(known, _)| *known == status)?;
    let facts = &record.facts;
    let host = timeline.host(facts.vantage, facts.server.addr);
    let page = exchange
        .response
        .as_ref()
        .and_then(|head| gateway::recognise(head, &exchange.body_prefix));
    let own_page = page.is_some_and(|(_, page)| page.own_page);
    let asks = facts.client.addr != facts.server.addr && host.is_some_and(|host| host.opened > 0);
    let whole = exchange
        .request_end
        .is_some_and(|end| end.how.is_complete() && end.at <= at);
    let asked_by_gateway = facts.client.addr != facts.server.addr
        && timeline.is_asked(facts.vantage, facts.client.addr);
    let first_view = timeline.is_best_server_view(id.connection, facts.vantage);
    let nobody_asked =
        host.is_some_and(|host| uses_inside(host, exchange.request_at, at).next().is_none());
    if !(own_page || asks && (!whole || nobody_asked))
        || asked_by_gateway
        || !first_view
        || exchange.told
        || host.is_some_and(|host| passed_on(timeline, host, exchange, at, status))
    {
        return None;
    }
    let waited = at.time.nanos_since(exchange.request_at.time);
    let mut words = format!("the gateway answers {status} after {}", millis(waited));
    if !whole {
        words.push_str(": the request was not whole");
    }
    Some(event(code, record, exchange, at, words))
}

/// Whether an upstream of the gateway had given that status meanwhile.
fn passed_on(
    timeline: &Timeline,
    host: &Host,
    exchange: &ExchangeRecord,
    at: Mark,
    status: u16,
) -> bool {
    uses_inside(host, exchange.request_at, at)
        .take(ATTEMPTS_LOOKED_AT_MAX)
        .filter_map(|id| timeline.connection(id.connection)?.exchange(id.index?))
        .any(|attempt| attempt.status() == Some(status))
}

fn event(
    code: &'static str,
    record: &ConnectionRecord,
    exchange: &ExchangeRecord,
    at: Mark,
    words: String,
) -> ClientEvent {
    let head = exchange.request.as_ref();
    let line = head.map_or_else(
        || "a request".to_owned(),
        |head| format!("{} {}", head.method, head.target),
    );
    ClientEvent {
        code,
        at,
        client: record.facts.client,
        gateway: record.facts.server,
        tcp_stream: Some(record.stream_number),
        status: exchange.status(),
        waited_nanos: at.time.nanos_since(exchange.request_at.time),
        patience_seconds: None,
        evidence: vec![
            Evidence {
                mark: exchange.request_at,
                leg: Leg::Client,
                summary: format!("the client asks: {line}"),
            },
            Evidence {
                mark: at,
                leg: Leg::Client,
                summary: words,
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_is_a_whole_number_of_seconds() {
        const MILLI: i64 = 1_000_000;
        assert_eq!(patience(30_004 * MILLI), Some(30));
        assert_eq!(patience(29_960 * MILLI), Some(30));
        assert_eq!(patience(1_010 * MILLI), Some(1));
        assert_eq!(patience(30_060 * MILLI), None);
        assert_eq!(patience(7_000 * MILLI), None);
        assert_eq!(patience(20 * MILLI), None);
        assert_eq!(patience(i64::MAX - MILLI * 1_000), None);
        assert_eq!(patience(-5 * MILLI), None);
    }
}
