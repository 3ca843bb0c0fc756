//! The walk of a batch from its frames to its observations. In: batches. Out: harvests.
//!
//! The rule: decoding and the shards run in parallel; what depends on the order of all frames (fragments, whose an
//! address is, steps of the clock) runs in series between them, over the few frames that it is about.

use rayon::prelude::*;

use crate::analyzer::courtesy::{Courtesy, Pace};
use crate::analyzer::decoded::Decoded;
use crate::analyzer::harvest::{Harvest, Told};
use crate::analyzer::own::Own;
use crate::analyzer::shard::{Shard, Step};
use crate::analyzer::steps::Steps;
use crate::capture::Keys;
use crate::decode::{self, Reassembler, Whole};
use crate::diagnose::clocks::Clocks;
use crate::flow::SHARDS;
use crate::frame::{Batch, Mark};
use crate::loss::Loss;

/// Frames that one task decodes: large enough to hide the cost of a task, small enough for all cores.
const DECODE_CHUNK: usize = 256;

/// Lists of a harvest before those of the shards: steps of the clock, and whose addresses are.
const OWN_LISTS: usize = 2;

/// All that lives from one batch to the next on the way from frames to observations.
#[derive(Debug)]
pub struct Walk {
    shards: Vec<Shard>,
    reassembler: Reassembler,
    steps: Steps,
    own: Own,
    clocks: Clocks,
    courtesy: Courtesy,
    /// Secrets that were given.
    pub keys: Keys,
    /// What was lost so far.
    pub loss: Loss,
}

impl Walk {
    /// Before the first batch.
    pub fn new(clocks: Clocks, courtesy: Courtesy) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            reassembler: Reassembler::default(),
            steps: Steps::default(),
            own: Own::default(),
            clocks,
            courtesy,
            keys: Keys::default(),
            loss: Loss::default(),
        }
    }

    /// Walks a batch; what it brings about goes to `harvest`, which holds the ticks and nothing else.
    pub fn batch(&mut self, batch: &Batch, harvest: &mut Harvest) {
        let (clocks, courtesy) = (&self.clocks, self.courtesy.clone());
        let mut decoded: Vec<Decoded<'_>> = batch
            .records
            .par_chunks(DECODE_CHUNK)
            .enumerate()
            .map(|(index, records)| {
                let place = index.saturating_mul(DECODE_CHUNK);
                let decoded = Decoded::of(batch, records, place, clocks);
                courtesy.pace().did(u32::MAX);
                decoded
            })
            .collect();
        let wholes = self.reassemble(&decoded, harvest);
        let mut completed = wholes.iter().peekable();
        for (index, part) in decoded.iter_mut().enumerate() {
            if completed.peek().is_some() {
                let next = index.saturating_add(1).saturating_mul(DECODE_CHUNK);
                let of_part = std::iter::from_fn(|| completed.next_if(|(place, _)| *place < next));
                part.complete(of_part.map(|(place, whole)| (*place, whole)));
            }
            self.loss.merge(std::mem::take(&mut part.loss));
        }
        let Harvest { lists, ticks, .. } = harvest;
        lists.resize_with(OWN_LISTS + SHARDS, Told::default);
        if let [steps, own, of_shards @ ..] = lists.as_mut_slice() {
            self.steps.judge(&batch.records, steps);
            for part in &decoded {
                self.own.judge(&part.senders, own, &mut self.loss);
            }
            let keys = &self.keys;
            self.shards
                .par_iter_mut()
                .zip_eq(of_shards)
                .enumerate()
                .for_each(|(index, (shard, told))| {
                    through(shard, keys, index, &decoded, ticks, told, courtesy.pace())
                });
        }
        harvest.skipped = self.loss.skipped_kinds().next().is_some();
    }

    /// The packets that the fragments of a batch complete, each with the place of the frame that does. In series,
    /// because a piece may lie in any batch before; fragments are rare.
    fn reassemble(
        &mut self,
        decoded: &[Decoded<'_>],
        harvest: &mut Harvest,
    ) -> Vec<(usize, Whole)> {
        let fragments = decoded.iter().flat_map(|part| &part.fragments);
        let mut wholes = Vec::new();
        for (place, fragment) in fragments {
            harvest.fragments.push(fragment.time());
            let whole = decode::reassemble(&mut self.reassembler, fragment, &mut self.loss);
            wholes.extend(whole.map(|whole| (*place, whole)));
        }
        harvest.lost.extend(self.reassembler.take_lost());
        wholes
    }

    /// The capture is over at `last`: ends what is open. Calls `judge` for each shard, so that the ends of all connections
    /// are never held at once.
    pub fn finish(
        &mut self,
        last: Mark,
        harvest: &mut Harvest,
        mut judge: impl FnMut(&mut Harvest),
    ) {
        self.reassembler.finish(&mut self.loss);
        harvest.lost.extend(self.reassembler.take_lost());
        harvest.lists.resize_with(1, Told::default);
        for mut shard in self.shards.drain(..) {
            if let Some(told) = harvest.lists.first_mut() {
                shard.finish(last, &self.keys, &mut told.observations);
                told.place(0);
            }
            self.loss.merge(shard.take_loss());
            harvest.skipped = self.loss.skipped_kinds().next().is_some();
            judge(harvest);
        }
    }
}

/// Takes one shard through its packets and the ticks between them.
fn through(
    shard: &mut Shard,
    keys: &Keys,
    index: usize,
    decoded: &[Decoded<'_>],
    ticks: &[(usize, Mark)],
    told: &mut Told,
    mut pace: Pace<'_>,
) {
    let mut ticks = ticks.iter().peekable();
    for (place, packet) in decoded.iter().flat_map(|part| part.of_shard(index)) {
        while let Some((at, tick)) = ticks.next_if(|(at, _)| *at <= place) {
            shard.take(Step::Tick(*tick), keys, &mut told.observations);
            told.place(*at);
        }
        shard.take(Step::Packet(packet), keys, &mut told.observations);
        told.place(place);
        pace.did(1);
    }
    for (at, tick) in ticks {
        shard.take(Step::Tick(*tick), keys, &mut told.observations);
        told.place(*at);
    }
}
