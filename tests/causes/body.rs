//! Bodies that break.

use gwcap::diagnose::finding::Confidence::{Certain, Likely, Possible};

use super::{Case, GET, HAPROXY, UNKNOWN, asked, refused};
use crate::support::wire::{Leg, Listener, Opener, Wire};

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n";

/// The gateway passes on what came and cuts the client's connection.
fn cut(wire: &mut Wire, client: Leg) {
    wire.closes(client, Listener).closes(client, Opener);
}

pub const CASES: &[Case] = &[
    Case {
        name: "the first size is no number",
        code: "bad-chunking",
        detail: Some("size"),
        confidence: Certain,
        write: |wire| refused(wire, format!("{CHUNKED}zzz\r\nabc\r\n0\r\n\r\n"), HAPROXY),
    },
    Case {
        name: "a later chunk is longer than its size",
        code: "bad-chunking",
        detail: Some("no-end-of-chunk"),
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(upstream, Listener, format!("{CHUNKED}3\r\nabc\r\n"))
                .says(client, Listener, format!("{CHUNKED}3\r\nabc\r\n"));
            wire.waits_ms(80)
                .says(upstream, Listener, "3\r\nabcd\r\n")
                .closes(upstream, Opener);
            cut(wire, client);
        },
    },
    Case {
        name: "no last chunk",
        code: "truncated-chunked",
        detail: None,
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(upstream, Listener, format!("{CHUNKED}3\r\nabc\r\n"))
                .says(client, Listener, format!("{CHUNKED}3\r\nabc\r\n"));
            wire.waits_ms(80)
                .closes(upstream, Listener)
                .closes(upstream, Opener);
            cut(wire, client);
        },
    },
    Case {
        name: "silence inside the body",
        code: "stall-mid-response",
        detail: None,
        confidence: Certain,
        write: |wire| {
            let (client, upstream) = asked(wire, GET);
            wire.says(upstream, Listener, LONG)
                .says(upstream, Listener, [b'x'; 900]);
            wire.says(client, Listener, LONG)
                .says(client, Listener, [b'x'; 900]);
            wire.waits_ms(2_000).closes(upstream, Opener);
            cut(wire, client);
        },
    },
    Case {
        name: "more than the length says",
        code: "content-length-mismatch",
        detail: Some("longer"),
        confidence: Possible,
        write: |wire| {
            refused(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef",
                UNKNOWN,
            )
        },
    },
    Case {
        name: "plain text under the name of gzip",
        code: "bad-content-coding",
        detail: Some("gzip"),
        confidence: Likely,
        write: |wire| {
            refused(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
                UNKNOWN,
            )
        },
    },
];
