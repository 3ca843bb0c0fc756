//! ICMP errors of one shard. In: errors, with the connections that they quote. Out: observations.
//!
//! The rule: an error that the capture shows on several interfaces is told once. Routers limit their rate, and a
//! sender repeats no segment so soon that two errors about one number were meant.

use std::collections::VecDeque;

use crate::decode::segment::IcmpError;
use crate::loss::Loss;
use crate::protocol::lookup::COPY_NANOS_MAX;
use crate::protocol::observation::{Observation, Seen};
use crate::tcp::event::ConnectionId;

/// Latest errors that a new one is compared with.
const RECENT_MAX: usize = 16;

/// The latest ICMP errors of one shard.
#[derive(Debug, Default)]
pub struct IcmpErrors {
    recent: VecDeque<IcmpError>,
}

impl IcmpErrors {
    /// Tells an error, unless it is a copy of one that was told.
    pub fn on_error(
        &mut self,
        error: &IcmpError,
        connection: Option<ConnectionId>,
        out: &mut Vec<Observation>,
        loss: &mut Loss,
    ) {
        if self.recent.iter().any(|told| is_copy(told, error)) {
            loss.add("icmp_copies_dropped", 1);
            return;
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(*error);
        out.push(Observation {
            seen: error.mark,
            what: Seen::Icmp {
                connection,
                error: Box::new(*error),
            },
        });
    }
}

fn is_copy(told: &IcmpError, error: &IcmpError) -> bool {
    let apart = error.mark.time.nanos_since(told.mark.time);
    let about = |error: &IcmpError| {
        let flow = (error.quoted_source, error.quoted_destination);
        (flow, error.quoted_tcp, error.quoted_sequence)
    };
    let by = |error: &IcmpError| (error.reporter, error.type_code);
    let at = |error: &IcmpError| (error.overlay, error.vantage);
    apart.abs() <= COPY_NANOS_MAX
        && by(told) == by(error)
        && about(told) == about(error)
        && at(told) == at(error)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::decode::segment::IcmpReason;
    use crate::flow::{Endpoint, Overlay, Vantage};
    use crate::frame::Mark;
    use crate::time::Timestamp;

    fn error(at_ms: i64, sequence: u32) -> IcmpError {
        let addr = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        IcmpError {
            reporter: addr(254),
            reason: IcmpReason::Host,
            type_code: (3, 1),
            quoted_source: Endpoint::new(addr(1), 50_000),
            quoted_destination: Endpoint::new(addr(3), 80),
            quoted_tcp: true,
            quoted_sequence: Some(sequence),
            overlay: Overlay::default(),
            vantage: Vantage::default(),
            mark: Mark {
                time: Timestamp(at_ms * 1_000_000),
                ..Mark::default()
            },
        }
    }

    #[test]
    fn one_error_on_three_interfaces_is_told_once_and_an_answer_to_a_retry_again() {
        let (mut errors, mut out, mut loss) = (IcmpErrors::default(), Vec::new(), Loss::default());
        for (at_ms, sequence) in [(0, 7), (1, 7), (3, 7), (4, 8), (1_000, 7)] {
            errors.on_error(&error(at_ms, sequence), None, &mut out, &mut loss);
        }
        assert_eq!((out.len(), loss.get("icmp_copies_dropped")), (3, 2));
        for sequence in 0..100 {
            errors.on_error(&error(2_000, sequence), None, &mut out, &mut loss);
        }
        assert_eq!(errors.recent.len(), RECENT_MAX);
    }
}
