//! Compressed input. In: the bytes of a file or a pipe. Out: the same bytes, unpacked when they are gzip, zstd or lz4.
//!
//! The rule: the content decides, never the name, and memory stays bounded however much comes out: a window for each
//! stream, no more. What ends too early or is corrupt ends the input there, and is told. Left out: xz, bzip2, and
//! reading on after a corrupt place.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;

/// Largest window of a zstd stream, as a power of two in bytes: 128 MiB, what the zstd tool itself accepts unless it is
/// told to take more. A window is memory that the file chooses. (gzip has 32 KiB, lz4 at most 8 MiB.)
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Bytes that are asked of the file at once.
const READ_BYTES: usize = 64 * 1024;

/// Why an unpacked input ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The compressed file ends inside its stream.
    Cut,
    /// It contradicts itself: the decoder's own words.
    Corrupt(String),
}

/// The bytes of an input, unpacked.
pub(super) struct Input<R: Read> {
    stream: Stream<R>,
    fault: Option<Fault>,
}

/// What an input is packed with.
enum Stream<R: Read> {
    Plain(Tap<R>),
    Gzip(Box<Option<GzDecoder<BufReader<Tap<R>>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Tap<R>>>>),
    Lz4(Box<Lz4<R>>),
}

impl<R: Read> Input<R> {
    /// Unpacks `rest`, of which the bytes `first` have been read to see what it is.
    ///
    /// # Errors
    /// When a decoder cannot be set up for want of memory.
    pub(super) fn new(first: Vec<u8>, rest: R) -> io::Result<Self> {
        let kind = packing(&first);
        let tap = Tap::new(first, rest);
        let buffered = |tap| BufReader::with_capacity(READ_BYTES, tap);
        let stream = match kind {
            None => Stream::Plain(tap),
            Some(Packing::Gzip) => Stream::Gzip(Box::new(Some(GzDecoder::new(buffered(tap))))),
            Some(Packing::Zstd) => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered(tap))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Stream::Zstd(Box::new(decoder))
            }
            Some(Packing::Lz4) => Stream::Lz4(Box::new(Lz4 {
                decoder: FrameDecoder::new(Edge::new(buffered(tap))),
                frame_end: 0,
            })),
        };
        Ok(Self {
            stream,
            fault: None,
        })
    }

    /// `gzip`, `zstd` or `lz4`; `None` for bytes that are not packed.
    pub(super) fn compression(&self) -> Option<&'static str> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Gzip(_) => Some("gzip"),
            Stream::Zstd(_) => Some("zstd"),
            Stream::Lz4(_) => Some("lz4"),
        }
    }

    /// Bytes that have been taken from the file or the pipe.
    pub(super) fn stored(&self) -> u64 {
        match &self.stream {
            Stream::Plain(tap) => tap.bytes,
            Stream::Gzip(decoder) => decoder
                .as_ref()
                .as_ref()
                .map_or(0, |decoder| decoder.get_ref().get_ref().bytes),
            Stream::Zstd(decoder) => decoder.get_ref().get_ref().bytes,
            Stream::Lz4(lz4) => lz4.decoder.get_ref().rest.get_ref().bytes,
        }
    }

    /// Why the bytes ended before their end, once they have.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
}

impl<R: Read> Input<R> {
    /// Reads until `bytes` has `missing` more, or nothing follows. What is not packed goes from the file to its place
    /// without zeros being written there first, which a wrapped reader cannot.
    ///
    /// # Errors
    /// When the operating system refuses to read.
    pub(super) fn read_more(&mut self, missing: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.reserve_exact(missing);
        match &mut self.stream {
            Stream::Plain(tap) => tap.read_more(missing as u64, bytes),
            _ => self.take(missing as u64).read_to_end(bytes).map(drop),
        }
    }
}

impl<R: Read> Read for Input<R> {
    /// A fault of the packed bytes reads as their end; a refusal of the operating system is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault.is_some() || buffer.is_empty() {
            return Ok(0);
        }
        let outcome = match &mut self.stream {
            Stream::Plain(tap) => return tap.read(buffer),
            Stream::Gzip(decoder) => read_gzip(decoder, buffer),
            Stream::Zstd(decoder) => decoder.read(buffer),
            Stream::Lz4(lz4) => lz4.read(buffer),
        };
        match outcome {
            // The decoders make their own errors without the system's number.
            Err(error) if error.raw_os_error().is_none() => {
                self.fault = Some(match error.kind() {
                    io::ErrorKind::UnexpectedEof => Fault::Cut,
                    _ => Fault::Corrupt(error.to_string()),
                });
                Ok(0)
            }
            outcome => outcome,
        }
    }
}

enum Packing {
    Gzip,
    Zstd,
    Lz4,
}

/// Tells by the first bytes (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1; the lz4 frame format).
fn packing(first: &[u8]) -> Option<Packing> {
    match first {
        [0x1f, 0x8b, 8, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        // A skippable frame: pzstd writes one before each frame.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Packing::Lz4),
        _ => None,
    }
}

/// Reads members of gzip one after the other: rotated captures are often put together with `cat`. What pads the end
/// with zeros, as tapes do, is passed over.
fn read_gzip<R: Read>(
    slot: &mut Option<GzDecoder<BufReader<Tap<R>>>>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        let Some(decoder) = slot else { return Ok(0) };
        let got = decoder.read(buffer)?;
        if got > 0 {
            return Ok(got);
        }
        match decoder.get_mut().fill_buf()? {
            [] => return Ok(0),
            [0x1f, ..] => {
                *slot = slot
                    .take()
                    .map(|decoder| GzDecoder::new(decoder.into_inner()));
            }
            rest => {
                let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                if zeros == 0 {
                    let what = "other bytes follow the end of the stream";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                decoder.get_mut().consume(zeros);
            }
        }
    }
}

/// A decoder of lz4 that does not take a cut between two blocks for the end.
struct Lz4<R: Read> {
    decoder: FrameDecoder<Edge<BufReader<Tap<R>>>>,
    /// Bytes that had been taken when the last frame ended.
    frame_end: u64,
}

impl<R: Read> Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = self.decoder.read(buffer)?;
            if got > 0 {
                return Ok(got);
            }
            // Nothing came: a frame ended by its mark, or the file did, there or anywhere else.
            let edge = self.decoder.get_ref();
            match (edge.at_end, edge.bytes == self.frame_end) {
                (true, true) => return Ok(0),
                (true, false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (false, _) => self.frame_end = edge.bytes,
            }
        }
    }
}

/// Counts what a decoder takes, and notes that it was told of the end.
struct Edge<R> {
    rest: R,
    bytes: u64,
    at_end: bool,
}

impl<R> Edge<R> {
    fn new(rest: R) -> Self {
        Self {
            rest,
            bytes: 0,
            at_end: false,
        }
    }
}

impl<R: Read> Read for Edge<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.rest.read(buffer)?;
        self.at_end |= got == 0 && !buffer.is_empty();
        self.bytes = self.bytes.saturating_add(got as u64);
        Ok(got)
    }
}

/// The bytes that were read first, then the others; a signal ends no read.
struct Tap<R> {
    first: io::Cursor<Vec<u8>>,
    rest: R,
    bytes: u64,
}

impl<R> Tap<R> {
    fn new(first: Vec<u8>, rest: R) -> Self {
        Self {
            first: io::Cursor::new(first),
            rest,
            bytes: 0,
        }
    }
}

impl<R: Read> Tap<R> {
    fn read_more(&mut self, missing: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let before = bytes.len();
        let first = self.first.by_ref().take(missing).read_to_end(bytes)?;
        let left = missing.saturating_sub(first as u64);
        let outcome = self.rest.by_ref().take(left).read_to_end(bytes);
        // Also where an error ended it: what came before it counts.
        let got = bytes.len().saturating_sub(before) as u64;
        self.bytes = self.bytes.saturating_add(got);
        outcome.map(drop)
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = self.first.read(buffer)?;
        while got == 0 {
            match self.rest.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => break,
                outcome => got = outcome?,
            }
        }
        self.bytes = self.bytes.saturating_add(got as u64);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::capture::samples::{self, Outcome, read, read_with};
    use crate::capture::window::Order::{Big, Little};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let info = lz4_flex::frame::FrameInfo::new()
            .content_checksum(true)
            .block_size(lz4_flex::frame::BlockSize::Max64KB);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    type Pack = fn(&[u8]) -> Vec<u8>;
    const PACKINGS: [(&str, Pack); 3] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4)];

    /// Noise, so that the packed file is long enough to be cut at many places.
    fn noisy(count: u32) -> Vec<u8> {
        let mut file = samples::pcap_header(Little, 0xa1b2_c3d4, 65_535, 1);
        for index in 0..count {
            let data: Vec<u8> = (0..300_u32)
                .map(|n| ((n ^ index << 9).wrapping_mul(2_654_435_761) >> 11) as u8)
                .collect();
            file.extend(samples::pcap_record(Little, index, &data, 300));
        }
        file
    }

    /// What was read without the facts that packing changes.
    fn unpacked(mut outcome: Outcome) -> Outcome {
        outcome.facts.compression = None;
        outcome.facts.stored_bytes = outcome.facts.bytes;
        outcome
    }

    #[test]
    fn packed_captures_read_like_plain_ones() {
        for file in [samples::pcap(Little, 500), samples::pcapng(Big, 500)] {
            let plain = read(&file);
            for (name, pack) in PACKINGS {
                let packed = pack(&file);
                for (bytes_max, pipe) in [(1 << 20, false), (4096, false), (4096, true)] {
                    let seen = read_with(&packed, bytes_max, pipe, None);
                    assert_eq!(seen.facts.compression, Some(name));
                    assert_eq!(seen.facts.stored_bytes, packed.len() as u64);
                    assert_eq!(unpacked(seen), plain, "{name}");
                }
            }
        }
    }

    #[test]
    fn members_that_were_put_together_are_one_capture() {
        let file = noisy(20);
        let plain = read(&file);
        for (name, pack) in PACKINGS {
            let parts: Vec<u8> = file.chunks(1000).flat_map(pack).collect();
            assert_eq!(unpacked(read(&parts)).frames, plain.frames, "{name}");
            assert_eq!(read(&parts).loss, Default::default(), "{name}");
        }
        let mut padded = gzip(&file);
        padded.extend([0; 5000]);
        assert_eq!(read(&padded).loss, Default::default());
        padded.extend(gzip(&[]));
        assert_eq!(read(&padded).loss, Default::default());
    }

    #[test]
    fn skippable_frames_before_zstd_are_passed_over() {
        let mut packed = vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
        packed.extend(zstd(&samples::pcap(Big, 9)));
        assert_eq!(read(&packed).frames.len(), 9);
    }

    #[test]
    fn a_cut_stream_gives_a_prefix_and_one_warning() {
        let file = noisy(1500);
        let plain = read(&file);
        for (name, pack) in PACKINGS {
            let packed = pack(&file);
            // Enough is left for the first block, and with it the capture's own header, to come out.
            let least = packed.len() * 2 / 3;
            for end in (least..packed.len()).step_by(packed.len() / 97) {
                let part = read(&packed[..end]);
                assert!(plain.frames.starts_with(&part.frames), "{name} {end}");
                assert!(part.loss.damage().is_empty(), "{name} {end}");
                let [cut] = part.loss.truncations() else {
                    panic!("{name} {end}: {:?}", part.loss)
                };
                assert!(cut.offset <= file.len() as u64);
            }
        }
    }

    #[test]
    fn a_cut_between_two_records_is_told_too() {
        let file = samples::pcap(Little, 10);
        let mut packed = gzip(&file);
        packed.truncate(packed.len() - 8);
        let part = read(&packed);
        assert_eq!(part.frames.len(), 10);
        assert_eq!(part.loss.truncations()[0].offset, file.len() as u64);
        assert!(part.loss.truncations()[0].what.contains("gzip stream ends"));
    }

    #[test]
    fn a_corrupt_stream_is_damage() {
        let file = noisy(700);
        for (name, pack) in PACKINGS {
            let mut packed = pack(&file);
            let end = packed.len();
            // The checksum, so that all frames come out before it is seen.
            packed[end - if name == "gzip" { 8 } else { 2 }] ^= 1;
            let part = read(&packed);
            let [damage] = part.loss.damage() else {
                panic!("{name}: {:?}", part.loss)
            };
            assert!(
                damage
                    .what
                    .starts_with(&format!("the {name} stream is corrupt"))
            );
            assert!(part.loss.truncations().is_empty(), "{name}");
        }
        let mut trailed = gzip(&file);
        trailed.extend(b"trailing");
        assert_eq!(read(&trailed).frames.len(), 700);
        assert_eq!(read(&trailed).loss.damage().len(), 1);
    }

    #[test]
    fn no_mutation_of_packed_bytes_panics_or_hangs() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        for (_, pack) in PACKINGS {
            let packed = pack(&noisy(60));
            for _ in 0..400 {
                let mut mutated = packed.clone();
                for _ in 0..=next() % 4 {
                    let at = 4 + next() % (mutated.len() - 4);
                    mutated[at] = next() as u8;
                }
                mutated.truncate(4 + next() % mutated.len());
                let mut out = Vec::new();
                let input = Input::new(Vec::new(), &mutated[..]).unwrap();
                drop(input);
                let mut input = Input::new(mutated[..4].to_vec(), &mutated[4..]).unwrap();
                input.by_ref().take(1 << 24).read_to_end(&mut out).unwrap();
            }
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        // A frame header that asks for a window of 2^31 bytes (RFC 8878, section 3.1.1.1.2), and an empty block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
        let mut input = Input::new(frame[..4].to_vec(), &frame[4..]).unwrap();
        assert_eq!(input.read(&mut [0; 9]).unwrap(), 0);
        assert!(matches!(input.fault(), Some(Fault::Corrupt(what)) if what.contains("memory")));
    }
}
