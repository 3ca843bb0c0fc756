//! The folder of --evidence. In: files by name. Out: whole files, at most so many.
//!
//! The rule: a file appears under its name when it is complete; the oldest is removed beyond the limits, those of earlier
//! runs too, and nothing else in the folder is touched.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::run::create;
use crate::run::failure::Failure;

/// Most bytes of all files of the folder: a disk that evidence fills would take the gateway down that it is about.
const FOLDER_BYTES_MAX: u64 = 1 << 30;

/// What a file is called while it is written.
const UNFINISHED: &str = ".part";

const EXTENSION: &str = ".pcapng";

/// A folder with the files that belong to gwcap in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: usize,
    /// Name and bytes, oldest first: names begin with the time.
    files: VecDeque<(String, u64)>,
    bytes: u64,
}

impl Folder {
    /// Makes the folder where it is missing, and sees to it that files can be made in it.
    ///
    /// # Errors
    /// A path that is no folder, or where nothing can be written.
    pub fn open(path: &Path, keep: usize) -> Result<Self, Failure> {
        let refused = |error: io::Error| Failure::output(&path.display().to_string(), &error);
        if path.metadata().is_ok_and(|facts| !facts.is_dir()) {
            return Err(Failure::usage(format!(
                "{} is a file: live and from a pipe --evidence names a folder, with a file an incident",
                path.display()
            )));
        }
        create::folder(path).map_err(refused)?;
        let probe = path.join(format!(".gwcap-{}{UNFINISHED}", std::process::id()));
        create::file(&probe).map_err(refused)?;
        create::remove(&probe).map_err(refused)?;
        let mut names = Vec::new();
        for entry in path.read_dir().map_err(refused)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = entry.metadata().map_or(0, |facts| facts.len());
            if is_own(&name) {
                names.push((name, bytes));
            } else if name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(UNFINISHED))
                .is_some_and(is_own)
            {
                // A run that was killed left it.
                let _ = create::remove(&entry.path());
            }
        }
        names.sort();
        let bytes = names.iter().map(|(_, bytes)| bytes).sum();
        let mut folder = Self {
            path: path.to_owned(),
            keep,
            files: names.into(),
            bytes,
        };
        folder.prune();
        Ok(folder)
    }

    /// Writes a file: `stem` and a number where that is taken.
    ///
    /// # Errors
    /// The operating system's; then there is no file.
    pub fn store(
        &mut self,
        stem: &str,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let name = self.free_name(stem);
        let unfinished = self.path.join(format!(".{name}{UNFINISHED}"));
        let path = self.path.join(&name);
        let written = create::file(&unfinished).and_then(|file| {
            let bytes = fill(file, write)?;
            create::rename(&unfinished, &path)?;
            Ok(bytes)
        });
        match written {
            Ok(bytes) => {
                self.bytes = self.bytes.saturating_add(bytes);
                self.files.push_back((name, bytes));
                self.prune();
                Ok(())
            }
            Err(error) => {
                // Where it was not even created there is nothing to remove.
                let _ = create::remove(&unfinished);
                Err(Failure::output(&path.display().to_string(), &error))
            }
        }
    }

    fn free_name(&self, stem: &str) -> String {
        let taken = |name: &String| self.files.iter().any(|(known, _)| known == name);
        let plain = format!("{stem}{EXTENSION}");
        let numbered = (2_u32..).map(|number| format!("{stem}-{number}{EXTENSION}"));
        // There are fewer files than numbers.
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or(plain)
    }

    fn prune(&mut self) {
        while self.files.len() > self.keep || self.bytes > FOLDER_BYTES_MAX && self.files.len() > 1
        {
            let Some((name, bytes)) = self.files.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(bytes);
            // Somebody else may have taken it away.
            let _ = create::remove(&self.path.join(name));
        }
    }
}

fn fill(file: File, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<u64> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()?;
    out.get_ref().metadata().map(|facts| facts.len())
}

/// Whether a file is named as ours are: `20261120T134239.812Z-`, what failed, and the extension.
fn is_own(name: &str) -> bool {
    const PATTERN: &[u8] = b"########T######.###Z-";
    let matches = |(byte, wanted): (u8, &u8)| match wanted {
        b'#' => byte.is_ascii_digit(),
        wanted => byte == *wanted,
    };
    name.ends_with(EXTENSION)
        && name.len() > PATTERN.len()
        && name.bytes().zip(PATTERN).all(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn stem(second: u32) -> String {
        format!("20261120T1342{second:02}.812Z-connect-refused")
    }

    #[test]
    fn the_newest_files_are_kept_and_others_are_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made/here");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("notes.pcapng"), "mine").unwrap();
        fs::write(path.join(format!("{}.pcapng", stem(1))), "old").unwrap();
        fs::write(path.join(format!(".{}.pcapng.part", stem(1))), "half").unwrap();
        let mut folder = Folder::open(&path, 2).unwrap();
        for second in [2, 3, 3] {
            folder
                .store(&stem(second), |out| out.write_all(b"new"))
                .unwrap();
        }
        let kept = [
            format!("{}-2.pcapng", stem(3)),
            format!("{}.pcapng", stem(3)),
            "notes.pcapng".to_owned(),
        ];
        assert_eq!(names(&path), kept);
    }

    #[test]
    fn a_file_that_fails_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(place.path(), 2).unwrap();
        let failed = folder.store(&stem(1), |out| {
            out.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(failed.unwrap_err().code, 5);
        assert_eq!(names(place.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Folder::open(file.path(), 1).unwrap_err().code, 2);
        let inside = file.path().join("folder");
        assert_eq!(Folder::open(&inside, 1).unwrap_err().code, 5);
    }
}
