//! The corridor's threads as help for diagnosis. In: numbers and what to do with each. Out: nothing; all of it is done.
//!
//! The rule: who waits for help helps himself, so that one thread alone does all of it.

use rayon::prelude::*;

use crate::diagnose::hands::Help;

/// Fewest errors that a task takes: less would cost more to hand out than it is worth.
const TASK_MIN: usize = 16;

/// The threads of the pool in which it is asked for.
#[derive(Debug)]
pub struct Threads;

impl Help for Threads {
    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count)
            .into_par_iter()
            .with_min_len(TASK_MIN)
            .for_each(work);
    }
}
