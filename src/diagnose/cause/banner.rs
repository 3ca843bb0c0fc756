//! What a server said instead of an answer in HTTP. In: the first bytes that it sent. Out: which service or
//! which protocol speaks so.
//!
//! The rule: only openings that no other known service has; a guess would send the reader to the wrong port.

use crate::diagnose::attempt::Attempt;
use crate::frame::Mark;
use crate::protocol::observation::Rule;

/// Length of the header of an HTTP/2 frame (RFC 9113, section 4.1).
const HTTP2_HEADER_LEN: usize = 9;

/// The first bytes that the upstream sent on a connection on which it never answered in HTTP: a greeting
/// before the request, else what came in place of the response.
#[must_use]
pub fn instead_of_http<'a>(attempt: &Attempt<'a>) -> Option<(Mark, &'a [u8])> {
    let exchange = attempt.exchange?;
    exchange.request.as_ref()?;
    if exchange.id.index > 0 || exchange.response.is_some() {
        return None;
    }
    let greeting = attempt
        .connection
        .unsolicited
        .as_ref()
        .map(|(at, bytes)| (*at, &**bytes));
    let answer = exchange
        .fault
        .as_deref()
        .filter(|(fault, ..)| fault.rule == Rule::StatusLine)
        .map(|(_, at, bytes)| (*at, &**bytes));
    greeting
        .or(answer)
        .filter(|(at, _)| at.time <= attempt.until)
}

/// The service that begins to speak so.
#[must_use]
pub fn service(bytes: &[u8]) -> Option<&'static str> {
    SERVICES
        .iter()
        .find(|(_, speaks)| speaks(bytes))
        .map(|(name, _)| *name)
}

type Speaks = fn(&[u8]) -> bool;

/// Services by what they say first, or to a line of HTTP.
const SERVICES: &[(&str, Speaks)] = &[
    ("SSH", |bytes| bytes.starts_with(b"SSH-")),
    ("FTP", |bytes| is_greeting(bytes) && holds(bytes, b"FTP")),
    ("SMTP", |bytes| {
        is_greeting(bytes) && (holds(bytes, b"SMTP") || holds(bytes, b"mail"))
    }),
    ("POP3", |bytes| bytes.starts_with(b"+OK ")),
    ("IMAP", |bytes| {
        bytes.starts_with(b"* OK") || bytes.starts_with(b"* BYE")
    }),
    ("MySQL", is_mysql),
    ("PostgreSQL", is_postgresql),
    ("Redis", |bytes| {
        let starts: [&[u8]; 4] = [
            b"-ERR unknown command",
            b"-NOAUTH ",
            b"-DENIED Redis",
            b"-ERR wrong number of arguments",
        ];
        starts.iter().any(|start| bytes.starts_with(start))
    }),
    ("memcached", |bytes| {
        bytes.starts_with(b"ERROR\r\n") || bytes.starts_with(b"CLIENT_ERROR ")
    }),
    ("AMQP", |bytes| bytes.starts_with(b"AMQP")),
    ("NATS", |bytes| bytes.starts_with(b"INFO {")),
    ("VNC", |bytes| bytes.starts_with(b"RFB 00")),
    ("RTSP", |bytes| bytes.starts_with(b"RTSP/1.")),
    ("SIP", |bytes| bytes.starts_with(b"SIP/2.0 ")),
    ("Telnet", |bytes| {
        matches!(bytes, [0xff, 0xfb..=0xfe, _, 0xff, ..])
    }),
    ("FastCGI", is_fastcgi),
    ("AJP", |bytes| {
        // The container's packets begin with AB, then the length and a type (AJPv13, section 3).
        matches!(bytes, [b'A', b'B', _, _, 3..=9, ..])
    }),
];

/// A greeting of a line protocol with three digits.
fn is_greeting(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'2', b'2', b'0', b' ' | b'-', ..]
            | [b'4', b'2', b'1', b' ' | b'-', ..]
            | [b'5', b'5', b'4', b' ' | b'-', ..]
    )
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// A packet of MySQL or MariaDB: three bytes of length, a number, then a greeting of version 10 or an error.
fn is_mysql(bytes: &[u8]) -> bool {
    match bytes {
        [low, high, 0, 0, 10, b'3'..=b'9' | b'1', ..] => *low > 0 || *high > 0,
        [_, _, 0, 0 | 1, 0xff, code_low, code_high, ..] => {
            // Errors of the server lie from 1000 on.
            u16::from_le_bytes([*code_low, *code_high]) >= 1_000
        }
        _ => false,
    }
}

/// An ErrorResponse: E, the length, then fields of which severity is the first.
fn is_postgresql(bytes: &[u8]) -> bool {
    match bytes {
        [b'E', 0, 0, _, _, b'S', rest @ ..] => {
            rest.starts_with(b"FATAL") || rest.starts_with(b"ERROR")
        }
        _ => false,
    }
}

/// A record of FastCGI: version 1, a type that servers send, and a request id with padding that fits.
fn is_fastcgi(bytes: &[u8]) -> bool {
    matches!(bytes, [1, 3 | 6 | 7 | 10 | 11, _, _, _, _, 0..=7, 0, ..])
}

/// The name of the HTTP/2 frame with which a server begins, where these bytes are one (RFC 9113, section 3.4:
/// SETTINGS, or GOAWAY where it will not go on).
#[must_use]
pub fn http2_frame(bytes: &[u8]) -> Option<&'static str> {
    let header = bytes.get(..HTTP2_HEADER_LEN)?;
    match header {
        [0, 0, len, 4, 0, 0, 0, 0, 0] if *len % 6 == 0 => Some("SETTINGS"),
        [0, 0, len, 7, 0, 0, 0, 0, 0] if *len >= 8 => Some("GOAWAY"),
        _ => None,
    }
}

/// What content without a head begins with, where it can be told.
#[must_use]
pub fn content(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    let marks: [(&[u8], &str); 9] = [
        (b"<?xml", "XML"),
        (b"<", "HTML"),
        (b"{\"", "JSON"),
        (b"{\n", "JSON"),
        (b"{\r\n", "JSON"),
        (b"[{", "JSON"),
        (b"\x1f\x8b", "gzip"),
        (b"\x89PNG", "PNG"),
        (b"%PDF-", "PDF"),
    ];
    marks
        .iter()
        .find(|(mark, _)| text.starts_with(mark))
        .map(|(_, name)| *name)
        .filter(|name| *name != "HTML" || is_markup(text))
}

/// Whether text begins with a tag.
fn is_markup(text: &[u8]) -> bool {
    matches!(text, [b'<', b'!' | b'a'..=b'z' | b'A'..=b'Z', ..]) && text.contains(&b'>')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Openings as the services send them: OpenSSH 9.2, Postfix, vsftpd, Dovecot, MySQL 8.0, MariaDB's refusal
    /// of a host, PostgreSQL 15, Redis 7, memcached 1.6.
    #[test]
    fn services_are_known_by_their_first_words() {
        for (bytes, name) in [
            (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..], "SSH"),
            (b"220 mail.shop.example ESMTP Postfix\r\n", "SMTP"),
            (b"220 (vsFTPd 3.0.3)\r\n", "FTP"),
            (b"+OK Dovecot ready.\r\n", "POP3"),
            (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n", "IMAP"),
            (b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0", "MySQL"),
            (b"\x45\0\0\0\xff\x6a\x04Host '10.77.0.1' is not", "MySQL"),
            (
                b"E\0\0\0\x8fSFATAL\0VFATAL\0C0A000\0Munsupported",
                "PostgreSQL",
            ),
            (b"-ERR unknown command 'GET', with args", "Redis"),
            (b"-NOAUTH Authentication required.\r\n", "Redis"),
            (b"ERROR\r\nERROR\r\n", "memcached"),
            (b"AMQP\0\0\x09\x01", "AMQP"),
            (b"\x01\x06\0\x01\0\x10\0\0X-Powered-By", "FastCGI"),
        ] {
            assert_eq!(service(bytes), Some(name), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_no_service_is_known_for_has_no_name() {
        for bytes in [
            &b"ERR 17 backend not initialised\r\n"[..],
            b"<html><body>",
            b"HTTP/2.0 200 OK\r\n",
            b"\x15\x03\x01\0\x02\x02\x46",
            b"-ERR",
            b"220 welcome\r\n",
            b"\0\0\x06\x04\0\0\0\0\0",
            b"",
        ] {
            assert_eq!(service(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn frames_of_http2() {
        // SETTINGS with one parameter, an empty SETTINGS, GOAWAY with PROTOCOL_ERROR.
        assert_eq!(
            http2_frame(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"),
            Some("SETTINGS")
        );
        assert_eq!(http2_frame(b"\0\0\0\x04\0\0\0\0\0"), Some("SETTINGS"));
        assert_eq!(
            http2_frame(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
            Some("GOAWAY")
        );
        assert_eq!(http2_frame(b"\0\0\x07\x04\0\0\0\0\0"), None);
        assert_eq!(http2_frame(b"\0\0\x06\x04"), None);
    }

    #[test]
    fn content_without_a_head() {
        assert_eq!(content(b"<html><body>"), Some("HTML"));
        assert_eq!(content(b"\r\n<!DOCTYPE html>"), Some("HTML"));
        assert_eq!(content(b"{\"status\":\"ok\"}"), Some("JSON"));
        assert_eq!(content(b"<14>Nov 20 host app"), None, "syslog");
        assert_eq!(content(b"ERR 17 backend"), None);
    }
}
