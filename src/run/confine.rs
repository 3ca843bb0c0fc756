//! The sandbox of one run. In: settings. Out: a process that has what the settings need, and nothing else.
//!
//! The rule: who captures as root becomes somebody else; files are opened by whoever was asked to open them, but what has to
//! be opened again later (rotated files, evidence) is opened as that somebody from the first.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use caps::Capability;

use crate::cli::{Inputs, Settings};
use crate::run::failure::{Failure, exit};
use crate::run::memory;
use crate::run::sandbox::limits::{Errand, Limits};
use crate::run::sandbox::person::{self, Person};
use crate::run::sandbox::{self, as_person, trial};

/// What is read while packets are parsed: the reader's time zone, and what a filter with names of ports, protocols and hosts
/// needs when it is compiled again.
const READ: &[&str] = &[
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/etc/services",
    "/etc/protocols",
    "/etc/hosts",
    "/etc/ethers",
    "/etc/nsswitch.conf",
];

/// Files of others that root may read, and the folders that it may write: with -r it stays root, within the paths that were
/// named.
const OF_ROOT: [Capability; 2] = [
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_DAC_OVERRIDE,
];

/// How one run is confined.
pub struct Confinement<'a> {
    settings: &'a Settings,
    person: Option<Person>,
}

impl<'a> Confinement<'a> {
    /// Decides whom to become.
    ///
    /// # Errors
    /// A user that does not exist, or that only root can become.
    pub fn of(settings: &'a Settings) -> Result<Self, Failure> {
        let captures = matches!(settings.inputs, Inputs::Interfaces(_));
        let person = person::chosen(settings.user.as_deref(), captures)?;
        Ok(Self { settings, person })
    }

    /// Who the processes beside this one are to be.
    pub fn person(&self) -> Person {
        self.person.clone().unwrap_or_else(person::present)
    }

    /// Opens a file or a folder, as the user that this process becomes where it has to be opened `again` later.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn opened<T>(
        &self,
        again: bool,
        open: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(person) = self.person.as_ref().filter(|_| again) else {
            return open();
        };
        as_person(person, open)?.map_err(|failure| Failure {
            message: match failure.code {
                exit::OUTPUT => format!(
                    "{} (gwcap becomes {}: let that user write there, name another with -Z, or stay root, \
                     confined all the same, with -Z root)",
                    failure.message,
                    person.called()
                ),
                _ => failure.message,
            },
            ..failure
        })
    }

    /// Opens a folder in which files are made later. One that is missing is made, and given to who writes there.
    ///
    /// # Errors
    /// Those of `open`, and a folder that cannot be given away.
    pub fn opened_folder<T>(
        &self,
        path: &Path,
        open: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // Where it cannot be made, whoever opens it says what is wrong with it.
        if let Some(person) = &self.person
            && fs::create_dir(path).is_ok()
        {
            lchown(path, Some(person.uid), Some(person.gid))
                .map_err(|error| Failure::output(&path.display().to_string(), &error))?;
        }
        self.opened(true, open)
    }

    /// Enters the sandbox, and says what of it there is not.
    ///
    /// # Errors
    /// A user that cannot be changed, an input that this user cannot read, and with --require-sandbox whatever could not be
    /// applied.
    pub fn enter(&self) -> Result<(), Failure> {
        // In there it cannot be opened.
        memory::open();
        // Afterwards it may not even be told what they are.
        let inputs = self.read_again();
        let missing = sandbox::enter(&self.limits())?;
        if self.settings.require_sandbox && !missing.is_empty() {
            return Err(Failure {
                code: exit::INPUT,
                message: format!(
                    "--require-sandbox: not all of it can be had here: {}",
                    missing.join("; ")
                ),
            });
        }
        // A file is read with or without; on an interface strangers speak at any time.
        if matches!(self.settings.inputs, Inputs::Interfaces(_)) {
            for line in missing {
                // Where standard error is closed nobody wants to know.
                let _ = writeln!(io::stderr(), "gwcap: sandbox: {line}");
            }
        }
        self.check(&inputs)
    }

    /// Tries what is forbidden now; for --check-sandbox.
    ///
    /// # Errors
    /// When something is possible.
    pub fn tried() -> Result<String, Failure> {
        match trial::tried() {
            (true, lines) => Ok(lines),
            (false, lines) => Err(Failure {
                code: exit::INPUT,
                message: format!("the sandbox has holes here:\n{lines}"),
            }),
        }
    }

    fn limits(&self) -> Limits {
        let settings = self.settings;
        let mut read: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
        let mut write = Vec::new();
        match &settings.inputs {
            // For a second look, and for --evidence.
            Inputs::Files(files) => read.extend(files.iter().cloned()),
            // The frames that an interface dropped.
            Inputs::Interfaces(names) => read.extend(
                names
                    .iter()
                    .map(|name| Path::new("/sys/class/net").join(name).join("statistics")),
            ),
        }
        if let Some(to) = settings.write.as_ref().filter(|to| to.rotates()) {
            write.push(folder_of(&to.path));
        }
        if let Some(evidence) = &settings.evidence {
            write.push(match settings.inputs.ends_elsewhere() {
                true => evidence.path.clone(),
                false => folder_of(&evidence.path),
            });
        }
        let keep = match (&settings.inputs, &self.person) {
            (Inputs::Files(_), None) => OF_ROOT.to_vec(),
            _ => Vec::new(),
        };
        let errand = match &settings.inputs {
            Inputs::Files(_) => Errand::None,
            Inputs::Interfaces(_) => Errand::Captures,
        };
        Limits {
            person: self.person.clone(),
            keep,
            read,
            write,
            errand,
        }
    }

    /// Inputs that may be opened again.
    fn read_again(&self) -> Vec<&'a Path> {
        let files = self.settings.inputs.files().iter();
        let regular = |path: &&Path| path.metadata().is_ok_and(|facts| facts.is_file());
        files.map(PathBuf::as_path).filter(regular).collect()
    }

    /// They must be readable for whom -Z names, or clocks would go uncompared in silence.
    fn check(&self, inputs: &[&Path]) -> Result<(), Failure> {
        let Some(person) = &self.person else {
            return Ok(());
        };
        for path in inputs {
            File::open(path).map_err(|error| Failure {
                code: exit::INPUT,
                message: format!(
                    "{} cannot read {}: {error}",
                    person.called(),
                    path.display()
                ),
            })?;
        }
        Ok(())
    }
}

/// The folder of a file, as far as its path does not tell a time.
fn folder_of(path: &Path) -> PathBuf {
    let timeless = |path: &&Path| !path.to_string_lossy().contains('%');
    let folder = path.ancestors().skip(1).find(timeless);
    folder
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_file_is_one_that_exists_already() {
        for (path, folder) in [
            ("/data/a.pcapng", "/data"),
            ("/data/%Y/%m/a.pcapng", "/data"),
            ("a.pcapng", "."),
            ("%H/a.pcapng", "."),
            ("/a", "/"),
        ] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }
}
