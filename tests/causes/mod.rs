//! Causes in small written conversations, by family: what is one, how sure one may be, and what only looks like one.
//!
//! The rule: a recording of a real gateway is worth more; these stand beside it, and for causes that no gateway was
//! recorded with yet.

mod body;
mod head;
mod mismatch;
pub mod products;
mod sending;

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::wire::{Leg, Listener, Opener, Wire};

pub const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
/// nginx's own error page.
pub const NGINX: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
/// HAProxy's.
pub const HAPROXY: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n";
/// Envoy's.
pub const ENVOY: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 87\r\ncontent-type: text/plain\r\nserver: envoy\r\n\r\nupstream connect error or disconnect/reset before headers. reset reason: protocol error";
/// An error that nobody signed.
pub const UNKNOWN: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// A written conversation with one failure, and what is said of it.
pub struct Case {
    pub name: &'static str,
    pub code: &'static str,
    pub detail: Option<&'static str>,
    pub confidence: Confidence,
    pub write: fn(&mut Wire),
}

/// All written cases.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [head::CASES, body::CASES, sending::CASES, mismatch::CASES]
        .into_iter()
        .flatten()
}

pub fn judged(write: impl FnOnce(&mut Wire)) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let mut wire = Wire::new();
    write(&mut wire);
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

pub fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

/// A client asks, and the gateway asks the upstream on a new connection.
pub fn asked(wire: &mut Wire, request: impl AsRef<[u8]>) -> (Leg, Leg) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, &request);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, &request);
    (client, upstream)
}

/// The upstream answers so, and the gateway closes and refuses it.
pub fn refused(wire: &mut Wire, answer: impl AsRef<[u8]>, error: &str) {
    let (client, upstream) = asked(wire, GET);
    wire.says(upstream, Listener, answer)
        .closes(upstream, Opener);
    wire.says(client, Listener, error);
}

#[test]
fn every_written_case_is_what_it_says() {
    let mut wrong = Vec::new();
    for case in all() {
        let analysis = judged(case.write);
        let [finding] = analysis.diagnosis.findings.as_slice() else {
            wrong.push(format!("{}: {:#?}", case.name, analysis.diagnosis.findings));
            continue;
        };
        let found = (finding.code, finding.detail.as_deref(), finding.confidence);
        if found != (case.code, case.detail, case.confidence) {
            wrong.push(format!(
                "{}: {found:?} {:#?}",
                case.name, finding.confidence_reasons
            ));
        }
        if finding.evidence.len() < 3 {
            wrong.push(format!("{}: no evidence of both legs", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
