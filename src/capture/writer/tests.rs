//! What is written, held against the draft and against the reader.

use super::*;
use crate::capture::samples;
use crate::frame::{FrameId, Mark};

fn frame<'a>(input: u16, nanos: i64, data: &'a [u8], way: Way) -> Frame<'a> {
    Frame {
        data,
        original_len: 60,
        mark: Mark {
            time: Timestamp(nanos),
            frame: FrameId::new(input, 1),
        },
        link: LinkType::ETHERNET,
        way,
    }
}

fn facts(path: &str, format: &'static str) -> InputFacts {
    InputFacts {
        path: path.to_owned(),
        format,
        link_types: vec![LinkType::ETHERNET],
        snap_length: Some(96),
        filter: Some("port 80".to_owned()),
        ..InputFacts::default()
    }
}

fn section(holding: Holding) -> Section<'static> {
    Section {
        holding,
        application: "gwcap 1",
        comments: &[],
    }
}

/// The blocks of a file: type and body.
fn blocks(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut blocks) = (0, Vec::new());
    while at < file.len() {
        let length = word(at + 4) as usize;
        assert_eq!(word(at + length - 4) as usize, length);
        blocks.push((word(at), file[at + 8..at + length - 4].to_vec()));
        at += length;
    }
    blocks
}

#[test]
fn blocks_are_those_of_the_draft() {
    let inputs = [facts("eth0", "live")];
    let mut writer = Writer::new(Vec::new(), &section(Holding::Asked), &inputs).unwrap();
    let one = frame(0, 0x0123_4567_89ab_cdef, b"abcde", Way::Outgoing);
    writer.frame(&one, &["why".to_owned()], &inputs).unwrap();
    let bytes = writer.bytes();
    let mut inputs = inputs;
    inputs[0].kernel_drops = 7;
    let (file, loss) = writer.finish(&inputs).unwrap();
    assert_eq!(loss, Loss::default());
    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 5]);
    assert!(blocks[0].1.starts_with(&[
        0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
    ]));
    // Ethernet, 96 bytes; if_name, if_filter in libpcap's language, if_tsresol.
    let interface = [
        &[1, 0, 0, 0, 96, 0, 0, 0, 2, 0, 4, 0][..],
        b"eth0",
        &[11, 0, 8, 0, 0],
        b"port 80",
        &[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(blocks[1].1, interface.concat());
    let packet = [
        &[0, 0, 0, 0, 0x67, 0x45, 0x23, 0x01, 0xef, 0xcd, 0xab, 0x89][..],
        &[5, 0, 0, 0, 60, 0, 0, 0],
        b"abcde\0\0\0",
        &[1, 0, 3, 0],
        b"why\0",
        &[2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(blocks[2].1, packet.concat());
    let statistics = &blocks[3].1;
    let drops = [7, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    assert!(statistics.windows(12).any(|option| option == drops));
    let accepted = [6, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    assert!(statistics.windows(12).any(|option| option == accepted));
    assert!(bytes < file.len() as u64);
}

#[test]
fn what_is_written_is_read_again() {
    let inputs = [facts("a", "pcap"), facts("b", "pcapng")];
    let mut writer = Writer::new(Vec::new(), &section(Holding::Slice), &inputs).unwrap();
    let long = vec![9; 200];
    let frames = [
        frame(1, 1_700_000_000_123_456_789, &long, Way::Unknown),
        frame(0, 5, b"", Way::Incoming),
        frame(1, 6, b"abc", Way::Outgoing),
    ];
    for frame in &frames {
        let frame = Frame {
            original_len: frame.original_len.max(frame.data.len() as u32),
            ..*frame
        };
        writer.frame(&frame, &[], &inputs).unwrap();
    }
    let (file, _) = writer.finish(&inputs).unwrap();
    let read = samples::read(&file);
    assert_eq!(read.loss, Loss::default());
    let seen: Vec<_> = read
        .frames
        .iter()
        .map(|seen| (seen.nanos, seen.data.as_slice(), seen.original, seen.way))
        .collect();
    assert_eq!(
        seen,
        [
            (1_700_000_000_123_456_789, &long[..], 200, Way::Unknown),
            (5, &b""[..], 60, Way::Incoming),
            (6, &b"abc"[..], 60, Way::Outgoing)
        ]
    );
    assert_eq!(read.facts.recorded_filter.as_deref(), Some("port 80"));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let inputs = [facts("a", "pcap")];
    let mut writer = Writer::new(Vec::new(), &section(Holding::All), &inputs).unwrap();
    let comments = vec!["x".repeat(70_000); COMMENTS_PER_FRAME_MAX + 2];
    writer
        .frame(&frame(0, -1, b"abc", Way::Unknown), &comments, &inputs)
        .unwrap();
    let other = Frame {
        link: LinkType(65_536),
        ..frame(0, 1, b"abc", Way::Unknown)
    };
    writer.frame(&other, &[], &inputs).unwrap();
    let (file, loss) = writer.finish(&inputs).unwrap();
    assert_eq!(loss.get(FRAMES_NOT_WRITTEN), 1);
    assert_eq!(loss.get(TIMES_NOT_WRITTEN), 1);
    assert_eq!(loss.get(COMMENTS_NOT_WRITTEN), 2);
    let read = samples::read(&file);
    assert_eq!((read.frames.len(), read.frames[0].nanos), (1, 0));
}

#[test]
fn text_is_cut_between_characters() {
    let text = format!("x{}", "ä".repeat(OPTION_BYTES_MAX));
    let cut = shortened(text.as_bytes());
    assert_eq!(cut.len(), OPTION_BYTES_MAX - 1);
    assert!(std::str::from_utf8(cut).is_ok());
}

#[test]
fn drops_are_those_since_the_file_began() {
    let mut inputs = [facts("eth0", "live")];
    inputs[0].kernel_drops = 10;
    let writer = Writer::new(Vec::new(), &section(Holding::All), &inputs).unwrap();
    inputs[0].kernel_drops = 15;
    let (file, _) = writer.finish(&inputs).unwrap();
    assert_eq!(samples::read(&file).loss.get("kernel_drops"), 5);
}
