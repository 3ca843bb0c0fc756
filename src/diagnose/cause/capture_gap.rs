//! `capture-gap`. In: an error whose decisive packets the capture lost. Out: the manual; the
//! verdict decides.
//!
//! The rule: loss weakens a verdict and never makes another one certain.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "capture-gap",
    family: Family::CouldNotTell,
    title: "The capture lost packets at the decisive moment",
    explanation: "The attempt was found, but the capture lost packets just where the cause should \
     be: dropped by the capturing machine, cut by the snap length, or seen in one direction only. \
     Any verdict would be a guess.",
    signature: "Acknowledgements for bytes that the capture does not hold, or drops counted by \
     the capturing kernel, inside the attempt.",
    is_not: &[
        "upstream-leg-not-captured: there the whole leg is missing.",
        "Packets that were lost on the network are sent again, and are no gap.",
        "ambiguous: there all packets are there and several readings remain.",
    ],
    contributing: &["Nothing: the loss itself is the reason; Loss tells how much is missing."],
    root_causes: &[
        "The capturing process could not keep up: small buffer, slow disk.",
        "A snap length that cuts the heads.",
        "A mirror port that is overloaded, or mirrors one direction.",
        "Asymmetric routing: the answer takes another way.",
    ],
    next_steps: &[
        "Capture again with a larger buffer: `tcpdump -i any -s 0 -B 65536 -w gw.pcap`; read its \
         line \"packets dropped by kernel\".",
        "Use a filter, so that fewer packets must be written; keep both directions, DNS and ICMP.",
        "Capture on the gateway itself rather than on a mirror port.",
    ],
    examine: Examine::Whole,
};
