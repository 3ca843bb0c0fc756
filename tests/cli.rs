//! The face: exit codes, streams, and what is said when something is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use serde_json::Value;

const GWCAP: &str = env!("CARGO_BIN_EXE_gwcap");

/// What a run gave.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn gwcap(words: &[&str]) -> Ran {
    ran(Command::new(GWCAP).args(words))
}

fn ran(command: &mut Command) -> Ran {
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A pcap file (little-endian, microseconds, Ethernet) with `frames` empty frames and then `rest`.
fn capture(folder: &Path, frames: u32, rest: &[u8]) -> PathBuf {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(262_144_u32.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for frame in 0..frames {
        for word in [1_795_179_845 + frame, 0, 60, 60] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0; 60]);
    }
    bytes.extend(rest);
    let path = folder.join("capture.pcap");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_is_no_capture_exits_with_3_and_says_what_to_do() {
    for (words, said) in [
        (["-r", "/dev/null"], "empty"),
        (["-r", "README.md"], "text"),
        (["README.md", "-q"], "text"),
        (["-r", "missing.pcap"], "check the path"),
        (["missing.pcap", "-q"], "check the path"),
        (["-r", "src"], "director"),
    ] {
        let ran = gwcap(&words);
        assert_eq!(ran.code, 3, "{words:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{words:?}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "said once: {}", ran.err);
        assert_eq!(ran.out, "", "{words:?}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 1, &[]);
    let capture = path.to_str().unwrap();
    let out = folder.path().join("out");
    let out_name = out.to_str().unwrap();
    for (words, said) in [
        (vec![], "Usage"),
        (
            vec!["-r", capture, "-f", "markdown", "-o", out_name],
            "text, json, ndjson",
        ),
        (
            vec!["-r", capture, "-F", out_name],
            "cannot read the filter in",
        ),
        (vec!["-r", capture, "-o", capture], "is an input"),
        (vec!["-r", capture, "-w", capture], "is an input"),
        (vec!["-r", capture, "--evidence", capture], "is an input"),
        (
            vec!["-r", capture, "--write-all", out_name],
            "belongs to -i",
        ),
        (
            vec!["-r", capture, "-w", "x%!", "-G", "60"],
            "% begins a time",
        ),
        (
            vec!["-r", capture, "-o", out_name, "no", "such", "filter"],
            "does not compile",
        ),
        (
            vec!["--explain", "conect-refused"],
            "did you mean connect-refused?",
        ),
        (vec!["--explain", "weather"], "gwcap --explain lists them"),
    ] {
        let ran = gwcap(&words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{words:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{words:?}");
        assert!(!out.exists(), "{words:?} created its output");
    }
    assert!(
        fs::read(&path).unwrap().len() > 24,
        "the input is untouched"
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "-h", "--version"] {
        let ran = gwcap(&[flag]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{flag}");
        assert!(ran.out.contains("gwcap"), "{flag}");
    }
}

#[test]
fn a_quiet_capture_exits_with_0_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 3, &[]);
    let capture = path.to_str().unwrap();
    let text = gwcap(&["--exit-code", capture]);
    assert_eq!((text.code, text.err.as_str()), (0, ""));
    assert!(text.out.contains("3 frames"), "{}", text.out);

    let json: Value = serde_json::from_str(&gwcap(&[capture, "-f", "json"]).out).unwrap();
    assert_eq!(json["findings"], Value::Array(vec![]));
    assert_eq!(json["capture"]["inputs"][0]["frames"], 3);
    let schema: Value = serde_json::from_str(&gwcap(&["--schema"]).out).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));

    let lines = gwcap(&[capture, "-f", "ndjson"]).out;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "summary");
}

#[test]
fn a_half_record_at_the_end_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 3, &[1, 2, 3]);
    let ran = gwcap(&[path.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("ends inside a record"), "{}", ran.out);
    assert!(
        ran.out.contains("Not seen or not decoded: 1 cut record"),
        "{}",
        ran.out
    );
}

#[test]
fn reports_go_to_their_files_and_hashes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 1, &[]);
    let out = folder.path().join("out.json");
    let words = [
        path.to_str().unwrap(),
        "--hash",
        "-f",
        "text",
        "-f",
        "json",
        "-o",
        out.to_str().unwrap(),
    ];
    let ran = gwcap(&words);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("sha256 "), "{}", ran.out);
    let json: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(
        json["capture"]["inputs"][0]["sha256"]
            .as_str()
            .unwrap()
            .len(),
        64
    );
}

/// As in tcpdump: the file's filter counts, and that among the words does not.
#[test]
fn a_filter_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filter");
    fs::write(&path, "# clients only\nport 80\n  and tcp\n").unwrap();
    let capture = "captures/nginx-connect-refused/capture.pcapng";
    let said = |words: &[&str]| {
        let ran = gwcap(&[&["-r", capture, "-f", "json"], words].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let filter = report["capture"]["inputs"][0]["filter"].clone();
        (report["summary"]["by_cause"].clone(), filter)
    };
    let named = ["-F", path.to_str().unwrap()];
    let (by_file, told) = said(&named);
    assert_eq!(told, "port 80 and tcp");
    assert_eq!(by_file, said(&["port", "80", "and", "tcp"]).0);
    // Without it the upstream's leg is there too.
    assert_ne!(by_file, said(&[]).0);
    let both = [&named[..], &["port", "8080"]].concat();
    assert_eq!(said(&both).1, "port 80 and tcp");
}

#[test]
fn count_and_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(capture(folder.path(), 5, &[])).unwrap();
    let ran = ran(Command::new(GWCAP)
        .args(["-r", "-", "-c", "2"])
        .write_stdin(bytes));
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn an_output_that_cannot_be_written_exits_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture(folder.path(), 1, &[]);
    for out in ["/nowhere/at/all", "/dev/full"] {
        let ran = gwcap(&[path.to_str().unwrap(), "-o", out]);
        assert_eq!(ran.code, 5, "{out}: {}", ran.err);
        assert!(ran.err.contains(out), "{}", ran.err);
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Process::new(GWCAP)
        .arg("--schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn every_cause_has_a_manual_page() {
    let index = gwcap(&["--explain"]);
    assert_eq!(index.code, 0);
    for cause in gwcap::diagnose::cause::CAUSES {
        assert!(
            index.out.contains(cause.code),
            "{} is not listed",
            cause.code
        );
    }
    assert!(
        gwcap(&["--explain", "connect-refused"])
            .out
            .contains("refused")
    );
}

/// A recorded case with further blocks of pcapng (little-endian): names, and secrets of TLS.
fn with_blocks(folder: &Path) -> PathBuf {
    let mut bytes = fs::read("captures/nginx-connect-refused/capture.pcapng").unwrap();
    let names = [&[1, 0, 8, 0, 10, 77, 0, 3][..], b"db1\0", &[0; 4]].concat();
    let log = b"CLIENT_RANDOM 00ff 5ec2e7\n";
    let secrets = [
        &b"KSLT"[..],
        &(log.len() as u32).to_le_bytes(),
        log,
        &[0; 2],
    ]
    .concat();
    for (kind, body) in [(4_u32, names), (10, secrets)] {
        let length = (body.len() as u32 + 12).to_le_bytes();
        bytes.extend([&kind.to_le_bytes()[..], &length, &body, &length].concat());
    }
    let path = folder.join("named.pcapng");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn names_are_shown_beside_addresses_until_n_hides_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_blocks(folder.path());
    let path = path.to_str().unwrap();
    for format in ["text", "json", "ndjson"] {
        let shown = gwcap(&["-f", format, "-r", path]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        assert!(shown.out.contains("db1"), "{format}: {}", shown.out);
        let hidden = gwcap(&["-n", "-f", format, "-r", path]);
        assert!(!hidden.out.contains("db1"), "{format}: {}", hidden.out);
        // Nothing shows a secret; the file's are counted.
        for out in [&shown.out, &hidden.out] {
            assert!(!out.contains("5ec2e7") && !out.contains("CLIENT_RANDOM"));
        }
    }
    let text = gwcap(&["-r", path]).out;
    assert!(text.contains("10.77.0.3:8081 (db1)"), "{text}");
    assert!(text.contains("1 TLS secret in the file"), "{text}");
    let json: Value = serde_json::from_str(&gwcap(&["-f", "json", "-r", path]).out).unwrap();
    assert_eq!(json["capture"]["names"]["10.77.0.3"], "db1");
    assert_eq!(json["capture"]["inputs"][0]["tls_secrets"], 1);
}
