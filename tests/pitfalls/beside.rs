//! Pitfalls 20 to 30: whose error it is, and what else is on the wire.

use std::net::SocketAddr;

use super::*;
use crate::support::packet;
use crate::support::wire::{ACK, Odd, SYN};

pub fn conversations() -> Vec<(&'static str, Wire)> {
    vec![
        ("d22-loopback-twice", loopback_twice()),
        ("d23-icmp-of-another", icmp_of_another()),
        ("d24-arp-noise", arp_noise()),
        ("d27-second-address", second_address()),
        ("d28-health-checks", health_checks()),
        ("d29-multipath", multipath()),
        ("d30-continue", continued()),
    ]
}

// ---- 20, 21. Whose error, and which status ------------------------------------------------------------

#[test]
fn d20_an_application_may_write_any_5xx() {
    // More of it: tests/roles.rs; recorded: captures/*-healthy-application-errors.
    for status in ["500 Oops", "503 Busy"] {
        let mut wire = Wire::new();
        let client = wire.connects(CLIENT, "10.0.0.3:8080");
        let page = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        wire.says(client, Opener, GET).says(client, Listener, page);
        let analysis = judged(&wire);
        assert_eq!(analysis.diagnosis.findings, []);
        assert_eq!(analysis.diagnosis.health.application_errors, 1);
    }
}

#[test]
fn d21_an_error_behind_another_status_is_not_invented() {
    // The gateway hides the upstream's RST behind a page of its own. What its client got is no gateway error.
    let (mut wire, client, upstream) = asked();
    wire.resets(upstream, Listener).says(client, Listener, OK);
    assert_eq!(judged(&wire).diagnosis.findings, []);
    // Options.statuses makes it one: see tests/cli.rs for the flag.
}

// ---- 22. Loopback -------------------------------------------------------------------------------------

/// Client, gateway and upstream are 127.0.0.1, and `-i any` shows every packet twice.
fn loopback_twice() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects("127.0.0.1:41000", "127.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("127.0.0.1:46000", "127.0.0.1:8080");
    wire.says(upstream, Opener, GET).resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502).sees_all_twice(3_000);
    wire
}

#[test]
fn d22_on_loopback_everything_is_there_twice() {
    let analysis = certainly(&loopback_twice(), "reset-before-response");
    let health = &analysis.diagnosis.health;
    assert_eq!((health.connections, health.retransmissions), (2, 0));
}

// ---- 23. ICMP -----------------------------------------------------------------------------------------

/// A router answers the SYN of another client's attempt; this one's is refused.
fn icmp_of_another() -> Wire {
    let (mut wire, client, upstream) = dialled();
    let other = wire.connects("10.0.0.8:40000", GATEWAY);
    wire.says(other, Opener, GET);
    let unreachable = wire.syn("10.0.0.1:50001", UPSTREAM);
    wire.unreachable("10.0.0.254", 1, unreachable, Opener);
    wire.says(other, Listener, NGINX_502);
    wire.waits_ms(40).resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d23_an_icmp_error_belongs_to_the_segment_that_it_quotes() {
    let analysis = judged(&icmp_of_another());
    let by_client: Vec<(String, &str)> = analysis
        .diagnosis
        .findings
        .iter()
        .map(|finding| (finding.exchange.connection.client.to_string(), finding.code))
        .collect();
    assert_eq!(
        by_client,
        [
            ("10.0.0.8:40000".to_owned(), "icmp-host-unreachable"),
            (CLIENT.to_owned(), "connect-refused"),
        ]
    );
}

#[test]
fn d23_an_icmp_error_of_an_earlier_connection_on_the_same_ports() {
    let (mut wire, client, upstream) = dialled();
    wire.unreachable("10.0.0.254", 1, upstream, Opener);
    wire.says(client, Listener, NGINX_502);
    let late = wire.len();
    // The same ports, another sequence number: this SYN is refused, and the old error comes once more.
    wire.waits_ms(800).says(client, Opener, GET);
    let again = wire.syn(OUTGOING, UPSTREAM);
    wire.sees_again(wire.len() - late + 2 + 3, 0);
    wire.resets(again, Listener)
        .says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let codes: Vec<&str> = analysis
        .diagnosis
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(codes, ["icmp-host-unreachable", "connect-refused"]);
}

#[test]
fn d23_a_soft_error_on_a_connection_that_goes_on_is_no_cause() {
    let (mut wire, client, upstream) = asked();
    wire.unreachable("10.0.0.254", 1, upstream, Opener);
    wire.waits_ms(300)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    nothing_to_find(&wire);
}

// ---- 24. ARP ------------------------------------------------------------------------------------------

/// A crowd of ARP requests that nobody answers, for other hosts than the upstream.
fn arp_noise() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    let noise = |wire: &mut Wire| {
        for last in 100..110 {
            wire.asks_for("10.0.0.1", &format!("10.0.0.{last}"));
        }
    };
    wire.says(client, Opener, GET);
    noise(&mut wire);
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET);
    noise(&mut wire);
    wire.resets(upstream, Listener)
        .says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d24_arp_for_others_is_noise() {
    // For the upstream itself, and what it means: tests/neighbours.rs.
    certainly(&arp_noise(), "reset-before-response");
}

// ---- 25. DNS ------------------------------------------------------------------------------------------

#[test]
fn d25_an_address_out_of_a_cache_needs_no_lookup() {
    // The lookup was two minutes ago, or is not there at all; one that failed was for another name.
    let mut wire = Wire::new();
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    let answer = packet::dns_answer(7, "cart.test", 0, Some([10, 0, 0, 3]));
    wire.datagram("10.0.0.53:53", "10.0.0.1:33000", &answer)
        .waits_ms(120_000);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    wire.datagram(
        "10.0.0.1:33001",
        "10.0.0.53:53",
        &packet::dns_query(8, "metrics.test"),
    );
    let answer = packet::dns_answer(8, "metrics.test", 3, None);
    wire.datagram("10.0.0.53:53", "10.0.0.1:33001", &answer);
    wire.resets(upstream, Listener)
        .says(client, Listener, NGINX_502);
    certainly(&wire, "connect-refused");
}

// ---- 26. Clocks and certificates ----------------------------------------------------------------------

#[test]
fn d26_a_capture_clock_that_no_date_agrees_with_is_told() {
    // The wire's clock stands at Fri, 20 Nov 2026 13:04:05 UTC.
    let dated = |dates: &[&str]| {
        let (mut wire, client, upstream) = served();
        for date in dates {
            let answer =
                format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 3\r\n\r\nok\n");
            exchange(&mut wire, (client, upstream), &answer);
        }
        let warnings = nothing_to_find(&wire).diagnosis.warnings;
        warnings
            .into_iter()
            .find(|warning| warning.code == "clock-disagrees")
    };
    for right in [
        "Fri, 20 Nov 2026 13:04:05 GMT",
        "Fri, 20 Nov 2026 12:59:30 GMT",
        "yesterday",
    ] {
        assert_eq!(dated(&[right]), None, "{right}");
    }
    let warning = dated(&["Fri, 20 Nov 2026 14:04:05 GMT"]).unwrap();
    assert!(warning.message.contains("3600 s behind"), "{warning:?}");
    assert!(dated(&["Mon, 01 Jan 2024 00:00:00 GMT"]).is_some());
    // One answer out of a cache is old; another one agrees.
    let (old, fresh) = (
        "Mon, 01 Jan 2024 00:00:00 GMT",
        "Fri, 20 Nov 2026 13:04:05 GMT",
    );
    assert_eq!(dated(&[old, fresh]), None);
}

fn exchange(wire: &mut Wire, legs: (Leg, Leg), answer: &str) {
    wire.says(legs.0, Opener, GET).says(legs.1, Opener, GET);
    wire.says(legs.1, Listener, answer)
        .says(legs.0, Listener, answer);
}

// ---- 27. Several addresses ----------------------------------------------------------------------------

/// The first address is unreachable, the second one resets.
fn second_address() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects("[fd00::9]:40000", "[fd00::1]:80");
    wire.says(client, Opener, GET);
    let first = wire.syn("[fd00::1]:50000", "[fd00::3]:8080");
    wire.resets(first, Listener);
    let second = wire.connects("[fd00::1]:50001", "[fd00::4]:8080");
    wire.says(second, Opener, GET).resets(second, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d27_the_first_address_failed_and_the_second_counts() {
    let analysis = judged(&second_address());
    let finding = only(&analysis);
    assert_eq!(finding.code, "reset-before-response");
    assert_eq!(finding.upstream.unwrap().to_string(), "[fd00::4]:8080");
    assert_eq!(finding.attempts.len(), 2);
}

#[test]
fn d27_the_first_address_failed_and_the_second_served() {
    for by_icmp in [false, true] {
        let (mut wire, client, first) = dialled();
        if by_icmp {
            wire.unreachable("10.0.0.254", 1, first, Opener);
        } else {
            wire.resets(first, Listener);
        }
        let second = wire.connects("10.0.0.1:50001", "10.0.0.4:8080");
        wire.says(second, Opener, GET)
            .says(second, Listener, OK)
            .says(client, Listener, OK);
        assert_eq!(judged(&wire).diagnosis.findings, []);
    }
}

// ---- 28. Health checks --------------------------------------------------------------------------------

/// Checks of another upstream are refused all along; the request's own upstream closes without an answer.
fn health_checks() -> Wire {
    let (mut wire, client, upstream) = asked();
    for port in 52_000..52_004 {
        wire.waits_ms(500);
        let check = wire.syn(&format!("10.0.0.1:{port}"), "10.0.0.4:8080");
        wire.resets(check, Listener);
    }
    wire.waits_ms(250)
        .closes(upstream, Listener)
        .closes(upstream, Opener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d28_a_refused_health_check_is_not_the_attempt() {
    // Recorded: captures/*-health-checks-fail.
    let analysis = judged(&health_checks());
    let finding = only(&analysis);
    assert_eq!(finding.code, "closed-before-response", "{finding:#?}");
    assert_eq!(finding.upstream.unwrap().to_string(), UPSTREAM);
}

#[test]
fn d28_a_health_check_that_is_told_503_is_not_the_attempt() {
    let (mut wire, client, upstream) = asked();
    let check = wire.connects("10.0.0.1:52000", "10.0.0.4:8080");
    wire.says(
        check,
        Opener,
        "GET /healthz HTTP/1.1\r\nHost: check\r\n\r\n",
    );
    wire.says(
        check,
        Listener,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    );
    wire.waits_ms(250)
        .resets(upstream, Listener)
        .says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    assert_eq!(only(&analysis).code, "reset-before-response");
}

// ---- 29. Protocols that are not followed --------------------------------------------------------------

/// Multipath TCP (RFC 8684): both SYNs of the upstream connection say MP_CAPABLE.
fn multipath() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.prepares(OUTGOING, UPSTREAM);
    let asks = [30, 4, 0x01, 0x81];
    let agrees = [30, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8];
    wire.odd(
        upstream,
        Opener,
        Odd {
            flags: SYN,
            options: &asks,
            ..Odd::default()
        },
    );
    wire.skips(upstream, Opener, 1);
    wire.odd(
        upstream,
        Listener,
        Odd {
            flags: SYN | ACK,
            options: &agrees,
            ..Odd::default()
        },
    );
    wire.skips(upstream, Listener, 1).acks(upstream, Opener);
    wire.says(upstream, Opener, GET)
        .waits_ms(3_000)
        .closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

#[test]
fn d29_multipath_tcp_is_named_and_nothing_is_certain_of_it() {
    let analysis = nothing_certain(&multipath());
    assert!(
        words(only(&analysis)).contains("Multipath TCP"),
        "{:#?}",
        only(&analysis)
    );
    assert_eq!(analysis.loss.get("multipath_tcp_connections"), 1);
    // Asked for and not agreed to: plain TCP.
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.prepares(OUTGOING, UPSTREAM);
    let asks = Odd {
        flags: SYN,
        options: &[30, 4, 0x01, 0x81],
        ..Odd::default()
    };
    wire.odd(upstream, Opener, asks)
        .skips(upstream, Opener, 1)
        .accepts(upstream);
    wire.says(upstream, Opener, GET).resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    let analysis = certainly(&wire, "reset-before-response");
    assert_eq!(analysis.loss.get("multipath_tcp_connections"), 0);
}

#[test]
fn d29_sctp_and_quic_are_named() {
    let mut wire = refused();
    let ends: (SocketAddr, SocketAddr) =
        ("10.0.0.9:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap());
    wire.packet(132, ends, &[0x10, 0x92, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An Initial packet of version 1 (RFC 9000, section 17.2.2), and one of version 2 (RFC 9369).
    for version in [1_u32, 0x6b33_43cf] {
        let mut initial = vec![0xc3];
        initial.extend(version.to_be_bytes());
        initial.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e]);
        initial.resize(1_200, 0x5a);
        wire.datagram("10.0.0.9:44000", "10.0.0.1:443", &initial);
    }
    // No QUIC: something else on UDP.
    wire.datagram("10.0.0.9:44000", "10.0.0.1:8125", b"requests:1|c");
    let analysis = judged(&wire);
    assert_eq!(only(&analysis).code, "connect-refused");
    let skipped: Vec<_> = analysis.loss.skipped_kinds().collect();
    assert_eq!(skipped, [("QUIC", 2), ("SCTP", 1)]);
}

// ---- 30. Expect: 100-continue -------------------------------------------------------------------------

const EXPECTING: &str =
    "PUT /photo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// The client waits for a 100 and has it; the upstream is slow to say it, and closes in place of an answer.
fn continued() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, EXPECTING)
        .says(client, Listener, CONTINUE);
    wire.says(client, Opener, "p".repeat(4_000));
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, EXPECTING).waits_ms(700);
    wire.says(upstream, Listener, CONTINUE)
        .says(upstream, Opener, "p".repeat(4_000));
    wire.closes(upstream, Listener).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d30_an_upstream_that_says_100_and_nothing_more() {
    let analysis = certainly(&continued(), "closed-before-response");
    assert_eq!(only(&analysis).attempts.len(), 1);
}

#[test]
fn d30_a_client_that_waits_for_a_100_is_no_fault() {
    // Nobody says 100: the client sends its body after a second, as curl does.
    let (mut wire, client, upstream) = served();
    wire.says(client, Opener, EXPECTING).waits_ms(1_000);
    let body = "p".repeat(4_000);
    wire.says(client, Opener, &body).says(
        upstream,
        Opener,
        EXPECTING.replace("Expect: 100-continue\r\n", ""),
    );
    wire.says(upstream, Opener, &body)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    nothing_to_find(&wire);
    // 417 and no body at all.
    let (mut wire, client, _) = served();
    let refused = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    wire.says(client, Opener, EXPECTING)
        .says(client, Listener, refused);
    wire.odd(
        client,
        Listener,
        Odd {
            flags: ACK,
            ..Odd::default()
        },
    )
    .closes(client, Listener);
    assert_eq!(judged(&wire).diagnosis.findings, []);
}
