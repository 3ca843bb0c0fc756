//! `client-request-timeout`. In: a 408 of a gateway. Out: the manual; it is an event and no finding (`client.rs`).
//!
//! The rule: only a gateway's own 408 to a request that was not whole; an application's is its own affair.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "client-request-timeout",
    family: Family::ClientSide,
    title: "The client did not finish its request in time",
    explanation: "The gateway answered 408: the client had begun a request and did not finish it \
     before the gateway's timer for requests ran out. No upstream is to blame. It is an event, not \
     a gateway error.",
    signature: "A part of a request, or none; silence of the client; 408 and the end of the \
     connection from the gateway.",
    is_not: &[
        "client-aborted: there the client closes, here it is silent.",
        "response-timeout: there the request was whole and the upstream is silent.",
        "An upstream's 408 that is passed on was written by the upstream.",
    ],
    contributing: &[
        "Nothing: the client did not send its request in time; loss on its leg is counted in \
         the capture's quality.",
    ],
    root_causes: &[
        "A slow or broken network between client and gateway: look for repeated segments.",
        "A client that opens a connection ahead and sends nothing (browsers do).",
        "A client that waits for something in the middle of its body, such as `100 Continue`.",
        "A slow-request attack.",
    ],
    next_steps: &[
        "Look at the client's segments: repeated ones mean loss, none mean a silent client.",
        "Compare the wait with the gateway's timer: nginx `client_header_timeout` and \
         `client_body_timeout`, HAProxy `timeout http-request`.",
        "Check packet size on the client's path: a body that stops at its first full segment is an \
         MTU problem.",
    ],
    examine: Examine::Whole,
};
