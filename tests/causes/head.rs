//! Malformed heads.

use gwcap::diagnose::finding::Confidence::{Certain, Likely, Possible};

use super::{Case, ENVOY, GET, HAPROXY, NGINX, OK, UNKNOWN, asked, judged, only, refused};
use crate::support::wire::{Listener, Opener, Wire};

const CL_AND_TE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const TWO_LENGTHS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc";

const fn case(
    name: &'static str,
    code: &'static str,
    detail: Option<&'static str>,
    confidence: gwcap::diagnose::finding::Confidence,
    write: fn(&mut Wire),
) -> Case {
    Case {
        name,
        code,
        detail,
        confidence,
        write,
    }
}

pub const CASES: &[Case] = &[
    case(
        "CL and TE, Envoy",
        "conflicting-framing",
        Some("length-and-coding"),
        Certain,
        |wire| {
            refused(wire, CL_AND_TE, ENVOY);
        },
    ),
    case(
        "CL and TE, HAProxy, which takes it",
        "conflicting-framing",
        Some("length-and-coding"),
        Possible,
        |wire| {
            refused(wire, CL_AND_TE, HAPROXY);
        },
    ),
    case(
        "CL and TE, nobody known",
        "conflicting-framing",
        Some("length-and-coding"),
        Likely,
        |wire| {
            refused(wire, CL_AND_TE, UNKNOWN);
        },
    ),
    case(
        "two lengths, HAProxy",
        "conflicting-framing",
        Some("two-lengths"),
        Certain,
        |wire| {
            refused(wire, TWO_LENGTHS, HAPROXY);
        },
    ),
    case(
        "two lengths, nginx, of which versions differ",
        "conflicting-framing",
        Some("two-lengths"),
        Likely,
        |wire| {
            refused(wire, TWO_LENGTHS, NGINX);
        },
    ),
    case(
        "a length that is text",
        "invalid-content-length",
        Some("not-a-number"),
        Certain,
        |wire| {
            refused(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc",
                HAPROXY,
            );
        },
    ),
    case(
        "a coding that nobody knows",
        "unknown-transfer-coding",
        Some("not-chunked"),
        Certain,
        |wire| {
            refused(
                wire,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: wat\r\n\r\nabc",
                HAPROXY,
            );
        },
    ),
    case(
        "101 that nobody asked for",
        "unexpected-upgrade",
        Some("not-asked"),
        Certain,
        |wire| {
            refused(
                wire,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
                HAPROXY,
            );
        },
    ),
    case(
        "101 to another protocol",
        "unexpected-upgrade",
        Some("other-protocol"),
        Likely,
        |wire| {
            let request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let (client, upstream) = asked(wire, request);
            wire.says(
                upstream,
                Listener,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            );
            wire.closes(upstream, Opener)
                .says(client, Listener, HAPROXY);
        },
    ),
    case(
        "a page without a head",
        "http09-response",
        Some("HTML"),
        Certain,
        |wire| {
            refused(
                wire,
                "<html><body><h1>It works!</h1></body></html>\n",
                HAPROXY,
            );
        },
    ),
    case(
        "a line that is no status line",
        "malformed-status-line",
        None,
        Certain,
        |wire| {
            refused(wire, "ERR 17 backend not initialised\r\n\r\n", HAPROXY);
        },
    ),
    case(
        "a status of three digits that is none",
        "malformed-status-line",
        Some("status-code"),
        Likely,
        |wire| {
            refused(
                wire,
                "HTTP/1.1 999 Odd\r\nContent-Length: 3\r\n\r\nabc",
                ENVOY,
            );
        },
    ),
    case(
        "300 lines, HAProxy",
        "too-many-headers",
        None,
        Certain,
        |wire| {
            let lines = "X-A: a\r\n".repeat(300);
            refused(
                wire,
                format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 3\r\n\r\nabc"),
                HAPROXY,
            );
        },
    ),
    case(
        "100 Continue unasked, then FIN",
        "bad-interim-response",
        Some("then-close"),
        Certain,
        |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(upstream, Listener, "HTTP/1.1 100 Continue\r\n\r\n")
                .waits_ms(80);
            wire.closes(upstream, Listener).closes(upstream, Opener);
            wire.says(client, Listener, HAPROXY);
        },
    ),
    case(
        "a flood of early hints",
        "bad-interim-response",
        Some("flood"),
        Likely,
        |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(
                upstream,
                Listener,
                "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40),
            );
            wire.resets(upstream, Opener)
                .says(client, Listener, HAPROXY);
        },
    ),
    case(
        "408 before the close of an idle connection",
        "unsolicited-response",
        Some("408"),
        Certain,
        |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(upstream, Listener, OK)
                .says(client, Listener, OK)
                .waits_ms(5_000);
            wire.says(client, Opener, GET);
            wire.says(
                upstream,
                Listener,
                "HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            wire.closes(upstream, Listener)
                .says(upstream, Opener, GET)
                .resets(upstream, Listener);
            wire.says(client, Listener, HAPROXY);
        },
    ),
];

#[test]
fn a_finding_names_the_byte_the_rule_and_the_products() {
    let analysis = judged(|wire| {
        refused(
            wire,
            "HTTP/1.1 200 OK\r\nX Trace: 1\r\nContent-Length: 3\r\n\r\nabc",
            HAPROXY,
        );
    });
    let finding = only(&analysis);
    assert_eq!(
        (finding.code, finding.detail.as_deref()),
        ("bad-header", Some("space-in-name"))
    );
    let said: Vec<&str> = finding
        .evidence
        .iter()
        .map(|evidence| evidence.summary.as_str())
        .collect();
    assert!(
        said.iter()
            .any(|words| words.contains("at byte 18 (0x20)")
                && words.contains("RFC 9110, section 5.1")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|words| words.contains("refused by nginx, HAProxy")
                && words.contains("passed on by Caddy")),
        "{said:?}"
    );
}

/// The application that was asked with Expect says 100 and dies: nothing is wrong with the 100.
#[test]
fn a_continue_that_was_asked_for_is_no_fault() {
    let analysis = judged(|wire| {
        let (client, upstream) = asked(
            wire,
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        );
        wire.says(upstream, Listener, "HTTP/1.1 100 Continue\r\n\r\n");
        wire.says(client, Listener, "HTTP/1.1 100 Continue\r\n\r\n");
        wire.says(client, Opener, "ok").says(upstream, Opener, "ok");
        wire.closes(upstream, Listener)
            .closes(upstream, Opener)
            .says(client, Listener, HAPROXY);
    });
    assert_eq!(only(&analysis).code, "closed-before-response");
}

/// A tolerant gateway takes one of two lengths; where the upstream then cuts the body, the cut is the cause.
#[test]
fn a_cut_behind_an_odd_head_that_was_passed_on() {
    let analysis = judged(|wire| {
        let (client, upstream) = asked(wire, GET);
        let head = "HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 900\r\nContent-Length: 5\r\n\r\nabc";
        wire.says(upstream, Listener, head)
            .says(client, Listener, head);
        wire.closes(upstream, Listener)
            .closes(upstream, Opener)
            .closes(client, Listener)
            .closes(client, Opener);
    });
    assert_eq!(only(&analysis).code, "truncated-body");
}
