//! `gateway-silent-close`. In: a request that the gateway answered by closing, with nothing upstream that explains it.
//! Out: the manual; `nothing.rs` decides.
//!
//! The rule: only where no better cause is known; a failed attempt upstream is the better one.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "gateway-silent-close",
    family: Family::Silent,
    title: "The gateway closed without an answer",
    explanation: "The gateway took the whole request and closed the client's connection without a \
     byte of an answer, and no failed attempt upstream explains it. Some products do so on \
     purpose: a rule, a drain, or an error on a connection that had served requests before.",
    signature: "A complete request, acknowledged; FIN or RST from the gateway with no response \
     byte; nothing that failed upstream meanwhile.",
    is_not: &[
        "closed-before-response and its kin: where an attempt upstream failed, that is the cause.",
        "A connection that was idle: its close crosses the request and does not acknowledge it.",
        "client-aborted: there the client closes first.",
    ],
    contributing: &[
        "Nothing: where an attempt upstream failed, that attempt's cause is told in its \
         place.",
    ],
    root_causes: &[
        "A rule closes on purpose: nginx `return 444`, HAProxy `silent-drop` or `reject`.",
        "The gateway was reloaded or drained and dropped what it had just taken.",
        "Its worker process died.",
        "A limit on connections or memory; an error while the response was being made.",
    ],
    next_steps: &[
        "Read the gateway's access log: nginx writes 444 (or 000), HAProxy a termination state \
         such as PR or K-.",
        "Look for a reload or a crash at that moment: `journalctl -u SERVICE`, `dmesg -T`.",
        "Look for rules that drop by path, address or rate.",
    ],
    examine: Examine::Whole,
};
