//! Whole conversations in HTTP/1: what is told, with whole segments and byte by byte.

use crate::flow::Direction::{ToClient, ToServer};
use crate::protocol::observation::{PREFIX_MAX, Seen};
use crate::protocol::playbook::{Play, both};
use crate::tcp::event::Ending;

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"; // 28 bytes
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; // 40 bytes

#[test]
fn one_exchange() {
    both(
        |play| {
            play.client(GET).server(OK);
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 response Complete 2 to 40",
    );
}

#[test]
fn keep_alive_and_the_end_of_an_idle_connection() {
    both(
        |play| {
            play.client(GET).server(OK).client(GET).server(OK);
            play.fin(ToClient)
                .fin(ToServer)
                .ends(Ending::Closed(ToClient));
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 response Complete 2 to 40
        1 request at 28
        1 GET /a
        1 request Complete 0 to 56
        1 response
        1 status 200
        1 response Complete 2 to 80",
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    both(
        |play| {
            let head = "HEAD /b HTTP/1.1\r\n\r\n";
            play.client(format!("{GET}{head}\r\n{GET}"));
            let no_body = "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n";
            play.server(format!("{OK}{no_body}{OK}"));
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        1 request at 28
        1 HEAD /b
        1 request Complete 0 to 48
        2 request at 50
        2 GET /a
        2 request Complete 0 to 78
        0 response
        0 status 200
        0 response Complete 2 to 40
        1 response
        1 status 200
        1 response Complete 0 to 80
        2 response
        2 status 200
        2 response Complete 2 to 120",
    );
}

#[test]
fn interim_responses_are_no_answer() {
    both(
        |play| {
            play.client("POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
            play.server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
            play.client("abc").server("HTTP/1.1 204 No Content\r\n\r\n");
        },
        "Http1
        0 request at 0
        0 POST /
        0 interim 100
        0 interim 103
        0 request Complete 3 to 63
        0 response
        0 status 204
        0 response Complete 0 to 89",
    );
}

#[test]
fn an_interim_response_and_then_nothing() {
    both(
        |play| {
            play.client(GET).server("HTTP/1.1 100 Continue\r\n\r\n");
            play.fin(ToClient);
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 interim 100
        0 response Nothing 0 to 25",
    );
}

#[test]
fn statuses_without_a_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let mut play = Play::new();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        play.client(GET).server(answer).client(GET).server(OK);
        assert!(
            play.lines().iter().any(|line| line == "1 status 200"),
            "{status}"
        );
    }
}

#[test]
fn chunks_with_trailers() {
    both(
        |play| {
            play.client(GET);
            play.server("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n");
            play.server("3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nExpires: now\r\n\r\n");
            play.client(GET).server(OK);
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 503
        0 response Complete 5 to 85 abcde
        1 request at 28
        1 GET /a
        1 request Complete 0 to 56
        1 response
        1 status 200
        1 response Complete 2 to 125",
    );
}

/// How a response ends when the server stops after `answer`, first by FIN and then by RST.
#[track_caller]
fn stops(answer: &str, by_fin: &str, by_reset: &str) {
    for (segment_max, stop) in [(1, 0), (usize::MAX, 0), (1, 1), (usize::MAX, 1)] {
        let mut play = Play::new();
        play.segment_max = segment_max;
        play.client(GET).server(answer);
        let expected = if stop == 0 {
            play.fin(ToClient)
                .fin(ToServer)
                .ends(Ending::Closed(ToClient));
            by_fin
        } else {
            play.reset(ToClient).ends(Ending::Reset(ToClient));
            by_reset
        };
        assert_eq!(play.lines().last().unwrap(), expected);
    }
}

#[test]
fn a_server_that_stops_early() {
    stops("", "0 response Nothing 0 to 0", "0 response Nothing 0 to 0");
    stops(
        "HTT",
        "0 response HeadClosed 3 to 3 HTT",
        "0 response HeadReset 3 to 3 HTT",
    );
    stops(
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab",
        "0 response BodyClosed 2 to 40",
        "0 response BodyReset 2 to 40",
    );
    stops(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "0 response BodyClosed 3 to 55",
        "0 response BodyReset 3 to 55",
    );
    stops(
        "HTTP/1.0 404 No\r\n\r\nnot here",
        "0 response CompleteByClose 8 to 27 not here",
        "0 response BodyReset 8 to 27 not here",
    );
}

#[test]
fn a_client_that_gives_up_ends_the_response_too() {
    let mut play = Play::new();
    play.client(GET).reset(ToServer);
    assert_eq!(play.lines().last().unwrap(), "0 response Nothing 0 to 0");
    let mut play = Play::new();
    play.client(GET).fin(ToServer);
    assert_eq!(play.lines().last().unwrap(), "0 request Complete 0 to 28");
    play.server(OK);
    assert_eq!(play.lines().last().unwrap(), "0 response Complete 2 to 40");
    let mut play = Play::new();
    play.client(GET).fin(ToServer).ends(Ending::Open);
    assert_eq!(play.lines().last().unwrap(), "0 response Nothing 0 to 0");
    let mut play = Play::new();
    play.client(GET).ends(Ending::Open);
    assert_eq!(
        play.lines().last().unwrap(),
        "0 response CaptureEnded 0 to 0"
    );
}

#[test]
fn a_reset_out_of_sequence_ends_nothing_yet() {
    let mut play = Play::new();
    play.client(GET).reset_with(ToClient, false);
    assert_eq!(play.lines().last().unwrap(), "0 request Complete 0 to 28");
    play.server(OK);
    assert_eq!(play.lines().last().unwrap(), "0 response Complete 2 to 40");
}

#[test]
fn a_request_that_meets_a_closed_server() {
    both(
        |play| {
            play.client(GET).server(OK).fin(ToClient).client(GET);
            play.reset(ToClient).ends(Ending::Reset(ToClient));
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 response Complete 2 to 40
        1 request at 28
        1 GET /a
        1 request Complete 0 to 56
        1 response Nothing 0 to 40",
    );
}

#[test]
fn a_request_that_is_cut() {
    both(
        |play| {
            play.client("POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
            play.reset(ToClient);
        },
        "Http1
        0 request at 0
        0 POST /x
        0 request BodyReset 3 to 43
        0 response Nothing 0 to 0",
    );
    both(
        |play| {
            play.client("GET / HT").fin(ToServer).fin(ToClient);
        },
        "Http1
        0 request at 0
        0 request HeadClosed 0 to 8
        0 response Nothing 0 to 0",
    );
}

#[test]
fn an_early_answer_before_the_request_is_complete() {
    both(
        |play| {
            play.client("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
            play.server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            play.fin(ToClient).reset(ToClient);
        },
        "Http1
        0 request at 0
        0 POST /
        0 response
        0 status 413
        0 response Complete 0 to 64
        0 request BodyReset 3 to 42",
    );
}

#[test]
fn tunnels_and_upgrades_go_on_as_turns() {
    both(
        |play| {
            play.client("CONNECT x:443 HTTP/1.1\r\n\r\n");
            play.server("HTTP/1.1 200 Fine\r\n\r\n");
            play.client("hello").server("world").client("again");
            play.fin(ToClient);
        },
        "Http1
        0 request at 0
        0 CONNECT x:443
        0 request Complete 0 to 26
        0 response
        0 status 200
        0 response Switched 0 to 21
        Unknown
        1 request at 26
        1 request Complete 5 to 31
        1 response
        1 response Complete 5 to 26 world
        2 request at 31
        2 request Complete 5 to 36
        2 response Nothing 0 to 26",
    );
    both(
        |play| {
            play.client("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            play.server("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nhi");
            play.client("x");
        },
        "Http1
        0 request at 0
        0 GET /
        0 request Complete 0 to 59
        0 response
        0 status 101
        0 response Switched 0 to 46
        Unknown
        1 request at 59",
    );
    both(
        |play| {
            play.client("CONNECT x:443 HTTP/1.1\r\n\r\n");
            play.server("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
            play.client(GET).server(OK);
        },
        "Http1
        0 request at 0
        0 CONNECT x:443
        0 request Complete 0 to 26
        0 response
        0 status 407
        0 response Complete 0 to 38
        1 request at 26
        1 GET /a
        1 request Complete 0 to 54
        1 response
        1 status 200
        1 response Complete 2 to 78",
    );
}

#[test]
fn an_upgrade_that_nobody_asked_for() {
    let mut play = Play::new();
    play.client(GET).server("HTTP/1.1 101 Switching\r\n\r\n");
    assert!(
        play.lines()
            .contains(&"0 status 101 [UnaskedUpgrade]".into())
    );
}

#[test]
fn answers_that_are_no_http() {
    for (answer, offset) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", 0),
        ("ICY 200 OK\r\n\r\n", 0),
        ("HTTP/2.0 200 OK\r\n\r\n", 5),
        ("HTTP/1.1 2x0 OK\r\n\r\n", 10),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F", 0),
    ] {
        stops(
            answer,
            &format!(
                "0 response Malformed {0} to {0} {1}",
                answer.len(),
                answer.escape_debug()
            ),
            &format!(
                "0 response Malformed {0} to {0} {1}",
                answer.len(),
                answer.escape_debug()
            ),
        );
        let mut play = Play::new();
        play.client(GET).server(answer);
        assert!(
            play.lines()
                .contains(&format!("0 fault StatusLine at {offset}")),
            "{answer}"
        );
    }
}

#[test]
fn a_bad_chunk_names_its_place_in_the_message() {
    both(
        |play| {
            play.client(GET);
            play.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            play.server("3\r\nabc\r\nzz\r\n").fin(ToClient);
        },
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 fault ChunkSize at 55
        0 response Malformed 7 to 59",
    );
}

#[test]
fn a_head_beyond_all_limits() {
    let mut play = Play::new();
    play.segment_max = 1460;
    play.client(GET).server("HTTP/1.1 200 OK\r\nA: ");
    play.server(vec![b'x'; 300 * 1024]).fin(ToClient);
    let lines = play.lines();
    assert_eq!(lines[5], format!("0 fault HeadTooLarge at {}", 256 * 1024));
    assert!(lines[6].starts_with("0 response Malformed"));
    let mut play = Play::new();
    play.client("GET / HTTP/1.1\r\nA: ");
    play.client(vec![b'x'; 200 * 1024]);
    assert_eq!(play.loss.get("http1_request_heads_too_large"), 1);
    play.client(GET);
    assert_eq!(
        play.lines().last().unwrap(),
        "1 request Complete 0 to 204847"
    );
}

#[test]
fn bytes_that_nobody_asked_for() {
    for segment_max in [1, usize::MAX] {
        let mut play = Play::new();
        play.segment_max = segment_max;
        play.client(GET).server(OK);
        play.server("\r\nHTTP/1.1 408 Timeout\r\nContent-Length: 1\r\n\r\nx");
        play.client(GET).server(OK);
        let lines = play.lines();
        assert!(lines[7].starts_with("unsolicited H"));
        assert_eq!(lines[8], "1 request at 28");
        assert_eq!(lines.last().unwrap(), "1 response Complete 2 to 126");
        assert_eq!(lines.len(), 14);
    }
}

#[test]
fn a_body_longer_than_it_says() {
    let mut play = Play::new();
    play.client(GET).server(format!("{OK}extra"));
    assert_eq!(play.lines().last().unwrap(), "unsolicited extra");
    play.client(GET).server(OK);
    assert_eq!(play.lines().last().unwrap(), "1 response Complete 2 to 85");
}

#[test]
fn a_timeout_page_on_a_connection_that_was_never_used() {
    let mut play = Play::new();
    play.server("HTTP/1.0 408 Request Time-out\r\n\r\nbye")
        .fin(ToClient);
    assert_eq!(play.lines()[0], "Http1");
    assert!(play.lines()[1].starts_with("unsolicited HTTP/1.0 408"));
    assert_eq!(play.lines().len(), 2);
}

#[test]
fn a_banner_before_a_request() {
    let mut play = Play::new();
    play.server("SSH-2.0-x\r\n")
        .client(GET)
        .server("bad\n")
        .fin(ToClient);
    play.tells(
        "unsolicited SSH-2.0-x\\r\\n
        Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 fault StatusLine at 0
        0 response Malformed 4 to 15 bad\\n",
    );
}

#[test]
fn a_response_whose_request_was_captured_after_it() {
    let mut play = Play::new();
    play.client(GET).server(OK);
    // The server acknowledges the second request, whose frame comes later in the capture.
    play.connection.from_client.acknowledged = Some(56);
    let bytes = OK.as_bytes();
    play.event(crate::tcp::event::StreamEvent::Data {
        direction: ToClient,
        offset: 40,
        bytes,
        carried: crate::frame::Mark::default(),
    });
    play.client(GET);
    assert_eq!(
        play.lines()[7..],
        [
            "1 response",
            "1 status 200",
            "1 response Complete 2 to 80",
            "1 request at 28",
            "1 GET /a",
            "1 request Complete 0 to 56",
        ]
    );
}

#[test]
fn a_gap_inside_a_counted_body_does_no_harm() {
    let mut play = Play::new();
    play.client("PUT / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab");
    play.gap(ToServer, 8);
    play.server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    play.gap(ToClient, 5).server("x").client(GET).server(OK);
    play.tells(
        "Http1
        0 request at 0
        0 PUT /
        0 request Complete 10 to 48
        0 response
        0 status 200
        0 response Complete 6 to 44
        1 request at 48
        1 GET /a
        1 request Complete 0 to 76
        1 response
        1 status 200
        1 response Complete 2 to 84",
    );
}

#[test]
fn a_gap_across_the_end_of_a_response() {
    let mut play = Play::new();
    play.client(GET)
        .server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab");
    play.gap(ToClient, 100)
        .server("not framed")
        .client(GET)
        .server(OK);
    play.tells(
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 response LostInGap 2 to 40
        1 request at 28
        1 GET /a
        1 request Complete 0 to 56
        1 response
        1 status 200
        1 response Complete 2 to 190",
    );
    assert_eq!(play.loss.get("http1_response_bytes_not_framed"), 10);
}

#[test]
fn a_whole_response_in_a_gap() {
    let mut play = Play::new();
    play.client(GET).gap(ToClient, 40).client(GET).server(OK);
    assert_eq!(play.lines()[4], "0 response LostInGap 0 to 40");
    assert_eq!(play.lines().last().unwrap(), "1 response Complete 2 to 80");
    // The gap becomes known only after the next request.
    let mut play = Play::new();
    play.client(GET).client(GET).gap(ToClient, 40).server(OK);
    let lines = play.lines();
    assert_eq!(lines[7], "0 response LostInGap 0 to 40");
    assert_eq!(lines.last().unwrap(), "1 response Complete 2 to 80");
}

#[test]
fn silence_after_a_gap_is_silence_only_for_later_requests() {
    let mut play = Play::new();
    play.client(GET).gap(ToClient, 40).fin(ToClient);
    assert_eq!(play.lines().last().unwrap(), "0 response LostInGap 0 to 40");
    let mut play = Play::new();
    play.client(GET).gap(ToClient, 40).client(GET).fin(ToClient);
    assert_eq!(play.lines().last().unwrap(), "1 response Nothing 0 to 40");
}

#[test]
fn a_gap_that_cuts_heads_leaves_what_can_be_read() {
    let mut play = Play::new();
    play.client("GET /a HTTP/1.1\r\nHost: x\r\nCoo")
        .gap(ToServer, 500);
    play.server("HTTP/1.1 502 Bad Gateway\r\nServer: ng")
        .gap(ToClient, 300);
    play.client("GET /b HTTP/1.1\r\nHo").gap(ToServer, 90);
    play.server("HTTP/1.1 200").gap(ToClient, 30);
    play.tells(
        "Http1
        0 request at 0
        0 GET /a
        0 request LostInGap 0 to 29
        0 response
        0 status 502
        0 response LostInGap 0 to 36
        1 request at 529
        1 GET /b
        1 request LostInGap 0 to 548
        1 response
        1 response LostInGap 12 to 348 HTTP/1.1 200",
    );
}

#[test]
fn requests_in_a_gap_never_lend_their_responses() {
    let mut play = Play::new();
    play.client(GET).gap(ToServer, 28).client(GET);
    play.server(OK).server(OK).server(OK);
    play.tells(
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        1 request at 56
        1 GET /a
        1 request Complete 0 to 84
        0 response
        0 status 200
        0 response Complete 2 to 40
        1 response LostInGap 0 to 40
        2 request LostInGap 0 to 84
        2 response
        2 status 200
        2 response Complete 2 to 80
        3 request LostInGap 0 to 84
        3 response
        3 status 200
        3 response Complete 2 to 120",
    );
}

#[test]
fn joined_in_the_middle_of_a_response() {
    let mut play = Play::joined();
    play.server("rest of a body").client(GET).server(OK);
    play.tells(
        "Http1
        0 request at 0
        0 GET /a
        0 request Complete 0 to 28
        0 response
        0 status 200
        0 response Complete 2 to 54",
    );
    let mut play = Play::joined();
    play.server(OK).client(GET).server(OK);
    play.tells(
        "Http1
        0 request LostInGap 0 to 0
        0 response
        0 status 200
        0 response Complete 2 to 40
        1 request at 0
        1 GET /a
        1 request Complete 0 to 28
        1 response
        1 status 200
        1 response Complete 2 to 80",
    );
}

#[test]
fn roles_that_were_inferred_wrongly() {
    let mut play = Play::joined();
    play.server(GET).client(OK);
    assert_eq!(play.loss.get("roles_inferred_wrongly"), 1);
    assert_eq!(play.lines()[0], "Unknown");
}

#[test]
fn a_client_that_never_stops_pipelining_is_bounded() {
    let mut play = Play::new();
    for _ in 0..1000 {
        play.client(GET);
    }
    assert!(play.loss.get("http1_waiting_requests_not_tracked") > 0);
    play.fin(ToClient);
    let ends = play
        .told
        .iter()
        .filter(|told| matches!(told.what, Seen::ResponseEnd { .. }));
    assert_eq!(ends.count(), 1000, "every request gets its end");
}

#[test]
fn prefixes_are_bounded_and_kept_for_errors_only() {
    let mut play = Play::new();
    play.client(GET);
    play.server("HTTP/1.1 500 Oh\r\nContent-Length: 2000\r\n\r\n");
    play.server(vec![b'e'; 2000]);
    let Some(Seen::ResponseEnd { prefix, .. }) = play.told.last().map(|told| &told.what) else {
        panic!("no end");
    };
    assert_eq!(prefix.len(), PREFIX_MAX);
}

/// A small fixed generator (Marsaglia's xorshift), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

#[test]
fn mutated_conversations_never_panic_and_every_request_ends_once() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let up = "CONNECT a:1 HTTP/1.1\r\n\r\n";
    for _ in 0..4000 {
        let mut play = Play::new();
        play.connection.roles_known = dice.roll(5) > 0;
        play.segment_max = 1 + dice.roll(80);
        for _ in 0..dice.roll(12) {
            let texts = [GET, OK, chunks, up, "HTTP/1.1 100 C\r\n\r\n", "noise"];
            let mut bytes = texts[dice.roll(texts.len())].as_bytes().to_vec();
            for _ in 0..dice.roll(3) {
                let at = dice.roll(bytes.len());
                bytes[at] = dice.roll(256) as u8;
            }
            let direction = if dice.roll(2) == 0 {
                ToServer
            } else {
                ToClient
            };
            match dice.roll(12) {
                0 => play.gap(direction, 1 + dice.roll(60) as u64),
                1 => play.fin(direction),
                2 => play.reset_with(direction, dice.roll(2) == 0),
                _ => play.says(direction, &bytes),
            };
        }
        play.ends([Ending::Open, Ending::Idle, Ending::Closed(ToClient)][dice.roll(3)]);
        every_start_has_one_end(&play);
    }
}

fn every_start_has_one_end(play: &Play) {
    let mut starts = std::collections::BTreeMap::new();
    for told in &play.told {
        match &told.what {
            Seen::RequestStart { exchange, .. } => {
                starts.entry(exchange.index).or_insert([0; 2])[0] += 0
            }
            Seen::RequestEnd { exchange, .. } => {
                starts.entry(exchange.index).or_insert([0; 2])[0] += 1
            }
            Seen::ResponseEnd { exchange, .. } => {
                starts.entry(exchange.index).or_insert([0; 2])[1] += 1
            }
            _ => {}
        }
    }
    for (index, ends) in starts {
        assert_eq!(ends, [1, 1], "exchange {index}: {:#?}", play.lines());
    }
}

#[test]
fn a_proxy_header_stands_before_the_first_request() {
    for header in [
        "PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\n",
        "PROXY UNKNOWN\r\n",
    ] {
        let at = header.len();
        both(
            |play| {
                play.client(header)
                    .client(GET)
                    .server("HTTP/1.1 204 Gone\r\n\r\n");
            },
            &format!(
                "proxy header 1
                Http1
                0 request at {at}
                0 GET /a
                0 request Complete 0 to {}
                0 response
                0 status 204
                0 response Complete 0 to 21",
                at + GET.len()
            ),
        );
    }
}
