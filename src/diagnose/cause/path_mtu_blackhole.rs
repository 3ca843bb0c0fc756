//! `path-mtu-blackhole`. In: an attempt whose large segments never arrived while small ones did. Out: the verdict.
//!
//! The rule: an ICMP error that names the size proves it; without one the size of what passed and of what did not only
//! makes it likely.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::path;
use crate::diagnose::finding::{Confidence, Leg};
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "path-mtu-blackhole",
    family: Family::Path,
    title: "Large packets do not get through to the upstream",
    explanation: "The handshake and small segments pass, but a segment of full size is sent again \
     and again without an acknowledgement. A link on the way takes smaller packets only, and the \
     ICMP message that would say so is filtered, or is ignored.",
    signature: "Handshake; a large segment repeated without an acknowledgement, while smaller ones \
     before or after it are acknowledged; perhaps ICMP type 3 code 4 (IPv6: type 2) that tells the \
     size that would pass.",
    is_not: &[
        "loss-stall: there the size makes no difference.",
        "zero-window-stall: there the upstream itself takes no more.",
        "One ICMP error of this kind, followed by smaller segments, is how it is meant to work.",
    ],
    contributing: &[
        "loss-stall: segments of this attempt were sent again and not acknowledged.",
        "zero-window-stall: one side kept a receive window of 0 for half a second or more \
         meanwhile.",
    ],
    root_causes: &[
        "A tunnel or overlay (VPN, VXLAN, IPsec) on the way with a smaller MTU, and ICMP filtered.",
        "A firewall or security group that drops all ICMP.",
        "A link, bridge or container network with a smaller MTU than its neighbours.",
        "A large ClientHello, cookie or body that is the first packet of full size on this path.",
    ],
    next_steps: &[
        "`ping -M do -s 1472 UPSTREAM` and smaller sizes; `tracepath UPSTREAM` names the link.",
        "Let ICMP type 3 code 4 (IPv6: type 2) through on the way and on both hosts.",
        "Clamp the segment size where the tunnel begins: `iptables -t mangle -A FORWARD -p tcp \
         --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu`.",
        "Compare the MTU of both ends and of the links between: `ip link`.",
    ],
    examine: Examine::Attempt(examine),
};

/// Payload of less than this passes every link that is used for IP, bytes (RFC 879: 536).
const LARGE_MIN: u32 = 537;
/// Repetitions from which size is taken for the reason.
const REPEATS_MIN: u32 = 3;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let from_client = &attempt.connection.facts.from_client;
    let stuck = path::stuck(attempt).filter(|stuck| stuck.len >= LARGE_MIN)?;
    let small = from_client.delivered_max;
    let told = path::told_too_big(attempt).filter(|(_, at)| *at < stuck.last);
    let later_ones_pass = from_client.duplicate_acks > 0;
    if told.is_none()
        && (stuck.repeats < REPEATS_MIN || !(later_ones_pass || (1..stuck.len).contains(&small)))
    {
        return None;
    }
    let mut verdict = stuck.verdict(attempt).not(
        "response-timeout",
        "the request was not acknowledged: the application may never have seen it",
    );
    verdict = match told {
        Some((mtu, at)) => verdict.proof_on(Leg::Icmp, at, path::too_big_words(mtu)),
        None if later_ones_pass => verdict.at_most(
            Confidence::Likely,
            "smaller segments after the lost one arrive, but no ICMP error names the size",
        ),
        None => verdict.at_most(
            Confidence::Possible,
            format!(
                "segments of up to {small} bytes had arrived before; nothing else speaks of size"
            ),
        ),
    };
    Some(verdict)
}
