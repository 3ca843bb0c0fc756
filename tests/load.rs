//! Crowds and healthy loads that were recorded a moment ago, against what the gateways' own logs say.
//!
//! `GWCAP_LOAD` names their folder, as `make test-lab` does; without it there is nothing to judge. Stricter than the
//! table of cases: a cause that was not named is wrong, however honest. A finding that says that its connection may be
//! exchanged for another's, which failed in the same way at the same upstream, may name that one, but few may.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gwcap::diagnose::finding::{Confidence, Finding};
use serde::Deserialize;

use crate::captures::{Expected, ExpectedFinding};
use crate::support::{Run, inputs_of};

/// Of a hundred failures in a crowd so many have their cause and their upstream connection right.
const RIGHT_PERCENT: usize = 98;
/// Of a hundred so many name the very connection.
const EXACT_PERCENT: usize = 95;
/// A crowd is no crowd with fewer clients that wait at the same time, and too small a sample with fewer failures.
const IN_FLIGHT: usize = 180;
const FAILURES: usize = 60;
const CAUSES: usize = 6;

const CROWDS: [&str; 3] = ["envoy", "haproxy", "nginx"];
const LOADS: [&str; 9] = [
    "apache", "ats", "caddy", "envoy", "haproxy", "lighttpd", "nginx", "squid", "varnish",
];

#[derive(Deserialize)]
struct Recorded {
    recorded: How,
}

#[derive(Deserialize)]
struct How {
    in_flight: usize,
}

/// How one crowd came out.
#[derive(Default)]
struct Tally {
    right: usize,
    /// Right ones that name the connection of another that failed alike.
    exchanged: usize,
    wrong_and_certain: usize,
    certain: usize,
    /// Failures whose connection no log names.
    nameless: usize,
    complaints: Vec<String>,
}

/// Whether `found` names the connection of `want`.
fn names_connection(want: &ExpectedFinding, found: &Finding) -> bool {
    want.connection.as_ref().is_none_or(|connection| {
        found.upstream_connection.as_ref().is_some_and(|name| {
            name.client.to_string() == connection.client
                && name.server.to_string() == connection.server
        })
    })
}

/// What is wrong with `found`; empty when nothing is. `alike` are all failures of the same cause and upstream.
fn complaint(want: &ExpectedFinding, alike: &[&ExpectedFinding], found: &Finding) -> String {
    let mut wrong = Vec::new();
    if found.code != want.cause {
        wrong.push(format!("cause {}", found.code));
    }
    if found.status != want.status {
        wrong.push(format!("status {:?}", found.status));
    }
    if found.upstream.map(|endpoint| endpoint.to_string()) != want.upstream {
        wrong.push(format!("upstream {:?}", found.upstream));
    }
    let known = alike.iter().filter(|other| other.connection.is_some());
    let exchanged =
        found.interchangeable && known.into_iter().any(|it| names_connection(it, found));
    let right = names_connection(want, found) || exchanged;
    if !right {
        let connection = want.connection.as_ref();
        wrong.push(format!(
            "connection, expected {}",
            connection.map_or("-", |connection| &connection.client)
        ));
    }
    wrong.join("; ")
}

fn judge(expected: &Expected, findings: &[Finding]) -> Tally {
    let mut tally = Tally::default();
    let mut found: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let client = finding.exchange.connection.client.to_string();
        found.entry(client).or_default().push(finding);
        tally.certain += usize::from(finding.confidence == Confidence::Certain);
    }
    for want in &expected.findings {
        let queue = found
            .get_mut(&want.client)
            .filter(|queue| !queue.is_empty());
        let Some(finding) = queue.map(|queue| queue.remove(0)) else {
            let line = format!("{} of {}: not found", want.cause, want.client);
            tally.complaints.push(line);
            continue;
        };
        tally.nameless += usize::from(want.connection.is_none());
        let same =
            |other: &&ExpectedFinding| other.cause == want.cause && other.upstream == want.upstream;
        let alike: Vec<&ExpectedFinding> = expected.findings.iter().filter(same).collect();
        let wrong = complaint(want, &alike, finding);
        if wrong.is_empty() {
            tally.right += 1;
            tally.exchanged += usize::from(!names_connection(want, finding));
            continue;
        }
        let word = finding.confidence.word();
        tally.wrong_and_certain += usize::from(finding.confidence == Confidence::Certain);
        tally.complaints.push(format!(
            "{} of {}, {word}: {wrong}",
            want.cause, want.client
        ));
    }
    for surplus in found.into_values().flatten() {
        tally.wrong_and_certain += usize::from(surplus.confidence == Confidence::Certain);
        let client = surplus.exchange.connection.client;
        tally
            .complaints
            .push(format!("{} of {client}: did not happen", surplus.code));
    }
    tally
}

fn read(folder: &Path) -> (Expected, usize, Vec<Finding>) {
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    let run = Run::of_all(&inputs_of(folder), 0, 1 << 23).unwrap();
    let expected = serde_json::from_str(&text).unwrap();
    (
        expected,
        recorded.recorded.in_flight,
        run.analysis.diagnosis.findings,
    )
}

/// The folder of the recordings; none where nobody recorded.
fn recordings() -> Option<PathBuf> {
    std::env::var_os("GWCAP_LOAD").map(PathBuf::from)
}

/// Who fails in a crowd is told why and through which connection.
#[test]
fn crowds() {
    let Some(root) = recordings() else { return };
    let mut failed = Vec::new();
    for gateway in CROWDS {
        let (expected, in_flight, findings) = read(&root.join(format!("{gateway}-crowd-200")));
        let causes: BTreeSet<&str> = expected.findings.iter().map(|f| f.cause.as_str()).collect();
        assert!(in_flight >= IN_FLIGHT, "{gateway}: {in_flight} in flight");
        assert!(expected.findings.len() >= FAILURES, "{gateway}: too few");
        assert!(causes.len() >= CAUSES, "{gateway}: only {causes:?}");
        let tally = judge(&expected, &findings);
        let all = tally.right + tally.complaints.len();
        println!(
            "{gateway}: {in_flight} in flight, {} causes, {} of {all} causes and connections right, {} of them exchanged for one like it, \
             {} certain, {} wrong and certain, {} of unknown connection\n{}",
            causes.len(),
            tally.right,
            tally.exchanged,
            tally.certain,
            tally.wrong_and_certain,
            tally.nameless,
            tally.complaints.join("\n")
        );
        assert!(
            tally.nameless * 10 <= expected.findings.len(),
            "{gateway}: the log proves too few connections"
        );
        let exact = tally.right - tally.exchanged;
        if tally.wrong_and_certain > 0
            || tally.right * 100 < all * RIGHT_PERCENT
            || exact * 100 < all * EXACT_PERCENT
        {
            failed.push(gateway);
        }
    }
    assert!(
        failed.is_empty(),
        "{failed:?}: wrong and certain, or less than {RIGHT_PERCENT} % right"
    );
}

/// Where nothing is wrong nothing is found.
#[test]
fn healthy() {
    let Some(root) = recordings() else { return };
    for gateway in LOADS {
        let (expected, in_flight, findings) = read(&root.join(format!("{gateway}-healthy-load")));
        assert!(expected.findings.is_empty(), "{gateway} was not healthy");
        println!(
            "{gateway}: {in_flight} in flight, {} findings",
            findings.len()
        );
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
        assert!(codes.is_empty(), "{gateway}: {codes:?}");
    }
}
