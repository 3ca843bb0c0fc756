//! The walk, from the bytes of a recorded crowd to its findings; and its first room alone.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, Ring};
use gwcap::decode::decode;
use gwcap::flow::Vantage;
use gwcap::frame::Batch;
use gwcap::loss::Loss;

/// A crowd of clients at nginx, a third of them failing.
const CROWD: &str = "captures/nginx-crowd/capture.pcapng";

fn batch() -> Batch {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CROWD);
    let mut source = capture::open_file(&path, 0, None).unwrap();
    let mut batch = Batch::default();
    source.fill(&mut batch, 1 << 24).unwrap();
    batch
}

fn walk(criterion: &mut Criterion) {
    let batch = batch();
    let mut group = criterion.benchmark_group("crowd");
    group.throughput(Throughput::Bytes(batch.bytes.len() as u64));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut loss = Loss::default();
            let frames = batch.records.iter().map(|record| batch.frame(record));
            frames
                .filter_map(|frame| decode(frame, Vantage::default(), &mut loss))
                .count()
        });
    });
    group.bench_function("analyze", |bencher| {
        bencher.iter(|| {
            let mut analyzer = Analyzer::new(Options {
                threads: 1,
                ..Options::default()
            });
            analyzer.feed(&batch);
            analyzer.finish().diagnosis.findings.len()
        });
    });
    group.bench_function("ring", |bencher| {
        let mut ring = Ring::new(64 << 20);
        bencher.iter(|| {
            ring.push(&batch);
            ring.bytes()
        });
    });
    group.finish();
}

criterion_group!(benches, walk);
criterion_main!(benches);
