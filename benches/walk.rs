//! The walk, room by room and as a whole, on a few megabytes of each kind of traffic.
//!
//! `decode` is the first room alone. `reassemble` and `parse` begin with decoded segments, and `parse` holds what
//! `reassemble` does; `diagnose` begins with observations. `analyze` is all of it on one thread, and `ring` what keeps
//! frames for evidence. Throughput is always that of the capture.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code)]
mod traffic;

use std::path::Path;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, Fill, Keys, Ring};
use gwcap::decode::{decode, segment::Packet};
use gwcap::diagnose::{Diagnose, role::Told};
use gwcap::flow::Vantage;
use gwcap::frame::Batch;
use gwcap::loss::Loss;
use gwcap::protocol::{Conversation, observation::Observation};
use gwcap::tcp::ConnectionTable;

use traffic::{Kind, Plan};

type Group<'c> = BenchmarkGroup<'c, criterion::measurement::WallTime>;

/// Bytes of each capture.
const BYTES: u64 = 4_000_000;
/// Of the errors in a capture of that size.
const ERRORS: u64 = 100;

fn all(criterion: &mut Criterion) {
    for (name, kind) in Kind::ALL {
        let plan = Plan {
            bytes: BYTES,
            ..Plan::new(kind)
        };
        walk(criterion, name, &batch(&plan));
    }
    let failing = Plan {
        bytes: BYTES,
        errors: ERRORS,
        ..Plan::new(Kind::Short)
    };
    walk(criterion, "failing", &batch(&failing));
}

/// A capture as it is read.
fn batch(plan: &Plan) -> Batch {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("walk-{:?}-{}.pcap", plan.kind, plan.errors));
    traffic::write(plan, std::fs::File::create(&path).unwrap()).unwrap();
    let mut source = capture::open_file(&path, 0, None).unwrap();
    let mut batch = Batch::default();
    while source.fill(&mut batch, 2 * BYTES as usize).unwrap() != Fill::End
        && batch.records.is_empty()
    {}
    std::fs::remove_file(&path).unwrap();
    batch
}

fn walk(criterion: &mut Criterion, name: &str, batch: &Batch) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(batch.bytes.len() as u64));
    group.sample_size(10);
    rooms(&mut group, batch);
    group.bench_function("analyze", |bencher| {
        bencher.iter(|| {
            let mut analyzer = Analyzer::new(Options {
                threads: 1,
                ..Options::default()
            });
            analyzer.feed(batch);
            analyzer.finish().diagnosis.findings.len()
        });
    });
    group.bench_function("ring", |bencher| {
        let mut ring = Ring::new(64 << 20);
        bencher.iter(|| {
            ring.push(batch);
            ring.bytes()
        });
    });
    group.finish();
}

fn rooms(group: &mut Group<'_>, batch: &Batch) {
    group.bench_function("decode", |bencher| bencher.iter(|| packets(batch).count()));
    let packets: Vec<Packet<'_>> = packets(batch).collect();
    group.bench_function("reassemble", |bencher| {
        bencher.iter(|| reassemble(&packets))
    });
    group.bench_function("parse", |bencher| bencher.iter(|| parse(&packets).len()));
    let mut observations = parse(&packets);
    observations.sort_by_key(|observation| observation.seen.frame);
    group.bench_function("diagnose", |bencher| {
        bencher.iter(|| {
            let mut diagnose = Diagnose::new(Told::default());
            for observation in &observations {
                diagnose.observe(observation);
            }
            diagnose.finish().0.findings.len()
        });
    });
}

fn packets(batch: &Batch) -> impl Iterator<Item = Packet<'_>> {
    let mut loss = Loss::default();
    let frames = batch.records.iter().map(|record| batch.frame(record));
    frames.filter_map(move |frame| decode(frame, Vantage::default(), &mut loss)?.packet())
}

/// Number of events.
fn reassemble(packets: &[Packet<'_>]) -> usize {
    let (mut table, mut events) = (ConnectionTable::<()>::new(), 0);
    for packet in packets {
        if let Packet::Segment(segment) = packet {
            table.push(segment, &mut |_: &mut (), _, _, _| events += 1);
        }
    }
    events
}

fn parse(packets: &[Packet<'_>]) -> Vec<Observation> {
    let mut table = ConnectionTable::<Conversation>::new();
    let (mut observations, mut loss) = (Vec::new(), Loss::default());
    let keys = Keys::default();
    for packet in packets {
        if let Packet::Segment(segment) = packet {
            table.push(segment, &mut |conversation: &mut Conversation,
                                      connection,
                                      seen,
                                      event| {
                conversation.on_event(connection, seen, event, &keys, &mut observations, &mut loss);
            });
        }
    }
    if let Some(Packet::Segment(last)) = packets.last() {
        table.finish(
            last.mark,
            &mut |conversation: &mut Conversation, connection, seen, event| {
                conversation.on_event(connection, seen, event, &keys, &mut observations, &mut loss);
            },
        );
    }
    observations
}

criterion_group!(benches, all);
criterion_main!(benches);
