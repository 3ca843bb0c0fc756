//! Pitfalls 1 to 12: what the capture cuts, loses, doubles, turns round, stamps wrongly and never saw.

use super::*;
use crate::support::packet;
use crate::support::wire::{ACK, Odd, PSH, RST, SYN};

pub fn conversations() -> Vec<(&'static str, Wire)> {
    vec![
        ("refused", refused()),
        ("silent", silent(3_000)),
        ("d01-head-cut", head_cut(96)),
        ("d02-answer-lost", answer_lost()),
        ("d03-super-packets", super_packets()),
        ("d04-lookup-and-refusal-twice", twice(lookup_and_refusal())),
        ("d05-burst-twice", burst_twice()),
        ("d06-clock-back", clock_back()),
        ("d06-clock-ahead", clock_ahead()),
        ("d07-retries-one-way", retries_one_way()),
        ("d08-mid-stream", mid_stream()),
        ("d09-end-inside", end_inside()),
        ("d10-nothing-but-tcp", unanswered()),
        ("d12-recycled", recycled()),
    ]
}

// ---- 1. Snap length -----------------------------------------------------------------------------------

/// The upstream answers well with a long head, and closes; the gateway did not like it.
fn head_cut(bytes: usize) -> Wire {
    let (mut wire, client, upstream) = asked();
    let head = format!(
        "HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\nContent-Length: 3\r\n\r\nok\n",
        "c".repeat(400)
    );
    wire.says(upstream, Listener, head);
    farewell(&mut wire, upstream);
    wire.says(client, Listener, NGINX_502).cuts_at(bytes);
    wire
}

#[test]
fn d01_a_head_that_the_capture_cut_was_not_cut_by_the_upstream() {
    // With 40 bytes of headers: all of the status line and little more.
    for bytes in [64, 68, 96, 128] {
        let analysis = nothing_certain(&head_cut(bytes));
        let finding = only(&analysis);
        let from_missing_bytes = [
            "closed-mid-head",
            "malformed-status-line",
            "truncated-body",
            "bad-header",
            "closed-before-response",
        ];
        assert!(
            !from_missing_bytes.contains(&finding.code),
            "{bytes}: {finding:#?}"
        );
        assert!(analysis.loss.get("tcp_snapped_bytes") > 0);
    }
}

#[test]
fn d01_without_its_status_line_an_answer_is_no_error() {
    for bytes in [41, 44, 50] {
        nothing_to_find(&head_cut(bytes));
    }
}

#[test]
fn d01_bodies_that_the_capture_cut_are_whole() {
    let (mut wire, client, upstream) = asked();
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}",
        "b".repeat(5_000)
    );
    wire.says(upstream, Listener, &page)
        .says(client, Listener, &page);
    farewell(&mut wire, upstream);
    let analysis = nothing_to_find(wire.cuts_at(128));
    assert_eq!(analysis.diagnosis.health.exchanges, 1);
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
    assert!(analysis.loss.get("tcp_snapped_bytes") > 9_000);
}

#[test]
fn d01_a_refusal_needs_no_payload() {
    // Without the answer's page it is still a refusal, of a gateway without a name.
    let analysis = judged(refused().cuts_at(68));
    assert_eq!(only(&analysis).code, "connect-refused");
}

// ---- 2. Drops -----------------------------------------------------------------------------------------

/// The upstream answers, its answer is missing from the capture, the gateway's acknowledgements are not.
fn answer_lost() -> Wire {
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(300);
    for piece in ["HTTP/1.1 200 OK\r\n", "Content-Length: 3\r\n\r\n", "ok\n"] {
        wire.sends(upstream, Listener, piece).misses(1);
        wire.acks(upstream, Opener);
    }
    wire.waits_ms(300).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d02_an_answer_that_was_acknowledged_was_sent() {
    let analysis = nothing_certain(&answer_lost());
    assert_ne!(only(&analysis).code, "no-upstream-attempt");
    assert!(analysis.loss.get("tcp_lost_bytes") > 0);
}

#[test]
fn d02_a_number_further_on_proves_that_bytes_were_sent() {
    // The answer is lost on its way to the gateway, and to the capture; what follows it has the next number.
    let (mut wire, client, upstream) = asked();
    wire.skips(upstream, Listener, 2_681).waits_ms(1_000);
    let unaware = Odd {
        flags: ACK | FIN,
        ack_shift: -2_681,
        ..Odd::default()
    };
    wire.odd(upstream, Opener, unaware)
        .skips(upstream, Opener, 1);
    wire.acks(upstream, Listener);
    wire.says(client, Listener, NGINX_504);
    assert_eq!(only(&nothing_certain(&wire)).code, "loss-stall");
}

#[test]
fn d02_a_hole_in_a_relayed_answer_is_no_truncation() {
    let (mut wire, client, upstream) = asked();
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{}",
        "b".repeat(4_000)
    );
    for leg in [upstream, client] {
        wire.sends(leg, Listener, &page[..1_400]);
        wire.sends(leg, Listener, &page[1_400..2_800]).misses(1);
        wire.sends(leg, Listener, &page[2_800..]).acks(leg, Opener);
        farewell(&mut wire, leg);
    }
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 2_800);
}

// ---- 3. Offload ---------------------------------------------------------------------------------------

/// An upload and an answer in packets of 70,000 bytes whose IP header has no length; then a RST.
fn super_packets() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    let post = format!(
        "POST /photo HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 70000\r\n\r\n{}",
        "p".repeat(70_000)
    );
    let upstream = wire.prepares(OUTGOING, UPSTREAM);
    let big = |wire: &mut Wire, leg| {
        let odd = Odd {
            flags: PSH | ACK,
            data: post.as_bytes(),
            without_length: true,
            ..Odd::default()
        };
        let bytes = u32::try_from(post.len()).unwrap();
        wire.odd(leg, Opener, odd)
            .skips(leg, Opener, bytes)
            .acks(leg, Listener);
    };
    big(&mut wire, client);
    wire.segment(upstream, Opener, SYN, &[]).accepts(upstream);
    big(&mut wire, upstream);
    wire.resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d03_packets_larger_than_any_mtu_are_read_whole() {
    let analysis = certainly(&super_packets(), "reset-before-response");
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
    assert_eq!(analysis.loss.get("frames_with_malformed_headers"), 0);
    // Checksums are not there at all in these conversations, as offload leaves them: see any other test.
}

// ---- 4. Copies ----------------------------------------------------------------------------------------

fn lookup_and_refusal() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    let answer = packet::dns_answer(7, "cart.test", 0, Some([10, 0, 0, 3]));
    wire.datagram("10.0.0.53:53", "10.0.0.1:33000", &answer);
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    wire.resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

fn twice(mut wire: Wire) -> Wire {
    wire.sees_all_twice(12_000);
    wire
}

#[test]
fn d04_copies_on_a_second_interface_change_nothing() {
    // Interleaved, and so late that a whole handshake lies between.
    for nanos in [12_000, 130_000, 900_000] {
        let mut wire = lookup_and_refusal();
        let frames = wire.len();
        wire.sees_all_twice(nanos);
        let analysis = certainly(&wire, "connect-refused");
        let health = &analysis.diagnosis.health;
        assert_eq!((health.connections, health.exchanges), (2, 1));
        assert_eq!(health.retransmissions, 0);
        assert_eq!(only(&analysis).attempts.len(), 1);
        let copies =
            analysis.loss.get("duplicate_frames") + analysis.loss.get("dns_copies_dropped");
        assert_eq!(copies, frames as u64, "{nanos}");
    }
}

#[test]
fn d04_copies_of_a_query_are_no_repetition() {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    for _ in 0..3 {
        wire.sees_again(1, 1);
    }
    wire.waits_ms(5_000).says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    let finding = only(&analysis);
    assert_eq!(finding.code, "dns-timeout");
    assert!(!words(finding).contains("repeated"), "{finding:#?}");
    assert_eq!(analysis.loss.get("dns_copies_dropped"), 3);
}

#[test]
fn d04_copies_of_an_icmp_error_are_one_error() {
    let (mut wire, client, upstream) = dialled();
    wire.unreachable("10.0.0.254", 13, upstream, Opener);
    wire.sees_again(1, 1).sees_again(2, 2);
    wire.says(client, Listener, NGINX_502);
    let analysis = certainly(&wire, "icmp-admin-prohibited");
    assert_eq!(analysis.loss.get("icmp_copies_dropped"), 2);
}

// ---- 5. Fake retransmissions --------------------------------------------------------------------------

/// A page of many segments, each seen on two interfaces: first all on one, then all on the other.
fn burst_twice() -> Wire {
    let (mut wire, client, upstream) = asked();
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n{}",
        "b".repeat(40_000)
    );
    for leg in [upstream, client] {
        wire.sends(leg, Listener, &page);
        let burst = page.len().div_ceil(1_400);
        for _ in 0..burst {
            wire.sees_again(burst, 1);
        }
        wire.acks(leg, Opener);
    }
    wire
}

#[test]
fn d05_a_burst_seen_twice_is_no_retransmission() {
    let analysis = nothing_to_find(&burst_twice());
    assert_eq!(analysis.diagnosis.health.retransmissions, 0);
    assert_eq!(analysis.loss.get("duplicate_frames"), 2 * 29);
}

#[test]
fn d05_pieces_of_a_super_packet_are_no_retransmission() {
    let (mut wire, client, upstream) = asked();
    wire.sends(
        upstream,
        Listener,
        "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
    );
    let body = "b".repeat(900);
    let whole = Odd {
        flags: PSH | ACK,
        data: body.as_bytes(),
        ..Odd::default()
    };
    // The card made three packets of it, and the bridge behind shows them.
    wire.odd(upstream, Listener, whole);
    for at in [0, 300, 600] {
        let data = &body.as_bytes()[at..at + 300];
        let shift = i64::try_from(at).unwrap();
        wire.odd(
            upstream,
            Listener,
            Odd {
                data,
                shift,
                ..whole
            },
        );
    }
    wire.skips(upstream, Listener, 900).acks(upstream, Opener);
    wire.says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.retransmissions, 0);
}

#[test]
fn d05_a_retransmission_takes_a_timer() {
    let (mut wire, client, upstream) = asked();
    // Linux waits at least 200 ms (TCP_RTO_MIN), RFC 6298 a second.
    wire.sends(upstream, Listener, OK)
        .waits_ms(204)
        .sends_again(1);
    wire.acks(upstream, Opener).says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.retransmissions, 1);
    assert_eq!(analysis.loss.get("duplicate_frames"), 0);
}

#[test]
fn d05_segments_that_arrive_in_the_other_order_are_no_retransmission() {
    let (mut wire, client, upstream) = asked();
    wire.sends(upstream, Listener, &OK[..20]);
    wire.sends(upstream, Listener, &OK[20..]).turns_round();
    wire.acks(upstream, Opener).says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.retransmissions, 0);
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
}

#[test]
fn d05_of_two_contents_of_the_same_bytes_the_first_counts_and_it_is_said() {
    let other = OK.replace("200 OK", "500 No");
    // Beyond a hole, and in order.
    for ordered in [false, true] {
        let (mut wire, client, upstream) = asked();
        let (first, second) = (OK.as_bytes(), other.as_bytes());
        let at = if ordered { 0 } else { 5 };
        let put = |wire: &mut Wire, data: &[u8], shift| {
            let odd = Odd {
                flags: PSH | ACK,
                data,
                shift,
                ..Odd::default()
            };
            wire.odd(upstream, Listener, odd);
        };
        put(&mut wire, &first[at..], at as i64);
        wire.waits_ms(250);
        put(&mut wire, &second[at..], at as i64);
        put(&mut wire, &first[..5], 0);
        wire.skips(upstream, Listener, u32::try_from(first.len()).unwrap());
        wire.acks(upstream, Opener).says(client, Listener, OK);
        let analysis = nothing_to_find(&wire);
        assert!(
            analysis.loss.get("overlapping_bytes_differ") > 0,
            "in order: {ordered}"
        );
    }
}

// ---- 6. Clocks ----------------------------------------------------------------------------------------

/// The gateway gives up after three seconds; in between the capture's clock is set back by ten.
fn clock_back() -> Wire {
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(1_000).clock_steps_ms(-10_000);
    wire.waits_ms(2_000).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

/// The gateway closes after 50 ms, for whatever reason; in between the capture's clock leaps ahead by a minute.
fn clock_ahead() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects_with_timestamps(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.connects_with_timestamps(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET);
    wire.waits_ms(25).clock_steps_ms(60_000);
    wire.waits_ms(25).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire
}

#[test]
fn d06_no_timeout_is_certain_across_a_step_of_the_clock() {
    for wire in [clock_back(), clock_ahead()] {
        let analysis = nothing_certain(&wire);
        assert!(
            words(only(&analysis)).contains("clock"),
            "{:#?}",
            only(&analysis)
        );
        let warnings = &analysis.diagnosis.warnings;
        assert!(
            warnings
                .iter()
                .any(|warning| warning.code == "clock-stepped"),
            "{warnings:?}"
        );
    }
}

#[test]
fn d06_a_step_of_the_clock_elsewhere_leaves_a_timeout_certain() {
    let mut wire = silent(3_000);
    wire.waits_ms(10_000).clock_steps_ms(-5_000);
    let late = wire.connects("10.0.0.9:40009", GATEWAY);
    wire.says(late, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50009", UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .says(late, Listener, OK);
    certainly(&wire, "response-timeout");
}

#[test]
fn d06_timestamps_prove_a_long_silence() {
    let mut wire = Wire::new();
    let client = wire.connects_with_timestamps(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.connects_with_timestamps(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET);
    wire.waits_ms(60_000).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    certainly(&wire, "response-timeout");
}

#[test]
fn d06_a_coarse_clock_gives_many_frames_one_time() {
    for (nanos, code) in [
        (1_000_000, "connect-refused"),
        (10_000_000, "connect-refused"),
    ] {
        certainly(refused().clock_ticks_nanos(nanos), code);
    }
    certainly(
        silent(3_000).clock_ticks_nanos(1_000_000),
        "response-timeout",
    );
}

#[test]
fn d06_times_that_go_back_by_microseconds_are_tolerated() {
    let (mut wire, client, upstream) = asked();
    wire.sends(upstream, Listener, &OK[..9]).clock_steps_ms(-1);
    wire.sends(upstream, Listener, &OK[9..])
        .acks(upstream, Opener);
    wire.says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.warnings, []);
}

// ---- 7. One direction only ----------------------------------------------------------------------------

/// A gateway that is refused, and tries again a second later from another port, as HAProxy does; of what upstreams
/// send nothing is in the capture.
fn retries_one_way() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    for port in 50_000..50_004 {
        let upstream = wire.syn(&format!("10.0.0.1:{port}"), UPSTREAM);
        wire.resets(upstream, Listener).misses(1);
        wire.waits_ms(1_000);
    }
    wire.says(client, Listener, HAPROXY_503);
    wire
}

#[test]
fn d07_an_answer_that_cannot_be_seen_is_not_missing() {
    // A SYN that nobody answers is sent again after a second (RFC 6298): these were not.
    let analysis = nothing_certain(&retries_one_way());
    assert_eq!(only(&analysis).status, Some(503));
}

#[test]
fn d07_a_repeated_syn_proves_that_nothing_came() {
    let mut wire = unanswered();
    // Something else than TCP shows that nothing but TCP was not what was asked for.
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    wire.datagram(
        "10.0.0.53:53",
        "10.0.0.1:33000",
        &packet::dns_answer(7, "cart.test", 0, Some([10, 0, 0, 3])),
    );
    wire.packet(
        1,
        ("10.0.0.9:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()),
        &[8, 0, 0, 0, 0, 1, 0, 1],
    );
    certainly(&wire, "connect-timeout");
}

#[test]
fn d07_what_the_gateway_acknowledges_was_answered() {
    // The upstream answers after a second; only what the gateway sends upstream is in the capture.
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(1_000).says(upstream, Listener, OK);
    wire.waits_ms(1_000).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_502);
    let upstream_end = UPSTREAM.parse().unwrap();
    wire.sees_only(|from, _| from != upstream_end);
    let analysis = nothing_certain(&wire);
    assert_ne!(only(&analysis).code, "no-upstream-attempt");
}

#[test]
fn d07_a_query_asked_once_may_have_been_answered() {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    // NXDOMAIN, after a recursion of 700 ms, on the way that was not captured.
    wire.waits_ms(700).says(client, Listener, NGINX_502);
    nothing_certain(&wire);
    // Where the resolver's answers are seen, silence is silence.
    let mut wire = Wire::new();
    wire.datagram(
        "10.0.0.1:33001",
        "10.0.0.53:53",
        &packet::dns_query(6, "shop.test"),
    );
    let answer = packet::dns_answer(6, "shop.test", 0, Some([10, 0, 0, 4]));
    wire.datagram("10.0.0.53:53", "10.0.0.1:33001", &answer);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.datagram(
        "10.0.0.1:33000",
        "10.0.0.53:53",
        &packet::dns_query(7, "cart.test"),
    );
    wire.waits_ms(5_000).says(client, Listener, NGINX_502);
    certainly(&wire, "dns-timeout");
}

// ---- 8. Mid-stream ------------------------------------------------------------------------------------

/// The capture begins when an upstream connection is open; its next request is answered by a bare RST.
fn mid_stream() -> Wire {
    let mut wire = Wire::new();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.misses(3);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.sends(upstream, Opener, GET)
        .knows_nothing(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d08_a_connection_older_than_the_capture_is_not_known_to_have_been_idle() {
    let analysis = nothing_certain(&mid_stream());
    let finding = only(&analysis);
    assert_eq!(finding.upstream.unwrap().to_string(), UPSTREAM);
    assert!(
        words(finding).contains("before the capture"),
        "{finding:#?}"
    );
}

#[test]
fn d08_earlier_answers_make_a_stale_connection() {
    // Two requests of an older connection are seen; the second one crosses the RST.
    let mut wire = Wire::new();
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.misses(3);
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    wire.waits_ms(5_000).says(client, Opener, GET);
    wire.sends(upstream, Opener, GET)
        .knows_nothing(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    let analysis = judged(&wire);
    assert_eq!(only(&analysis).code, "stale-keepalive-reuse");
}

// ---- 9. The end of the capture ------------------------------------------------------------------------

/// The capture ends 20 s after a request that nobody has answered.
fn end_inside() -> Wire {
    let (mut wire, _, upstream) = asked();
    wire.waits_ms(20_000);
    let probe = Odd {
        shift: -1,
        ..Odd::default()
    };
    wire.odd(upstream, Opener, probe).acks(upstream, Listener);
    wire
}

#[test]
fn d09_where_the_capture_ends_nobody_gave_up() {
    let analysis = nothing_to_find(&end_inside());
    let warnings = &analysis.diagnosis.warnings;
    let ended = warnings
        .iter()
        .find(|warning| warning.code == "capture-ended-early");
    let ended = ended.unwrap_or_else(|| panic!("{warnings:?}"));
    assert!(ended.message.contains("20.00"), "{}", ended.message);
    // A capture that ends between exchanges has nothing to say of it.
    let analysis = nothing_to_find(&served().0);
    assert_eq!(analysis.diagnosis.warnings, []);
}

#[test]
fn d09_an_answer_that_goes_on_after_the_end_is_not_truncated() {
    let (mut wire, client, upstream) = asked();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nfirst";
    wire.says(upstream, Listener, begun)
        .says(client, Listener, begun);
    nothing_to_find(&wire);
}

// ---- 10. Filters --------------------------------------------------------------------------------------

/// A SYN, the same again, an error: nobody answered, or ICMP did that a filter dropped.
fn unanswered() -> Wire {
    let (mut wire, client, _) = dialled();
    wire.waits_ms(1_000).sends_again(1).waits_ms(1_000);
    wire.says(client, Listener, NGINX_504);
    wire
}

#[test]
fn d10_where_only_tcp_was_seen_icmp_may_have_been_filtered() {
    let analysis = nothing_certain(&unanswered());
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-timeout");
    assert!(words(finding).contains("ICMP"), "{finding:#?}");
}

#[test]
fn d10_no_attempt_without_lookups_in_sight_says_so() {
    // The gateway answers after a second, without a packet upstream; its other connection shows that it has some.
    let (mut wire, client, _) = served();
    wire.waits_ms(8_000).says(client, Opener, GET);
    wire.waits_ms(1_000).says(client, Listener, NGINX_502);
    let analysis = nothing_certain(&wire);
    let said = words(only(&analysis));
    assert!(said.contains("DNS") && said.contains("ICMP"), "{said}");
}

// ---- 11. Link layers ----------------------------------------------------------------------------------

#[test]
fn d11_equal_tuples_of_two_vlans_are_two_connections() {
    // Tunnels and link layers: tests/wrapped.rs.
    let mut wire = Wire::new();
    for vlan in [7, 8] {
        let client = wire.prepares(CLIENT, GATEWAY);
        wire.on_vlan(client, vlan)
            .segment(client, Opener, SYN, &[])
            .accepts(client);
        wire.says(client, Opener, GET);
        let upstream = wire.prepares(OUTGOING, UPSTREAM);
        wire.on_vlan(upstream, vlan)
            .segment(upstream, Opener, SYN, &[]);
        if vlan == 7 {
            wire.resets(upstream, Listener)
                .says(client, Listener, NGINX_502);
        } else {
            wire.accepts(upstream).says(upstream, Opener, GET);
            wire.says(upstream, Listener, OK).says(client, Listener, OK);
        }
    }
    let analysis = judged(&wire);
    assert_eq!(only(&analysis).code, "connect-refused");
    assert_eq!(analysis.diagnosis.health.connections, 4);
}

// ---- 12. Ports used anew ------------------------------------------------------------------------------

/// The gateway uses one port twice within a second: served, closed, refused.
fn recycled() -> Wire {
    let (mut wire, client, upstream) = served();
    farewell(&mut wire, upstream);
    wire.waits_ms(400).says(client, Opener, GET);
    let again = wire.syn(OUTGOING, UPSTREAM);
    wire.resets(again, Listener)
        .says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d12_a_syn_with_another_number_is_another_connection() {
    let analysis = certainly(&recycled(), "connect-refused");
    assert_eq!(analysis.diagnosis.health.connections, 3);
}

#[test]
fn d12_a_syn_with_the_same_number_is_the_same_connection() {
    let (mut wire, client, upstream) = dialled();
    wire.waits_ms(1_000).sends_again(1).accepts(upstream);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.connections, 2);
}

#[test]
fn d12_a_port_used_anew_without_a_farewell_in_sight() {
    let (mut wire, client, _) = served();
    wire.waits_ms(400).says(client, Opener, GET);
    let again = wire.connects(OUTGOING, UPSTREAM);
    wire.says(again, Opener, GET);
    let late = Odd {
        flags: RST | ACK,
        ..Odd::default()
    };
    wire.odd(again, Listener, late)
        .says(client, Listener, NGINX_502);
    let analysis = certainly(&wire, "reset-before-response");
    assert_eq!(analysis.diagnosis.health.connections, 3);
}
