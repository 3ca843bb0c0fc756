//! What one batch brought about. In: observations list by list, each with the place of its frame in the batch. Out: the
//! same in the order of frames, and the ticks between them.
//!
//! The rule: what one frame brought about goes by list and then as it was told. Places are counted, not compared, so that
//! putting the lists in order costs the same for each observation however many there are.

use crate::decode::LostPieces;
use crate::frame::Mark;
use crate::protocol::observation::Observation;
use crate::time::Timestamp;

/// Observations of one source in order of frames, each with the place of its frame in the batch.
#[derive(Debug, Default)]
pub struct Told {
    pub observations: Vec<Observation>,
    places: Vec<u32>,
}

impl Told {
    /// Gives what was added since the last call the place of the frame that brought it about.
    pub fn place(&mut self, place: usize) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.places.resize(self.observations.len(), place);
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.observations.clear();
        self.places.clear();
    }
}

/// What happens next in the order of frames.
pub enum Step<'a> {
    /// A whole second of capture time begins.
    Tick(Timestamp),
    /// Something was seen.
    Seen(&'a Observation),
}

/// What one batch brought about, for diagnosis.
#[derive(Debug, Default)]
pub struct Harvest {
    /// The lists: those of the corridor itself, then one a shard.
    pub lists: Vec<Told>,
    /// Places before which a whole second begins.
    pub ticks: Vec<(usize, Mark)>,
    /// Times at which fragments were seen.
    pub fragments: Vec<Timestamp>,
    /// Packets whose pieces were lost.
    pub lost: Vec<LostPieces>,
    /// Whether anything so far was skipped because nothing decodes it.
    pub skipped: bool,
    /// Frames of the batch.
    pub frames: usize,
    /// Lists in the order of their observations.
    order: Vec<u8>,
    /// For each place, how many observations lie before those of the next.
    ends: Vec<u32>,
}

impl Harvest {
    /// Tells everything in order.
    pub fn tell(&mut self, mut step: impl FnMut(Step<'_>)) {
        self.sort();
        let mut cursors = vec![0_usize; self.lists.len()];
        let mut ticks = self.ticks.iter().peekable();
        let mut at = 0;
        for (place, end) in self.ends.iter().enumerate() {
            let end = *end as usize;
            if at < end {
                while let Some((_, mark)) = ticks.next_if(|(tick, _)| *tick <= place) {
                    step(Step::Tick(mark.time));
                }
            }
            for list in self.order.get(at..end).unwrap_or_default() {
                let list = usize::from(*list);
                if let (Some(told), Some(cursor)) = (self.lists.get(list), cursors.get_mut(list)) {
                    if let Some(observation) = told.observations.get(*cursor) {
                        step(Step::Seen(observation));
                    }
                    *cursor += 1;
                }
            }
            at = end;
        }
        ticks.for_each(|(_, mark)| step(Step::Tick(mark.time)));
    }

    /// A counting sort by place; within a place by list.
    fn sort(&mut self) {
        self.ends.clear();
        self.ends.resize(self.frames.max(1), 0);
        let mut total = 0;
        for list in &self.lists {
            total += list.places.len();
            for place in &list.places {
                if let Some(count) = self.ends.get_mut(*place as usize) {
                    *count += 1;
                }
            }
        }
        // Now where those of each place begin; adding them moves it to where they end.
        let mut begin = 0;
        for count in &mut self.ends {
            begin += std::mem::replace(count, begin);
        }
        self.order.clear();
        self.order.resize(total, 0);
        for (index, list) in self.lists.iter().enumerate() {
            let name = u8::try_from(index).unwrap_or(u8::MAX);
            for place in &list.places {
                if let Some(next) = self.ends.get_mut(*place as usize) {
                    if let Some(slot) = self.order.get_mut(*next as usize) {
                        *slot = name;
                    }
                    *next += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;
    use crate::protocol::observation::Seen;

    fn seen(number: u64) -> Observation {
        let at = Mark {
            time: Timestamp(number.cast_signed()),
            frame: FrameId::new(0, number),
        };
        let what = Seen::ClockStep { at, nanos: 0 };
        Observation { seen: at, what }
    }

    /// A list that tells these numbers at these places.
    fn told(list: &[(usize, u64)]) -> Told {
        let mut told = Told::default();
        for (place, number) in list {
            told.observations.push(seen(*number));
            told.place(*place);
        }
        told
    }

    #[test]
    fn all_goes_by_place_then_list_and_ticks_go_before_their_place() {
        let mark = |second: i64| Mark {
            time: Timestamp(-second),
            ..Mark::default()
        };
        let mut harvest = Harvest {
            lists: vec![
                told(&[(1, 10), (3, 30)]),
                told(&[]),
                told(&[(0, 2), (1, 12), (1, 13)]),
            ],
            ticks: vec![(1, mark(1)), (2, mark(2)), (4, mark(3))],
            frames: 4,
            ..Harvest::default()
        };
        for _ in 0..2 {
            let mut all = Vec::new();
            harvest.tell(|step| {
                all.push(match step {
                    Step::Tick(time) => time.0,
                    Step::Seen(observation) => observation.seen.time.0,
                });
            });
            assert_eq!(all, [2, -1, 10, 12, 13, -2, 30, -3]);
        }
    }
}
