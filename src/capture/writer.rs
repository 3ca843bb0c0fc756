//! The pcapng format, written (draft-ietf-opsawg-pcapng). In: frames and the facts of their inputs. Out: one section of
//! blocks on any `Write`.
//!
//! The rule: bytes, lengths and nanoseconds of a frame are written as they were read; what cannot be written is counted.
//! An interface stands for one input and one link type. Left out: secrets, names, and interfaces that a pcapng input
//! tells apart by more than their link type.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::capture::block::{
    BLOCK_MIN, BYTE_ORDER_MAGIC, DECRYPTION_SECRETS, ENHANCED_PACKET, INTERFACE, SECTION_HEADER,
    STATISTICS,
};
use crate::capture::secrets::TLS_KEY_LOG;
use crate::capture::source::InputFacts;
use crate::frame::{Batch, Frame, LinkType, Record, Way};
use crate::loss::{Loss, LossName};
use crate::time::Timestamp;

/// Most bytes of the value of one option: its length is a number of 16 bits, and the padding must fit too.
const OPTION_BYTES_MAX: usize = 65_532;

/// Most comments on one frame: an error that a thousand findings share would hide the frame behind its comments.
pub const COMMENTS_PER_FRAME_MAX: usize = 16;

/// Most interfaces of a file: the most that are read.
const INTERFACES_MAX: usize = 65_536;

/// Frames whose link type has no number in pcapng, or whose interface is one too many.
pub const FRAMES_NOT_WRITTEN: LossName = "frames_not_written";
/// Frames from before 1970, which pcapng cannot tell; they are written as of 1970.
pub const TIMES_NOT_WRITTEN: LossName = "frame_times_before_1970_not_written";
/// Comments beyond [`COMMENTS_PER_FRAME_MAX`].
pub const COMMENTS_NOT_WRITTEN: LossName = "comments_not_written";

/// Options of every block, of the section header, of interfaces, of packets and of statistics (sections 3.5 and 4).
const COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const EPB_FLAGS: u16 = 2;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFDROP: u16 = 5;
const ISB_FILTERACCEPT: u16 = 6;
const ISB_OSDROP: u16 = 7;

/// Ticks of 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// Which frames of its inputs a file holds: what its filter and its counts mean depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Those that the user's filter asked for.
    Asked,
    /// All that were handed over.
    All,
    /// Those that findings rest on.
    Slice,
}

/// What the section header says.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Which frames the file holds.
    pub holding: Holding,
    /// The program and its version.
    pub application: &'a str,
    /// Remarks, one option each.
    pub comments: &'a [String],
}

/// A pcapng file that is being written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    holding: Holding,
    interfaces: Vec<Interface>,
    /// The interface of the last frame: most captures have one.
    last: usize,
    /// Drops that the inputs had told when this file began.
    before: Vec<Drops>,
    bytes: u64,
    /// The block that is being made: its memory is reused.
    block: Vec<u8>,
    loss: Loss,
}

#[derive(Debug)]
struct Interface {
    input: u16,
    link: LinkType,
    frames: u64,
    times: Option<(Timestamp, Timestamp)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Drops {
    kernel: u64,
    interface: u64,
}

impl Drops {
    const fn of(facts: &InputFacts) -> Self {
        Self {
            kernel: facts.kernel_drops,
            interface: facts.interface_drops,
        }
    }
}

impl<W: Write> Writer<W> {
    /// Begins a file with its section header, and with the interfaces of those inputs that are interfaces.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W, section: &Section<'_>, inputs: &[InputFacts]) -> io::Result<Self> {
        let mut writer = Self {
            out,
            holding: section.holding,
            interfaces: Vec::new(),
            last: 0,
            before: inputs.iter().map(Drops::of).collect(),
            bytes: 0,
            block: Vec::new(),
            loss: Loss::default(),
        };
        writer.begin(SECTION_HEADER);
        writer.word(BYTE_ORDER_MAGIC);
        // Version 1.0; the length of the section is not known.
        writer.block.extend([1, 0, 0, 0]);
        writer.block.extend([0xff; 8]);
        for comment in section.comments {
            writer.option(COMMENT, comment.as_bytes());
        }
        writer.option(SHB_HARDWARE, std::env::consts::ARCH.as_bytes());
        writer.option(SHB_OS, std::env::consts::OS.as_bytes());
        writer.option(SHB_USERAPPL, section.application.as_bytes());
        writer.end_options();
        writer.end()?;
        for (input, facts) in (0..).zip(inputs) {
            if let ("live", Some(link)) = (facts.format, facts.link_types.first()) {
                writer.interface(input, *link, 0, inputs)?;
            }
        }
        Ok(writer)
    }

    /// Bytes that were written so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What could not be written so far.
    #[must_use]
    pub const fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Writes the frame of an entry of `batch`.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn record(
        &mut self,
        batch: &Batch,
        record: &Record,
        inputs: &[InputFacts],
    ) -> io::Result<()> {
        self.frame(&batch.frame(record), &[], inputs)
    }

    /// Writes a frame with remarks on it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn frame(
        &mut self,
        frame: &Frame<'_>,
        comments: &[String],
        inputs: &[InputFacts],
    ) -> io::Result<()> {
        let captured_len = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        let input = frame.mark.frame.input();
        let Some(number) = self.interface(input, frame.link, captured_len, inputs)? else {
            self.loss.add(FRAMES_NOT_WRITTEN, 1);
            return Ok(());
        };
        let time = frame.mark.time;
        if time < Timestamp(0) {
            self.loss.add(TIMES_NOT_WRITTEN, 1);
        }
        self.begin(ENHANCED_PACKET);
        self.word(u32::try_from(number).unwrap_or(u32::MAX));
        self.block.extend(ticks(time));
        self.word(captured_len);
        self.word(frame.original_len.max(captured_len));
        self.block.extend_from_slice(frame.data);
        self.pad();
        let left_out = comments.len().saturating_sub(COMMENTS_PER_FRAME_MAX);
        self.loss.add(COMMENTS_NOT_WRITTEN, left_out as u64);
        for comment in comments.iter().take(COMMENTS_PER_FRAME_MAX) {
            self.option(COMMENT, comment.as_bytes());
        }
        let way: u32 = match frame.way {
            Way::Unknown => 0,
            Way::Incoming => 1,
            Way::Outgoing => 2,
        };
        if way != 0 {
            self.option(EPB_FLAGS, &way.to_le_bytes());
        }
        if way != 0 || !comments.is_empty() {
            self.end_options();
        }
        if let Some(interface) = self.interfaces.get_mut(number) {
            interface.frames = interface.frames.saturating_add(1);
            let (first, last) = interface.times.unwrap_or((time, time));
            interface.times = Some((first.min(time), last.max(time)));
        }
        self.end()
    }

    /// Writes secrets, which decrypt frames that are written after them: `key_log` is in the form of SSLKEYLOGFILE.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn secrets(&mut self, key_log: &str) -> io::Result<()> {
        self.begin(DECRYPTION_SECRETS);
        self.word(TLS_KEY_LOG);
        self.word(u32::try_from(key_log.len()).unwrap_or(u32::MAX));
        self.block.extend_from_slice(key_log.as_bytes());
        self.pad();
        self.end()
    }

    /// Hands over what was written so far.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the file with the statistics of its interfaces and gives the output back, flushed.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(mut self, inputs: &[InputFacts]) -> io::Result<(W, Loss)> {
        let mut told: Vec<u16> = Vec::new();
        for (number, interface) in (0..).zip(std::mem::take(&mut self.interfaces)) {
            // The drops of an input belong to none of its link types alone: the first one tells them.
            let first = !told.contains(&interface.input);
            told.push(interface.input);
            self.statistics(number, &interface, first, inputs)?;
        }
        self.out.flush()?;
        Ok((self.out, self.loss))
    }

    /// The number of the interface of an input and a link type, which is described before its first frame.
    fn interface(
        &mut self,
        input: u16,
        link: LinkType,
        captured_len: u32,
        inputs: &[InputFacts],
    ) -> io::Result<Option<usize>> {
        let known = |interface: &Interface| (interface.input, interface.link) == (input, link);
        if self.interfaces.get(self.last).is_some_and(known) {
            return Ok(Some(self.last));
        }
        if let Some(number) = self.interfaces.iter().position(known) {
            self.last = number;
            return Ok(Some(number));
        }
        let (Ok(link_number), true) = (
            u16::try_from(link.0),
            self.interfaces.len() < INTERFACES_MAX,
        ) else {
            return Ok(None);
        };
        let facts = inputs.get(usize::from(input));
        let snap_length = facts.and_then(|facts| facts.snap_length).unwrap_or(0);
        self.begin(INTERFACE);
        self.block.extend(link_number.to_le_bytes());
        self.block.extend([0; 2]);
        // The facts know the smallest of several interfaces only: where it does not hold, none is told.
        self.word(if captured_len > snap_length {
            0
        } else {
            snap_length
        });
        if let Some(facts) = facts {
            self.option(IF_NAME, facts.path.as_bytes());
            if let Some(filter) = filter_of(facts, self.holding) {
                let mut value = vec![0];
                value.extend(filter.as_bytes());
                self.option(IF_FILTER, &value);
            }
        }
        self.option(IF_TSRESOL, &[NANOSECONDS]);
        self.end_options();
        self.end()?;
        self.interfaces.push(Interface {
            input,
            link,
            frames: 0,
            times: None,
        });
        Ok(Some(self.interfaces.len().saturating_sub(1)))
    }

    fn statistics(
        &mut self,
        number: u32,
        interface: &Interface,
        tells_drops: bool,
        inputs: &[InputFacts],
    ) -> io::Result<()> {
        let input = usize::from(interface.input);
        let facts = inputs.get(input).filter(|_| tells_drops);
        let before = self.before.get(input).copied().unwrap_or_default();
        self.begin(STATISTICS);
        self.word(number);
        let (first, last) = interface.times.unwrap_or_default();
        self.block.extend(ticks(last));
        if interface.times.is_some() {
            self.option(ISB_STARTTIME, &ticks(first));
            self.option(ISB_ENDTIME, &ticks(last));
        }
        let now = facts.map(Drops::of).unwrap_or_default();
        let interface_drops = now.interface.saturating_sub(before.interface);
        let kernel_drops = now.kernel.saturating_sub(before.kernel);
        // A file without statistics does not say that nothing was dropped.
        let knows = facts.is_some_and(|facts| facts.format == "live");
        if knows || interface_drops > 0 {
            self.option(ISB_IFDROP, &interface_drops.to_le_bytes());
        }
        if self.holding != Holding::Slice {
            self.option(ISB_FILTERACCEPT, &interface.frames.to_le_bytes());
        }
        if knows || kernel_drops > 0 {
            self.option(ISB_OSDROP, &kernel_drops.to_le_bytes());
        }
        self.end_options();
        self.end()
    }

    /// Begins a block; its length is not known yet.
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.word(kind);
        self.word(0);
    }

    fn word(&mut self, value: u32) {
        self.block.extend(value.to_le_bytes());
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = shortened(value);
        self.block.extend(code.to_le_bytes());
        let length = u16::try_from(value.len()).unwrap_or(0);
        self.block.extend(length.to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn end_options(&mut self) {
        self.word(0);
    }

    /// Puts the length at both ends of the block and writes it.
    fn end(&mut self) -> io::Result<()> {
        let length = self.block.len().saturating_add(4);
        debug_assert!(length >= BLOCK_MIN && length.is_multiple_of(4));
        let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        self.block.extend(bytes);
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&bytes);
        }
        self.out.write_all(&self.block)?;
        self.bytes = self.bytes.saturating_add(length as u64);
        Ok(())
    }
}

/// A count of ticks as packet and statistics blocks have it: the high word first.
fn ticks(time: Timestamp) -> [u8; 8] {
    let nanos = u64::try_from(time.0).unwrap_or(0);
    nanos.rotate_left(32).to_le_bytes()
}

/// A value that fits an option: text is cut between characters.
fn shortened(value: &[u8]) -> &[u8] {
    let mut end = value.len().min(OPTION_BYTES_MAX);
    while end < value.len() && value.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end = end.saturating_sub(1);
    }
    value.get(..end).unwrap_or_default()
}

/// The filter that decided which frames of an input can be in the file at all.
fn filter_of(facts: &InputFacts, holding: Holding) -> Option<String> {
    let own = match holding {
        Holding::Asked => facts.filter.as_ref(),
        Holding::All | Holding::Slice => facts.widened.as_ref().or(facts.filter.as_ref()),
    };
    match (&facts.recorded_filter, own) {
        (Some(recorded), Some(own)) => Some(format!("({recorded}) and ({own})")),
        (recorded, own) => recorded.as_ref().or(own).cloned(),
    }
}
