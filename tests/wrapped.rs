//! Recorded cases inside tunnels, behind other link layers and in fragments: the verdicts stay as they are.
//!
//! The wrappers are written by hand from the RFCs and from the pages of tcpdump.org/linktypes.html.

use std::io::Write;
use std::path::Path;

use gwcap::capture::{self, Fill, Merge};
use gwcap::frame::{Batch, LinkType};

use crate::support::{analyse, capture_of, case_folders, fresh};

/// Cases of one gateway error, of many, over IPv6, and with DNS and ICMP.
const CASES: [&str; 5] = [
    "nginx-connect-refused",
    "haproxy-crowd",
    "envoy-ipv6-response-timeout",
    "apache-dns-nxdomain",
    "apache-icmp-host-unreachable",
];

/// A frame of Ethernet and its time.
#[derive(Clone)]
struct Frame {
    nanos: i64,
    bytes: Vec<u8>,
}

/// The frames of a case as Ethernet frames.
fn frames_of(path: &Path) -> Vec<Frame> {
    let mut source = Merge::new(vec![capture::open_file(path, 0, None).unwrap()]);
    let (mut batch, mut frames) = (Batch::default(), Vec::new());
    loop {
        let state = source.fill(&mut batch, 1 << 20).unwrap();
        for record in &batch.records {
            let data = batch.frame(record).data;
            let bytes = match record.link {
                LinkType::LINUX_SLL2 => ethernet(word(data, 0), &data[20..]),
                LinkType::ETHERNET => data.to_vec(),
                other => panic!("{other:?}"),
            };
            frames.push(Frame {
                nanos: record.mark.time.0,
                bytes,
            });
        }
        if state == Fill::End {
            return frames;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(kind.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An IPv4 packet between two ends of a tunnel.
fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((payload.len() as u16 + 20).to_be_bytes());
    bytes.extend([0, 9, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    bytes.extend_from_slice(payload);
    bytes
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = 50_000_u16.to_be_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend_from_slice(payload);
    ip(17, &bytes)
}

/// Ethernet, IPv4, and a tunnel's header before the frame or the packet.
fn tunnel(protocol: u8, header: &[u8], inner: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ip(protocol, &[header, inner].concat()))
}

fn in_udp(port: u16, header: &[u8], inner: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &udp(port, &[header, inner].concat()))
}

/// One way to wrap a frame of Ethernet: name, link type of the result, and how. Wrappers for IP alone leave out the rest.
type Wrapper = (&'static str, u32, fn(u16, &[u8]) -> Vec<u8>);

const WRAPPERS: [Wrapper; 24] = [
    ("ip in ip and 6in4", 1, |kind, frame| {
        tunnel(if kind == 0x0800 { 4 } else { 41 }, &[], &frame[14..])
    }),
    ("GRE with key and sequence", 1, |kind, frame| {
        let [a, b] = kind.to_be_bytes();
        tunnel(47, &[0x30, 0, a, b, 0, 0, 0, 7, 0, 0, 0, 1], &frame[14..])
    }),
    ("GRE with a frame", 1, |_, frame| {
        tunnel(47, &[0x80, 0, 0x65, 0x58, 0, 0, 0, 0], frame)
    }),
    ("VXLAN", 1, vxlan),
    ("VXLAN on Linux's port", 1, |_, frame| {
        in_udp(8472, &[8, 0, 0, 0, 0, 0, 42, 0], frame)
    }),
    ("Geneve with an option", 1, geneve),
    ("ERSPAN II", 1, |_, frame| {
        let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 8, 9, 0, 0, 0, 0];
        tunnel(47, &head, frame)
    }),
    ("ERSPAN III", 1, |_, frame| {
        let mut head = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 8, 9];
        head.extend([0; 8]);
        tunnel(47, &head, frame)
    }),
    ("GTP-U", 1, |_, frame| {
        in_udp(2152, &[0x30, 255, 0, 0, 0, 0, 0, 9], &frame[14..])
    }),
    ("VXLAN in Geneve in VXLAN", 1, |kind, frame| {
        vxlan(kind, &geneve(kind, &vxlan(kind, frame)))
    }),
    ("MPLS", 1, |_, frame| {
        ethernet(
            0x8847,
            &[&[0, 1, 0, 64, 0, 2, 1, 64], &frame[14..]].concat(),
        )
    }),
    ("a pseudowire", 1, |_, frame| {
        ethernet(0x8847, &[&[0, 2, 1, 64, 0, 0, 0, 0], frame].concat())
    }),
    ("PPPoE", 1, |kind, frame| {
        let protocol = if kind == 0x0800 { 0x21 } else { 0x57 };
        let head = [0x11, 0, 0, 5, 0, 0, 0, protocol];
        ethernet(0x8864, &[&head, &frame[14..]].concat())
    }),
    ("MACsec in clear", 1, |_, frame| {
        let tag = [0x88, 0xe5, 0x20, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        [&frame[..12], &tag, &frame[12..], &[0; 16]].concat()
    }),
    ("QinQ", 1, |_, frame| {
        [
            &frame[..12],
            &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9],
            &frame[12..],
        ]
        .concat()
    }),
    ("SNAP", 1, |_, frame| {
        let snap = [0, 60, 0xaa, 0xaa, 3, 0, 0, 0];
        [&frame[..12], &snap, &frame[12..]].concat()
    }),
    ("raw IP", 101, |_, frame| frame[14..].to_vec()),
    ("PPP", 9, |kind, frame| {
        let protocol = if kind == 0x0800 { 0x21 } else { 0x57 };
        [&[0xff, 3, 0, protocol], &frame[14..]].concat()
    }),
    ("Cisco HDLC", 104, |_, frame| {
        [&[0x0f, 0], &frame[12..]].concat()
    }),
    ("BSD loopback, little endian", 0, |kind, frame| {
        let family = if kind == 0x0800 { 2 } else { 30 };
        [&[family, 0, 0, 0], &frame[14..]].concat()
    }),
    ("BSD loopback, big endian", 108, |kind, frame| {
        let family = if kind == 0x0800 { 2 } else { 24 };
        [&[0, 0, 0, family], &frame[14..]].concat()
    }),
    ("cooked GRE", 113, |_, frame| {
        let head = [0, 0, 3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        [&head[..], &frame[12..]].concat()
    }),
    ("cooked tun", 276, |_, frame| {
        let mut bytes = frame[12..14].to_vec();
        bytes.extend([0, 0, 0, 0, 0, 3, 0xff, 0xfe, 0, 0]);
        bytes.extend([0; 8]);
        bytes.extend(&frame[14..]);
        bytes
    }),
    ("802.11 with radiotap", 127, |_, frame| {
        let mut bytes = vec![0, 0, 12, 0, 6, 0, 0, 0, 0, 2, 0, 0, 0x88, 1];
        bytes.extend([0; 24]);
        bytes.extend([0xaa, 0xaa, 3, 0, 0, 0]);
        bytes.extend(&frame[12..]);
        bytes
    }),
];

fn vxlan(_: u16, frame: &[u8]) -> Vec<u8> {
    in_udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], frame)
}

fn geneve(_: u16, frame: &[u8]) -> Vec<u8> {
    let head = [2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 1, 0, 0, 0, 0];
    in_udp(6081, &head, frame)
}

/// The fragments of a frame with IPv4, the last one first; any other frame as it is.
fn fragments(id: u16, frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    if word(frame, 12) != 0x0800 {
        return vec![frame.to_vec()];
    }
    let total = usize::from(word(frame, 16));
    let payload = &frame[34..14 + total];
    let count = payload.len().div_ceil(size);
    let piece = |(index, piece): (usize, &[u8])| {
        let more = if index + 1 < count { 0x2000 } else { 0 };
        let mut bytes = frame[..34].to_vec();
        bytes[16..18].copy_from_slice(&(piece.len() as u16 + 20).to_be_bytes());
        bytes[18..20].copy_from_slice(&id.to_be_bytes());
        let field = (index * size / 8) as u16 | more;
        bytes[20..22].copy_from_slice(&field.to_be_bytes());
        bytes.extend_from_slice(piece);
        bytes
    };
    payload.chunks(size).enumerate().map(piece).rev().collect()
}

/// A nanosecond pcap file.
fn pcap(link: u32, frames: impl Iterator<Item = Frame>) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = frame.bytes.len() as u32;
        let (second, nano) = (frame.nanos / 1_000_000_000, frame.nanos % 1_000_000_000);
        for word in [second as u32, nano as u32, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame.bytes);
    }
    file
}

/// What the report says, without what wrapping changes: numbers of frames and ids made of them.
fn verdicts(file: &[u8], batch_bytes: usize) -> Vec<String> {
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(file).unwrap();
    let analysis = analyse(on_disk.path(), 2, batch_bytes);
    let findings = analysis.diagnosis.findings.iter();
    findings
        .map(|finding| {
            format!(
                "{:?} {} {:?} {:?} {:?}",
                finding.at.time, finding.code, finding.confidence, finding.status, finding.upstream
            )
        })
        .collect()
}

fn cases() -> impl Iterator<Item = (String, Vec<Frame>)> {
    let folders = case_folders();
    let known = |name: &&str| folders.iter().any(|folder| folder.ends_with(name));
    assert!(fresh() || CASES.iter().all(known));
    let folders = folders.into_iter();
    folders.filter_map(|folder| {
        let name = folder.file_name()?.to_string_lossy().into_owned();
        let known = CASES.contains(&name.as_str());
        known.then(|| (name, frames_of(&capture_of(&folder))))
    })
}

fn is_ip(frame: &&Frame) -> bool {
    matches!(word(&frame.bytes, 12), 0x0800 | 0x86dd)
}

#[test]
fn verdicts_are_the_same_inside_every_tunnel_and_link_layer() {
    for (case, frames) in cases() {
        let packets: Vec<&Frame> = frames.iter().filter(is_ip).collect();
        let plain = verdicts(
            &pcap(1, packets.iter().map(|frame| (*frame).clone())),
            8 << 20,
        );
        assert!(!plain.is_empty(), "{case}");
        for (name, link, wrap) in WRAPPERS {
            let wrapped = packets.iter().map(|frame| Frame {
                nanos: frame.nanos,
                bytes: wrap(word(&frame.bytes, 12), &frame.bytes),
            });
            assert_eq!(
                verdicts(&pcap(link, wrapped), 8 << 20),
                plain,
                "{case}: {name}"
            );
        }
    }
}

#[test]
fn verdicts_are_the_same_in_fragments_for_any_batch_size() {
    for (case, frames) in cases() {
        let plain = verdicts(&pcap(1, frames.iter().cloned()), 8 << 20);
        for size in [48, 400] {
            let outer = |(id, frame): (u16, &Frame)| {
                let inner = fragments(id, &frame.bytes, size).into_iter();
                let nanos = frame.nanos;
                inner
                    .zip(0_u16..)
                    .flat_map(move |(piece, n)| {
                        let id = id.wrapping_mul(64).wrapping_add(n);
                        fragments(id, &vxlan(0, &piece), 64)
                    })
                    .map(move |bytes| Frame { nanos, bytes })
                    .collect::<Vec<_>>()
            };
            let file = pcap(1, (1..).zip(&frames).flat_map(outer));
            for batch_bytes in [8 << 20, 4096] {
                assert_eq!(verdicts(&file, batch_bytes), plain, "{case}: {size}");
            }
        }
    }
}
