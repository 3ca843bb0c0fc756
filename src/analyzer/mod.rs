//! The corridor between the rooms. In: batches of frames. Out: the diagnosis of the capture.
//!
//! The rule: the same bytes out for any thread count and any batch size. Frames are decoded in parallel,
//! flows are followed in [`SHARDS`] shards that share nothing, and diagnosis runs in series over
//! observations in the order of their frames. The only use of rayon.

pub mod clock;
mod order;
mod own;
mod shard;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::capture::{Keys, PrivateKey};
use crate::decode::segment::Packet;
use crate::decode::{self, Fragment, Reassembler, Whole};
use crate::diagnose::Diagnose;
use crate::diagnose::clocks::Clocks;
use crate::diagnose::finding::{Diagnosis, News, Standing};
use crate::diagnose::role::Told;
use crate::flow::{Endpoint, SHARDS};
use crate::frame::{Batch, Mark, Record};
use crate::loss::Loss;
use crate::protocol::observation::Observation;
use crate::time::Timestamp;

use order::Order;
use own::{Own, Senders};
use shard::{Shard, Step};
use steps::Steps;

/// Frames that one task decodes: large enough to hide the cost of a task, small enough for all cores.
const DECODE_CHUNK: usize = 2_048;

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
    shards: Vec<Shard>,
    reassembler: Reassembler,
    diagnose: Diagnose,
    loss: Loss,
    /// Running maximum of capture time.
    clock: Option<Timestamp>,
    steps: Steps,
    last: Mark,
    own: Own,
    clocks: Clocks,
    keys: Keys,
}

impl Analyzer {
    /// An analyzer without any frame yet. When the worker threads cannot be started, the global ones serve.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let told = Told {
            gateways: options.gateways,
            upstreams: options.upstreams,
            statuses: options.statuses,
        };
        Self {
            pool: ThreadPoolBuilder::new()
                .num_threads(options.threads)
                .build()
                .ok(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            reassembler: Reassembler::default(),
            diagnose: Diagnose::new(told).with_clocks(options.clocks.clone()),
            loss: Loss::default(),
            clock: None,
            steps: Steps::default(),
            last: Mark::default(),
            own: Own::default(),
            clocks: options.clocks,
            keys: Keys::default(),
        }
    }

    /// Takes lines of a TLS key log, for the frames that follow.
    pub fn add_key_log(&mut self, lines: &[u8]) {
        self.keys.add_log(lines, &mut self.loss);
    }

    /// Takes the private key of a server.
    pub fn add_private_key(&mut self, key: PrivateKey) {
        self.keys.add_private(key);
    }

    /// Says that more lines of a key log may come while frames do.
    pub fn wait_for_keys(&mut self) {
        self.keys.grow();
    }

    /// Takes the next frames.
    pub fn feed(&mut self, batch: &Batch) {
        let ticks = self.ticks(&batch.records);
        let order = Order::of(&batch.records);
        let pool = self.pool.take();
        let observations = match &pool {
            Some(pool) => pool.install(|| self.walk(batch, &ticks, &order)),
            None => self.walk(batch, &ticks, &order),
        };
        self.pool = pool;
        self.diagnose.note_skipped(&self.loss);
        self.diagnose_all(&observations, &ticks, &order);
    }

    /// Where the analysis stands, and the time of its latest frame.
    #[must_use]
    pub fn standing(&self) -> (Standing, Option<Timestamp>) {
        (self.diagnose.standing(), self.clock)
    }

    /// Upstreams of gateways whose words a filter keeps out of the capture, in order.
    #[must_use]
    pub fn hidden_servers(&self) -> BTreeSet<Endpoint> {
        self.diagnose.hidden_servers(self.last)
    }

    /// What was found since the last call. `waited` is how long, in nanoseconds, nothing has come after the latest frame:
    /// with it errors are told before what follows them has been seen, and again when it has.
    pub fn news(&mut self, waited: Option<i64>) -> Vec<News> {
        let now = waited.and_then(|waited| Some(self.clock?.plus_nanos(waited)));
        self.diagnose.news(now)
    }

    /// The capture is over.
    #[must_use]
    pub fn finish(mut self) -> Analysis {
        let last = self.last;
        let mut observations = Vec::new();
        for shard in &mut self.shards {
            shard.finish(last, &self.keys);
            observations.append(&mut shard.observations);
            self.loss.merge(shard.take_loss());
        }
        self.reassembler.finish(&mut self.loss);
        self.diagnose.note_lost(&self.reassembler.take_lost());
        self.diagnose.note_skipped(&self.loss);
        self.diagnose_all(&observations, &[], &Order::of(&[]));
        let (diagnosis, forgotten) = self.diagnose.finish();
        self.loss.merge(forgotten);
        Analysis {
            diagnosis,
            loss: self.loss,
        }
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

    /// Decodes in parallel, puts fragments together in their order, then lets each shard walk its own packets;
    /// observations in order of frames.
    fn walk(&mut self, batch: &Batch, ticks: &[(usize, Mark)], order: &Order) -> Vec<Observation> {
        let mut decoded: Vec<Decoded<'_>> = batch
            .records
            .par_chunks(DECODE_CHUNK)
            .enumerate()
            .map(|(index, records)| {
                let place = index.saturating_mul(DECODE_CHUNK);
                Decoded::of(batch, records, place, &self.clocks)
            })
            .collect();
        let wholes = self.reassemble(&decoded);
        for (place, whole) in &wholes {
            if let Some(part) = decoded.get_mut(place / DECODE_CHUNK) {
                part.insert(*place, whole);
            }
        }
        for part in &decoded {
            self.loss.merge(part.loss.clone());
        }
        let mut observations = Vec::new();
        self.steps.judge(&batch.records, &mut observations);
        for part in &decoded {
            self.own
                .judge(&part.senders, &mut observations, &mut self.loss);
        }
        let keys = &self.keys;
        self.shards
            .par_iter_mut()
            .enumerate()
            .for_each(|(index, shard)| {
                let mut ticks = ticks.iter().peekable();
                for (place, packet) in decoded
                    .iter()
                    .filter_map(|part| part.lists.get(index))
                    .flatten()
                {
                    while let Some((_, tick)) = ticks.next_if(|(at, _)| at <= place) {
                        shard.take(Step::Tick(*tick), keys);
                    }
                    shard.take(Step::Packet(packet), keys);
                }
                ticks.for_each(|(_, tick)| shard.take(Step::Tick(*tick), keys));
            });
        for shard in &mut self.shards {
            observations.append(&mut shard.observations);
        }
        // Stable: what one frame brought about stays in order, and ticks go by shard number.
        observations.par_sort_by_key(|observation| order.key(observation.seen.frame));
        observations
    }

    /// The packets that the fragments of a batch complete, each with the place of the frame that does. In series,
    /// because a piece may lie in any batch before; fragments are rare.
    fn reassemble(&mut self, decoded: &[Decoded<'_>]) -> Vec<(usize, Whole)> {
        let fragments = decoded.iter().flat_map(|part| &part.fragments);
        let mut wholes = Vec::new();
        for (place, fragment) in fragments {
            self.diagnose.saw_fragment(fragment.time());
            let whole = decode::reassemble(&mut self.reassembler, fragment, &mut self.loss);
            wholes.extend(whole.map(|whole| (*place, whole)));
        }
        self.diagnose.note_lost(&self.reassembler.take_lost());
        wholes
    }

    fn diagnose_all(
        &mut self,
        observations: &[Observation],
        ticks: &[(usize, Mark)],
        order: &Order,
    ) {
        let mut ticks = ticks.iter().peekable();
        for observation in observations {
            let key = order.key(observation.seen.frame);
            while let Some((_, tick)) = ticks.next_if(|(_, tick)| order.key(tick.frame) <= key) {
                self.diagnose.tick(tick.time);
            }
            self.diagnose.observe(observation);
        }
        ticks.for_each(|(_, tick)| self.diagnose.tick(tick.time));
    }
}

/// What one task decoded.
struct Decoded<'a> {
    /// Packets by shard, each with the place of its frame in the batch, in order.
    lists: Vec<Vec<(usize, Packet<'a>)>>,
    /// Pieces of packets, with the place of their frames.
    fragments: Vec<(usize, Fragment<'a>)>,
    senders: Senders,
    loss: Loss,
}

impl<'a> Decoded<'a> {
    /// Decodes frames of which the first stands at `place` in the batch.
    fn of(batch: &'a Batch, records: &[Record], place: usize, clocks: &Clocks) -> Self {
        let mut part = Self {
            lists: (0..SHARDS).map(|_| Vec::new()).collect(),
            fragments: Vec::new(),
            senders: Senders::default(),
            loss: Loss::default(),
        };
        for (place, record) in (place..).zip(records) {
            let frame = batch.frame(record);
            let vantage = clocks.of(record.mark.frame.input).vantage;
            match decode::decode(frame, vantage, &mut part.loss) {
                Some(decode::Decoded::Packet { packet, tunnels }) => {
                    if tunnels == 0 {
                        let way = decode::way(&frame);
                        part.senders.note(record.mark, vantage, &packet, way);
                    }
                    if let Some(list) = part.lists.get_mut(packet.flow().shard()) {
                        list.push((place, packet));
                    }
                }
                Some(decode::Decoded::Fragment(fragment)) => part.fragments.push((place, fragment)),
                None => {}
            }
        }
        part
    }

    /// Adds a packet that the frame at `place` completed.
    fn insert(&mut self, place: usize, whole: &'a Whole) {
        if let Some(decode::Decoded::Packet { packet, .. }) =
            decode::decode_whole(whole, &mut self.loss)
            && let Some(list) = self.lists.get_mut(packet.flow().shard())
        {
            let at = list.partition_point(|(before, _)| *before < place);
            list.insert(at, (place, packet));
        }
    }
}
