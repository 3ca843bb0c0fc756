//! `client-aborted`. In: a client that left before its answer. Out: the manual; it is an event and no finding
//! (`client.rs`).
//!
//! The rule: who closes first has left. A half-close of a client that still reads is no leaving.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "client-aborted",
    family: Family::ClientSide,
    title: "The client left before its answer",
    explanation: "The client closed or reset its connection while its request was open. No status \
     is on the wire; nginx logs 499, an ALB 460. It is an event, not a gateway error, but the \
     client's patience tells how long the answer would have had to take.",
    signature: "A request; FIN or RST from the client before the (whole) response; then the \
     gateway closes its upstream connection too.",
    is_not: &[
        "gateway-silent-close: there the gateway closes first.",
        "response-timeout: there the gateway loses patience, not its client.",
        "A client that closes its sending side only, and still reads, has not left.",
    ],
    contributing: &["Nothing: the client left; how long it waited is told with it."],
    root_causes: &[
        "The client has a timer that is shorter than the gateway's: a balancer before it, a health \
         check, a script with `--max-time`.",
        "A person closed the page or pressed reload.",
        "The client's own deadline passed (a mobile application, a mesh with a request timeout).",
        "The network between client and gateway went away.",
    ],
    next_steps: &[
        "The same patience again and again is a timer: look for it in the client, or in the \
         balancer before the gateway.",
        "Find out why the answer took that long: look at the attempts upstream meanwhile.",
        "Set timers so that each hop is a little more patient than the one behind it.",
    ],
    examine: Examine::Whole,
};
