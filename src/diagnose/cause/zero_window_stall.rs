//! `zero-window-stall`. In: an attempt during which one side took no more bytes. Out: the manual; it contributes to the
//! cause that ends the wait (`path.rs`).
//!
//! The rule: a shut window is a fact of the receiving application; who gives up because of it is another cause.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "zero-window-stall",
    family: Family::Path,
    title: "The receiver took no more bytes",
    explanation: "One side advertised a receive window of 0 and kept it: its kernel holds as much \
     as it may, and its application does not read. The sender may only probe. It is told beside \
     the cause that ended the wait.",
    signature: "Window 0 from one side while the other has more to send; probes of one byte or \
     none at growing intervals; the window stays shut.",
    is_not: &[
        "loss-stall: there segments are not acknowledged; here they are, and no more are wanted.",
        "path-mtu-blackhole: there the window is open and large segments vanish.",
        "A window of 0 for some milliseconds is flow control at work.",
    ],
    contributing: &["Nothing: it contributes itself, to the timeout that ends the wait."],
    root_causes: &[
        "The upstream's workers are stuck or all busy: nobody reads the request's body.",
        "The application stops reading on purpose (limit, authentication first) and does not close.",
        "On the gateway's side: its client takes the response slowly, and its buffers are full.",
        "A stopped process: debugger, SIGSTOP, a long pause of a garbage collector.",
    ],
    next_steps: &[
        "On the host that advertises 0: `ss -tnp` shows a standing Recv-Q and the process.",
        "Thread dump of that process; look for workers that wait for something else.",
        "Where the gateway is the slow reader: look at the client's leg, and at buffering.",
    ],
    examine: Examine::Whole,
};
