//! What a capture loses may weaken a verdict and never turns it into another certain one.
//!
//! Every frame of every small case is lost, doubled and exchanged with its neighbour; `GWCAP_MUTATIONS=all` takes the
//! crowds too. `GWCAP_FLIPS` names a file that takes one line for each verdict that flipped.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gwcap::analyzer::{Analysis, Analyzer, Options};
use gwcap::decode::decode;
use gwcap::decode::segment::Packet;
use gwcap::diagnose::finding::{Confidence, ConnectionName, Finding};
use gwcap::flow::{Endpoint, Vantage};
use gwcap::frame::{Batch, Frame, FrameId, Mark, Record, Way};
use gwcap::loss::Loss;

use crate::beside;
use crate::causes;
use crate::causes_path;
use crate::pitfalls;
use crate::rewrites;
use crate::support::frames::{self, Owned};
use crate::support::wire::Wire;
use crate::support::{capture_of, case_folders};

/// Cases with more frames are crowds: each mutation of them takes longer, and they have more of them.
const FRAMES_MAX: usize = 150;

/// Captured bytes of a frame after the cut: what `tcpdump -s 96` leaves.
const SNAP_LENGTH: usize = 96;

/// Codes that say that the capture cannot tell: honest whatever is missing.
const HONEST: &[&str] = &[
    "capture-gap",
    "ambiguous",
    "upstream-leg-not-captured",
    "encrypted-inconclusive",
];

/// What remains true, and is all that can be said, when one direction is missing: whoever repeats its SYN has no answer
/// (causes.md D.7), though the host at the other end has sent one.
const COARSER: &[(&str, &str)] = &[("connect-half-open", "connect-timeout")];

/// Sender and receiver, where it carries TCP or UDP.
fn ends(frame: &Owned) -> Option<(Endpoint, Endpoint)> {
    let packet = Frame {
        data: &frame.data,
        original_len: frame.original_len,
        mark: Mark::default(),
        link: frame.link,
        way: Way::Unknown,
    };
    match decode(packet, Vantage::default(), &mut Loss::default())?.packet()? {
        Packet::Segment(segment) => Some((segment.source, segment.destination)),
        Packet::Datagram(datagram) => Some((datagram.source, datagram.destination)),
        Packet::Icmp(_) | Packet::Resolution(_) => None,
    }
}

/// Analyses frames as if they were a file with just these, on one thread.
fn analyse<'a>(frames: impl IntoIterator<Item = &'a Owned>) -> Analysis {
    let mut batch = Batch::default();
    for (frame, number) in frames.into_iter().zip(1..) {
        batch.records.push(Record {
            start: batch.bytes.len(),
            captured_len: u32::try_from(frame.data.len()).unwrap(),
            original_len: frame.original_len,
            mark: Mark {
                time: frame.time,
                frame: FrameId::new(0, number),
            },
            link: frame.link,
            way: Way::Unknown,
            offset: 0,
            asked: true,
        });
        batch.bytes.extend_from_slice(&frame.data);
    }
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    analyzer.feed(&batch);
    analyzer.finish()
}

/// One way to damage a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mutation {
    /// A frame is missing.
    Remove(usize),
    /// A frame stands twice.
    Duplicate(usize),
    /// A frame and the next one stand in the other order, each with its own time.
    Exchange(usize),
    /// Every frame is cut.
    Cut,
    /// Nothing that this host sent.
    DropFrom(IpAddr),
    /// Nothing that was sent to this host.
    DropTo(IpAddr),
}

impl Mutation {
    fn kind(self) -> &'static str {
        match self {
            Self::Remove(_) => "remove",
            Self::Duplicate(_) => "duplicate",
            Self::Exchange(_) => "exchange",
            Self::Cut => "cut",
            Self::DropFrom(_) => "drop-from",
            Self::DropTo(_) => "drop-to",
        }
    }

    fn apply(self, frames: &[Owned]) -> Vec<Owned> {
        let mut changed = frames.to_vec();
        match self {
            Self::Remove(at) => {
                changed.remove(at);
            }
            Self::Duplicate(at) => changed.insert(at, frames[at].clone()),
            Self::Exchange(at) => changed.swap(at, at + 1),
            Self::Cut => changed
                .iter_mut()
                .for_each(|frame| frame.data.truncate(SNAP_LENGTH)),
            Self::DropFrom(end) => {
                changed.retain(|frame| ends(frame).is_none_or(|(from, _)| from.addr != end));
            }
            Self::DropTo(end) => {
                changed.retain(|frame| ends(frame).is_none_or(|(_, to)| to.addr != end));
            }
        }
        changed
    }
}

impl fmt::Display for Mutation {
    /// Frames are numbered as in the sound capture, from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove(at) | Self::Duplicate(at) => write!(f, "{} {}", self.kind(), at + 1),
            Self::Exchange(at) => write!(f, "exchange {} and {}", at + 1, at + 2),
            Self::Cut => write!(f, "cut to {SNAP_LENGTH}"),
            Self::DropFrom(end) | Self::DropTo(end) => write!(f, "{} {end}", self.kind()),
        }
    }
}

/// A verdict as far as it must not change: who was failed, why, and through which connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Verdict {
    /// The client by all its names: a connection has one for each view of it.
    clients: Vec<Endpoint>,
    code: &'static str,
    detail: Option<String>,
    /// The upstream connection by all its names; none where none was seen. Who opened it may be unknown without its
    /// SYN, so that the ends are in order.
    upstreams: Vec<(Endpoint, Endpoint)>,
    /// Where the finding says that another connection failed alike, so that whose is whose is immaterial: the upstream.
    alike_at: Option<Endpoint>,
}

impl Verdict {
    fn of(finding: &Finding) -> Self {
        let names = |name: &ConnectionName| {
            let views = name.views.iter().map(|view| (view.client, view.server));
            let mut names = vec![(name.client, name.server)];
            names.extend(views);
            names
        };
        let client_leg = names(&finding.exchange.connection);
        let upstream = finding.upstream_connection.as_ref().map(names);
        let ends = |(one, two): (Endpoint, Endpoint)| (one.min(two), one.max(two));
        Self {
            clients: client_leg.into_iter().map(|(client, _)| client).collect(),
            code: finding.code,
            detail: finding.detail.clone(),
            upstreams: upstream.unwrap_or_default().into_iter().map(ends).collect(),
            alike_at: finding.upstream.filter(|_| finding.interchangeable),
        }
    }

    /// Whether both say the same, as far as both say it.
    fn agrees(&self, other: &Self) -> bool {
        let same_upstream = self.upstreams.is_empty()
            || other.upstreams.is_empty()
            || self
                .upstreams
                .iter()
                .any(|name| other.upstreams.contains(name))
            || self.alike_at.is_some_and(|upstream| {
                let mut ends = other.upstreams.iter();
                ends.any(|(one, two)| [one, two].contains(&&upstream))
            });
        // Without the loopback between them, two gateways on one machine are one to an observer, and the cause is the same.
        let innermost =
            other.code == "relayed-nested" && other.detail.as_deref() == Some(self.code);
        let same_client = self.clients.iter().any(|name| other.clients.contains(name));
        same_client && innermost
            || same_client
                && (self.code == other.code || COARSER.contains(&(other.code, self.code)))
                && (self.detail == other.detail || self.detail.is_none())
                && same_upstream
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.clients[0], self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, "({detail})")?;
        }
        if let Some((one, other)) = self.upstreams.first() {
            write!(f, " via {one} and {other}")?;
        }
        Ok(())
    }
}

/// How a mutation came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Unchanged,
    Weakened,
    Flipped,
}

/// The certain verdicts of damaged frames that the sound ones do not give.
fn flips<'a>(sound: &[Finding], damaged: &'a [Finding]) -> Vec<&'a Finding> {
    let mut left: Vec<Verdict> = sound.iter().map(Verdict::of).collect();
    let mut flips = Vec::new();
    for finding in damaged {
        if finding.confidence != Confidence::Certain || HONEST.contains(&finding.code) {
            continue;
        }
        let verdict = Verdict::of(finding);
        match left.iter().position(|known| verdict.agrees(known)) {
            Some(at) => drop(left.swap_remove(at)),
            None => flips.push(finding),
        }
    }
    flips
}

fn certain(findings: &[Finding]) -> Vec<Verdict> {
    let certain = findings
        .iter()
        .filter(|finding| finding.confidence == Confidence::Certain);
    let mut verdicts: Vec<Verdict> = certain.map(Verdict::of).collect();
    verdicts.sort();
    verdicts
}

/// The mutations of one case.
fn mutations(frames: &[Owned], sound: &[Finding]) -> Vec<Mutation> {
    let places = 0..frames.len();
    let mut mutations = vec![Mutation::Cut];
    mutations.extend(places.clone().map(Mutation::Remove));
    mutations.extend(places.clone().map(Mutation::Duplicate));
    mutations.extend(places.skip(1).map(|at| Mutation::Exchange(at - 1)));
    let mut servers: Vec<IpAddr> = Vec::new();
    for finding in sound {
        servers.push(finding.exchange.connection.server.addr);
        servers.extend(
            finding
                .upstream_connection
                .as_ref()
                .map(|name| name.server.addr),
        );
    }
    servers.sort();
    servers.dedup();
    for server in servers {
        mutations.extend([Mutation::DropFrom(server), Mutation::DropTo(server)]);
    }
    mutations
}

/// What came of all mutations.
#[derive(Default)]
struct Tally {
    cases: usize,
    counts: BTreeMap<(&'static str, Outcome), usize>,
    flips: Vec<String>,
}

fn try_case(folder: &Path, all: bool, tally: &Mutex<Tally>) {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let sound_frames = frames::read(&capture_of(folder));
    if sound_frames.len() <= FRAMES_MAX || all {
        try_frames(&name, &sound_frames, tally);
    }
}

/// Damages a capture in every way, and tallies what comes of it.
fn try_frames(name: &str, sound_frames: &[Owned], tally: &Mutex<Tally>) {
    let sound = analyse(sound_frames).diagnosis.findings;
    let expected = certain(&sound);
    if expected.is_empty() {
        return;
    }
    let mut mine = Tally {
        cases: 1,
        ..Tally::default()
    };
    for mutation in mutations(sound_frames, &sound) {
        let damaged = analyse(&mutation.apply(sound_frames)).diagnosis.findings;
        let flips = flips(&sound, &damaged);
        let outcome = match (flips.is_empty(), certain(&damaged) == expected) {
            (false, _) => Outcome::Flipped,
            (true, true) => Outcome::Unchanged,
            (true, false) => Outcome::Weakened,
        };
        *mine.counts.entry((mutation.kind(), outcome)).or_default() += 1;
        for flip in flips {
            let before: Vec<String> = sound
                .iter()
                .filter(|f| f.exchange.connection.client == flip.exchange.connection.client)
                .map(|f| format!("{} {}", Verdict::of(f), f.confidence.word()))
                .collect();
            mine.flips.push(format!(
                "{name}\t{mutation}\t{}\t->\t{} certain",
                before.join(" + "),
                Verdict::of(flip)
            ));
        }
    }
    let mut tally = tally.lock().unwrap();
    tally.cases += 1;
    for (key, count) in mine.counts {
        *tally.counts.entry(key).or_default() += count;
    }
    tally.flips.append(&mut mine.flips);
}

#[test]
fn no_verdict_flips() {
    let all = std::env::var_os("GWCAP_MUTATIONS").is_some_and(|word| word == "all");
    let tally = Mutex::new(Tally::default());
    let folders: Mutex<Vec<PathBuf>> = Mutex::new(case_folders());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(folder) = folders.lock().unwrap().pop() else {
                        return;
                    };
                    try_case(&folder, all, &tally);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    let tried: usize = tally.counts.values().sum();
    println!(
        "{} cases, {tried} mutations: {:?}",
        tally.cases, tally.counts
    );
    tally.flips.sort();
    if let Some(file) = std::env::var_os("GWCAP_FLIPS") {
        std::fs::write(file, tally.flips.join("\n")).unwrap();
    }
    assert!(tally.cases > 100, "the cases were not found");
    assert!(tally.flips.is_empty(), "\n{}", tally.flips.join("\n"));
}

/// The same for written conversations of what captures and TCP do on a bad day: damage comes on top of damage.
#[test]
fn no_verdict_flips_on_a_bad_day() {
    let tally = Mutex::new(Tally::default());
    let folder = tempfile::tempdir().unwrap();
    let all = pitfalls::conversations();
    let more = causes_path::conversations().into_iter();
    let more = more
        .chain(beside::conversations())
        .chain(rewrites::conversations());
    for (name, wire) in all.into_iter().chain(more) {
        try_frames(name, &frames::read(&wire.write(folder.path())), &tally);
    }
    let tally = tally.into_inner().unwrap();
    println!("{} conversations: {:?}", tally.cases, tally.counts);
    assert!(tally.cases > 8, "hardly any is certain of anything");
    assert!(tally.flips.is_empty(), "\n{}", tally.flips.join("\n"));
}

/// The same for the written cases of causes.
#[test]
fn no_verdict_flips_on_a_written_cause() {
    let tally = Mutex::new(Tally::default());
    let folder = tempfile::tempdir().unwrap();
    for case in causes::all() {
        let mut wire = Wire::new();
        (case.write)(&mut wire);
        try_frames(case.name, &frames::read(&wire.write(folder.path())), &tally);
    }
    let tally = tally.into_inner().unwrap();
    println!("{} conversations: {:?}", tally.cases, tally.counts);
    assert!(tally.cases > 20, "hardly any is certain of anything");
    assert!(tally.flips.is_empty(), "\n{}", tally.flips.join("\n"));
}
