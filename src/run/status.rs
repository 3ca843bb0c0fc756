//! Where a live run stands. In: the analyzer, now and then. Out: a line on standard error that is written over, where that is
//! a terminal, and the whole state when SIGUSR1 asks for it.
//!
//! The rule: the line leaves nothing behind, and gives way to whatever else is written.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gwcap::analyzer::Analyzer;
use gwcap::capture::InputFacts;

use crate::run::memory;

/// How often the line is written.
const EVERY: Duration = Duration::from_secs(1);

/// Most columns of the line: a longer one would wrap on a small terminal and could not be written over.
const COLUMNS_MAX: usize = 79;

/// Most causes that the line names.
const CAUSES_MAX: usize = 3;

/// The status of one live run.
pub struct Status {
    asked: Arc<AtomicBool>,
    line: bool,
    shown: bool,
    begun: Instant,
    latest: Instant,
    exchanges: u64,
    frames: u64,
    drops: u64,
}

impl Status {
    /// The status of a run that begins now; SIGUSR1 asks for it from here on.
    ///
    /// # Errors
    /// When the signal cannot be listened for.
    pub fn new(quiet: bool) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&asked))?;
        Ok(Self {
            asked,
            line: !quiet && io::stderr().is_terminal(),
            shown: false,
            begun: Instant::now(),
            latest: Instant::now(),
            exchanges: 0,
            frames: 0,
            drops: 0,
        })
    }

    /// Notes what was read.
    pub fn note(&mut self, inputs: &[InputFacts]) {
        self.frames = inputs.iter().map(|input| input.frames).sum();
        self.drops = inputs
            .iter()
            .map(|input| input.kernel_drops.saturating_add(input.interface_drops))
            .sum();
    }

    /// Writes the line, or the state, when it is time.
    pub fn look(&mut self, analyzer: &mut Analyzer) {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.clear();
            say(&self.state(analyzer));
        }
        if self.line && self.latest.elapsed() >= EVERY {
            let line = self.line(analyzer);
            self.latest = Instant::now();
            self.shown = true;
            say(&format!("\r\x1b[K{line}"));
        }
    }

    /// Takes the line away, because something else is about to be written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            say("\r\x1b[K");
        }
    }

    fn line(&mut self, analyzer: &mut Analyzer) -> String {
        let (standing, _) = analyzer.standing();
        let seconds = self.latest.elapsed().as_secs_f64().max(0.001);
        let rate = standing.exchanges.saturating_sub(self.exchanges) as f64 / seconds;
        self.exchanges = standing.exchanges;
        let mut line = format!("{} frames, {} dropped, ", self.frames, self.drops);
        if let Some(bytes) = memory::resident() {
            let _ = write!(line, "{} MB, ", bytes / 1_000_000);
        }
        let _ = write!(line, "{rate:.0} exchanges/s, {}", errors(standing.findings));
        for (code, count) in standing.by_cause.iter().take(CAUSES_MAX) {
            let _ = write!(line, ", {count} {code}");
        }
        line.chars().take(COLUMNS_MAX).collect()
    }

    fn state(&self, analyzer: &mut Analyzer) -> String {
        let (standing, latest) = analyzer.standing();
        let mut text = format!(
            "gwcap: running for {} s: {} frames, {} dropped\n",
            self.begun.elapsed().as_secs(),
            self.frames,
            self.drops
        );
        let _ = writeln!(
            text,
            "gwcap: {} exchanges on {} connections, {} application errors, {} client aborts",
            standing.exchanges,
            standing.connections,
            standing.application_errors,
            standing.client_aborts
        );
        let causes: Vec<String> = standing
            .by_cause
            .iter()
            .map(|(code, count)| format!("{count} {code}"))
            .collect();
        let _ = writeln!(
            text,
            "gwcap: {}{}{}",
            errors(standing.findings),
            if causes.is_empty() { "" } else { ": " },
            causes.join(", ")
        );
        if let Some(latest) = latest {
            let _ = writeln!(text, "gwcap: latest frame at {latest}");
        }
        if let Some(bytes) = memory::resident() {
            let _ = writeln!(text, "gwcap: {} MB of memory", bytes / 1_000_000);
        }
        text
    }
}

fn errors(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} gateway error{plural}")
}

/// Where standard error is closed nobody wants to know.
fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
