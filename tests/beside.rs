//! What a gateway asks of its own accord: health checks and auxiliary calls. Written conversations beside the recorded
//! ones (`nginx-auth-*`, `nginx-healthy-mirror-*`, `*-checks-fail`).
//!
//! The rule (causes.md B.1, B.10): neither is the attempt behind a client's failure unless the product makes it so.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{Listener, Opener, Wire};

const CLIENT: &str = "10.0.0.9:40000";
const GATEWAY: &str = "10.0.0.1:80";
const OUTGOING: &str = "10.0.0.1:50000";
const UPSTREAM: &str = "10.0.0.3:8080";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const HAPROXY_503: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

fn get(target: &str, agent: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: {agent}\r\n\r\n")
}

/// A page of nginx.
fn nginx(status: &str) -> String {
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

/// Whole conversations by name, for the tests that damage captures.
pub fn conversations() -> Vec<(&'static str, Wire)> {
    vec![
        ("beside-named-check", named_check()),
        ("beside-check-through", check_through()),
        ("beside-auth", not_allowed()),
    ]
}

fn named_check() -> Wire {
    let (asked, check) = (get("/cart", "curl/8.5"), get("/cart", "Envoy/HC"));
    fails_within(&asked, &check, HAPROXY_503)
}

fn check_through() -> Wire {
    let probe = get("/ready", "kube-probe/1.30");
    fails_within(&probe, &probe, &nginx("502 Bad Gateway"))
}

fn not_allowed() -> Wire {
    let (asked, allows) = (get("/cart", "curl/8.5"), get("/auth", "curl/8.5"));
    fails_within(&asked, &allows, &nginx("500 Internal Server Error"))
}

/// The gateway sends `inner` to the upstream, which closes, while the client waits for the answer to `outer`.
fn fails_within(outer: &str, inner: &str, answer: &str) -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    // It is a gateway: an exchange that went well shows it.
    let pooled = wire.connects("10.0.0.1:49000", UPSTREAM);
    wire.says(client, Opener, outer).says(pooled, Opener, outer);
    wire.says(pooled, Listener, OK)
        .says(client, Listener, OK)
        .waits_ms(500);
    wire.says(client, Opener, outer);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, inner)
        .closes(upstream, Listener);
    wire.says(client, Listener, answer);
    wire
}

#[test]
fn a_check_that_names_itself_is_not_the_attempt_of_a_client() {
    let analysis = judged(&named_check());
    let finding = only(&analysis);
    assert_eq!(finding.code, "no-upstream-attempt", "{finding:#?}");
    assert!(finding.attempts.is_empty());
    // It may be why the upstream is not asked.
    assert!(finding.contributing.contains(&"closed-before-response"));
}

#[test]
fn a_check_that_comes_through_the_gateway_is_a_client_like_any_other() {
    let analysis = judged(&check_through());
    let finding = only(&analysis);
    assert_eq!(finding.code, "closed-before-response");
    assert_eq!(finding.confidence, Confidence::Certain);
}

#[test]
fn nginx_answers_500_where_the_request_that_is_to_allow_fails() {
    let analysis = judged(&not_allowed());
    let finding = only(&analysis);
    assert_eq!(finding.code, "closed-before-response", "{finding:#?}");
    assert_eq!(finding.confidence, Confidence::Likely);
    let told = |clause: &String| clause.contains("auth_request") && clause.contains("GET /auth");
    assert!(finding.confidence_reasons.iter().any(told));
}

/// What Envoy says where the request itself fails, and without a word where a filter that asks somebody first does.
#[test]
fn envoy_says_nothing_where_the_request_that_is_to_allow_fails() {
    let (asked, allows) = (get("/cart", "curl/8.5"), get("/may/cart", "curl/8.5"));
    let reason = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    let answer = |body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {length}\r\nserver: envoy\r\n\r\n{body}"
        )
    };
    for (inner, answer, confidence) in [
        (&allows, answer(""), Confidence::Likely),
        (&asked, answer(reason), Confidence::Certain),
    ] {
        let analysis = judged(&fails_within(&asked, inner, &answer));
        let finding = only(&analysis);
        assert_eq!(finding.code, "closed-before-response", "{finding:#?}");
        assert_eq!(finding.confidence, confidence, "{finding:#?}");
        let told = finding
            .confidence_reasons
            .iter()
            .any(|clause| clause.contains("ext_authz") && clause.contains("GET /may/cart"));
        assert_eq!(told, confidence == Confidence::Likely, "{finding:#?}");
    }
}

#[test]
fn checks_that_fail_on_their_beat_are_no_retries() {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    for number in 0..6 {
        // A second apart each; the request comes right after the check.
        let check = wire.syn(&format!("10.0.0.1:{}", 51_000 + number), "10.0.0.4:8080");
        wire.resets(check, Listener);
        let asked = get("/cart", "curl/8.5");
        wire.waits_ms(1)
            .says(client, Opener, &asked)
            .says(upstream, Opener, &asked);
        wire.says(upstream, Listener, OK)
            .says(client, Listener, OK)
            .waits_ms(998);
    }
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.findings, []);
    assert_eq!(analysis.diagnosis.upstream_events, []);
}
