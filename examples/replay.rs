//! What the live path does with each packet, without the kernel: frames of a capture, from memory.
//!
//! In: a capture file. Out: packets a second on one core. As a live source does, each frame is copied into a batch; the
//! analyzer takes the batch, and the news are asked for. With --ring frames go to the ring for evidence as well, which is
//! there only with --evidence: each is copied once more.

#![allow(clippy::print_stderr, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, CaptureError, Fill, Ring};
use gwcap::frame::Batch;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Frames of a batch, and its bytes, as the program cuts them.
const BATCH_FRAMES: usize = 2_048;
const BATCH_BYTES_MAX: usize = 2 << 20;
/// Bytes that are read at once; they are read before the clock starts.
const READ_BYTES: usize = 8 << 20;
/// The ring as it is unless `--ring` says otherwise.
const RING_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (path, with_ring) = match words.as_slice() {
        [path] => (path, false),
        [option, path] if option == "--ring" => (path, true),
        _ => {
            eprintln!("usage: replay [--ring] CAPTURE");
            return ExitCode::from(2);
        }
    };
    match read(Path::new(path)) {
        Ok(batches) => {
            replay(&batches, with_ring.then(|| Ring::new(RING_BYTES)));
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

fn replay(batches: &[Batch], mut ring: Option<Ring>) {
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    let mut tick = Batch::default();
    let (mut frames, mut news) = (0, 0);
    let started = Instant::now();
    let mut take = |tick: &mut Batch| {
        if let Some(ring) = &mut ring {
            ring.push(tick);
        }
        analyzer.feed(tick);
        news += analyzer.news(None).len();
        frames += tick.records.len();
        tick.clear();
    };
    for batch in batches {
        for record in &batch.records {
            let start = tick.bytes.len();
            tick.bytes.extend_from_slice(batch.frame(record).data);
            tick.records.push(gwcap::frame::Record { start, ..*record });
            if tick.records.len() >= BATCH_FRAMES || tick.bytes.len() >= BATCH_BYTES_MAX {
                take(&mut tick);
            }
        }
    }
    take(&mut tick);
    let seconds = started.elapsed().as_secs_f64();
    let rate = frames as f64 / seconds;
    println!("{frames} packets in {seconds:.3} s: {rate:.0} packets/s, {news} news");
}
