//! Fragments that never became packets: they weaken what was found near them between the same hosts, and nothing else.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::Confidence;

use crate::support::analyse;
use crate::support::wire::{Listener, Opener, Wire};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const GATEWAY: &str = "10.0.0.1";
const UPSTREAM: &str = "10.0.0.3";

/// A refused attempt, with half a packet between two hosts some time after the error.
fn refused(lost: Option<(&str, &str, i64)>) -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.syn("10.0.0.1:50000", "10.0.0.3:8080");
    wire.resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    if let Some((from, to, after_ms)) = lost {
        wire.waits_ms(after_ms).half_a_packet(from, to);
    }
    wire
}

/// How sure, and the first reason, with batches of that size.
fn judged(wire: &Wire, batch_bytes: usize) -> (Confidence, String) {
    let folder = tempfile::tempdir().unwrap();
    let analysis: Analysis = analyse(&wire.write(folder.path()), 1, batch_bytes);
    let [finding] = analysis.diagnosis.findings.as_slice() else {
        panic!("{:?}", analysis.diagnosis.findings)
    };
    assert_eq!(finding.code, "connect-refused");
    (finding.confidence, finding.confidence_reasons[0].clone())
}

#[test]
fn fragments_lost_on_a_leg_take_one_step() {
    for (from, to) in [
        (GATEWAY, UPSTREAM),
        (UPSTREAM, GATEWAY),
        ("10.0.0.9", GATEWAY),
    ] {
        let wire = refused(Some((from, to, 10)));
        for batch_bytes in [4_096, 1 << 20] {
            let (confidence, reason) = judged(&wire, batch_bytes);
            assert_eq!(confidence, Confidence::Likely, "{from} {to}");
            assert!(reason.contains("IP fragments between"), "{reason}");
        }
    }
}

#[test]
fn fragments_of_others_or_of_another_time_do_not() {
    for lost in [
        None,
        Some((GATEWAY, "10.0.0.4", 10)),
        Some((GATEWAY, UPSTREAM, 2_000)),
    ] {
        let (confidence, _) = judged(&refused(lost), 1 << 20);
        assert_eq!(confidence, Confidence::Certain, "{lost:?}");
    }
}
