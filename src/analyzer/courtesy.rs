//! Room for the gateway on its own processors. In: how much time there is. Out: threads that let others go first.
//!
//! The rule: a live capture shares the processors with the gateway that it watches, and its own work may wait a moment where
//! the gateway's may not. A thread that yields between small pieces of work is passed by whoever waits for its processor, and
//! where nobody does it goes on at once. Measured with both processors busy: where the gateway had to wait for the end of a
//! slice, a fifth of the processors' time was idle. A scheduling policy (SCHED_IDLE) would do the same, but nobody without a
//! privilege comes back from it when frames pile up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often the threads of an analysis let others go first. All clones are one dial; at first they never do.
#[derive(Clone, Debug, Default)]
pub struct Courtesy(Arc<AtomicU32>);

impl Courtesy {
    /// Pieces of work (a packet followed, an observation judged: one to two microseconds) after which others may go; 0 is
    /// never. Holds for work that is under way too.
    pub fn set(&self, pieces: u32) {
        self.0.store(pieces, Ordering::Relaxed);
    }

    /// After how many pieces others may go.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The pace of one thread's work.
    pub(super) fn pace(&self) -> Pace<'_> {
        Pace {
            courtesy: self,
            pieces: 0,
        }
    }
}

/// Counts what one thread has done.
pub(super) struct Pace<'a> {
    courtesy: &'a Courtesy,
    pieces: u32,
}

impl Pace<'_> {
    /// So many pieces of work are done.
    pub(super) fn did(&mut self, pieces: u32) {
        let most = self.courtesy.pieces();
        self.pieces = self.pieces.saturating_add(pieces);
        if most != 0 && self.pieces >= most {
            self.pieces = 0;
            std::thread::yield_now();
        }
    }
}
