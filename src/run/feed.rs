//! Reads ahead. In: the opened inputs and the analyzer. Out: the facts and losses of what was read.
//!
//! The rule: the next batch is filled while one is analysed, and never more than that one. The thread that
//! reads is not waited for after Ctrl-C, because a silent pipe never answers.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use gwcap::analyzer::Analyzer;
use gwcap::analyzer::courtesy::Courtesy;
use gwcap::capture::{CaptureError, Fill, InputFacts, Merge, StopHandle};
use gwcap::frame::Batch;
use gwcap::loss::Loss;

use crate::run::courtesy::{Balance, PATIENCE};
use crate::run::failure::Failure;
use crate::run::progress::Progress;

/// Least bytes of a batch.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Most bytes of a batch. Of frames that offload has joined, a mebibyte holds a few hundred, and handing out the work took a
/// sixth of the time; four fit no cache beside what the analysis keeps.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Frames that a batch is to hold, as far as the bytes allow. What they bring about (twice, as diagnosis is a batch behind)
/// fits the second cache of a core: with four times as many, requests and responses took a sixth longer.
const BATCH_FRAMES: usize = 2_048;

/// How often a waiting run looks whether it was asked to stop.
pub const LOOK: Duration = Duration::from_millis(50);

/// How long the end of an interface or a pipe is waited for: tcpdump in front of us flushes on Ctrl-C too.
pub const GRACE: Duration = Duration::from_secs(2);

/// How to read.
#[derive(Debug)]
pub struct Plan {
    /// Bytes read at once; by default as many as the size of the frames suggests.
    pub batch_bytes: Option<usize>,
    /// Frames after which reading stops.
    pub count_max: Option<u64>,
    /// Whether the input ends when somebody else ends it.
    pub ends_elsewhere: bool,
    /// Where the gateway may run beside: lets it go first.
    pub courtesy: Option<Courtesy>,
    /// Set by Ctrl-C.
    pub stop: StopHandle,
}

/// What goes along with a run.
pub trait Companion {
    /// Frames were read, and are about to be analysed. False ends the run after them.
    ///
    /// # Errors
    /// An output that cannot be written.
    fn frames(
        &mut self,
        analyzer: &mut Analyzer,
        batch: &Batch,
        inputs: &[InputFacts],
    ) -> Result<bool, Failure>;

    /// A batch was analysed, or nothing came for a while. False ends the run.
    ///
    /// # Errors
    /// An output that cannot be written.
    fn look(&mut self, analyzer: &mut Analyzer) -> Result<bool, Failure>;
}

/// What was read.
#[derive(Debug)]
pub struct Fed {
    /// The inputs.
    pub inputs: Vec<InputFacts>,
    /// What they lost.
    pub loss: Loss,
    /// Whether a file was left unread because of Ctrl-C.
    pub interrupted: bool,
    /// Frames that were analysed.
    pub records: u64,
}

/// One batch and what is known of the inputs after it.
struct Step {
    batch: Batch,
    state: Fill,
    inputs: Vec<InputFacts>,
    loss: Loss,
}

/// Reads everything and analyses it.
///
/// # Errors
/// The first error of an input, or of the companion.
pub fn feed(
    sources: Merge,
    analyzer: &mut Analyzer,
    plan: &Plan,
    progress: &mut Progress,
    companion: &mut dyn Companion,
) -> Result<Fed, Failure> {
    let mut fed = Fed {
        inputs: sources.describe(),
        loss: Loss::default(),
        interrupted: false,
        records: 0,
    };
    let (steps, empties) = read_ahead(sources, plan.batch_bytes, plan.courtesy.clone());
    let mut left = plan.count_max.unwrap_or(u64::MAX);
    let mut patience = Patience::new(plan);
    loop {
        if patience.is_over() {
            fed.interrupted = !plan.ends_elsewhere;
            return Ok(fed);
        }
        if !companion.look(analyzer)? {
            return Ok(fed);
        }
        let mut step = match steps.recv_timeout(LOOK) {
            Ok(step) => step?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(fed),
        };
        fed.inputs = std::mem::take(&mut step.inputs);
        fed.loss.merge(std::mem::take(&mut step.loss));
        progress.show(fed.inputs.iter().map(|input| input.stored_bytes).sum());
        step.batch
            .records
            .truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left = left.saturating_sub(step.batch.records.len() as u64);
        fed.records = fed.records.saturating_add(step.batch.records.len() as u64);
        let go_on = companion.frames(analyzer, &step.batch, &fed.inputs)?;
        if !step.batch.records.is_empty() {
            analyzer.feed(&step.batch);
        }
        if !go_on || step.state == Fill::End || left == 0 {
            return Ok(fed);
        }
        // The reader may have ended with an error that is still to be received.
        drop(empties.send(step.batch));
    }
}

/// What the reader gives: batches, or the error that ended it.
type Steps = Receiver<Result<Step, CaptureError>>;

/// Batches that travel between the reader and the analysis.
const BATCHES: usize = 2;

/// The same live: what the analysis has not come to lies in them and not in the kernel's ring, which drops what it has no
/// room for. Of 200,000 packets a second they hold those of 60 ms, half as many as the ring.
const BATCHES_LIVE: usize = 6;

/// Starts the thread that reads.
fn read_ahead(
    mut sources: Merge,
    batch_bytes: Option<usize>,
    courtesy: Option<Courtesy>,
) -> (Steps, SyncSender<Batch>) {
    let mut balance = courtesy.map(Balance::new);
    let batches = balance.as_ref().map_or(BATCHES, |_| BATCHES_LIVE);
    // Room for all, so that the reader waits in one place.
    let (send_step, steps) = mpsc::sync_channel(batches);
    let (send_empty, empties) = mpsc::sync_channel(batches);
    for _ in 0..batches {
        drop(send_empty.send(Batch::default()));
    }
    thread::spawn(move || {
        let mut wanted = BATCH_BYTES;
        while let Some(mut batch) = next(&empties, balance.as_mut()) {
            let bytes = batch_bytes.unwrap_or(wanted);
            let filled = sources.fill(&mut batch, bytes);
            if let Some(balance) = &mut balance {
                balance.read(batch.bytes.len() >= bytes);
            }
            wanted = wanted_after(&batch);
            let step = filled.map(|state| Step {
                batch,
                state,
                // The facts know of drops once the loss was asked for.
                loss: sources.loss(),
                inputs: sources.describe(),
            });
            let last = step.as_ref().map_or(true, |step| step.state == Fill::End);
            if send_step.send(step).is_err() || last {
                return;
            }
        }
    });
    (steps, send_empty)
}

/// The batch to be filled next, once the analysis has done with it.
fn next(empties: &Receiver<Batch>, mut balance: Option<&mut Balance>) -> Option<Batch> {
    let mut waited = Duration::ZERO;
    loop {
        match empties.recv_timeout(PATIENCE) {
            Ok(batch) => return Some(batch),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                waited = waited.saturating_add(PATIENCE);
                if let Some(balance) = &mut balance {
                    balance.waits(waited);
                }
            }
        }
    }
}

/// Bytes of the batch after `batch`: its frames will be of the same size.
fn wanted_after(batch: &Batch) -> usize {
    let frame = batch.bytes.len() / batch.records.len().max(1);
    let wanted = frame.saturating_mul(BATCH_FRAMES);
    wanted.clamp(BATCH_BYTES, BATCH_BYTES_MAX)
}

/// How long to go on after the run was asked to stop.
struct Patience<'a> {
    plan: &'a Plan,
    since: Option<Instant>,
}

impl<'a> Patience<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan, since: None }
    }

    fn is_over(&mut self) -> bool {
        if !self.plan.stop.is_stopped() {
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        !self.plan.ends_elsewhere || since.elapsed() >= GRACE
    }
}
