//! -w and --write-all. In: batches. Out: pcapng files that begin anew as tcpdump's do.
//!
//! The rule (tcpdump(8)): -G goes before -C; with -C, -W makes a ring of files, with -G alone it ends the run. Time is
//! capture time, so that `-r` of a capture gives the files that the interface would have given.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use gwcap::capture::{Holding, InputFacts, Section, Writer};
use gwcap::frame::{Batch, Record};
use gwcap::loss::Loss;
use gwcap::time::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::cli::Write;
use crate::run::create::{self, Taken};
use crate::run::failure::Failure;

/// The program, as files name it.
pub const APPLICATION: &str = concat!("gwcap ", env!("CARGO_PKG_VERSION"));

/// Bytes that gather before they are written; a tick writes them in any case.
const BUFFER_BYTES: usize = 256 * 1024;

/// Frames on their way to files.
pub struct Dump {
    to: Write,
    holding: Holding,
    flag: &'static str,
    taken: Taken,
    open: Option<Open>,
    /// When the files of this time began, seconds.
    slot: Option<i64>,
    /// Times that were begun.
    slots: u32,
    /// Number of the file within its time.
    number: u32,
    loss: Loss,
}

struct Open {
    writer: Writer<BufWriter<Target>>,
    name: String,
}

enum Target {
    Stdout(io::Stdout),
    File(File),
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}

impl Dump {
    /// Opens the first file at once, so that a wrong path is told before anything is read; a name that tells a time has to
    /// wait for the first frame.
    ///
    /// # Errors
    /// A file that is taken or cannot be created, or a name that strftime does not take.
    pub fn new(
        to: Write,
        holding: Holding,
        flag: &'static str,
        inputs: &[InputFacts],
        taken: &Taken,
    ) -> Result<Self, Failure> {
        let mut dump = Self {
            to,
            holding,
            flag,
            taken: taken.clone(),
            open: None,
            slot: None,
            slots: 0,
            number: 0,
            loss: Loss::default(),
        };
        if dump.to.seconds.is_some() {
            dump.check_folder(&dump.path(0)?)?;
        } else {
            dump.begin(0, inputs)?;
        }
        Ok(dump)
    }

    /// Writes the frames of a batch that belong here. False when no more are wanted.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn frames(&mut self, batch: &Batch, inputs: &[InputFacts]) -> Result<bool, Failure> {
        let holding = self.holding;
        let wanted = |record: &&Record| holding != Holding::Asked || record.asked;
        for record in batch.records.iter().filter(wanted) {
            if !self.turn(record.mark.time, inputs)? {
                return Ok(false);
            }
            let Some(open) = &mut self.open else { continue };
            let written = open.writer.record(batch, record, inputs);
            if !self.went_on(written)? {
                return Ok(false);
            }
        }
        let flushed = self
            .open
            .as_mut()
            .map_or(Ok(()), |open| open.writer.flush());
        self.went_on(flushed)
    }

    /// Ends the last file; what could not be written.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self, inputs: &[InputFacts]) -> Result<Loss, Failure> {
        self.close(inputs)?;
        Ok(self.loss)
    }

    /// Begins a new file where it is time. False when there were enough.
    fn turn(&mut self, time: Timestamp, inputs: &[InputFacts]) -> Result<bool, Failure> {
        if let Some(seconds) = self.to.seconds {
            let slot = self.slot;
            let over = |slot: i64| time.second().saturating_sub(slot) >= i64::from(seconds);
            if slot.is_none_or(over) {
                self.close(inputs)?;
                let enough = self.to.bytes.is_none()
                    && self.to.count.is_some_and(|count| self.slots >= count);
                if enough {
                    let line = format!("gwcap: {} files are full\n", self.slots);
                    // Where standard error is closed, the run ends all the same.
                    let _ = io::stderr().write_all(line.as_bytes());
                    return Ok(false);
                }
                self.slot = Some(time.second());
                self.slots = self.slots.saturating_add(1);
                self.number = 0;
                self.begin(time.second(), inputs)?;
            }
        }
        let size = self.open.as_ref().map_or(0, |open| open.writer.bytes());
        if self.to.bytes.is_some_and(|most| size > most) {
            self.close(inputs)?;
            self.number = self.number.saturating_add(1);
            if self.to.count.is_some_and(|count| self.number >= count) {
                self.number = 0;
            }
            self.begin(self.slot.unwrap_or_default(), inputs)?;
        }
        Ok(true)
    }

    fn begin(&mut self, second: i64, inputs: &[InputFacts]) -> Result<(), Failure> {
        let (target, name) = if self.to.is_stdout() {
            (Target::Stdout(io::stdout()), "standard output".to_owned())
        } else {
            let path = self.path(second)?;
            self.taken.refuse(&path, self.flag)?;
            let name = path.display().to_string();
            let file = create::file(&path).map_err(|error| Failure::output(&name, &error))?;
            (Target::File(file), name)
        };
        let section = Section {
            holding: self.holding,
            application: APPLICATION,
            comments: &[],
        };
        let out = BufWriter::with_capacity(BUFFER_BYTES, target);
        let begun = Writer::new(out, &section, inputs).and_then(|mut writer| {
            // Whoever reads a pipe learns at once what it is.
            writer.flush()?;
            Ok(writer)
        });
        match begun {
            Ok(writer) => self.open = Some(Open { writer, name }),
            Err(error) if self.to.is_stdout() && error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(Failure::output(&name, &error)),
        }
        Ok(())
    }

    fn close(&mut self, inputs: &[InputFacts]) -> Result<(), Failure> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        match open.writer.finish(inputs) {
            Ok((_, loss)) => self.loss.merge(loss),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(Failure::output(&open.name, &error)),
        }
        Ok(())
    }

    /// False when nobody reads any more.
    fn went_on(&mut self, written: io::Result<()>) -> Result<bool, Failure> {
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                let name = self.open.take().map_or_else(String::new, |open| open.name);
                match error.kind() {
                    ErrorKind::BrokenPipe => Ok(false),
                    _ => Err(Failure::output(&name, &error)),
                }
            }
        }
    }

    /// The path of the next file, as tcpdump makes it: strftime with -G, then the number within that time.
    fn path(&self, second: i64) -> Result<PathBuf, Failure> {
        let mut name = self.to.path.as_os_str().to_owned();
        if self.to.seconds.is_some() {
            name = at_time(&self.to.path, second)?.into();
        }
        let digits = match (self.to.bytes, self.to.count) {
            (Some(_), Some(count)) => digits_of(count),
            _ => 0,
        };
        if self.number > 0 || digits > 0 {
            name.push(format!("{:0digits$}", self.number));
        }
        Ok(name.into())
    }

    fn check_folder(&self, path: &Path) -> Result<(), Failure> {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        match folder.map(std::fs::metadata) {
            Some(Err(error)) => Err(Failure::output(&self.to.path.display().to_string(), &error)),
            _ => Ok(()),
        }
    }
}

/// Digits of the largest number of `count` files; none for a single one.
fn digits_of(count: u32) -> usize {
    let last = count.saturating_sub(1);
    last.checked_ilog10().map_or(0, |log| log as usize + 1)
}

/// A name with the local time in it.
fn at_time(path: &Path, second: i64) -> Result<String, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!(
            "-w {}: {why}; % begins a time as in strftime, %% is a per cent sign",
            path.display()
        ))
    };
    let name = path
        .to_str()
        .ok_or_else(|| wrong("a name with a time must be UTF-8".to_owned()))?;
    let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = time.to_zoned(TimeZone::system());
    strtime::format(name, &local).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gwcap::frame::{FrameId, LinkType, Mark, Way};

    /// Frames at these seconds, of 1,000 bytes each.
    fn batch(seconds: &[i64]) -> Batch {
        let mut batch = Batch::default();
        for (number, second) in (1..).zip(seconds) {
            batch.records.push(Record {
                start: 0,
                captured_len: 1_000,
                original_len: 1_000,
                mark: Mark {
                    time: Timestamp(second * 1_000_000_000),
                    frame: FrameId::new(0, number),
                },
                link: LinkType::ETHERNET,
                way: Way::Unknown,
                offset: 0,
                asked: number != 2,
            });
        }
        batch.bytes = vec![0; 1_000];
        batch
    }

    /// The names of the files that a dump leaves, with their frames, and whether it wanted more.
    fn files(to: Write, holding: Holding, seconds: &[i64]) -> (Vec<(String, usize)>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let to = Write {
            path: folder.path().join(to.path),
            ..to
        };
        let inputs = [InputFacts::default()];
        let mut dump = Dump::new(to, holding, "-w", &inputs, &Taken::default()).unwrap();
        let went_on = dump.frames(&batch(seconds), &inputs).unwrap();
        dump.finish(&inputs).unwrap();
        let mut found: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                // An enhanced packet block of such a frame is 1,032 bytes.
                (
                    name,
                    std::fs::metadata(path).unwrap().len() as usize / 1_032,
                )
            })
            .collect();
        found.sort();
        (found, went_on)
    }

    fn to(path: &str, seconds: Option<u32>, bytes: Option<u64>, count: Option<u32>) -> Write {
        Write {
            path: path.into(),
            seconds,
            bytes,
            count,
        }
    }

    fn named(names: &[(&str, usize)]) -> Vec<(String, usize)> {
        let own = |(name, frames): &(&str, usize)| ((*name).to_owned(), *frames);
        names.iter().map(own).collect()
    }

    #[test]
    fn only_what_was_asked_for_unless_all_is() {
        let plain = || to("x", None, None, None);
        let (found, _) = files(plain(), Holding::Asked, &[0, 0, 0]);
        assert_eq!(found, named(&[("x", 2)]));
        let (found, _) = files(plain(), Holding::All, &[0, 0, 0]);
        assert_eq!(found, named(&[("x", 3)]));
    }

    #[test]
    fn names_by_size_are_those_of_tcpdump() {
        // The second frame takes each file beyond its size: the third begins the next.
        let (found, _) = files(to("x", None, Some(1_500), None), Holding::All, &[0; 5]);
        assert_eq!(found, named(&[("x", 2), ("x1", 2), ("x2", 1)]));
        let ring = to("x", None, Some(1_500), Some(2));
        let (found, _) = files(ring, Holding::All, &[0; 5]);
        assert_eq!(found, named(&[("x0", 1), ("x1", 2)]));
        let ring = to("x", None, Some(1_500), Some(11));
        let (found, _) = files(ring, Holding::All, &[0; 3]);
        assert_eq!(found, named(&[("x00", 2), ("x01", 1)]));
    }

    #[test]
    fn names_by_time_are_those_of_strftime() {
        let (found, went_on) = files(
            to("x%M%S", Some(60), None, None),
            Holding::All,
            &[0, 59, 60, 185],
        );
        assert_eq!(found, named(&[("x0000", 2), ("x0100", 1), ("x0305", 1)]));
        assert!(went_on);
        let (found, went_on) = files(
            to("x%M", Some(60), None, Some(2)),
            Holding::All,
            &[0, 60, 120, 180],
        );
        assert_eq!(found, named(&[("x00", 1), ("x01", 1)]));
        assert!(!went_on);
        let both = to("x%M", Some(60), Some(1_500), None);
        let (found, _) = files(both, Holding::All, &[0, 0, 0, 60]);
        assert_eq!(found, named(&[("x00", 2), ("x001", 1), ("x01", 1)]));
    }

    #[test]
    fn digits_are_those_of_the_last_file() {
        // getWflagChars of tcpdump.
        let digits: Vec<usize> = [1, 2, 10, 11, 100, 101].map(digits_of).to_vec();
        assert_eq!(digits, [0, 1, 1, 2, 2, 3]);
    }
}
