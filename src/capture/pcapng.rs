//! The pcapng format (draft-ietf-opsawg-pcapng). In: a window of the file. Out: records in the ledger.
//!
//! The rule: blocks are believed when both of their lengths agree; otherwise reading goes on where two blocks in a row
//! do. Blocks without packets are passed over by their length. Left out: comments.

use std::sync::Arc;

use crate::capture::block::{
    self, BLOCK_MAX, BLOCK_MIN, BYTE_ORDER_MAGIC, CUSTOM, CUSTOM_NO_COPY, DECRYPTION_SECRETS,
    ENHANCED_PACKET, INTERFACE, JOURNAL_EXPORT, Length, NAME_RESOLUTION, PACKET, SECTION_HEADER,
    SIMPLE_PACKET, STATISTICS, SYSDIG, SYSDIG_2, SYSDIG_2_LARGE, section_order,
};
use crate::capture::error::CaptureError;
use crate::capture::interface_block::{Interface, PacketFlags, Statistics};
use crate::capture::ledger::{Found, Ledger};
use crate::capture::names;
use crate::capture::pcap::Refusal;
use crate::capture::window::{Lost, Order, Scan, Search, Window};
use crate::frame::Record;

/// Most interfaces of a section: a machine with ten thousand containers has a pair of them each.
const INTERFACES_MAX: usize = 65_536;

/// Interface blocks beyond [`INTERFACES_MAX`]; their frames are not decoded.
const INTERFACES_DROPPED: &str = "pcapng_interfaces_not_kept";

/// Names of addresses beyond [`names::NAMES_MAX`].
const NAMES_DROPPED: &str = "pcapng_names_not_kept";

/// A reader of one pcapng file.
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    lost: Option<Lost>,
}

/// One block: its type and its bytes between the two lengths.
struct Block<'a> {
    kind: u32,
    body: &'a [u8],
    /// Index of the body in the window.
    start: usize,
    offset: u64,
}

impl Pcapng {
    /// Reads the header of the first section.
    pub(super) fn open(first: &[u8]) -> Result<Self, Refusal> {
        let order = section_order(first, 0).ok_or(Refusal::Other)?;
        let major = order.u16_at(first, 12).ok_or(Refusal::Other)?;
        let minor = order.u16_at(first, 14).ok_or(Refusal::Other)?;
        if major != 1 {
            return Err(Refusal::Version(major, minor));
        }
        Ok(Self {
            order,
            interfaces: Vec::new(),
            lost: None,
        })
    }

    /// Tells the ledger which format this is; the interfaces come with their blocks.
    pub(super) fn declare(ledger: &mut Ledger) {
        ledger.facts.format = "pcapng";
    }

    /// Indexes the blocks of the window from its first byte.
    pub(super) fn scan(
        &mut self,
        window: Window<'_>,
        records: &mut Vec<Record>,
        ledger: &mut Ledger,
    ) -> Result<Scan, CaptureError> {
        let mut at = 0;
        loop {
            if self.lost.is_some() {
                match block::search(self.order, window, at) {
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
            let Some((kind, order)) = block::kind_at(self.order, window, at) else {
                return Ok(cut(window, at, BLOCK_MIN, ledger));
            };
            let length = match block::block_length(window, at, order, BLOCK_MAX) {
                Length::Bytes(length) => length,
                Length::Impossible(claimed) => {
                    self.lose(window.offset(at), format!("a block claims {claimed} bytes"));
                    at = at.saturating_add(1);
                    continue;
                }
                Length::NotHere => return Ok(cut(window, at, BLOCK_MIN, ledger)),
            };
            let end = at.saturating_add(length);
            if end > window.bytes.len() {
                if self.goes_on(window, at) {
                    let what = format!("a block claims {length} bytes, more than the file has");
                    self.lose(window.offset(at), what);
                    at = at.saturating_add(1);
                    continue;
                }
                return Ok(cut(window, at, length, ledger));
            }
            let trailing = order.u32_at(window.bytes, end.saturating_sub(4));
            let body = window
                .bytes
                .get(at.saturating_add(8)..end.saturating_sub(4));
            let (Some(body), true) = (body, trailing == u32::try_from(length).ok()) else {
                let what = "the two lengths of a block differ".to_owned();
                self.lose(window.offset(at), what);
                at = at.saturating_add(1);
                continue;
            };
            // What decrypts the frames after it is told apart from those before, whatever the size of a batch.
            if kind == DECRYPTION_SECRETS && !records.is_empty() {
                return Ok(Scan::More {
                    from: at,
                    needed: length,
                });
            }
            self.order = order;
            let block = Block {
                kind,
                body,
                start: at.saturating_add(8),
                offset: window.offset(at),
            };
            self.block(&block, window, records, ledger)?;
            at = end;
        }
    }

    fn block(
        &mut self,
        block: &Block<'_>,
        window: Window<'_>,
        records: &mut Vec<Record>,
        ledger: &mut Ledger,
    ) -> Result<(), CaptureError> {
        let understood = match block.kind {
            ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                if let Some(found) = self.packet(block, ledger) {
                    return ledger.frame(window.bytes, records, found);
                }
                false
            }
            SECTION_HEADER => {
                self.interfaces.clear();
                let magic = self.order.u32_at(block.body, 0);
                magic == Some(BYTE_ORDER_MAGIC) && self.order.u16_at(block.body, 4) == Some(1)
            }
            INTERFACE => self.interface(block, ledger)?,
            STATISTICS => self.statistics(block, ledger).is_some(),
            NAME_RESOLUTION => self.names(block, ledger).is_some(),
            DECRYPTION_SECRETS => {
                let known = Arc::make_mut(&mut ledger.facts.secrets);
                known
                    .read(self.order, block.body, &mut ledger.loss)
                    .is_some()
            }
            JOURNAL_EXPORT | SYSDIG | SYSDIG_2 | SYSDIG_2_LARGE | CUSTOM | CUSTOM_NO_COPY => {
                // Wireshark shows these as frames, so they take a number.
                ledger.pass_number();
                true
            }
            _ => true,
        };
        if !understood {
            let what = format!("a block of type {} contradicts itself", block.kind);
            let length = block.body.len().saturating_add(BLOCK_MIN) as u64;
            ledger.damaged(block.offset, length, &what);
        }
        Ok(())
    }

    /// The frame of an enhanced, a simple or an (obsolete) packet block; `None` when its fields are impossible.
    fn packet(&self, block: &Block<'_>, ledger: &mut Ledger) -> Option<Found> {
        let word = |index| self.order.u32_at(block.body, index);
        let (interface, head, ticks, captured_len, original_len) = match block.kind {
            SIMPLE_PACKET => {
                let interface = self.interfaces.first()?;
                let original = word(0)?;
                let room = u32::try_from(block.body.len().checked_sub(4)?).ok()?;
                let captured = original.min(room).min(interface.captured_max());
                (interface, 4, None, captured, original)
            }
            kind => {
                let index = if kind == PACKET {
                    let drops = self.order.u16_at(block.body, 2)?;
                    // 65,535 says that the number of drops is not known.
                    if drops < u16::MAX {
                        ledger.dropped(u64::from(drops), 0);
                    }
                    usize::from(self.order.u16_at(block.body, 0)?)
                } else {
                    word(0)? as usize
                };
                let ticks = u64::from(word(4)?) << 32 | u64::from(word(8)?);
                (
                    self.interfaces.get(index)?,
                    20,
                    Some(ticks),
                    word(12)?,
                    word(16)?,
                )
            }
        };
        let room = block.body.len().checked_sub(head)?;
        if captured_len as usize > room {
            return None;
        }
        // Options follow the bytes, which are padded to words of four.
        let data = (captured_len as usize).next_multiple_of(4);
        let options = block.body.get(head.saturating_add(data)..);
        let options = options.filter(|_| block.kind != SIMPLE_PACKET);
        let flags = PacketFlags::read(self.order, options.unwrap_or_default(), interface);
        let original_len = original_len.max(captured_len);
        let original_len = original_len.saturating_sub(flags.check_len);
        Some(Found {
            start: block.start.saturating_add(head),
            // What the snap length cut off is the check sequence first.
            captured_len: captured_len.min(original_len),
            original_len,
            time: ticks.map(|ticks| interface.clock.time(ticks)),
            link: interface.link,
            way: flags.way,
            offset: block.offset,
        })
    }

    fn interface(&mut self, block: &Block<'_>, ledger: &mut Ledger) -> Result<bool, CaptureError> {
        let Some(interface) = Interface::read(self.order, block.body, &mut ledger.facts) else {
            return Ok(false);
        };
        if self.interfaces.len() >= INTERFACES_MAX {
            ledger.loss.add(INTERFACES_DROPPED, 1);
            return Ok(true);
        }
        ledger.facts.note_snap_length(interface.snap_length);
        ledger.declare_link(interface.link)?;
        self.interfaces.push(interface);
        Ok(true)
    }

    /// Adds what an interface dropped since its last statistics block: the counts are totals.
    fn statistics(&mut self, block: &Block<'_>, ledger: &mut Ledger) -> Option<()> {
        let index = self.order.u32_at(block.body, 0)? as usize;
        let interface = self.interfaces.get_mut(index)?;
        let now = Statistics::read(self.order, block.body)?;
        let before = interface.statistics.max_with(now);
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        ledger.dropped(
            grown(now.kernel_drops, before.kernel_drops),
            grown(now.interface_drops, before.interface_drops),
        );
        Some(())
    }

    fn names(&self, block: &Block<'_>, ledger: &mut Ledger) -> Option<()> {
        let known = Arc::make_mut(&mut ledger.facts.names);
        let not_kept = names::read(self.order, block.body, known)?;
        ledger.loss.add(NAMES_DROPPED, not_kept);
        Some(())
    }

    /// Whether the block at `at`, which reaches beyond the end of the input, has whole blocks inside it: then its length is
    /// damaged, and the input is not cut there.
    fn goes_on(&self, window: Window<'_>, at: usize) -> bool {
        let inside = at.saturating_add(BLOCK_MIN);
        window.at_end && matches!(block::search(self.order, window, inside), Search::At(_))
    }

    fn lose(&mut self, since: u64, what: String) {
        self.lost = Some(Lost { since, what });
    }

    fn recovered(&mut self, offset: u64, ledger: &mut Ledger) {
        if let Some(lost) = self.lost.take() {
            ledger.damaged(lost.since, offset.saturating_sub(lost.since), &lost.what);
        }
    }
}

/// The window ends inside the block at `at`, which has `needed` bytes as far as is known.
fn cut(window: Window<'_>, at: usize, needed: usize, ledger: &mut Ledger) -> Scan {
    if !window.at_end {
        return Scan::More { from: at, needed };
    }
    let rest = window.rest(at);
    if rest > 0 {
        let frames = ledger.facts.frames;
        let what = format!(
            "the file ends inside a block after frame {frames}: {rest} of at least {needed} bytes are there"
        );
        ledger.truncated(window.offset(at), what);
    }
    Scan::End
}

#[cfg(test)]
mod tests {
    use crate::capture::samples::{
        self, START, add_options, block, interface, packet, payload, read, read_with, section, w16,
        w32,
    };
    use crate::capture::window::Order::{Big, Little};
    use crate::frame::Way;

    #[test]
    fn the_same_frames_as_the_classic_format() {
        for order in [Little, Big] {
            let ng = read(&samples::pcapng(order, 20));
            let classic = read(&samples::pcap(order, 20));
            assert_eq!(ng.frames.len(), 20);
            for (ng, classic) in ng.frames.iter().zip(&classic.frames) {
                assert_eq!((ng.number, ng.nanos), (classic.number, classic.nanos));
                assert_eq!((&ng.data, ng.original), (&classic.data, classic.original));
            }
            assert_eq!(ng.loss, classic.loss);
            assert_eq!(ng.facts.format, "pcapng");
        }
    }

    #[test]
    fn sections_of_both_orders_with_interfaces_of_their_own() {
        let mut file = section(Little);
        file.extend(interface(Little, 1, 0, &[(9, &[9])]));
        file.extend(interface(
            Little,
            276,
            96,
            &[(9, &[0x80 | 10]), (11, b"\0tcp port 80")],
        ));
        file.extend(packet(Little, 0, 5, b"nano", 4));
        file.extend(packet(Little, 1, 1536, b"binary", 60));
        file.extend(section(Big));
        file.extend(interface(Big, 101, 0, &[(14, &10_u64.to_be_bytes())]));
        file.extend(packet(Big, 0, 7, b"micro", 5));
        let read = read(&file);
        let seen: Vec<_> = read
            .frames
            .iter()
            .map(|frame| (frame.link, frame.nanos))
            .collect();
        assert_eq!(seen, [(1, 5), (276, 1_500_000_000), (101, 10_000_007_000)]);
        assert_eq!(read.facts.snap_length, Some(96));
        assert_eq!(read.facts.recorded_filter.as_deref(), Some("tcp port 80"));
        assert_eq!(read.facts.link_types.len(), 3);
        assert_eq!(read.loss, Default::default());
    }

    #[test]
    fn simple_and_obsolete_packets() {
        let mut file = samples::pcapng(Little, 1);
        let mut simple = w32(Little, 3).to_vec();
        simple.extend(b"abc");
        file.extend(block(Little, 3, &simple));
        let mut old = w16(Little, 0).to_vec();
        old.extend(w16(Little, 2));
        old.extend([0; 4]);
        old.extend(w32(Little, 9));
        old.extend(w32(Little, 2));
        old.extend(w32(Little, 64));
        old.extend(b"de");
        file.extend(block(Little, 2, &old));
        let read = read(&file);
        assert_eq!(read.frames[1].data, b"abc");
        assert_eq!(read.frames[1].nanos, read.frames[0].nanos);
        assert_eq!((read.frames[2].nanos, read.frames[2].original), (9000, 64));
        assert_eq!(read.loss.get("frames_without_time"), 1);
        assert_eq!(read.loss.get("kernel_drops"), 2);
    }

    /// An enhanced packet block of `data` with these flags.
    fn flagged(data: &[u8], original: u32, flags: u32) -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend(w32(Little, data.len() as u32));
        body.extend(w32(Little, original));
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
        add_options(
            Little,
            &mut body,
            &[(1, b"a comment"), (2, &flags.to_le_bytes())],
        );
        block(Little, 6, &body)
    }

    #[test]
    fn check_sequences_are_no_part_of_a_frame() {
        // 32 bits, as the draft says; 4 bytes, as some writers do.
        for of_interface in [32, 4] {
            let mut file = section(Little);
            file.extend(interface(Little, 1, 0, &[(13, &[of_interface])]));
            file.extend(flagged(b"dataFCS!", 8, 1));
            // Two bytes of it were not captured.
            file.extend(flagged(b"dataFC", 8, 1));
            // Sent by the machine itself: nothing follows the data, unless the frame says so.
            file.extend(flagged(b"data", 4, 2));
            file.extend(flagged(b"dataFC", 6, 2 | 2 << 5));
            for frame in read(&file).frames {
                assert_eq!((frame.data.as_slice(), frame.original), (&b"data"[..], 4));
            }
        }
    }

    #[test]
    fn packets_tell_which_way_they_went() {
        let mut file = section(Little);
        file.extend(interface(Little, 1, 0, &[]));
        for flags in [0, 1, 2, 3] {
            file.extend(flagged(b"data", 4, flags));
        }
        file.extend(packet(Little, 0, 0, b"data", 4));
        let ways: Vec<Way> = read(&file).frames.iter().map(|frame| frame.way).collect();
        let (unknown, out) = (Way::Unknown, Way::Outgoing);
        assert_eq!(ways, [unknown, Way::Incoming, out, unknown, unknown]);
    }

    #[test]
    fn drops_are_totals_and_counted_once() {
        let mut file = samples::pcapng(Little, 1);
        for total in [5_u64, 8] {
            let mut body = vec![0; 12];
            add_options(
                Little,
                &mut body,
                &[(5, &total.to_le_bytes()), (7, &1_u64.to_le_bytes())],
            );
            file.extend(block(Little, 5, &body));
        }
        let read = read(&file);
        assert_eq!(read.loss.get("interface_drops"), 8);
        assert_eq!(read.loss.get("kernel_drops"), 1);
    }

    #[test]
    fn custom_blocks_take_a_number_and_others_do_not() {
        let mut file = samples::pcapng(Little, 1);
        file.extend(block(Little, 0xbad, &[1, 2, 3, 4, 5]));
        file.extend(block(Little, 10, b"KSLT\x11\0\0\0CLIENT_RANDOM 0 1\0\0\0"));
        file.extend(block(Little, 0x1234, &[]));
        file.extend(samples::sample_packet(Little, 1));
        let read = read(&file);
        let numbers: Vec<_> = read.frames.iter().map(|frame| frame.number).collect();
        assert_eq!(numbers, [1, 3]);
        assert!(read.facts.secrets.key_logs(0).eq([b"CLIENT_RANDOM 0 1"]));
        assert!(!format!("{:?}", read.facts).contains("RANDOM"));
        assert!(read.loss.damage().is_empty());
    }

    #[test]
    fn names_of_every_section_are_kept() {
        let mut file = samples::pcapng(Little, 1);
        file.extend(block(Little, 4, b"\x01\0\x07\0\x0a\0\0\x01gw\0\0\0\0\0\0"));
        file.extend(section(Big));
        file.extend(block(Big, 4, b"\0\x01\0\x07\x0a\0\0\x02up\0\0"));
        let read = read(&file);
        let names: Vec<&str> = read.facts.names.values().map(String::as_str).collect();
        assert_eq!(names, ["gw", "up"]);
        assert_eq!(read.loss, Default::default());
    }

    #[test]
    fn a_damaged_block_is_passed_over_and_said() {
        for damage_at in [4, 40] {
            let mut file = samples::pcapng(Big, 10);
            let frames = read(&file).frames;
            let (broken, next) = (frames[4].offset as usize, frames[5].offset as usize);
            // The first length, or the last.
            let at = if damage_at == 4 { broken + 4 } else { next - 4 };
            file[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
            let read = read(&file);
            assert_eq!(read.frames.len(), 9);
            assert_eq!(read.frames[4].data, payload(5));
            assert_eq!(read.loss.damage()[0].offset, broken as u64);
            assert_eq!(
                read.loss.get("damaged_bytes_skipped"),
                (next - broken) as u64
            );
        }
    }

    #[test]
    fn a_damaged_length_beyond_the_end_is_no_cut() {
        let mut file = samples::pcapng(Little, 40);
        let broken = read(&file).frames[20].offset as usize;
        file[broken + 4..broken + 8].copy_from_slice(&80_000_u32.to_le_bytes());
        let damaged = read(&file);
        assert_eq!((damaged.frames.len(), damaged.loss.damage().len()), (39, 1));
        assert!(damaged.loss.truncations().is_empty());
        assert_eq!(read_with(&file, 4096, true, None), damaged);
    }

    #[test]
    fn noise_and_a_cut_end_give_the_same_for_any_batch_size() {
        let mut file = samples::pcapng(Little, 400);
        let at = read(&file).frames[200].offset as usize;
        file.splice(at..at, std::iter::repeat_n(6, 30_001));
        file.truncate(file.len() - 5);
        let whole = read(&file);
        assert_eq!(whole.frames.len(), 399);
        assert_eq!(whole.loss.get("damaged_bytes_skipped"), 30_001);
        assert_eq!(whole.loss.truncations().len(), 1);
        for bytes_max in [4096, 5000, 65_536] {
            assert_eq!(read_with(&file, bytes_max, false, None), whole);
        }
    }

    #[test]
    fn a_section_of_the_other_order_is_found_after_damage() {
        let mut file = samples::pcapng(Little, 3);
        file.extend([0xff; 100]);
        file.extend(samples::pcapng(Big, 3));
        let read = read(&file);
        assert_eq!(read.frames.len(), 6);
        assert_eq!(read.loss.get("damaged_bytes_skipped"), 100);
    }

    #[test]
    fn a_packet_of_an_interface_that_was_not_described_is_damage() {
        let mut file = samples::pcapng(Little, 2);
        file.extend(packet(Little, 7, u64::from(START), b"abc", 3));
        let read = read(&file);
        assert_eq!(read.frames.len(), 2);
        assert_eq!(read.loss.damage().len(), 1);
    }
}
