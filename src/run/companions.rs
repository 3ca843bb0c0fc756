//! What goes along with a run. In: its batches, and the analyzer between them. Out: findings as they are told,
//! and files of frames.
//!
//! The rule: news is taken from the analyzer here and nowhere else, so that all who want it have it.

use gwcap::analyzer::Analyzer;
use gwcap::capture::InputFacts;
use gwcap::frame::Batch;

use crate::run::failure::Failure;
use crate::run::feed::Companion;
use crate::run::output::Follower;
use crate::run::recording::Recording;

/// All that goes along with one run.
pub struct Companions<'s> {
    /// Tells findings as they come; none on files, where the report is all that is waited for.
    pub follower: Option<Follower<'s>>,
    /// Writes frames.
    pub recording: Recording,
}

impl Companion for Companions<'_> {
    fn frames(&mut self, batch: &Batch, inputs: &[InputFacts]) -> Result<bool, Failure> {
        Ok(self.recording.frames(batch, inputs))
    }

    fn look(&mut self, analyzer: &mut Analyzer) -> Result<bool, Failure> {
        if self.follower.is_none() && !self.recording.wants_news() {
            return Ok(true);
        }
        let news = analyzer.news();
        for one in &news {
            self.recording.note(&one.finding);
        }
        self.recording.settle();
        match &mut self.follower {
            Some(follower) => follower.tell(news),
            None => Ok(true),
        }
    }
}
