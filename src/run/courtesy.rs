//! How far a live run lets the gateway go first. In: how the reading goes. Out: a dial for the threads of the analysis.
//!
//! The rule: as long as the kernel's ring is emptied again and again, the analysis stands back at every turn. The longer the
//! ring goes unemptied, the less it does, and in the end it takes what every program may take until it has caught up: no frame
//! may be dropped, and findings must not be late.

use std::time::{Duration, Instant};

use gwcap::analyzer::courtesy::Courtesy;

/// How long the ring may go unemptied before the analysis stands back less. Where nothing else is said it holds a tenth of a
/// second of 150 MB/s, and who goes ahead after half of that comes too late.
pub const PATIENCE: Duration = Duration::from_millis(15);
/// How long before it does not stand back any more.
const PATIENCE_MAX: Duration = Duration::from_millis(30);

/// Pieces of work between two looks at who waits, about 20 microseconds, which no request notices; a look costs half of one.
const OFTEN: u32 = 16;
/// The same where time is short: about a tenth of the slice that the kernel gives.
const SELDOM: u32 = 128;
const NEVER: u32 = 0;

/// Turns the dial.
#[derive(Debug)]
pub struct Balance {
    courtesy: Courtesy,
    behind_since: Option<Instant>,
}

impl Balance {
    /// Begins with all courtesy.
    pub fn new(courtesy: Courtesy) -> Self {
        courtesy.set(OFTEN);
        Self {
            courtesy,
            behind_since: None,
        }
    }

    /// A batch was read; it is `full` where the kernel may hold more.
    pub fn read(&mut self, full: bool) {
        if full {
            self.waits(Duration::ZERO);
        } else {
            self.behind_since = None;
            self.courtesy.set(OFTEN);
        }
    }

    /// The analysis has not done with what it has for as long as this.
    pub fn waits(&mut self, waited: Duration) {
        let now = Instant::now();
        let began = now.checked_sub(waited).unwrap_or(now);
        let behind = now.duration_since(*self.behind_since.get_or_insert(began));
        self.courtesy.set(if behind >= PATIENCE_MAX {
            NEVER
        } else if behind >= PATIENCE {
            SELDOM
        } else {
            OFTEN
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_it_is_behind_the_less_it_stands_back() {
        let courtesy = Courtesy::default();
        let mut balance = Balance::new(courtesy.clone());
        assert_eq!(courtesy.pieces(), OFTEN);
        balance.read(true);
        assert_eq!(courtesy.pieces(), OFTEN);
        std::thread::sleep(PATIENCE_MAX);
        balance.read(true);
        assert_eq!(courtesy.pieces(), NEVER);
        balance.read(false);
        assert_eq!(courtesy.pieces(), OFTEN);
        balance.waits(PATIENCE);
        assert!([SELDOM, NEVER].contains(&courtesy.pieces()));
        balance.waits(PATIENCE_MAX);
        balance.read(false);
        balance.waits(PATIENCE_MAX);
        assert_eq!(courtesy.pieces(), NEVER);
    }
}
