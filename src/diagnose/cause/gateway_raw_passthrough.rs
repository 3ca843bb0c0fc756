//! `gateway-raw-passthrough`. In: bytes without an HTTP head to the client, where the upstream leg does not tell more. Out:
//! the manual; `nothing.rs` decides.
//!
//! The rule: only where no better cause is known; what the upstream sent, where it is visible, is the better one.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "gateway-raw-passthrough",
    family: Family::Silent,
    title: "The gateway passed on bytes without a head",
    explanation: "The client got bytes that are no HTTP response. nginx takes an upstream's reply \
     without a status line for HTTP/0.9 and passes it on as it is. The upstream leg, where the \
     reply would show, is not in the capture or does not explain it.",
    signature: "On the client's leg, bytes of a response that do not begin with `HTTP/`; no \
     attempt in the capture whose answer is malformed.",
    is_not: &[
        "malformed-status-line: there the upstream's own malformed answer is in the capture.",
        "wrong-service answers (SSH, SMTP, a database) are seen as malformed-status-line too.",
    ],
    contributing: &[
        "Nothing: where the upstream's bytes are visible, their cause is told in its place.",
    ],
    root_causes: &[
        "The upstream's port speaks another protocol than HTTP.",
        "The upstream speaks HTTP/2 or TLS, and the gateway plain HTTP/1.",
        "An application writes its body without a head (a CGI script, a crash dump).",
    ],
    next_steps: &[
        "Ask the upstream directly: `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc UPSTREAM PORT | xxd | \
         head`.",
        "Check scheme and port of the upstream in the gateway's configuration.",
        "Capture the upstream leg: it shows who wrote these bytes.",
    ],
    examine: Examine::Whole,
};
