//! Blind spots of the capture. In: which protocols were seen at all, where it ended. Out: warnings with the command
//! that would have shown more, and verdicts that a filter may have caused weakened.
//!
//! The rule: the warning that matters most comes first: a filter that dropped the upstream leg. Only a capture that
//! holds nothing but TCP and DNS is suspected of a filter.

use std::collections::BTreeSet;

use crate::diagnose::attempt::millis;
use crate::diagnose::finding::{Confidence, Diagnosis, Finding, Warning};
use crate::diagnose::verdict::WHY_CERTAIN;
use crate::frame::Mark;
use crate::protocol::observation::{ConnectionEvent, Seen};

/// Which kinds of traffic the capture holds at all.
#[derive(Debug, Default)]
pub struct SeenProtocols {
    /// Any DNS message.
    pub dns: bool,
    /// Any ICMP error.
    pub icmp: bool,
    /// ARP, or anything that gwcap does not read: multicast, other ICMP. No filter for TCP lets that through.
    pub others: bool,
    /// Ports of servers, few: a filter such as `port 80 or port 443` shows in them.
    pub server_ports: BTreeSet<u16>,
}

/// More distinct server ports than this are no sign of a filter, and are not counted further.
const PORTS_MAX: usize = 64;

impl SeenProtocols {
    /// Notes what an observation shows.
    pub fn note(&mut self, what: &Seen) {
        match what {
            Seen::Query(_) | Seen::Answer(_) => self.dns = true,
            Seen::Icmp { .. } => self.icmp = true,
            Seen::Resolution(_) => self.others = true,
            Seen::Connection {
                event: ConnectionEvent::Opened,
                facts,
            } if self.server_ports.len() < PORTS_MAX => {
                self.server_ports.insert(facts.server.port);
            }
            _ => {}
        }
    }

    /// What a filter may have kept out of the capture, by name.
    fn maybe_filtered(&self) -> Vec<&'static str> {
        let kinds = [("DNS", self.dns), ("ICMP", self.icmp)];
        let missing = kinds.iter().filter(|(_, seen)| !seen && !self.others);
        missing.map(|(name, _)| *name).collect()
    }
}

/// Requests that had no byte of an answer when the capture ended.
#[derive(Debug, Default)]
pub struct Unanswered {
    /// Where it ended.
    end: Mark,
    count: u64,
    oldest: Mark,
}

impl Unanswered {
    /// Notes a request of which nothing more was seen at `end`. Those that ended before the latest were forgotten for
    /// their silence, and not by the end of the capture.
    pub fn note(&mut self, asked: Mark, end: Mark) {
        if end > self.end {
            *self = Self {
                end,
                count: 0,
                oldest: asked,
            };
        }
        self.count += 1;
        self.oldest = self.oldest.min(asked);
    }
}

/// Weakens what a filter may have caused, and says so. Where the capture holds nothing but TCP, an ICMP error may have
/// been filtered out, and a lookup too.
pub fn weigh_filter(seen: &SeenProtocols, findings: &mut [Finding]) {
    let missing = seen.maybe_filtered();
    for finding in findings.iter_mut().filter(|it| depends_on_filter(seen, it)) {
        finding.not_observable.push(format!(
            "whether {} would tell more: none is in this capture, a filter may have dropped it",
            missing.join(" or ")
        ));
        if finding.code == "connect-timeout" && missing.contains(&"ICMP") {
            finding.confidence = finding.confidence.min(Confidence::Likely);
            // It says why nothing else could be.
            finding
                .confidence_reasons
                .retain(|clause| !clause.starts_with(WHY_CERTAIN));
            finding.confidence_reasons.push(
                "there is nothing but TCP and DNS in this capture: an ICMP error that answered the SYN may have been filtered out"
                    .to_owned(),
            );
        }
    }
}

/// Whether a finding rests on an absence that a filter explains as well, as far as seen.
#[must_use]
pub fn depends_on_filter(seen: &SeenProtocols, finding: &Finding) -> bool {
    matches!(finding.code, "connect-timeout" | "no-upstream-attempt")
        && !seen.maybe_filtered().is_empty()
}

/// Warns of a capture that ended while somebody waited for an answer.
pub fn ended_early(unanswered: &Unanswered, out: &mut Diagnosis) {
    /// Shorter waits are what every capture of live traffic ends with, nanoseconds.
    const WAITED_NANOS_MIN: i64 = 1_000_000_000;
    let waited = unanswered.end.time.nanos_since(unanswered.oldest.time);
    if unanswered.count == 0 || waited < WAITED_NANOS_MIN {
        return;
    }
    out.warnings.push(Warning {
        code: "capture-ended-early",
        message: format!(
            "requests without an answer when the capture ended: {}, the oldest sent {} before: how they ended is not known",
            unanswered.count,
            millis(waited)
        ),
        remedy: "capture until the client has its error: a gateway's timer is often 60 s".to_owned(),
    });
}

/// Adds the warnings that the findings call for.
pub fn add(seen: &SeenProtocols, out: &mut Diagnosis) {
    let hidden: Vec<_> = out
        .findings
        .iter()
        .filter(|finding| finding.code == "upstream-leg-not-captured")
        .collect();
    let Some(first) = hidden.first() else { return };
    let gateways: BTreeSet<_> = hidden
        .iter()
        .map(|finding| finding.exchange.connection.server.addr)
        .collect();
    let ports: Vec<String> = seen.server_ports.iter().map(u16::to_string).collect();
    let hosts: Vec<String> = gateways.iter().map(|addr| format!("host {addr}")).collect();
    let message = format!(
        "the upstream leg of {} is not in this capture, which holds servers on port {} only: a filter such as `port 80 or port 443` drops upstreams on other ports{}{} before gwcap sees them",
        first.exchange.connection.server.addr,
        ports.join(", "),
        if seen.dns { "" } else { ", DNS" },
        if seen.icmp { "" } else { ", ICMP" },
    );
    let remedy = format!(
        "on the gateway: tcpdump -i any -s 0 -w gateway.pcap '{} or port 53 or icmp or icmp6 or arp'",
        hosts.join(" or ")
    );
    out.warnings.push(Warning {
        code: "upstream-leg-not-captured",
        message,
        remedy,
    });
}
