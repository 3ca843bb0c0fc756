//! `encrypted-inconclusive`. In: an error that encryption hides in part. Out: the manual; the
//! verdict decides.
//!
//! The rule: sizes and times may suggest a cause; they never make it certain.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "encrypted-inconclusive",
    family: Family::CouldNotTell,
    title: "Encryption hides what would decide the cause",
    explanation: "Packets and times are there, but the bytes that would tell one cause from \
     another are encrypted. TCP and handshake causes can still be seen; those inside of heads and \
     bodies cannot.",
    signature: "An attempt on TLS (or a client leg on TLS) without the session's keys, and no TCP \
     event, alert or timeout that decides.",
    is_not: &[
        "tls-alert-from-upstream and the other TLS causes: those can be seen without keys.",
        "upstream-leg-not-captured: there the packets themselves are missing.",
        "capture-gap: there packets are lost, not encrypted.",
    ],
    contributing: &["Nothing: TCP shows no event that decides, and the rest cannot be read."],
    root_causes: &[
        "The capture was taken without session keys.",
        "The key log does not cover this session: it began before the log did.",
        "QUIC or HTTP/2 with many requests on one connection: which of them failed cannot be told.",
    ],
    next_steps: &[
        "Let the gateway or the upstream write a key log (SSLKEYLOGFILE) and give it with the \
         capture.",
        "Capture where TLS has ended: behind the gateway, or on loopback beside the application.",
        "Match by time with the gateway's log: the finding gives the exact moments.",
    ],
    examine: Examine::Whole,
};
