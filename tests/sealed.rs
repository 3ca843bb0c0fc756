//! Clients that come in TLS: what may be inferred of the answers that they got, and what may not. Written conversations
//! beside the recorded ones (`*-sealed-*`).
//!
//! The rule (causes.md B.4): an error inside TLS is at most possible; where an upstream's answer accounts for what a
//! client got, nothing is said.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Failure, Finding, Origin};

use crate::support::analyse;
use crate::support::tls::{client_hello, sealed, server_hello};
use crate::support::wire::{Leg, Listener, Opener, Wire};

const GATEWAY: &str = "10.0.0.1:443";
const UPSTREAM: &str = "10.0.0.3:8080";
const SECOND: &str = "10.0.0.4:8080";
const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n";
/// Records of a request, of an error page, and of a small answer.
const ASKS: usize = 300;
const PAGE: usize = 330;

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

/// A client that has shaken hands with the gateway.
fn enters(wire: &mut Wire, client: &str) -> Leg {
    let leg = wire.connects(client, GATEWAY);
    wire.says(leg, Opener, client_hello(b"shop.example"))
        .says(leg, Listener, server_hello());
    leg
}

/// A client that has asked for something.
fn asks(wire: &mut Wire, client: &str) -> Leg {
    let leg = enters(wire, client);
    wire.says(leg, Opener, sealed(ASKS));
    leg
}

/// The upstream refuses the gateway's connect.
fn refuses(wire: &mut Wire, from: &str, upstream: &str) {
    let leg = wire.syn(from, upstream);
    wire.resets(leg, Listener);
}

/// The gateway asks an upstream, which answers.
fn serves(wire: &mut Wire, from: &str, upstream: &str) {
    let leg = wire.connects(from, upstream);
    wire.says(leg, Opener, GET).says(leg, Listener, OK);
}

/// The one finding of a conversation: an error that is inferred.
fn suspected(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = &findings[0];
    assert_eq!(finding.failure, Failure::Suspected);
    assert_eq!(finding.status, None);
    assert!(finding.confidence <= Confidence::Possible, "{finding:#?}");
    assert!(finding.contributing.contains(&"encrypted-inconclusive"));
    assert!(
        finding
            .not_observable
            .iter()
            .any(|clause| clause.contains("key log"))
    );
    finding
}

fn nothing_suspected(wire: &Wire) {
    assert_eq!(judged(wire).diagnosis.findings, []);
}

#[test]
fn an_answer_right_after_a_failure_is_suspected() {
    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    refuses(&mut wire, "10.0.0.1:50000", UPSTREAM);
    wire.says(client, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let finding = suspected(&analysis);
    assert_eq!(finding.code, "connect-refused");
    assert_eq!(finding.origin, Origin::Unknown);
    assert_eq!(
        finding.exchange.connection.client.to_string(),
        "10.0.0.9:40000"
    );
    assert_eq!(finding.upstream.unwrap().to_string(), UPSTREAM);
    assert!(!finding.interchangeable);
    assert!(
        finding
            .confidence_reasons
            .iter()
            .any(|clause| clause.contains("325 bytes"))
    );
}

#[test]
fn a_wait_that_ran_out_is_suspected_and_so_is_a_close_without_a_byte() {
    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(3_000);
    wire.closes(upstream, Opener)
        .says(client, Listener, sealed(PAGE));
    assert_eq!(suspected(&judged(&wire)).code, "response-timeout");

    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET).closes(upstream, Listener);
    wire.closes(client, Listener).closes(client, Opener);
    let analysis = judged(&wire);
    let finding = suspected(&analysis);
    assert_eq!(finding.code, "closed-before-response");
    assert!(
        finding
            .confidence_reasons
            .iter()
            .any(|clause| clause.contains("close right after"))
    );
}

#[test]
fn an_error_that_the_upstream_itself_wrote_is_suspected_of_being_passed_on() {
    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, BUSY);
    wire.says(client, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let finding = suspected(&analysis);
    assert_eq!(finding.code, "upstream-returned-5xx");
    assert_eq!(finding.origin, Origin::Relayed);
}

#[test]
fn where_both_legs_are_encrypted_tcp_still_tells() {
    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8443");
    wire.says(upstream, Opener, client_hello(b"app.example"))
        .says(upstream, Listener, server_hello())
        .says(upstream, Opener, sealed(ASKS))
        .resets(upstream, Listener);
    wire.says(client, Listener, sealed(PAGE));
    assert_eq!(suspected(&judged(&wire)).code, "reset-before-response");
}

#[test]
fn a_request_that_was_tried_again_is_not() {
    for (first, second) in [(UPSTREAM, SECOND), (UPSTREAM, UPSTREAM)] {
        let mut wire = Wire::new();
        let client = asks(&mut wire, "10.0.0.9:40000");
        refuses(&mut wire, "10.0.0.1:50000", first);
        serves(&mut wire, "10.0.0.1:50001", second);
        wire.says(client, Listener, sealed(PAGE));
        let analysis = judged(&wire);
        assert_eq!(analysis.diagnosis.findings, []);
        // The client was served all the same: that is an event.
        assert_eq!(analysis.diagnosis.upstream_events.len(), 1);
    }
}

#[test]
fn a_copy_that_fails_beside_the_request_is_not() {
    let mut wire = Wire::new();
    let client = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET);
    refuses(&mut wire, "10.0.0.1:50001", SECOND);
    wire.says(upstream, Listener, OK)
        .says(client, Listener, sealed(PAGE));
    nothing_suspected(&wire);
}

#[test]
fn of_two_clients_the_one_whose_answer_nothing_accounts_for_is_named() {
    let mut wire = Wire::new();
    let served = asks(&mut wire, "10.0.0.8:40000");
    let failed = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET);
    let closed = wire.connects("10.0.0.1:50001", UPSTREAM);
    wire.says(closed, Opener, GET).says(upstream, Listener, OK);
    wire.says(served, Listener, sealed(PAGE));
    wire.closes(closed, Listener)
        .says(failed, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let finding = suspected(&analysis);
    assert_eq!(
        finding.exchange.connection.client.to_string(),
        "10.0.0.9:40000"
    );
    assert_eq!(finding.code, "closed-before-response");
}

#[test]
fn of_two_clients_that_nothing_tells_apart_both_are_named() {
    let mut wire = Wire::new();
    let one = asks(&mut wire, "10.0.0.8:40000");
    let other = asks(&mut wire, "10.0.0.9:40000");
    refuses(&mut wire, "10.0.0.1:50000", UPSTREAM);
    wire.says(one, Listener, sealed(PAGE));
    wire.says(other, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let finding = suspected(&analysis);
    assert!(finding.interchangeable);
    let told = finding.exchange.connection.client.to_string();
    let not_told = if told == "10.0.0.8:40000" {
        "10.0.0.9:40000"
    } else {
        "10.0.0.8:40000"
    };
    assert!(
        finding
            .confidence_reasons
            .iter()
            .any(|clause| clause.contains(not_told))
    );
}

#[test]
fn two_failures_for_two_clients_are_two_findings() {
    let mut wire = Wire::new();
    let one = asks(&mut wire, "10.0.0.8:40000");
    refuses(&mut wire, "10.0.0.1:50000", UPSTREAM);
    wire.says(one, Listener, sealed(PAGE)).waits_ms(400);
    let other = asks(&mut wire, "10.0.0.9:40000");
    refuses(&mut wire, "10.0.0.1:50001", UPSTREAM);
    wire.says(other, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let clients = analysis.diagnosis.findings.iter();
    let clients: Vec<String> = clients
        .map(|finding| finding.exchange.connection.client.to_string())
        .collect();
    assert_eq!(clients, ["10.0.0.8:40000", "10.0.0.9:40000"]);
}

#[test]
fn an_error_in_clear_keeps_its_attempt() {
    // A clear client and an encrypted one; one attempt, and an error that was seen.
    let mut wire = Wire::new();
    let clear = wire.connects("10.0.0.7:40000", "10.0.0.1:80");
    let encrypted = asks(&mut wire, "10.0.0.9:40000");
    wire.says(clear, Opener, GET);
    refuses(&mut wire, "10.0.0.1:50000", UPSTREAM);
    wire.says(
        clear,
        Listener,
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    );
    wire.says(encrypted, Listener, sealed(PAGE));
    let analysis = judged(&wire);
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].failure, Failure::Status);
}

#[test]
fn what_is_too_large_or_too_late_for_a_page_is_not() {
    for (len, wait_ms) in [(9_000, 0), (PAGE, 40)] {
        let mut wire = Wire::new();
        let client = asks(&mut wire, "10.0.0.9:40000");
        refuses(&mut wire, "10.0.0.1:50000", UPSTREAM);
        wire.waits_ms(wait_ms).says(client, Listener, sealed(len));
        // The next request ends the answer before it.
        wire.waits_ms(100).says(client, Opener, sealed(ASKS));
        nothing_suspected(&wire);
    }
}

#[test]
fn an_attempt_that_was_given_up_for_a_client_that_left_is_not() {
    let mut wire = Wire::new();
    let patient = asks(&mut wire, "10.0.0.8:40000");
    let leaves = asks(&mut wire, "10.0.0.9:40000");
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(700);
    wire.closes(leaves, Opener).closes(upstream, Opener);
    // From the gateway's own cache.
    wire.says(patient, Listener, sealed(PAGE));
    nothing_suspected(&wire);
}

#[test]
fn a_health_check_that_fails_beside_an_answer_is_not() {
    let mut wire = Wire::new();
    let client = enters(&mut wire, "10.0.0.9:40000");
    wire.says(client, Opener, sealed(ASKS))
        .says(client, Listener, sealed(PAGE));
    for number in 0..5 {
        wire.waits_ms(2_000);
        refuses(&mut wire, &format!("10.0.0.1:{}", 50_000 + number), SECOND);
    }
    wire.waits_ms(1_999).says(client, Opener, sealed(ASKS));
    refuses(&mut wire, "10.0.0.1:50009", SECOND);
    // From the gateway's own cache.
    wire.says(client, Listener, sealed(PAGE));
    nothing_suspected(&wire);
}

#[test]
fn a_busy_healthy_gateway_is_not() {
    // Twenty clients at once; each second one is tried again, since one of two upstreams refuses.
    let mut wire = Wire::new();
    let clients: Vec<Leg> = (0..20)
        .map(|number| enters(&mut wire, &format!("10.0.0.9:{}", 40_000 + number)))
        .collect();
    let mut port = 50_000;
    for round in 0..5 {
        for client in &clients {
            wire.says(*client, Opener, sealed(ASKS));
        }
        let mut upstreams = Vec::new();
        for number in 0..clients.len() {
            if (number + round) % 2 == 0 {
                refuses(&mut wire, &format!("10.0.0.1:{port}"), SECOND);
                port += 1;
            }
            let leg = wire.connects(&format!("10.0.0.1:{port}"), UPSTREAM);
            port += 1;
            wire.says(leg, Opener, GET);
            upstreams.push(leg);
        }
        for (client, upstream) in clients.iter().zip(upstreams) {
            wire.says(upstream, Listener, OK)
                .says(*client, Listener, sealed(PAGE));
        }
        wire.waits_ms(150);
    }
    nothing_suspected(&wire);
}
