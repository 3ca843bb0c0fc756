//! What is decrypted with a key log, held against tshark with the same key log, byte for byte, and against what the gateway's log
//! says of the answers that were hidden.
//!
//! The rule: every recording with a `keys.log` beside it is compared; none of its bytes may be missing on either side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use gwcap::capture::{self, Fill, Keys};
use gwcap::decode::segment::Packet;
use gwcap::decode::{Decoded, decode};
use gwcap::flow::{Direction, Vantage};
use gwcap::frame::{Batch, Mark};
use gwcap::loss::Loss;
use gwcap::protocol::parser::{Beginning, Data, Hole, Inner, Output, Parser, Stop};
use gwcap::protocol::tls::Tls;
use gwcap::tcp::ConnectionTable;
use gwcap::tcp::event::{Connection, StreamEvent};

use crate::support::{Run, case_folders};

/// What client and server said inside of TLS, by their endpoints.
type Streams = BTreeMap<(String, String), (Vec<u8>, Vec<u8>)>;

/// A reader of TLS for each connection, whatever it speaks.
struct Reader(Box<dyn Parser>);

impl Default for Reader {
    fn default() -> Self {
        Self(Tls::start(Beginning::First))
    }
}

/// Folders with a key log.
fn keyed() -> Vec<PathBuf> {
    let folders = case_folders().into_iter();
    let keyed: Vec<_> = folders
        .filter(|folder| folder.join("keys.log").exists())
        .collect();
    assert!(keyed.len() >= 8, "recordings with key logs were not found");
    keyed
}

/// What two ends of OpenSSL said under suites that rustls lacks.
fn openssl() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openssl-ccm")
}

fn keys_of(folder: &Path) -> Keys {
    let (mut keys, mut loss) = (Keys::default(), Loss::default());
    keys.add_log(&std::fs::read(folder.join("keys.log")).unwrap(), &mut loss);
    assert_eq!(loss, Loss::default());
    keys
}

fn capture_of(folder: &Path) -> PathBuf {
    folder.join("capture.pcapng")
}

impl Reader {
    fn take(
        &mut self,
        connection: &Connection,
        seen: Mark,
        event: StreamEvent<'_>,
        keys: &Keys,
        streams: &mut Streams,
        loss: &mut Loss,
    ) {
        let (mut observations, mut index) = (Vec::new(), 0);
        let mut out = Output::new(connection, seen, keys, &mut observations, loss, &mut index);
        match event {
            StreamEvent::Data {
                direction,
                offset,
                bytes,
                carried,
            } => {
                let data = Data {
                    direction,
                    offset,
                    bytes,
                    carried,
                };
                self.0.on_data(data, &mut out);
            }
            StreamEvent::Gap {
                direction,
                offset,
                len,
                reason,
            } => {
                let hole = Hole {
                    direction,
                    offset,
                    len,
                    reason,
                };
                self.0.on_gap(hole, &mut out);
            }
            StreamEvent::Finished { direction } => self.0.on_finished(direction, &mut out),
            StreamEvent::Ended(_) => self.0.on_stop(Stop::Closed, &mut out),
            _ => {}
        }
        let ends = (connection.client.to_string(), connection.server.to_string());
        for found in out.inner {
            if let Inner::Data {
                direction,
                bytes,
                range,
                ..
            } = found
            {
                let (client, server) = streams.entry(ends.clone()).or_default();
                match direction {
                    Direction::ToServer => client.extend(&bytes[range]),
                    Direction::ToClient => server.extend(&bytes[range]),
                }
            }
        }
    }
}

/// The streams as gwcap decrypts them.
fn decrypted(path: &Path, keys: &Keys) -> Streams {
    let mut source = capture::open_file(path, 0, None).unwrap();
    let mut table: ConnectionTable<Reader> = ConnectionTable::default();
    let (mut batch, mut loss, mut last) = (Batch::default(), Loss::default(), Mark::default());
    let mut streams = Streams::new();
    loop {
        let fill = source.fill(&mut batch, 1 << 20).unwrap();
        for record in &batch.records {
            last = record.mark;
            let decoded = decode(
                batch.frame(record),
                Vantage::default(),
                &mut Loss::default(),
            );
            if let Some(Packet::Segment(segment)) = decoded.and_then(Decoded::packet) {
                table.push(
                    &segment,
                    &mut |reader: &mut Reader, connection, seen, event| {
                        reader.take(connection, seen, event, keys, &mut streams, &mut loss);
                    },
                );
            }
        }
        if fill == Fill::End {
            break;
        }
    }
    table.finish(last, &mut |reader: &mut Reader, connection, seen, event| {
        reader.take(connection, seen, event, keys, &mut streams, &mut loss);
    });
    streams
}

/// What tshark prints of a recording with its key log.
fn tshark(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("tshark")
        .arg("-o")
        .arg(format!(
            "tls.keylog_file:{}",
            folder.join("keys.log").display()
        ))
        .arg("-n")
        .args(words)
        .arg("-r")
        .arg(capture_of(folder))
        .output()
        .expect("tshark is needed here: captures/lab/install");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The streams as tshark decrypts them.
fn by_tshark(folder: &Path) -> Streams {
    let mut streams = Streams::new();
    for number in 0.. {
        let first = tshark(
            folder,
            &[
                "-Y",
                &format!("tcp.stream eq {number}"),
                "-T",
                "fields",
                "-E",
                "separator= ",
                "-e",
                "ip.src",
                "-e",
                "tcp.srcport",
                "-e",
                "ip.dst",
                "-e",
                "tcp.dstport",
            ],
        );
        let Some(first) = first.lines().next() else {
            break;
        };
        let words: Vec<&str> = first.split(' ').collect();
        let ends = (
            format!("{}:{}", words[0], words[1]),
            format!("{}:{}", words[2], words[3]),
        );
        let text = tshark(folder, &["-q", "-z", &format!("follow,tls,raw,{number}")]);
        // What the first node said is not indented; the other one it does not name.
        let node = text.lines().find_map(|line| line.strip_prefix("Node 0: "));
        let by_server = node == Some(ends.1.as_str());
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let digits = line.trim();
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                continue;
            }
            let bytes = (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap());
            match line.starts_with('\t') == by_server {
                true => client.extend(bytes),
                false => server.extend(bytes),
            }
        }
        if !client.is_empty() || !server.is_empty() {
            streams.insert(ends, (client, server));
        }
    }
    streams
}

#[test]
fn tshark_decrypts_the_same_bytes() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let mut bytes = 0;
    for folder in keyed().into_iter().chain([openssl()]) {
        let ours = decrypted(&capture_of(&folder), &keys_of(&folder));
        let theirs = by_tshark(&folder);
        assert!(!theirs.is_empty(), "{}", folder.display());
        assert_eq!(ours, theirs, "{}", folder.display());
        bytes += ours.values().map(|(c, s)| c.len() + s.len()).sum::<usize>();
    }
    println!("{bytes} decrypted bytes are the same");
}

/// The truth is what the clients themselves received.
#[test]
fn suites_with_ccm_are_read() {
    let streams = decrypted(&capture_of(&openssl()), &keys_of(&openssl()));
    let said = std::fs::read(openssl().join("said.txt")).unwrap();
    let mut rest = said.as_slice();
    assert_eq!(streams.len(), 6);
    // Clients took their ports one after the other.
    let mut in_order: Vec<_> = streams.values().map(|(_, server)| server).collect();
    while !in_order.is_empty() {
        let next = in_order.iter().position(|server| rest.starts_with(server));
        let server = in_order.remove(next.expect("each client's words"));
        assert!(server.len() > 1_000);
        rest = &rest[server.len()..];
    }
    assert_eq!(rest, b"");
}

#[test]
fn all_that_was_recorded_with_a_key_log_is_http_inside() {
    for folder in keyed() {
        let streams = decrypted(&capture_of(&folder), &keys_of(&folder));
        assert!(!streams.is_empty(), "{}", folder.display());
        for (client, server) in streams.values() {
            assert!(client.starts_with(b"GET / HTTP/1."), "{}", folder.display());
            assert!(
                server.is_empty() || server.starts_with(b"HTTP/1."),
                "{}",
                folder.display()
            );
        }
    }
}

#[test]
fn a_key_log_shows_the_status_that_the_gateways_log_tells() {
    let mut seen = 0;
    for folder in keyed() {
        if !folder.to_string_lossy().contains("client-leg") {
            continue;
        }
        let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let log = std::fs::read(folder.join("keys.log")).unwrap();
        let run = Run::with_key_log(&capture_of(&folder), &log);
        let report = run.report(false);
        let run = Run::of(&capture_of(&folder), 1, 1 << 23).unwrap();
        let without = run.report(false);
        let truth = expected["findings"].as_array().unwrap();
        assert_eq!(report.findings.len(), truth.len(), "{}", folder.display());
        for (finding, truth) in report.findings.iter().zip(truth) {
            assert_eq!(
                finding.status.map(u64::from),
                truth["log_status"].as_u64(),
                "{}",
                folder.display()
            );
            assert_eq!(finding.cause.code, truth["cause"].as_str().unwrap());
            assert_eq!(finding.cause.confidence, "certain", "{}", folder.display());
            seen += 1;
        }
        for finding in without.findings.iter() {
            assert_eq!(finding.status, None);
            assert_ne!(finding.cause.confidence, "certain", "{}", folder.display());
            let more = finding
                .not_observable
                .iter()
                .any(|line| line.contains("--keylog"));
            assert!(more, "{}", folder.display());
        }
    }
    assert!(seen >= 3);
}

/// The capture of a case with its key log inside, in a decryption secrets block behind the section header (pcapng, section
/// 4.7), as `editcap --inject-secrets` writes it.
fn with_secrets_inside(folder: &Path, to: &Path) {
    let capture = std::fs::read(capture_of(folder)).unwrap();
    let mut log = std::fs::read(folder.join("keys.log")).unwrap();
    let told = u32::try_from(log.len()).unwrap();
    log.resize(log.len().next_multiple_of(4), b'\n');
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    assert_eq!(word(8), 0x1a2b_3c4d, "little-endian");
    let header = word(4) as usize;
    let whole = u32::try_from(log.len() + 20).unwrap();
    let mut file = capture[..header].to_vec();
    for number in [10, whole, 0x544c_534b, told] {
        file.extend(number.to_le_bytes());
    }
    file.extend(&log);
    file.extend(whole.to_le_bytes());
    file.extend(&capture[header..]);
    std::fs::write(to, file).unwrap();
}

/// What a report says of its findings and of what was not decrypted.
fn report(words: &[&std::ffi::OsStr]) -> (Vec<String>, Vec<String>) {
    let said = assert_cmd::Command::cargo_bin("gwcap")
        .unwrap()
        .args(words)
        .args(["-f", "json"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let told = |what: &str, of: fn(&serde_json::Value) -> String| {
        report[what].as_array().unwrap().iter().map(of).collect()
    };
    let warnings: Vec<String> = told("warnings", |it| it["message"].as_str().unwrap().to_owned());
    let undecrypted = warnings
        .into_iter()
        .filter(|message| message.starts_with("not decrypted"));
    let codes = told("findings", |it| {
        format!("{} {} {}", it["id"], it["failure"], it["cause"])
    });
    (codes, undecrypted.collect())
}

#[test]
fn secrets_inside_of_a_capture_decrypt_it() {
    let place = tempfile::tempdir().unwrap();
    for folder in keyed() {
        let (capture, log) = (capture_of(&folder), folder.join("keys.log"));
        let inside = place.path().join("inside.pcapng");
        with_secrets_inside(&folder, &inside);
        let beside = report(&[
            "-r".as_ref(),
            capture.as_ref(),
            "--keylog".as_ref(),
            log.as_ref(),
        ]);
        let brought = report(&["-r".as_ref(), inside.as_ref()]);
        let name = folder.display();
        assert_eq!(brought, beside, "{name}");
        assert!(!brought.0.is_empty(), "{name}");
        assert_ne!(
            report(&["-r".as_ref(), capture.as_ref()]).0,
            brought.0,
            "{name}"
        );
    }
}

#[test]
fn what_a_key_log_does_not_open_is_listed() {
    let folder = keyed().remove(0);
    let capture = capture_of(&folder);
    let words = [
        "-r".as_ref(),
        capture.as_ref(),
        "--keylog".as_ref(),
        "/dev/null".as_ref(),
    ];
    let (_, undecrypted) = report(&words);
    let [none] = undecrypted.as_slice() else {
        panic!("{undecrypted:?}");
    };
    assert!(none.contains("no secret of it was given"), "{none}");
    assert!(none.contains(" -> 10.77.0."), "{none}");
}

/// Evidence holds the secrets of its connections only where that was asked for: then it says by itself what the capture said
/// with its key log.
#[test]
fn evidence_holds_secrets_only_on_request() {
    let place = tempfile::tempdir().unwrap();
    let mut with = 0;
    for folder in keyed() {
        let (capture, log) = (capture_of(&folder), folder.join("keys.log"));
        let words: [&std::ffi::OsStr; 4] = [
            "-r".as_ref(),
            capture.as_ref(),
            "--keylog".as_ref(),
            log.as_ref(),
        ];
        let text = std::fs::read_to_string(&log).unwrap();
        let secrets: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        for asked in [false, true] {
            let evidence = place.path().join("evidence.pcapng");
            let mut more = words.to_vec();
            more.extend(["--evidence".as_ref(), evidence.as_os_str()]);
            if asked {
                more.push("--with-secrets".as_ref());
            }
            let whole = report(&more);
            let file = std::fs::read(&evidence).unwrap();
            let holds = |secret: &&&str| {
                let secret = secret.as_bytes();
                file.windows(secret.len()).any(|window| window == secret)
            };
            let held = secrets.iter().filter(holds).count();
            std::fs::remove_file(&evidence).unwrap();
            if !asked {
                assert_eq!(held, 0, "{}", folder.display());
                continue;
            }
            with += usize::from(held > 0);
            std::fs::write(&evidence, file).unwrap();
            let again = report(&["-r".as_ref(), evidence.as_os_str()]);
            std::fs::remove_file(&evidence).unwrap();
            assert_eq!(again.0.len(), whole.0.len(), "{}", folder.display());
            assert!(again.1.is_empty(), "{:?}", again.1);
        }
    }
    assert!(with >= 8, "{with}");
}
