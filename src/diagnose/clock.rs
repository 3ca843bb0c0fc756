//! The clock of the capture. In: its steps, and the dates that servers write. Out: which times may not be compared,
//! and warnings.
//!
//! The rule: no wait is measured across a step. A server's date may be old, out of a cache, and one server's clock may
//! be wrong: the capture's clock is doubted only where no server agrees with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::diagnose::attempt::millis;
use crate::diagnose::finding::{Diagnosis, Warning};
use crate::frame::Mark;
use crate::protocol::observation::ResponseHead;
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most steps that are remembered: a clock that is set more often is not to be trusted at all.
const STEPS_MAX: usize = 64;

/// Most servers whose dates are compared; a clock that is wrong is wrong for all.
const SERVERS_MAX: usize = 256;

/// How far the dates of servers may be off, seconds (causes.md D.26).
const DATES_APART_SECONDS_MAX: i64 = 300;

/// What is known of the clock.
#[derive(Debug, Default)]
pub struct Clock {
    steps: Vec<Step>,
    /// Steps that are not among them.
    further: u64,
    /// By how many seconds the latest date of each server was ahead of the capture.
    dates: BTreeMap<IpAddr, i64>,
    /// The date that was read latest: servers write the same for a second.
    latest_date: Option<(Box<[u8]>, Option<Timestamp>)>,
}

/// A step of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The first frame after it.
    at: Mark,
    /// By how much it was set ahead; negative where it was set back. Nanoseconds.
    nanos: i64,
}

impl Step {
    /// What happened, one clause.
    #[must_use]
    pub fn words(&self) -> String {
        let way = if self.nanos < 0 { "back" } else { "ahead" };
        format!(
            "the capture's clock went {way} by {}",
            millis(self.nanos.saturating_abs())
        )
    }
}

impl Clock {
    /// Notes a step before the frame `at`.
    pub fn stepped(&mut self, at: Mark, nanos: i64) {
        // Every connection notices a step by itself.
        let near = |step: &&mut Step| {
            let apart = at.time.nanos_since(step.at.time).abs();
            step.nanos.signum() == nanos.signum() && apart < NANOS_PER_SECOND
        };
        if let Some(known) = self.steps.iter_mut().find(near) {
            known.at = known.at.min(at);
        } else if self.steps.len() < STEPS_MAX {
            self.steps.push(Step { at, nanos });
        } else {
            self.further += 1;
        }
    }

    /// A step between two frames, if there was one. Of another input than theirs any step may lie between.
    #[must_use]
    pub fn step_between(&self, from: Mark, until: Mark) -> Option<&Step> {
        let (first, last) = (from.frame, until.frame);
        let between = |step: &&Step| {
            let at = step.at.frame;
            first.input() != last.input()
                || first.input() != at.input()
                || (first.number() < at.number() && at.number() <= last.number())
                || self.further > 0
        };
        self.steps.iter().find(between)
    }

    /// Notes the date of a response.
    pub fn dated(&mut self, server: IpAddr, head: &ResponseHead) {
        let Some(written) = head.kept.get("date") else {
            return;
        };
        let date = match &self.latest_date {
            Some((text, date)) if **text == *written => *date,
            _ => {
                let text = String::from_utf8_lossy(written);
                let date = Timestamp::from_http_date(&text);
                self.latest_date = Some((written.into(), date));
                date
            }
        };
        let Some(date) = date else { return };
        if self.dates.len() >= SERVERS_MAX && !self.dates.contains_key(&server) {
            return;
        }
        let nanos = date.nanos_since(head.at.time);
        let ahead = nanos.saturating_add(NANOS_PER_SECOND / 2) / NANOS_PER_SECOND;
        let latest = self.dates.entry(server).or_insert(ahead);
        *latest = ahead.max(*latest);
    }

    /// Adds the warnings that the clock calls for.
    pub fn warn(&self, out: &mut Diagnosis) {
        if let Some(first) = self.steps.first() {
            let count = self.steps.len() as u64 + self.further;
            out.warnings.push(Warning {
                code: "clock-stepped",
                message: format!(
                    "{} before frame {} (steps: {count}): no wait is measured across a step, and what spans one is not certain",
                    first.words(),
                    first.at.frame.number(),
                ),
                remedy: "let the clock be slewed and not stepped while capturing (chrony: `makestep` at the start only); do not join files out of order"
                    .to_owned(),
            });
        }
        let best = self.dates.values().min_by_key(|ahead| ahead.abs());
        if let Some(ahead) = best.filter(|ahead| ahead.abs() > DATES_APART_SECONDS_MAX) {
            let way = if *ahead > 0 { "behind" } else { "ahead of" };
            out.warnings.push(Warning {
                code: "clock-disagrees",
                message: format!(
                    "the clock of the capture is {} s {way} the Date headers of the servers that send one ({}): times, and what depends on them, may be wrong",
                    ahead.abs(),
                    self.dates.len(),
                ),
                remedy: "compare the clocks of the capturing machine and of the servers: `chronyc tracking`, `date -u`"
                    .to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    fn mark(input: u16, number: u64, millis: i64) -> Mark {
        Mark {
            time: Timestamp(millis * 1_000_000),
            frame: FrameId::new(input, number),
        }
    }

    #[test]
    fn a_step_lies_between_frames_and_not_between_times() {
        let mut clock = Clock::default();
        clock.stepped(mark(0, 10, 5_000), -3_000_000_000);
        let between = |from: (u16, u64), until: (u16, u64)| {
            let (from, until) = (mark(from.0, from.1, 0), mark(until.0, until.1, 0));
            clock.step_between(from, until).is_some()
        };
        assert!(between((0, 9), (0, 10)) && between((0, 1), (0, 99)));
        assert!(!between((0, 1), (0, 9)) && !between((0, 10), (0, 99)));
        assert!(between((1, 1), (1, 2)), "frames of another input");
    }

    #[test]
    fn one_step_is_noticed_on_many_connections() {
        let mut clock = Clock::default();
        for number in 10..20 {
            clock.stepped(mark(0, number, 60_000), 59_000_000_000);
        }
        assert_eq!((clock.steps.len(), clock.further), (1, 0));
        for number in 0..100 {
            clock.stepped(mark(0, number, number as i64 * 9_000), -2_000_000_000);
        }
        assert_eq!((clock.steps.len(), clock.further), (STEPS_MAX, 37));
        assert!(
            clock
                .step_between(mark(0, 9_000, 0), mark(0, 9_001, 0))
                .is_some()
        );
    }
}
