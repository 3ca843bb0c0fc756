//! Files that are written, and their names. In: paths. Out: open files.
//!
//! The rule: every file of frames is created, renamed and removed here and nowhere else; an input is never overwritten.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::Inputs;
use crate::run::failure::Failure;

/// Files that must not be overwritten: the inputs, and outputs that were opened before.
#[derive(Clone, Debug, Default)]
pub struct Taken(Vec<(PathBuf, &'static str)>);

impl Taken {
    /// The files of the inputs.
    pub fn by(inputs: &Inputs) -> Self {
        let mut taken = Self::default();
        if let Inputs::Files(files) = inputs {
            files.iter().for_each(|path| taken.add(path, "an input"));
        }
        taken
    }

    /// Adds a file, as far as it exists; a device may be written by many.
    pub fn add(&mut self, path: &Path, what: &'static str) {
        if let (Ok(path), Ok(facts)) = (fs::canonicalize(path), fs::metadata(path))
            && facts.is_file()
        {
            self.0.push((path, what));
        }
    }

    /// Refuses a path that is taken.
    ///
    /// # Errors
    /// Wrong usage; `flag` is the flag that asked for it.
    pub fn refuse(&self, path: &Path, flag: &str) -> Result<(), Failure> {
        let real = fs::canonicalize(path);
        let taken = real.ok().and_then(|real| {
            let same = self.0.iter().find(|(taken, _)| *taken == real);
            same.map(|(_, what)| *what)
        });
        match taken {
            Some(what) => Err(Failure::usage(format!(
                "{} is {what}: {flag} would overwrite it",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// Creates a file, or empties it.
///
/// # Errors
/// The operating system's.
pub fn file(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// Makes a folder, with those above it.
///
/// # Errors
/// The operating system's.
pub fn folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Gives a file its name.
///
/// # Errors
/// The operating system's.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file.
///
/// # Errors
/// The operating system's.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}
