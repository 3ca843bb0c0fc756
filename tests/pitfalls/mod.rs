//! TCP on a bad day: one test, at least, for each pitfall of captures and each harmless look-alike, through the whole
//! analysis. Tests are named by the number of the pitfall: what the capture does (1 to 12), what TCP and HTTP do (13
//! to 19), what happens beside them (20 to 30).
//!
//! The rule: what is right comes from the RFCs and from how hosts behave, never from what gwcap says. An absence that
//! the capture cannot prove is not certain; a harmless event is no finding.
//!
//! Left out: views of one connection before and after NAT, and several capture points, which have tests of their own.

mod beside;
mod capture;
mod traffic;

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{FIN, Leg, Listener, Opener, Wire};

const CLIENT: &str = "10.0.0.9:40000";
const GATEWAY: &str = "10.0.0.1:80";
const OUTGOING: &str = "10.0.0.1:50000";
const UPSTREAM: &str = "10.0.0.3:8080";

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const NGINX_504: &str = "HTTP/1.1 504 Gateway Time-out\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 167\r\n\r\n<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const HAPROXY_503: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";

/// Whole conversations by name, for the tests that damage captures.
pub fn conversations() -> Vec<(&'static str, Wire)> {
    let mut all = capture::conversations();
    all.extend(traffic::conversations());
    all.extend(beside::conversations());
    all
}

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

/// The one finding of a conversation.
fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

/// Fails unless a conversation has this one finding, and it is certain.
fn certainly(wire: &Wire, code: &str) -> Analysis {
    let analysis = judged(wire);
    let finding = only(&analysis);
    assert_eq!(
        (finding.code, finding.confidence),
        (code, Confidence::Certain),
        "{finding:#?}"
    );
    analysis
}

/// Fails where a conversation has a finding that is certain.
fn nothing_certain(wire: &Wire) -> Analysis {
    let analysis = judged(wire);
    for finding in &analysis.diagnosis.findings {
        assert_ne!(finding.confidence, Confidence::Certain, "{finding:#?}");
    }
    analysis
}

/// Fails unless a conversation is healthy: no finding, no event, no error of an application, nobody who left.
fn nothing_to_find(wire: &Wire) -> Analysis {
    let analysis = judged(wire);
    let diagnosis = &analysis.diagnosis;
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.upstream_events, []);
    assert_eq!(
        (
            diagnosis.health.application_errors,
            diagnosis.health.client_aborts
        ),
        (0, 0)
    );
    analysis
}

/// What is said of a finding beside its code.
fn words(finding: &Finding) -> String {
    let evidence = finding.evidence.iter().map(|evidence| &evidence.summary);
    let clauses = finding.confidence_reasons.iter();
    let hidden = finding.not_observable.iter();
    let all: Vec<&str> = evidence
        .chain(clauses)
        .chain(hidden)
        .map(|text| &**text)
        .collect();
    all.join("\n")
}

/// A client asks, and the gateway passes the request on over a new connection.
fn asked() -> (Wire, Leg, Leg) {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET);
    (wire, client, upstream)
}

/// A client asks, and the gateway opens a connection; nobody has answered its SYN.
fn dialled() -> (Wire, Leg, Leg) {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    (wire, client, upstream)
}

/// Both sides close.
fn farewell(wire: &mut Wire, leg: Leg) {
    wire.closes(leg, Listener)
        .segment(leg, Opener, FIN | 0x10, &[])
        .acks(leg, Listener);
}

/// A whole exchange that goes well.
fn served() -> (Wire, Leg, Leg) {
    let (mut wire, client, upstream) = asked();
    wire.says(upstream, Listener, OK).says(client, Listener, OK);
    (wire, client, upstream)
}

/// An upstream that refuses, and a gateway that says so.
fn refused() -> Wire {
    let (mut wire, client, upstream) = dialled();
    wire.resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

/// An upstream that says nothing, and a gateway that waits so long.
fn silent(wait_ms: i64) -> Wire {
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(wait_ms).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}
