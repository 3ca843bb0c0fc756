//! All that writes frames during a run. In: batches and findings. Out: files.
//!
//! The rule: a file that cannot be written ends the run where the user asked for that file (-w), but not what was seen:
//! it is judged and reported first.

use std::io::{self, IsTerminal};

use gwcap::capture::{Holding, InputFacts, LiveOptions};
use gwcap::diagnose::finding::{Diagnosis, Finding, Warning};
use gwcap::frame::Batch;
use gwcap::loss::Loss;

use crate::cli::{Evidence, Settings, Write};
use crate::run::confine::Confinement;
use crate::run::create::Taken;
use crate::run::dump::Dump;
use crate::run::failure::Failure;
use crate::run::incidents::Incidents;
use crate::run::secrets::Lent;
use crate::run::slice::SliceFile;

/// The writers of a run.
#[derive(Default)]
pub struct Recording {
    dumps: Vec<Dump>,
    incidents: Option<Incidents>,
    slice: Option<SliceFile>,
    /// The facts of the inputs after the last batch.
    inputs: Vec<InputFacts>,
    failure: Option<Failure>,
}

/// What a recording leaves.
#[derive(Default)]
pub struct Recorded {
    /// What could not be written.
    pub loss: Loss,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// The first file that could not be written.
    pub failure: Option<Failure>,
}

impl Recording {
    /// Opens what the settings ask for.
    ///
    /// # Errors
    /// A file that is taken or cannot be created.
    pub fn open(
        settings: &Settings,
        inputs: Vec<InputFacts>,
        confinement: &Confinement<'_>,
        lent: Option<Lent>,
    ) -> Result<Self, Failure> {
        if let Some(Evidence { path, .. }) = &settings.evidence
            && settings.inputs.ends_elsewhere()
            && settings.inputs.files().len() > 1
            && !settings.one_machine
        {
            return Err(Failure::usage(format!(
                "--evidence {}: a pipe beside files may be of another machine, and machines never share a file: \
                 read the pipe alone, or say --one-machine",
                path.display()
            )));
        }
        let mut taken = Taken::by(&settings.inputs);
        for path in settings
            .outputs
            .iter()
            .filter_map(|output| output.path.as_ref())
        {
            taken.add(path, "a report");
        }
        let mut recording = Self::default();
        let all = settings.write_all.as_ref().map(|path| Write {
            path: path.clone(),
            seconds: None,
            bytes: None,
            count: None,
        });
        let asked = settings.write.clone();
        if asked.as_ref().is_some_and(Write::is_stdout) && io::stdout().is_terminal() {
            let message = "-w - would write a binary file to the terminal: name a file or a pipe";
            return Err(Failure::usage(message));
        }
        for (to, holding, flag) in [
            (asked, Holding::Asked, "-w"),
            (all, Holding::All, "--write-all"),
        ] {
            if let Some(to) = to {
                let path = to.path.clone();
                let again = to.rotates();
                let dump =
                    confinement.opened(again, || Dump::new(to, holding, flag, &inputs, &taken))?;
                taken.add(&path, "the file of -w");
                recording.dumps.push(dump);
            }
        }
        if let Some(evidence) = &settings.evidence {
            if settings.inputs.ends_elsewhere() {
                let incidents = confinement.opened_folder(&evidence.path, || {
                    Incidents::open(evidence, settings.show_secrets, lent)
                })?;
                recording.incidents = Some(incidents);
            } else {
                // Further machines have files of their own, beside it.
                let slice = confinement.opened(true, || {
                    SliceFile::create(&evidence.path, evidence.reach, &taken, lent)
                })?;
                recording.slice = Some(slice);
            }
        }
        recording.inputs = inputs;
        Ok(recording)
    }

    /// Whether findings are wanted as they come.
    pub const fn wants_news(&self) -> bool {
        self.incidents.is_some()
    }

    /// Writes and keeps the frames of a batch. False when the run is to end.
    pub fn frames(&mut self, batch: &Batch, inputs: &[InputFacts]) -> bool {
        self.inputs = inputs.to_vec();
        if let Some(incidents) = &mut self.incidents {
            incidents.frames(batch);
        }
        let mut go_on = true;
        for dump in &mut self.dumps {
            match dump.frames(batch, inputs) {
                Ok(more) => go_on &= more,
                Err(failure) => {
                    self.failure.get_or_insert(failure);
                    go_on = false;
                }
            }
        }
        go_on
    }

    /// Takes a finding.
    pub fn note(&mut self, finding: &Finding) {
        if let Some(incidents) = &mut self.incidents {
            incidents.note(finding);
        }
    }

    /// Writes what has waited long enough.
    pub fn settle(&mut self) {
        if let Some(incidents) = &mut self.incidents {
            incidents.settle(&self.inputs);
        }
    }

    /// Ends all files. `records` is how many frames were analysed.
    pub fn finish(
        self,
        settings: &Settings,
        live: LiveOptions,
        diagnosis: &Diagnosis,
        records: u64,
    ) -> Recorded {
        let findings = &diagnosis.findings;
        let mut recorded = Recorded {
            failure: self.failure,
            ..Recorded::default()
        };
        for dump in self.dumps {
            recorded.add(dump.finish(&self.inputs));
        }
        if let Some(incidents) = self.incidents {
            let (loss, warnings, failure) = incidents.finish(findings, &self.inputs);
            recorded.loss.merge(loss);
            recorded.warnings = warnings;
            recorded.failure = recorded.failure.or(failure);
        }
        if let Some(slice) = self.slice {
            recorded.add(slice.write(settings, live, diagnosis, records));
        }
        recorded
    }
}

impl Recorded {
    fn add(&mut self, written: Result<Loss, Failure>) {
        match written {
            Ok(loss) => self.loss.merge(loss),
            Err(failure) => {
                self.failure.get_or_insert(failure);
            }
        }
    }
}
