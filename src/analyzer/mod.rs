//! The corridor between the rooms. In: batches of frames. Out: the diagnosis of the capture.
//!
//! The rule: the same bytes out for any thread count and any batch size. Frames are decoded in parallel,
//! flows are followed in [`SHARDS`] shards that share nothing, and diagnosis runs in series over
//! observations in the order of their frames. The only use of rayon.

mod shard;

use std::collections::BTreeSet;
use std::net::IpAddr;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::decode::segment::Packet;
use crate::decode::{decode, is_outgoing};
use crate::diagnose::Diagnose;
use crate::diagnose::finding::Diagnosis;
use crate::diagnose::role::Told;
use crate::flow::{SHARDS, Vantage};
use crate::frame::{Batch, Mark, Record};
use crate::loss::Loss;
use crate::protocol::observation::{Observation, Seen};
use crate::time::Timestamp;

use shard::{Shard, Step};

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
    diagnose: Diagnose,
    loss: Loss,
    /// Running maximum of capture time.
    clock: Option<Timestamp>,
    last: Mark,
    /// Addresses of the capturing machine that are known already.
    local: BTreeSet<IpAddr>,
}

/// Most addresses of the capturing machine that are told; a container host has hundreds.
const LOCAL_ADDRESSES_MAX: usize = 4_096;

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
            diagnose: Diagnose::new(told),
            loss: Loss::default(),
            clock: None,
            last: Mark::default(),
            local: BTreeSet::new(),
        }
    }

    /// Takes the next frames.
    pub fn feed(&mut self, batch: &Batch) {
        let ticks = self.ticks(&batch.records);
        let pool = self.pool.take();
        let observations = match &pool {
            Some(pool) => pool.install(|| self.walk(batch, &ticks)),
            None => self.walk(batch, &ticks),
        };
        self.pool = pool;
        self.diagnose_all(&observations, &ticks);
    }

    /// The capture is over.
    #[must_use]
    pub fn finish(mut self) -> Analysis {
        let last = self.last;
        let mut observations = Vec::new();
        for shard in &mut self.shards {
            shard.finish(last);
            observations.append(&mut shard.observations);
            self.loss.merge(shard.take_loss());
        }
        self.diagnose_all(&observations, &[]);
        let (diagnosis, forgotten) = self.diagnose.finish();
        self.loss.merge(forgotten);
        Analysis {
            diagnosis,
            loss: self.loss,
        }
    }

    /// The frames before which a whole second of capture time has begun.
    fn ticks(&mut self, records: &[Record]) -> Vec<Mark> {
        let mut ticks = Vec::new();
        for record in records {
            let time = record.mark.time;
            match self.clock {
                Some(clock) if time <= clock => {}
                Some(clock) => {
                    if time.second() > clock.second() {
                        ticks.push(record.mark);
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

    /// Decodes in parallel, then lets each shard walk its own packets; observations in order of frames.
    fn walk(&mut self, batch: &Batch, ticks: &[Mark]) -> Vec<Observation> {
        let decoded: Vec<Decoded<'_>> = batch
            .records
            .par_chunks(DECODE_CHUNK)
            .map(|records| Decoded::of(batch, records))
            .collect();
        for part in &decoded {
            self.loss.merge(part.loss.clone());
        }
        let mut observations = self.local_addresses(&decoded);
        self.shards
            .par_iter_mut()
            .enumerate()
            .for_each(|(index, shard)| {
                let mut ticks = ticks.iter().peekable();
                for packet in decoded
                    .iter()
                    .filter_map(|part| part.lists.get(index))
                    .flatten()
                {
                    while let Some(tick) = ticks.next_if(|tick| tick.frame <= packet.mark().frame) {
                        shard.take(Step::Tick(*tick));
                    }
                    shard.take(Step::Packet(packet));
                }
                ticks.for_each(|tick| shard.take(Step::Tick(*tick)));
            });
        for shard in &mut self.shards {
            observations.append(&mut shard.observations);
        }
        // Stable: what one frame brought about stays in order, and ticks go by shard number.
        observations.par_sort_by_key(|observation| observation.seen.frame);
        observations
    }

    /// Addresses from which the capturing machine is seen to send for the first time.
    fn local_addresses(&mut self, decoded: &[Decoded<'_>]) -> Vec<Observation> {
        let mut told = Vec::new();
        for (seen, addr) in decoded.iter().flat_map(|part| &part.outgoing) {
            if self.local.len() < LOCAL_ADDRESSES_MAX && self.local.insert(*addr) {
                let what = Seen::Local {
                    vantage: Vantage::default(),
                    addr: *addr,
                };
                told.push(Observation { seen: *seen, what });
            }
        }
        told
    }

    fn diagnose_all(&mut self, observations: &[Observation], ticks: &[Mark]) {
        let mut ticks = ticks.iter().peekable();
        for observation in observations {
            while let Some(tick) = ticks.next_if(|tick| tick.frame <= observation.seen.frame) {
                self.diagnose.tick(tick.time);
            }
            self.diagnose.observe(observation);
        }
        ticks.for_each(|tick| self.diagnose.tick(tick.time));
    }
}

/// What one task decoded: packets by shard, in order.
struct Decoded<'a> {
    lists: Vec<Vec<Packet<'a>>>,
    /// Senders of frames that the capturing machine sent, each where it was first seen.
    outgoing: Vec<(Mark, IpAddr)>,
    loss: Loss,
}

impl<'a> Decoded<'a> {
    fn of(batch: &'a Batch, records: &[Record]) -> Self {
        let mut part = Self {
            lists: (0..SHARDS).map(|_| Vec::new()).collect(),
            outgoing: Vec::new(),
            loss: Loss::default(),
        };
        for record in records {
            let frame = batch.frame(record);
            let Some(packet) = decode(frame, Vantage::default(), &mut part.loss) else {
                continue;
            };
            if let Some(sender) = packet.sender().filter(|_| is_outgoing(&frame))
                && !part.outgoing.iter().any(|(_, known)| *known == sender)
            {
                part.outgoing.push((record.mark, sender));
            }
            if let Some(list) = part.lists.get_mut(packet.flow().shard()) {
                list.push(packet);
            }
        }
        part
    }
}
