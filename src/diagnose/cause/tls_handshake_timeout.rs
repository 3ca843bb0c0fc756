//! `tls-handshake-timeout`. In: an attempt whose handshake stood still until the gateway gave up.
//! Out: the verdict.
//!
//! The rule: the gateway closes first, before the handshake is done; the ClientHello had arrived.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::{Family, Wait};

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "tls-handshake-timeout",
    family: Family::Tls,
    title: "The TLS handshake did not finish in time",
    explanation: "The connection was up and the ClientHello was delivered, but the handshake \
     stood still until the gateway gave up. A plain HTTP server that waits for the end of a line \
     looks exactly like this.",
    signature: "ClientHello from the gateway, acknowledged; silence, or an unfinished handshake; \
     FIN or RST from the gateway first.",
    is_not: &[
        "connect-timeout: there TCP itself did not connect.",
        "tls-on-http-port: there the upstream answers in clear.",
        "tls-handshake-closed: there the upstream closes first.",
        "A ClientHello that is sent again and never acknowledged points to an MTU problem on the \
         path.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
        "path-mtu-blackhole: ICMP told that a packet of this attempt was too big, and it was \
         sent again.",
        "neighbor-unresolved: nobody on the link answered for the upstream's address any \
         more.",
    ],
    root_causes: &[
        "The port speaks plain HTTP, and waits for more.",
        "The upstream accepts connections but its workers are stuck or overloaded.",
        "Large handshake packets are lost: a tunnel's MTU, ICMP filtered.",
        "The upstream waits for something itself: OCSP, a key service, a slow HSM.",
    ],
    next_steps: &[
        "`time openssl s_client -connect UPSTREAM:PORT -servername NAME </dev/null` from the \
         gateway's host.",
        "`curl -v http://UPSTREAM:PORT/`: an answer means that the port is plain.",
        "Path: `ping -M do -s 1472 UPSTREAM`; look for retransmissions of full-size segments.",
        "On the upstream: CPU, worker count, and `ss -tn` for a standing Recv-Q.",
    ],
    examine: Examine::Attempt(examine),
};

/// Less than this is no patience but a decision, nanoseconds.
const WAITED_MIN_NANOS: i64 = 200_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    let hello = attempt.client_hello()?;
    if attempt.outlived()
        || attempt.handshake_done()
        || attempt.closed_by_upstream().is_some()
        || attempt.alert_of_gateway().is_some()
    {
        return None;
    }
    let gave_up = attempt.closed_by_gateway();
    let last = facts
        .from_server
        .last_data
        .filter(|at| *at > hello)
        .unwrap_or(hello);
    let until = gave_up.map_or(attempt.until, |close| close.closing.mark.time);
    if until.nanos_since(last.time) < WAITED_MIN_NANOS {
        return None;
    }
    let proven = |verdict: Verdict| {
        verdict
            .proof(
                hello,
                format!("the gateway sends a TLS ClientHello to {}", facts.server),
            )
            .not(
                "tls-handshake-closed",
                "the upstream did not end the connection",
            )
    };
    Some(match gave_up {
        Some(close) => proven(Verdict::gave_up(close.closing.mark)).proof(
            close.closing.mark,
            format!(
                "the gateway gives up after {} without a complete handshake{}",
                attempt.waited(hello, close.closing.mark),
                attempt.equal_timers(Wait::Connect, attempt.started(), close.closing.mark)
            ),
        ),
        None => proven(Verdict::absent()).at_most(
            Confidence::Likely,
            "the gateway's own close of the connection was not seen",
        ),
    })
}
