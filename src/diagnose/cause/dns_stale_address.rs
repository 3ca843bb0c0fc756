//! `dns-stale-address`. In: a connect that failed, and the answers of DNS before it. Out: the manual; `refine.rs` decides.
//!
//! The rule: claimed only where the capture holds both answers, the one with the address and the later one without.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-stale-address",
    family: Family::NameResolution,
    title: "The gateway dialled an address of yesterday",
    explanation: "The address that the gateway dialled was once in the answer for the upstream's \
     name, but a later answer no longer has it, and the connect failed. The gateway kept the old \
     address: it resolves names at its start, or longer than DNS allows.",
    signature: "An answer with the address; a later answer for the same name without it; after \
     that a SYN to the old address, which fails.",
    is_not: &[
        "connect-refused and connect-timeout: the same failure, where no answer of DNS speaks \
         against the address.",
        "dns-nodata: there the gateway got no address at all.",
        "A name with many addresses gives a part of them in turn: then an answer without one means \
         nothing.",
    ],
    contributing: &[
        "connect-timeout, connect-refused, icmp-host-unreachable and the like: how the \
         connect to the old address failed.",
    ],
    root_causes: &[
        "The gateway resolves at its start only: nginx without `resolver` and a variable, HAProxy \
         without `resolvers`.",
        "A pod or instance was replaced and the gateway was not reloaded.",
        "Connections and names are kept longer than the time to live of the answer.",
        "A cache between gateway and DNS serves old answers.",
    ],
    next_steps: &[
        "Reload the gateway: if that helps, it is proved.",
        "Turn on resolution at run time, with a limit below the record's time to live.",
        "Compare `dig +noall +answer NAME` with the address in the finding.",
        "In Kubernetes: let the gateway use the Service address instead of pod addresses.",
    ],
    examine: Examine::Whole,
};
