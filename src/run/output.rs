//! Where reports go. In: the outputs that were asked for. Out: written reports.
//!
//! The rule: files are created before the long work, so that a full disk or a wrong path is told at once; an
//! input is never overwritten; a closed pipe is no error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gwcap::diagnose::finding::News;
use gwcap::report::model::Cause;
use gwcap::report::{self, Finding, Format, Report, Revision, View};

use crate::cli::{Inputs, Output};
use crate::run::failure::Failure;

/// How long a pipe is read before findings are told one by one: what is over by then is one report.
const NEWS_AFTER: Duration = Duration::from_secs(1);

/// An output that is open.
pub struct Sink {
    format: &'static Format,
    target: Target,
    told: BTreeMap<String, Told>,
}

/// What a reader was told of a finding.
struct Told {
    revision: Revision,
    cause: Cause,
}

/// Tells findings as they come, to the outputs whose format can.
pub struct Follower<'s> {
    sinks: &'s mut [Sink],
    quiet: bool,
    show_secrets: bool,
    begun: Instant,
    /// How long after its beginning findings are told one by one.
    after: Duration,
    /// What is not told yet.
    news: Vec<News>,
}

impl<'s> Follower<'s> {
    /// Follows a run that begins now.
    pub fn new(sinks: &'s mut [Sink], quiet: bool, show_secrets: bool, live: bool) -> Self {
        Self {
            after: if live { Duration::ZERO } else { NEWS_AFTER },
            sinks,
            quiet,
            show_secrets,
            begun: Instant::now(),
            news: Vec::new(),
        }
    }

    /// Tells what was found since the last call, as soon as it is time. False when nobody reads standard output any more.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn tell(&mut self, news: Vec<News>) -> Result<bool, Failure> {
        if !self.sinks.iter().any(Sink::follows) {
            return Ok(true);
        }
        self.news.extend(news);
        if self.begun.elapsed() < self.after {
            return Ok(true);
        }
        for news in self.news.drain(..) {
            let finding = report::one_finding(&news.finding, self.show_secrets);
            for sink in self.sinks.iter_mut() {
                if !sink.tell(&finding, news.last, self.quiet)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn revisions(told: BTreeMap<String, Told>) -> BTreeMap<String, Revision> {
    told.into_iter()
        .map(|(id, told)| (id, told.revision))
        .collect()
}

enum Target {
    Stdout,
    File(PathBuf, BufWriter<File>),
}

/// Opens the outputs.
///
/// # Errors
/// An output that is also an input, or a file that cannot be created.
pub fn open(outputs: &[Output], inputs: &Inputs) -> Result<Vec<Sink>, Failure> {
    let taken: Vec<PathBuf> = match inputs {
        Inputs::Files(files) => files
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect(),
        Inputs::Interfaces(_) => Vec::new(),
    };
    let mut sinks = Vec::new();
    // All are judged before the first is created.
    for path in outputs.iter().filter_map(|output| output.path.as_ref()) {
        if fs::canonicalize(path).is_ok_and(|path| taken.contains(&path)) {
            return Err(Failure::usage(format!(
                "{} is an input: -o would overwrite it",
                path.display()
            )));
        }
    }
    for output in outputs {
        let target = match &output.path {
            None => Target::Stdout,
            Some(path) => {
                let created = File::create(path);
                let file = created
                    .map_err(|error| Failure::output(&path.display().to_string(), &error))?;
                Target::File(path.clone(), BufWriter::new(file))
            }
        };
        sinks.push(Sink {
            format: output.format,
            target,
            told: BTreeMap::new(),
        });
    }
    Ok(sinks)
}

impl Sink {
    fn follows(&self) -> bool {
        self.format.news.is_some()
    }

    /// Writes one finding and sees to it that it gets through; false when standard output is closed.
    fn tell(&mut self, finding: &Finding, last: bool, quiet: bool) -> Result<bool, Failure> {
        let before = self.told.get(&finding.id);
        let revision = Revision {
            number: before.map_or(0, |told| told.revision.number.saturating_add(1)),
            last,
            changed: before.is_some_and(|told| told.cause != finding.cause),
        };
        let Some(write) = self.format.news else {
            return Ok(true);
        };
        let cause = finding.cause.clone();
        self.told
            .insert(finding.id.clone(), Told { revision, cause });
        let view = View {
            quiet,
            ..View::default()
        };
        match &mut self.target {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                let written = write(finding, revision, &for_stdout(view), &mut out);
                match written.and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                    Err(error) => Err(Failure::output("standard output", &error)),
                    Ok(()) => Ok(true),
                }
            }
            Target::File(path, out) => {
                let written = write(finding, revision, &view, out).and_then(|()| out.flush());
                written
                    .map(|()| true)
                    .map_err(|error| Failure::output(&path.display().to_string(), &error))
            }
        }
    }

    /// Writes the report.
    ///
    /// # Errors
    /// When the output cannot be written; a closed pipe is none.
    pub fn write(self, report: &Report, quiet: bool) -> Result<(), Failure> {
        let view = View {
            quiet,
            told: revisions(self.told),
            ..View::default()
        };
        match self.target {
            Target::Stdout => {
                let write =
                    |out: &mut dyn Write| (self.format.write)(report, &for_stdout(view), out);
                to_stdout(write)
            }
            Target::File(path, mut out) => {
                let written =
                    (self.format.write)(report, &view, &mut out).and_then(|()| out.flush());
                written.map_err(|error| Failure::output(&path.display().to_string(), &error))
            }
        }
    }
}

/// Colours and the local time are for a person at a terminal.
fn for_stdout(view: View) -> View {
    let stdout = io::stdout();
    View {
        color: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        zone: stdout.is_terminal().then(jiff::tz::TimeZone::system),
        ..view
    }
}

/// Writes to standard output; a reader that has gone away has seen enough.
///
/// # Errors
/// Any other reason for which it cannot be written.
pub fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output("standard output", &error))
        }
        _ => Ok(()),
    }
}
