//! The targets of `fuzz/`, with recordings that were mutated by seed: a small share of what `make fuzz` does, wherever the tests
//! run.

use std::time::{Duration, Instant};

use crate::fuzz_targets::{INPUT_MAX, TARGETS};
use crate::support::random::Random;
use crate::support::{capture_of, case_folders};

/// Inputs of each target.
const ROUNDS: usize = 4_000;
/// Inputs of a whole capture, which take longer.
const CAPTURES: usize = 200;
/// Longest that one input may take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Words that the readers look for, so that mutations reach behind their first byte.
const WORDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03",
    b"\x17\x03\x03\x00\x13",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"\x30\x82\x01\x0a\x02\x82",
    b"CLIENT_RANDOM 00 11\n",
    b"\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\xc0\x0c",
];

/// An input: a piece of a recording, or words with the headers of a script between them, and a few bytes changed.
fn input(random: &mut Random, recordings: &[Vec<u8>], whole: bool) -> Vec<u8> {
    let recording = &recordings[random.below(recordings.len())];
    let mut input = Vec::new();
    if whole {
        input.extend_from_slice(recording);
    } else {
        for _ in 0..=random.below(6) {
            let words = WORDS[random.below(WORDS.len())];
            let from = random.below(recording.len());
            let piece = &recording[from..recording.len().min(from + random.below(200))];
            for part in [words, piece] {
                input.push(random.next() as u8);
                input.extend((part.len() as u16).to_be_bytes());
                input.extend_from_slice(part);
            }
        }
    }
    for _ in 0..random.below(8) {
        let at = random.below(input.len());
        input[at] = random.next() as u8;
    }
    if random.below(4) == 0 {
        let cut = random.below(input.len());
        input.truncate(cut);
    }
    input.truncate(INPUT_MAX);
    input
}

#[test]
fn no_target_panics_or_hangs() {
    let folders = case_folders();
    let chosen = Random::new(7).sample(folders.len(), 24);
    let recordings: Vec<Vec<u8>> = chosen
        .into_iter()
        .map(|index| std::fs::read(capture_of(&folders[index])).unwrap())
        .filter(|bytes| !bytes.is_empty())
        .collect();
    for (name, target) in TARGETS {
        let mut random = Random::named(11, name);
        let whole = *name == "capture";
        for round in 0..if whole { CAPTURES } else { ROUNDS } {
            let input = input(&mut random, &recordings, whole);
            let started = Instant::now();
            target(&input);
            let took = started.elapsed();
            assert!(took < PATIENCE, "{name}, round {round}: {took:?}");
        }
    }
}

/// Each target has a program of its own, and no program is without a target.
#[test]
fn each_target_can_be_fuzzed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(
            root.join(format!("fuzz_targets/{name}.rs")).exists(),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let programs = std::fs::read_dir(root.join("fuzz_targets")).unwrap();
    assert_eq!(programs.count(), TARGETS.len());
}
