//! What a long run sees: more addresses than are remembered, one after the other. What is told of the last of them is what is
//! told of the first.

use gwcap::diagnose::finding::Confidence;

use crate::causes::{GET, NGINX, OK, judged, only};
use crate::support::wire::{Listener, Opener, Wire};

/// More clients than hosts are remembered.
const CLIENTS: u32 = 220_000;

fn address(number: u32) -> String {
    let [a, b, c] = [number >> 16, number >> 8, number].map(|part| part & 0xff);
    format!("11.{a}.{b}.{c}:40000")
}

/// A failure whose gateway and upstream were never seen before.
fn fails(wire: &mut Wire) {
    let client = wire.connects("10.0.0.9:40000", "10.1.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.syn("10.1.0.1:50000", "10.1.0.3:8080");
    wire.resets(upstream, Listener)
        .says(client, Listener, NGINX)
        .waits_ms(3_000);
}

#[test]
fn after_a_flood_from_countless_addresses_a_failure_is_still_told() {
    let analysis = judged(|wire| {
        for number in 0..CLIENTS {
            wire.syn(&address(number), "10.0.0.1:80");
        }
        fails(wire);
    });
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-refused");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(analysis.loss.get("hosts_not_remembered"), 0);
}

#[test]
fn after_countless_clients_of_weeks_a_failure_is_still_told() {
    let analysis = judged(|wire| {
        for number in 0..CLIENTS {
            // Each comes once for a page and goes, some hundred within a second.
            let client = wire.connects(&address(number), "10.0.0.1:80");
            wire.says(client, Opener, GET)
                .says(client, Listener, OK)
                .waits_ms(2)
                .closes(client, Opener)
                .closes(client, Listener);
        }
        fails(wire);
    });
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-refused");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(analysis.loss.get("hosts_not_remembered"), 0);
}
