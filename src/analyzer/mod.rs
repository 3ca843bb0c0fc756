//! The corridor between the rooms. In: batches of frames. Out: the diagnosis of the capture.
//!
//! The rule: the same bytes out for any thread count and any batch size. Frames are decoded in parallel, flows are
//! followed in shards that share nothing (both in `walk`), and diagnosis runs in series over observations in the order
//! of their frames, one batch behind the walk. The only use of rayon.

pub mod clock;
pub mod courtesy;
mod decoded;
mod harvest;
mod help;
mod own;
mod shard;
mod steps;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::capture::{PrivateKey, Roots};
use crate::diagnose::clocks::Clocks;
use crate::diagnose::finding::{Diagnosis, News, Standing};
use crate::diagnose::hands::Hands;
use crate::diagnose::trust::Trust;
use crate::diagnose::{Diagnose, role};
use crate::flow::Endpoint;
use crate::frame::{Batch, Mark, Record};
use crate::loss::Loss;
use crate::time::Timestamp;

use courtesy::Courtesy;
use harvest::{Harvest, Step, Told};
use help::Threads;
use walk::Walk;

/// What the user asked for, as far as analysis needs it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Worker threads; 0 takes one a core (or RAYON_NUM_THREADS).
    pub threads: usize,
    /// Addresses that are gateways, where that cannot be inferred.
    pub gateways: Vec<IpAddr>,
    /// Addresses that are upstreams.
    pub upstreams: Vec<IpAddr>,
    /// Further statuses that count as gateway errors.
    pub statuses: Vec<u16>,
    /// The machines of the inputs and their clocks, as [`clock::first_look`] tells them; the default is one machine.
    pub clocks: Clocks,
    /// Roots that judge certificates; the default has none, and then nothing is said of trust.
    pub roots: Roots,
    /// Set while the analysis runs, it ends judging: what is then not judged is counted
    /// ([`NOT_JUDGED`](crate::diagnose::NOT_JUDGED)).
    pub hurry: Arc<AtomicBool>,
    /// How often its threads let others go first.
    pub courtesy: Courtesy,
}

/// What analysis found.
#[derive(Debug, Default)]
pub struct Analysis {
    /// Findings and what belongs to them.
    pub diagnosis: Diagnosis,
    /// What was not seen or not decoded.
    pub loss: Loss,
}

/// Analyses a capture batch by batch.
#[derive(Debug)]
pub struct Analyzer {
    pool: Option<ThreadPool>,
    walk: Walk,
    diagnose: Diagnose,
    courtesy: Courtesy,
    /// What the latest batch brought about and diagnosis has not seen yet.
    ripe: Harvest,
    /// An empty one, for its memory.
    spare: Harvest,
    /// Running maximum of capture time.
    clock: Option<Timestamp>,
    last: Mark,
}

impl Analyzer {
    /// An analyzer without any frame yet. When the worker threads cannot be started, the global ones serve.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let told = role::Told {
            gateways: options.gateways,
            upstreams: options.upstreams,
            statuses: options.statuses,
        };
        Self {
            pool: ThreadPoolBuilder::new()
                .num_threads(options.threads)
                .build()
                .ok(),
            diagnose: Diagnose::new(told)
                .with_clocks(options.clocks.clone())
                .with_trust(Trust::of(&options.roots))
                .that_hurries(options.hurry)
                .with_hands(Hands::of(Arc::new(Threads))),
            walk: Walk::new(options.clocks, options.courtesy.clone()),
            courtesy: options.courtesy,
            ripe: Harvest::default(),
            spare: Harvest::default(),
            clock: None,
            last: Mark::default(),
        }
    }

    /// Takes lines of a TLS key log, for the frames that follow.
    pub fn add_key_log(&mut self, lines: &[u8]) {
        self.walk.keys.add_log(lines, &mut self.walk.loss);
    }

    /// Takes the private key of a server.
    pub fn add_private_key(&mut self, key: PrivateKey) {
        self.walk.keys.add_private(key);
    }

    /// Says that more lines of a key log may come while frames do.
    pub fn wait_for_keys(&mut self) {
        self.walk.keys.grow();
    }

    /// Takes the next frames. They are walked while diagnosis goes through what the frames before brought about.
    pub fn feed(&mut self, batch: &Batch) {
        let ticks = self.ticks(&batch.records);
        let mut ripe = std::mem::take(&mut self.ripe);
        let mut fresh = std::mem::take(&mut self.spare);
        fresh.ticks = ticks;
        fresh.frames = batch.records.len();
        let Self {
            pool,
            walk,
            diagnose,
            courtesy,
            ..
        } = self;
        within(pool.as_ref(), || {
            rayon::join(
                || judge(diagnose, &mut ripe, courtesy),
                || walk.batch(batch, &mut fresh),
            )
        });
        (self.ripe, self.spare) = (fresh, ripe);
    }

    /// Diagnosis catches up with the walk.
    fn catch_up(&mut self) {
        let (diagnose, ripe) = (&mut self.diagnose, &mut self.ripe);
        within(self.pool.as_ref(), || judge(diagnose, ripe, &self.courtesy));
    }

    /// Where the analysis stands, and the time of its latest frame.
    #[must_use]
    pub fn standing(&mut self) -> (Standing, Option<Timestamp>) {
        self.catch_up();
        (self.diagnose.standing(), self.clock)
    }

    /// Upstreams of gateways whose words a filter keeps out of the capture, in order.
    #[must_use]
    pub fn hidden_servers(&mut self) -> BTreeSet<Endpoint> {
        self.catch_up();
        self.diagnose.hidden_servers(self.last)
    }

    /// What was found since the last call. `waited` is how long, in nanoseconds, nothing has come after the latest frame:
    /// with it errors are told before what follows them has been seen, and again when it has.
    pub fn news(&mut self, waited: Option<i64>) -> Vec<News> {
        self.catch_up();
        let now = waited.and_then(|waited| Some(self.clock?.plus_nanos(waited)));
        self.diagnose.news(now)
    }

    /// The capture is over.
    #[must_use]
    pub fn finish(mut self) -> Analysis {
        self.catch_up();
        let (mut ripe, mut diagnose) = (self.ripe, self.diagnose);
        let (pool, courtesy) = (self.pool.as_ref(), &self.courtesy);
        ripe.frames = 0;
        self.walk.finish(self.last, &mut ripe, |ripe| {
            within(pool, || judge(&mut diagnose, ripe, courtesy));
        });
        let mut loss = self.walk.loss;
        let (diagnosis, forgotten) = within(self.pool.as_ref(), || diagnose.finish());
        // Giving back what was remembered takes as long as a twentieth of all, and nobody need wait for it.
        if let Some(pool) = &self.pool {
            pool.spawn(move || drop(diagnose));
        }
        loss.merge(forgotten);
        Analysis { diagnosis, loss }
    }

    /// The frames before which a whole second of capture time has begun, each with its place in the batch.
    fn ticks(&mut self, records: &[Record]) -> Vec<(usize, Mark)> {
        let mut ticks = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let time = record.mark.time;
            match self.clock {
                Some(clock) if time <= clock => {}
                Some(clock) => {
                    if time.second() > clock.second() {
                        ticks.push((place, record.mark));
                    }
                    self.clock = Some(time);
                }
                None => self.clock = Some(time),
            }
            self.last = Mark {
                time: self.clock.unwrap_or(time),
                frame: record.mark.frame,
            };
        }
        ticks
    }
}

/// Does work on the threads of `pool`, or where there is none on the global ones.
fn within<T: Send>(pool: Option<&ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// Diagnoses what a batch brought about, and empties it.
fn judge(diagnose: &mut Diagnose, harvest: &mut Harvest, courtesy: &Courtesy) {
    for time in harvest.fragments.drain(..) {
        diagnose.saw_fragment(time);
    }
    diagnose.note_lost(&std::mem::take(&mut harvest.lost));
    diagnose.note_skipped(harvest.skipped);
    let mut pace = courtesy.pace();
    harvest.tell(|step| {
        match step {
            Step::Tick(time) => diagnose.tick(time),
            Step::Seen(observation) => diagnose.observe(observation),
        }
        pace.did(1);
    });
    harvest.ticks.clear();
    harvest.lists.iter_mut().for_each(Told::clear);
}
