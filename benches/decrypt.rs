//! A stream that is decrypted beside the same stream in clear: one connection, requests with large answers, on one thread.
//!
//! Both ends are rustls's own; the throughput is that of the answers, so that all can be compared. Without its key log the
//! same capture shows what the rest of the walk takes.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[allow(dead_code)]
mod traffic;

#[allow(dead_code)]
#[path = "../src/protocol/tls/talk.rs"]
mod talk;

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, Fill};
use gwcap::frame::Batch;
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, ring};

use talk::Ends;
use traffic::wire::{ACK, Endpoint, Format, Link, PSH, Packet, Recorder, SYN};

const REQUEST: &[u8] = b"GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n";
/// Requests, and bytes of each answer.
const REQUESTS: usize = 8;
const ANSWER: usize = 500_000;
/// Payload of a segment.
const SEGMENT: usize = 1_400;
/// Nanoseconds between two segments.
const STEP: u64 = 10_000;

const SUITES: [(&str, CipherSuite); 4] = [
    ("tls13-aes128-gcm", CipherSuite::TLS13_AES_128_GCM_SHA256),
    (
        "tls13-chacha20",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "tls12-aes128-gcm",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "tls12-chacha20",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// What passed one way: from the client, or to it.
type Said = (bool, Vec<u8>);

fn answer() -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n").into_bytes();
    answer.extend((0..ANSWER).map(|place| (place % 251) as u8));
    answer
}

fn in_clear() -> Vec<Said> {
    let turn = || [(true, REQUEST.to_vec()), (false, answer())];
    (0..REQUESTS).flat_map(|_| turn()).collect()
}

/// The same under a suite, and its key log.
fn sealed(suite: CipherSuite) -> (Vec<Said>, String) {
    let mut provider: CryptoProvider = ring::default_provider();
    provider.cipher_suites.retain(|it| it.suite() == suite);
    let ends = Ends::new(provider.clone(), provider);
    let mut talk = ends.meet();
    talk.carry();
    for (from_client, words) in in_clear() {
        match from_client {
            true => talk.client_says(&words),
            false => talk.server_says(&words),
        };
    }
    (talk.wire, ends.key_log())
}

/// A capture of it, as it is read.
fn captured(name: &str, port: u16, said: &[Said]) -> Batch {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("decrypt-{name}.pcap"));
    let file = std::fs::File::create(&path).unwrap();
    let mut recorder = Recorder::new(file, Format::Pcap, Link::Sll2);
    let ends = [([10, 0, 0, 9], 40_000), ([10, 0, 0, 1], port)];
    let ends = ends.map(|(address, port)| Endpoint { address, port });
    // What each side has sent so far, the SYN included.
    let (mut sent, mut time) = ([1_u32; 2], 1_790_000_000_000_000_000);
    let mut write = |side: usize, flags, sent: [u32; 2], head: &[u8]| {
        time += STEP;
        recorder
            .record(&Packet {
                time,
                source: ends[side],
                destination: ends[1 - side],
                outgoing: side == 1,
                interface: 0,
                id: 0,
                sequence: sent[side],
                acknowledgement: sent[1 - side],
                flags,
                timestamps: (0, 0),
                head,
                body: (&[], 0),
            })
            .unwrap();
    };
    write(0, SYN, [0, 0], &[]);
    write(1, SYN | ACK, [1, 0], &[]);
    write(0, ACK, sent, &[]);
    for (from_client, bytes) in said {
        let side = usize::from(!from_client);
        for piece in bytes.chunks(SEGMENT) {
            write(side, PSH | ACK, sent, piece);
            sent[side] = sent[side].wrapping_add(piece.len() as u32);
        }
        write(1 - side, ACK, sent, &[]);
    }
    recorder.flush().unwrap();
    let mut source = capture::open_file(&path, 0, None).unwrap();
    let mut batch = Batch::default();
    let all = REQUESTS * ANSWER * 2;
    while source.fill(&mut batch, all).unwrap() != Fill::End && batch.records.is_empty() {}
    std::fs::remove_file(&path).unwrap();
    batch
}

/// Analyses it; gives how many exchanges there were.
fn analysed(batch: &Batch, log: &str) -> u64 {
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    if !log.is_empty() {
        analyzer.add_key_log(log.as_bytes());
    }
    analyzer.feed(batch);
    analyzer.finish().diagnosis.health.exchanges
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decrypt");
    group.throughput(Throughput::Bytes((REQUESTS * ANSWER) as u64));
    group.sample_size(10);
    let clear = captured("clear", 80, &in_clear());
    assert_eq!(analysed(&clear, ""), REQUESTS as u64);
    group.bench_function("clear", |bencher| bencher.iter(|| analysed(&clear, "")));
    for (name, suite) in SUITES {
        let (said, log) = sealed(suite);
        let batch = captured(name, 443, &said);
        assert_eq!(analysed(&batch, &log), REQUESTS as u64, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| analysed(&batch, &log)));
        group.bench_function(format!("{name}-without-log"), |bencher| {
            bencher.iter(|| analysed(&batch, ""));
        });
    }
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
