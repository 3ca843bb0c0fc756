//! Traffic that is made, so that what went wrong in it is known: each failure is found for what it is, and the report is
//! the same on any number of threads, for batches of any size, and with captures in the bodies.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Run, written};
use crate::traffic::{self, Bodies, Format, Kind, Link, Plan, Written};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A capture in a folder that goes away with it.
struct Made {
    path: PathBuf,
    written: Written,
    _folder: TempDir,
}

fn made(plan: &Plan) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pcap");
    let written = traffic::write(plan, File::create(&path).unwrap()).unwrap();
    Made {
        path,
        written,
        _folder: folder,
    }
}

/// Failures by client and path: how often each status and cause.
type Causes = BTreeMap<(String, String), Vec<(Option<u16>, String)>>;

fn expected(written: &Written) -> Causes {
    let mut causes = Causes::new();
    for failure in &written.failures {
        let [a, b, c, d] = failure.client.address;
        let client = format!("{a}.{b}.{c}.{d}:{}", failure.client.port);
        let target = format!("/api/items/{}", failure.path);
        let cause = (Some(failure.status), failure.cause.to_owned());
        causes.entry((client, target)).or_default().push(cause);
    }
    causes
}

/// What a report tells of each failure; `confident` leaves out what it is not certain of.
fn found(run: &Run, confident: bool) -> Causes {
    let report = serde_json::from_str::<serde_json::Value>(&written(&run.report(false), "json"));
    let mut causes = Causes::new();
    for finding in report.unwrap()["findings"].as_array().unwrap() {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (exchange, cause) = (&finding["exchange"], &finding["cause"]);
        if confident && cause["confidence"] != "certain" {
            continue;
        }
        let status = finding["status"].as_u64();
        let status = status.map(|status| u16::try_from(status).unwrap());
        let key = (text(&exchange["client"]), text(&exchange["target"]));
        let cause = (status, text(&cause["code"]));
        causes.entry(key).or_default().push(cause);
    }
    causes
}

#[test]
fn every_failure_is_found_for_what_it_is() {
    // An error in 25 exchanges, at most: what one gateway does for many clients at once is told apart by time alone.
    for (kind, bytes, errors) in [
        (Kind::Short, 4_000_000, 64),
        (Kind::Disturbed, 12_000_000, 16),
        (Kind::Mixed, 40_000_000, 32),
        (Kind::Bulk, 20_000_000, 1),
        (Kind::Flood, 1_000_000, 0),
    ] {
        let capture = made(&Plan {
            bytes,
            errors,
            ..Plan::new(kind)
        });
        let run = Run::of(&capture.path, 2, MIB).unwrap();
        assert_eq!(capture.written.failures.len() as u64, errors);
        assert_eq!(found(&run, false), expected(&capture.written), "{kind:?}");
        assert_eq!(run.frames(), capture.written.frames);
        let connections = run.analysis.diagnosis.health.connections;
        // Of a pool some connections never got their turn before the end.
        assert!(connections <= capture.written.connections);
        assert!(connections + 200 >= capture.written.connections, "{kind:?}");
    }
}

#[test]
fn what_is_certain_is_right_where_the_gateway_is_overloaded() {
    let capture = made(&Plan {
        bytes: 4_000_000,
        errors: 100,
        slow_gateway: true,
        ..Plan::new(Kind::Short)
    });
    let run = Run::of(&capture.path, 2, MIB).unwrap();
    let all: usize = found(&run, false).values().map(Vec::len).sum();
    assert_eq!(all, 100);
    let (certain, expected) = (found(&run, true), expected(&capture.written));
    assert!(certain.len() > 50, "{certain:?}");
    for (exchange, causes) in certain {
        assert_eq!(expected.get(&exchange), Some(&causes), "{exchange:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_capture() {
    for (_, kind) in Kind::ALL {
        let made = |seed| {
            let mut bytes = Vec::new();
            let plan = Plan {
                bytes: 300_000,
                errors: if kind == Kind::Flood { 0 } else { 5 },
                seed,
                ..Plan::new(kind)
            };
            let written = traffic::write(&plan, &mut bytes).unwrap();
            assert_eq!(written.bytes, bytes.len() as u64);
            (bytes, written)
        };
        assert!(made(1) == made(1), "{kind:?}");
        assert!(made(1) != made(2), "{kind:?}");
    }
}

#[test]
fn a_crowd_of_failures_has_each_its_own_attempt() {
    // More failures at once than are compared all with all, and so many that requests, refused connects and silent
    // SYNs of different clients lie within each other.
    for (kind, bytes, errors, slow_gateway) in [
        (Kind::Short, 10_000_000, 400, true),
        (Kind::Mixed, 5_000_000, 100, false),
        (Kind::Mixed, 5_000_000, 100, true),
    ] {
        for seed in [1, 2] {
            let capture = made(&Plan {
                bytes,
                errors,
                slow_gateway,
                seed,
                ..Plan::new(kind)
            });
            let run = Run::of(&capture.path, 2, MIB).unwrap();
            let (certain, expected) = (found(&run, true), expected(&capture.written));
            assert!(certain.len() * 3 > expected.len(), "{kind:?} {seed}");
            for (exchange, causes) in certain {
                let truth = expected.get(&exchange);
                let told = causes
                    .iter()
                    .all(|cause| truth.is_some_and(|truth| truth.contains(cause)));
                assert!(told, "{kind:?} {seed} {exchange:?} {causes:?}");
            }
        }
    }
}

/// The same bytes for every way of reading.
fn same(plan: &Plan, ways: impl Iterator<Item = (usize, usize)>) {
    let capture = made(plan);
    let json = |threads, batch_bytes| {
        let run = Run::of(&capture.path, threads, batch_bytes).unwrap();
        written(&run.report(false), "json")
    };
    let expected = json(1, 64 * MIB);
    for (threads, batch_bytes) in ways {
        let other = json(threads, batch_bytes);
        let differs = expected.lines().zip(other.lines()).find(|(a, b)| a != b);
        let what = format!("{plan:?} on {threads} threads, {batch_bytes} bytes");
        assert!(expected == other, "{what}: {differs:?}");
    }
}

#[test]
fn every_kind_gives_the_same_bytes_on_1_to_16_threads_and_for_odd_batches() {
    for (_, kind) in Kind::ALL {
        let plan = Plan {
            bytes: 1_000_000,
            errors: if kind == Kind::Flood { 0 } else { 20 },
            ..Plan::new(kind)
        };
        // Sizes around a page and a large one, none of which divides another.
        let sizes = [4_096, 4_099, 8_191, 65_537, 300_007, 16 * MIB];
        same(&plan, (1..=16).map(|threads| (threads, sizes[threads % 6])));
    }
}

#[test]
fn captures_in_bodies_are_bodies() {
    for format in [Format::Pcap, Format::Pcapng] {
        for link in [Link::Sll, Link::Sll2, Link::Ethernet] {
            let plan = Plan {
                bytes: 3_000_000,
                errors: 4,
                bodies: Bodies::Capture,
                format,
                link,
                ..Plan::new(Kind::Mixed)
            };
            let sizes = [4_096, 4_111, 65_536, 262_147, MIB, 8 * MIB];
            same(&plan, (1..).zip(sizes));
            // The frames are those that were written, and none of those in bodies.
            let capture = made(&plan);
            let run = Run::of(&capture.path, 2, 4_096).unwrap();
            assert_eq!(run.frames(), capture.written.frames, "{format:?} {link:?}");
            assert!(run.analysis.loss.damage().is_empty());
        }
    }
}
