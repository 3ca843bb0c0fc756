//! What goes along with a run. In: its batches, and the analyzer between them. Out: findings as they are told.
//!
//! The rule: news is taken from the analyzer here and nowhere else, so that all who want it have it.

use std::time::Instant;

use gwcap::analyzer::Analyzer;
use gwcap::capture::InputFacts;
use gwcap::frame::Batch;

use crate::run::failure::Failure;
use crate::run::feed::Companion;
use crate::run::output::Follower;
use crate::run::upstreams::Upstreams;

/// All that goes along with one run.
pub struct Companions<'s> {
    /// Tells findings as they come; none on files, where the report is all that is waited for.
    pub follower: Option<Follower<'s>>,
    /// Widens the filter by upstreams; none where no filter is widened.
    pub upstreams: Option<Upstreams>,
    /// When the latest frames came.
    pub latest: Instant,
}

impl Companion for Companions<'_> {
    fn frames(&mut self, batch: &Batch, _inputs: &[InputFacts]) -> Result<bool, Failure> {
        if !batch.records.is_empty() {
            self.latest = Instant::now();
        }
        Ok(true)
    }

    fn look(&mut self, analyzer: &mut Analyzer) -> Result<bool, Failure> {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.look(analyzer);
        }
        match &mut self.follower {
            Some(follower) => {
                let waited = i64::try_from(self.latest.elapsed().as_nanos()).unwrap_or(i64::MAX);
                follower.tell(analyzer.news(Some(waited)))
            }
            None => Ok(true),
        }
    }
}
