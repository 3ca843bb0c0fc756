//! Names of the addresses that a report mentions. In: the names that the inputs bring along, and those that DNS answers in
//! the capture gave. Out: one name for each address.
//!
//! The rule: nobody is asked for a name. What the file's writer resolved stands before what DNS said in the capture. Both
//! are words of others: redacted here, escaped by each format.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::capture::InputFacts;
use crate::diagnose::finding::{AttemptReport, ConnectionName, Diagnosis};

/// Most names of a report: it is read by people, and the addresses beyond come without.
pub const NAMES_SHOWN_MAX: usize = 4096;

/// The names of the addresses that a diagnosis mentions.
#[must_use]
pub fn of(diagnosis: &Diagnosis, inputs: &[InputFacts]) -> BTreeMap<IpAddr, String> {
    let name = |addr: IpAddr| {
        let of_file = inputs.iter().find_map(|facts| facts.names.get(&addr));
        let name = of_file.or_else(|| diagnosis.names.get(&addr))?;
        Some((addr, name.clone()))
    };
    let named = mentioned(diagnosis).into_iter().filter_map(name);
    named.take(NAMES_SHOWN_MAX).collect()
}

fn mentioned(diagnosis: &Diagnosis) -> BTreeSet<IpAddr> {
    let mut addrs = BTreeSet::new();
    for finding in &diagnosis.findings {
        of_connection(&mut addrs, &finding.exchange.connection);
        addrs.extend(finding.upstream.map(|upstream| upstream.addr));
        addrs.extend(finding.detail.as_deref().and_then(address));
        for attempt in &finding.attempts {
            of_attempt(&mut addrs, attempt);
        }
    }
    for event in &diagnosis.upstream_events {
        addrs.insert(event.gateway.addr);
        of_attempt(&mut addrs, &event.attempt);
    }
    addrs
}

fn of_attempt(addrs: &mut BTreeSet<IpAddr>, attempt: &AttemptReport) {
    addrs.extend(attempt.upstream.map(|upstream| upstream.addr));
    addrs.extend(attempt.detail.as_deref().and_then(address));
    if let Some(connection) = &attempt.connection {
        of_connection(addrs, connection);
    }
}

fn of_connection(addrs: &mut BTreeSet<IpAddr>, connection: &ConnectionName) {
    for view in std::iter::once(connection).chain(&connection.views) {
        addrs.extend([view.client.addr, view.server.addr]);
    }
}

/// The address of an endpoint as reports write it, or an address alone.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let socket = text.parse::<std::net::SocketAddr>();
    socket
        .map(|socket| socket.ip())
        .or_else(|_| text.parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use std::sync::Arc;

    #[test]
    fn the_file_speaks_before_dns_and_only_of_what_is_mentioned() {
        let mut diagnosis = sample::diagnosis();
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        for (address, name) in [
            ("10.2.0.3", "by-dns"),
            ("10.1.0.9", "client"),
            ("10.7.7.7", "no"),
        ] {
            diagnosis.names.insert(addr(address), name.to_owned());
        }
        let of_file = [(addr("10.2.0.3"), "db1".to_owned())];
        let facts = InputFacts {
            names: Arc::new(of_file.into()),
            ..InputFacts::default()
        };
        let named = of(&diagnosis, &[InputFacts::default(), facts]);
        let expected = [
            (addr("10.1.0.9"), "client".to_owned()),
            (addr("10.2.0.3"), "db1".to_owned()),
        ];
        assert_eq!(named, expected.into());
    }

    #[test]
    fn endpoints_and_addresses_are_read() {
        for text in ["10.0.0.1:80", "10.0.0.1"] {
            assert_eq!(address(text), Some(IpAddr::from([10, 0, 0, 1])));
        }
        assert_eq!(
            address("[::1]:80"),
            Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]))
        );
        assert_eq!(address("shop.example"), None);
    }
}
