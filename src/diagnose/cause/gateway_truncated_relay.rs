//! `gateway-truncated-relay`. In: a response that the gateway cut short, though its upstream's was whole or still coming, or is
//! not to be seen. Out: the manual; `nothing.rs` and `silent.rs` decide.
//!
//! The rule: only where no better cause is known; a response that the upstream cut short is the better one.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "gateway-truncated-relay",
    family: Family::Silent,
    title: "The gateway cut its response short",
    explanation: "The client got a status and a part of the body, and then the end of the \
     connection. The upstream's response was whole, or the gateway ended that connection too \
     while it still came, or its leg is not in the capture: as far as can be seen, the gateway \
     itself stopped in the middle.",
    signature: "A response head with a length (or chunked) to the client; FIN or RST from the \
     gateway before the body is whole; the upstream's answer whole, or ended by the gateway's own FIN or \
     RST, less than 200 ms after its latest bytes.",
    is_not: &[
        "truncated-body and reset-mid-response: there the upstream cut its response short.",
        "stall-mid-response: there the upstream had sent nothing for a while.",
        "client-aborted: there the client closes first.",
    ],
    contributing: &[
        "Nothing: where the upstream's answer was cut short, that is told in its place.",
    ],
    root_causes: &[
        "The gateway could not write its temporary file, or a filter of it failed.",
        "A limit on the size of a response, or a timer towards a slow client (nginx's \
         `send_timeout`).",
        "A timer that counts from the request to the end of the answer: Envoy's route `timeout` (15 s \
         unless set) and `max_stream_duration`.",
        "The gateway was reloaded or died while it was sending.",
        "The upstream cut it short where the capture does not look.",
    ],
    next_steps: &[
        "Read the gateway's error log at that moment: disk full, buffer and filter errors are told \
         there.",
        "Look at the client's window and acknowledgements: a slow reader runs into `send_timeout` \
         and its kin.",
        "Capture the upstream leg, if it is missing.",
    ],
    examine: Examine::Whole,
};
