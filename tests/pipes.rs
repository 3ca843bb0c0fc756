//! A pipe while it grows: findings are told as they come, and once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::wire::{Listener, Opener, Wire};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const BAD: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Longer than any machine takes to look at a dozen frames.
const PATIENCE: Duration = Duration::from_secs(30);

/// Refused upstreams, five seconds apart, and at last a client that is served.
fn growing(refusals: u16) -> Vec<u8> {
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    for number in 0..refusals {
        wire.says(client, Opener, GET);
        let refused = wire.syn(&format!("10.0.0.1:{}", 50_001 + number), "10.0.0.3:8080");
        wire.resets(refused, Listener).says(client, Listener, BAD);
        wire.waits_ms(5_000);
    }
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    let folder = tempfile::tempdir().unwrap();
    std::fs::read(wire.write(folder.path())).unwrap()
}

/// A running gwcap that reads a pipe, and its lines.
fn reading(words: &[&str]) -> (Child, Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gwcap"))
        .args(["-r", "-"])
        .args(words)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines() {
            if send.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    (child, lines)
}

#[test]
fn a_finding_is_written_while_the_pipe_is_open_and_not_again() {
    let (mut child, lines) = reading(&["-f", "ndjson"]);
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&growing(1)).unwrap();
    pipe.flush().unwrap();
    let first: Value = serde_json::from_str(&lines.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(first["event"], "finding");
    assert_eq!(first["cause"]["code"], "connect-refused");
    assert_eq!(
        (&first["revision"], &first["final"]),
        (&0.into(), &true.into())
    );
    assert!(child.try_wait().unwrap().is_none(), "it goes on reading");
    drop(pipe);
    let rest: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    let events: Vec<&str> = rest
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["incident", "summary"]);
    assert_eq!(rest[0]["id"], first["incident"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_person_reads_a_line_at_once_and_the_report_at_the_end() {
    let (mut child, lines) = reading(&[]);
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&growing(1)).unwrap();
    pipe.flush().unwrap();
    let first = lines.recv_timeout(PATIENCE).unwrap();
    for word in [
        "502",
        "GET shop.example/cart",
        "connect-refused",
        "10.0.0.3:8080",
    ] {
        assert!(first.contains(word), "{first}");
    }
    drop(pipe);
    let rest: Vec<String> = lines.iter().collect();
    assert!(
        rest.iter()
            .any(|line| line.contains("1 gateway error, 1 cause"))
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let (mut child, lines) = reading(&["-f", "ndjson"]);
    let mut pipe = child.stdin.take().unwrap();
    let capture = growing(200);
    let mut pieces = capture.chunks(capture.len() / 100);
    for piece in pieces.by_ref().take(5) {
        pipe.write_all(piece).unwrap();
    }
    lines.recv_timeout(PATIENCE).unwrap();
    drop(lines);
    // What is written to nobody ends it, though the pipe stays open.
    for piece in pieces {
        if child.try_wait().unwrap().is_some() || pipe.write_all(piece).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let status = ended(&mut child);
    assert!(status.success(), "{status}");
}

/// How it ended; it must, though its input is open.
fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it reads on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
