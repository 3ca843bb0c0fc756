//! Signals to others: --metrics and --on-finding. In: findings, and the state of a run. Out: requests to the errands.
//!
//! The rule: nobody waits for others. What there is no room for is counted.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gwcap::analyzer::Analyzer;
use gwcap::capture::InputFacts;
use gwcap::diagnose::finding::{Finding, News};
use gwcap::report;
use gwcap::time::Timestamp;

use crate::cli::Settings;
use crate::run::errands::commands::{self, Tally};
use crate::run::errands::run::END_PATIENCE;
use crate::run::errands::start::{self, AtWork, RUN, SERVE, Started};
use crate::run::errands::wire::Request;
use crate::run::failure::Failure;
use crate::run::metrics::{Metrics, State};
use crate::run::sandbox::person::Person;

/// How often a page is made.
const EVERY: Duration = Duration::from_millis(500);

/// What the runner may take beyond [`END_PATIENCE`]: to end a program that does not want to.
const END_SLACK: Duration = Duration::from_secs(5);

/// Most findings that are remembered as told: as many as an analysis keeps.
const TOLD_MAX: usize = gwcap::diagnose::FINDINGS_MAX;

/// The errands of a run, started and not yet spoken to.
pub struct Starting {
    server: Option<Started>,
    runner: Option<Started>,
    show_secrets: bool,
}

impl Starting {
    /// Starts what the settings ask for.
    ///
    /// # Errors
    /// An address that cannot be listened on; a process that cannot be started.
    pub fn of(settings: &Settings, person: &Person) -> Result<Self, Failure> {
        let server = settings
            .metrics
            .map(|address| start::start(SERVE, person, &[&address.to_string()]));
        let runner = settings.on_finding.as_ref().map(|wanted| {
            let seconds = wanted.seconds.to_string();
            start::start(RUN, person, &[&wanted.command, &seconds])
        });
        Ok(Self {
            server: server.transpose()?,
            runner: runner.transpose()?,
            show_secrets: settings.show_secrets,
        })
    }

    /// Begins to speak to them; from here on there are threads.
    pub fn work(self) -> Signals {
        Signals {
            server: self.server.map(Started::work),
            runner: self.runner.map(Started::work),
            show_secrets: self.show_secrets,
            metrics: Metrics::default(),
            inputs: Vec::new(),
            told: BTreeSet::new(),
            dropped: 0,
            made: None,
            gone: false,
        }
    }
}

/// The signals of one run.
pub struct Signals {
    server: Option<AtWork>,
    runner: Option<AtWork>,
    show_secrets: bool,
    metrics: Metrics,
    inputs: Vec<InputFacts>,
    /// Findings for which the program was asked for.
    told: BTreeSet<String>,
    dropped: u64,
    /// When the latest page was made.
    made: Option<Instant>,
    /// Whether it was said that nobody takes pages.
    gone: bool,
}

impl Signals {
    /// Notes what was read.
    pub fn note(&mut self, inputs: &[InputFacts]) {
        if self.server.is_some() {
            self.inputs = inputs.to_vec();
        }
    }

    /// Takes what was told.
    pub fn tell(&mut self, news: &[News]) {
        for one in news {
            if self.server.is_some() {
                self.metrics.note(one);
            }
            self.run_for(&one.finding, one.last);
        }
    }

    /// Makes a page when it is time.
    pub fn look(&mut self, analyzer: &mut Analyzer) {
        let Some(server) = &self.server else { return };
        let now = Instant::now();
        if self
            .made
            .is_some_and(|made| now.duration_since(made) < EVERY)
        {
            return;
        }
        self.made = Some(now);
        let (standing, latest) = analyzer.standing();
        let page = self.metrics.page(
            &State {
                inputs: &self.inputs,
                exchanges: standing.exchanges,
                latest,
                now: machine_time(),
                programs_dropped: self.dropped,
            },
            now,
        );
        if !server.ask(Request::Page(page)) && !self.gone {
            self.gone = true;
            say("--metrics: the process that serves them does not take new numbers any more");
        }
    }

    /// The capture is over: programs run for what only its end has shown, and what went wrong with them is said.
    pub fn finish(mut self, findings: &[Finding]) {
        for finding in findings {
            self.run_for(finding, true);
        }
        if let Some(server) = self.server {
            drop(server.finish(Duration::ZERO));
        }
        let Some(runner) = self.runner else { return };
        let answer = runner.finish(END_PATIENCE.saturating_add(END_SLACK));
        let tally = answer.and_then(|line| serde_json::from_str::<Tally>(&line).ok());
        let complaint = match tally {
            Some(tally) => Tally {
                dropped: tally.dropped.saturating_add(self.dropped),
                ..tally
            }
            .complaint(),
            None => Some("--on-finding: the process that runs it has gone".to_owned()),
        };
        if let Some(complaint) = complaint {
            say(&complaint);
        }
    }

    /// Has the program run once for a finding.
    fn run_for(&mut self, finding: &Finding, last: bool) {
        let Some(runner) = &self.runner else { return };
        if self.told.contains(&finding.id) {
            return;
        }
        let program = || {
            let finding = report::one_finding(finding, self.show_secrets);
            Request::Program(commands::program(&finding, last))
        };
        if self.told.len() >= TOLD_MAX || !runner.ask(program()) {
            self.dropped = self.dropped.saturating_add(1);
        }
        if self.told.len() < TOLD_MAX {
            self.told.insert(finding.id.clone());
        }
    }
}

/// Where standard error is closed nobody wants to know.
fn say(words: &str) {
    let _ = writeln!(io::stderr(), "gwcap: {words}");
}

fn machine_time() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok().map(Timestamp)
}
