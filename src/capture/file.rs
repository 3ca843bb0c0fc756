//! Files and pipes. In: a reader of bytes, packed or not. Out: batches that hold the bytes as they were read, with an index.
//!
//! The rule: bytes are read once, straight into the batch; only the record that a read cut is moved to the next
//! batch. No memory map: a capture that another program rotates would end in SIGBUS.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use crate::capture::compressed::{Fault, Input};
use crate::capture::error::{CaptureError, looks_like};
use crate::capture::filter::Filter;
use crate::capture::ledger::Ledger;
use crate::capture::pcap::{FILE_HEADER, Pcap, Refusal};
use crate::capture::pcapng::Pcapng;
use crate::capture::source::{FILL_BYTES_MIN, Fill, InputFacts, Source};
use crate::capture::window::{Scan, Window};
use crate::frame::{Batch, Record};
use crate::loss::Loss;

/// Bytes that tell whether an input is packed.
const MAGIC: usize = 4;

/// Bytes that are asked of a pipe at once: what a pipe of Linux holds.
const PIPE_READ: usize = 64 * 1024;

/// A capture file or a pipe with the bytes of one.
pub struct FileSource<R: Read> {
    reader: Input<R>,
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
        let mut magic = Vec::with_capacity(MAGIC);
        let mut first = Vec::with_capacity(FILE_HEADER);
        let opened = reader
            .by_ref()
            .take(MAGIC as u64)
            .read_to_end(&mut magic)
            .and_then(|_| Input::new(magic, reader))
            .and_then(|mut reader| {
                reader
                    .by_ref()
                    .take(FILE_HEADER as u64)
                    .read_to_end(&mut first)?;
                Ok(reader)
            });
        let reader = match opened {
            Ok(reader) => reader,
            Err(error) => {
                return Err(CaptureError::Read {
                    path: name,
                    offset: first.len() as u64,
                    error,
                });
            }
        };
        let format = recognise(&first, &name, &reader)?;
        let mut ledger = Ledger::new(input, name, filter);
        ledger.facts.bytes = first.len() as u64;
        ledger.facts.stored_bytes = reader.stored();
        ledger.facts.compression = reader.compression();
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
            let outcome = self.reader.read_more(missing, bytes);
            self.at_end = bytes.len() < target;
            outcome.map(|()| 0)
        };
        let read = bytes.len().saturating_sub(before) as u64;
        self.ledger.facts.bytes = self.ledger.facts.bytes.saturating_add(read);
        self.ledger.facts.stored_bytes = self.reader.stored();
        if matches!(self.reader.fault(), Some(Fault::Corrupt(_))) {
            self.ledger.ends_in_damage();
        }
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

    /// Tells of packed bytes that ended before their end. The format's reader may have told of the cut already.
    fn tell_fault(&mut self) {
        let (Some(fault), Some(packing)) = (self.reader.fault(), self.reader.compression()) else {
            return;
        };
        let offset = self.ledger.facts.bytes;
        let frames = self.ledger.facts.frames;
        match fault {
            Fault::Cut => self.ledger.truncated(
                offset,
                format!("the {packing} stream ends after frame {frames}, before its end"),
            ),
            Fault::Corrupt(what) => self.ledger.unreadable(
                offset,
                format!(
                    "the {packing} stream is corrupt after frame {frames} ({what}); the rest of it was not read"
                ),
            ),
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
            // Twice what is needed, lest a search that goes on byte by byte copy its window at each of them.
            let target = bytes_max
                .max(FILL_BYTES_MIN)
                .max(self.needed.saturating_mul(2));
            self.read(&mut batch.bytes, target)?;
            let have = batch.bytes.len();
            match self.scan(&batch.bytes, &mut batch.records)? {
                Scan::End => {
                    self.finished = true;
                    self.tell_fault();
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

fn recognise<R: Read>(first: &[u8], name: &str, reader: &Input<R>) -> Result<Format, CaptureError> {
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
            looks_like: looks_like(first, reader.compression(), reader.fault()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::samples::{self, read, read_with};
    use crate::capture::window::Order::{Big, Little};

    fn refusal(bytes: &[u8]) -> String {
        match FileSource::from_reader(bytes, "x".to_owned(), false, 0, None) {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_capture_is_named() {
        assert!(refusal(&[]).contains("empty"));
        assert!(refusal(&[0; 4096]).contains("zeros"));
        assert!(refusal(&b"12:00:00.0 IP 10.0.0.1.80 > 10.0.0.2.1000".repeat(9)).contains("text"));
        assert!(refusal(&[0xfd, b'7', b'z', b'X', b'Z', 0]).contains("xz"));
        assert!(refusal(&samples::pcap(Little, 1)[..20]).contains("its own header"));
        let mut old = samples::pcap(Little, 1);
        old[4] = 1;
        assert!(refusal(&old).contains("version 1.4"));
        let mut new = samples::pcapng(Big, 1);
        new[13] = 2;
        assert!(refusal(&new).contains("pcapng file of version 2.0"));
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_named() {
        let error = FileSource::open(Path::new("/no/such.pcap"), 0, None)
            .err()
            .unwrap();
        assert!(error.to_string().starts_with("cannot open /no/such.pcap: "));
        let error = FileSource::open(Path::new("/"), 0, None).err().unwrap();
        assert!(error.to_string().contains("directory"));
    }

    #[test]
    fn a_file_cut_at_any_byte_gives_a_prefix_of_the_frames() {
        for file in [samples::pcap(Big, 6), samples::pcapng(Little, 6)] {
            let whole = read(&file);
            for end in 24..=file.len() {
                let part = read(&file[..end]);
                let complete = whole.frames.iter().take_while(|frame| {
                    let next = whole.frames.get(frame.number as usize);
                    next.map_or(file.len() as u64, |next| next.offset) <= end as u64
                });
                assert_eq!(
                    part.frames.as_slice(),
                    &whole.frames[..complete.count()],
                    "{end}"
                );
                assert!(part.loss.damage().is_empty());
                assert!(part.loss.truncations().len() <= 1);
            }
            assert!(whole.loss.truncations().is_empty());
        }
    }

    #[test]
    fn a_cut_is_told_with_its_place() {
        let file = samples::pcap(Little, 3);
        let last = read(&file).frames[2].offset;
        let part = read(&file[..file.len() - 1]);
        let [cut] = part.loss.truncations() else {
            panic!()
        };
        assert_eq!(cut.offset, last);
        assert!(cut.what.contains("frame 3"));
    }

    #[test]
    fn pipes_and_batch_sizes_leave_no_trace() {
        for file in [samples::pcap(Little, 900), samples::pcapng(Big, 900)] {
            let whole = read(&file);
            assert_eq!(whole.frames.len(), 900);
            assert_eq!(whole.facts.bytes, file.len() as u64);
            for bytes_max in [0, 4096, 4097, 30_000] {
                assert_eq!(read_with(&file, bytes_max, false, None), whole);
                assert_eq!(read_with(&file, bytes_max, true, None), whole);
            }
        }
    }

    /// A pipe that says what it has in pieces; a reader that waits for more than it needs never returns.
    struct Growing {
        pieces: std::collections::VecDeque<Vec<u8>>,
        more: bool,
    }

    impl Read for Growing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.pieces.front_mut() else {
                assert!(!self.more, "the reader waits");
                return Ok(0);
            };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Ok(count)
        }
    }

    #[test]
    fn frames_of_a_growing_pipe_come_as_they_arrive() {
        let file = samples::pcap(Little, 9);
        let frames = read(&file).frames;
        // Each piece ends in the middle of the record after the frames that it completes.
        let cut = |number: usize| frames[number].offset as usize + 5;
        let pieces = [
            &file[..cut(3)],
            &file[cut(3)..cut(4)],
            &file[cut(4)..cut(8)],
        ];
        let pipe = Growing {
            pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
            more: true,
        };
        let mut source = FileSource::from_reader(pipe, "-".to_owned(), true, 0, None).unwrap();
        let mut batch = Batch::default();
        for expected in [3, 1, 4] {
            assert_eq!(source.fill(&mut batch, 8 << 20).unwrap(), Fill::More);
            assert_eq!(batch.records.len(), expected);
        }
    }

    #[test]
    fn frames_that_the_filter_drops_keep_their_numbers() {
        let file = samples::pcap(Little, 20);
        let kept = read_with(&file, 4096, false, Some("ether[0] = 3 or ether[0] = 9"));
        let numbers: Vec<_> = kept.frames.iter().map(|frame| frame.number).collect();
        assert_eq!(numbers, [3, 9]);
        assert_eq!(kept.facts.frames, 20);
        assert_eq!(
            kept.facts.filter.as_deref(),
            Some("ether[0] = 3 or ether[0] = 9")
        );
    }

    /// A small generator with a fixed seed (xorshift64).
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn no_mutation_panics_hangs_or_depends_on_the_batch_size() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for file in [samples::pcap(Little, 150), samples::pcapng(Big, 150)] {
            for _ in 0..300 {
                let mut mutated = file.clone();
                for _ in 0..=next(&mut state) % 8 {
                    let at = 24 + next(&mut state) as usize % (mutated.len() - 24);
                    match next(&mut state) % 4 {
                        0 => mutated[at] = next(&mut state) as u8,
                        1 => mutated[at] ^= 1 << (next(&mut state) % 8),
                        2 => drop(mutated.drain(at..(at + 40).min(mutated.len()))),
                        _ => drop(mutated.splice(at..at, [0xff, 0, 6, 0, 0, 0, 1])),
                    }
                }
                let whole = read(&mutated);
                assert_eq!(read_with(&mutated, 4096, false, None), whole);
                assert!(whole.frames.is_sorted_by_key(|frame| frame.number));
            }
        }
    }
}
