//! The first look over several files. In: their paths. Out: which machine captured each, and how the clocks of those
//! machines differ, with warnings where that cannot be told.
//!
//! The rule: packets that two captures hold tell it best; where there are none, exchanges that lie inside each other do
//! (causes.md B.5). A file that cannot be read is told by the reading proper, and by nobody twice: what is lost here is
//! not counted.

mod atlas;
mod bounds;
mod estimate;
mod kin;
mod machines;
mod nesting;
mod numbers;
mod prints;
mod sample;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::analyzer::shard::{Shard, Step};
use crate::capture::Keys;
use crate::capture::{self, Fill, StopHandle};
use crate::decode::segment::Packet;
use crate::decode::{self, Decoded};
use crate::diagnose::clocks::Clocks;
use crate::diagnose::finding::Warning;
use crate::flow::{SHARDS, Vantage};
use crate::frame::{Batch, Mark, Record};
use crate::loss::Loss;
use crate::protocol::observation::Observation;
use crate::time::Timestamp;

use atlas::Atlas;
use estimate::Pair;
use kin::{Kin, Shared};
use machines::Span;
use nesting::{Exchanges, Passages};
use prints::{Print, Prints};

/// Packets that are kept of all inputs together, about 50 MB.
const PRINTS_MAX: usize = 1 << 20;
/// Packets that are kept of one input: enough to meet a short capture inside one that is a thousand times longer.
const PRINTS_OF_INPUT_MAX: usize = 1 << 18;
/// Packets that are kept of one input however many there are.
const PRINTS_OF_INPUT_MIN: usize = 4_096;
/// Most inputs in which one packet is compared: more points than this do not lie on one path.
const SIGHTINGS_MAX: usize = 8;
/// Bytes that are read at once of each input.
const BATCH_BYTES: usize = 1 << 20;

/// The first look as it is watched from outside.
#[derive(Debug, Default)]
pub struct Watch {
    /// Ends it early: then nothing is known.
    pub stop: StopHandle,
    /// Bytes that were taken from the files so far.
    pub bytes: AtomicU64,
}

/// What the first look found.
#[derive(Debug, Default)]
pub struct Look {
    /// The clocks of the inputs.
    pub clocks: Clocks,
    /// What could not be told of them.
    pub warnings: Vec<Warning>,
}

/// Looks over `files`, in the order in which they are named. `None` is an input that cannot be read twice (a pipe): it is
/// taken for the first machine's. `threads` is as in [`crate::analyzer::Options`].
#[must_use]
pub fn first_look(files: &[Option<PathBuf>], threads: usize, watch: &Watch) -> Look {
    match ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(|| look(files, watch)),
        Err(_) => look(files, watch),
    }
}

fn look(files: &[Option<PathBuf>], watch: &Watch) -> Look {
    let most = (PRINTS_MAX / files.len().max(1)).clamp(PRINTS_OF_INPUT_MIN, PRINTS_OF_INPUT_MAX);
    let views: Vec<View> = files
        .par_iter()
        .map(|file| View::of(file.as_deref(), most, watch))
        .collect();
    let shared = shared_packets(&views);
    let spans: Vec<Span> = views.into_iter().map(|view| view.span).collect();
    let mut kin = Kin::new(&spans, &shared);
    let mut machine_of = machines::machines(&spans, |one, other| kin.relation(one, other));
    let mut passages = None;
    if kin.are_strange(&machine_of) {
        let read = passages.insert(read_exchanges(files, watch));
        kin.estrange(&machine_of, read);
        machine_of = machines::machines(&spans, |one, other| kin.relation(one, other));
    }
    let mut atlas = Atlas::new(files, &spans, machine_of);
    atlas.pool(&shared);
    atlas.settle_by_packets();
    if atlas.is_open() {
        let passages = passages.unwrap_or_else(|| read_exchanges(files, watch));
        atlas.settle_by_exchanges(&passages);
    }
    if watch.stop.is_stopped() {
        return Look::default();
    }
    let (clocks, warnings) = atlas.into_clocks();
    Look { clocks, warnings }
}

/// One input as the first look saw it.
struct View {
    span: Span,
    prints: Vec<(u64, Print)>,
}

impl View {
    fn of(file: Option<&Path>, most: usize, watch: &Watch) -> Self {
        let mut prints = Prints::new(most);
        let mut loss = Loss::default();
        let mut range: Option<(Timestamp, Timestamp)> = None;
        if let Some(file) = file {
            read(file, watch, |batch| {
                for record in &batch.records {
                    let decoded =
                        decode::decode(batch.frame(record), Vantage::default(), &mut loss);
                    if let Some(Packet::Segment(segment)) = decoded.and_then(Decoded::packet) {
                        prints.note(&segment);
                    }
                    let time = record.mark.time;
                    let (first, last) = range.unwrap_or((time, time));
                    range = Some((first.min(time), last.max(time)));
                }
            });
        }
        let prints = prints.into_sorted();
        let span = Span {
            time: range.map(|range| usual_range(range, &prints)),
            stem: file.map(machines::stem).unwrap_or_default(),
        };
        Self { span, prints }
    }
}

/// When an input was captured: without the outermost hundredth of its packets, where it has many, lest one damaged time
/// make two files of a rotated set overlap.
fn usual_range(range: (Timestamp, Timestamp), prints: &[(u64, Print)]) -> (Timestamp, Timestamp) {
    let mut times: Vec<Timestamp> = prints.iter().map(|(_, print)| print.time).collect();
    times.sort_unstable();
    let cut = times.len() / 100;
    if cut == 0 {
        return range;
    }
    let first = times.get(cut).copied().unwrap_or(range.0);
    let last = times
        .len()
        .checked_sub(cut + 1)
        .and_then(|at| times.get(at));
    (first, last.copied().unwrap_or(range.1))
}

/// Reads a file to its end, or to where it cannot be read any further, or until the look is stopped.
fn read(file: &Path, watch: &Watch, mut each: impl FnMut(&Batch)) {
    let Ok(mut source) = capture::open_file(file, 0, None) else {
        return;
    };
    let (mut batch, mut before) = (Batch::default(), 0);
    while !watch.stop.is_stopped() {
        let Ok(state) = source.fill(&mut batch, BATCH_BYTES) else {
            return;
        };
        each(&batch);
        let now = source.describe().stored_bytes;
        watch
            .bytes
            .fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        before = now;
        if state == Fill::End {
            return;
        }
    }
}

fn shared_packets(views: &[View]) -> Shared {
    let all = views.iter().map(|view| view.prints.len()).sum();
    let mut sightings: Vec<(u64, usize, Print)> = Vec::with_capacity(all);
    for (input, view) in views.iter().enumerate() {
        sightings.extend(
            view.prints
                .iter()
                .map(|(hash, print)| (*hash, input, *print)),
        );
    }
    sightings.par_sort_unstable_by_key(|(hash, input, _)| (*hash, *input));
    let mut shared = Shared::new();
    for same in sightings.chunk_by(|one, other| one.0 == other.0) {
        let same = same.get(..SIGHTINGS_MAX).unwrap_or(same);
        for (at, (_, one, print)) in same.iter().enumerate() {
            for (_, other, later) in same.iter().skip(at + 1) {
                shared.entry((*one, *other)).or_default().push(Pair {
                    at: later.time,
                    ahead: later.time.nanos_since(print.time),
                    way: print.way,
                    other_way: later.way,
                });
            }
        }
    }
    shared
}

/// Walks the streams of all inputs: packets alone did not tell.
fn read_exchanges(files: &[Option<PathBuf>], watch: &Watch) -> Vec<Passages> {
    files
        .par_iter()
        .map(|file| match file {
            Some(file) => exchanges_of(file, watch).into_passages(),
            None => Passages::new(),
        })
        .collect()
}

/// Follows the streams of one input. Fragments are left out: an exchange more or less does not matter here.
fn exchanges_of(file: &Path, watch: &Watch) -> Exchanges {
    // What is encrypted is compared as it is.
    let keys = Keys::default();
    let mut shards: Vec<(Shard, Vec<Observation>)> = Vec::new();
    shards.resize_with(SHARDS, Default::default);
    let mut exchanges = Exchanges::default();
    let mut loss = Loss::default();
    let mut clock: Option<Timestamp> = None;
    let mut last = Mark::default();
    read(file, watch, |batch| {
        for record in &batch.records {
            if begins_second(&mut clock, record) {
                for (shard, told) in &mut shards {
                    shard.take(Step::Tick(record.mark), &keys, told);
                }
            }
            last = record.mark;
            let decoded = decode::decode(batch.frame(record), Vantage::default(), &mut loss);
            if let Some(packet) = decoded.and_then(Decoded::packet)
                && let Some((shard, told)) = shards.get_mut(packet.flow().shard())
            {
                shard.take(Step::Packet(&packet), &keys, told);
            }
        }
        for (_, told) in &mut shards {
            note_all(told, &mut exchanges);
        }
    });
    for (shard, told) in &mut shards {
        shard.finish(last, &keys, told);
        note_all(told, &mut exchanges);
    }
    exchanges
}

fn note_all(told: &mut Vec<Observation>, exchanges: &mut Exchanges) {
    for observation in told.drain(..) {
        exchanges.note(&observation);
    }
}

/// Whether a whole second of capture time begins before this frame.
fn begins_second(clock: &mut Option<Timestamp>, record: &Record) -> bool {
    let time = record.mark.time;
    let before = clock.unwrap_or(time);
    *clock = Some(before.max(time));
    time.second() > before.second()
}
