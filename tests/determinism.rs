//! The same capture gives the same bytes for any number of threads and any size of a batch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, Fill};
use gwcap::diagnose::NOT_JUDGED;
use gwcap::frame::Batch;

use crate::support::{
    Run, capture_of, case_folders, cases_root, frames, inputs_of, repeat, written,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn json(paths: &[impl AsRef<Path>], threads: usize, batch_bytes: usize) -> String {
    let run = Run::of_all(paths, threads, batch_bytes).unwrap();
    written(&run.report(false), "json")
}

/// Compares without printing a report of megabytes.
fn assert_same(one: &str, other: &str, what: &str) {
    let differs = one
        .lines()
        .zip(other.lines())
        .find(|(one, other)| one != other);
    assert!(one == other, "{what}: {differs:?}");
}

#[test]
fn every_case_gives_the_same_bytes() {
    for folder in case_folders() {
        let paths = inputs_of(&folder);
        let expected = json(&paths, 1, 16 * MIB);
        for (threads, batch_bytes) in [
            (1, 4 * KIB),
            (1, 64 * KIB),
            (2, 4 * KIB),
            (2, 64 * KIB),
            (2, 16 * MIB),
            (8, 4 * KIB),
            (8, 16 * MIB),
        ] {
            let what = format!(
                "{} on {threads} threads, {batch_bytes} bytes",
                folder.display()
            );
            assert_same(&expected, &json(&paths, threads, batch_bytes), &what);
        }
    }
}

/// Findings by cause and confidence.
fn by_cause(run: &Run) -> BTreeMap<(&'static str, &'static str), usize> {
    let mut counts = BTreeMap::new();
    for finding in &run.analysis.diagnosis.findings {
        let key = (finding.code, finding.confidence.word());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Repeats a case until it fills `bytes_min`, and holds it against one copy.
fn repeated(case: &str, bytes_min: u64, ways: &[(usize, usize)]) {
    let one_path = capture_of(&cases_root().join(case));
    let all = frames::read(&one_path);
    let one = Run::of(&one_path, 1, 16 * MIB).unwrap();
    let copies =
        usize::try_from(bytes_min / std::fs::metadata(&one_path).unwrap().len()).unwrap() + 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pcap");
    // Copies overlap: a new one begins while three are under way.
    repeat::write(&path, &all, copies, 700_000_000);
    assert!(std::fs::metadata(&path).unwrap().len() >= bytes_min);

    let many = Run::of(&path, 2, 8 * MIB).unwrap();
    let expected = written(&many.report(false), "json");
    for (threads, batch_bytes) in ways {
        let what = format!("{copies} × {case} on {threads} threads, {batch_bytes} bytes");
        assert_same(&expected, &json(&[&path], *threads, *batch_bytes), &what);
    }
    let times = |counts: BTreeMap<_, usize>| -> BTreeMap<_, usize> {
        counts
            .into_iter()
            .map(|(key, count)| (key, count * copies))
            .collect()
    };
    assert_eq!(by_cause(&many), times(by_cause(&one)), "{copies} × {case}");
    let (one, many) = (&one.analysis.diagnosis, &many.analysis.diagnosis);
    assert_eq!(many.health.exchanges, one.health.exchanges * copies as u64);
    assert_eq!(
        many.health.connections,
        one.health.connections * copies as u64
    );
    assert_eq!(
        many.upstream_events.len(),
        one.upstream_events.len() * copies
    );
}

#[test]
fn a_crowd_repeated_over_many_batches_gives_each_copy_its_findings() {
    repeated(
        "nginx-crowd",
        30 * MIB as u64,
        &[
            (1, 64 * KIB),
            (2, 4 * KIB),
            (8, 64 * KIB),
            (8, 16 * MIB),
            (1, 8 * MIB),
        ],
    );
}

#[test]
fn another_crowd_too() {
    repeated(
        "haproxy-crowd",
        30 * MIB as u64,
        &[(1, 16 * MIB), (8, 64 * KIB)],
    );
}

/// Nobody waits any longer: what was not judged is counted, and nothing is said of it.
#[test]
fn errors_that_nobody_waits_for_are_counted() {
    let path = cases_root().join("nginx-crowd/capture.pcapng");
    let judged = Run::of(&path, 1, MIB).unwrap().analysis.diagnosis.findings;
    let analyzer = |hurry: bool| {
        let options = Options {
            threads: 1,
            hurry: Arc::new(AtomicBool::new(hurry)),
            ..Options::default()
        };
        let mut analyzer = Analyzer::new(options);
        let mut source = capture::open_file(&path, 0, None).unwrap();
        let mut batch = Batch::default();
        while source.fill(&mut batch, MIB).unwrap() != Fill::End {
            analyzer.feed(&batch);
        }
        analyzer.feed(&batch);
        analyzer.finish()
    };
    assert_eq!(analyzer(false).diagnosis.findings.len(), judged.len());
    let hurried = analyzer(true);
    assert!(hurried.diagnosis.findings.is_empty());
    assert!(hurried.loss.get(NOT_JUDGED) >= judged.len() as u64);
}
