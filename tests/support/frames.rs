//! A capture as a list of frames that a test may change and write again.

use std::path::Path;

use gwcap::capture::{self, Fill};
use gwcap::frame::{Batch, LinkType};
use gwcap::time::Timestamp;

/// One frame with its own bytes.
#[derive(Clone)]
pub struct Owned {
    pub time: Timestamp,
    pub link: LinkType,
    /// Bytes on the wire.
    pub original_len: u32,
    pub data: Vec<u8>,
}

/// All frames of a capture, in its order.
pub fn read(path: &Path) -> Vec<Owned> {
    let mut source = capture::open_file(path, 0, None).unwrap();
    let (mut batch, mut frames) = (Batch::default(), Vec::new());
    loop {
        let fill = source.fill(&mut batch, 1 << 20).unwrap();
        frames.extend(batch.records.iter().map(|record| Owned {
            time: record.mark.time,
            link: record.link,
            original_len: record.original_len,
            data: batch.frame(record).data.to_vec(),
        }));
        if fill == Fill::End {
            return frames;
        }
    }
}
