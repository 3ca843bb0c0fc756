//! What is fuzzed: a function for each reader of strangers' bytes, and one for a whole capture.
//!
//! The rule: whatever comes, a reader returns, within its limits. `cargo fuzz` drives these functions with coverage;
//! `tests/fuzzed.rs` drives the same ones, with mutated recordings, wherever the tests run.

use std::io::Write as _;

use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, Fill, Keys};
use gwcap::decode::{Decoded, decode};
use gwcap::diagnose::certificate;
use gwcap::flow::{Direction, Endpoint, Vantage};
use gwcap::frame::{Batch, Frame, FrameId, LinkType, Mark, Way};
use gwcap::loss::Loss;
use gwcap::protocol::http1::Http1;
use gwcap::protocol::observation::Chain;
use gwcap::protocol::parser::{Beginning, Data, Hole, Output, Parser, Stop};
use gwcap::protocol::tls::Tls;
use gwcap::protocol::{Conversation, dns};
use gwcap::tcp::event::{Connection, ConnectionId, Ending, GapReason, StreamEvent};
use gwcap::time::Timestamp;

/// Most bytes that one input is worth: what is longer finds nothing that this does not.
pub const INPUT_MAX: usize = 256 * 1024;

/// A target: its name, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("capture", whole_capture),
    ("frame", frame),
    ("http1", http1),
    ("tls", tls),
    ("conversation", conversation),
    ("certificate", certificate),
    ("key_log", key_log),
    ("lookup", lookup),
];

/// A file of any kind, packed or not, from its first byte to the report's.
pub fn whole_capture(data: &[u8]) {
    let data = data.get(..INPUT_MAX).unwrap_or(data);
    let Ok(mut file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.write_all(data).is_err() {
        return;
    }
    let Ok(mut source) = capture::open_file(file.path(), 0, None) else {
        return;
    };
    let mut analyzer = Analyzer::new(Options {
        threads: 1,
        ..Options::default()
    });
    let mut batch = Batch::default();
    while let Ok(state) = source.fill(&mut batch, 16 * 1024) {
        for log in source.describe().secrets.key_logs(0) {
            analyzer.add_key_log(log);
        }
        analyzer.feed(&batch);
        if state == Fill::End {
            break;
        }
    }
    drop(analyzer.finish());
}

/// One frame: the first two bytes choose the link type.
pub fn frame(data: &[u8]) {
    let Some(([high, low], data)) = data.split_first_chunk() else {
        return;
    };
    let frame = Frame {
        data,
        original_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
        mark: Mark::default(),
        link: LinkType(u32::from(u16::from_be_bytes([*high, *low]))),
        way: Way::Unknown,
    };
    let decoded = decode(frame, Vantage::default(), &mut Loss::default());
    if let Some(Decoded::Packet { packet, .. }) = decoded {
        let _ = packet.flow();
    }
}

/// HTTP/1 both ways.
pub fn http1(data: &[u8]) {
    parsed(Http1::start, data);
}

/// TLS both ways, with and without a key log.
pub fn tls(data: &[u8]) {
    parsed(Tls::start, data);
}

/// A DER certificate, and a chain of it.
pub fn certificate(data: &[u8]) {
    let _ = certificate::read(data);
    let chain = Chain {
        certificates: vec![Box::from(data), Box::from(data)],
    };
    let _ = certificate::problems(&chain, Timestamp(0), Some("shop.example"));
}

/// Lines of a key log.
pub fn key_log(data: &[u8]) {
    let (mut keys, mut loss) = (Keys::default(), Loss::default());
    keys.add_log(data, &mut loss);
    let _ = keys.lines_of(&[0; 32]);
}

/// A DNS message, whole and cut.
pub fn lookup(data: &[u8]) {
    for whole in [false, true] {
        let _ = dns::read(data, whole, &mut Loss::default());
    }
}

/// What a step of a script does: its first byte says which way and whether bytes are missing, the next two how many.
struct Step<'d> {
    direction: Direction,
    missing: bool,
    bytes: &'d [u8],
}

/// Reads a script of steps.
fn steps(mut data: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let ([how, high, low], rest) = data.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        data = rest;
        Some(Step {
            direction: match how & 1 {
                0 => Direction::ToServer,
                _ => Direction::ToClient,
            },
            missing: how & 0xf0 == 0xf0,
            bytes,
        })
    })
}

fn connection() -> Connection {
    let end = |port| Endpoint {
        addr: std::net::IpAddr::from([127, 0, 0, 1]),
        port,
    };
    Connection::between(ConnectionId(FrameId::new(0, 1)), end(40_000), end(80))
}

/// A key log for the client random of zeros.
fn keys() -> Keys {
    let (zeros, secret) = ("00".repeat(32), "11".repeat(32));
    let labels = [
        "CLIENT_RANDOM",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "CLIENT_EARLY_TRAFFIC_SECRET",
    ];
    let lines: Vec<String> = labels
        .iter()
        .map(|label| format!("{label} {zeros} {secret}\n"))
        .collect();
    let mut keys = Keys::default();
    keys.add_log(lines.concat().as_bytes(), &mut Loss::default());
    keys
}

/// Feeds a parser a script, from the first byte and from the middle of a connection.
fn parsed(start: fn(Beginning) -> Box<dyn Parser>, data: &[u8]) {
    let (connection, keys) = (connection(), keys());
    for beginning in [Beginning::First, Beginning::Middle] {
        let (mut told, mut loss, mut index) = (Vec::new(), Loss::default(), 0);
        let (mut parser, mut offsets) = (start(beginning), [0_u64; 2]);
        let seen = Mark::default();
        for step in steps(data) {
            let mut out = Output::new(&connection, seen, &keys, &mut told, &mut loss, &mut index);
            let [to_server, to_client] = &mut offsets;
            let offset = match step.direction {
                Direction::ToServer => to_server,
                Direction::ToClient => to_client,
            };
            let len = step.bytes.len() as u64;
            if step.missing {
                let hole = Hole {
                    direction: step.direction,
                    offset: *offset,
                    len,
                    reason: GapReason::Lost,
                };
                parser.on_gap(hole, &mut out);
            } else {
                let data = Data {
                    direction: step.direction,
                    offset: *offset,
                    bytes: step.bytes,
                    carried: seen,
                };
                parser.on_data(data, &mut out);
            }
            *offset += len;
        }
        let mut out = Output::new(&connection, seen, &keys, &mut told, &mut loss, &mut index);
        parser.on_finished(Direction::ToServer, &mut out);
        parser.on_stop(Stop::Closed, &mut out);
    }
}

/// The same with whatever protocol the bytes are taken for.
pub fn conversation(data: &[u8]) {
    let (connection, keys) = (connection(), keys());
    let (mut told, mut loss, mut offsets) = (Vec::new(), Loss::default(), [0_u64; 2]);
    let mut conversation = Conversation::default();
    let mut event = |event| {
        conversation.on_event(
            &connection,
            Mark::default(),
            event,
            &keys,
            &mut told,
            &mut loss,
        );
    };
    for step in steps(data) {
        let [to_server, to_client] = &mut offsets;
        let offset = match step.direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let len = step.bytes.len() as u64;
        event(if step.missing {
            StreamEvent::Gap {
                direction: step.direction,
                offset: *offset,
                len,
                reason: GapReason::Lost,
            }
        } else {
            StreamEvent::Data {
                direction: step.direction,
                offset: *offset,
                bytes: step.bytes,
                carried: Mark::default(),
            }
        });
        *offset += len;
    }
    event(StreamEvent::Ended(Ending::Idle));
}
