//! Frames as a capture holds them. In: bytes from a file, a pipe or an interface. Out: batches of frames.
//!
//! The rule: a batch owns its bytes once; frames borrow from it, and each frame knows the number that
//! Wireshark shows for it.

use std::fmt;
use std::num::NonZeroU64;

use crate::time::Timestamp;

/// The link type of a capture: a LINKTYPE_ value of the libpcap registry (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback, host byte order of the machine that captured.
    pub const NULL: Self = Self(0);
    /// IEEE 802.3.
    pub const ETHERNET: Self = Self(1);
    /// Raw IP, version from the first nibble.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback, network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2: what `tcpdump -i any` writes.
    pub const LINUX_SLL2: Self = Self(276);
}

/// A frame's place among the inputs: which input, and its number there, counted from 1 as Wireshark does. Packed into
/// one word that is never zero, because marks are most of what is remembered: `Option<Mark>` takes 16 bytes, not 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(NonZeroU64);

/// Bits of a [`FrameId`] that hold the number; the input lies above them, so that ids sort by input and number.
const NUMBER_BITS: u32 = 48;

/// Largest number of a frame: 281 million million frames of an input, more than any file holds. Those beyond share it.
const FRAME_NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 2;

impl FrameId {
    /// The frame with that `number`, from 1, of the input with that index, from 0.
    #[must_use]
    pub const fn new(input: u16, number: u64) -> Self {
        let number = if number > FRAME_NUMBER_MAX {
            FRAME_NUMBER_MAX
        } else {
            number
        };
        Self(NonZeroU64::MIN.saturating_add(((input as u64) << NUMBER_BITS) | number))
    }

    /// Index of the input, from 0.
    #[must_use]
    pub const fn input(self) -> u16 {
        ((self.0.get() - 1) >> NUMBER_BITS) as u16
    }

    /// Number of the frame in its input, from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.0.get() - 1) & ((1 << NUMBER_BITS) - 1)
    }
}

impl Default for FrameId {
    /// Before the first frame of the first input.
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl fmt::Debug for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input(), self.number())
    }
}

/// When and where something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Capture time of the frame.
    pub time: Timestamp,
    /// The frame.
    pub frame: FrameId,
}

impl Mark {
    /// The least mark at a time `seconds` earlier: a lower bound for looking back.
    #[must_use]
    pub const fn back_seconds(self, seconds: i64) -> Self {
        Self {
            time: self.time.plus_millis(-seconds * 1_000),
            frame: FrameId::new(0, 0),
        }
    }

    /// The least mark at a time `nanos` earlier; this one itself for 0.
    #[must_use]
    pub const fn back_nanos(self, nanos: i64) -> Self {
        if nanos == 0 {
            return self;
        }
        Self {
            time: self.time.plus_nanos(nanos.saturating_neg()),
            frame: FrameId::new(0, 0),
        }
    }
}

/// Which way a frame went through the interface that captured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Nothing says so.
    #[default]
    Unknown,
    /// In: somebody else sent it, or on a loopback interface the machine itself.
    Incoming,
    /// Out: the capturing machine sent it, or passed it on.
    Outgoing,
}

/// The index entry of one frame in a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Where the frame's bytes start in [`Batch::bytes`].
    pub start: usize,
    /// Bytes that were captured.
    pub captured_len: u32,
    /// Bytes that were on the wire; at least `captured_len` in a sound file.
    pub original_len: u32,
    /// The frame's number and time.
    pub mark: Mark,
    /// How its first bytes are to be read.
    pub link: LinkType,
    /// Which way it went, as far as the capture's format says; cooked headers say it themselves.
    pub way: Way,
    /// Byte offset of the record in its (uncompressed) input.
    pub offset: u64,
    /// Whether the user's own filter lets it pass: false for a frame that is there for diagnosis only.
    pub asked: bool,
}

/// Frames that travel through the house together: the bytes as they were read, and an index of records.
#[derive(Debug, Default)]
pub struct Batch {
    /// The bytes of all frames (record headers of the file may lie between them).
    pub bytes: Vec<u8>,
    /// One entry a frame, in input order.
    pub records: Vec<Record>,
}

/// One frame: link-layer bytes as captured.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The captured bytes.
    pub data: &'a [u8],
    /// Bytes on the wire.
    pub original_len: u32,
    /// Number and time.
    pub mark: Mark,
    /// Link type.
    pub link: LinkType,
    /// Which way it went, as far as the capture's format says.
    pub way: Way,
}

impl Batch {
    /// Forgets the frames and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// The frame of an index entry of this batch; an entry that points outside gives an empty frame.
    #[must_use]
    pub fn frame(&self, record: &Record) -> Frame<'_> {
        let end = record.start.saturating_add(record.captured_len as usize);
        Frame {
            data: self.bytes.get(record.start..end).unwrap_or_default(),
            original_len: record.original_len.max(record.captured_len),
            mark: record.mark,
            link: record.link,
            way: record.way,
        }
    }
}
