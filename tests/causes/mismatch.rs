//! Two that speak different protocols.

use gwcap::diagnose::finding::Confidence::{Certain, Likely, Possible};

use super::{Case, GET, HAPROXY, OK, UNKNOWN, asked, judged, only, refused};
use crate::support::wire::{Leg, Listener, Opener, Wire};

/// SETTINGS with one parameter, and GOAWAY with PROTOCOL_ERROR.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PROXY: &str = "PROXY TCP4 10.0.0.9 10.0.0.1 40000 80\r\n";

/// A client, and an upstream connection on which the gateway says this first.
fn begins(wire: &mut Wire, first: &[u8]) -> (Leg, Leg) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, first);
    (client, upstream)
}

/// Someone else asks the upstream, and is answered.
fn another(wire: &mut Wire, header: &str) {
    let other = wire.connects("10.0.0.7:45000", "10.0.0.3:8080");
    wire.says(other, Opener, format!("{header}{GET}"))
        .says(other, Listener, OK);
    wire.closes(other, Opener)
        .closes(other, Listener)
        .waits_ms(100);
}

/// The upstream greets before it is asked.
fn greeted(wire: &mut Wire, greeting: &[u8], answer: &[u8]) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Listener, greeting)
        .says(upstream, Opener, GET);
    if !answer.is_empty() {
        wire.says(upstream, Listener, answer);
    }
    wire.closes(upstream, Listener).closes(upstream, Opener);
    wire.says(client, Listener, HAPROXY);
}

pub const CASES: &[Case] = &[
    Case {
        name: "SSH greets, and closes on the request",
        code: "wrong-service",
        detail: Some("SSH"),
        confidence: Certain,
        write: |wire| greeted(wire, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b""),
    },
    Case {
        name: "SSH greets so soon that nothing is asked",
        code: "wrong-service",
        detail: Some("SSH"),
        confidence: Likely,
        write: |wire| {
            let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
            wire.says(client, Opener, GET);
            let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
            wire.says(upstream, Listener, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
                .waits_ms(1_200);
            wire.closes(upstream, Opener)
                .closes(client, Listener)
                .closes(upstream, Listener);
        },
    },
    Case {
        name: "a mail server greets and answers",
        code: "wrong-service",
        detail: Some("SMTP"),
        confidence: Certain,
        write: |wire| {
            greeted(
                wire,
                b"220 mail.shop.example ESMTP Postfix\r\n",
                b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n",
            )
        },
    },
    Case {
        name: "Redis answers the request line",
        code: "wrong-service",
        detail: Some("Redis"),
        confidence: Certain,
        write: |wire| {
            refused(
                wire,
                "-ERR unknown command 'GET', with args beginning with: '/' \r\n",
                HAPROXY,
            )
        },
    },
    Case {
        name: "an HTTP/2 server speaks first",
        code: "h1-on-h2-port",
        detail: None,
        confidence: Certain,
        write: |wire| greeted(wire, SETTINGS, GOAWAY),
    },
    Case {
        name: "an HTTP/2 server says GOAWAY",
        code: "h1-on-h2-port",
        detail: None,
        confidence: Certain,
        write: |wire| refused(wire, GOAWAY, HAPROXY),
    },
    Case {
        name: "400 in HTTP/1 to the preface",
        code: "h2-on-h1-port",
        detail: None,
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = begins(wire, PREFACE);
            wire.says(
                upstream,
                Listener,
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            );
            wire.closes(upstream, Listener)
                .closes(upstream, Opener)
                .says(client, Listener, UNKNOWN);
        },
    },
    Case {
        name: "a close on the preface",
        code: "h2-on-h1-port",
        detail: None,
        confidence: Likely,
        write: |wire| {
            let (client, upstream) = begins(wire, PREFACE);
            wire.closes(upstream, Listener)
                .closes(upstream, Opener)
                .says(client, Listener, UNKNOWN);
        },
    },
    Case {
        name: "a header where others send none",
        code: "proxy-protocol-unexpected",
        detail: Some("v1"),
        confidence: Likely,
        write: |wire| {
            another(wire, "");
            let (client, upstream) = begins(wire, format!("{PROXY}{GET}").as_bytes());
            wire.closes(upstream, Listener)
                .closes(upstream, Opener)
                .says(client, Listener, HAPROXY);
        },
    },
    Case {
        name: "a header, and nobody to compare with",
        code: "proxy-protocol-unexpected",
        detail: Some("v1"),
        confidence: Possible,
        write: |wire| {
            let (client, upstream) = begins(wire, format!("{PROXY}{GET}").as_bytes());
            wire.resets(upstream, Listener)
                .says(client, Listener, HAPROXY);
        },
    },
    Case {
        name: "no header where others send one",
        code: "proxy-protocol-missing",
        detail: None,
        confidence: Likely,
        write: |wire| {
            another(wire, PROXY);
            let (client, upstream) = asked(wire, GET);
            wire.closes(upstream, Listener)
                .closes(upstream, Opener)
                .says(client, Listener, HAPROXY);
        },
    },
];

/// A header that the upstream takes hides nothing of what follows it.
#[test]
fn what_follows_a_proxy_header_is_read() {
    let analysis = judged(|wire| {
        another(wire, PROXY);
        let (client, upstream) = begins(wire, format!("{PROXY}{GET}").as_bytes());
        wire.says(
            upstream,
            Listener,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        );
        wire.says(
            client,
            Listener,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        );
    });
    assert_eq!(only(&analysis).code, "upstream-returned-5xx");
}

/// The bytes of a known service count on a connection that never answered in HTTP, not in the body of one that did.
#[test]
fn a_banner_in_a_body_is_none() {
    let analysis = judged(|wire| {
        refused(
            wire,
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nSSH-2.0-x\r\n",
            HAPROXY,
        );
    });
    assert_eq!(only(&analysis).code, "attempt-succeeded-but-error");
}

/// A check that only connects, to a database behind the same balancer: the error has another reason.
#[test]
fn a_greeting_that_nobody_waited_for_explains_no_error() {
    let analysis = judged(|wire| {
        let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
        wire.says(client, Opener, GET);
        let check = wire.connects("10.0.0.1:50000", "10.0.0.4:22");
        wire.says(check, Listener, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
            .waits_ms(2);
        wire.closes(check, Opener).closes(check, Listener);
        wire.waits_ms(20).says(client, Listener, HAPROXY);
    });
    assert_ne!(only(&analysis).code, "wrong-service");
}
