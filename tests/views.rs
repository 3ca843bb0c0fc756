//! One connection seen at several places: before and after address translation. Written conversations; those of
//! real container hosts are among the recorded cases.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{Leg, Listener, Opener, Wire};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const BAD: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// The gateway's container, and the addresses that the world sees of it.
const INNER: &str = "172.17.0.2:80";
const PUBLISHED: &str = "192.0.2.1:8080";
const INNER_CLIENT: &str = "172.17.0.2:50000";
const MASQUERADED: &str = "192.0.2.1:50000";
const CLIENT: &str = "198.51.100.9:40000";
const UPSTREAM: &str = "192.0.2.77:9000";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

/// A request that the upstream resets, as seen by the container.
fn reset_request(wire: &mut Wire) -> (Leg, Leg) {
    let client = wire.connects(CLIENT, INNER);
    wire.says(client, Opener, GET);
    let upstream = wire.connects(INNER_CLIENT, UPSTREAM);
    wire.says(upstream, Opener, GET).resets(upstream, Listener);
    wire.says(client, Listener, BAD);
    (client, upstream)
}

/// The same, with what the container's host sees of it.
fn published(wire: &mut Wire) {
    let (client, upstream) = reset_request(wire);
    wire.seen_also(client, Opener, CLIENT, PUBLISHED);
    wire.seen_also(upstream, Listener, MASQUERADED, UPSTREAM);
}

#[test]
fn a_published_port_and_a_masqueraded_upstream_are_one_story() {
    let mut wire = Wire::new();
    published(&mut wire);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "reset-before-response");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(finding.exchange.connection.server.to_string(), INNER);
    let upstream = finding.upstream_connection.as_ref().unwrap();
    assert_eq!(upstream.client.to_string(), INNER_CLIENT);
    assert_eq!(upstream.views[0].client.to_string(), MASQUERADED);
    assert_eq!(
        finding.exchange.connection.views[0].server.to_string(),
        PUBLISHED
    );
    assert_eq!(analysis.diagnosis.health.exchanges, 1);
    assert_eq!(analysis.diagnosis.health.connections, 2);
}

#[test]
fn the_dialled_service_address_is_the_upstream() {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, INNER);
    wire.says(client, Opener, GET);
    let refused = wire.syn(INNER_CLIENT, "10.96.0.10:80");
    wire.resets(refused, Listener);
    wire.says(client, Listener, BAD);
    // The gateway dials the service; behind the translation it is the pod.
    wire.seen_also(refused, Listener, INNER_CLIENT, UPSTREAM);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-refused");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(finding.upstream.unwrap().to_string(), "10.96.0.10:80");
}

#[test]
fn a_forwarding_node_is_no_gateway_and_asks_nobody() {
    // Port and source are both translated on the node; only the client's leg is captured.
    let mut wire = Wire::new();
    let client = wire.connects("192.0.2.1:40000", INNER);
    wire.says(client, Opener, GET).says(client, Listener, BAD);
    wire.seen_also(client, Opener, CLIENT, "192.0.2.1:30080");
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "upstream-leg-not-captured");
    assert_eq!(analysis.diagnosis.health.exchanges, 1);
}

#[test]
fn other_connections_are_not_folded() {
    let mut wire = Wire::new();
    reset_request(&mut wire);
    wire.waits_ms(3_000);
    let other = wire.connects("198.51.100.10:41000", INNER);
    let upstream = wire.connects("172.17.0.2:50001", UPSTREAM);
    wire.says(other, Opener, GET).says(upstream, Opener, GET);
    wire.says(upstream, Listener, OK).says(other, Listener, OK);
    let analysis = judged(&wire);
    only(&analysis);
    assert_eq!(analysis.diagnosis.health.exchanges, 2);
    assert_eq!(analysis.diagnosis.health.connections, 4);
}

#[test]
fn a_lost_frame_of_one_view_does_not_make_two_failures_of_one() {
    let mut wire = Wire::new();
    published(&mut wire);
    for lost in 0..wire.len() {
        let mut wire = Wire::new();
        published(&mut wire);
        wire.loses(lost);
        let analysis = judged(&wire);
        for finding in &analysis.diagnosis.findings {
            assert!(
                finding.confidence < Confidence::Certain || finding.code == "reset-before-response",
                "without {lost}: {finding:#?}"
            );
        }
        assert!(analysis.diagnosis.findings.len() <= 1, "without {lost}");
    }
}
