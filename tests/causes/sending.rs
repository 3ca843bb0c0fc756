//! Requests that could not be sent to their end.

use gwcap::diagnose::finding::Confidence::{Certain, Likely};

use super::{Case, HAPROXY, NGINX, UNKNOWN, judged, only};
use crate::support::wire::{Leg, Listener, Opener, Wire};

const POST: &str = "POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 50000\r\n\r\n";
const NGINX_504: &str = "HTTP/1.1 504 Gateway Time-out\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 167\r\n\r\n<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";

/// The client has sent all, the gateway a part of it.
fn uploads(wire: &mut Wire) -> (Leg, Leg) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, POST)
        .says(client, Opener, [b'x'; 50_000]);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, POST)
        .says(upstream, Opener, [b'x'; 20_000]);
    (client, upstream)
}

pub const CASES: &[Case] = &[
    Case {
        name: "a RST in the middle of the upload",
        code: "request-reset-mid-body",
        detail: Some("rst"),
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = uploads(wire);
            wire.resets(upstream, Listener)
                .says(client, Listener, NGINX);
        },
    },
    Case {
        name: "an answer, then a RST that overtakes it",
        code: "early-response-abort",
        detail: Some("413"),
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = uploads(wire);
            wire.says(upstream, Listener, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 10\r\n\r\ntoo large\n");
            wire.resets(upstream, Listener)
                .says(client, Listener, UNKNOWN);
        },
    },
    Case {
        name: "a window that stays shut",
        code: "request-write-timeout",
        detail: Some("zero-window"),
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = uploads(wire);
            wire.shuts(upstream, Listener)
                .waits_ms(3_000)
                .resets(upstream, Opener);
            wire.says(client, Listener, NGINX_504);
        },
    },
    Case {
        name: "acknowledgements that stop",
        code: "request-write-timeout",
        detail: Some("no-acknowledgement"),
        confidence: Likely,
        write: |wire| {
            let (client, upstream) = uploads(wire);
            wire.says_in_vain(upstream, Opener, [b'x'; 9_000])
                .waits_ms(3_000)
                .resets(upstream, Opener);
            wire.says(client, Listener, NGINX_504);
        },
    },
];

/// What the gateway has not sent because its client had not is no fault of the upstream.
#[test]
fn a_client_that_uploads_slowly() {
    let analysis = judged(|wire| {
        let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
        wire.says(client, Opener, POST)
            .says(client, Opener, [b'x'; 20_000]);
        let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
        wire.says(upstream, Opener, POST)
            .says(upstream, Opener, [b'x'; 20_000]);
        wire.waits_ms(3_000)
            .resets(upstream, Opener)
            .says(client, Listener, NGINX_504);
    });
    assert_ne!(only(&analysis).code, "request-write-timeout");
}

#[test]
fn a_reset_after_the_whole_request_is_another_cause() {
    let analysis = judged(|wire| {
        let (client, upstream) = uploads(wire);
        wire.says(upstream, Opener, [b'x'; 30_000])
            .waits_ms(5)
            .resets(upstream, Listener);
        wire.says(client, Listener, HAPROXY);
    });
    assert_eq!(only(&analysis).code, "reset-before-response");
}

/// nginx, HAProxy and Envoy read the early answer before they notice the reset, and pass it on: nothing failed.
#[test]
fn an_early_answer_that_was_passed_on_is_no_failure() {
    let analysis = judged(|wire| {
        let (client, upstream) = uploads(wire);
        let answer = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 10\r\n\r\ntoo large\n";
        wire.says(upstream, Listener, answer)
            .resets(upstream, Listener)
            .says(client, Listener, answer);
    });
    assert!(analysis.diagnosis.findings.is_empty());
}
