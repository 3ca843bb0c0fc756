//! Blind spots of the capture. In: which protocols were seen at all. Out: warnings with the command that
//! would have shown more.
//!
//! The rule: the warning that matters most comes first: a filter that dropped the upstream leg.

use std::collections::BTreeSet;

use crate::diagnose::finding::{Diagnosis, Warning};
use crate::protocol::observation::{ConnectionEvent, Seen};

/// Which kinds of traffic the capture holds at all.
#[derive(Debug, Default)]
pub struct SeenProtocols {
    /// Any DNS message.
    pub dns: bool,
    /// Any ICMP error.
    pub icmp: bool,
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
            Seen::Connection {
                event: ConnectionEvent::Opened,
                facts,
            } if self.server_ports.len() < PORTS_MAX => {
                self.server_ports.insert(facts.server.port);
            }
            _ => {}
        }
    }
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
