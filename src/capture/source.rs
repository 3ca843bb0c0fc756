//! Where frames come from. In: nothing. Out: the face that files, pipes and interfaces share, and the facts of an input.
//!
//! The rule: whoever asks for a batch cannot tell a file from an interface but by [`Fill::Quiet`].

use std::sync::Arc;

use crate::capture::error::CaptureError;
use crate::capture::names::Names;
use crate::capture::secrets::Secrets;
use crate::frame::{Batch, LinkType};
use crate::loss::Loss;
use crate::time::Timestamp;

/// What a call of [`Source::fill`] ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// More may follow. The batch may be without frames when the filter dropped all that were read.
    More,
    /// Nothing follows. The batch may hold the last frames.
    End,
    /// A tick of a live capture in which no frame arrived.
    Quiet,
}

/// One input: a file, a pipe or an interface.
pub trait Source: Send {
    /// Clears `batch` and fills it with the next frames, in input order.
    ///
    /// About `bytes_max` bytes are read (at least [`FILL_BYTES_MIN`]; a frame that is bigger still fits). The
    /// frames and the losses of a whole input do not depend on `bytes_max`. After [`Fill::End`] every call
    /// gives an empty batch and `End`.
    ///
    /// # Errors
    /// When the operating system refuses to read, or the filter does not compile for a link type that
    /// appears in the middle of the input. Damage is no error.
    fn fill(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<Fill, CaptureError>;

    /// The facts of the input as far as it has been read.
    fn describe(&self) -> InputFacts;

    /// What was lost since the last call of this method.
    fn loss(&mut self) -> Loss;
}

/// Least bytes that [`Source::fill`] reads at once, however little is asked for: one page.
pub const FILL_BYTES_MIN: usize = 4096;

/// Most distinct link types that are listed for an input; real captures have one to three.
pub const LINK_TYPES_LISTED_MAX: usize = 32;

/// The facts of an input, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputFacts {
    /// Path, `-` for standard input, or the name of the interface.
    pub path: String,
    /// `pcap`, `pcapng` or `live`.
    pub format: &'static str,
    /// Link types in order of appearance, at most [`LINK_TYPES_LISTED_MAX`].
    pub link_types: Vec<LinkType>,
    /// All frames that were read, those that the filter dropped included.
    pub frames: u64,
    /// `gzip`, `zstd` or `lz4` where the input was packed.
    pub compression: Option<&'static str>,
    /// Bytes that were read, unpacked where they were packed; live, the captured bytes.
    pub bytes: u64,
    /// Bytes that were taken from the file or the pipe as they are stored there; live, 0.
    pub stored_bytes: u64,
    /// Earliest capture time of a frame that the filter kept or dropped.
    pub first_time: Option<Timestamp>,
    /// Latest capture time.
    pub last_time: Option<Timestamp>,
    /// Whether the interface is away at the moment.
    pub away: bool,
    /// Frames that the capturing kernel dropped, as far as the input tells: a total.
    pub kernel_drops: u64,
    /// Frames that the interface dropped, as far as the input tells: a total.
    pub interface_drops: u64,
    /// Most bytes that the capture kept of a frame; the smallest one when interfaces differ, `None` when
    /// it is not limited.
    pub snap_length: Option<u32>,
    /// The filter that the user gave to gwcap.
    pub filter: Option<String>,
    /// Live: what the kernel hands over, where that is more than the user's filter asks for.
    pub widened: Option<String>,
    /// The filter that the capture was made with, where the file tells it (pcapng `if_filter`).
    pub recorded_filter: Option<String>,
    /// Names of addresses that the file brings along (pcapng name resolution blocks). They are the writer's words.
    pub names: Arc<Names>,
    /// TLS secrets that the file brings along (pcapng decryption secrets blocks): for decryption, never to be shown.
    pub secrets: Arc<Secrets>,
}

impl InputFacts {
    /// Notes a link type, once.
    pub(super) fn note_link(&mut self, link: LinkType) {
        if self.link_types.len() < LINK_TYPES_LISTED_MAX && !self.link_types.contains(&link) {
            self.link_types.push(link);
        }
    }

    /// Notes the snap length of an interface; 0 stands for no limit.
    pub(super) fn note_snap_length(&mut self, snap_length: u32) {
        if snap_length > 0 {
            let smallest = self.snap_length.unwrap_or(u32::MAX).min(snap_length);
            self.snap_length = Some(smallest);
        }
    }
}
