//! What gwcap sees of each recorded case, held against what tshark sees. `make test-lab` runs it: GWCAP_LAB=1.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use gwcap::capture::{self, Fill};
use gwcap::decode::segment::Packet;
use gwcap::decode::{Decoded, decode};
use gwcap::flow::Vantage;
use gwcap::frame::{Batch, Mark};
use gwcap::loss::Loss;
use gwcap::protocol::Conversation;
use gwcap::protocol::observation::{ConnectionEvent, Observation, Seen};
use gwcap::tcp::ConnectionTable;

use crate::support::{analyse, capture_of, case_folders};

/// What both count.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    streams: usize,
    /// Requests by method.
    requests: BTreeMap<String, usize>,
    /// Responses, interim ones too, by status.
    responses: BTreeMap<u16, usize>,
}

/// The counts of tshark, and the stream of each TCP frame.
struct Tshark {
    counts: Counts,
    stream_of: BTreeMap<u64, u32>,
}

/// Asks tshark; a frame that holds several messages names them with commas. Waiting for whole bodies, it passes over
/// heads whose body is cut short; not waiting, over requests that follow a large body.
fn tshark(path: &Path, whole_bodies: bool) -> Tshark {
    let fields = [
        "frame.number",
        "tcp.stream",
        "http.request.method",
        "http.response.code",
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
    let mut counts = Counts::default();
    let mut stream_of = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let words = |column: usize| columns[column].split(',').filter(|word| !word.is_empty());
        let stream = words(1).next().unwrap().parse().unwrap();
        stream_of.insert(columns[0].parse().unwrap(), stream);
        counts.streams = counts.streams.max(stream as usize + 1);
        for method in words(2) {
            *counts.requests.entry(method.to_owned()).or_default() += 1;
        }
        for status in words(3) {
            *counts.responses.entry(status.parse().unwrap()).or_default() += 1;
        }
    }
    Tshark { counts, stream_of }
}

/// The counts of gwcap: the walk up to the observations, in one shard.
fn gwcap(path: &Path) -> Counts {
    let mut source = capture::open_file(path, 0, None).unwrap();
    let mut table: ConnectionTable<Conversation> = ConnectionTable::default();
    let (mut batch, mut loss) = (Batch::default(), Loss::default());
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
        conversation.on_event(connection, seen, event, &mut observations, &mut loss);
    });
    count(&observations)
}

fn count(observations: &[Observation]) -> Counts {
    let mut counts = Counts::default();
    for observation in observations {
        match &observation.what {
            Seen::Connection {
                event: ConnectionEvent::Opened,
                ..
            } => counts.streams += 1,
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

const WITH_AND_WITHOUT_ITS_WRAPPING: &str = "packets inside VXLAN and the same without it are one stream to tshark, two views of a connection here";

/// Endings of the names of cases in which the two rightly differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "nginx-crowd-post",
        "nginx resets inside a head that it finds too large; the rest of it comes after the end, and tshark reads on",
    ),
    ("nginx-vxlan-any-closed", WITH_AND_WITHOUT_ITS_WRAPPING),
    (
        "apache-vxlan-any-both-legs-refused",
        WITH_AND_WITHOUT_ITS_WRAPPING,
    ),
    ("envoy-vxlan-any-healthy", WITH_AND_WITHOUT_ITS_WRAPPING),
    (
        "tls-on-http-port",
        "a 400 in clear answers a ClientHello: to tshark a response, to gwcap the fate of a handshake",
    ),
    (
        "bad-status-code",
        "tshark counts a response of status 0 where the code is no number",
    ),
];

#[test]
fn both_count_the_same_and_number_streams_alike() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let mut complaints = Vec::new();
    for folder in case_folders() {
        let (name, path) = (
            folder.file_name().unwrap().to_string_lossy(),
            capture_of(&folder),
        );
        let theirs = tshark(&path, true);
        let ours = gwcap(&path);
        let agree = ours == theirs.counts || ours == tshark(&path, false).counts;
        if !agree && !DIFFERENT.iter().any(|(case, _)| name.ends_with(case)) {
            complaints.push(format!("{name}: {ours:?}\n    tshark: {:?}", theirs.counts));
        }
        for finding in analyse(&path, 1, 1 << 20).diagnosis.findings {
            let request = finding.exchange.request.frame.number;
            let attempts = finding
                .attempts
                .iter()
                .filter_map(|attempt| attempt.connection.as_ref());
            let named = attempts
                .map(|name| (name.id.0.number, name.tcp_stream))
                .chain([(request, finding.exchange.connection.tcp_stream)]);
            for (frame, stream) in named {
                if theirs.stream_of.get(&frame).copied() != stream {
                    complaints.push(format!(
                        "{name}: frame {frame} is in stream {:?}, not {stream:?}",
                        theirs.stream_of.get(&frame)
                    ));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
