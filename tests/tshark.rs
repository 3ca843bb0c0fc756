//! What gwcap sees of each recording, held against what tshark sees: streams, requests, responses and their statuses,
//! resets, and bytes that are missing. `make test-lab` runs it: GWCAP_LAB=1.
//!
//! The rule: two programs that were written apart agree, or a row of [`DIFFERENT`] says why not and at which frame. A
//! difference without a row fails, and so does a row without a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use gwcap::capture::{self, Fill, Keys};
use gwcap::decode::segment::Packet;
use gwcap::decode::{Decoded, decode};
use gwcap::flow::Vantage;
use gwcap::frame::{Batch, Mark};
use gwcap::loss::Loss;
use gwcap::protocol::Conversation;
use gwcap::protocol::observation::{ConnectionEvent, Observation, Seen};
use gwcap::tcp::ConnectionTable;

use crate::support::{Run, case_folders, fresh, inputs_of};
use crate::traffic::{self, Kind, Plan};

/// What both count of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    streams: usize,
    /// Requests by method.
    requests: BTreeMap<String, usize>,
    /// Responses, interim ones too, by status.
    responses: BTreeMap<u16, usize>,
    /// Streams with a RST, by tshark's number.
    resets: BTreeSet<u32>,
    /// Streams with bytes that are not in the capture, by tshark's number.
    gaps: BTreeSet<u32>,
}

/// The counts of tshark, the stream of each TCP frame, and streams with a hole that a later frame fills.
struct Tshark {
    counts: Counts,
    stream_of: BTreeMap<u64, u32>,
    filled: BTreeSet<u32>,
    /// Who sends on each stream: addresses, and ports.
    senders: BTreeMap<u32, BTreeSet<String>>,
}

/// What two programs may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Streams,
    Requests,
    Responses,
    Resets,
    Gaps,
}
use What::{Gaps, Requests, Resets, Responses, Streams};

/// Asks tshark; a frame that holds several messages names them with commas. Waiting for whole bodies, it passes over
/// heads whose body is cut short; not waiting, over requests that follow a large body.
fn tshark(path: &Path, whole_bodies: bool) -> Tshark {
    let fields = [
        "frame.number",
        "tcp.stream",
        "http.request.method",
        "http.response.code",
        "tcp.flags.reset",
        "tcp.analysis.lost_segment",
        "tcp.analysis.ack_lost_segment",
        "tcp.analysis.retransmission",
        "tcp.analysis.out_of_order",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
    ];
    // What an ICMP error quotes is no segment.
    let output = Command::new("tshark")
        .args([
            "-o",
            &format!(
                "http.desegment_body:{}",
                whole_bodies.to_string().to_uppercase()
            ),
        ])
        // A segment that another overtook is put back in its place.
        .args(["-o", "tcp.reassemble_out_of_order:TRUE"])
        // They claim ports on which the crowds speak HTTP.
        .args(["--disable-protocol", "woww", "--disable-protocol", "ams"])
        .args(["-n", "-T", "fields", "-Y", "tcp && !icmp && !icmpv6", "-r"])
        .arg(path)
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output()
        .expect("tshark is needed here: captures/lab/install");
    assert!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut seen = Tshark {
        counts: Counts::default(),
        stream_of: BTreeMap::new(),
        filled: BTreeSet::new(),
        senders: BTreeMap::new(),
    };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let words = |column: usize| columns[column].split(',').filter(|word| !word.is_empty());
        let is_set = |column: usize| words(column).any(|word| word == "1" || word == "True");
        let stream = words(1).next().unwrap().parse().unwrap();
        seen.stream_of.insert(columns[0].parse().unwrap(), stream);
        let senders = seen.senders.entry(stream).or_default();
        senders.insert(columns[9..12].join(" "));
        let counts = &mut seen.counts;
        counts.streams = counts.streams.max(stream as usize + 1);
        for method in words(2) {
            *counts.requests.entry(method.to_owned()).or_default() += 1;
        }
        for status in words(3) {
            *counts.responses.entry(status.parse().unwrap()).or_default() += 1;
        }
        if is_set(4) {
            counts.resets.insert(stream);
        }
        if counts.gaps.contains(&stream) && (is_set(7) || is_set(8)) {
            seen.filled.insert(stream);
        }
        if is_set(5) || is_set(6) {
            counts.gaps.insert(stream);
        }
    }
    seen
}

/// The counts of gwcap: the walk up to the observations, in one shard, before views of one connection are folded.
/// Streams have the numbers that tshark gives their first frames.
fn gwcap(path: &Path, stream_of: &BTreeMap<u64, u32>) -> Counts {
    let mut source = capture::open_file(path, 0, None).unwrap();
    let mut table: ConnectionTable<Conversation> = ConnectionTable::default();
    let (mut batch, mut loss) = (Batch::default(), Loss::default());
    let keys = Keys::default();
    let (mut observations, mut last) = (Vec::<Observation>::new(), Mark::default());
    loop {
        let fill = source.fill(&mut batch, 1 << 20).unwrap();
        for record in &batch.records {
            last = record.mark;
            if let Some(Packet::Segment(segment)) =
                decode(batch.frame(record), Vantage::default(), &mut loss).and_then(Decoded::packet)
            {
                table.push(
                    &segment,
                    &mut |conversation: &mut Conversation, connection, seen, event| {
                        conversation.on_event(
                            connection,
                            seen,
                            event,
                            &keys,
                            &mut observations,
                            &mut loss,
                        );
                    },
                );
            }
        }
        if fill == Fill::End {
            break;
        }
    }
    table.finish(last, &mut |conversation: &mut Conversation,
                             connection,
                             seen,
                             event| {
        conversation.on_event(connection, seen, event, &keys, &mut observations, &mut loss);
    });
    count(&observations, stream_of)
}

fn count(observations: &[Observation], stream_of: &BTreeMap<u64, u32>) -> Counts {
    let mut counts = Counts::default();
    for observation in observations {
        match &observation.what {
            Seen::Connection {
                event: ConnectionEvent::Opened,
                ..
            } => counts.streams += 1,
            Seen::Connection {
                event: ConnectionEvent::Ended(_),
                facts,
            } => {
                let stream = stream_of[&facts.id.0.number()];
                let halves = [&facts.from_client, &facts.from_server];
                if halves.iter().any(|half| half.reset.is_some()) {
                    counts.resets.insert(stream);
                }
                if halves.iter().any(|half| half.lost > 0) {
                    counts.gaps.insert(stream);
                }
            }
            Seen::RequestHead { head, .. } => {
                *counts.requests.entry(head.method.to_string()).or_default() += 1;
            }
            Seen::Interim { status, .. } => *counts.responses.entry(*status).or_default() += 1,
            Seen::ResponseHead { head, .. } => {
                *counts.responses.entry(head.status).or_default() += 1;
            }
            _ => {}
        }
    }
    counts
}

/// One difference: the end of the name of a recording (case, and file where it has several), what differs, at which
/// frame, and who is right.
struct Difference {
    recording: &'static str,
    what: What,
    frame: u64,
    reason: &'static str,
}

const WITH_AND_WITHOUT_ITS_WRAPPING: &str = "packets inside VXLAN and the same without it are one stream to tshark, two views of a connection here";
const READ_ON_AFTER_A_RST: &str = "nginx resets inside a head that it finds too large; the rest of it comes after the end, and tshark reads on";
const CLEAR_ANSWER_TO_A_HELLO: &str =
    "a 400 in clear answers a ClientHello: to tshark a response, to gwcap the fate of a handshake";
const NO_NUMBER: &str = "tshark counts a response of status 0 where the code is no number";
const READ_ON_AFTER_A_FOREIGN_RST: &str = "a router resets the connection, and the upstream's own answer comes after that: tshark reads on";
const DROPPED_ON_THE_WAY: &str = "the path drops bytes that the receiver never has: to tshark they are missing, gwcap waits for somebody to have them";
const PORTS_USED_ANEW: &str = "a connection begins anew on ports that were in use: tshark holds its numbers against the old one";

const QUOTED_ONLY: &str =
    "a firewall keeps a SYN from leaving: tshark counts the stream that the ICMP error quotes";

/// All differences that remain.
const DIFFERENT: &[Difference] = &[
    Difference {
        recording: "apache-local-firewall",
        what: Streams,
        frame: 34,
        reason: QUOTED_ONLY,
    },
    Difference {
        recording: "nginx-local-firewall",
        what: Streams,
        frame: 34,
        reason: QUOTED_ONLY,
    },
    Difference {
        recording: "envoy-injected-reset",
        what: Responses,
        frame: 23,
        reason: READ_ON_AFTER_A_FOREIGN_RST,
    },
    Difference {
        recording: "haproxy-injected-reset",
        what: Responses,
        frame: 22,
        reason: READ_ON_AFTER_A_FOREIGN_RST,
    },
    Difference {
        recording: "nginx-injected-reset",
        what: Responses,
        frame: 23,
        reason: READ_ON_AFTER_A_FOREIGN_RST,
    },
    Difference {
        recording: "apache-mtu-blackhole-response",
        what: Gaps,
        frame: 46,
        reason: DROPPED_ON_THE_WAY,
    },
    Difference {
        recording: "nginx-mtu-blackhole-response",
        what: Gaps,
        frame: 41,
        reason: DROPPED_ON_THE_WAY,
    },
    Difference {
        recording: "nginx-healthy-stale-tuple",
        what: Gaps,
        frame: 12,
        reason: PORTS_USED_ANEW,
    },
    Difference {
        recording: "nginx-vxlan-any-closed",
        what: Streams,
        frame: 6,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "nginx-vxlan-any-closed",
        what: Requests,
        frame: 6,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "nginx-vxlan-any-closed",
        what: Responses,
        frame: 6,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "apache-vxlan-any-both-legs-refused",
        what: Streams,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "apache-vxlan-any-both-legs-refused",
        what: Requests,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "apache-vxlan-any-both-legs-refused",
        what: Responses,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "envoy-vxlan-any-healthy",
        what: Streams,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "envoy-vxlan-any-healthy",
        what: Requests,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "envoy-vxlan-any-healthy",
        what: Responses,
        frame: 13,
        reason: WITH_AND_WITHOUT_ITS_WRAPPING,
    },
    Difference {
        recording: "nginx-crowd-post",
        what: Responses,
        frame: 472,
        reason: READ_ON_AFTER_A_RST,
    },
    Difference {
        recording: "apache-tls-on-http-port",
        what: Responses,
        frame: 15,
        reason: CLEAR_ANSWER_TO_A_HELLO,
    },
    Difference {
        recording: "envoy-tls-on-http-port",
        what: Responses,
        frame: 15,
        reason: CLEAR_ANSWER_TO_A_HELLO,
    },
    Difference {
        recording: "haproxy-tls-on-http-port",
        what: Responses,
        frame: 14,
        reason: CLEAR_ANSWER_TO_A_HELLO,
    },
    Difference {
        recording: "nginx-tls-on-http-port",
        what: Responses,
        frame: 15,
        reason: CLEAR_ANSWER_TO_A_HELLO,
    },
    Difference {
        recording: "nginx-bad-status-code",
        what: Responses,
        frame: 15,
        reason: NO_NUMBER,
    },
    Difference {
        recording: "ats-malformed-status-line",
        what: Responses,
        frame: 16,
        reason: NO_NUMBER,
    },
    Difference {
        recording: "caddy-malformed-status-line",
        what: Responses,
        frame: 30,
        reason: NO_NUMBER,
    },
    Difference {
        recording: "lighttpd-malformed-status-line",
        what: Responses,
        frame: 28,
        reason: NO_NUMBER,
    },
    Difference {
        recording: "squid-malformed-status-line",
        what: Responses,
        frame: 21,
        reason: NO_NUMBER,
    },
    Difference {
        recording: "varnish-malformed-status-line",
        what: Responses,
        frame: 37,
        reason: NO_NUMBER,
    },
];

/// A class of differences that needs no row: what tshark says when a segment is missing, before it comes.
const FILLED: &str = "tshark tells a hole at once, gwcap waits: a later frame fills it";

/// Another one: tshark knows what an acknowledgement is worth only when it has seen the other side at all.
const ONE_WAY: &str =
    "one direction of a stream is in the capture, and acknowledges bytes of the other";

/// What came of all recordings.
#[derive(Default)]
struct Tally {
    recordings: usize,
    totals: Counts,
    reset_streams: usize,
    gap_streams: usize,
    /// Differences by class.
    classes: BTreeMap<&'static str, usize>,
    used: BTreeSet<usize>,
    complaints: Vec<String>,
}

impl Tally {
    /// Takes the differences of one recording.
    fn compare(&mut self, name: &str, path: &Path, ours: &Counts, theirs: &Tshark) {
        self.recordings += 1;
        self.totals.streams += ours.streams;
        for (method, count) in &ours.requests {
            *self.totals.requests.entry(method.clone()).or_default() += count;
        }
        for (status, count) in &ours.responses {
            *self.totals.responses.entry(*status).or_default() += count;
        }
        self.reset_streams += ours.resets.len();
        self.gap_streams += ours.gaps.len();
        let counts = &theirs.counts;
        let mut differ = BTreeMap::new();
        if ours.streams != counts.streams {
            differ.insert(Streams, format!("{}, {}", ours.streams, counts.streams));
        }
        let heads = |counts: &Counts| (counts.requests.clone(), counts.responses.clone());
        if heads(ours) != heads(counts) {
            let again = tshark(path, false).counts;
            if heads(ours) != heads(&again) {
                if ours.requests != counts.requests && ours.requests != again.requests {
                    let text = format!("{:?}, {:?}", ours.requests, counts.requests);
                    differ.insert(Requests, text);
                }
                if ours.responses != counts.responses && ours.responses != again.responses {
                    let text = format!("{:?}, {:?}", ours.responses, counts.responses);
                    differ.insert(Responses, text);
                }
            }
        }
        let resets: Vec<_> = ours.resets.symmetric_difference(&counts.resets).collect();
        if !resets.is_empty() {
            differ.insert(Resets, format!("streams {resets:?}"));
        }
        let mut gaps = Vec::new();
        for stream in ours.gaps.symmetric_difference(&counts.gaps) {
            let class = match counts.gaps.contains(stream) {
                true => theirs.filled.contains(stream).then_some(FILLED),
                false => (theirs.senders[stream].len() == 1).then_some(ONE_WAY),
            };
            match class {
                Some(class) => *self.classes.entry(class).or_default() += 1,
                None => gaps.push(stream),
            }
        }
        if !gaps.is_empty() {
            differ.insert(Gaps, format!("streams {gaps:?}"));
        }
        for (what, text) in differ {
            let row = |row: &Difference| name.ends_with(row.recording) && row.what == what;
            match DIFFERENT.iter().position(row) {
                Some(at) => {
                    *self.classes.entry(DIFFERENT[at].reason).or_default() += 1;
                    self.used.insert(at);
                    if !theirs.stream_of.contains_key(&DIFFERENT[at].frame) {
                        let frame = DIFFERENT[at].frame;
                        self.complaints
                            .push(format!("{name}: no TCP in frame {frame}"));
                    }
                }
                None => self
                    .complaints
                    .push(format!("{name}: {what:?}: gwcap, tshark: {text}")),
            }
        }
    }

    fn print(&self) {
        let sum = |counts: usize, of: &str| println!("{counts:>7} {of}");
        sum(self.recordings, "recordings");
        sum(self.totals.streams, "streams");
        sum(self.totals.requests.values().sum(), "requests");
        sum(self.totals.responses.values().sum(), "responses");
        sum(self.reset_streams, "streams with a RST");
        sum(self.gap_streams, "streams with bytes that are missing");
        println!("differences between gwcap and tshark, by class:");
        for (class, count) in &self.classes {
            sum(*count, class);
        }
        sum(self.complaints.len(), "without a reason");
    }
}

/// Compares each file of a case, and the numbers of the streams that findings name.
fn try_case(folder: &Path, tally: &Mutex<Tally>) {
    let case = folder.file_name().unwrap().to_string_lossy();
    let paths = inputs_of(folder);
    let mut streams = Vec::new();
    for path in &paths {
        let file = path.file_name().unwrap().to_string_lossy();
        let name = match paths.len() {
            1 => case.to_string(),
            _ => format!("{case}/{file}"),
        };
        let theirs = tshark(path, true);
        let ours = gwcap(path, &theirs.stream_of);
        tally.lock().unwrap().compare(&name, path, &ours, &theirs);
        streams.push(theirs.stream_of);
    }
    let run = Run::of_all(&paths, 1, 1 << 20).unwrap();
    for finding in run.analysis.diagnosis.findings {
        let request = finding.exchange.request.frame;
        let attempts = finding
            .attempts
            .iter()
            .filter_map(|attempt| attempt.connection.as_ref());
        let named = attempts
            .map(|name| (name.id.0, name.tcp_stream))
            .chain([(request, finding.exchange.connection.tcp_stream)]);
        for (frame, stream) in named {
            let theirs = streams[usize::from(frame.input())].get(&frame.number());
            if theirs.copied() != stream {
                tally.lock().unwrap().complaints.push(format!(
                    "{case}: frame {} of input {} is in stream {theirs:?}, not {stream:?}",
                    frame.number(),
                    frame.input()
                ));
            }
        }
    }
}

#[test]
fn both_count_the_same_and_number_streams_alike() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let tally = Mutex::new(Tally::default());
    let folders = Mutex::new(case_folders());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(folder) = folders.lock().unwrap().pop() else {
                        return;
                    };
                    try_case(&folder, &tally);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    tally.complaints.sort();
    tally.print();
    let unused = (0..DIFFERENT.len()).filter(|at| !tally.used.contains(at) && !fresh());
    let unused: Vec<String> = unused
        .map(|at| {
            format!(
                "{} {:?}: no such difference",
                DIFFERENT[at].recording, DIFFERENT[at].what
            )
        })
        .collect();
    assert!(unused.is_empty(), "\n{}", unused.join("\n"));
    assert!(
        tally.complaints.is_empty(),
        "\n{}",
        tally.complaints.join("\n")
    );
}

/// Payloads that begin as a response does, copies counted once: what is left to count where tshark loses messages because
/// their segments come out of order and twice.
fn beginnings(path: &Path) -> usize {
    let output = Command::new("tshark")
        .args(["-n", "--disable-protocol", "http", "-T", "fields"])
        .args(["-e", "tcp.stream", "-e", "tcp.seq"])
        .args(["-Y", "tcp.payload[0:9] == \"HTTP/1.1 \"", "-r"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().collect::<BTreeSet<&str>>().len()
}

/// Holds what makes captures to account, too: tshark has to see what was meant to be in them.
#[test]
fn both_count_the_same_of_traffic_that_was_made() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    for (name, kind) in Kind::ALL {
        let plan = Plan {
            bytes: 3_000_000,
            errors: if kind == Kind::Flood { 0 } else { 20 },
            ..Plan::new(kind)
        };
        let path = folder.path().join(name);
        let made = traffic::write(&plan, std::fs::File::create(&path).unwrap()).unwrap();
        let theirs = tshark(&path, true);
        let ours = gwcap(&path, &theirs.stream_of);
        assert_eq!(theirs.stream_of.len() as u64, made.frames, "{name}");
        let asked: usize = theirs.counts.requests.values().sum();
        assert!(asked as u64 >= made.exchanges, "{name}: {asked} {made:?}");
        let failed = made.failures.iter().map(|failure| failure.status);
        for status in failed.collect::<BTreeSet<u16>>() {
            let made = made.failures.iter().filter(|it| it.status == status);
            // An answer that the gateway only passes on is there twice.
            let times = if status == 503 { 2 } else { 1 };
            let seen = theirs.counts.responses.get(&status).copied();
            assert_eq!(seen, Some(made.count() * times), "{name}: {status}");
        }
        let responses: usize = ours.responses.values().sum();
        assert_eq!(responses, beginnings(&path), "{name}");
        tally.compare(name, &path, &ours, &theirs);
    }
    // Where they differ here, gwcap has as many as there are beginnings.
    let responses = format!("{:?}: {Responses:?}", Kind::Disturbed).to_lowercase();
    tally
        .complaints
        .retain(|complaint| !complaint.to_lowercase().starts_with(&responses));
    assert!(
        tally.complaints.is_empty(),
        "\n{}",
        tally.complaints.join("\n")
    );
}
