//! A key log that may grow. In: a file in the form of SSLKEYLOGFILE. Out: its whole lines, and later those that were added.
//!
//! The rule: the file is opened once and stays open, so that it can be read on where no file can be opened any more. Half a
//! line waits for its other half. A file that became shorter is read from its beginning again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::capture::error::CaptureError;
use crate::capture::secrets::keys::LINE_MAX;
use crate::loss::{Loss, LossName};

/// Most bytes of a key log that are read: three million lines, of which [`SESSIONS_MAX`](super::keys::SESSIONS_MAX)
/// connections need half at most.
pub const KEY_LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Bytes that are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes of key logs beyond [`KEY_LOG_BYTES_MAX`], and of lines longer than any secret.
const NOT_READ: LossName = "tls_key_log_bytes_not_read";

/// A key log that is open.
#[derive(Debug)]
pub struct KeyLogFile {
    name: String,
    file: File,
    /// Where reading goes on.
    at: u64,
    /// The beginning of a line whose end was not there yet.
    rest: Vec<u8>,
    /// Whether it is a file, that can be read again.
    regular: bool,
}

impl KeyLogFile {
    /// Opens a key log.
    ///
    /// # Errors
    /// When it cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((file, kind.is_file()))
        });
        match opened {
            Ok((file, regular)) => Ok(Self {
                name,
                file,
                at: 0,
                rest: Vec::new(),
                regular,
            }),
            Err(error) => Err(CaptureError::Secrets { path: name, error }),
        }
    }

    /// The path as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can grow and be read again: a file, no pipe.
    #[must_use]
    pub const fn is_regular(&self) -> bool {
        self.regular
    }

    /// All lines up to the end of the file, a last one without its end too, each `log` handed to `take`.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn read_all(
        &mut self,
        loss: &mut Loss,
        mut take: impl FnMut(&[u8], &mut Loss),
    ) -> Result<(), CaptureError> {
        while self.step(loss, &mut take)? {}
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            take(&rest, loss);
        }
        Ok(())
    }

    /// The lines that were added since it was last read, as far as they are whole.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn read_on(
        &mut self,
        loss: &mut Loss,
        mut take: impl FnMut(&[u8], &mut Loss),
    ) -> Result<(), CaptureError> {
        if !self.regular {
            return Ok(());
        }
        let len = self
            .file
            .metadata()
            .map_err(|error| self.failed(error))?
            .len();
        if len < self.at {
            self.at = 0;
            self.rest.clear();
            self.file
                .seek(SeekFrom::Start(0))
                .map_err(|error| self.failed(error))?;
        }
        if len > self.at {
            while self.step(loss, &mut take)? {}
        }
        Ok(())
    }

    /// Reads some bytes and hands on the lines that end in them; false at the end.
    fn step(
        &mut self,
        loss: &mut Loss,
        take: &mut impl FnMut(&[u8], &mut Loss),
    ) -> Result<bool, CaptureError> {
        let room = KEY_LOG_BYTES_MAX.saturating_sub(self.at);
        let ask = room.min(READ_BYTES as u64);
        let before = self.rest.len();
        let read = self.file.by_ref().take(ask).read_to_end(&mut self.rest);
        let got = read.map_err(|error| self.failed(error))?;
        self.at = self.at.saturating_add(got as u64);
        if got == 0 {
            let len = self.file.metadata().map_or(0, |facts| facts.len());
            if self.regular && room == 0 {
                loss.add(NOT_READ, len.saturating_sub(self.at));
                // Once is enough.
                self.at = len.max(self.at);
            }
            return Ok(false);
        }
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.rest.split_off(end.saturating_add(1));
            take(&self.rest, loss);
            self.rest = rest;
        } else if before > LINE_MAX {
            // No line of a key log is as long as that.
            loss.add(NOT_READ, self.rest.len() as u64);
            self.rest.clear();
        }
        Ok(true)
    }

    fn failed(&self, error: io::Error) -> CaptureError {
        CaptureError::Secrets {
            path: self.name.clone(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(log: &mut KeyLogFile) -> String {
        let mut lines = Vec::new();
        let took = |bytes: &[u8], _: &mut Loss| lines.extend_from_slice(bytes);
        log.read_on(&mut Loss::default(), took).unwrap();
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn lines_come_when_they_are_whole_and_once() {
        let path = std::env::temp_dir().join(format!("gwcap-key-log-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut log = KeyLogFile::open(&path).unwrap();
        assert_eq!(read(&mut log), "");
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(read(&mut log), "one\n");
        assert_eq!(read(&mut log), "");
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(read(&mut log), "two\nthree\n");
        // Begun anew, as by `>`.
        let mut file = File::create(&path).unwrap();
        file.write_all(b"four\n").unwrap();
        assert_eq!(read(&mut log), "four\n");
        let mut whole = Vec::new();
        let mut log = KeyLogFile::open(&path).unwrap();
        file.write_all(b"five").unwrap();
        log.read_all(&mut Loss::default(), |bytes, _| {
            whole.extend_from_slice(bytes)
        })
        .unwrap();
        assert_eq!(whole, b"four\nfive");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        for path in ["/no/such/keys.log", "/"] {
            let error = KeyLogFile::open(Path::new(path)).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
