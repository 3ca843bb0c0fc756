//! The pcapng format (draft-ietf-opsawg-pcapng). In: a window of the file. Out: records in the ledger.
//!
//! The rule: blocks are believed when both of their lengths agree; otherwise reading goes on where two blocks in a row
//! do. Blocks without packets are passed over by their length. Left out: secrets, names and comments.

use crate::capture::error::CaptureError;
use crate::capture::interface_block::{Interface, Statistics};
use crate::capture::ledger::{Found, INTERFACE_DROPS, KERNEL_DROPS, Ledger};
use crate::capture::pcap::{CAPTURED_HEADER_MAX, CAPTURED_MAX, Refusal};
use crate::capture::window::{Lost, Order, Scan, Search, Window};
use crate::frame::Record;

/// Block types (section 11.1 of the draft, and Wireshark's wiretap for those that it shows as frames).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const JOURNAL_EXPORT: u32 = 9;
const DECRYPTION_SECRETS: u32 = 10;
const CUSTOM: u32 = 0x0000_0bad;
const CUSTOM_NO_COPY: u32 = 0x4000_0bad;

/// What a section header says in its own byte order.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Bytes of the smallest block: type and both lengths.
const BLOCK_MIN: usize = 12;

/// Bytes of the largest block: a frame of the largest size with its options. Secrets and names are split by writers
/// long before.
const BLOCK_MAX: usize = CAPTURED_HEADER_MAX as usize + 64 * 1024;

/// Bytes of the largest block that is believed after damage: a frame of the usual largest size with options.
const BLOCK_AFTER_DAMAGE_MAX: usize = CAPTURED_MAX as usize + 64 * 1024;

/// Blocks in a row whose two lengths must agree before reading goes on there.
const CHAIN_MIN: usize = 2;

/// Most interfaces of a section: a machine with ten thousand containers has a pair of them each.
const INTERFACES_MAX: usize = 65_536;

/// Interface blocks beyond [`INTERFACES_MAX`]; their frames are not decoded.
const INTERFACES_DROPPED: &str = "pcapng_interfaces_not_kept";

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
            let Some((kind, order)) = self.kind(window, at) else {
                return Ok(cut(window, at, BLOCK_MIN, ledger));
            };
            let length = match block_length(window, at, order, BLOCK_MAX) {
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

    /// Type of the block at `at` and the byte order to read it with: a section header brings its own.
    fn kind(&self, window: Window<'_>, at: usize) -> Option<(u32, Order)> {
        let kind = self.order.u32(*window.chunk::<4>(at)?);
        if kind != SECTION_HEADER {
            return Some((kind, self.order));
        }
        window.chunk::<BLOCK_MIN>(at)?;
        Some((kind, section_order(window.bytes, at).unwrap_or(self.order)))
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
            JOURNAL_EXPORT | CUSTOM | CUSTOM_NO_COPY => {
                // Wireshark shows these as frames, so they take a number.
                ledger.number_frame(ledger.facts.last_time);
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
                        ledger.loss.add(KERNEL_DROPS, u64::from(drops));
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
        (captured_len as usize <= room).then(|| Found {
            start: block.start.saturating_add(head),
            captured_len,
            original_len,
            time: ticks.map(|ticks| interface.clock.time(ticks)),
            link: interface.link,
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
        ledger
            .loss
            .add(KERNEL_DROPS, grown(now.kernel_drops, before.kernel_drops));
        ledger.loss.add(
            INTERFACE_DROPS,
            grown(now.interface_drops, before.interface_drops),
        );
        Some(())
    }

    /// The next index from which blocks in a row have two lengths that agree.
    fn search(&self, window: Window<'_>, from: usize) -> Search {
        for start in from..window.bytes.len() {
            match self.chain(window, start) {
                Chain::Real => return Search::At(start),
                Chain::Broken => {}
                Chain::Needs(needed) => {
                    return Search::More {
                        from: start,
                        needed,
                    };
                }
            }
        }
        if window.at_end {
            Search::Nothing
        } else {
            Search::More {
                from: window.bytes.len(),
                needed: BLOCK_MIN,
            }
        }
    }

    fn chain(&self, window: Window<'_>, start: usize) -> Chain {
        let mut at = start;
        for links in 0..CHAIN_MIN {
            // Where the input ends, one block is enough: the next is not there, or cut.
            let needs = |length: usize| match (window.at_end, links) {
                (true, 0) => Chain::Broken,
                (true, _) => Chain::Real,
                (false, _) => Chain::Needs(at.saturating_sub(start).saturating_add(length)),
            };
            let Some((kind, order)) = self.kind(window, at) else {
                return needs(BLOCK_MIN);
            };
            if !is_known(kind) {
                return Chain::Broken;
            }
            let length = match block_length(window, at, order, BLOCK_AFTER_DAMAGE_MAX) {
                Length::Bytes(length) => length,
                Length::Impossible(_) => return Chain::Broken,
                Length::NotHere => return needs(BLOCK_MIN),
            };
            let end = at.saturating_add(length);
            if end > window.bytes.len() {
                return needs(length);
            }
            if order.u32_at(window.bytes, end.saturating_sub(4)) != u32::try_from(length).ok() {
                return Chain::Broken;
            }
            at = end;
        }
        Chain::Real
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

/// Whether blocks from a place look real.
enum Chain {
    Real,
    Broken,
    /// So many bytes from the start are needed to tell.
    Needs(usize),
}

/// The first length of a block.
enum Length {
    Bytes(usize),
    Impossible(u32),
    NotHere,
}

fn block_length(window: Window<'_>, at: usize, order: Order, max: usize) -> Length {
    let Some(claimed) = order.u32_at(window.bytes, at.saturating_add(4)) else {
        return Length::NotHere;
    };
    let length = claimed as usize;
    if (BLOCK_MIN..=max).contains(&length) && length.is_multiple_of(4) {
        Length::Bytes(length)
    } else {
        Length::Impossible(claimed)
    }
}

/// Byte order of the section whose header block starts at `at`, by its magic; `None` when that is wrong.
fn section_order(bytes: &[u8], at: usize) -> Option<Order> {
    let [a, b, c, d, _, _, _, _, magic @ ..] = *bytes.get(at..)?.first_chunk::<BLOCK_MIN>()?;
    // The block type reads the same in either order.
    if u32::from_be_bytes([a, b, c, d]) != SECTION_HEADER {
        return None;
    }
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(magic) == BYTE_ORDER_MAGIC)
}

/// Block types that are believed after damage.
fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER
            | INTERFACE
            | PACKET
            | SIMPLE_PACKET
            | NAME_RESOLUTION
            | STATISTICS
            | ENHANCED_PACKET
            | JOURNAL_EXPORT
            | DECRYPTION_SECRETS
            | CUSTOM
            | CUSTOM_NO_COPY
    )
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
