//! The frames of findings, written. In: a slice and the frames that it is looked for in. Out: pcapng, a file a machine.
//!
//! The rule: frames of several machines never share a file. A file is one machine's view, and in a common one a reset
//! that was lost between two machines would look as if it had arrived.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use gwcap::capture::{Fill, Holding, InputFacts, LiveOptions, Section, Writer};
use gwcap::diagnose::clocks::Clocks;
use gwcap::diagnose::finding::Diagnosis;
use gwcap::frame::{Batch, Frame};
use gwcap::loss::Loss;
use gwcap::report::evidence::{Reach, Slice};

use crate::cli::Settings;
use crate::run::create::{self, Taken};
use crate::run::dump::APPLICATION;
use crate::run::failure::Failure;
use crate::run::open;
use crate::run::progress::Progress;
use crate::run::secrets::{Lent, OfFile};

/// The flag that asks for this.
const FLAG: &str = "--evidence";

/// The file of --evidence, made before anything is read, so that a wrong path is told at once.
pub struct SliceFile {
    path: PathBuf,
    file: File,
    reach: Reach,
    taken: Taken,
    lent: Option<Lent>,
}

impl SliceFile {
    /// Creates the file.
    ///
    /// # Errors
    /// A path that is taken or cannot be created.
    pub fn create(
        path: &Path,
        reach: Reach,
        taken: &Taken,
        lent: Option<Lent>,
    ) -> Result<Self, Failure> {
        taken.refuse(path, FLAG)?;
        let file = create::file(path)
            .map_err(|error| Failure::output(&path.display().to_string(), &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            reach,
            taken: taken.clone(),
            lent,
        })
    }

    /// Reads the inputs again, as far as they were analysed, and writes what `findings` rest on.
    ///
    /// # Errors
    /// An input that cannot be read again, or a file that cannot be written.
    pub fn write(
        self,
        settings: &Settings,
        live: LiveOptions,
        diagnosis: &Diagnosis,
        records: u64,
    ) -> Result<Loss, Failure> {
        let (findings, clocks) = (&diagnosis.findings, &diagnosis.clocks);
        let mut slice = Slice::default();
        for finding in findings {
            slice.add(finding, self.reach, settings.show_secrets);
        }
        let comments = remarks_at_the_head(&slice, self.lent.is_some());
        let sources = open::open(settings.inputs.clone(), settings.filter.clone(), live)?;
        let mut sources = sources.corrected(&clocks.errors());
        let mut progress = Progress::new(settings.inputs.files());
        let mut machines = Machines::new(&self, &comments, sources.describe(), clocks);
        machines.begin(0)?;
        let (mut batch, mut left) = (Batch::default(), records);
        let bytes = settings
            .batch_bytes
            .unwrap_or(crate::run::feed::BATCH_BYTES);
        while left > 0 && !findings.is_empty() {
            let state = sources.fill(&mut batch, bytes)?;
            let frames = usize::try_from(left).unwrap_or(usize::MAX);
            machines.inputs = sources.describe();
            for record in batch.records.iter().take(frames) {
                let frame = batch.frame(record);
                if slice.wants(&frame) {
                    machines.frame(&frame, slice.remarks(record.mark.frame))?;
                }
            }
            left = left.saturating_sub(batch.records.len() as u64);
            progress.show(machines.inputs.iter().map(|input| input.stored_bytes).sum());
            if state == Fill::End {
                break;
            }
        }
        progress.clear();
        machines.finish()
    }
}

/// What the section header of a slice says.
pub fn remarks_at_the_head(slice: &Slice, with_secrets: bool) -> Vec<String> {
    let mut remarks = slice.told();
    if remarks.is_empty() {
        remarks.push("no findings".to_owned());
    }
    remarks.push(
        "These frames are as they were captured: secrets in them were not taken out.".to_owned(),
    );
    if with_secrets {
        remarks.push(
            "TLS secrets of its connections are in this file: whoever has it can read them."
                .to_owned(),
        );
    }
    remarks
}

/// The files of the machines, as far as they have frames; that of the first is always there.
struct Machines<'a> {
    of: &'a SliceFile,
    comments: &'a [String],
    inputs: Vec<InputFacts>,
    clocks: &'a Clocks,
    writers: BTreeMap<u16, (String, Writer<BufWriter<File>>, OfFile)>,
}

impl<'a> Machines<'a> {
    fn new(
        of: &'a SliceFile,
        comments: &'a [String],
        inputs: Vec<InputFacts>,
        clocks: &'a Clocks,
    ) -> Self {
        Self {
            of,
            comments,
            inputs,
            clocks,
            writers: BTreeMap::new(),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, remarks: &[String]) -> Result<(), Failure> {
        let machine = self.clocks.of(frame.mark.frame.input()).vantage.0;
        self.begin(machine)?;
        if let Some((name, writer, secrets)) = self.writers.get_mut(&machine) {
            let lines = secrets.before(frame);
            let written = lines.map_or(Ok(()), |lines| writer.secrets(&lines));
            let written = written.and_then(|()| writer.frame(frame, remarks, &self.inputs));
            written.map_err(|error| Failure::output(name, &error))?;
        }
        Ok(())
    }

    /// Opens the file of a machine, unless it is open.
    fn begin(&mut self, machine: u16) -> Result<(), Failure> {
        if self.writers.contains_key(&machine) {
            return Ok(());
        }
        let path = path_of(&self.of.path, machine);
        let name = path.display().to_string();
        let opened = if machine == 0 {
            self.of.file.try_clone()
        } else {
            self.of.taken.refuse(&path, FLAG)?;
            create::file(&path)
        };
        let section = Section {
            holding: Holding::Slice,
            application: APPLICATION,
            comments: self.comments,
        };
        let begun =
            opened.and_then(|file| Writer::new(BufWriter::new(file), &section, &self.inputs));
        let writer = begun.map_err(|error| Failure::output(&name, &error))?;
        let secrets = OfFile::new(self.of.lent.as_ref());
        self.writers.insert(machine, (name, writer, secrets));
        Ok(())
    }

    fn finish(self) -> Result<Loss, Failure> {
        let mut loss = Loss::default();
        for (name, writer, _) in self.writers.into_values() {
            let finished: io::Result<_> = writer.finish(&self.inputs);
            let (_, lost) = finished.map_err(|error| Failure::output(&name, &error))?;
            loss.merge(lost);
        }
        Ok(loss)
    }
}

/// `out.pcapng` for the first machine, `out-2.pcapng` for the second.
fn path_of(path: &Path, machine: u16) -> PathBuf {
    if machine == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{}", u32::from(machine).saturating_add(1)));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_a_file() {
        let path = |name: &str, machine| path_of(Path::new(name), machine).display().to_string();
        assert_eq!(path("a/out.pcapng", 0), "a/out.pcapng");
        assert_eq!(path("a/out.pcapng", 1), "a/out-2.pcapng");
        assert_eq!(path("out", 2), "out-3");
    }
}
