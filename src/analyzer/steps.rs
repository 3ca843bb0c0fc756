//! Steps back of the clock of an input. In: records as they were read. Out: the frames before which it was set back.
//!
//! The rule: one input is read in its own order, so a frame that lies well before the one that precedes it shows that
//! the clock was set, or that files were joined out of order. A step ahead looks like silence, and is not told here.

use crate::analyzer::harvest::Told;
use crate::frame::Record;
use crate::protocol::observation::{Observation, Seen};
use crate::time::Timestamp;

/// Least time by which a frame lies before its predecessors where the clock was set back, nanoseconds. Interfaces that
/// are written in blocks are out of order by less.
const BACK_NANOS_MIN: i64 = 1_000_000_000;

/// The clocks of the inputs.
#[derive(Debug, Default)]
pub struct Steps {
    /// Latest time of each input since it was set back.
    latest: Vec<Timestamp>,
}

impl Steps {
    /// Looks through the next records; what is found goes to `told`.
    pub fn judge(&mut self, records: &[Record], told: &mut Told) {
        for (place, record) in records.iter().enumerate() {
            let (at, input) = (record.mark, usize::from(record.mark.frame.input()));
            if input >= self.latest.len() {
                self.latest.resize(input.saturating_add(1), Timestamp::MIN);
            }
            let Some(latest) = self.latest.get_mut(input) else {
                continue;
            };
            let nanos = at.time.nanos_since(*latest);
            if nanos <= -BACK_NANOS_MIN {
                let what = Seen::ClockStep { at, nanos };
                told.observations.push(Observation { seen: at, what });
                told.place(place);
                *latest = at.time;
            }
            *latest = at.time.max(*latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameId, LinkType, Mark, Way};

    #[test]
    fn a_step_back_is_told_once_and_late_frames_are_none() {
        let (mut steps, mut told) = (Steps::default(), Told::default());
        // Input, milliseconds. The second input has a clock of its own.
        let times = [
            (0, 50_000),
            (0, 49_100),
            (1, 9_000),
            (0, 51_000),
            (0, 41_000),
            (0, 42_000),
            (1, 9_500),
            (0, 90_000),
        ];
        for (number, (input, millis)) in (1..).zip(times) {
            let record = Record {
                start: 0,
                captured_len: 0,
                original_len: 0,
                mark: Mark {
                    time: Timestamp(millis * 1_000_000),
                    frame: FrameId::new(input, number),
                },
                link: LinkType::RAW,
                way: Way::Unknown,
                offset: 0,
                asked: true,
            };
            steps.judge(&[record], &mut told);
        }
        let steps: Vec<_> = told
            .observations
            .iter()
            .map(|observation| match observation.what {
                Seen::ClockStep { at, nanos } => (at.frame.number(), nanos),
                _ => panic!("{observation:?}"),
            })
            .collect();
        assert_eq!(steps, [(5, -10_000_000_000)]);
    }
}
