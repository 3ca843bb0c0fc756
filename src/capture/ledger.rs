//! The book of one input. In: frames as a format's reader finds them. Out: numbered records that the filter lets
//! pass, the facts of the input, and what was lost.
//!
//! The rule: every frame of the input gets a number, dropped ones too, because Wireshark numbers them all.

use crate::capture::error::CaptureError;
use crate::capture::filter::{Filter, Verdict};
use crate::capture::source::InputFacts;
use crate::frame::{FrameId, LinkType, Mark, Record, Way};
use crate::loss::{Damage, Loss};
use crate::time::Timestamp;

/// Bytes of damaged places that were passed over.
pub(super) const DAMAGED_BYTES: &str = "damaged_bytes_skipped";
/// Frames that the capturing kernel dropped because nobody read them in time.
pub(super) const KERNEL_DROPS: &str = "kernel_drops";
/// Frames that the interface dropped before the kernel saw them.
pub(super) const INTERFACE_DROPS: &str = "interface_drops";
/// Frames without a capture time (pcapng simple packet blocks); they take the time of the frame before.
pub(super) const WITHOUT_TIME: &str = "frames_without_time";

/// A frame that a reader found in its window.
pub(super) struct Found {
    /// Index of the frame's first byte in the batch.
    pub(super) start: usize,
    pub(super) captured_len: u32,
    pub(super) original_len: u32,
    /// `None` where the format tells none.
    pub(super) time: Option<Timestamp>,
    pub(super) link: LinkType,
    pub(super) way: Way,
    /// Byte offset of the record in the input.
    pub(super) offset: u64,
}

/// Numbers, facts and losses of one input.
pub(super) struct Ledger {
    input: u16,
    pub(super) facts: InputFacts,
    pub(super) loss: Loss,
    filter: Option<Filter>,
    latest: Timestamp,
    /// Whether it was told why the input ends too early.
    end_told: bool,
}

impl Ledger {
    pub(super) fn new(input: u16, path: String, filter: Option<Filter>) -> Self {
        let facts = InputFacts {
            path,
            filter: filter.as_ref().map(|filter| filter.expression().to_owned()),
            ..InputFacts::default()
        };
        Self {
            input,
            facts,
            loss: Loss::default(),
            filter,
            latest: Timestamp::default(),
            end_told: false,
        }
    }

    /// Notes a link type that the input declares; the filter must apply to it.
    pub(super) fn declare_link(&mut self, link: LinkType) -> Result<(), CaptureError> {
        self.facts.note_link(link);
        match &mut self.filter {
            Some(filter) => filter.prepare(link),
            None => Ok(()),
        }
    }

    /// Numbers a frame and adds it to `records` when the filter lets it pass. `bytes` are those of the batch.
    pub(super) fn frame(
        &mut self,
        bytes: &[u8],
        records: &mut Vec<Record>,
        found: Found,
    ) -> Result<(), CaptureError> {
        let time = self.number_frame(found.time);
        if let Some(filter) = &mut self.filter {
            let end = found.start.saturating_add(found.captured_len as usize);
            let data = bytes.get(found.start..end).unwrap_or_default();
            match filter.judge(found.link, data)? {
                Verdict::Pass => {}
                Verdict::Drop => return Ok(()),
                Verdict::NotApplicable => {
                    let LinkType(number) = found.link;
                    self.loss.skip(&format!("link type {number}"));
                    return Ok(());
                }
            }
        }
        records.push(Record {
            start: found.start,
            captured_len: found.captured_len,
            original_len: found.original_len.max(found.captured_len),
            mark: Mark {
                time,
                frame: FrameId::new(self.input, self.facts.frames),
            },
            link: found.link,
            way: found.way,
            offset: found.offset,
            asked: true,
        });
        Ok(())
    }

    /// Counts a record that no decoder can use, so that the frames after it keep Wireshark's numbers.
    pub(super) fn pass_number(&mut self) {
        self.facts.frames = self.facts.frames.saturating_add(1);
    }

    /// Counts frames that the kernel and the interface dropped since the last call.
    pub(super) fn dropped(&mut self, kernel: u64, interface: u64) {
        self.loss.add(KERNEL_DROPS, kernel);
        self.loss.add(INTERFACE_DROPS, interface);
        let facts = &mut self.facts;
        facts.kernel_drops = facts.kernel_drops.saturating_add(kernel);
        facts.interface_drops = facts.interface_drops.saturating_add(interface);
    }

    /// Counts a frame and gives its time.
    fn number_frame(&mut self, time: Option<Timestamp>) -> Timestamp {
        self.pass_number();
        let Some(time) = time else {
            self.loss.add(WITHOUT_TIME, 1);
            return self.latest;
        };
        self.latest = time;
        let first = self.facts.first_time.map_or(time, |first| first.min(time));
        self.facts.first_time = Some(first);
        self.facts.last_time = self.facts.last_time.max(Some(time));
        time
    }

    /// Notes a damaged place and the bytes that were passed over because of it.
    pub(super) fn damaged(&mut self, offset: u64, skipped: u64, what: &str) {
        self.loss.add(DAMAGED_BYTES, skipped);
        self.loss.damaged(Damage {
            input: self.input,
            offset,
            what: format!("{what}; {skipped} bytes were skipped"),
        });
    }

    /// Notes that the input cannot be read any further, with its reason.
    pub(super) fn unreadable(&mut self, offset: u64, what: String) {
        self.loss.damaged(Damage {
            input: self.input,
            offset,
            what,
        });
    }

    /// The input ends where it does because of damage, which will be told: a cut there is none of its own.
    pub(super) fn ends_in_damage(&mut self) {
        self.end_told = true;
    }

    /// Notes that the input ends too early, inside the record that starts at `offset`; once.
    pub(super) fn truncated(&mut self, offset: u64, what: String) {
        if std::mem::replace(&mut self.end_told, true) {
            return;
        }
        self.loss.truncated(Damage {
            input: self.input,
            offset,
            what,
        });
    }
}
