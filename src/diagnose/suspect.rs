//! Exchanges that failed at the client. In: observations of messages. Out: suspects, to be judged when what
//! follows them has been seen.
//!
//! The rule: any exchange may be a client's; whether its server is a gateway is decided when it is judged.

use crate::diagnose::finding::Failure;
use crate::diagnose::timeline::{
    ConnectionRecord, ExchangeRecord, Timeline, cut_short, exchange_of,
};
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

/// What an observation makes of its exchange.
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

/// Looks at an observation that the timeline has just taken.
#[must_use]
pub fn outcome(timeline: &Timeline, what: &Seen, asked_for: &[u16]) -> Outcome {
    let Some(id) = exchange_of(what) else {
        return Outcome::Fine;
    };
    let Some((connection, exchange)) = timeline.exchange(id) else {
        return Outcome::Fine;
    };
    match what {
        Seen::ResponseHead { head, .. } if is_error_status(head.status, asked_for) => {
            let at = exchange.response_at.unwrap_or(head.at);
            Outcome::Failed(Suspect {
                exchange: id,
                failure: Failure::Status,
                status: Some(head.status),
                at,
            })
        }
        Seen::ResponseEnd { end, .. } if connection.protocol == Some(Protocol::Http1) => {
            ended(connection, exchange, end.how, end.at)
        }
        _ => Outcome::Fine,
    }
}

fn ended(
    connection: &ConnectionRecord,
    exchange: &ExchangeRecord,
    how: Completion,
    at: Mark,
) -> Outcome {
    let id = exchange.id;
    let status = exchange.status();
    if status.is_some_and(|status| status >= 400) {
        return Outcome::Fine;
    }
    if let (Some((_, at, _)), None) = (&exchange.fault, &exchange.response) {
        let at = exchange.response_at.unwrap_or(*at);
        return Outcome::Failed(Suspect {
            exchange: id,
            failure: Failure::Raw,
            status: None,
            at,
        });
    }
    if how != Completion::Nothing && !cut_short(how) {
        return Outcome::Fine;
    }
    let Some((by, closed)) = first_close(connection) else {
        return Outcome::Fine;
    };
    if by == Direction::ToServer {
        return Outcome::ClientLeft;
    }
    let failure = if how == Completion::Nothing {
        Failure::SilentClose
    } else {
        Failure::TruncatedRelay
    };
    let at = if failure == Failure::SilentClose {
        closed
    } else {
        closed.max(at)
    };
    Outcome::Failed(Suspect {
        exchange: id,
        failure,
        status,
        at,
    })
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
