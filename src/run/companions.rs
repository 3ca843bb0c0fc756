//! What goes along with a run. In: its batches, and the analyzer between them. Out: findings as they are told,
//! and files of frames.
//!
//! The rule: news is taken from the analyzer here and nowhere else, so that all who want it have it.

use std::time::Instant;

use gwcap::analyzer::Analyzer;
use gwcap::capture::InputFacts;
use gwcap::frame::Batch;

use crate::run::absences::Absences;
use crate::run::failure::Failure;
use crate::run::feed::Companion;
use crate::run::keys::Keys;
use crate::run::output::Follower;
use crate::run::recording::Recording;
use crate::run::signals::Signals;
use crate::run::status::Status;
use crate::run::upstreams::Upstreams;

/// All that goes along with one run.
pub struct Companions<'s> {
    /// Tells findings as they come; none on files, where the report is all that is waited for.
    pub follower: Option<Follower<'s>>,
    /// Writes frames.
    pub recording: Recording,
    /// Widens the filter by upstreams; none where no filter is widened.
    pub upstreams: Option<Upstreams>,
    /// Tells where a live run stands; none elsewhere.
    pub status: Option<Status>,
    /// Tells which interfaces go and come.
    pub absences: Absences,
    /// Secrets that the user gives.
    pub keys: Keys,
    /// Metrics and programs.
    pub signals: Signals,
    /// When the latest frames came.
    pub latest: Instant,
}

impl Companion for Companions<'_> {
    fn frames(
        &mut self,
        analyzer: &mut Analyzer,
        batch: &Batch,
        inputs: &[InputFacts],
    ) -> Result<bool, Failure> {
        self.keys.bring(inputs, analyzer);
        // These frames were waited for since the last look, and what opens them was most likely written meanwhile: a short
        // connection is over in the same batch.
        self.keys.look(analyzer)?;
        if let Some(status) = &mut self.status {
            status.note(inputs);
        }
        self.signals.note(inputs);
        self.absences.note(inputs, &mut self.status);
        if !batch.records.is_empty() {
            self.latest = Instant::now();
        }
        Ok(self.recording.frames(batch, inputs))
    }

    fn look(&mut self, analyzer: &mut Analyzer) -> Result<bool, Failure> {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.look(analyzer, &mut self.status);
        }
        if let Some(status) = &mut self.status {
            status.look(analyzer);
        }
        self.signals.look(analyzer);
        if self.follower.is_none() && !self.recording.wants_news() {
            return Ok(true);
        }
        let waited = i64::try_from(self.latest.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let news = analyzer.news(Some(waited).filter(|_| self.follower.is_some()));
        for one in news.iter().filter(|one| one.settled) {
            self.recording.note(&one.finding);
        }
        self.recording.settle();
        self.signals.tell(&news);
        if let Some(status) = self.status.as_mut().filter(|_| !news.is_empty()) {
            status.clear();
        }
        match &mut self.follower {
            Some(follower) => follower.tell(news),
            None => Ok(true),
        }
    }
}
