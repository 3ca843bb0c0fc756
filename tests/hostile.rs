//! Whatever a file holds: no panic, no hang, bounded memory; what is lost is counted, and a report is written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::pcap::{self, Clock, Place};
use crate::support::random::Random;
use crate::support::wire::{Listener, Opener, Wire};
use crate::support::{Run, assert_schema, capture_of, case_folders, written};

/// Cases that are damaged, chosen by seed.
const CASES: usize = 30;

/// Longest that one damaged file of a few hundred KB may take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most memory of the whole test process: the tests beside this one hold files of 40 MB.
const MEMORY_MAX_KB: u64 = 1_500_000;

/// A folder that holds one hostile file at a time.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// Analyses bytes as a file and writes all reports; `None` when they are refused as no capture.
    fn survives(&self, bytes: &[u8], what: &str) -> Option<Run> {
        let path = self.folder.path().join("hostile.pcap");
        std::fs::write(&path, bytes).unwrap();
        survives(&path, what)
    }
}

fn survives(path: &Path, what: &str) -> Option<Run> {
    let started = Instant::now();
    let run = Run::of(path, 1, 1 << 16).ok()?;
    let report = run.report(false);
    assert_schema(&written(&report, "json"), what);
    written(&report, "ndjson");
    written(&report, "text");
    drop(report);
    let took = started.elapsed();
    assert!(took < PATIENCE, "{what} took {took:?}");
    if let Some(peak) = memory_peak_kb() {
        assert!(peak < MEMORY_MAX_KB, "{what}: {peak} kB of memory");
    }
    Some(run)
}

/// The most memory that this process ever held, where the system is Linux and tells it.
fn memory_peak_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Whether anything says that a place of the file could not be read.
fn owns_up(run: &Run) -> bool {
    !run.analysis.loss.damage().is_empty() || !run.analysis.loss.truncations().is_empty()
}

/// The chosen cases: name and bytes.
fn cases() -> Vec<(String, Vec<u8>)> {
    let folders: Vec<PathBuf> = case_folders();
    let chosen = Random::new(1).sample(folders.len(), CASES);
    let read = |index: usize| {
        let folder = &folders[index];
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(capture_of(folder)).unwrap())
    };
    chosen.into_iter().map(read).collect()
}

fn frames_of(places: &[Place]) -> u64 {
    places.iter().filter(|place| place.frame).count() as u64
}

#[test]
fn a_file_that_is_cut_gives_exactly_the_frames_before_the_cut() {
    let bench = Bench::new();
    for (name, file) in cases() {
        let places = pcap::records(&file);
        let mut random = Random::named(2, &name);
        for _ in 0..24 {
            let cut = random.below(file.len());
            let Some(run) = bench.survives(&file[..cut], &name) else {
                // Without its own header it is no capture.
                assert!(cut < 256, "{name} cut at {cut} is refused");
                continue;
            };
            let whole = places
                .iter()
                .filter(|place| place.frame && place.range.end <= cut);
            assert_eq!(run.frames(), whole.count() as u64, "{name} cut at {cut}");
            let inside = places
                .iter()
                .any(|place| place.range.start < cut && cut < place.range.end);
            assert_eq!(
                run.analysis.loss.truncations().len(),
                usize::from(inside),
                "{name} cut at {cut}"
            );
            assert!(
                run.analysis.loss.damage().is_empty(),
                "{name} cut at {cut}: no damage"
            );
        }
    }
}

#[test]
fn a_hole_in_a_file_is_told() {
    let bench = Bench::new();
    let (mut silent, mut tried) = (0, 0);
    for (name, file) in cases() {
        let places = pcap::records(&file);
        let mut random = Random::named(3, &name);
        // Bytes from a place to the end of its record: where the two ends of a hole have as many left, the record that
        // remains is as long as it says, and nothing shows.
        let left = |at: usize| {
            let record = places.iter().find(|place| place.range.contains(&at));
            record.map(|place| place.range.end - at)
        };
        for _ in 0..16 {
            let start = 24 + random.below(file.len() - 24);
            let end = start + random.below((file.len() - start).min(9_000));
            if left(start) == left(end) {
                continue;
            }
            let mut zeroed = file.clone();
            zeroed[start..end].fill(0);
            let without = [&file[..start], &file[end..]].concat();
            for (how, bytes) in [("zeros", zeroed), ("a hole", without)] {
                let what = format!("{name} with {how} at {start}..{end}");
                let Some(run) = bench.survives(&bytes, &what) else {
                    continue;
                };
                tried += 1;
                // A hole from one record's end to another's, to the byte, leaves a sound file: nobody can tell.
                let told = owns_up(&run) || pcap::is_sound(&bytes);
                silent += usize::from(run.frames() < frames_of(&places) && !told);
            }
        }
    }
    assert!(tried > 500);
    assert_eq!(silent, 0, "frames vanished without a word, of {tried}");
}

#[test]
fn flipped_bits_and_bytes() {
    let bench = Bench::new();
    for (name, file) in cases() {
        let mut random = Random::named(4, &name);
        for round in 0..24 {
            let mut bytes = file.clone();
            for _ in 0..1 << (round % 12) {
                let at = random.below(bytes.len());
                match round % 3 {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                    _ => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
                }
            }
            bench.survives(&bytes, &format!("{name}, flips of round {round}"));
        }
    }
}

#[test]
fn flipped_payloads_leave_every_frame() {
    let bench = Bench::new();
    for (name, file) in cases() {
        let places: Vec<Place> = pcap::records(&file)
            .into_iter()
            .filter(|place| place.frame)
            .collect();
        let mut random = Random::named(5, &name);
        for round in 0..12 {
            let mut bytes = file.clone();
            for _ in 0..1 << round {
                let place = &places[random.below(places.len())].range;
                // Behind the header of a pcap record or an enhanced packet block, before options and its length.
                let payload = place.start + 28 + 20..(place.start + 28 + 90).min(place.end - 8);
                if !payload.is_empty() {
                    let at = payload.start + random.below(payload.len());
                    bytes[at] = u8::try_from(random.below(256)).unwrap();
                }
            }
            let run = bench
                .survives(&bytes, &format!("{name}, payloads of round {round}"))
                .unwrap();
            assert_eq!(run.frames(), places.len() as u64, "{name}");
        }
    }
}

#[test]
fn shuffled_and_repeated_records() {
    let bench = Bench::new();
    for (name, file) in cases() {
        let places = pcap::records(&file);
        let first = places.iter().position(|place| place.frame).unwrap();
        let head = &file[..places[first].range.start];
        let mut frames: Vec<Place> = places.iter().filter(|place| place.frame).cloned().collect();
        let mut random = Random::named(6, &name);
        for round in 0..8 {
            let mut copies = 1;
            if round % 2 == 0 {
                for at in (1..frames.len()).rev() {
                    frames.swap(at, random.below(at + 1));
                }
            } else {
                copies = 3;
            }
            let mut bytes = head.to_vec();
            for place in &frames {
                (0..copies).for_each(|_| bytes.extend(&file[place.range.clone()]));
            }
            let what = format!("{name}, order of round {round}");
            let run = bench.survives(&bytes, &what).unwrap();
            assert_eq!(run.frames(), (frames.len() * copies) as u64, "{what}");
            assert!(!owns_up(&run), "{what}: all records are sound");
        }
    }
}

#[test]
fn files_of_noise() {
    let bench = Bench::new();
    for fill in [0, 0xff, b'A', 0x0a] {
        assert!(
            bench
                .survives(&vec![fill; 100_000], "one byte for ever")
                .is_none()
        );
    }
    let section = section_header();
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let noise: Vec<u8> = (0..300_000)
            .map(|_| match seed % 3 {
                0 => u8::try_from(random.below(256)).unwrap(),
                1 => u8::try_from(random.below(3)).unwrap(),
                _ => [0, 0, 0, 1, 60, 0xff, 0x6a][random.below(7)],
            })
            .collect();
        for head in [
            pcap::header(Clock::Nanos, 1),
            pcap::header(Clock::Nanos, 276),
            section.clone(),
        ] {
            let run = bench
                .survives(&[&head[..], &noise].concat(), "noise")
                .unwrap();
            assert!(owns_up(&run), "noise of seed {seed} passes for a capture");
        }
    }
}

#[test]
fn records_with_absurd_lengths() {
    let bench = Bench::new();
    let lengths = [
        0,
        1,
        65_536,
        262_144,
        262_145,
        0x0100_0000,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ];
    for captured in lengths {
        for original in lengths {
            let mut bytes = pcap::header(Clock::Nanos, 1);
            pcap::record(&mut bytes, 1_795_179_845_000_000_000, &[0; 60], 60);
            for word in [1_795_179_845, 0, captured, original] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend([0; 60]);
            for second in 0..5 {
                pcap::record(
                    &mut bytes,
                    (1_795_179_846 + second) * 1_000_000_000,
                    &[0; 60],
                    60,
                );
            }
            let run = bench
                .survives(&bytes, &format!("{captured} of {original} bytes"))
                .unwrap();
            if captured > 0x0100_0000 {
                assert!(owns_up(&run), "{captured} bytes are believed");
                assert_eq!(run.frames(), 6, "{captured} bytes end the file");
            }
        }
    }
}

/// A section header block (draft-ietf-opsawg-pcapng, section 4.1).
fn section_header() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    block(0x0a0d_0d0a, &body)
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    lying_block(kind, body, u32::try_from(body.len() + 12).unwrap())
}

/// A block that claims any length.
fn lying_block(kind: u32, body: &[u8], length: u32) -> Vec<u8> {
    let words = [kind, length].map(u32::to_le_bytes).concat();
    [&words, body, &length.to_le_bytes()].concat()
}

fn interface(options: &[u8]) -> Vec<u8> {
    block(1, &[&[1, 0, 0, 0, 0, 0, 0, 0], options].concat())
}

fn enhanced(interface: u32, captured: u32) -> Vec<u8> {
    let words = [interface, 0x0006_0000, 0, captured, 60]
        .map(u32::to_le_bytes)
        .concat();
    block(6, &[words, vec![0; 60]].concat())
}

#[test]
fn pcapng_blocks_that_lie() {
    let bench = Bench::new();
    let sound = [section_header(), interface(&[]), enhanced(0, 60)].concat();
    let after = enhanced(0, 60).repeat(5);
    for kind in [1, 2, 3, 5, 6, 0x0a0d_0d0a, 0x0bad, 0x8000_0001] {
        for length in [
            0,
            1,
            4,
            8,
            11,
            12,
            13,
            16,
            27,
            0x0010_0000,
            0x7fff_fffc,
            0xffff_fffc,
            u32::MAX,
        ] {
            let lie = lying_block(kind, &[0; 40], length);
            let what = format!("block {kind:#x} of length {length}");
            bench
                .survives(&[&sound[..], &lie, &after].concat(), &what)
                .unwrap();
            bench.survives(&[&section_header()[..], &lie].concat(), &what);
        }
    }
    let hostile = [
        ("a frame of no interface", enhanced(7, 60)),
        ("a frame larger than its block", enhanced(0, 61_000)),
        ("a frame of 4 GB", enhanced(0, u32::MAX)),
        (
            "a clock of 2^-127 s",
            [interface(&[9, 0, 1, 0, 0xff, 0, 0, 0]), enhanced(1, 60)].concat(),
        ),
        (
            "a clock of 10^-127 s",
            [interface(&[9, 0, 1, 0, 0x7f, 0, 0, 0]), enhanced(1, 60)].concat(),
        ),
        (
            "an option that is longer than its block",
            interface(&[2, 0, 0xff, 0xff, 1, 2, 3, 4]),
        ),
        ("200,000 interfaces", interface(&[]).repeat(200_000)),
        ("100,000 sections", section_header().repeat(100_000)),
        ("100,000 empty blocks", block(0x0bad, &[]).repeat(100_000)),
        (
            "100,000 simple frames of nothing",
            block(3, &[0; 4]).repeat(100_000),
        ),
    ];
    for (what, blocks) in hostile {
        bench
            .survives(&[&sound[..], &blocks, &after].concat(), what)
            .unwrap();
    }
}

/// Writes a conversation and survives it.
fn converse(what: &str, talk: impl FnOnce(&mut Wire)) {
    let folder = tempfile::tempdir().unwrap();
    let mut wire = Wire::new();
    talk(&mut wire);
    survives(&wire.write(folder.path()), what).unwrap();
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn evil_tcp() {
    converse("a flood of SYNs", |wire| {
        for port in 1_024..=u16::MAX {
            wire.syn(&format!("10.0.{}.2:{port}", port % 250), "10.0.0.1:80");
        }
    });
    converse("islands in a sea of gaps", |wire| {
        let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
        for _ in 0..20_000 {
            wire.skips(leg, Opener, 1)
                .segment(leg, Opener, 0x18, &[b'x'; 900]);
        }
    });
    converse("jumps over half the sequence space", |wire| {
        let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
        for _ in 0..2_000 {
            wire.says(leg, Opener, ASK).skips(leg, Opener, 0x7fff_fff0);
            wire.says(leg, Listener, "HTTP/1.1 200 OK\r\n\r\n")
                .skips(leg, Listener, u32::MAX - 5);
        }
    });
    converse("every combination of control bits", |wire| {
        let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
        for round in 0..4_u8 {
            for flags in 0..=u8::MAX {
                let side = if flags % 3 == round % 3 {
                    Opener
                } else {
                    Listener
                };
                wire.segment(leg, side, flags, &ASK.as_bytes()[..usize::from(flags % 9)]);
            }
        }
    });
    converse("one four-tuple opened again and again", |wire| {
        for _ in 0..5_000 {
            let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
            wire.says(leg, Opener, ASK).resets(leg, Listener);
        }
    });
    converse("a host that talks to itself", |wire| {
        let leg = wire.connects("10.0.0.1:80", "10.0.0.1:80");
        wire.says(leg, Opener, ASK)
            .says(leg, Listener, "HTTP/1.1 502 B\r\n\r\n")
            .closes(leg, Listener);
    });
}

#[test]
fn evil_http() {
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("a head without end", vec![b'a'; 6_000_000]),
        (
            "a line without end in a head",
            [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 3_000_000]].concat(),
        ),
        (
            "100,000 headers",
            [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(100_000)].concat(),
        ),
        ("empty lines", b"\r\n".repeat(500_000)),
        (
            "interim responses",
            b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50_000),
        ),
        (
            "more answers than questions",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(50_000),
        ),
        (
            "chunks of one byte",
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                b"1\r\nx\r\n".repeat(200_000),
            ]
            .concat(),
        ),
        (
            "a chunk of 2^64",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx".to_vec(),
        ),
        (
            "a chunk of more",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx".to_vec(),
        ),
        (
            "a chunk of less than nothing",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx".to_vec(),
        ),
        (
            "a chunk extension without end",
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;".to_vec(),
                vec![b'e'; 2_000_000],
            ]
            .concat(),
        ),
        (
            "trailers without end",
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_vec(),
                b"T: x\r\n".repeat(200_000),
            ]
            .concat(),
        ),
        (
            "a length of 2^64",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nx".to_vec(),
        ),
        (
            "a length just below",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx".to_vec(),
        ),
        (
            "many lengths",
            [
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"Content-Length: 1\r\nContent-Length: 2\r\n".repeat(90),
                b"\r\nx".to_vec(),
            ]
            .concat(),
        ),
        ("status 0", b"HTTP/1.1 000 \r\n\r\n".to_vec()),
        ("status 99999", b"HTTP/1.1 99999 x\r\n\r\n".to_vec()),
        (
            "an upgrade that nobody asked for",
            b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n\0\0\xff\xff\xff".to_vec(),
        ),
        ("NULs", vec![0; 1_000_000]),
    ];
    for (what, answer) in answers {
        converse(what, |wire| {
            let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
            wire.says(leg, Opener, ASK)
                .says(leg, Listener, &answer)
                .closes(leg, Listener);
            // The same as a request, and a byte at a time.
            let leg = wire.connects("10.0.0.2:40001", "10.0.0.1:80");
            wire.says(leg, Opener, &answer).resets(leg, Listener);
            let leg = wire.connects("10.0.0.2:40002", "10.0.0.1:80");
            wire.says(leg, Opener, ASK);
            for byte in answer.iter().take(3_000) {
                wire.segment(leg, Listener, 0x18, &[*byte]);
            }
        });
    }
    converse("questions without answers", |wire| {
        let leg = wire.connects("10.0.0.2:40000", "10.0.0.1:80");
        wire.says(leg, Opener, ASK.repeat(10_000));
        wire.says(
            leg,
            Listener,
            "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n".repeat(50_000),
        );
    });
}

#[test]
fn evil_tls() {
    let hello = |length: u8, rest: &[u8]| [&[22, 3, 1, 0, length, 1][..], rest].concat();
    let records: Vec<(&str, Vec<u8>)> = vec![
        (
            "a record of 64 KB",
            [&[22, 3, 1, 0xff, 0xff, 1][..], &[0; 70_000]].concat(),
        ),
        ("records of nothing", [22, 3, 1, 0, 0].repeat(200_000)),
        (
            "a message of 16 MB",
            [&hello(200, &[0xff; 3])[..], &[0; 200]].concat(),
        ),
        (
            "fragments of one byte",
            [
                &[22, 3, 1, 0, 1, 1][..],
                &[22, 3, 1, 0, 1, 0xff].repeat(100_000),
            ]
            .concat(),
        ),
        ("alerts", [21, 3, 3, 0, 2, 1, 0].repeat(100_000)),
        (
            "an alert of nothing",
            vec![21, 3, 3, 0, 0, 21, 3, 3, 0, 1, 2],
        ),
        (
            "a name that is longer than its list",
            hello(60, &[0, 0, 55, 3, 3, 0, 0, 0, 0xff, 0xff]),
        ),
        (
            "a session id of 255 bytes",
            hello(60, &[&[0, 0, 55, 3, 3][..], &[0; 32], &[255; 24]].concat()),
        ),
        ("heartbeats", [24, 3, 3, 0, 3, 1, 0xff, 0xff].repeat(50_000)),
    ];
    for (what, bytes) in records {
        converse(what, |wire| {
            let leg = wire.connects("10.0.0.1:40000", "10.0.0.3:443");
            wire.says(leg, Opener, &bytes)
                .says(leg, Listener, &bytes)
                .closes(leg, Listener);
        });
    }
}

#[test]
fn evil_dns() {
    let head = |questions: u16, answers: u16, flags: u8| {
        let counts = [
            questions.to_be_bytes(),
            answers.to_be_bytes(),
            [0; 2],
            [0; 2],
        ]
        .concat();
        [&[0, 1, flags, 0][..], &counts].concat()
    };
    let bodies: [(&str, Vec<u8>); 7] = [
        ("a name that points to itself", vec![0xc0, 12, 0, 1, 0, 1]),
        (
            "names that point to each other",
            vec![0xc0, 14, 0xc0, 12, 0, 1, 0, 1],
        ),
        (
            "a name of 20 KB",
            [&[63; 64].repeat(300)[..], &[0, 0, 1, 0, 1]].concat(),
        ),
        ("a label that ends nowhere", vec![63, b'a']),
        (
            "labels of a kind that was never defined",
            vec![0x80, 0x40, 0xff],
        ),
        ("nothing", vec![]),
        ("one label again and again", [1, b'a'].repeat(30_000)),
    ];
    for (what, body) in bodies {
        converse(what, |wire| {
            for count in [0, 1, u16::MAX] {
                for flags in [1, 0x81] {
                    let message = [head(count, count, flags), body.clone()].concat();
                    wire.datagram("10.0.0.1:5353", "10.0.0.53:53", &message);
                    wire.datagram("10.0.0.53:53", "10.0.0.1:5353", &message);
                    let leg = wire.connects("10.0.0.1:40000", "10.0.0.53:53");
                    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
                    wire.says(leg, Opener, [&length[..], &message].concat())
                        .says(leg, Listener, [0, 0].repeat(1_000))
                        .says(leg, Listener, [&[0xff, 0xff][..], &message].concat());
                }
            }
        });
    }
    converse("100,000 queries that nobody answers", |wire| {
        for id in 0..100_000_u32 {
            let mut message = head(1, 0, 1);
            message[..2].copy_from_slice(&id.to_be_bytes()[2..]);
            message.extend([8]);
            message.extend(format!("{id:08}").as_bytes());
            message.extend([0, 0, 1, 0, 1]);
            wire.datagram("10.0.0.1:5353", "10.0.0.53:53", &message);
        }
    });
}
