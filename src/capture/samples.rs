//! Hand-made capture files for the tests of this room. In: frames. Out: bytes of a file, and what a source makes of
//! such bytes.

use crate::capture::file::FileSource;
use crate::capture::source::{Fill, InputFacts, Source};
use crate::capture::window::Order;
use crate::frame::{Batch, Way};
use crate::loss::Loss;

/// Writes words of either byte order.
pub(super) fn w16(order: Order, value: u16) -> [u8; 2] {
    match order {
        Order::Little => value.to_le_bytes(),
        Order::Big => value.to_be_bytes(),
    }
}

pub(super) fn w32(order: Order, value: u32) -> [u8; 4] {
    match order {
        Order::Little => value.to_le_bytes(),
        Order::Big => value.to_be_bytes(),
    }
}

/// Seconds of the first frame of every sample.
pub(super) const START: u32 = 1_700_000_000;

pub(super) fn pcap_header(order: Order, magic: u32, snap_length: u32, link: u32) -> Vec<u8> {
    let mut file = w32(order, magic).to_vec();
    file.extend(w16(order, 2));
    file.extend(w16(order, 4));
    file.extend([0; 8]);
    file.extend(w32(order, snap_length));
    file.extend(w32(order, link));
    file
}

pub(super) fn pcap_record(order: Order, index: u32, data: &[u8], original: u32) -> Vec<u8> {
    let mut record = w32(order, START + index).to_vec();
    record.extend(w32(order, index));
    record.extend(w32(order, data.len() as u32));
    record.extend(w32(order, original));
    record.extend_from_slice(data);
    record
}

/// Frame `index`: its number in each byte, and a length of its own.
pub(super) fn payload(index: u32) -> Vec<u8> {
    vec![(index % 200) as u8 + 1; 20 + (index as usize % 7) * 9]
}

/// A pcap file of Ethernet frames `0..count`.
pub(super) fn pcap(order: Order, count: u32) -> Vec<u8> {
    let mut file = pcap_header(order, 0xa1b2_c3d4, 65_535, 1);
    for index in 0..count {
        let data = payload(index);
        file.extend(pcap_record(order, index, &data, data.len() as u32));
    }
    file
}

pub(super) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = w32(order, padded as u32 + 12);
    let mut block = w32(order, kind).to_vec();
    block.extend(length);
    block.extend_from_slice(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

pub(super) fn section(order: Order) -> Vec<u8> {
    let mut body = w32(order, 0x1a2b_3c4d).to_vec();
    body.extend(w16(order, 1));
    body.extend(w16(order, 0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

/// An interface with options given as (code, value).
pub(super) fn interface(order: Order, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = w16(order, link).to_vec();
    body.extend([0; 2]);
    body.extend(w32(order, snap));
    add_options(order, &mut body, options);
    block(order, 1, &body)
}

pub(super) fn add_options(order: Order, body: &mut Vec<u8>, options: &[(u16, &[u8])]) {
    for (code, value) in options {
        body.extend(w16(order, *code));
        body.extend(w16(order, value.len() as u16));
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
}

pub(super) fn packet(
    order: Order,
    interface: u32,
    ticks: u64,
    data: &[u8],
    original: u32,
) -> Vec<u8> {
    let mut body = w32(order, interface).to_vec();
    body.extend(w32(order, (ticks >> 32) as u32));
    body.extend(w32(order, ticks as u32));
    body.extend(w32(order, data.len() as u32));
    body.extend(w32(order, original));
    body.extend_from_slice(data);
    block(order, 6, &body)
}

/// Frame `index` of [`pcapng`]: microseconds as in [`pcap`].
pub(super) fn sample_packet(order: Order, index: u32) -> Vec<u8> {
    let ticks = u64::from(START + index) * 1_000_000 + u64::from(index);
    let data = payload(index);
    packet(order, 0, ticks, &data, data.len() as u32)
}

/// A pcapng file with the frames and times of [`pcap`].
pub(super) fn pcapng(order: Order, count: u32) -> Vec<u8> {
    let mut file = section(order);
    file.extend(interface(order, 1, 65_535, &[]));
    for index in 0..count {
        file.extend(sample_packet(order, index));
    }
    file
}

/// A frame as it came out of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) nanos: i64,
    pub(super) link: u32,
    pub(super) data: Vec<u8>,
    pub(super) original: u32,
    pub(super) way: Way,
    pub(super) offset: u64,
}

/// All that a source gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) frames: Vec<Seen>,
    pub(super) loss: Loss,
    pub(super) facts: InputFacts,
}

/// Reads a whole file from memory. The bound on fills makes a hang a failure.
pub(super) fn read_with(
    bytes: &[u8],
    bytes_max: usize,
    pipe: bool,
    filter: Option<&str>,
) -> Outcome {
    let mut source = FileSource::from_reader(bytes, "sample".to_owned(), pipe, 0, filter).unwrap();
    let mut batch = Batch::default();
    let mut frames = Vec::new();
    for _ in 0..bytes.len() + 10 {
        let fill = source.fill(&mut batch, bytes_max).unwrap();
        for record in &batch.records {
            let frame = batch.frame(record);
            frames.push(Seen {
                number: frame.mark.frame.number(),
                nanos: frame.mark.time.0,
                link: frame.link.0,
                data: frame.data.to_vec(),
                original: frame.original_len,
                way: frame.way,
                offset: record.offset,
            });
        }
        if fill == Fill::End {
            assert_eq!(source.fill(&mut batch, bytes_max).unwrap(), Fill::End);
            assert!(batch.records.is_empty());
            let loss = source.loss();
            return Outcome {
                frames,
                loss,
                facts: source.describe(),
            };
        }
    }
    panic!("the source does not end");
}

pub(super) fn read(bytes: &[u8]) -> Outcome {
    read_with(bytes, 1 << 20, false, None)
}
