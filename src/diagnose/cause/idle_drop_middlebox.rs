//! `idle-drop-middlebox`. In: an attempt on a connection that had been idle and that the path no longer carries. Out: the
//! verdict.
//!
//! The rule: the upstream itself did nothing: it neither closed nor answered. Where it closed, the race of two timers is
//! the cause (`stale-keepalive-reuse`).

use crate::diagnose::attempt::{Attempt, Verdict, millis};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::{origin, path};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::diagnose::idle_habit as habit;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "idle-drop-middlebox",
    family: Family::Path,
    title: "A device on the way forgot the idle connection",
    explanation: "The gateway reused a connection that had been idle for long, and its request \
     never got through, or was answered by a reset that did not come from the upstream. A \
     firewall, NAT or balancer between them keeps a table of connections and had dropped this \
     one. Both ends still believe in it.",
    signature: "Complete responses on the connection; an idle gap; the request, repeated without \
     an acknowledgement, or answered by a RST with another hop count than the upstream's; new \
     connections to the same upstream work.",
    is_not: &[
        "stale-keepalive-reuse: there the upstream itself closed the idle connection.",
        "loss-stall: there new connections, or connections in use, suffer too.",
        "response-timeout: there the request was acknowledged.",
    ],
    contributing: &[
        "loss-stall: the request was sent again and again into the forgotten connection.",
        "injected-reset: the RST came with another hop count than the upstream's other \
         segments, or too soon for its way.",
    ],
    root_causes: &[
        "A NAT gateway or network balancer with an idle limit (AWS 350 s, Azure 4 min, Google \
         Cloud 10 min).",
        "A stateful firewall between the networks, with an idle limit below the pool's.",
        "A table of connections that was full or flushed: conntrack, a failover.",
        "The upstream's host moved or was restored without its connections.",
    ],
    next_steps: &[
        "Turn TCP keep-alive on for the gateway's upstream connections, with an interval below \
         the device's limit (Linux asks after 2 h by default).",
        "Or shorten the gateway's pool timeout below that limit.",
        "Find the device: `traceroute -T -p PORT UPSTREAM`, and look up its idle limit.",
        "Check its table: `conntrack -S`, `sysctl net.netfilter.nf_conntrack_count`.",
    ],
    examine: Examine::Attempt(examine),
};

/// No device forgets a connection sooner, nanoseconds: with less it is loss.
const IDLE_MIN_NANOS: i64 = 1_000_000_000;
/// The shortest idle limit that devices have by default, nanoseconds.
const USUAL_MIN_NANOS: i64 = 30_000_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let idle_since = exchange
        .idle_since
        .filter(|_| exchange.prior_responses > 0)?;
    let idle = exchange.request_at.time.nanos_since(idle_since.time);
    if idle < IDLE_MIN_NANOS || attempt.response_start().is_some() {
        return None;
    }
    let verdict = match path::stuck(attempt) {
        Some(stuck) => {
            let works = attempt.server_active.filter(|at| *at > exchange.request_at);
            if works.is_none() && idle < USUAL_MIN_NANOS {
                return None;
            }
            let verdict = stuck.verdict(attempt).not(
                "stale-keepalive-reuse",
                "the upstream did not close the connection",
            );
            match works {
                Some(_) => verdict.at_most(
                    Confidence::Likely,
                    "the upstream answers on another connection meanwhile; which device dropped this one is not in the packets",
                ),
                None => verdict.at_most(
                    Confidence::Possible,
                    "loss at that moment, or a host that died, looks the same",
                ),
            }
        }
        None => refused_by_another(attempt)?,
    };
    let words = match habit::forgetful(idle) {
        Some((seconds, who)) => format!(
            "the connection was then idle for {}: longer than the {seconds} s after which {who} forget a connection",
            millis(idle)
        ),
        None => format!("the connection was then idle for {}", millis(idle)),
    };
    Some(verdict.proof(idle_since, words))
}

/// A RST for the request that did not come from the upstream.
fn refused_by_another(attempt: &Attempt<'_>) -> Option<Verdict> {
    let reset = origin::reset(attempt)?;
    reset.foreign?;
    let at = reset.close.closing.mark;
    if at < attempt.exchange?.request_at {
        return None;
    }
    let verdict = attempt.asked(Verdict::seen(at)).not(
        "stale-keepalive-reuse",
        "the RST did not come the way that the upstream's segments come",
    );
    Some(
        origin::strange(attempt, &reset, CAUSE.code, verdict).at_most(
            Confidence::Likely,
            "the hop count shows that another device sent the RST, not why",
        ),
    )
}
