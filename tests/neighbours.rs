//! Neighbours that do not answer: written conversations of what looks like one and is none, and of how sure one may be.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{Leg, Listener, Opener, Wire};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const GATEWAY: &str = "10.0.0.1";
const UPSTREAM: &str = "10.0.0.3";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

/// A client that is served over a new upstream connection, so that the upstream is known.
fn served(wire: &mut Wire) -> Leg {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .closes(upstream, Opener)
        .closes(upstream, Listener);
    wire.says(client, Listener, OK);
    client
}

/// Three questions a second apart, and the second after the last.
fn row(wire: &mut Wire, target: &str) {
    for _ in 0..3 {
        wire.asks_for(GATEWAY, target).waits_ms(1_000);
    }
}

#[test]
fn a_row_that_begins_with_the_request_for_a_known_upstream_is_certain() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    row(&mut wire, UPSTREAM);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "neighbor-unresolved");
    assert_eq!(finding.confidence, Confidence::Certain, "{finding:#?}");
    assert_eq!(finding.detail.as_deref(), Some(UPSTREAM));
    assert_eq!((finding.upstream, finding.attempts.len()), (None, 1));
}

#[test]
fn an_address_that_may_be_a_routers_is_likely() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    row(&mut wire, "10.0.0.254");
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "neighbor-unresolved");
    assert_eq!(finding.confidence, Confidence::Likely);
}

#[test]
fn an_answered_question_rules_it_out() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(1_000);
    wire.asks_for(GATEWAY, UPSTREAM).is_here(UPSTREAM, GATEWAY);
    wire.waits_ms(2_000).says(client, Listener, NGINX_502);
    assert_ne!(only(&judged(&wire)).code, "neighbor-unresolved");
}

#[test]
fn a_neighbour_that_asks_itself_is_there() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(1_000);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(1_000);
    wire.asks_for(UPSTREAM, GATEWAY).waits_ms(1_000);
    wire.says(client, Listener, NGINX_502);
    assert_ne!(only(&judged(&wire)).code, "neighbor-unresolved");
}

#[test]
fn questions_that_go_on_anyway_explain_no_prompt_error() {
    // Checks of a dead upstream: rows without end, and an error within a millisecond.
    let mut wire = Wire::new();
    let client = served(&mut wire);
    row(&mut wire, "10.0.0.77");
    wire.waits_ms(1_000);
    row(&mut wire, "10.0.0.77");
    for pause in [1, 300, 960] {
        wire.asks_for(GATEWAY, "10.0.0.77").waits_ms(pause);
        wire.says(client, Opener, GET)
            .says(client, Listener, NGINX_502);
        wire.waits_ms(1_000 - pause);
    }
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.findings.len(), 3);
    for finding in &analysis.diagnosis.findings {
        assert_eq!(finding.code, "no-upstream-attempt", "{finding:#?}");
        assert_eq!(finding.contributing, ["neighbor-unresolved"]);
        assert_ne!(finding.confidence, Confidence::Certain);
    }
}

#[test]
fn a_request_that_meets_the_end_of_anothers_row_is_possible() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    let late = wire.connects("10.0.0.9:40001", "10.0.0.1:80");
    wire.waits_ms(60_000).says(client, Opener, GET);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(1_000);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(400);
    wire.says(late, Opener, GET).waits_ms(600);
    wire.asks_for(GATEWAY, UPSTREAM).waits_ms(1_000);
    wire.says(client, Listener, NGINX_502);
    wire.says(late, Listener, NGINX_502);
    let analysis = judged(&wire);
    let told: Vec<_> = analysis
        .diagnosis
        .findings
        .iter()
        .map(|finding| (finding.code, finding.confidence))
        .collect();
    assert_eq!(
        told,
        [
            ("neighbor-unresolved", Confidence::Certain),
            ("neighbor-unresolved", Confidence::Possible)
        ]
    );
}

#[test]
fn a_neighbour_that_speaks_later_leaves_a_doubt() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    row(&mut wire, UPSTREAM);
    wire.says(client, Listener, NGINX_502).waits_ms(500);
    wire.asks_for(UPSTREAM, GATEWAY);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "neighbor-unresolved");
    assert_eq!(finding.confidence, Confidence::Possible);
}

#[test]
fn a_syn_on_the_wire_is_another_cause_and_the_questions_a_remark() {
    let mut wire = Wire::new();
    let client = served(&mut wire);
    wire.waits_ms(60_000).says(client, Opener, GET);
    wire.syn("10.0.0.1:50001", "10.0.0.3:8080");
    wire.waits_ms(500);
    row(&mut wire, UPSTREAM);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-timeout");
    assert_eq!(finding.contributing, ["neighbor-unresolved"]);
}
