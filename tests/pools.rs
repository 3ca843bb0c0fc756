//! Whose connection it was, where a pool or a busy loop hands out what others left: written conversations of what crowds of
//! real gateways have shown.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::causes::{GET, NGINX, OK, asked, judged, only};
use crate::support::wire::{Listener, Opener, Wire};

/// Envoy's page for a connection that ended, for one that was never made, and for an answer that is none.
const ENDED: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 95\r\ncontent-type: text/plain\r\nserver: envoy\r\n\r\nupstream connect error or disconnect/reset before headers. reset reason: connection termination";
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 98\r\ncontent-type: text/plain\r\nserver: envoy\r\n\r\nupstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// The finding of a client's port.
fn of(analysis: &Analysis, port: u16) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    findings
        .iter()
        .find(|finding| finding.exchange.connection.client.port == port)
        .unwrap_or_else(|| panic!("{port}: {findings:#?}"))
}

fn dialled_from(finding: &Finding) -> Option<u16> {
    Some(finding.upstream_connection.as_ref()?.client.port)
}

/// The first who asked was served by a connection that became free, and the one that was dialled for it went to the next.
fn handed_over(wire: &mut Wire) {
    let (first, free) = asked(wire, GET);
    let second = wire.connects("10.0.0.9:40001", "10.0.0.1:80");
    wire.says(second, Opener, GET);
    let dialled = wire.connects("10.0.0.1:50001", "10.0.0.3:8080");
    wire.says(free, Listener, OK).says(first, Listener, OK);
    wire.says(free, Opener, GET).waits_ms(5);
    let third = wire.connects("10.0.0.9:40002", "10.0.0.1:80");
    wire.says(third, Opener, GET).says(dialled, Opener, GET);
    wire.waits_ms(30).says(free, Listener, OK);
    wire.says(second, Listener, OK).waits_ms(50);
    wire.closes(dialled, Listener).closes(dialled, Opener);
    wire.says(third, Listener, ENDED);
}

#[test]
fn a_connection_that_was_dialled_for_another_may_be_anyones() {
    let analysis = judged(handed_over);
    let finding = only(&analysis);
    assert_eq!(finding.code, "closed-before-response");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(dialled_from(finding), Some(50_001));
}

#[test]
fn the_page_tells_a_refusal_from_a_close_of_the_same_moment() {
    let analysis = judged(|wire| {
        let one = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
        let other = wire.connects("10.0.0.9:40001", "10.0.0.1:80");
        let open = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
        wire.waits_ms(1).says(one, Opener, GET);
        wire.says(other, Opener, GET);
        // In time alone the close would be the other's, and the refusal this one's.
        let dialled = wire.syn("10.0.0.1:50001", "10.0.0.3:8081");
        wire.says(open, Opener, GET);
        wire.resets(dialled, Listener).closes(open, Listener);
        wire.says(one, Listener, ENDED)
            .says(other, Listener, REFUSED);
    });
    let (closed, refused) = (of(&analysis, 40_000), of(&analysis, 40_001));
    assert_eq!(closed.code, "closed-before-response", "{closed:#?}");
    assert_eq!(refused.code, "connect-refused", "{refused:#?}");
}

#[test]
fn who_got_the_error_of_an_attempt_leaves_no_retry_to_another() {
    let analysis = judged(|wire| {
        let one = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
        let other = wire.connects("10.0.0.9:40001", "10.0.0.1:80");
        let stale = ["10.0.0.3:8080", "10.0.0.4:8080"].map(|upstream| {
            let leg = wire.connects("10.0.0.1:50000", upstream);
            wire.says(one, Opener, GET).says(leg, Opener, GET);
            wire.says(leg, Listener, OK).says(one, Listener, OK);
            leg
        });
        wire.waits_ms(500).says(one, Opener, GET).waits_ms(85);
        wire.says(other, Opener, GET).waits_ms(1);
        // A busy loop: the first error waits while the second request is passed on.
        wire.sends(stale[0], Opener, GET);
        wire.knows_nothing(stale[0], Listener).waits_ms(6);
        wire.sends(stale[1], Opener, GET);
        wire.knows_nothing(stale[1], Listener);
        wire.says(one, Listener, NGINX).says(other, Listener, NGINX);
    });
    assert_eq!(analysis.diagnosis.findings.len(), 2);
    for finding in &analysis.diagnosis.findings {
        assert_eq!(finding.code, "stale-keepalive-reuse");
        assert_ne!(finding.confidence, Confidence::Certain, "{finding:#?}");
    }
}

#[test]
fn a_page_that_tells_of_an_end_contradicts_a_whole_answer() {
    let analysis = judged(|wire| {
        let (client, upstream) = asked(wire, GET);
        wire.says(upstream, Listener, OK);
        wire.says(client, Listener, ENDED);
    });
    let finding = only(&analysis);
    assert_eq!(finding.code, "attempt-succeeded-but-error");
    assert_ne!(finding.confidence, Confidence::Certain);
}
