//! A capture as a list of frames that a test may change, and its analysis without a file.

use std::path::Path;

use gwcap::analyzer::{Analysis, Analyzer, Options};
use gwcap::capture::{self, Fill};
use gwcap::decode::decode;
use gwcap::decode::segment::Packet;
use gwcap::flow::{Endpoint, Vantage};
use gwcap::frame::{Batch, Frame, FrameId, LinkType, Mark, Record};
use gwcap::loss::Loss;
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

impl Owned {
    /// Sender and receiver, where it carries TCP or UDP.
    pub fn ends(&self) -> Option<(Endpoint, Endpoint)> {
        let frame = Frame {
            data: &self.data,
            original_len: self.original_len,
            mark: Mark::default(),
            link: self.link,
        };
        match decode(frame, Vantage::default(), &mut Loss::default())? {
            Packet::Segment(segment) => Some((segment.source, segment.destination)),
            Packet::Datagram(datagram) => Some((datagram.source, datagram.destination)),
            Packet::Icmp(_) => None,
        }
    }
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

/// Analyses frames as if they were a file with just these, on one thread.
pub fn analyse<'a>(frames: impl IntoIterator<Item = &'a Owned>) -> Analysis {
    let mut batch = Batch::default();
    for (frame, number) in frames.into_iter().zip(1..) {
        batch.records.push(Record {
            start: batch.bytes.len(),
            captured_len: u32::try_from(frame.data.len()).unwrap(),
            original_len: frame.original_len,
            mark: Mark {
                time: frame.time,
                frame: FrameId { input: 0, number },
            },
            link: frame.link,
            offset: 0,
        });
        batch.bytes.extend_from_slice(&frame.data);
    }
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    analyzer.feed(&batch);
    analyzer.finish()
}
