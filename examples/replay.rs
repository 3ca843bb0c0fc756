//! What the live path does with each packet, without the kernel: frames of a capture, from memory.
//!
//! In: a capture file. Out: packets a second on one core. As a live source does, each frame is copied into the batch of
//! its tick; the ring for evidence and the analyzer take the batch, and the news are asked for.

#![allow(clippy::print_stderr, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, CaptureError, Fill, Ring};
use gwcap::frame::Batch;

/// Frames of a tick: what comes in a hundredth of a second where a million come in one.
const TICK_FRAMES: usize = 10_000;
/// Bytes that are read at once; they are read before the clock starts.
const READ_BYTES: usize = 8 << 20;
/// The ring as it is unless `--ring` says otherwise.
const RING_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path] = words.as_slice() else {
        eprintln!("usage: replay CAPTURE");
        return ExitCode::from(2);
    };
    match read(Path::new(path)) {
        Ok(batches) => {
            replay(&batches);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<Vec<Batch>, CaptureError> {
    let mut source = capture::open_file(path, 0, None)?;
    let mut batches = Vec::new();
    loop {
        let mut batch = Batch::default();
        let state = source.fill(&mut batch, READ_BYTES)?;
        batches.push(batch);
        if state == Fill::End {
            return Ok(batches);
        }
    }
}

fn replay(batches: &[Batch]) {
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    let mut ring = Ring::new(RING_BYTES);
    let mut tick = Batch::default();
    let (mut frames, mut news) = (0, 0);
    let started = Instant::now();
    for batch in batches {
        for records in batch.records.chunks(TICK_FRAMES) {
            tick.clear();
            for record in records {
                let start = tick.bytes.len();
                tick.bytes.extend_from_slice(batch.frame(record).data);
                tick.records.push(gwcap::frame::Record { start, ..*record });
            }
            ring.push(&tick);
            analyzer.feed(&tick);
            news += analyzer.news(None).len();
            frames += records.len();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = frames as f64 / seconds;
    println!("{frames} packets in {seconds:.3} s: {rate:.0} packets/s, {news} news");
}
