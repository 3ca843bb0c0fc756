//! Where reports go. In: the outputs that were asked for. Out: written reports.
//!
//! The rule: files are created before the long work, so that a full disk or a wrong path is told at once; an
//! input is never overwritten; a closed pipe is no error.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use gwcap::report::{Format, Report, View};

use crate::cli::{Inputs, Output};
use crate::run::failure::Failure;

/// An output that is open.
pub struct Sink {
    format: &'static Format,
    target: Target,
}

enum Target {
    Stdout,
    File(PathBuf, File),
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
                Target::File(path.clone(), file)
            }
        };
        sinks.push(Sink {
            format: output.format,
            target,
        });
    }
    Ok(sinks)
}

impl Sink {
    /// Writes the report.
    ///
    /// # Errors
    /// When the output cannot be written; a closed pipe is none.
    pub fn write(self, report: &Report, quiet: bool) -> Result<(), Failure> {
        let view = View {
            quiet,
            ..View::default()
        };
        match self.target {
            Target::Stdout => {
                let write =
                    |out: &mut dyn Write| (self.format.write)(report, &for_stdout(view), out);
                to_stdout(write)
            }
            Target::File(path, file) => {
                let mut out = BufWriter::new(file);
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
