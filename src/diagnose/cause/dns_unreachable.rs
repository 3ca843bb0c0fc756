//! `dns-unreachable`. In: the lookups of a gateway before an error, and its connections to a resolver. Out: the verdict
//! that the resolver cannot be reached.
//!
//! The rule: an ICMP error that quotes the query, or a refused connection to port 53, is an answer of the network; silence
//! is another cause.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Leg;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "dns-unreachable",
    family: Family::NameResolution,
    title: "The resolver could not be reached",
    explanation: "The gateway asked for the upstream's name, and the network answered instead of \
     the resolver: an ICMP error that quotes the query, or a refused connection to port 53. \
     Nothing serves names at that address, or it cannot be reached from here.",
    signature: "Query; ICMP unreachable that quotes it, or SYN to port 53 answered by RST; no \
     answer to any query for the name; no SYN to an upstream after it.",
    is_not: &[
        "dns-timeout: there nothing comes back at all.",
        "dns-refused: there the resolver itself answers, and refuses.",
        "An ICMP error for one of two resolvers does no harm where the other answers.",
    ],
    contributing: &["Nothing: the refusal of the resolver's host explains the failed lookup."],
    root_causes: &[
        "The resolver process is down, or listens on another address.",
        "A wrong resolver address in the gateway's configuration or in resolv.conf.",
        "A firewall or network policy rejects port 53.",
        "In a container: 127.0.0.1 or 127.0.0.53 of the host is not the container's.",
    ],
    next_steps: &[
        "`dig @RESOLVER NAME` from the gateway's network namespace.",
        "On the resolver: `ss -lunp 'sport = :53'`, and its log.",
        "Compare the address that is asked with the gateway's configuration (`resolver`, \
         `resolvers`, resolv.conf).",
        "The ICMP's sender is the one who rejects: look at its rules and routes.",
    ],
    examine: Examine::Attempt(examine),
};

/// The port of DNS over TCP (RFC 7766).
const PORT: u16 = 53;

/// Looks for a connection to a resolver that did not come about. Queries over UDP are judged in `lookup.rs`.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let facts = &attempt.connection.facts;
    if facts.server.port != PORT || attempt.connected() {
        return None;
    }
    let syn = *facts.from_client.syns.first()?;
    let reset = attempt.by_now(facts.from_server.reset);
    let icmp = attempt
        .connection
        .icmp
        .iter()
        .rev()
        .find(|error| error.mark.time <= attempt.until);
    let (at, words) = match (reset, icmp) {
        (Some(reset), _) => (
            reset.mark,
            format!("{} refuses the connection", facts.server),
        ),
        (None, Some(error)) => (
            error.mark,
            format!("{} reports it unreachable by ICMP", error.reporter),
        ),
        (None, None) => return None,
    };
    Some(
        Verdict::seen(at)
            .proof_on(
                Leg::Dns,
                syn,
                format!(
                    "the gateway turns to the resolver {} over TCP",
                    facts.server
                ),
            )
            .proof_on(Leg::Dns, at, words)
            .not("dns-timeout", "the network answered")
            .not(
                "connect-refused",
                "port 53 is a resolver's, not an upstream's",
            ),
    )
}
