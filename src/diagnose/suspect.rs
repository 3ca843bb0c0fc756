//! Exchanges that failed at the client. In: observations of messages. Out: suspects, to be judged when what
//! follows them has been seen.
//!
//! The rule: any exchange may be a client's; whether its server is a gateway is decided when it is judged.

use crate::diagnose::finding::Failure;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord, cut_short};
use crate::diagnose::timeline::{Timeline, exchange_of};
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{Completion, ExchangeId, Protocol, Seen};

/// An exchange that did not end as its client hoped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The exchange.
    pub exchange: ExchangeId,
    /// In what way.
    pub failure: Failure,
    /// The status that was sent.
    pub status: Option<u16>,
    /// First byte of the error, or the close that came instead.
    pub at: Mark,
}

/// What becomes of a suspect when all that follows it has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to look into.
    Fine,
    /// It failed.
    Failed(Suspect),
    /// The client left before it had its answer.
    ClientLeft,
}

/// Statuses that gateways write (causes.md, principle 1). 500 and 503 count only from a gateway.
#[must_use]
pub fn is_error_status(status: u16, asked_for: &[u16]) -> bool {
    matches!(status, 500 | 502 | 503 | 504 | 520..=527 | 530 | 561 | 463)
        || asked_for.contains(&status)
}

/// The suspect that an observation makes, which the timeline has just taken.
#[must_use]
pub fn suspect(timeline: &Timeline, what: &Seen, asked_for: &[u16]) -> Option<Suspect> {
    let id = exchange_of(what)?;
    match what {
        Seen::ResponseHead { head, .. } if is_error_status(head.status, asked_for) => {
            let (_, exchange) = timeline.exchange(id)?;
            let at = exchange.response_at.unwrap_or(head.at);
            Some(Suspect {
                exchange: id,
                failure: Failure::Status,
                status: Some(head.status),
                at,
            })
        }
        Seen::ResponseEnd { end, .. } => {
            let (connection, exchange) = timeline.exchange(id)?;
            if end.how.is_complete() && !left_before(connection, exchange) {
                return None;
            }
            let odd = connection.protocol == Some(Protocol::Http1)
                && exchange.status().is_none_or(|status| status < 400);
            let ended = Suspect {
                exchange: id,
                failure: Failure::SilentClose,
                status: exchange.status(),
                at: end.at,
            };
            odd.then_some(ended)
        }
        _ => None,
    }
}

/// Looks at a suspect again when the close that may have followed is known: who made it decides.
#[must_use]
pub fn settle(timeline: &Timeline, suspect: Suspect) -> Outcome {
    let Some((connection, exchange)) = timeline.exchange(suspect.exchange) else {
        return Outcome::Fine;
    };
    if suspect.failure == Failure::Status {
        return Outcome::Failed(suspect);
    }
    let Some(end) = exchange.response_end else {
        return Outcome::Fine;
    };
    if end.how.is_complete() {
        // A half-close is legal; only a client that is gone answers the response with a RST.
        let gone = connection.facts.from_client.reset.is_some();
        return if gone && left_before(connection, exchange) {
            Outcome::ClientLeft
        } else {
            Outcome::Fine
        };
    }
    if let (Some((_, at, _)), None) = (exchange.fault.as_deref(), &exchange.response) {
        let at = exchange.response_at.unwrap_or(*at);
        return Outcome::Failed(Suspect {
            failure: Failure::Raw,
            status: None,
            at,
            ..suspect
        });
    }
    if end.how != Completion::Nothing && !cut_short(end.how) {
        return Outcome::Fine;
    }
    match first_close(connection) {
        None => Outcome::Fine,
        Some((Direction::ToServer, _)) => Outcome::ClientLeft,
        Some((Direction::ToClient, closed)) if end.how == Completion::Nothing => {
            Outcome::Failed(Suspect {
                failure: Failure::SilentClose,
                status: None,
                at: closed.max(exchange.request_at),
                ..suspect
            })
        }
        Some((Direction::ToClient, closed)) => Outcome::Failed(Suspect {
            failure: Failure::TruncatedRelay,
            at: closed.max(end.at),
            ..suspect
        }),
    }
}

/// Whether the client had closed its side before the first byte of the answer.
fn left_before(connection: &ConnectionRecord, exchange: &ExchangeRecord) -> bool {
    let fin = connection.facts.from_client.fin.map(|fin| fin.mark);
    matches!((fin, exchange.response_at), (Some(fin), Some(answered)) if fin < answered && fin > exchange.request_at)
}

/// Who closed a connection first, and where.
#[must_use]
pub fn first_close(connection: &ConnectionRecord) -> Option<(Direction, Mark)> {
    let facts = &connection.facts;
    [
        (Direction::ToServer, facts.from_client.fin),
        (Direction::ToServer, facts.from_client.reset),
        (Direction::ToClient, facts.from_server.fin),
        (Direction::ToClient, facts.from_server.reset),
    ]
    .into_iter()
    .filter_map(|(by, closing)| closing.map(|closing| (by, closing.mark)))
    .min_by_key(|(_, mark)| *mark)
}
