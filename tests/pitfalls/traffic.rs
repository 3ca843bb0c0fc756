//! Pitfalls 13 to 19: what TCP and HTTP rightly do and what looks like a fault.

use super::*;
use crate::support::wire::{ACK, Odd, PSH, RST, SYN};

pub fn conversations() -> Vec<(&'static str, Wire)> {
    vec![
        ("d13-fast-open", fast_open()),
        ("d13-challenged", challenged()),
        ("d14-injected", injected()),
        ("d15-reset-after-answer", reset_after_answer()),
        ("d16-half-close", half_close()),
        ("d17-late-answer", late_answer()),
        ("d18-no-bodies", no_bodies()),
        ("d19-pipelined", pipelined()),
    ]
}

// ---- 13. Rare segments --------------------------------------------------------------------------------

/// The gateway's request travels in its SYN (RFC 7413); the upstream answers with a RST.
fn fast_open() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.prepares(OUTGOING, UPSTREAM);
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    let syn = Odd {
        flags: SYN,
        data: GET.as_bytes(),
        options: &cookie,
        ..Odd::default()
    };
    let moved = u32::try_from(GET.len()).unwrap() + 1;
    wire.odd(upstream, Opener, syn)
        .skips(upstream, Opener, moved);
    wire.accepts(upstream)
        .waits_ms(20)
        .resets(upstream, Listener);
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d13_a_request_in_a_syn() {
    let analysis = certainly(&fast_open(), "reset-before-response");
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
    // The server took the SYN and not its data: the request comes again, and is one request.
    let mut wire = Wire::new();
    let client = wire.prepares(CLIENT, GATEWAY);
    let syn = Odd {
        flags: SYN,
        data: GET.as_bytes(),
        ..Odd::default()
    };
    wire.odd(client, Opener, syn)
        .skips(client, Opener, 1)
        .accepts(client);
    wire.says(client, Opener, GET).says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.exchanges, 1);
}

#[test]
fn d13_both_sides_open_at_once() {
    // RFC 9293, figure 8.
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.prepares(OUTGOING, UPSTREAM);
    wire.segment(upstream, Opener, SYN, &[])
        .segment(upstream, Listener, SYN, &[]);
    let crossed = Odd {
        flags: SYN | ACK,
        shift: -1,
        ..Odd::default()
    };
    wire.odd(upstream, Opener, crossed)
        .odd(upstream, Listener, crossed);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK)
        .says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.connections, 2);
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
}

#[test]
fn d13_keep_alive_probes_are_no_requests_and_no_losses() {
    let (mut wire, client, upstream) = served();
    // Without and with a byte of garbage (RFC 9293, section 3.8.4).
    for data in [&b""[..], b"\0"] {
        for leg in [client, upstream] {
            wire.waits_ms(15_000);
            wire.odd(
                leg,
                Opener,
                Odd {
                    shift: -1,
                    data,
                    ..Odd::default()
                },
            );
            wire.acks(leg, Listener);
        }
    }
    wire.says(client, Opener, GET).says(upstream, Opener, GET);
    wire.says(upstream, Listener, OK).says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    let health = &analysis.diagnosis.health;
    assert_eq!((health.exchanges, health.retransmissions), (2, 0));
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
}

#[test]
fn d13_probes_of_a_shut_window_are_no_losses() {
    let (mut wire, client, upstream) = asked();
    wire.sends(upstream, Listener, &OK[..10]);
    let shut = Odd {
        window: 0,
        ..Odd::default()
    };
    wire.odd(upstream, Opener, shut);
    for _ in 0..4 {
        let probe = Odd {
            shift: -1,
            ..Odd::default()
        };
        wire.waits_ms(300)
            .odd(upstream, Listener, probe)
            .odd(upstream, Opener, shut);
    }
    wire.acks(upstream, Opener)
        .says(upstream, Listener, &OK[10..]);
    wire.says(client, Listener, OK);
    let analysis = nothing_to_find(&wire);
    assert_eq!(analysis.diagnosis.health.retransmissions, 0);
    assert_eq!(analysis.loss.get("tcp_lost_bytes"), 0);
}

/// A RST with a number that is not the next one is answered by a challenge ACK, and the answer comes
/// (RFC 5961, section 3.2).
fn challenged() -> Wire {
    let (mut wire, client, upstream) = asked();
    for shift in [1_000, 40_000, -300] {
        wire.odd(
            upstream,
            Listener,
            Odd {
                flags: RST,
                shift,
                ..Odd::default()
            },
        );
        wire.acks(upstream, Opener);
    }
    wire.waits_ms(30).says(upstream, Listener, OK);
    wire.says(client, Listener, OK);
    wire
}

#[test]
fn d13_a_reset_outside_the_window_ends_nothing() {
    let analysis = nothing_to_find(&challenged());
    assert_eq!(analysis.diagnosis.health.exchanges, 1);
    // Nor is it the cause of what follows: the gateway's timer is.
    let (mut wire, client, upstream) = asked();
    wire.odd(
        upstream,
        Listener,
        Odd {
            flags: RST,
            shift: 40_000,
            ..Odd::default()
        },
    );
    wire.acks(upstream, Opener)
        .waits_ms(3_000)
        .closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    certainly(&wire, "response-timeout");
}

#[test]
fn d13_a_challenge_ack_is_an_answer_to_a_syn() {
    // RFC 9293, figure 9: the other side holds an older connection on these ports.
    let (mut wire, client, upstream) = dialled();
    for _ in 0..3 {
        let old = Odd {
            flags: ACK,
            shift: 700_000,
            ack_shift: -1_970_639,
            ..Odd::default()
        };
        wire.odd(upstream, Listener, old);
        wire.waits_ms(1_000).sends_again(2);
    }
    wire.waits_ms(500).says(client, Listener, NGINX_504);
    assert_eq!(only(&judged(&wire)).code, "connect-stale-tuple");
}

#[test]
fn d13_unknown_options_and_bits_of_ecn() {
    let (mut wire, client, upstream) = asked();
    let (ece, cwr) = (0x40, 0x80);
    let unknown = [253, 4, 0xde, 0xad, 254, 2, 1, 1];
    let odd = Odd {
        flags: PSH | ACK | ece | cwr,
        data: OK.as_bytes(),
        options: &unknown,
        ..Odd::default()
    };
    for leg in [upstream, client] {
        let bytes = u32::try_from(OK.len()).unwrap();
        wire.odd(leg, Listener, odd)
            .skips(leg, Listener, bytes)
            .acks(leg, Opener);
    }
    nothing_to_find(&wire);
}

// ---- 14. Where a RST comes from -----------------------------------------------------------------------

/// The upstream is seven hops away; the RST that ends its connection has come two.
fn injected() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(client, Opener, GET);
    let upstream = wire.syn(OUTGOING, UPSTREAM);
    let far = Odd {
        flags: SYN | ACK,
        ttl: 57,
        ..Odd::default()
    };
    wire.odd(upstream, Listener, far)
        .skips(upstream, Listener, 1)
        .acks(upstream, Opener);
    wire.sends(upstream, Opener, GET);
    wire.odd(
        upstream,
        Listener,
        Odd {
            ttl: 57,
            ..Odd::default()
        },
    );
    wire.waits_ms(40);
    wire.odd(
        upstream,
        Listener,
        Odd {
            flags: RST | ACK,
            ttl: 253,
            ..Odd::default()
        },
    );
    wire.says(client, Listener, NGINX_502);
    wire
}

#[test]
fn d14_a_reset_from_another_distance_may_be_of_a_device_on_the_way() {
    let analysis = judged(&injected());
    let finding = only(&analysis);
    assert_eq!(finding.code, "reset-before-response");
    assert!(words(finding).contains("TTL 253"), "{finding:#?}");
    // From the same distance nothing is said.
    let (mut wire, client, upstream) = asked();
    wire.resets(upstream, Listener)
        .says(client, Listener, NGINX_502);
    let analysis = certainly(&wire, "reset-before-response");
    assert!(!words(only(&analysis)).contains("TTL"));
}

// ---- 15. Harmless resets ------------------------------------------------------------------------------

fn reset_after_answer() -> Wire {
    let (mut wire, _, upstream) = served();
    wire.waits_ms(5).knows_nothing(upstream, Listener);
    wire
}

#[test]
fn d15_a_reset_after_a_whole_answer() {
    nothing_to_find(&reset_after_answer());
    // Of either side of either leg, at once or out of an idle pool.
    for wait_ms in [0, 20_000] {
        for (of_upstream, side) in [
            (true, Opener),
            (true, Listener),
            (false, Opener),
            (false, Listener),
        ] {
            let (mut wire, client, upstream) = served();
            let leg = if of_upstream { upstream } else { client };
            wire.waits_ms(wait_ms).resets(leg, side);
            nothing_to_find(&wire);
        }
    }
}

#[test]
fn d15_a_reset_in_answer_to_what_comes_after_the_end() {
    let (mut wire, _, upstream) = served();
    wire.closes(upstream, Opener).acks(upstream, Listener);
    // The upstream had more to say; the gateway's socket is gone.
    wire.sends(upstream, Listener, "more")
        .knows_nothing(upstream, Opener);
    nothing_to_find(&wire);
}

#[test]
fn d15_health_checks_by_connect_and_reset() {
    let (mut wire, _, _) = served();
    for port in 51_000..51_003 {
        let check = wire.connects(&format!("10.0.0.1:{port}"), UPSTREAM);
        wire.resets(check, Opener).waits_ms(2_000);
    }
    nothing_to_find(&wire);
}

#[test]
fn d15_an_upstream_that_is_left_because_the_client_left() {
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(700).resets(client, Opener);
    wire.resets(upstream, Opener);
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.findings, []);
    assert_eq!(analysis.diagnosis.health.client_aborts, 1);
}

// ---- 16. FINs that are no failures --------------------------------------------------------------------

/// The gateway closes its sending side after the request; the upstream answers and closes.
fn half_close() -> Wire {
    let (mut wire, client, upstream) = asked();
    wire.closes(upstream, Opener).acks(upstream, Listener);
    wire.waits_ms(200).says(upstream, Listener, OK);
    wire.closes(upstream, Listener).acks(upstream, Opener);
    wire.says(client, Listener, OK);
    wire
}

#[test]
fn d16_half_close_and_answers_that_end_with_the_connection() {
    nothing_to_find(&half_close());
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n",
    ] {
        let (mut wire, client, upstream) = asked();
        let answer = format!("{head}page");
        wire.says(upstream, Listener, &answer);
        farewell(&mut wire, upstream);
        wire.says(client, Listener, &answer);
        farewell(&mut wire, client);
        nothing_to_find(&wire);
    }
}

#[test]
fn d16_after_a_half_close_the_gateway_has_not_given_up() {
    // The upstream closes without an answer half a second after the gateway's FIN: nobody's timer ran out.
    let (mut wire, client, upstream) = asked();
    wire.waits_ms(150)
        .closes(upstream, Opener)
        .acks(upstream, Listener);
    wire.waits_ms(500)
        .closes(upstream, Listener)
        .acks(upstream, Opener);
    for page in [NGINX_502, NGINX_504] {
        let mut wire = wire.clone();
        wire.says(client, Listener, page);
        let analysis = judged(&wire);
        assert!(only(&analysis).confidence <= Confidence::Possible);
    }
}

#[test]
fn d16_a_repeated_fin_is_one_fin() {
    let (mut wire, client, upstream) = asked();
    wire.closes(upstream, Listener).waits_ms(210).sends_again(1);
    wire.closes(upstream, Opener)
        .says(client, Listener, NGINX_502);
    let analysis = certainly(&wire, "closed-before-response");
    assert_eq!(only(&analysis).attempts.len(), 1);
}

// ---- 17. Repeated requests, late answers --------------------------------------------------------------

/// The request has to be sent again; the answer comes after the gateway has given up.
fn late_answer() -> Wire {
    let (mut wire, client, upstream) = asked();
    wire.misses(1)
        .waits_ms(220)
        .sends_again(1)
        .acks(upstream, Listener);
    wire.waits_ms(2_800).closes(upstream, Opener);
    wire.says(client, Listener, NGINX_504);
    wire.waits_ms(400)
        .sends(upstream, Listener, OK)
        .knows_nothing(upstream, Opener);
    wire
}

#[test]
fn d17_a_request_sent_again_and_answered_late_is_one_attempt() {
    let analysis = certainly(&late_answer(), "response-timeout");
    let finding = only(&analysis);
    assert_eq!(finding.attempts.len(), 1);
    assert!(words(finding).contains("too late"), "{finding:#?}");
    assert_eq!(analysis.diagnosis.health.retransmissions, 1);
}

// ---- 18. Answers without bodies -----------------------------------------------------------------------

/// Asks with a method, gets an answer, on both legs, over connections that are open.
fn exchange(wire: &mut Wire, legs: (Leg, Leg), method: &str, answer: &str) {
    let request = GET.replacen("GET", method, 1);
    wire.says(legs.0, Opener, &request)
        .says(legs.1, Opener, &request);
    wire.says(legs.1, Listener, answer)
        .says(legs.0, Listener, answer);
}

fn no_bodies() -> Wire {
    let (mut wire, client, upstream) = served();
    let legs = (client, upstream);
    exchange(
        &mut wire,
        legs,
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
    );
    exchange(
        &mut wire,
        legs,
        "GET",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n",
    );
    exchange(&mut wire, legs, "GET", "HTTP/1.1 204 No Content\r\n\r\n");
    exchange(
        &mut wire,
        legs,
        "GET",
        &format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}"),
    );
    exchange(
        &mut wire,
        legs,
        "DELETE",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    );
    farewell(&mut wire, upstream);
    farewell(&mut wire, client);
    wire
}

#[test]
fn d18_an_answer_that_has_no_body_is_not_truncated() {
    // Recorded: captures/*-healthy-no-bodies, *-healthy-upgrade, *-healthy-continue.
    let analysis = nothing_to_find(&no_bodies());
    assert_eq!(analysis.diagnosis.health.exchanges, 6);
}

#[test]
fn d18_what_follows_an_upgrade_or_a_connect_is_no_http() {
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let connect = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
    for (request, answer) in [(upgrade, switched), (connect, "HTTP/1.1 200 OK\r\n\r\n")] {
        let mut wire = Wire::new();
        let client = wire.connects(CLIENT, GATEWAY);
        wire.says(client, Opener, request);
        let upstream = wire.connects(OUTGOING, UPSTREAM);
        wire.says(upstream, Opener, request);
        for leg in [upstream, client] {
            wire.says(leg, Listener, answer);
        }
        for leg in [client, upstream] {
            wire.says(leg, Opener, "\u{1}HTTP/1.1 502 Bad Gateway\r\n\r\n");
            wire.says(leg, Listener, "HTTP/1.1 502 Bad Gateway\r\n\r\n");
            wire.resets(leg, Listener);
        }
        nothing_to_find(&wire);
    }
}

// ---- 19. Pipelining, early answers --------------------------------------------------------------------

/// Three requests at once, three answers in order, of which the second is the gateway's own error.
fn pipelined() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connects(CLIENT, GATEWAY);
    wire.says(
        client,
        Opener,
        [GET, &GET.replace("cart", "pay"), GET].concat(),
    );
    let upstream = wire.connects(OUTGOING, UPSTREAM);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK);
    wire.says(client, Listener, OK);
    let refused = wire.syn("10.0.0.1:50001", UPSTREAM);
    wire.resets(refused, Listener)
        .says(client, Listener, NGINX_502);
    wire.says(upstream, Opener, GET)
        .says(upstream, Listener, OK);
    wire.says(client, Listener, OK);
    wire
}

#[test]
fn d19_pipelined_requests_pair_in_order() {
    let analysis = judged(&pipelined());
    let finding = only(&analysis);
    assert_eq!(finding.code, "connect-refused");
    assert_eq!(finding.exchange.target.as_deref(), Some("/pay"));
}

#[test]
fn d19_an_answer_before_the_end_of_the_request_is_legal() {
    let (mut wire, client, upstream) = served();
    let head = "POST /photo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n";
    let large = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for leg in [client, upstream] {
        wire.says(leg, Opener, head)
            .says(leg, Opener, "p".repeat(4_000));
    }
    wire.says(upstream, Listener, large)
        .resets(upstream, Listener);
    wire.says(client, Listener, large).closes(client, Listener);
    let analysis = judged(&wire);
    assert_eq!(analysis.diagnosis.findings, []);
}
