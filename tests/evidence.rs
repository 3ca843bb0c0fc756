//! The slice of frames that findings rest on: read again, it says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use gwcap::analyzer::clock::{Watch, first_look};
use gwcap::capture::{self, Fill, Holding, Merge, Section, Writer};
use gwcap::diagnose::finding::{Confidence, Finding};
use gwcap::frame::Batch;
use gwcap::report::evidence::{Reach, Slice};

use crate::support::random::Random;
use crate::support::{Run, capture_of, case_folders, cases_root, fresh, inputs_of};

/// The reach of the program's defaults.
const REACH: Reach = Reach {
    before_nanos: 10_000_000_000,
    after_nanos: 5_000_000_000,
};

/// Cases of which some findings have another cause in the slice, neither of them certain, and how many: two failures of one
/// moment were told apart there by their place among what went well, which is no part of a slice.
const TOLD_BY_OTHERS: &[(&str, usize)] = &[
    ("apache-crowd", 2),
    ("envoy-crowd", 2),
    ("haproxy-crowd", 2),
];

/// Writes the slice of all findings of `run`, a file a machine; gives the files and the frames in them.
fn write_slice(paths: &[PathBuf], run: &Run, reach: Reach, folder: &Path) -> (Vec<PathBuf>, usize) {
    let mut slice = Slice::default();
    for finding in &run.analysis.diagnosis.findings {
        slice.add(finding, reach, false);
    }
    let mut named: BTreeSet<_> = slice.decisive().collect();
    let files: Vec<_> = paths.iter().cloned().map(Some).collect();
    let clocks = first_look(&files, 1, &Watch::default()).clocks;
    let open = |(input, path): (u16, &PathBuf)| capture::open_file(path, input, None).unwrap();
    let sources = (0..).zip(paths).map(open).collect();
    let mut source = Merge::new(sources).corrected(&clocks.errors());
    let section = Section {
        holding: Holding::Slice,
        application: "test",
        comments: &slice.told(),
    };
    let mut writers = BTreeMap::new();
    let (mut batch, mut frames) = (Batch::default(), 0);
    loop {
        let fill = source.fill(&mut batch, 1 << 20).unwrap();
        for record in &batch.records {
            let frame = batch.frame(record);
            if slice.wants(&frame) {
                let id = record.mark.frame;
                let remarks = slice.remarks(id);
                if named.remove(&id) {
                    assert_eq!(remarks.len(), remarks_on(run, &frame).len(), "{id:?}");
                }
                let machine = clocks.of(id.input()).vantage.0;
                let writer = writers.entry(machine).or_insert_with(|| {
                    let file = File::create(folder.join(format!("{machine}.pcapng"))).unwrap();
                    Writer::new(BufWriter::new(file), &section, &run.inputs).unwrap()
                });
                writer.frame(&frame, remarks, &run.inputs).unwrap();
                frames += 1;
            }
        }
        if fill == Fill::End {
            break;
        }
    }
    assert!(named.is_empty(), "frames that findings name: {named:?}");
    let mut written = Vec::new();
    for (machine, writer) in writers {
        writer.finish(&run.inputs).unwrap();
        written.push(folder.join(format!("{machine}.pcapng")));
    }
    (written, frames)
}

/// The sentences that findings have about a frame.
fn remarks_on<'r>(run: &'r Run, frame: &gwcap::frame::Frame<'_>) -> Vec<&'r str> {
    let findings = run.analysis.diagnosis.findings.iter();
    let evidence = findings.flat_map(|finding| &finding.evidence);
    evidence
        .filter(|evidence| evidence.mark.frame == frame.mark.frame)
        .map(|evidence| evidence.summary.as_str())
        .collect()
}

/// What both must say of an exchange: who failed, the how manieth time, and why. Times of several machines are not
/// compared: their clocks are estimated again from fewer packets.
fn said(run: &Run) -> BTreeMap<String, (&'static str, Confidence)> {
    let mut times = BTreeMap::new();
    let mut line = |finding: &Finding| {
        let connection = &finding.exchange.connection;
        let (client, server) = (connection.client, connection.server);
        let exchange = format!("{client} {server} {:?}", finding.status);
        let time: &mut usize = times.entry(exchange.clone()).or_default();
        *time += 1;
        (
            format!("{exchange} #{time}"),
            (finding.code, finding.confidence),
        )
    };
    let findings = &run.analysis.diagnosis.findings;
    findings.iter().map(&mut line).collect()
}

#[test]
fn remarks_hold_no_secrets() {
    let path = cases_root().join("nginx-stale-post/capture.pcapng");
    let run = Run::of(&path, 1, 1 << 20).unwrap();
    let mut finding = run.analysis.diagnosis.findings[0].clone();
    finding.evidence[0].summary = "the client asks: GET /x?token=hunter2abc".to_owned();
    for (show_secrets, shown) in [(false, false), (true, true)] {
        let mut slice = Slice::default();
        slice.add(&finding, REACH, show_secrets);
        let remarks = slice.remarks(finding.evidence[0].mark.frame).concat();
        assert!(
            remarks.contains("gwcap f0-22-1: stale-keepalive-reuse (certain): the client asks")
        );
        assert_eq!(remarks.contains("hunter2abc"), shown, "{remarks}");
    }
}

#[test]
fn a_slice_says_what_its_capture_says() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut complaints, mut by_others) = (Vec::new(), Vec::new());
    let (mut findings, mut all, mut kept, mut weaker) = (0, 0, 0, 0);
    for case in case_folders() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let paths = inputs_of(&case);
        let whole = Run::of_all(&paths, 1, 1 << 23).unwrap();
        let (slices, frames) = write_slice(&paths, &whole, REACH, folder.path());
        all += whole.frames();
        kept += frames;
        let wanted = said(&whole);
        if slices.is_empty() {
            assert!(wanted.is_empty(), "{name}: nothing is in its slice");
            continue;
        }
        let sliced = Run::of_all(&slices, 1, 1 << 23).unwrap();
        assert_eq!(sliced.frames(), frames as u64, "{name}");
        let got = said(&sliced);
        findings += wanted.len();
        let mut lost = 0;
        for (exchange, (code, confidence)) in &wanted {
            match got.get(exchange) {
                Some((again, sure)) if again == code => weaker += usize::from(sure < confidence),
                Some((again, _)) if SEEN_AND_WHY.contains(&(*again, *code)) => weaker += 1,
                Some((_, sure)) if (*sure).max(*confidence) < Confidence::Certain => lost += 1,
                other => complaints.push(format!("{name}: {exchange}: {code}, then {other:?}")),
            }
        }
        for exchange in got
            .keys()
            .filter(|exchange| !wanted.contains_key(*exchange))
        {
            complaints.push(format!("{name}: {exchange} is new: {:?}", got[exchange]));
        }
        if lost > 0 {
            by_others.push((name, lost));
        }
    }
    println!("{findings} findings, {weaker} weaker; {kept} of {all} frames");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let listed: Vec<_> = TOLD_BY_OTHERS
        .iter()
        .map(|(name, lost)| ((*name).to_owned(), *lost))
        .collect();
    assert_eq!(by_others, listed);
}

#[test]
fn a_damaged_capture_has_a_slice_too() {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, folders) = (folder.path().join("damaged"), case_folders());
    let mut written = 0;
    for index in Random::new(1).sample(folders.len(), 40) {
        let name = folders[index].display().to_string();
        let file = std::fs::read(capture_of(&folders[index])).unwrap();
        let mut random = Random::named(2, &name);
        for _ in 0..4 {
            let mut file = file.clone();
            for _ in 0..8 {
                let at = random.below(file.len());
                file[at] = random.below(256) as u8;
            }
            std::fs::write(&damaged, &file).unwrap();
            let paths = [damaged.clone()];
            let Ok(run) = Run::of_all(&paths, 1, 1 << 20) else {
                continue;
            };
            let (slices, frames) = write_slice(&paths, &run, REACH, folder.path());
            for slice in slices {
                let again = Run::of(&slice, 1, 1 << 20).unwrap();
                assert_eq!(again.frames(), frames as u64, "{name}");
                assert!(again.analysis.loss.damage().is_empty(), "{name}");
                written += 1;
            }
        }
    }
    assert!(written > 50, "only {written} slices");
}

/// What remains true without the connections that tell why: of the gateway, or of others to the same upstream.
const SEEN_AND_WHY: &[(&str, &str)] = &[
    ("closed-before-response", "proxy-protocol-missing"),
    ("tls-alert-from-upstream", "tls-no-shared-cipher"),
];

/// A slice without surroundings says less. It may not say something else and call it certain.
#[test]
fn a_slice_without_surroundings_is_modest() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let narrow = Reach {
        before_nanos: 0,
        after_nanos: 0,
    };
    let (mut complaints, mut same, mut weaker, mut gone, mut other) = (Vec::new(), 0, 0, 0, 0);
    for case in case_folders() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let paths = inputs_of(&case);
        let whole = Run::of_all(&paths, 1, 1 << 23).unwrap();
        let (slices, _) = write_slice(&paths, &whole, narrow, folder.path());
        if slices.is_empty() {
            continue;
        }
        let sliced = said(&Run::of_all(&slices, 1, 1 << 23).unwrap());
        for (exchange, (code, confidence)) in said(&whole) {
            match sliced.get(&exchange) {
                Some((again, sure)) if *again == code && *sure >= confidence => same += 1,
                Some((again, _)) if *again == code => weaker += 1,
                Some((again, _)) if SEEN_AND_WHY.contains(&(*again, code)) => weaker += 1,
                Some((again, Confidence::Certain)) => {
                    complaints.push(format!(
                        "{name}: {exchange}: {code}, then {again} for certain"
                    ));
                }
                Some(_) => other += 1,
                None => gone += 1,
            }
        }
    }
    println!("{same} the same, {weaker} weaker, {other} others, {gone} gone");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
