//! Targets that a gateway rewrites: learnt from exchanges that went well, used where several are in flight. Written
//! conversations beside the recorded ones (`*-crowd-rewritten`).

use gwcap::analyzer::Analysis;

use crate::support::analyse;
use crate::support::wire::{Leg, Listener, Opener, Wire};

const GATEWAY: &str = "10.0.0.1:80";
const UPSTREAM: &str = "10.0.0.3:8080";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n")
}

/// One client after the other asks under `/a` and `/b`, of which the gateway makes `/one` and `/two`.
fn lessons(wire: &mut Wire, client: Leg, count: usize) {
    let upstream = wire.connects("10.0.0.1:50000", UPSTREAM);
    for number in 0..count {
        for (asked, sent) in [("/a", "/one"), ("/b", "/two")] {
            wire.says(client, Opener, get(&format!("{asked}/{number}")));
            wire.says(upstream, Opener, get(&format!("{sent}/{number}")));
            wire.says(upstream, Listener, OK)
                .says(client, Listener, OK)
                .waits_ms(30);
        }
    }
}

/// Two clients ask in one instant; their attempts begin, and fail, in the other order.
fn crossed(wire: &mut Wire, first: Leg) {
    let second = wire.connects("10.0.0.8:40000", GATEWAY);
    wire.waits_ms(20);
    wire.says(first, Opener, get("/a/x"))
        .says(second, Opener, get("/b/x"));
    let two = wire.connects("10.0.0.1:50001", UPSTREAM);
    wire.says(two, Opener, get("/two/x"));
    let one = wire.connects("10.0.0.1:50002", UPSTREAM);
    wire.says(one, Opener, get("/one/x"));
    wire.closes(two, Listener).resets(one, Listener);
    wire.says(first, Listener, NGINX_502)
        .says(second, Listener, NGINX_502);
}

/// Whole conversations by name, for the tests that damage captures.
pub fn conversations() -> Vec<(&'static str, Wire)> {
    vec![("rewritten-crossed", taught())]
}

/// A gateway that rewrites, and two failures that only the targets tell apart.
fn taught() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", GATEWAY);
    lessons(&mut wire, client, 3);
    crossed(&mut wire, client);
    wire
}

/// Client and cause of each finding.
fn causes(analysis: &Analysis) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = analysis
        .diagnosis
        .findings
        .iter()
        .map(|finding| (finding.exchange.connection.client.to_string(), finding.code))
        .collect();
    found.sort();
    found
}

#[test]
fn a_rewritten_target_tells_whose_attempt_it_is() {
    let analysis = judged(&taught());
    let want = [
        ("10.0.0.8:40000".to_owned(), "closed-before-response"),
        ("10.0.0.9:40000".to_owned(), "reset-before-response"),
    ];
    assert_eq!(causes(&analysis), want);
    let reasons = analysis.diagnosis.findings[0].attempts[0]
        .matched_by
        .join("; ");
    assert!(reasons.contains("as this gateway rewrites it"), "{reasons}");
}

#[test]
fn without_a_lesson_nothing_is_certain() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", GATEWAY);
    crossed(&mut wire, client);
    for finding in &judged(&wire).diagnosis.findings {
        let reasons = finding
            .attempts
            .iter()
            .flat_map(|attempt| &attempt.matched_by);
        assert!(!reasons.cloned().collect::<String>().contains("rewrites"));
    }
}

#[test]
fn one_exchange_is_no_lesson() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", GATEWAY);
    lessons(&mut wire, client, 1);
    crossed(&mut wire, client);
    for finding in &judged(&wire).diagnosis.findings {
        let reasons = finding
            .attempts
            .iter()
            .flat_map(|attempt| &attempt.matched_by);
        assert!(!reasons.cloned().collect::<String>().contains("rewrites"));
    }
}

#[test]
fn a_retry_under_a_rewritten_target_is_an_event() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", GATEWAY);
    lessons(&mut wire, client, 3);
    wire.says(client, Opener, get("/a/9"));
    let refused = wire.syn("10.0.0.1:50001", "10.0.0.4:8080");
    wire.resets(refused, Listener);
    let served = wire.connects("10.0.0.1:50002", UPSTREAM);
    wire.says(served, Opener, get("/one/9"))
        .says(served, Listener, OK);
    wire.says(client, Listener, OK);
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.findings, []);
    assert_eq!(analysis.diagnosis.upstream_events.len(), 1);
}
