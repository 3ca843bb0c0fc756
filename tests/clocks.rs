//! Captures of several machines: a recorded case is split into what each machine would have seen, by clocks of their
//! own, and must come out as the case itself does.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use gwcap::analyzer::clock::{Watch, first_look};
use gwcap::decode::decode;
use gwcap::decode::segment::{Packet, Segment};
use gwcap::diagnose::clocks::Clocks;
use gwcap::diagnose::finding::{Finding, Warning};
use gwcap::flow::Vantage;
use gwcap::frame::{Frame, Mark, Way};
use gwcap::loss::Loss;
use gwcap::report::model::Capture;
use serde_json::Value;

use crate::support::frames::{self, Owned};
use crate::support::pcap::{self, Clock};
use crate::support::random::Random;
use crate::support::wire::{Listener, Opener, Wire};
use crate::support::{
    Run, analyse, assert_schema, capture_of, case_folders, cases_root, fresh, inputs_of, written,
};

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;
/// The lab's hosts.
const GATEWAY: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";

/// How a machine sees the frames of a case.
#[derive(Clone, Copy)]
struct Machine {
    /// How far its clock is ahead, nanoseconds.
    ahead: i64,
    /// How much it gains, parts per billion.
    drift: i64,
    /// How long a frame is on its way between the gateway and here, nanoseconds.
    away: i64,
}

const HERE: Machine = Machine {
    ahead: 0,
    drift: 0,
    away: 0,
};

fn ahead(ahead: i64) -> Machine {
    Machine { ahead, ..HERE }
}

/// The ends of a frame's TCP segment.
fn ends(frame: &Owned) -> Option<[String; 2]> {
    let mut loss = Loss::default();
    let frame = Frame {
        data: &frame.data,
        original_len: frame.original_len,
        mark: Mark::default(),
        link: frame.link,
        way: Way::Unknown,
    };
    match decode(frame, Vantage(0), &mut loss)?.packet()? {
        Packet::Segment(Segment {
            source,
            destination,
            ..
        }) => Some([source.addr.to_string(), destination.addr.to_string()]),
        _ => None,
    }
}

fn on_client_leg(frame: &Owned) -> bool {
    ends(frame).is_some_and(|ends| ends.iter().any(|end| end == CLIENT))
}

/// Frames as a machine sees them, in the order of its clock. Their times are the gateway's.
fn seen_by(machine: Machine, frames: &[Owned], wanted: impl Fn(&Owned) -> bool) -> Vec<Owned> {
    let start = frames[0].time.0;
    let seen = |frame: &Owned| {
        let from_gateway = ends(frame).is_some_and(|[source, _]| source == GATEWAY);
        let away = if from_gateway {
            machine.away
        } else {
            -machine.away
        };
        let gained = i128::from(frame.time.0 - start) * i128::from(machine.drift);
        let gained = i64::try_from(gained / i128::from(SECOND)).unwrap();
        let mut frame = frame.clone();
        frame.time = frame.time.plus_nanos(machine.ahead + away + gained);
        frame
    };
    let mut seen: Vec<Owned> = frames
        .iter()
        .filter(|frame| wanted(frame))
        .map(seen)
        .collect();
    seen.sort_by_key(|frame| frame.time);
    seen
}

fn write(folder: &Path, name: &str, frames: &[Owned]) -> PathBuf {
    let mut bytes = pcap::header(Clock::Nanos, frames[0].link.0);
    for frame in frames {
        pcap::record(
            &mut bytes,
            frame.time.0,
            &frame.data,
            frame.original_len as usize,
        );
    }
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What several inputs gave.
struct Ran {
    clocks: Clocks,
    findings: Vec<Finding>,
    warnings: Vec<Warning>,
    capture: Capture,
    json: String,
}

fn ran(paths: &[PathBuf], threads: usize, batch_bytes: usize) -> Ran {
    let run = Run::of_all(paths, threads, batch_bytes).unwrap();
    let report = run.report(false);
    let (capture, json) = (report.capture.clone(), written(&report, "json"));
    drop(report);
    let diagnosis = run.analysis.diagnosis;
    Ran {
        capture,
        json,
        clocks: diagnosis.clocks,
        findings: diagnosis.findings,
        warnings: diagnosis.warnings,
    }
}

impl Ran {
    /// Holds the estimate of an input's clock against the truth, at the time of each of its frames.
    fn holds(&self, input: u16, truth: Machine, start: i64, widest: i64) {
        let clock = self.clocks.of(input);
        let unsure = clock.uncertainty_nanos.expect("no estimate");
        for later in [0, 1, 2, 60] {
            let at = start + later * SECOND;
            let gained = later * truth.drift;
            let shown = gwcap::time::Timestamp(at + truth.ahead + gained);
            let off = clock.error.corrected(shown).0 - at;
            // What a drift that nobody could see does later than the capture is not asked for.
            if later < 60 || truth.drift != 0 {
                assert!(
                    off.abs() <= unsure,
                    "input {input}: {off} ns off, ± {unsure}"
                );
            }
        }
        assert!(unsure <= widest, "input {input}: ± {unsure} ns");
    }

    fn vantages(&self) -> Vec<u16> {
        let inputs = self.capture.inputs.iter();
        inputs.map(|input| input.vantage).collect()
    }

    /// Code, client and frames of the findings on frames of one machine.
    fn codes(&self, vantage: u16) -> Vec<(&'static str, String, &'static str)> {
        let there = |finding: &&Finding| {
            let input = finding.exchange.request.frame.input();
            self.clocks.of(input).vantage == Vantage(vantage)
        };
        codes(self.findings.iter().filter(there))
    }
}

fn codes<'a>(
    findings: impl Iterator<Item = &'a Finding>,
) -> Vec<(&'static str, String, &'static str)> {
    let code = |finding: &Finding| {
        let client = finding.exchange.connection.client.to_string();
        (finding.code, client, finding.confidence.word())
    };
    let mut codes: Vec<_> = findings.map(code).collect();
    codes.sort();
    codes
}

fn case(name: &str) -> Vec<Owned> {
    frames::read(&capture_of(&cases_root().join(name)))
}

#[test]
fn what_two_machines_saw_gives_the_verdicts_of_the_gateway_alone() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["nginx-crowd", "haproxy-crowd", "envoy-connect-refused"] {
        let frames = case(name);
        let alone = analyse(&capture_of(&cases_root().join(name)), 1, 1 << 20);
        let expected = codes(alone.diagnosis.findings.iter());
        for shift in [3_200 * MILLI, -750 * MILLI, 7_200 * SECOND, 0] {
            let client = Machine {
                away: 150_000,
                ..HERE
            };
            let paths = [
                write(
                    folder.path(),
                    "client.pcap",
                    &seen_by(client, &frames, on_client_leg),
                ),
                write(
                    folder.path(),
                    "gateway.pcap",
                    &seen_by(ahead(shift), &frames, |_| true),
                ),
            ];
            let both = ran(&paths, 2, 1 << 20);
            assert_eq!(both.vantages(), [0, 1], "{name}");
            both.holds(1, ahead(shift), frames[0].time.0, 2 * MILLI);
            assert_eq!(both.codes(1), expected, "{name} by {shift} ns");
            let turned: Vec<PathBuf> = paths.iter().rev().cloned().collect();
            let turned = ran(&turned, 1, 4096);
            turned.holds(1, ahead(-shift), frames[0].time.0, 2 * MILLI);
            assert_eq!(turned.codes(0), expected, "{name} by {shift} ns, turned");
        }
    }
}

/// A client that asks once a second for two minutes.
fn two_minutes(folder: &Path) -> Vec<Owned> {
    let mut wire = Wire::new();
    let client = wire.connects(&format!("{CLIENT}:40000"), &format!("{GATEWAY}:80"));
    for number in 0..120 {
        let ask = format!("GET /cart/{number} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        wire.says(client, Opener, ask);
        wire.says(
            client,
            Listener,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
        );
        wire.waits_ms(1_000);
    }
    frames::read(&wire.write(folder))
}

#[test]
fn a_clock_that_drifts_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let client = Machine {
        away: 4 * MILLI,
        ..HERE
    };
    for drift in [200_000, -200_000] {
        let gateway = Machine {
            ahead: 3_200 * MILLI,
            drift,
            away: 0,
        };
        let paths = [
            write(
                folder.path(),
                "client.pcap",
                &seen_by(client, &frames, |_| true),
            ),
            write(
                folder.path(),
                "gateway.pcap",
                &seen_by(gateway, &frames, |_| true),
            ),
        ];
        let both = ran(&paths, 2, 1 << 20);
        both.holds(1, gateway, frames[0].time.0, 5 * MILLI);
        let input = &both.capture.inputs[1];
        let ppm = input.clock_drift_ppm.unwrap();
        assert!((ppm - drift as f64 / 1e3).abs() < 0.1, "{ppm}");
        // After correction both captures span the same time.
        let spans: Vec<&str> = both
            .capture
            .inputs
            .iter()
            .map(|input| &input.last_time.as_ref().unwrap()[..21])
            .collect();
        assert_eq!(spans[0], spans[1]);
    }
}

/// Requests that differ by nothing but an id, each passed on inside the one before it on the client leg.
fn with_ids(folder: &Path) -> Vec<Owned> {
    let mut wire = Wire::new();
    let client = wire.connects(&format!("{CLIENT}:40000"), &format!("{GATEWAY}:80"));
    let upstream = wire.connects(&format!("{GATEWAY}:50000"), "10.77.0.3:8080");
    for number in 0..20 {
        let ask = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: id-{number}\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        wire.says(client, Opener, &ask).waits_ms(2);
        wire.says(upstream, Opener, &ask).waits_ms(30);
        wire.says(upstream, Listener, answer).waits_ms(1);
        wire.says(client, Listener, answer).waits_ms(50);
    }
    frames::read(&wire.write(folder))
}

#[test]
fn legs_that_share_no_packet_are_tied_by_exchanges_inside_each_other() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for frames in [case("nginx-crowd-targets"), with_ids(folder.path())] {
        for shift in [3_200 * MILLI, -750 * MILLI] {
            let paths = [
                write(
                    folder.path(),
                    "client.pcap",
                    &seen_by(HERE, &frames, on_client_leg),
                ),
                write(
                    folder.path(),
                    "upstream.pcap",
                    &seen_by(ahead(shift), &frames, |frame| !on_client_leg(frame)),
                ),
            ];
            let both = ran(&paths, 2, 1 << 20);
            both.holds(1, ahead(shift), frames[0].time.0, 50 * MILLI);
            let from = both.capture.inputs[1].clock_estimated_from.clone();
            assert!(
                from.as_ref().unwrap().starts_with("nested exchanges ("),
                "{from:?}"
            );
            let turned: Vec<PathBuf> = paths.iter().rev().cloned().collect();
            ran(&turned, 1, 1 << 20).holds(1, ahead(-shift), frames[0].time.0, 50 * MILLI);
        }
    }
}

#[test]
fn rotated_sets_of_two_machines_are_two_machines() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let gateway = ahead(-3_600 * SECOND);
    let mut paths = Vec::new();
    for (name, machine, files) in [("client", HERE, 7), ("gateway", gateway, 5)] {
        let seen = seen_by(machine, &frames, |_| true);
        for (number, part) in seen.chunks(seen.len().div_ceil(files)).enumerate() {
            let name = format!("{name}.pcap{number}");
            paths.push(write(folder.path(), &name, part));
        }
    }
    let expected = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
    let both = ran(&paths, 2, 1 << 20);
    assert_eq!(both.vantages(), expected);
    both.holds(9, gateway, frames[0].time.0, MILLI);
    // In any order: every third file first.
    let turn = |start: usize| (start..paths.len()).step_by(3);
    let order: Vec<usize> = turn(2).chain(turn(0)).chain(turn(1)).collect();
    let mixed: Vec<PathBuf> = order.iter().map(|at| paths[*at].clone()).collect();
    let machines: Vec<u16> = order.iter().map(|at| expected[*at]).collect();
    assert_eq!(ran(&mixed, 2, 1 << 20).vantages(), machines);
}

#[test]
fn a_chain_of_captures_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    // The middle one holds both halves; the outer ones share nothing.
    let half = frames.len() / 2;
    let near = &frames[..half];
    let far = &frames[half - 40..];
    let paths = [
        write(
            folder.path(),
            "a",
            &seen_by(HERE, &near[..half - 40], |_| true),
        ),
        write(
            folder.path(),
            "c",
            &seen_by(ahead(90 * SECOND), far, |_| true),
        ),
        write(
            folder.path(),
            "b",
            &seen_by(ahead(-5 * SECOND), &frames, |_| true),
        ),
    ];
    let all = ran(&paths, 2, 1 << 20);
    assert_eq!(all.vantages(), [0, 1, 2]);
    let start = frames[0].time.0;
    all.holds(2, ahead(-5 * SECOND), start, 10 * MILLI);
    all.holds(1, ahead(90 * SECOND), start + 59 * SECOND, 10 * MILLI);
}

#[test]
fn clocks_that_cannot_be_compared_are_told_and_not_touched() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let frames = case("nginx-crowd");
    let mut others = case("haproxy-crowd");
    let shift = frames[0].time.nanos_since(others[0].time);
    for frame in &mut others {
        frame.time = frame.time.plus_nanos(shift);
    }
    let paths = [
        write(
            folder.path(),
            "client.pcap",
            &seen_by(HERE, &frames, on_client_leg),
        ),
        write(
            folder.path(),
            "upstream.pcap",
            &seen_by(HERE, &others, |frame| !on_client_leg(frame)),
        ),
    ];
    let both = ran(&paths, 2, 1 << 20);
    assert_eq!(both.vantages(), [0, 1]);
    let input = &both.capture.inputs[1];
    assert_eq!(
        (input.clock_offset_ms, input.clock_uncertainty_ms),
        (0.0, None)
    );
    assert_eq!(input.clock_estimated_from, None);
    let [warning] = both.warnings.as_slice() else {
        panic!("{:?}", both.warnings)
    };
    assert_eq!(warning.code, "clock-not-compared");
    assert!(
        warning.message.contains("upstream.pcap"),
        "{}",
        warning.message
    );
    let sure = |finding: &&Finding| finding.confidence.word() == "certain";
    assert_eq!(both.findings.iter().filter(sure).count(), 0);
}

#[test]
fn several_inputs_give_the_same_bytes_for_any_threads_and_batches() {
    if fresh() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let frames = case("nginx-crowd");
    let paths = [
        write(
            folder.path(),
            "client.pcap",
            &seen_by(HERE, &frames, on_client_leg),
        ),
        write(
            folder.path(),
            "gateway.pcap",
            &seen_by(ahead(3_200 * MILLI), &frames, |_| true),
        ),
        write(
            folder.path(),
            "upstream.pcap",
            &seen_by(ahead(-750 * MILLI), &frames, |frame| !on_client_leg(frame)),
        ),
    ];
    let expected = ran(&paths, 1, 1 << 24).json;
    assert_schema(&expected, "three machines");
    for (threads, batch_bytes) in [(1, 4_096), (2, 65_536), (8, 4_096), (8, 1 << 24)] {
        let json = ran(&paths, threads, batch_bytes).json;
        assert!(json == expected, "{threads} threads, {batch_bytes} bytes");
    }
}

#[test]
fn a_cut_file_is_looked_at_as_far_as_it_goes_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let client = write(
        folder.path(),
        "client.pcap",
        &seen_by(HERE, &frames, |_| true),
    );
    let gateway = seen_by(ahead(SECOND), &frames, |_| true);
    let gateway = write(folder.path(), "gateway.pcap", &gateway);
    let bytes = std::fs::read(&gateway).unwrap();
    std::fs::write(&gateway, &bytes[..bytes.len() / 2 + 7]).unwrap();
    let both = ran(&[client.clone(), gateway.clone()], 2, 1 << 20);
    assert_eq!(both.capture.loss.truncated.len(), 1);
    both.holds(1, ahead(SECOND), frames[0].time.0, MILLI);
    // A file that is no capture at all is the business of the reading proper.
    std::fs::write(&gateway, b"no capture").unwrap();
    let files = [Some(client), Some(gateway), None];
    let look = first_look(&files, 2, &Watch::default());
    assert_eq!(look.clocks.of(2).vantage, Vantage(0));
}

#[test]
fn a_look_that_is_stopped_knows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let path = write(folder.path(), "a", &frames);
    let watch = Watch::default();
    watch.stop.stop();
    let look = first_look(&[Some(path.clone()), Some(path)], 2, &watch);
    assert_eq!(look.clocks, Clocks::default());
}

#[test]
fn the_report_tells_of_each_clock_that_was_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let seen = |ahead: i64| seen_by(Machine { ahead, ..HERE }, &frames, |_| true);
    write(folder.path(), "client.pcap", &seen(0));
    write(folder.path(), "gateway.pcap", &seen(3_204 * MILLI));
    let gwcap = |words: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_gwcap"))
            .current_dir(folder.path())
            .args(words)
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(0));
        String::from_utf8(run.stdout).unwrap()
    };
    let text = gwcap(&["client.pcap", "gateway.pcap"]);
    let line = "gateway.pcap: clock 3.204 s ahead of client.pcap (±0.001 ms, from 242 shared packets), corrected\n";
    assert!(text.contains(line), "{text}");
    let text = gwcap(&["gateway.pcap", "client.pcap"]);
    assert!(
        text.contains("client.pcap: clock 3.204 s behind gateway.pcap ("),
        "{text}"
    );
    let text = gwcap(&["gateway.pcap", "client.pcap", "--one-machine"]);
    assert!(!text.contains("clock"), "{text}");
    // A capture that is named twice is one machine's, and so is a single one.
    let text = gwcap(&["client.pcap", "client.pcap"]);
    assert!(!text.contains("clock"), "{text}");
}

/// The lab sets the clocks of some recordings wrong by what it writes down.
#[test]
fn recorded_machines_are_told_apart_and_their_clocks_found() {
    let (mut compared, mut told) = (0, Vec::new());
    for folder in case_folders() {
        let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let paths = inputs_of(&folder);
        let truths = &expected["recorded"]["clocks"];
        if paths.len() < 2 || truths.is_null() {
            continue;
        }
        let run = ran(&paths, 2, 1 << 20);
        let turned: Vec<PathBuf> = paths.iter().rev().cloned().collect();
        let bare = |ran: &Ran| {
            let codes = codes(ran.findings.iter()).into_iter();
            codes.map(|(code, ..)| code).collect::<Vec<_>>()
        };
        let turned = bare(&ran(&turned, 2, 1 << 20));
        assert_eq!(bare(&run), turned, "{folder:?}, turned");
        for (input, path) in (0..).zip(&paths) {
            let truth = &truths[path.file_name().unwrap().to_str().unwrap()];
            let ahead = truth["ahead_seconds"].as_f64().unwrap_or(0.0) * 1e9;
            let drift = truth["drift_ppm"].as_f64().unwrap_or(0.0) / 1e6;
            let clock = run.clocks.of(input);
            assert_eq!(clock.vantage, Vantage(input), "{path:?}");
            let Some(unsure) = clock.uncertainty_nanos else {
                told.push(format!("{path:?}: not compared"));
                continue;
            };
            compared += usize::from(input > 0);
            let frames = frames::read(path);
            let times = frames.iter().map(|frame| frame.time);
            let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
            for shown in [first, last] {
                let gained = shown.nanos_since(first) as f64 * drift;
                let off = shown.nanos_since(clock.error.corrected(shown)) as f64 - ahead - gained;
                told.push(format!(
                    "{path:?}: {off} ns off, ± {unsure} ns, {:?}",
                    clock.estimated_from
                ));
                assert!(off.abs() <= unsure as f64, "{}", told.join("\n"));
            }
        }
    }
    println!("{}", told.join("\n"));
    assert!(compared >= 10 || fresh(), "{compared}");
}

#[test]
fn damage_in_any_place_neither_panics_nor_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let frames = two_minutes(folder.path());
    let sound = |ahead: i64| seen_by(Machine { ahead, ..HERE }, &frames, |_| true);
    let mut random = Random::new(77);
    for _ in 0..60 {
        let paths = [("a", 0), ("b", 3_200 * MILLI), ("c", -90 * SECOND)];
        let paths = paths.map(|(name, ahead)| {
            let path = write(folder.path(), name, &sound(ahead));
            let mut bytes = std::fs::read(&path).unwrap();
            for _ in 0..=random.below(40) {
                let at = 24 + random.below(bytes.len() - 24);
                bytes[at] = random.next().to_le_bytes()[0];
            }
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let one = ran(&paths, 1, 4_096).json;
        let other = ran(&paths, 2, 1 << 20).json;
        assert!(one == other);
    }
}
