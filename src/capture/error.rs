//! What can stop a capture from being read. In: an operating system's or libpcap's refusal, or first bytes that
//! are no capture. Out: one sentence for the user.
//!
//! The rule: each message names the input and ends with what to do. Damage inside a capture is no error: it is
//! counted in Loss.

use std::fmt::Write as _;
use std::io;

use crate::capture::compressed::Fault;
use crate::frame::LinkType;

/// Why an input cannot be read.
///
/// The operating system's own words are part of the message, so no variant has a `source` to print again.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {error}; {}", open_advice(error))]
    Open {
        /// The path as the user wrote it.
        path: String,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The file was opened, and reading it failed half-way.
    #[error(
        "cannot read {path} at byte {offset}: {error}; copy the file to a local disk and try again"
    )]
    Read {
        /// The path as the user wrote it.
        path: String,
        /// Bytes that had been read before.
        offset: u64,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The first bytes are not those of a capture file.
    #[error("{path} is not a capture file: {looks_like}")]
    NotACapture {
        /// The path as the user wrote it.
        path: String,
        /// What the first bytes look like, and what to do.
        looks_like: String,
    },
    /// A capture file of a version that this reader does not know.
    #[error(
        "{path} is a {format} file of version {major}.{minor}, which is not supported; \
         convert it with: editcap -F pcapng {path} converted.pcapng"
    )]
    UnsupportedVersion {
        /// The path as the user wrote it.
        path: String,
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// Major version of the file.
        major: u16,
        /// Minor version of the file.
        minor: u16,
    },
    /// The process may not capture.
    #[error(
        "no permission to capture on {interface}: run \
         `sudo setcap cap_net_raw,cap_net_admin=eip $(command -v gwcap)` once, or run gwcap with sudo"
    )]
    NoPermission {
        /// The interface that was asked for.
        interface: String,
    },
    /// The interface does not exist.
    #[error("there is no interface {interface}; choose one of: {}", available.join(", "))]
    NoSuchInterface {
        /// The interface that was asked for.
        interface: String,
        /// Those that exist.
        available: Vec<String>,
    },
    /// libpcap does not accept the filter.
    #[error(
        "the filter '{expression}' does not compile for {}: {message}; see `man pcap-filter` for the syntax",
        link_name(*link)
    )]
    Filter {
        /// The expression as the user wrote it.
        expression: String,
        /// The link type that it was compiled for.
        link: LinkType,
        /// libpcap's own words.
        message: String,
    },
    /// libpcap cannot capture on the interface.
    #[error("cannot capture on {interface}: {message}; check that it is up with `ip link show`")]
    Live {
        /// The interface.
        interface: String,
        /// libpcap's own words.
        message: String,
    },
    /// A file of secrets cannot be opened or read.
    #[error(
        "cannot read the secrets in {path}: {error}; {}",
        secrets_advice(error)
    )]
    Secrets {
        /// The path as the user wrote it.
        path: String,
        /// The operating system's reason.
        error: io::Error,
    },
    /// A file holds no private key that decrypts.
    #[error("{path} is of no use as a private key: {what}")]
    NotAKey {
        /// The path as the user wrote it.
        path: String,
        /// What is wrong with it, and what to do.
        what: &'static str,
    },
    /// libpcap cannot list the interfaces.
    #[error("cannot list the interfaces: {message}; name one with -i")]
    Interfaces {
        /// libpcap's own words.
        message: String,
    },
}

/// What to do when a file cannot be opened.
fn open_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => {
            "captures are often written by root: run `sudo chmod a+r` on it, or gwcap with sudo"
        }
        io::ErrorKind::IsADirectory => "name the capture files in the directory",
        _ => "check that it is a readable file",
    }
}

/// What to do when a file of secrets cannot be read.
fn secrets_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "check the path; a key log that is yet to be written must be there empty (`touch` makes it)"
        }
        io::ErrorKind::PermissionDenied => "key logs and private keys are often for one user alone",
        _ => "check that it is a readable file",
    }
}

/// The name of a link type for a sentence.
fn link_name(link: LinkType) -> String {
    match link {
        LinkType::ETHERNET => "Ethernet frames".to_owned(),
        LinkType::LINUX_SLL | LinkType::LINUX_SLL2 => "Linux cooked frames".to_owned(),
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => "raw IP packets".to_owned(),
        LinkType::NULL | LinkType::LOOP => "BSD loopback frames".to_owned(),
        LinkType(other) => format!("link type {other}"),
    }
}

/// Files that users take for captures, by their first bytes, and what to do with each.
const KNOWN_OTHERS: [(&[u8], &str); 6] = [
    (
        &[0xfd, b'7', b'z', b'X', b'Z'],
        "it looks like xz, which is not unpacked: use `xz -dc FILE | gwcap -r -`",
    ),
    (
        b"BZh",
        "it looks like bzip2, which is not unpacked: use `bzip2 -dc FILE | gwcap -r -`",
    ),
    (
        &[0x02, 0x21, 0x4c, 0x18],
        "it looks like lz4 in its legacy format (`lz4 -l`), which is not unpacked: use `lz4 -dc FILE | gwcap -r -`",
    ),
    (
        b"PK\x03\x04",
        "it looks like a zip archive; unpack it first",
    ),
    (
        b"snoop\0",
        "it looks like a Solaris snoop capture; convert it with `editcap -F pcapng FILE converted.pcapng`",
    ),
    (
        &[0x0a, 0x0d, 0x0d, 0x0a],
        "it starts like pcapng, and its byte-order magic is wrong, as after a transfer in text mode; copy it in binary mode",
    ),
];

/// How pcap and pcapng files begin.
const MAGICS: [&[u8]; 7] = [
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0xcd, 0x34],
    &[0x34, 0xcd, 0xb2, 0xa1],
    &[0x0a, 0x0d, 0x0d, 0x0a],
];

/// Bytes of the header of a pcap file; a pcapng file with fewer holds nothing either.
const FILE_HEADER: usize = 24;

/// Says what the first bytes of a file that is no capture look like, and what to do about it. `compression` is what they
/// were packed with, `fault` why unpacking ended.
pub(super) fn looks_like(first: &[u8], compression: Option<&str>, fault: Option<&Fault>) -> String {
    let Some(packing) = compression else {
        return plain_looks_like(first);
    };
    match fault {
        Some(Fault::Cut) => format!(
            "it is {packing} and ends before a capture begins; was it copied while it was written? Copy it again"
        ),
        Some(Fault::Corrupt(what)) => {
            format!(
                "it is {packing} that cannot be unpacked ({what}); copy it again in binary mode"
            )
        }
        None => format!("it is {packing}, and unpacked: {}", plain_looks_like(first)),
    }
}

fn plain_looks_like(first: &[u8]) -> String {
    if first.is_empty() {
        return "the file is empty; was the capture stopped before it was flushed? Use tcpdump -U"
            .to_owned();
    }
    if first.len() < FILE_HEADER && MAGICS.iter().any(|magic| first.starts_with(magic)) {
        return "it ends inside its own header; was the capture stopped before it was flushed? Use tcpdump -U"
            .to_owned();
    }
    if let Some((_, text)) = KNOWN_OTHERS
        .iter()
        .find(|(magic, _)| first.starts_with(magic))
    {
        return (*text).to_owned();
    }
    if first.iter().all(|byte| *byte == 0) {
        return "it starts with zeros, as a file does that was allocated and never written; capture again".to_owned();
    }
    if first
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e))
    {
        return "it looks like text; gwcap reads what `tcpdump -w` or `dumpcap` writes, not what tcpdump prints"
            .to_owned();
    }
    let mut hex = String::new();
    for byte in first.iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(hex, " {byte:02x}");
    }
    format!(
        "its first bytes are{hex}; gwcap reads pcap and pcapng, for others try `editcap -F pcapng FILE converted.pcapng`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_named() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (&b"BZh9"[..], "bzip2 -dc FILE"),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0][..], "xz -dc FILE"),
            (&[0x02, 0x21, 0x4c, 0x18, 9][..], "lz4 -dc FILE"),
            (&[0; 24][..], "zeros"),
            (&b"12:00:01.2 IP 10.0.0.1"[..], "text"),
            (&[0x7f, b'E', b'L', b'F', 2][..], "7f 45 4c 46;"),
        ] {
            let text = looks_like(bytes, None, None);
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn messages_say_what_to_do() {
        let error = CaptureError::NoPermission {
            interface: "any".to_owned(),
        };
        assert!(
            error
                .to_string()
                .contains("sudo setcap cap_net_raw,cap_net_admin=eip $(command -v gwcap)")
        );
        let error = CaptureError::Open {
            path: "x.pcap".to_owned(),
            error: io::Error::from(io::ErrorKind::NotFound),
        };
        assert!(error.to_string().ends_with("check the path"));
    }
}
