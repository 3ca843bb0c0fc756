//! `no-upstream-attempt`. In: an error without a packet upstream. Out: the manual; the assignment
//! decides.
//!
//! The rule: claimed only where the same capture shows other attempts of the gateway.

use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "no-upstream-attempt",
    family: Family::NoUpstreamPackets,
    title: "The gateway answered without asking an upstream",
    explanation: "The capture shows the gateway's upstream traffic for other requests, but not \
     one packet for this one. The gateway decided by itself: no healthy upstream, a limit, a \
     rule, or a fault on its own host.",
    signature: "Request from the client; the error, mostly within a few milliseconds; no lookup, \
     SYN or request of the gateway between them.",
    is_not: &[
        "upstream-leg-not-captured: there no upstream traffic of the gateway is in the capture at \
         all.",
        "connect-refused and connect-timeout of earlier requests may be the reason behind it: \
         read those first.",
        "A Unix socket or an upstream inside the gateway's process leaves no packets either.",
    ],
    contributing: &[
        "connect-refused, response-timeout and any other: the earlier failures that put the \
         upstream on the bench.",
        "neighbor-unresolved: the gateway's host asked in vain for the upstream that its \
         checks need.",
    ],
    root_causes: &[
        "All upstreams are marked down: by health checks, or by failures of earlier requests.",
        "A circuit breaker, a connection limit or a full queue.",
        "No route, cluster or pool matches; the list of endpoints is empty.",
        "The gateway could not open a socket: no local port, file descriptors used up, no route.",
        "A rule answers on purpose: maintenance, rate limit, loop detection.",
        "A DNS failure that is remembered from before.",
    ],
    next_steps: &[
        "Read the gateway's log at that time: it names the reason, the packets cannot.",
        "Look at the gateway's view of its upstreams (status page, admin interface, health check \
         log).",
        "Look for failed attempts and failed health checks in the seconds before the error.",
        "On the gateway: `ss -s`, `ulimit -n`, `ip route get UPSTREAM`.",
        "For a Unix socket upstream: `ss -xl` and the upstream's own log.",
    ],
    examine: Examine::Whole,
};
