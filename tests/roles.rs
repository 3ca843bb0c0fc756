//! Who is a gateway, and whose error it is: written conversations of what the lab does not record.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{Listener, Opener, Wire};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const APP_503: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

#[test]
fn in_a_chain_the_outer_gateway_points_to_the_inner() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let inner = wire.connects("10.0.0.1:50000", "10.0.0.2:80");
    wire.says(inner, Opener, GET);
    let refused = wire.syn("10.0.0.2:60000", "10.0.0.3:8080");
    wire.resets(refused, Listener);
    wire.says(inner, Listener, NGINX_502);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let findings = &analysis.diagnosis.findings;
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["connect-refused", "relayed-nested"]);
    assert_eq!(findings[1].caused_by.as_ref(), Some(&findings[0].id));
    assert_eq!(findings[1].detail.as_deref(), Some("connect-refused"));
}

/// Clients and upstream are one host. Its requests are a client's; of an attempt whose end the capture lost, another client's
/// request that runs meanwhile makes no gateway.
#[test]
fn a_host_that_asks_and_is_asked_by_one_gateway_is_no_gateway() {
    let mut wire = Wire::new();
    let (front, back) = ("10.0.0.1:80", "10.0.0.9:8080");
    let client = wire.connects("10.0.0.9:40000", front);
    let upstream = wire.connects("10.0.0.1:50000", back);
    for _ in 0..2 {
        wire.says(client, Opener, GET).says(upstream, Opener, GET);
        wire.says(upstream, Listener, OK).says(client, Listener, OK);
    }
    wire.says(client, Opener, GET).says(upstream, Opener, GET);
    let other = wire.connects("10.0.0.9:40001", front);
    wire.says(other, Opener, GET).closes(upstream, Listener);
    let analysis = judged(&wire);
    // Two that are over, and two that the end of the capture ended.
    assert_eq!(analysis.diagnosis.health.exchanges, 4);
    let findings = &analysis.diagnosis.findings;
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn an_error_of_a_plain_application_is_counted_and_no_finding() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.3:8080");
    wire.says(client, Opener, GET)
        .says(client, Listener, APP_503);
    let analysis = judged(&wire);
    assert!(analysis.diagnosis.findings.is_empty());
    assert_eq!(analysis.diagnosis.health.application_errors, 1);
}

#[test]
fn an_application_behind_a_gateway_is_the_author_of_its_503() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, APP_503);
    wire.says(client, Listener, APP_503);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "upstream-returned-5xx");
    assert_eq!(finding.detail.as_deref(), Some("503"));
    assert_eq!(analysis.diagnosis.health.application_errors, 0);
}

#[test]
fn on_loopback_ports_tell_gateway_and_upstream_apart() {
    let mut wire = Wire::new();
    for (port, fails) in [(41_000, false), (41_001, true)] {
        let client = wire.connects(&format!("127.0.0.1:{port}"), "127.0.0.1:80");
        wire.says(client, Opener, GET);
        let upstream = wire.connects(&format!("127.0.0.1:{}", port + 5_000), "127.0.0.1:8080");
        wire.says(upstream, Opener, GET);
        if fails {
            wire.closes(upstream, Listener).closes(upstream, Opener);
            wire.says(client, Listener, NGINX_502);
        } else {
            wire.says(upstream, Listener, OK).says(client, Listener, OK);
        }
    }
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "closed-before-response");
    assert_eq!(finding.upstream.unwrap().port, 8080);
}

#[test]
fn a_502_without_any_upstream_traffic_is_not_explained_away() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET)
        .says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(
        (finding.code, finding.confidence),
        ("upstream-leg-not-captured", Confidence::Unknown)
    );
    assert!(
        analysis
            .diagnosis
            .warnings
            .iter()
            .any(|warning| warning.remedy.contains("tcpdump -i any"))
    );
}

#[test]
fn an_upstream_leg_that_shows_later_revises_the_verdict() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET)
        .says(client, Listener, NGINX_502);
    wire.waits_ms(10_000);
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK);
    wire.says(client, Listener, OK);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "no-upstream-attempt");
    assert!(
        finding.confidence < Confidence::Certain,
        "nothing proves it"
    );
}

#[test]
fn a_page_that_was_passed_on_does_not_name_the_gateway() {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, NGINX_502);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let findings = &analysis.diagnosis.findings;
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(
        codes,
        ["upstream-leg-not-captured", "upstream-returned-5xx"]
    );
    assert_eq!(
        findings[0].gateway.product,
        Some("nginx"),
        "the inner one wrote the page"
    );
    assert_eq!(
        findings[1].gateway.product, None,
        "nginx is the upstream here"
    );
    assert_eq!(findings[1].caused_by.as_ref(), Some(&findings[0].id));
}

/// A busy gateway answers a while after the failure. Meanwhile another request, asked before, is sent and served as if
/// it were the retry; wherever a second begins, the failure is the error's and no event.
#[test]
fn a_failure_whose_error_is_late_is_no_failure_that_nobody_noticed() {
    for offset in (0..1_000).step_by(100) {
        let mut wire = Wire::new();
        wire.waits_ms(offset);
        let one = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
        let other = wire.connects("10.0.0.9:40001", "10.0.0.1:80");
        wire.says(one, Opener, GET).says(other, Opener, GET);
        let failed = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
        wire.says(failed, Opener, GET).resets(failed, Listener);
        let served = wire.connects("10.0.0.1:50001", "10.0.0.3:8080");
        wire.says(served, Opener, GET).says(served, Listener, OK);
        wire.says(other, Listener, OK).waits_ms(250);
        wire.says(one, Listener, NGINX_502);
        for _ in 0..20 {
            wire.waits_ms(200).says(other, Opener, GET);
            wire.says(served, Opener, GET).says(served, Listener, OK);
            wire.says(other, Listener, OK);
        }
        let analysis = judged(&wire);
        let events = &analysis.diagnosis.upstream_events;
        assert!(events.is_empty(), "at {offset}: {events:#?}");
        assert_eq!(only(&analysis).code, "reset-before-response", "at {offset}");
    }
}
