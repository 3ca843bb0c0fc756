//! From a file, a pipe or an interface to batches of frames.
//!
//! The rule: this is the only room that opens files and interfaces. Frames are numbered as Wireshark numbers them, and
//! damage is counted, never fatal.

mod absence;
mod block;
mod compressed;
mod error;
mod file;
mod filter;
mod follow;
mod interface_block;
mod kernel_filter;
mod ledger;
mod live;
mod merge;
mod names;
mod pcap;
mod pcapng;
mod rebind;
mod recorder;
mod roots;
#[cfg(test)]
mod samples;
mod secrets;
mod source;
mod widen;
mod window;
mod writer;

use std::path::Path;

pub use error::CaptureError;
pub use follow::{FOLLOWED_MAX, Follow};
pub use live::{Interface, LiveOptions, SNAP_LENGTH, StopHandle, interfaces};
pub use merge::Merge;
pub use names::{NAME_BYTES_MAX, NAMES_MAX, Names};
pub use recorder::{Left, RING_BYTES_MIN, Ring};
pub use roots::{BUNDLE_MAX, ROOTS_MAX, Roots};
pub use secrets::{
    KEY_LOG_BYTES_MAX, KeyLogFile, Keys, Label, PREMASTER, PrivateKey, SECRETS_BYTES_MAX,
    SECRETS_NOT_KEPT, SESSIONS_MAX, Secret, Secrets, Session,
};
pub use source::{FILL_BYTES_MIN, Fill, InputFacts, LINK_TYPES_LISTED_MAX, Source};
pub use widen::{added as added_to_filter, widened};
pub use writer::{
    COMMENTS_NOT_WRITTEN, COMMENTS_PER_FRAME_MAX, FRAMES_NOT_WRITTEN, Holding, Section,
    TIMES_NOT_WRITTEN, Writer,
};

/// Opens a capture file, packed (gzip, zstd, lz4) or not, or standard input when `path` is `-`. `input` is the index of the input on the command line,
/// `filter` a BPF expression.
///
/// # Errors
/// When it cannot be opened, is no capture file, or the filter does not compile.
pub fn open_file(
    path: &Path,
    input: u16,
    filter: Option<&str>,
) -> Result<Box<dyn Source + Send>, CaptureError> {
    Ok(Box::new(file::FileSource::open(path, input, filter)?))
}

/// Opens an interface. `filter` is a BPF expression that the kernel applies; `input` is the index of the input on the
/// command line.
///
/// # Errors
/// Without the capability, for a name that no interface has, for a filter that does not compile, and when libpcap refuses.
pub fn open_live(
    interface: &str,
    options: &LiveOptions,
    filter: Option<&str>,
    input: u16,
) -> Result<Box<dyn Source + Send>, CaptureError> {
    Ok(Box::new(live::LiveSource::open(
        interface, options, filter, input,
    )?))
}
