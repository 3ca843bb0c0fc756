//! Frames that are written: -w, --evidence. The lab's part asks tshark (GWCAP_LAB=1).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gwcap::capture::{self, Fill};
use gwcap::frame::Batch;

use crate::support::{Run, cases_root, inputs_of};

const GWCAP: &str = env!("CARGO_BIN_EXE_gwcap");

/// What a run gave.
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

fn gwcap(words: &[&str], stdin: Stdio) -> Ran {
    let output = Command::new(GWCAP)
        .args(words)
        .stdin(stdin)
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn case(name: &str) -> Vec<PathBuf> {
    inputs_of(&cases_root().join(name))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Bytes, time, length on the wire, link type and direction of each frame.
pub fn frames(path: &Path, filter: Option<&str>) -> Vec<(Vec<u8>, i64, u32, u32, String)> {
    let mut source = capture::open_file(path, 0, filter).unwrap();
    let (mut batch, mut frames) = (Batch::default(), Vec::new());
    loop {
        let fill = source.fill(&mut batch, 1 << 20).unwrap();
        for record in &batch.records {
            let frame = batch.frame(record);
            let (time, way) = (frame.mark.time.0, format!("{:?}", frame.way));
            frames.push((
                frame.data.to_vec(),
                time,
                frame.original_len,
                frame.link.0,
                way,
            ));
        }
        if fill == Fill::End {
            return frames;
        }
    }
}

#[test]
fn what_the_filter_matches_is_written_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.pcapng");
    for (name, filter) in [
        ("nginx-stale-post", None),
        ("apache-snap-healthy", None),
        ("nginx-crowd", Some("port 80")),
        ("envoy-offload-post-closed", Some("tcp")),
    ] {
        let path = case(name).swap_remove(0);
        let mut words = vec!["-q", "-r", text(&path), "-w", text(&written)];
        words.extend(filter);
        let ran = gwcap(&words, Stdio::null());
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let wanted = frames(&path, filter);
        assert!(!wanted.is_empty());
        assert!(frames(&written, None) == wanted, "{name}");
    }
}

#[test]
fn frames_on_standard_output_leave_the_report_to_standard_error() {
    let path = case("nginx-stale-post").swap_remove(0);
    let ran = gwcap(&["-r", text(&path), "-w", "-", "-c", "30"], Stdio::null());
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("stale-keepalive-reuse"), "{}", ran.err);
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.pcapng");
    fs::write(&written, ran.out).unwrap();
    assert_eq!(frames(&written, None), frames(&path, None)[..30]);
}

#[test]
fn a_full_disk_exits_with_5_and_what_was_seen_is_reported() {
    let path = case("nginx-stale-post").swap_remove(0);
    for flag in ["-w", "--evidence"] {
        let ran = gwcap(&["-r", text(&path), flag, "/dev/full"], Stdio::null());
        assert_eq!(ran.code, 5, "{flag}");
        assert!(ran.err.contains("cannot write /dev/full"), "{}", ran.err);
        if flag == "--evidence" {
            let out = String::from_utf8(ran.out).unwrap();
            assert!(out.contains("stale-keepalive-reuse"), "{out}");
        }
    }
    let nowhere = ["-r", text(&path), "-w", "/missing/x"];
    assert_eq!(gwcap(&nowhere, Stdio::null()).code, 5);
    let nowhere = ["-r", text(&path), "-w", "/missing/%H", "-G", "60"];
    assert_eq!(gwcap(&nowhere, Stdio::null()).code, 5);
}

/// What a file of evidence says: code and confidence of its findings.
fn verdicts(paths: &[PathBuf]) -> Vec<(&'static str, &'static str)> {
    let run = Run::of_all(paths, 1, 1 << 20).unwrap();
    let findings = run.analysis.diagnosis.findings.iter();
    findings
        .map(|finding| (finding.code, finding.confidence.word()))
        .collect()
}

#[test]
fn evidence_of_a_pipe_is_a_file_an_incident() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("new/evidence");
    let from = |name: &str| Stdio::from(fs::File::open(case(name).swap_remove(0)).unwrap());
    let words = ["-q", "-r", "-", "--evidence", text(&evidence)];
    assert_eq!(gwcap(&words, from("nginx-healthy-large-bodies")).code, 0);
    let files = || {
        let entries = fs::read_dir(&evidence).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    assert_eq!(files(), [] as [PathBuf; 0], "nothing failed");
    let ran = gwcap(&words, from("nginx-connect-refused"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let written = files();
    assert_eq!(written.len(), 1, "{written:?}");
    let name = text(&written[0]);
    assert!(
        name.contains("Z-connect-refused-10.77.0.1_80-10.77.0.3_"),
        "{name}"
    );
    let whole = verdicts(&case("nginx-connect-refused"));
    assert_eq!(verdicts(&written), whole);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let words = ["-q", "-r", "-", "--evidence", text(&file)];
    let ran = gwcap(&words, from("nginx-connect-refused"));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("names a folder"), "{}", ran.err);
}

#[test]
fn evidence_of_files_is_a_file_a_machine() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcapng");
    let paths = case("nginx-vantage-closed");
    let mut words = vec!["-q", "--evidence", text(&out)];
    words.extend(paths.iter().flat_map(|path| ["-r", text(path)]));
    assert_eq!(gwcap(&words, Stdio::null()).code, 0);
    let second = folder.path().join("out-2.pcapng");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(verdicts(&[out.clone(), second]), verdicts(&paths));

    // Nothing failed: a file that says so.
    let healthy = case("nginx-healthy-large-bodies").swap_remove(0);
    let words = ["-q", "-r", text(&healthy), "--evidence", text(&out)];
    assert_eq!(gwcap(&words, Stdio::null()).code, 0);
    assert_eq!(frames(&out, None).len(), 0);
    assert!(String::from_utf8_lossy(&fs::read(&out).unwrap()).contains("no findings"));
}

#[test]
fn evidence_ends_where_the_analysis_ended() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcapng");
    let path = case("nginx-stale-post").swap_remove(0);
    let words = [
        "-q",
        "-r",
        text(&path),
        "-c",
        "25",
        "--evidence",
        text(&out),
    ];
    assert_eq!(gwcap(&words, Stdio::null()).code, 0);
    let last = frames(&path, None)[24].1;
    assert!(frames(&out, None).iter().all(|frame| frame.1 <= last));
    assert_eq!(verdicts(&[out])[0].0, "stale-keepalive-reuse");
}

/// The fields that tshark finds, a line a frame.
fn tshark(path: &Path, words: &[&str]) -> Vec<String> {
    let output = Command::new("tshark")
        .args(["-n", "-r", text(path), "-T", "fields"])
        .args(words)
        .output()
        .expect("tshark is needed here: captures/lab/install");
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn tshark_reads_what_is_written() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (written, slice) = (folder.path().join("w"), folder.path().join("e"));
    for name in ["nginx-stale-post", "haproxy-crowd", "apache-snap-healthy"] {
        let path = case(name).swap_remove(0);
        let (to, evidence) = (text(&written), text(&slice));
        let words = ["-q", "-r", text(&path), "-w", to, "--evidence", evidence];
        assert_eq!(gwcap(&words, Stdio::null()).code, 0);
        let fields = [
            "frame.time_epoch",
            "frame.len",
            "frame.cap_len",
            "tcp.seq_raw",
        ];
        let fields: Vec<&str> = fields.iter().flat_map(|field| ["-e", field]).collect();
        assert_eq!(tshark(&written, &fields), tshark(&path, &fields), "{name}");

        let run = Run::of(&path, 1, 1 << 20).unwrap();
        let told = tshark(
            &slice,
            &[
                "-Y",
                "frame.comment",
                "-e",
                "frame.time_epoch",
                "-e",
                "frame.comment",
            ],
        );
        let mut marks: Vec<i64> = Vec::new();
        for finding in &run.analysis.diagnosis.findings {
            for evidence in &finding.evidence {
                marks.push(evidence.mark.time.0);
                let remark = format!("gwcap {}: {}", finding.id, finding.code);
                let time = evidence.mark.time.0;
                let epoch = format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
                assert!(
                    told.iter()
                        .any(|line| line.starts_with(&epoch) && line.contains(&remark)),
                    "{name}: {epoch} {remark}\n{}",
                    told.join("\n")
                );
            }
        }
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(
            told.len(),
            marks.len(),
            "{name}: only decisive frames have remarks"
        );
    }
}
