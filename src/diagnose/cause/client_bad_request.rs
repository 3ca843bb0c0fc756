//! `client-bad-request`. In: a gateway's own 400. Out: the manual; it is an event and no finding (`client.rs`).
//!
//! The rule: only a 400 that the gateway wrote itself: by its page, or before the request was whole.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "client-bad-request",
    family: Family::ClientSide,
    title: "The gateway refused the client's request",
    explanation: "The gateway itself answered 400: it could not read the request, or did not want \
     it. No upstream answered this; an upstream attempt that had begun is given up. It is an \
     event, not a gateway error.",
    signature: "A request, perhaps not whole; 400 from the gateway, with its own page or before \
     the request had ended; often the end of the connection.",
    is_not: &[
        "upstream-returned-5xx and its kin: there the upstream wrote the status.",
        "http-on-tls-port: there the 400 comes from the upstream, about the gateway's request.",
        "client-request-timeout: there the request was only too slow (408).",
    ],
    contributing: &["Nothing: the bytes of the client are the cause."],
    root_causes: &[
        "A head or a header line larger than the gateway takes (often cookies).",
        "Plain HTTP on the gateway's TLS port, or the reverse.",
        "No Host, two Hosts, bytes in a name or a target that the gateway does not take.",
        "A chunked body that is not well-formed.",
    ],
    next_steps: &[
        "Read the gateway's log: it says what it did not like.",
        "Look at the request's size and at its bytes in the frames of the event.",
        "Repeat it with `curl -v` and take headers away one by one.",
    ],
    examine: Examine::Whole,
};
