//! Written conversations for the causes of connecting, of the path, of gateways in a row, of silence and of clients: one at
//! least for each, beside what the lab records.
//!
//! The rule: what is right comes from the RFCs and from how hosts behave. What looks like a cause and is none stands below.

use std::net::SocketAddr;

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::{Confidence, Finding};

use crate::support::analyse;
use crate::support::packet::{self, Header};
use crate::support::wire::{ACK, Leg, Listener, Odd, Opener, PSH, RST, SYN, Wire};

const CLIENT: &str = "10.0.0.9:40000";
const GATEWAY: &str = "10.0.0.1:80";
const OUTGOING: &str = "10.0.0.1:50000";
const UPSTREAM: &str = "10.0.0.3:8080";
const RESOLVER: &str = "10.0.0.53:53";

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
/// An error that no product signed.
const UNSIGNED_502: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
const NGINX_504: &str = "HTTP/1.1 504 Gateway Time-out\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 167\r\n\r\n<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const ENVOY_UH: &str = "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-length: 19\r\ncontent-type: text/plain\r\n\r\nno healthy upstream";
const ENVOY_UO: &str = "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\nx-envoy-overloaded: true\r\ncontent-length: 81\r\ncontent-type: text/plain\r\n\r\nupstream connect error or disconnect/reset before headers. reset reason: overflow";
const ENVOY_LOCAL: &str = "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-length: 146\r\ncontent-type: text/plain\r\n\r\nupstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure reason: immediate connect error: 101";
const NGINX_400: &str = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 157\r\nConnection: close\r\n\r\n<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const HAPROXY_408: &str = "HTTP/1.1 408 Request Time-out\r\ncontent-length: 110\r\ncache-control: no-cache\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n<html><body><h1>408 Request Time-out</h1>\nYour browser didn't send a complete request in time.\n</body></html>\n";

/// Where a code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// As the cause of the one finding, this sure.
    Cause(Confidence),
    /// Among the codes that contributed to the one finding.
    Contributing,
    /// As the one event of a client, without a finding.
    Client,
}
use Shown::{Cause, Client, Contributing};

/// A code, what it is called where one code has several, how it shows, and the conversation.
type Case = (&'static str, &'static str, Shown, fn() -> Wire);

const CASES: &[Case] = &[
    (
        "dns-unreachable",
        "icmp",
        Cause(Confidence::Certain),
        dns_icmp,
    ),
    (
        "dns-unreachable",
        "tcp",
        Cause(Confidence::Certain),
        dns_tcp,
    ),
    (
        "dns-stale-address",
        "",
        Cause(Confidence::Likely),
        stale_address,
    ),
    (
        "icmp-ttl-exceeded",
        "",
        Cause(Confidence::Certain),
        ttl_exceeded,
    ),
    (
        "connect-stale-tuple",
        "",
        Cause(Confidence::Certain),
        stale_tuple,
    ),
    (
        "connect-half-open",
        "syn again",
        Cause(Confidence::Certain),
        half_open,
    ),
    (
        "connect-half-open",
        "syn-ack again",
        Cause(Confidence::Likely),
        not_heard,
    ),
    (
        "listen-queue-overflow",
        "syn-ack again",
        Cause(Confidence::Likely),
        queue_after_ack,
    ),
    (
        "listen-queue-overflow",
        "syn dropped",
        Cause(Confidence::Likely),
        queue_drops_syn,
    ),
    ("listen-queue-overflow", "reset", Contributing, queue_resets),
    (
        "local-connect-error",
        "own icmp",
        Cause(Confidence::Likely),
        own_icmp,
    ),
    (
        "local-connect-error",
        "page",
        Cause(Confidence::Likely),
        local_page,
    ),
    (
        "injected-reset",
        "goes on",
        Cause(Confidence::Certain),
        injected,
    ),
    ("injected-reset", "other ttl", Contributing, other_ttl),
    ("injected-reset", "too soon", Contributing, too_soon),
    (
        "idle-drop-middlebox",
        "silent",
        Cause(Confidence::Likely),
        idle_drop,
    ),
    (
        "idle-drop-middlebox",
        "reset",
        Cause(Confidence::Likely),
        idle_reset,
    ),
    (
        "path-mtu-blackhole",
        "icmp",
        Cause(Confidence::Certain),
        mtu_told,
    ),
    (
        "path-mtu-blackhole",
        "small ones pass",
        Cause(Confidence::Likely),
        mtu_silent,
    ),
    ("loss-stall", "", Cause(Confidence::Likely), lost),
    ("loss-stall", "a part arrived", Contributing, partly_lost),
    ("zero-window-stall", "", Contributing, shut_window),
    (
        "ambiguous",
        "two alike",
        Cause(Confidence::Unknown),
        two_alike,
    ),
    ("relayed-nested", "", Cause(Confidence::Certain), nested),
    (
        "gateway-silent-close",
        "",
        Cause(Confidence::Likely),
        silent_close,
    ),
    (
        "gateway-raw-passthrough",
        "",
        Cause(Confidence::Possible),
        raw,
    ),
    (
        "gateway-truncated-relay",
        "",
        Cause(Confidence::Likely),
        truncated,
    ),
    ("client-aborted", "", Client, client_leaves),
    ("client-request-timeout", "", Client, client_too_slow),
    ("client-bad-request", "", Client, client_refused),
];

/// The conversations by code and name; the test below proves each.
pub fn names() -> impl Iterator<Item = (&'static str, String)> {
    CASES.iter().map(|(code, name, ..)| match *name {
        "" => (*code, "one conversation".to_owned()),
        name => (*code, name.to_owned()),
    })
}

/// Whole conversations by name, for the tests that damage captures.
pub fn conversations() -> Vec<(&'static str, Wire)> {
    CASES
        .iter()
        .map(|(code, _, _, wire)| (*code, wire()))
        .collect()
}

#[test]
fn every_code_shows_as_it_should() {
    let mut wrong = Vec::new();
    for (code, name, shown, wire) in CASES {
        let analysis = judged(&wire());
        let diagnosis = &analysis.diagnosis;
        let findings = &diagnosis.findings;
        let fine = match shown {
            Client => {
                findings.is_empty()
                    && diagnosis.client_events.len() == 1
                    && diagnosis.client_events[0].code == *code
            }
            // Those before it are what it follows from.
            Cause(confidence) => findings
                .last()
                .is_some_and(|last| last.code == *code && last.confidence == *confidence),
            Contributing => findings
                .last()
                .is_some_and(|last| last.contributing.contains(code)),
        };
        if !fine {
            let told: Vec<String> = findings.iter().map(told).collect();
            let events = &diagnosis.client_events;
            wrong.push(format!("{code} ({name}): {} {events:?}", told.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn told(finding: &Finding) -> String {
    format!(
        "{} {} {:?} +{:?}\n    {}\n    {}",
        finding.code,
        finding.confidence.word(),
        finding.detail,
        finding.contributing,
        evidence(finding).replace('\n', "\n    "),
        finding.confidence_reasons.join("\n    "),
    )
}

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

/// The one finding of a conversation.
fn only(analysis: &Analysis) -> &Finding {
    let findings = &analysis.diagnosis.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    &findings[0]
}

fn evidence(finding: &Finding) -> String {
    let all: Vec<&str> = finding.evidence.iter().map(|one| &*one.summary).collect();
    all.join("\n")
}

// ---- What every conversation is made of ---------------------------------------------------------------

/// A client asks.
fn asked() -> (Wire, Leg) {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    (wire, client)
}

/// An earlier exchange that went well, on connections of its own.
fn served(wire: &mut Wire) -> Leg {
    let client = wire.connects("10.0.0.9:39999", GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:49999", UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK);
    wire.says(client, Listener, OK);
    wire.closes(upstream, Opener)
        .closes(upstream, Listener)
        .acks(upstream, Opener);
    wire.waits_ms(500);
    upstream
}

/// A client asks, after an earlier exchange that went well.
fn asked_later() -> (Wire, Leg) {
    let mut wire = Wire::new();
    served(&mut wire);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    (wire, client)
}

/// A request that is sent, and sent again after 200, 400, 800 ms, and nobody acknowledges it.
fn sends_in_vain(wire: &mut Wire, upstream: Leg, data: &[u8]) {
    wire.sends(upstream, Opener, data);
    for pause in [200, 400, 800, 1_600] {
        wire.waits_ms(pause);
        repeats(wire, upstream, data);
    }
    wire.waits_ms(1_000);
}

/// The first segment of `data`, which was the latest that was sent, is sent again.
fn repeats(wire: &mut Wire, upstream: Leg, data: &[u8]) {
    let first = data.get(..1_400).unwrap_or(data);
    let odd = Odd {
        flags: PSH | ACK,
        data: first,
        shift: -i64::try_from(data.len()).unwrap(),
        ..Odd::default()
    };
    wire.odd(upstream, Opener, odd);
}

/// An ICMP error to the gateway; `quoted` is the packet that it is about, from the IP header on.
fn icmp(wire: &mut Wire, reporter: &str, head: [u8; 8], quoted: &[u8]) {
    let reporter: SocketAddr = format!("{reporter}:0").parse().unwrap();
    let to: SocketAddr = OUTGOING.parse().unwrap();
    let bytes = [&head[..], quoted].concat();
    wire.packet(1, (reporter, to), &bytes);
}

/// The first bytes of a packet from the gateway: IP header and eight more.
fn quoted(protocol: u8, from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let header = Header {
        protocol,
        ttl: 1,
        ip_id: 7,
        without_length: false,
    };
    let payload = match protocol {
        17 => packet::udp((from.port(), to.port()), data),
        _ => packet::tcp((from.port(), to.port()), 0, 0, SYN, 0, &[], data),
    };
    packet::ip(header, (from.ip(), to.ip()), &payload)[..28].to_vec()
}

// ---- Names ----------------------------------------------------------------------------------------------

fn dns_icmp() -> Wire {
    let (mut wire, client) = asked_later();
    let query = packet::dns_query(7, "shop.internal");
    wire.datagram("10.0.0.1:50001", RESOLVER, &query);
    let about = quoted(17, "10.0.0.1:50001", RESOLVER, &query);
    icmp(&mut wire, "10.0.0.53", [3, 3, 0, 0, 0, 0, 0, 0], &about);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn dns_tcp() -> Wire {
    let (mut wire, client) = asked_later();
    let resolver = wire.syn(OUTGOING, RESOLVER);
    wire.resets(resolver, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn resolves(wire: &mut Wire, id: u16, address: [u8; 4]) {
    let asker = "10.0.0.1:50053";
    wire.datagram(asker, RESOLVER, &packet::dns_query(id, "shop.internal"));
    let answer = packet::dns_answer(id, "shop.internal", 0, Some(address));
    wire.datagram(RESOLVER, asker, &answer);
}

fn stale_address() -> Wire {
    let mut wire = Wire::new();
    resolves(&mut wire, 1, [10, 0, 0, 3]);
    served(&mut wire);
    wire.waits_ms(30_000);
    resolves(&mut wire, 2, [10, 0, 0, 4]);
    wire.waits_ms(1_000);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let refused = wire.syn(OUTGOING, UPSTREAM);
    wire.resets(refused, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

/// A name of which each answer gives a part is nothing stale.
#[test]
fn addresses_that_take_turns_are_not_stale() {
    let mut wire = Wire::new();
    resolves(&mut wire, 1, [10, 0, 0, 3]);
    resolves(&mut wire, 2, [10, 0, 0, 4]);
    resolves(&mut wire, 3, [10, 0, 0, 3]);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let refused = wire.syn(OUTGOING, UPSTREAM);
    wire.resets(refused, Listener);
    wire.says(client, Listener, NGINX_502);
    assert_eq!(only(&judged(&wire)).code, "connect-refused");
}

// ---- Connecting -------------------------------------------------------------------------------------------

fn ttl_exceeded() -> Wire {
    let (mut wire, client) = asked_later();
    wire.syn(OUTGOING, UPSTREAM);
    let mut about = quoted(6, OUTGOING, UPSTREAM, &[]);
    // The SYN's own number: the third connection of this conversation and the next.
    let sequence = 77_777_u32 * 3;
    about[24..28].copy_from_slice(&sequence.to_be_bytes());
    icmp(&mut wire, "10.9.9.9", [11, 0, 0, 0, 0, 0, 0, 0], &about);
    wire.says(client, Listener, NGINX_502);
    wire
}

/// Two clients ask the same at the same moment, two upstreams fail at the same moment in two ways, and who
/// asked first is answered last: nothing tells whose was whose.
fn two_alike() -> Wire {
    let mut wire = Wire::new();
    let clients = ["10.0.0.8:40001", CLIENT].map(|client| wire.connects(client, GATEWAY));
    for client in clients {
        wire.says(client, Opener, GET);
    }
    wire.waits_ms(200);
    let resets = wire.connects(OUTGOING, UPSTREAM);
    let closes = wire.connects("10.0.0.1:50001", "10.0.0.4:8080");
    wire.says(resets, Opener, GET).says(closes, Opener, GET);
    wire.waits_ms(200);
    wire.resets(resets, Listener).closes(closes, Listener);
    wire.waits_ms(200);
    for client in clients.into_iter().rev() {
        wire.says(client, Listener, UNSIGNED_502);
    }
    wire
}

fn stale_tuple() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    for _ in 0..2 {
        let challenge = Odd {
            ack_shift: -5_000_000,
            shift: 9_000_000,
            ..Odd::default()
        };
        wire.odd(upstream, Listener, challenge);
        wire.odd(
            upstream,
            Opener,
            Odd {
                flags: RST,
                shift: -5_000_000,
                ..Odd::default()
            },
        );
        wire.waits_ms(1_000);
        wire.sends_again(3);
    }
    wire.waits_ms(500).says(client, Listener, NGINX_504);
    wire
}

fn half_open() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    wire.segment(upstream, Listener, SYN | ACK, &[]);
    wire.waits_ms(1_000).sends_again(2);
    wire.sends_again(2).waits_ms(2_000).sends_again(2);
    wire.sends_again(2).waits_ms(500);
    wire.says(client, Listener, NGINX_504);
    wire
}

/// The upstream repeats its SYN-ACK while the gateway's request is not acknowledged.
fn syn_ack_again(wire: &mut Wire) {
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    let data = GET.as_bytes();
    let again = Odd {
        flags: SYN | ACK,
        shift: -1,
        ack_shift: -i64::try_from(data.len()).unwrap(),
        ..Odd::default()
    };
    wire.sends(upstream, Opener, data);
    for pause in [200, 400, 800] {
        wire.waits_ms(pause);
        repeats(wire, upstream, data);
        if pause > 300 {
            wire.waits_ms(400).odd(upstream, Listener, again);
            wire.acks(upstream, Opener);
        }
    }
    wire.waits_ms(200).closes(upstream, Opener);
}

fn not_heard() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    syn_ack_again(&mut wire);
    wire.says(client, Listener, NGINX_504);
    wire
}

fn queue_after_ack() -> Wire {
    let (mut wire, client) = asked_later();
    syn_ack_again(&mut wire);
    wire.says(client, Listener, NGINX_504);
    wire
}

fn queue_drops_syn() -> Wire {
    let mut wire = Wire::new();
    let held = wire.connects("10.0.0.9:39998", GATEWAY);
    wire.says(held, Opener, GET);
    let stuck = wire.connects("10.0.0.1:49998", UPSTREAM);
    wire.says(stuck, Opener, GET).waits_ms(1_000);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.syn(OUTGOING, UPSTREAM);
    wire.waits_ms(1_000).sends_again(1);
    wire.waits_ms(2_000).sends_again(1);
    wire.waits_ms(1_000).says(client, Listener, NGINX_504);
    wire
}

/// Connections that were served before make a silent SYN no full queue.
#[test]
fn a_silent_syn_beside_answers_is_a_timeout() {
    let (mut wire, client) = asked_later();
    wire.syn(OUTGOING, UPSTREAM);
    wire.waits_ms(1_000).sends_again(1);
    wire.waits_ms(2_000).says(client, Listener, NGINX_504);
    assert_eq!(only(&judged(&wire)).code, "connect-timeout");
}

fn queue_resets() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.knows_nothing(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn own_icmp() -> Wire {
    let (mut wire, client) = asked_later();
    let about = quoted(6, OUTGOING, UPSTREAM, &[]);
    icmp(&mut wire, "10.0.0.1", [3, 13, 0, 0, 0, 0, 0, 0], &about);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn local_page() -> Wire {
    let (mut wire, client) = asked_later();
    wire.says(client, Listener, ENVOY_LOCAL);
    wire
}

// ---- The path -----------------------------------------------------------------------------------------------

/// A RST in the upstream's name, with this hop count.
fn cut(wire: &mut Wire, upstream: Leg, ttl: u8) {
    wire.odd(
        upstream,
        Listener,
        Odd {
            flags: RST | ACK,
            ttl,
            ..Odd::default()
        },
    );
}

fn injected() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(5);
    cut(&mut wire, upstream, 57);
    wire.says(client, Listener, NGINX_502);
    // The upstream knows nothing of it and answers; the gateway has no such socket any more.
    wire.waits_ms(150).sends(upstream, Listener, OK);
    wire.knows_nothing(upstream, Opener);
    wire
}

fn other_ttl() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(5);
    cut(&mut wire, upstream, 57);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn too_soon() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    wire.waits_ms(40).accepts(upstream);
    wire.sends(upstream, Opener, GET);
    cut(&mut wire, upstream, 64);
    wire.says(client, Listener, NGINX_502);
    wire
}

/// A RST that comes the way that all segments come, in its time, is the upstream's.
#[test]
fn a_plain_reset_is_the_upstreams() {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET).resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "reset-before-response");
    assert_eq!(finding.confidence, Confidence::Certain);
    assert!(finding.contributing.is_empty());
}

/// An exchange that went well over a connection that is then idle for so long, and the next client's request.
fn idle_for(seconds: i64) -> (Wire, Leg, Leg) {
    let mut wire = Wire::new();
    let first = wire.connects("10.0.0.9:39999", GATEWAY);
    wire.says(first, Opener, GET);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK);
    wire.says(first, Listener, OK).waits_ms(seconds * 1_000);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    (wire, client, upstream)
}

fn idle_drop() -> Wire {
    let (mut wire, client, upstream) = idle_for(355);
    let data = GET.as_bytes();
    wire.sends(upstream, Opener, data).waits_ms(200);
    repeats(&mut wire, upstream, data);
    wire.waits_ms(100);
    let (other, fresh) = (
        wire.connects("10.0.0.9:39990", GATEWAY),
        wire.connects("10.0.0.1:49990", UPSTREAM),
    );
    wire.says(other, Opener, GET).says(fresh, Opener, GET);
    wire.says(fresh, Listener, OK).says(other, Listener, OK);
    for pause in [300, 800, 1_600] {
        wire.waits_ms(pause);
        repeats(&mut wire, upstream, data);
    }
    wire.waits_ms(500).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

fn idle_reset() -> Wire {
    let (mut wire, client, upstream) = idle_for(355);
    wire.sends(upstream, Opener, GET).waits_ms(1);
    wire.odd(
        upstream,
        Listener,
        Odd {
            flags: RST,
            ttl: 250,
            ..Odd::default()
        },
    );
    wire.says(client, Listener, NGINX_502);
    wire
}

/// The upstream's own RST on an idle connection is the race of two timers.
#[test]
fn the_upstreams_own_reset_is_no_middlebox() {
    let (mut wire, client, upstream) = idle_for(355);
    wire.sends(upstream, Opener, GET)
        .knows_nothing(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    assert_eq!(only(&judged(&wire)).code, "stale-keepalive-reuse");
}

/// A request of 1,900 bytes: one full segment and a small one.
fn large_request() -> Vec<u8> {
    let head = "POST /cart HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1834\r\n\r\n";
    [head.as_bytes(), &[b'x'; 1_834]].concat()
}

/// The request whose first segment never arrives, with what the upstream says to the second.
fn first_segment_is_lost(acks: usize) -> (Wire, Leg, Leg) {
    let data = large_request();
    let mut wire = Wire::new();
    served(&mut wire);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, &data);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.sends(upstream, Opener, &data);
    for _ in 0..acks {
        let nothing_new = -i64::try_from(data.len()).unwrap();
        wire.odd(
            upstream,
            Listener,
            Odd {
                ack_shift: nothing_new,
                ..Odd::default()
            },
        );
    }
    (wire, client, upstream)
}

fn mtu_told() -> Wire {
    let (mut wire, client, upstream) = first_segment_is_lost(0);
    let mut about = quoted(6, OUTGOING, UPSTREAM, &[]);
    let sequence = 77_777_u32 * 3 + 1;
    about[24..28].copy_from_slice(&sequence.to_be_bytes());
    icmp(&mut wire, "10.9.9.9", [3, 4, 0, 0, 0, 0, 5, 0x14], &about);
    gives_up(&mut wire, client, upstream);
    wire
}

fn mtu_silent() -> Wire {
    let (mut wire, client, upstream) = first_segment_is_lost(2);
    gives_up(&mut wire, client, upstream);
    wire
}

fn gives_up(wire: &mut Wire, client: Leg, upstream: Leg) {
    let data = large_request();
    for pause in [200, 400, 800, 1_600] {
        wire.waits_ms(pause);
        repeats(wire, upstream, &data);
    }
    wire.waits_ms(500).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
}

fn lost() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    sends_in_vain(&mut wire, upstream, GET.as_bytes());
    wire.closes(upstream, Opener)
        .says(client, Listener, NGINX_504);
    wire
}

/// The request arrives at the third time; the application is slow all the same.
#[test]
fn a_request_that_arrived_late_is_a_slow_application() {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    sends_in_vain(&mut wire, upstream, GET.as_bytes());
    wire.acks(upstream, Listener).waits_ms(5_000);
    wire.closes(upstream, Opener)
        .says(client, Listener, NGINX_504);
    let analysis = judged(&wire);
    assert_eq!(only(&analysis).code, "response-timeout");
}

fn partly_lost() -> Wire {
    let data = large_request();
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.sends(upstream, Opener, &data);
    let first_only = 1_400 - i64::try_from(data.len()).unwrap();
    wire.odd(
        upstream,
        Listener,
        Odd {
            ack_shift: first_only,
            ..Odd::default()
        },
    );
    for pause in [200, 400, 800, 1_600] {
        wire.waits_ms(pause);
        wire.odd(
            upstream,
            Opener,
            Odd {
                flags: PSH | ACK,
                data: &data[1_400..],
                shift: first_only,
                ..Odd::default()
            },
        );
    }
    wire.waits_ms(500).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

fn shut_window() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.sends(upstream, Opener, GET);
    wire.odd(
        upstream,
        Listener,
        Odd {
            window: 0,
            ..Odd::default()
        },
    );
    wire.waits_ms(60_000).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

// ---- Gateways in a row, silence, nobody asked ------------------------------------------------------------

fn nested() -> Wire {
    let (mut wire, client) = asked();
    let inner = wire.connects(OUTGOING, "10.0.0.2:80");
    wire.says(inner, Opener, GET);
    let refused = wire.syn("10.0.0.2:50000", UPSTREAM);
    wire.resets(refused, Listener);
    wire.says(inner, Listener, NGINX_502);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn the_outer_gateway_names_the_inner_cause() {
    let analysis = judged(&nested());
    let [inner, outer] = &analysis.diagnosis.findings[..] else {
        panic!("{:#?}", analysis.diagnosis.findings);
    };
    assert_eq!(inner.code, "connect-refused");
    assert_eq!(outer.detail.as_deref(), Some("connect-refused"));
    assert_eq!(outer.caused_by.as_ref(), Some(&inner.id));
    assert_eq!(outer.incident, analysis.diagnosis.incidents[1].id);
}

fn silent_close() -> Wire {
    let (mut wire, client) = asked_later();
    wire.closes(client, Listener);
    wire
}

fn raw() -> Wire {
    let (mut wire, client) = asked();
    wire.says(client, Listener, NGINX_502).waits_ms(3_000);
    let other = wire.connects("10.0.0.9:40001", GATEWAY);
    wire.says(other, Opener, GET);
    wire.says(other, Listener, "220 mail.shop.example ESMTP\r\n");
    wire.closes(other, Listener);
    wire
}

fn truncated() -> Wire {
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n";
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET);
    wire.says(upstream, Listener, format!("{LONG}{}", "x".repeat(60)));
    wire.says(client, Listener, format!("{LONG}{}", "x".repeat(20)));
    wire.closes(client, Listener);
    wire
}

/// The detail of an error for which no upstream was asked.
fn reason(page: &str, waits_ms: i64) -> Option<String> {
    let (mut wire, client) = asked_later();
    wire.waits_ms(waits_ms).says(client, Listener, page);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "no-upstream-attempt", "{finding:#?}");
    finding.detail.clone()
}

#[test]
fn the_reason_for_which_nobody_was_asked() {
    const HAPROXY_503: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";
    const LOOP: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nProxy-Status: edge; error=proxy_loop_detected\r\nContent-Length: 0\r\n\r\n";
    let told = |page, waits| reason(page, waits).unwrap();
    assert_eq!(told(ENVOY_UH, 1), "no-live-upstream");
    assert_eq!(told(ENVOY_UO, 1), "circuit-open");
    assert_eq!(told(LOOP, 1), "loop-detected");
    assert_eq!(told(HAPROXY_503, 5_000), "queue-timeout");
    assert_eq!(told(HAPROXY_503, 1), "unknown");
}

/// Whose failure took the upstream out of service: the finding is named.
#[test]
fn the_failure_before_is_pointed_to() {
    let (mut wire, client) = asked();
    let refused = wire.syn(OUTGOING, UPSTREAM);
    wire.resets(refused, Listener);
    wire.says(client, Listener, NGINX_502).waits_ms(3_000);
    let next = wire.connects("10.0.0.9:40001", GATEWAY);
    wire.says(next, Opener, GET).says(next, Listener, NGINX_502);
    let analysis = judged(&wire);
    let [first, second] = &analysis.diagnosis.findings[..] else {
        panic!("{:#?}", analysis.diagnosis.findings);
    };
    assert_eq!(second.code, "no-upstream-attempt");
    assert_eq!(second.detail.as_deref(), Some("no-live-upstream"));
    assert_eq!(second.caused_by.as_ref(), Some(&first.id));
}

// ---- Timers ---------------------------------------------------------------------------------------------

#[test]
fn an_answer_that_comes_too_late_is_told_with_both_times() {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(60_000);
    wire.closes(upstream, Opener)
        .says(client, Listener, NGINX_504);
    wire.waits_ms(1_300).sends(upstream, Listener, OK);
    wire.knows_nothing(upstream, Opener);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "response-timeout");
    let words = evidence(finding);
    assert!(
        words.contains("equals the default of nginx's proxy_read_timeout"),
        "{words}"
    );
    assert!(words.contains("answers 61.30"), "{words}");
    assert!(
        words.contains("the gateway had left after 60.000 s"),
        "{words}"
    );
}

/// The race of two timers, with the habit of the upstream that others show.
#[test]
fn the_idle_habit_of_an_upstream_is_told() {
    const KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nKeep-Alive: timeout=5\r\n\r\nok\n";
    let mut wire = Wire::new();
    let client = wire.connects("10.0.0.9:39990", GATEWAY);
    let mut pool = Vec::new();
    for port in 0..3 {
        wire.says(client, Opener, GET);
        let upstream = wire.connects(&format!("10.0.0.1:4900{port}"), UPSTREAM);
        wire.says(upstream, Opener, GET)
            .says(upstream, Listener, KEPT);
        wire.says(client, Listener, OK);
        pool.push(upstream);
    }
    wire.waits_ms(5_000);
    for upstream in &pool[..2] {
        wire.closes(*upstream, Listener)
            .closes(*upstream, Opener)
            .acks(*upstream, Listener);
    }
    // The third crosses a request of the gateway.
    wire.says(client, Opener, GET);
    let size = i64::try_from(GET.len()).unwrap();
    wire.sends(pool[2], Opener, GET);
    wire.odd(
        pool[2],
        Listener,
        Odd {
            flags: 1 | ACK,
            ack_shift: -size,
            ..Odd::default()
        },
    );
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "stale-keepalive-reuse");
    let words = evidence(finding);
    assert!(
        words.contains("closed 2 other idle connections after 5.00"),
        "{words}"
    );
    assert!(words.contains("equals the default of Node http"), "{words}");
    assert!(words.contains("announces Keep-Alive: timeout=5"), "{words}");
}

// ---- Clients ---------------------------------------------------------------------------------------------

fn client_leaves() -> Wire {
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET).waits_ms(30_000);
    wire.closes(client, Opener).acks(client, Listener);
    wire.closes(upstream, Opener);
    wire.closes(client, Listener).waits_ms(3_000);
    wire
}

#[test]
fn the_patience_of_a_client_is_told() {
    let analysis = judged(&client_leaves());
    assert_eq!(analysis.diagnosis.health.client_aborts, 1);
    let event = &analysis.diagnosis.client_events[0];
    assert_eq!(event.patience_seconds, Some(30));
    assert_eq!(event.client.to_string(), CLIENT);
}

fn client_too_slow() -> Wire {
    let mut wire = Wire::new();
    served(&mut wire);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, "POST /cart HTTP/1.1\r\nHost: shop.exam")
        .waits_ms(10_000);
    wire.says(client, Listener, HAPROXY_408)
        .closes(client, Listener);
    wire.waits_ms(3_000);
    wire
}

fn client_refused() -> Wire {
    let mut wire = Wire::new();
    served(&mut wire);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(
        client,
        Opener,
        "GET /cart HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    );
    wire.says(client, Listener, NGINX_400)
        .closes(client, Listener);
    wire.waits_ms(3_000);
    wire
}

/// An upstream's own 400 is no event of the gateway.
#[test]
fn a_refusal_that_was_passed_on_is_no_event() {
    const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let (mut wire, client) = asked_later();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, REFUSED);
    wire.says(client, Listener, REFUSED).waits_ms(3_000);
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.client_events, []);
    assert_eq!(analysis.diagnosis.findings, []);
}
