//! Files and pipes. In: a reader of bytes. Out: batches that hold the bytes as they were read, with an index.
//!
//! The rule: bytes are read once, straight into the batch; only the record that a read cut is moved to the next
//! batch. No memory map: a capture that another program rotates would end in SIGBUS.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use crate::capture::error::{CaptureError, looks_like};
use crate::capture::filter::Filter;
use crate::capture::ledger::Ledger;
use crate::capture::pcap::{FILE_HEADER, Pcap, Refusal};
use crate::capture::pcapng::Pcapng;
use crate::capture::source::{FILL_BYTES_MIN, Fill, InputFacts, Source};
use crate::capture::window::{Scan, Window};
use crate::frame::{Batch, Record};
use crate::loss::Loss;

/// Bytes that are asked of a pipe at once: what a pipe of Linux holds.
const PIPE_READ: usize = 64 * 1024;

/// A capture file or a pipe with the bytes of one.
pub struct FileSource<R> {
    reader: R,
    format: Format,
    ledger: Ledger,
    /// A pipe gives what it has; a file is read until the batch is full.
    pipe: bool,
    /// Bytes that were read and not yet indexed: the start of a record that a read cut.
    carry: Vec<u8>,
    /// Bytes that the window must hold before the reader can go on.
    needed: usize,
    /// Offset in the input of the first byte of `carry`.
    base: u64,
    /// Whether the reader has said that the input ends.
    at_end: bool,
    finished: bool,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl FileSource<File> {
    /// Opens `path`, or standard input when that is `-`.
    ///
    /// # Errors
    /// When it cannot be opened, is no capture file, or `filter` does not compile.
    pub(super) fn open(
        path: &Path,
        input: u16,
        filter: Option<&str>,
    ) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let opened = if name == "-" {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(path)
        };
        let checked = opened.and_then(|file| {
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((file, !kind.is_file()))
        });
        match checked {
            Ok((file, pipe)) => Self::from_reader(file, name, pipe, input, filter),
            Err(error) => Err(CaptureError::Open { path: name, error }),
        }
    }
}

impl<R: Read + Send> FileSource<R> {
    /// Reads the header of a capture from `reader`. `name` is what messages call it; `pipe` says that a read may
    /// give less than was asked for long before the end.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub(super) fn from_reader(
        mut reader: R,
        name: String,
        pipe: bool,
        input: u16,
        filter: Option<&str>,
    ) -> Result<Self, CaptureError> {
        let filter = filter.map(Filter::new).transpose()?;
        let mut first = Vec::with_capacity(FILE_HEADER);
        let read = reader
            .by_ref()
            .take(FILE_HEADER as u64)
            .read_to_end(&mut first);
        if let Err(error) = read {
            return Err(CaptureError::Read {
                path: name,
                offset: first.len() as u64,
                error,
            });
        }
        let format = recognise(&first, &name)?;
        let mut ledger = Ledger::new(input, name, filter);
        ledger.facts.bytes = first.len() as u64;
        let mut base = 0;
        match &format {
            Format::Pcap(pcap) => {
                pcap.declare(&mut ledger)?;
                base = FILE_HEADER as u64;
                first.clear();
            }
            Format::Pcapng(_) => Pcapng::declare(&mut ledger),
        }
        Ok(Self {
            reader,
            format,
            ledger,
            pipe,
            carry: first,
            needed: 0,
            base,
            at_end: false,
            finished: false,
        })
    }

    /// Reads until `bytes` holds `target` bytes, or from a pipe what it has.
    fn read(&mut self, bytes: &mut Vec<u8>, target: usize) -> Result<(), CaptureError> {
        let before = bytes.len();
        let missing = target.saturating_sub(before);
        let outcome = if self.pipe {
            let ask = missing.min(PIPE_READ);
            bytes.resize(before.saturating_add(ask), 0);
            let outcome = read_once(
                &mut self.reader,
                bytes.get_mut(before..).unwrap_or_default(),
            );
            let got = *outcome.as_ref().unwrap_or(&0);
            bytes.truncate(before.saturating_add(got));
            self.at_end = got == 0;
            outcome
        } else {
            bytes.reserve_exact(missing);
            // `read_to_end` fills spare capacity without writing zeros there first.
            let outcome = self.reader.by_ref().take(missing as u64).read_to_end(bytes);
            self.at_end = bytes.len() < target;
            outcome
        };
        let read = bytes.len().saturating_sub(before) as u64;
        self.ledger.facts.bytes = self.ledger.facts.bytes.saturating_add(read);
        outcome.map(drop).map_err(|error| CaptureError::Read {
            path: self.ledger.facts.path.clone(),
            offset: self.ledger.facts.bytes,
            error,
        })
    }

    fn scan(&mut self, bytes: &[u8], records: &mut Vec<Record>) -> Result<Scan, CaptureError> {
        let window = Window {
            bytes,
            base: self.base,
            at_end: self.at_end,
        };
        match &mut self.format {
            Format::Pcap(pcap) => pcap.scan(window, records, &mut self.ledger),
            Format::Pcapng(pcapng) => pcapng.scan(window, records, &mut self.ledger),
        }
    }
}

impl<R: Read + Send> Source for FileSource<R> {
    fn fill(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<Fill, CaptureError> {
        batch.clear();
        if self.finished {
            return Ok(Fill::End);
        }
        batch.bytes.append(&mut self.carry);
        // Each turn either indexes something, or raises `needed` towards the largest record, or ends.
        loop {
            let target = bytes_max.max(FILL_BYTES_MIN).max(self.needed);
            self.read(&mut batch.bytes, target)?;
            let have = batch.bytes.len();
            match self.scan(&batch.bytes, &mut batch.records)? {
                Scan::End => {
                    self.finished = true;
                    return Ok(Fill::End);
                }
                Scan::More { from, needed } => {
                    let rest = have.saturating_sub(from);
                    self.needed = needed.max(rest.saturating_add(1));
                    if from > 0 {
                        self.carry
                            .extend_from_slice(batch.bytes.get(from..).unwrap_or_default());
                        batch.bytes.truncate(from);
                        self.base = self.base.saturating_add(from as u64);
                        return Ok(Fill::More);
                    }
                }
            }
        }
    }

    fn describe(&self) -> InputFacts {
        self.ledger.facts.clone()
    }

    fn loss(&mut self) -> Loss {
        std::mem::take(&mut self.ledger.loss)
    }
}

/// One read that a signal does not end.
fn read_once(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn recognise(first: &[u8], name: &str) -> Result<Format, CaptureError> {
    let (format, refusal) = match Pcap::open(first) {
        Ok(pcap) => return Ok(Format::Pcap(pcap)),
        Err(Refusal::Other) => match Pcapng::open(first) {
            Ok(pcapng) => return Ok(Format::Pcapng(pcapng)),
            Err(refusal) => ("pcapng", refusal),
        },
        Err(refusal) => ("pcap", refusal),
    };
    Err(match refusal {
        Refusal::Version(major, minor) => CaptureError::UnsupportedVersion {
            path: name.to_owned(),
            format,
            major,
            minor,
        },
        Refusal::Other => CaptureError::NotACapture {
            path: name.to_owned(),
            looks_like: looks_like(first),
        },
    })
}
