//! Whatever stands on the wire, no report shows a secret of it or sends a control character to a terminal.

use gwcap::report::{Report, View};

use crate::support::tls::client_hello;
use crate::support::wire::{Leg, Listener, Opener, Wire};
use crate::support::{Run, assert_schema, written};

/// Part of each value that is a secret.
const CANARY: &str = "c4n4ry";

/// What a terminal would obey: colour, title, a C1 introducer, a bidi override, NUL, backspace, line ends.
const CONTROLS: &str =
    "\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{8}\u{7f}\u{85}\u{2028}";

/// The request of the client, secrets in every place that may hold one.
fn request(method: &str) -> Vec<u8> {
    format!(
        "{method} /shown{CONTROLS}/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG40cnkifQ.{CANARY}CANARYCANARYsig_0123\
         ?token={CANARY}1&api_key={CANARY}2&next=https%3A%2F%2Fa.example%2F%3Fpassword%3D{CANARY}3;jsessionid={CANARY}4 HTTP/1.1\r\n\
         Host: shop{CONTROLS}.example\r\n\
         Authorization: Bearer {CANARY}5\r\n\
         Proxy-Authorization: Basic {CANARY}6\r\n\
         Cookie: session={CANARY}7; other={CANARY}8\r\n\
         X-Api-Key: {CANARY}9\r\n\
         User-Agent: {CANARY}10{CONTROLS}\r\n\
         Referer: https://user:{CANARY}11@h.example/\r\n\
         Content-Length: 20\r\n\r\n{{\"pin\":\"{CANARY}12\"}} "
    )
    .into_bytes()
}

/// What the gateway tells its client.
fn error(status: u16) -> Vec<u8> {
    let body = format!("<html><center><h1>{status} {CANARY}13{CONTROLS}</h1></center>");
    format!(
        "HTTP/1.1 {status} Bad{CONTROLS}\r\nServer: nginx/1.22.1{CONTROLS}\r\nSet-Cookie: id={CANARY}14\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client asks, the gateway asks an upstream, `fate` befalls that, and the gateway writes an error.
fn scene(status: u16, fate: impl FnOnce(&mut Wire, Leg)) -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
    wire.says(client, Opener, request("POST"));
    let upstream = wire.syn("10.0.0.1:50000", "10.0.0.3:8080");
    fate(&mut wire, upstream);
    wire.says(client, Listener, error(status)).waits_ms(3_000);
    wire
}

/// The upstream accepts, is asked, and `says` this before it closes.
fn answered(says: impl AsRef<[u8]>) -> Wire {
    scene(502, |wire, upstream| {
        wire.accepts(upstream)
            .says(upstream, Opener, request("POST"))
            .says(upstream, Listener, says)
            .closes(upstream, Listener)
            .closes(upstream, Opener);
    })
}

/// A head in which every value is a secret; `odd` is what is wrong with it.
fn head(first_line: &str, odd: &str) -> String {
    format!(
        "{first_line}\r\nServer: app{CONTROLS}\r\nSet-Cookie: session={CANARY}15\r\n\
         Location: https://u:{CANARY}16@h.example/cb?code={CANARY}17\r\n{odd}\r\nX-Auth-Token: {CANARY}18\r\n\r\n"
    )
}

/// A DNS query (RFC 1035, section 4.1) for labels of these bytes, or the answer to it with an RCODE.
fn dns(rcode: Option<u8>, labels: &[&[u8]]) -> Vec<u8> {
    let flags = rcode.map_or([1, 0], |rcode| [0x81, 0x80 | rcode]);
    let mut bytes = vec![0xab, 0xcd, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(*label);
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// All scenes: a failure of each kind whose verdict quotes the wire, by the code of its cause.
fn scenes() -> Vec<(&'static str, &'static str, Wire)> {
    let hidden = format!("{CANARY}19");
    vec![
        (
            "refused",
            "connect-refused",
            scene(502, |wire, up| {
                wire.resets(up, Listener);
            }),
        ),
        (
            "closed without an answer",
            "closed-before-response",
            answered(""),
        ),
        (
            "NUL in a header",
            "bad-header",
            answered(head("HTTP/1.1 200 OK", &format!("Cookie: a\0{CANARY}20"))),
        ),
        (
            "a header without colon",
            "bad-header",
            answered(head(
                "HTTP/1.1 200 OK",
                &format!("Authorization Basic {CANARY}21{CONTROLS}"),
            )),
        ),
        (
            "a space in a header's name",
            "bad-header",
            answered(head(
                "HTTP/1.1 200 OK",
                &format!("Set Cookie: {CANARY}22\u{1b}[1m"),
            )),
        ),
        (
            "an odd status",
            "malformed-status-line",
            answered(head(
                &format!("HTTP/1.1 2{CONTROLS}0 token={CANARY}23"),
                "A: b",
            )),
        ),
        (
            "no HTTP at all",
            "malformed-status-line",
            answered(format!(
                "{CONTROLS}-ERR password={CANARY}24\r\nCookie: {CANARY}25\r\n"
            )),
        ),
        (
            "half a head",
            "closed-mid-head",
            answered(&head("HTTP/1.1 200 OK", "A: b")[..90]),
        ),
        (
            "half a body",
            "truncated-body",
            answered(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 900\r\nSet-Cookie: {CANARY}26\r\n\r\n{CANARY}27"
            )),
        ),
        (
            "the upstream's own error",
            "upstream-returned-5xx",
            answered(head(
                &format!("HTTP/1.1 502 {CONTROLS}"),
                "Content-Length: 0",
            )),
        ),
        (
            "a header as large as no gateway takes",
            "header-too-large",
            answered(head(
                "HTTP/1.1 200 OK",
                &format!("X-Session: {}", CANARY.repeat(20_000)),
            )),
        ),
        (
            "TLS alert",
            "tls-alert-from-upstream",
            scene(502, |wire, up| {
                let alert = [21, 3, 3, 0, 2, 2, 40];
                wire.accepts(up)
                    .says(
                        up,
                        Opener,
                        client_hello(format!("a{CONTROLS}.example").as_bytes()),
                    )
                    .says(up, Listener, alert)
                    .closes(up, Listener);
            }),
        ),
        ("unknown name", "dns-nxdomain", {
            let mut wire = Wire::new();
            let name: &[&[u8]] = &[b"shop\n\rforged", CONTROLS.as_bytes(), b"\x1b[31m.example"];
            let client = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
            wire.says(client, Opener, request("GET"))
                .datagram("10.0.0.1:5353", "10.0.0.53:53", &dns(None, name))
                .datagram("10.0.0.53:53", "10.0.0.1:5353", &dns(Some(3), name))
                .says(client, Listener, error(502))
                .waits_ms(3_000);
            wire
        }),
        (
            "a forged line in each first line",
            "upstream-leg-not-captured",
            {
                let mut wire = Wire::new();
                let client = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
                let ask = format!(
                    "GET /a\rforged\x0bforged\x0cforged?sig={hidden} HTTP/1.1\r\nHost: a\rforged\r\n\r\n"
                );
                wire.says(client, Opener, ask)
                    .says(client, Listener, error(503))
                    .waits_ms(3_000);
                wire
            },
        ),
    ]
}

/// All that a format shows, in colour and without.
fn shown(report: &Report) -> Vec<(&'static str, String)> {
    let mut coloured = Vec::new();
    let view = View {
        color: true,
        ..View::default()
    };
    gwcap::report::text::write(report, &view, &mut coloured).unwrap();
    vec![
        ("text", written(report, "text")),
        ("json", written(report, "json")),
        ("ndjson", written(report, "ndjson")),
        (
            "coloured text",
            without_colours(&String::from_utf8(coloured).unwrap()),
        ),
    ]
}

/// Takes away what gwcap itself writes: `ESC [ digits m`.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence
            .find(|c: char| !c.is_ascii_digit() && c != ';')
            .unwrap();
        // The wire's own sequences are no colours of ours: they stay, and fail the test.
        if sequence[end..].starts_with('m') && sequence[..end].len() <= 5 {
            rest = &sequence[end + 1..];
        } else {
            plain.push_str("\u{1b}[");
            rest = sequence;
        }
    }
    plain + rest
}

/// Whether a terminal or an editor would obey this character instead of showing it.
fn is_obeyed(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}' | '\u{2029}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn no_format_shows_a_secret_or_a_control_character() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code, wire) in scenes() {
        let run = Run::of(&wire.write(folder.path()), 1, 1 << 20).unwrap();
        let report = run.report(false);
        let codes: Vec<&str> = report.findings.iter().map(|f| f.cause.code).collect();
        assert_eq!(codes, [code], "{name}");
        assert_schema(&written(&report, "json"), name);
        for (format, text) in shown(&report) {
            let lower = text.to_lowercase();
            if let Some(at) = lower.find(CANARY) {
                let from = (0..at.saturating_sub(90))
                    .rev()
                    .find(|at| lower.is_char_boundary(*at));
                panic!(
                    "{name}, {format}: {}",
                    lower[from.unwrap_or(0)..]
                        .chars()
                        .take(160)
                        .collect::<String>()
                );
            }
            let obeyed: Vec<char> = text.chars().filter(|c| is_obeyed(*c)).collect();
            assert!(obeyed.is_empty(), "{name}, {format}: {obeyed:?}");
            let forged = text
                .lines()
                .find(|line| line.trim_start().starts_with("forged"));
            assert_eq!(forged, None, "{name}, {format}");
        }
    }
}

#[test]
fn show_secrets_shows_them_escaped_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut targets = 0;
    for (name, _, wire) in scenes() {
        let run = Run::of(&wire.write(folder.path()), 1, 1 << 20).unwrap();
        let report = run.report(true);
        assert_eq!(report.redaction, "off", "{name}");
        for (format, text) in shown(&report) {
            let obeyed: Vec<char> = text.chars().filter(|c| is_obeyed(*c)).collect();
            assert!(obeyed.is_empty(), "{name}, {format}: {obeyed:?}");
            targets += usize::from(text.contains(&format!("{CANARY}1")));
        }
    }
    // Else the other test would prove nothing: the canaries do reach the report.
    assert!(targets > 20, "the canaries were not shown");
}
