//! The classic pcap format (draft-ietf-opsawg-pcap). In: a window of the file. Out: records in the ledger.
//!
//! The rule: a record is taken when its length is possible; otherwise reading goes on at the next place where a chain
//! of records looks real, and the bytes between are counted. Left out: the swapped lengths of versions before 2.3.

use crate::capture::error::CaptureError;
use crate::capture::ledger::{Found, Ledger};
use crate::capture::window::{Lost, Order, Scan, Search, Window};
use crate::frame::{LinkType, Record, Way};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Bytes of the file's header.
pub(super) const FILE_HEADER: usize = 24;

/// Bytes of a record's header, and of one with the fields that Kuznetzov's patch adds.
const RECORD_HEADER: usize = 16;
const RECORD_HEADER_MODIFIED: usize = 24;

/// Most captured bytes of a frame where the file's header names no larger snap length: MAXIMUM_SNAPLEN of libpcap.
pub(super) const CAPTURED_MAX: u32 = 256 * 1024;

/// Most captured bytes of a frame whatever the file's header says, because that number is the memory of a hostile
/// file to spend.
pub(super) const CAPTURED_HEADER_MAX: u32 = 16 * 1024 * 1024;

/// Records in a row that must look real before reading goes on there. Three chance hits in a row are out of reach.
const CHAIN_MIN: usize = 3;

/// Farthest that the time of a record may lie from the one before, after damage: a capture may sleep, not jump years.
const TIME_STEP_MAX_S: u32 = 90 * 24 * 3600;

/// Longest frame on the wire that is believed after damage: Linux builds no larger one, even with BIG TCP.
const ORIGINAL_MAX: u32 = 1024 * 1024;

/// A reader of one classic pcap file.
pub(super) struct Pcap {
    order: Order,
    nanos_per_fraction: u32,
    /// Fractions of a second in a second.
    fractions: u32,
    header_len: usize,
    link: LinkType,
    /// Bytes of the check sequence at the end of every frame.
    check_len: u32,
    snap_length: u32,
    captured_max: u32,
    /// Seconds of the last sound record: damage is measured against it.
    last_seconds: Option<u32>,
    lost: Option<Lost>,
}

/// The header of a record.
#[derive(Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

/// Why first bytes are not the start of a pcap file.
pub(super) enum Refusal {
    /// Another format, or a header that is cut.
    Other,
    /// This format, in a version that is not supported.
    Version(u16, u16),
}

impl Pcap {
    /// Reads the file's header.
    pub(super) fn open(first: &[u8]) -> Result<Self, Refusal> {
        let header: &[u8; FILE_HEADER] = first.first_chunk().ok_or(Refusal::Other)?;
        let [a, b, c, d, ..] = *header;
        let (order, nanos_per_fraction, header_len) = match [a, b, c, d] {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1000, RECORD_HEADER),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1000, RECORD_HEADER),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1, RECORD_HEADER),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1, RECORD_HEADER),
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, 1000, RECORD_HEADER_MODIFIED),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, 1000, RECORD_HEADER_MODIFIED),
            _ => return Err(Refusal::Other),
        };
        let major = order.u16_at(header, 4).unwrap_or(0);
        let minor = order.u16_at(header, 6).unwrap_or(0);
        // Before 2.3 the two lengths of a record are swapped; after 2.4 nothing was ever defined.
        if major != 2 || !(3..=4).contains(&minor) {
            return Err(Refusal::Version(major, minor));
        }
        let snap_length = order.u32_at(header, 16).unwrap_or(0);
        let link = order.u32_at(header, 20).unwrap_or(0);
        // Bit 26 says that the highest four bits tell the length of the check sequence, in words of two bytes.
        let check_len = if link & 0x0400_0000 != 0 {
            (link >> 28).saturating_mul(2)
        } else {
            0
        };
        Ok(Self {
            order,
            nanos_per_fraction,
            fractions: NANOS_PER_SECOND as u32 / nanos_per_fraction,
            header_len,
            link: LinkType(link & 0xffff),
            check_len,
            snap_length,
            captured_max: snap_length.clamp(CAPTURED_MAX, CAPTURED_HEADER_MAX),
            last_seconds: None,
            lost: None,
        })
    }

    /// Tells the ledger what the header says.
    pub(super) fn declare(&self, ledger: &mut Ledger) -> Result<(), CaptureError> {
        ledger.facts.format = "pcap";
        ledger.facts.note_snap_length(self.snap_length);
        ledger.declare_link(self.link)
    }

    /// Indexes the records of the window from its first byte.
    pub(super) fn scan(
        &mut self,
        window: Window<'_>,
        records: &mut Vec<Record>,
        ledger: &mut Ledger,
    ) -> Result<Scan, CaptureError> {
        let mut at = 0;
        loop {
            if self.lost.is_some() {
                match self.search(window, at) {
                    Search::At(index) => {
                        self.recovered(window.offset(index), ledger);
                        at = index;
                    }
                    Search::More { from, needed } => return Ok(Scan::More { from, needed }),
                    Search::Nothing => {
                        self.recovered(window.offset(window.bytes.len()), ledger);
                        return Ok(Scan::End);
                    }
                }
            }
            let Some(header) = self.header(window, at) else {
                return Ok(self.cut(window, at, self.header_len, ledger));
            };
            if !self.possible(header) {
                self.lost = Some(self.describe_damage(window.offset(at), header, ledger));
                at = at.saturating_add(1);
                continue;
            }
            let start = at.saturating_add(self.header_len);
            let end = start.saturating_add(header.captured as usize);
            if self.odd(header) {
                match self.follows(window, header, end) {
                    Some(true) => {}
                    Some(false) => {
                        self.lost = Some(self.describe_damage(window.offset(at), header, ledger));
                        at = at.saturating_add(1);
                        continue;
                    }
                    None => {
                        let needed = end.saturating_sub(at).saturating_add(self.header_len);
                        return Ok(Scan::More { from: at, needed });
                    }
                }
            }
            if end > window.bytes.len() {
                return Ok(self.cut(window, at, end.saturating_sub(at), ledger));
            }
            self.last_seconds = Some(header.seconds);
            let original_len = header.original.max(header.captured);
            let original_len = original_len.saturating_sub(self.check_len);
            let found = Found {
                start,
                // What the snap length cut off is the check sequence first.
                captured_len: header.captured.min(original_len),
                original_len,
                time: Some(self.time(header)),
                link: self.link,
                way: Way::Unknown,
                offset: window.offset(at),
            };
            ledger.frame(window.bytes, records, found)?;
            at = end;
        }
    }

    fn header(&self, window: Window<'_>, at: usize) -> Option<Header> {
        if window.rest(at) < self.header_len {
            return None;
        }
        let ([seconds, fraction, captured, original], _) =
            window.chunk::<RECORD_HEADER>(at)?.as_chunks::<4>()
        else {
            return None;
        };
        Some(Header {
            seconds: self.order.u32(*seconds),
            fraction: self.order.u32(*fraction),
            captured: self.order.u32(*captured),
            original: self.order.u32(*original),
        })
    }

    /// Whether a record may have this header, at a place where a record is due.
    fn possible(&self, header: Header) -> bool {
        let empty = header.seconds == 0 && header.captured == 0 && header.original == 0;
        header.captured <= self.captured_max && header.fraction < NANOS_PER_SECOND as u32 && !empty
    }

    /// Whether a header that is possible is one that sound files hardly have: more captured than there was on the wire, a
    /// fraction of more than a second, a jump in time. Some writers and clocks do so; a damaged record, or one that is
    /// read a few bytes beside its place, does too.
    fn odd(&self, header: Header) -> bool {
        header.captured > header.original
            || header.fraction >= self.fractions
            || self
                .last_seconds
                .is_some_and(|last| header.seconds.abs_diff(last) > TIME_STEP_MAX_S)
    }

    /// Whether the input ends at `end`, or goes on there with a possible record of the time of `header` or of the record
    /// before it; `None` when that is not in the window. It decides whether an odd record is believed.
    fn follows(&self, window: Window<'_>, header: Header, end: usize) -> Option<bool> {
        let Some(next) = self.header(window, end) else {
            return window.at_end.then_some(end <= window.bytes.len());
        };
        let near = |seconds: u32| next.seconds.abs_diff(seconds) <= TIME_STEP_MAX_S;
        let in_time = near(header.seconds) || self.last_seconds.is_some_and(near);
        Some(self.possible(next) && in_time)
    }

    /// Whether bytes at a guessed place look like a header: stricter, since chance is to be kept out.
    fn plausible(&self, header: Header, near: Option<u32>) -> bool {
        header.captured > 0
            && header.captured <= CAPTURED_MAX
            && header.captured <= header.original
            && header.original <= ORIGINAL_MAX
            && header.fraction < self.fractions
            && near.is_none_or(|near| header.seconds.abs_diff(near) <= TIME_STEP_MAX_S)
    }

    /// The next index from which a chain of records looks real.
    fn search(&self, window: Window<'_>, from: usize) -> Search {
        for start in from..window.bytes.len() {
            let mut at = start;
            let mut near = self.last_seconds;
            for links in 0..CHAIN_MIN {
                let Some(header) = self.header(window, at) else {
                    if !window.at_end {
                        let needed = at.saturating_sub(start).saturating_add(self.header_len);
                        return Search::More {
                            from: start,
                            needed,
                        };
                    }
                    // The input ends here: exactly after a record, or in one after at least two.
                    if (at == window.bytes.len() && links > 0) || links > 1 {
                        return Search::At(start);
                    }
                    break;
                };
                if !self.plausible(header, near) {
                    break;
                }
                if links.saturating_add(1) == CHAIN_MIN {
                    return Search::At(start);
                }
                near = Some(header.seconds);
                at = at
                    .saturating_add(self.header_len)
                    .saturating_add(header.captured as usize);
            }
        }
        if window.at_end {
            Search::Nothing
        } else {
            Search::More {
                from: window.bytes.len(),
                needed: self.header_len,
            }
        }
    }

    fn describe_damage(&self, offset: u64, header: Header, ledger: &Ledger) -> Lost {
        let frame = ledger.facts.frames.saturating_add(1);
        let what = if header.captured > self.captured_max {
            format!(
                "the record of frame {frame} claims {} captured bytes",
                header.captured
            )
        } else if header.captured > header.original {
            format!(
                "the record of frame {frame} claims {} captured bytes of {} and no record follows it",
                header.captured, header.original
            )
        } else if header.fraction >= NANOS_PER_SECOND as u32 {
            format!("the record of frame {frame} has an impossible capture time")
        } else if header.seconds == 0 && header.captured == 0 {
            format!("zeros stand where the record of frame {frame} should be")
        } else {
            format!("the record of frame {frame} has an odd time and no record follows it")
        };
        Lost {
            since: offset,
            what,
        }
    }

    fn recovered(&mut self, offset: u64, ledger: &mut Ledger) {
        if let Some(lost) = self.lost.take() {
            ledger.damaged(lost.since, offset.saturating_sub(lost.since), &lost.what);
        }
    }

    /// The window ends inside the record at `at`, which has `needed` bytes as far as is known.
    fn cut(&self, window: Window<'_>, at: usize, needed: usize, ledger: &mut Ledger) -> Scan {
        if !window.at_end {
            return Scan::More { from: at, needed };
        }
        let rest = window.rest(at);
        if rest > 0 {
            let frame = ledger.facts.frames.saturating_add(1);
            let what = format!(
                "the file ends inside the record of frame {frame}: {rest} of at least {needed} bytes are there"
            );
            ledger.truncated(window.offset(at), what);
        }
        Scan::End
    }

    /// Seconds since 1970 as an unsigned 32-bit number fit the line of nanoseconds; so does any fraction.
    fn time(&self, header: Header) -> Timestamp {
        let fraction =
            i64::from(header.fraction).saturating_mul(i64::from(self.nanos_per_fraction));
        let seconds = i64::from(header.seconds).saturating_mul(NANOS_PER_SECOND);
        Timestamp(seconds).plus_nanos(fraction)
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::samples::{
        self, START, payload, pcap_header, pcap_record, read, read_with,
    };
    use crate::capture::window::Order::{Big, Little};

    #[test]
    fn either_byte_order_and_every_magic() {
        for order in [Little, Big] {
            for (magic, nanos) in [(0xa1b2_c3d4, 3000), (0xa1b2_3c4d, 3)] {
                let mut file = pcap_header(order, magic, 0, 0x5400_0001);
                file.extend(pcap_record(order, 3, b"abc", 90));
                let read = read(&file);
                assert_eq!(read.frames.len(), 1);
                let frame = &read.frames[0];
                assert_eq!(frame.nanos, (i64::from(START) + 3) * 1_000_000_000 + nanos);
                assert_eq!((frame.number, frame.link, frame.offset), (1, 1, 24));
                // 0x5400_0001: a check sequence of five words.
                assert_eq!((frame.data.as_slice(), frame.original), (&b"abc"[..], 80));
                assert_eq!(read.facts.snap_length, None);
                assert_eq!(read.loss, Default::default());
            }
        }
    }

    #[test]
    fn the_longer_records_of_the_modified_format() {
        let mut file = pcap_header(Little, 0xa1b2_cd34, 1500, 113);
        for index in 0..3 {
            let mut record = pcap_record(Little, index, &payload(index), 100);
            record.splice(16..16, [9; 8]);
            file.extend(record);
        }
        let read = read(&file);
        assert_eq!(read.frames.len(), 3);
        assert_eq!(read.frames[2].data, payload(2));
        assert_eq!(read.facts.snap_length, Some(1500));
    }

    #[test]
    fn a_damaged_record_is_passed_over_and_said() {
        let mut file = samples::pcap(Little, 10);
        let broken = read(&file).frames[4].offset as usize;
        let next = read(&file).frames[5].offset as usize;
        file[broken + 8..broken + 12].copy_from_slice(&[0xff; 4]);
        let read = read(&file);
        assert_eq!(read.frames.len(), 9);
        assert_eq!(read.frames[4].data, payload(5));
        let [damage] = read.loss.damage() else {
            panic!()
        };
        assert_eq!(damage.offset, broken as u64);
        assert!(
            damage.what.contains("frame 5 claims 4294967295"),
            "{}",
            damage.what
        );
        assert_eq!(
            read.loss.get("damaged_bytes_skipped"),
            (next - broken) as u64
        );
        assert!(read.loss.truncations().is_empty());
    }

    #[test]
    fn a_check_sequence_is_no_part_of_the_frame() {
        let mut file = pcap_header(Little, 0xa1b2_c3d4, 0, 0x2400_0001);
        file.extend(pcap_record(Little, 0, b"whole frame+fcs+", 16));
        file.extend(pcap_record(Little, 1, b"cut inside +f", 16));
        file.extend(pcap_record(Little, 2, b"cut before", 16));
        let read = read(&file);
        let seen: Vec<_> = read
            .frames
            .iter()
            .map(|frame| (frame.data.as_slice(), frame.original))
            .collect();
        let expected: [(&[u8], u32); 3] = [
            (b"whole frame+", 12),
            (b"cut inside +", 12),
            (b"cut before", 12),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_damaged_length_that_is_possible_is_found_out_by_what_follows() {
        let whole = read(&samples::pcap(Little, 3000));
        let mut file = samples::pcap(Little, 3000);
        for broken in [4, 2990] {
            let at = whole.frames[broken].offset as usize;
            file[at + 8..at + 12].copy_from_slice(&50_000_u32.to_le_bytes());
        }
        let damaged = read(&file);
        assert_eq!(damaged.frames.len(), 2998);
        assert_eq!(damaged.loss.damage().len(), 2);
        assert!(damaged.loss.truncations().is_empty());
        for bytes_max in [4096, 60_000] {
            assert_eq!(read_with(&file, bytes_max, true, None), damaged);
        }
    }

    #[test]
    fn bytes_that_were_lost_or_added_cost_one_record() {
        let sound = samples::pcap(Little, 200);
        let broken = read(&sound).frames[60].offset as usize;
        for shift in 1..=3 {
            let mut longer = sound.clone();
            longer.splice(broken + 20..broken + 20, vec![0x55; shift]);
            let mut shorter = sound.clone();
            shorter.drain(broken + 20..broken + 20 + shift);
            for file in [longer, shorter] {
                let read = read(&file);
                // The frame itself is misread, and so may be the one after it.
                assert!((198..=200).contains(&read.frames.len()), "{shift}");
                assert_eq!(read.frames.last().unwrap().data, payload(199));
                assert_eq!(read.loss.damage().len(), 1, "{shift}");
                assert!(read.loss.truncations().is_empty());
            }
        }
    }

    #[test]
    fn one_header_that_reaches_beyond_the_end_is_no_chain() {
        // The first two records are destroyed, and what is left of them reads as the header of a long record.
        let mut file = samples::pcap(Little, 30);
        let third = read(&file).frames[2].offset as usize;
        file[30..third].fill(0xff);
        let [a, b, c, d] = 12_288_u32.to_le_bytes();
        let fake = [[9, 9, 9, 9], [a, b, c, d], [a, b, c, d], [a, b, c, d]].concat();
        file[third - 18..third - 2].copy_from_slice(&fake);
        let read = read(&file);
        assert_eq!(read.frames.len(), 28);
        assert!(read.loss.truncations().is_empty());
    }

    #[test]
    fn a_clock_that_is_set_while_capturing_is_believed() {
        let mut file = pcap_header(Little, 0xa1b2_c3d4, 0, 1);
        for index in 0..6_u32 {
            let mut record = pcap_record(Little, index, &payload(index), 99);
            if index < 3 {
                record[..4].copy_from_slice(&(5 + index).to_le_bytes());
            }
            file.extend(record);
        }
        let read = read(&file);
        assert_eq!((read.frames.len(), read.loss.damage().len()), (6, 0));
    }

    #[test]
    fn a_writer_that_miscounts_the_wire_is_believed() {
        let mut file = pcap_header(Little, 0xa1b2_c3d4, 0, 1);
        for index in 0..3 {
            file.extend(pcap_record(Little, index, b"captured", 0));
        }
        let read = read(&file);
        assert_eq!((read.frames.len(), read.loss.damage().len()), (3, 0));
    }

    #[test]
    fn noise_in_the_middle_gives_the_same_for_any_batch_size() {
        let mut file = samples::pcap(Big, 400);
        let at = read(&file).frames[200].offset as usize;
        let noise: Vec<u8> = (0..20_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80)
            .collect();
        file.splice(at..at, noise);
        let whole = read(&file);
        assert_eq!(whole.frames.len(), 400);
        assert_eq!(whole.loss.get("damaged_bytes_skipped"), 20_000);
        for bytes_max in [4096, 5000, 65_536] {
            assert_eq!(read_with(&file, bytes_max, false, None), whole);
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_frames() {
        let mut file = samples::pcap(Little, 5);
        file.resize(file.len() + 100_000, 0);
        let read = read(&file);
        assert_eq!(read.frames.len(), 5);
        assert_eq!(read.loss.damage().len(), 1);
        assert_eq!(read.loss.get("damaged_bytes_skipped"), 100_000);
    }

    #[test]
    fn a_frame_of_any_allowed_size_fits_a_small_batch() {
        let big = vec![7; 400_000];
        let mut file = pcap_header(Little, 0xa1b2_c3d4, 500_000, 1);
        file.extend(pcap_record(Little, 0, b"first", 5));
        file.extend(pcap_record(Little, 1, &big, 400_000));
        file.extend(pcap_record(Little, 2, b"last", 4));
        let read = read_with(&file, 0, false, None);
        assert_eq!(read.frames.len(), 3);
        assert_eq!(read.frames[1].data, big);
    }
}
