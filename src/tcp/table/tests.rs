//! What the table tells of conversations that a test plays to it.

use super::*;
use crate::flow::Direction;
use crate::tcp::event::{Ending, SYN_MARKS_MAX};
use crate::tcp::gap::ACKNOWLEDGED_PIECES_MAX;
use crate::tcp::playbook::{ACK, FIN, Play, RST, SYN, endpoint};
use crate::tcp::reorder::REORDER_BYTES_MAX;

/// The shortest timer of Linux (TCP_RTO_MIN), nanoseconds, and a little.
const RTO_NANOS: i64 = 201_000_000;

/// A generator of numbers that is the same everywhere (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % sides as u64) as usize
    }
}

mod beginnings {
    use super::*;

    #[test]
    fn a_whole_conversation_is_told_as_it_happens() {
        let mut play = Play::new();
        play.handshake();
        assert_eq!(play.told(), ["opened", "syn", "syn", "established"]);
        play.client_says(0, b"GET", 0);
        play.server_says(0, b"200", 3);
        assert_eq!(play.told(), ["> 0: GET", "< 0: 200"]);
        play.fin(true, 3, 3);
        play.fin(false, 3, 4);
        play.push(&play.ack(true, 4, 4));
        assert_eq!(play.told(), ["> fin", "> finished", "< fin", "< finished"]);
        play.wait(11);
        assert_eq!(play.told(), ["ended Closed(ToServer)"]);
        assert!(play.table.is_empty());
        let facts = play.facts.unwrap();
        assert!(facts.roles_known);
        assert_eq!(facts.initial_sequences, (Some(1_000), Some(900_000)));
        assert_eq!(facts.from_client.acknowledged, Some(3));
        assert_eq!(facts.from_server.acknowledged, Some(3));
        assert_eq!(facts.from_client.retransmissions, 0);
    }

    #[test]
    fn syns_that_nobody_answers_keep_their_marks_up_to_a_limit() {
        let mut play = Play::new();
        for _ in 0..SYN_MARKS_MAX + 2 {
            play.syn();
            play.wait(1);
        }
        assert_eq!(play.told().len(), 1 + SYN_MARKS_MAX + 2);
        play.wait(131);
        assert_eq!(play.told(), ["ended Unanswered"]);
        assert_eq!(play.facts.unwrap().from_client.syns.len(), SYN_MARKS_MAX);
    }

    #[test]
    fn a_repeated_syn_ack_is_told_again() {
        let mut play = Play::new();
        play.syn();
        play.syn_ack();
        play.wait(1);
        play.syn_ack();
        assert_eq!(play.told(), ["opened", "syn", "syn", "syn"]);
        assert_eq!(play.current().from_server.syns.len(), 2);
        assert_eq!(play.current().established, None);
    }

    #[test]
    fn a_refused_syn_ends_as_refused() {
        let mut play = Play::new();
        play.syn();
        play.push(&{
            let mut seg = play.seg(false, RST | ACK, 0, 0);
            seg.sequence = 0;
            seg
        });
        assert_eq!(play.told(), ["opened", "syn", "< reset"]);
        let reset = play.facts.clone().unwrap().from_server.reset.unwrap();
        assert!(reset.with_ack && reset.in_sequence);
        assert_eq!(reset.acknowledges, Some(0));
        play.wait(11);
        assert_eq!(play.told(), ["ended Refused"]);
    }

    #[test]
    fn a_refused_syn_may_be_repeated_and_accepted() {
        let mut play = Play::new();
        play.syn();
        play.push(&{
            let mut seg = play.seg(false, RST | ACK, 0, 0);
            seg.sequence = 0;
            seg
        });
        play.handshake();
        play.client_says(0, b"a", 0);
        play.finish();
        assert_eq!(
            play.told(),
            [
                "opened",
                "syn",
                "< reset",
                "syn",
                "syn",
                "established",
                "> 0: a",
                "ended Open"
            ]
        );
    }

    #[test]
    fn a_bare_rst_does_not_refuse_a_syn() {
        let mut play = Play::new();
        play.syn();
        play.push(&{
            let mut seg = play.seg(false, RST, 77, 0);
            seg.acknowledgement = 0;
            seg
        });
        let reset = play.current().from_server.reset.unwrap();
        assert_eq!((reset.in_sequence, reset.acknowledges), (false, None));
        play.syn();
        play.finish();
        assert_eq!(play.told().last().unwrap(), "ended Unanswered");
    }

    #[test]
    fn data_in_a_syn_has_offset_zero() {
        let mut play = Play::new();
        let mut seg = play.seg(true, SYN, -1, 0);
        seg.payload = b"GET".to_vec();
        seg.payload_len = 3;
        play.push(&seg);
        play.push(&play.seg(false, SYN | ACK, -1, 3));
        play.client_says(3, b" /", 0);
        assert_eq!(
            play.told(),
            ["opened", "syn", "> 0: GET", "syn", "established", "> 3:  /"]
        );
    }

    #[test]
    fn both_sides_may_open_at_once() {
        let mut play = Play::new();
        play.syn();
        play.push(&play.seg(false, SYN, -1, 0));
        play.push(&play.seg(false, SYN | ACK, -1, 0));
        play.push(&play.seg(true, SYN | ACK, -1, 0));
        play.client_says(0, b"a", 0);
        let told = play.told();
        assert_eq!(told.iter().filter(|line| *line == "opened").count(), 1);
        assert_eq!(told.last().unwrap(), "> 0: a");
    }

    #[test]
    fn a_syn_ack_first_tells_the_roles() {
        let mut play = Play::new();
        play.syn_ack();
        play.push(&play.ack(true, 0, 0));
        let facts = play.current();
        assert!(facts.roles_known && facts.established.is_some());
        assert_eq!(facts.client, play.client);
    }

    #[test]
    fn without_a_syn_the_roles_are_inferred_and_offsets_begin_at_the_first_byte() {
        let mut play = Play::new();
        play.server_says(70_000, b"late answer", 500);
        assert_eq!(
            play.told(),
            ["opened", "established", "joined", "< 0: late answer"]
        );
        play.client_says(500, b"GET", 70_011);
        assert_eq!(play.told(), ["joined", "> 0: GET"]);
        let facts = play.current();
        assert!(!facts.roles_known);
        assert_eq!(facts.server, play.server);
        assert_eq!(facts.from_server.acknowledged, Some(11));
    }

    #[test]
    fn between_unknown_ports_the_first_speaker_is_the_client() {
        let mut play = Play::new();
        (play.client, play.server) = (endpoint(1, 9000), endpoint(2, 8000));
        play.server_says(0, b"x", 0);
        assert_eq!(play.facts.unwrap().client, endpoint(2, 8000));
    }

    #[test]
    fn a_keep_alive_probe_may_come_first() {
        let mut play = Play::new();
        play.push(&play.ack(true, 99, 200));
        play.push(&play.ack(false, 200, 100));
        play.wait(6);
        play.client_says(100, b"GET", 200);
        assert_eq!(play.told(), ["opened", "established", "joined", "> 0: GET"]);
    }

    #[test]
    fn bare_segments_open_a_connection_too() {
        for flags in [ACK, FIN | ACK, RST, RST | ACK] {
            let mut play = Play::new();
            play.push(&play.seg(false, flags, 10, 10));
            assert_eq!(play.told().first().unwrap(), "opened");
            play.finish();
            let ended = play.told().pop().unwrap();
            let expected = if flags & RST != 0 {
                "ended Reset(ToClient)"
            } else {
                "ended Open"
            };
            assert_eq!(ended, expected);
        }
    }

    #[test]
    fn a_lost_syn_ack_does_not_hide_the_answer() {
        let mut play = Play::new();
        play.syn();
        play.push(&play.ack(true, 0, 0));
        play.client_says(0, b"GET", 0);
        play.server_says(0, b"200", 3);
        assert_eq!(
            play.told(),
            [
                "opened",
                "syn",
                "established",
                "> 0: GET",
                "joined",
                "< 0: 200"
            ]
        );
    }
}

mod order {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_in_the_middle_of_a_stream() {
        let mut play = Play::new();
        play.client_isn = u32::MAX - 3;
        play.handshake();
        play.log.clear();
        play.client_says(0, b"abcd", 0);
        play.client_says(8, b"ijkl", 0);
        play.client_says(4, b"efgh", 0);
        assert_eq!(play.told(), ["> 0: abcd", "> 4: efgh", "> 8: ijkl"]);
    }

    #[test]
    fn an_early_segment_names_the_frame_that_carried_it() {
        let mut carried = Vec::new();
        let mut table: ConnectionTable<()> = ConnectionTable::new();
        for (number, offset, bytes) in [(1, 3, b"def"), (2, 0, b"abc"), (3, 3, b"def")] {
            let mut segment = segment(offset, bytes);
            segment.mark.frame = crate::frame::FrameId::new(0, number);
            segment.ip_id = Some(number as u16);
            if number == 1 {
                let mut syn = segment;
                syn.flags = crate::decode::segment::TcpFlags(SYN);
                syn.sequence = u32::MAX;
                (syn.payload, syn.payload_len) = (b"", 0);
                syn.mark.frame = crate::frame::FrameId::new(0, 9);
                table.push(&syn, &mut |_, _, _, _| ());
            }
            table.push(&segment, &mut |(), _: &Connection, at, event| {
                if let StreamEvent::Data { carried: frame, .. } = event {
                    carried.push((at.frame.number(), frame.frame.number()));
                }
            });
        }
        assert_eq!(carried, [(2, 2), (2, 1)]);
    }

    fn segment(offset: u32, payload: &[u8]) -> Segment<'_> {
        Segment {
            source: endpoint(1, 40_000),
            destination: endpoint(2, 80),
            overlay: Default::default(),
            vantage: Default::default(),
            sequence: offset,
            acknowledgement: 0,
            flags: Default::default(),
            window: 1,
            window_scale: None,
            timestamps: None,
            multipath: false,
            ip_id: None,
            ttl: 64,
            payload,
            payload_len: payload.len() as u32,
            mark: Mark::default(),
        }
    }

    #[test]
    fn an_overlap_tells_each_byte_once_and_the_first_copy_wins() {
        let mut play = Play::established();
        play.client_says(4, b"EFGH", 0);
        play.client_says(2, b"cdefghij", 0);
        play.client_says(0, b"abcX", 0);
        assert_eq!(play.stream(true), "abcdEFGHij");
        play.client_says(6, b"ghijkl", 0);
        assert_eq!(play.stream(true), "abcdEFGHijkl");
        // Four capitals against small letters, and X against d.
        assert_eq!(play.table.loss().get("overlapping_bytes_differ"), 5);
    }

    #[test]
    fn a_retransmission_is_counted_and_not_told() {
        let mut play = Play::established();
        play.client_says(0, b"abc", 0);
        play.now += RTO_NANOS;
        play.client_says(0, b"abc", 0);
        play.client_says(0, b"abcdef", 0);
        assert_eq!(play.told(), ["> 0: abc", "> 3: def"]);
        let half = play.current().from_client;
        assert_eq!(half.retransmissions, 1);
        assert_eq!((half.sent, half.lost), (6, 0));
        play.client_says(9, b"jkl", 0);
        play.now += RTO_NANOS;
        play.client_says(9, b"jkl", 0);
        assert_eq!(play.current().from_client.retransmissions, 2);
    }

    #[test]
    fn any_order_within_eight_segments_gives_the_same_bytes() {
        let text: Vec<u8> = (0..4_000_u32).map(|i| b'a' + (i * 7 % 26) as u8).collect();
        for seed in 0..200 {
            let mut dice = Dice(seed);
            let mut play = Play::new();
            play.client_isn = u32::MAX - (dice.roll(3_000) as u32);
            play.handshake();
            let mut segments = Vec::new();
            let mut at = 0;
            while at < text.len() {
                let len = (1 + dice.roll(100)).min(text.len() - at);
                // Some repeat what went before.
                let from = at.saturating_sub(if dice.roll(4) == 0 { 30 } else { 0 });
                segments.push(play.data(true, from as i64, &text[from..at + len], 0));
                if dice.roll(3) == 0 {
                    segments.push(play.ack(false, 0, (at + len) as i64));
                }
                at += len;
            }
            segments.push(play.seg(true, FIN | ACK, at as i64, 0));
            for window in segments.chunks_mut(8) {
                for index in (1..window.len()).rev() {
                    window.swap(index, dice.roll(index + 1));
                }
            }
            for seg in &segments {
                play.push(seg);
            }
            assert_eq!(play.stream(true).as_bytes(), text, "seed {seed}");
            assert_eq!(play.log.last().unwrap(), "> finished", "seed {seed}");
            assert_eq!(play.facts.unwrap().from_client.lost, 0);
        }
    }
}

mod gaps {
    use super::*;

    #[test]
    fn a_hole_is_filled_within_three_seconds_even_when_acknowledged() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.push(&play.ack(true, 0, 6));
        play.wait(3);
        play.server_says(0, b"abc", 0);
        assert_eq!(play.told(), ["< 0: abc", "< 3: def"]);
    }

    #[test]
    fn an_acknowledged_hole_is_given_up_at_a_tick() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.push(&play.ack(true, 0, 6));
        assert_eq!(play.told(), [""; 0]);
        play.wait(5);
        assert_eq!(play.told(), ["< 0 +3 lost", "< 3: def"]);
        let half = play.current().from_server;
        assert_eq!((half.lost, half.sent), (3, 6));
        assert!(half.last_gap.is_some());
        play.server_says(0, b"abc", 0);
        assert_eq!(play.current().from_server.retransmissions, 0);
        assert_eq!(play.table.loss().get("tcp_lost_bytes"), 3);
    }

    #[test]
    fn a_hole_that_the_peer_misses_too_waits_for_the_retransmission() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.push(&play.ack(true, 0, 0));
        play.wait(20);
        assert_eq!(play.told(), [""; 0]);
        play.server_says(0, b"abc", 0);
        assert_eq!(play.told(), ["< 0: abc", "< 3: def"]);
    }

    #[test]
    fn without_the_peers_direction_a_hole_is_given_up_too() {
        let mut play = Play::established();
        play.wait(2);
        play.server_says(3, b"def", 0);
        play.wait(5);
        assert_eq!(play.told(), ["< 0 +3 lost", "< 3: def"]);
    }

    #[test]
    fn many_segments_beyond_an_acknowledged_hole_end_the_wait() {
        let mut play = Play::established();
        for index in 1..=ACKNOWLEDGED_PIECES_MAX as i64 {
            assert_eq!(play.told(), [""; 0]);
            play.server_says(index, b"x", 0);
            play.push(&play.ack(true, 0, index + 1));
        }
        assert_eq!(play.told().len(), 1 + ACKNOWLEDGED_PIECES_MAX);
    }

    #[test]
    fn bytes_that_only_an_acknowledgement_proves_are_a_gap() {
        let mut play = Play::established();
        play.server_says(0, b"abc", 0);
        play.push(&play.ack(true, 0, 103));
        play.wait(2);
        assert_eq!(play.told(), ["< 0: abc"]);
        play.wait(3);
        assert_eq!(play.told(), ["< 3 +100 lost"]);
        assert_eq!(play.current().from_server.acknowledged, Some(103));
    }

    #[test]
    fn the_acknowledgement_of_a_fin_that_was_lost_is_no_gap() {
        let mut play = Play::established();
        play.server_says(0, b"abc", 0);
        play.push(&play.ack(true, 0, 4));
        play.finish();
        assert_eq!(play.told(), ["< 0: abc", "ended Open"]);
    }

    #[test]
    fn an_absurd_acknowledgement_is_ignored() {
        let mut play = Play::established();
        play.push(&play.ack(true, 0, (1 << 30) + 1));
        assert_eq!(play.current().from_server.acknowledged, Some(0));
        assert_eq!(play.table.loss().get("tcp_segments_out_of_window"), 1);
    }

    #[test]
    fn what_the_snap_length_cut_is_a_gap_of_known_length() {
        let mut play = Play::established();
        let mut seg = play.data(false, 0, b"HTTP", 0);
        seg.payload_len = 1_460;
        play.push(&seg);
        play.server_says(1_460, b"next", 0);
        assert_eq!(
            play.told(),
            ["< 0: HTTP", "< 4 +1456 snapped", "< 1460: next"]
        );
        assert_eq!(play.current().from_server.snapped, 1_456);
        // Out of order it is the same.
        let mut seg = play.data(false, 1_470, b"ab", 0);
        seg.payload_len = 4;
        play.push(&seg);
        play.server_says(1_464, b"123456", 0);
        assert_eq!(
            play.told(),
            ["< 1464: 123456", "< 1470: ab", "< 1472 +2 snapped"]
        );
    }

    #[test]
    fn a_full_buffer_gives_up_the_oldest_hole() {
        let mut play = Play::established();
        let block = vec![b'x'; 60_000];
        let blocks = REORDER_BYTES_MAX as i64 / 60_000 + 1;
        for index in 0..blocks {
            play.server_says(10 + index * 60_000, &block, 0);
        }
        assert_eq!(play.log.first().unwrap(), "< 0 +10 lost");
        assert_eq!(play.log.len() as i64, 1 + blocks);
        assert_eq!(play.table.loss().get("tcp_reorder_buffer_full"), 1);
        assert_eq!(play.table.shared.buffered, 0);
    }

    #[test]
    fn the_end_of_the_capture_tells_what_is_buffered() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.server_says(9, b"jkl", 0);
        play.fin(false, 12, 0);
        play.told();
        play.finish();
        assert_eq!(
            play.told(),
            [
                "< 0 +3 lost",
                "< 3: def",
                "< 6 +3 lost",
                "< 9: jkl",
                "< finished",
                "ended Open"
            ]
        );
        assert_eq!(play.table.shared.buffered, 0);
    }
}

mod endings {
    use super::*;

    #[test]
    fn an_accepted_rst_ends_and_a_stray_one_does_not() {
        let mut play = Play::established();
        play.client_says(0, b"GET", 0);
        play.rst(false, 5_000, Some(3));
        let stray = play.current().from_server.reset.unwrap();
        assert!(!stray.in_sequence);
        play.server_says(0, b"200", 3);
        play.rst(false, 3, Some(3));
        let reset = play.current().from_server.reset.unwrap();
        assert!(reset.in_sequence && reset.with_ack);
        assert_eq!(
            (reset.sent, reset.acknowledges, reset.peer_sent),
            (3, Some(3), 3)
        );
        assert_eq!(play.told(), ["> 0: GET", "< reset", "< 0: 200", "< reset"]);
        play.wait(11);
        assert_eq!(play.told(), ["ended Reset(ToClient)"]);
    }

    #[test]
    fn a_stray_rst_that_nothing_follows_has_ended_the_connection() {
        let mut play = Play::established();
        play.rst(true, 5_000, None);
        play.finish();
        assert_eq!(play.told(), ["> reset", "ended Reset(ToServer)"]);
    }

    #[test]
    fn a_bare_rst_with_the_number_that_was_acknowledged_is_accepted() {
        let mut play = Play::established();
        play.server_says(0, b"abc", 0);
        play.push(&play.ack(true, 0, 3));
        play.client_says(0, b"GET", 3);
        play.rst(false, 3, None);
        let reset = play.current().from_server.reset.unwrap();
        assert!(reset.in_sequence && !reset.with_ack);
        assert_eq!((reset.acknowledges, reset.peer_sent), (None, 3));
    }

    #[test]
    fn a_rst_gives_up_what_is_buffered_before_it_is_told() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.rst(false, 6, Some(0));
        assert_eq!(play.told(), ["< 0 +3 lost", "< 3: def", "< reset"]);
    }

    #[test]
    fn late_segments_after_the_end_open_nothing() {
        let mut play = Play::established();
        play.client_says(0, b"GET", 0);
        play.fin(true, 3, 0);
        play.fin(false, 0, 4);
        play.told();
        play.client_says(0, b"GET", 0);
        play.fin(false, 0, 4);
        play.rst(true, 4, None);
        play.rst(true, 4, None);
        assert_eq!(play.told(), ["> reset"]);
        play.wait(11);
        assert_eq!(play.told(), ["ended Closed(ToServer)"]);
        assert!(play.facts.unwrap().from_client.reset.unwrap().in_sequence);
    }

    #[test]
    fn who_has_nothing_left_to_say_leaves_sooner() {
        let mut play = Play::established();
        play.fin(true, 0, 0);
        play.fin(false, 0, 1);
        play.told();
        play.wait(6);
        assert!(play.told().is_empty(), "the server's FIN may come again");
        play.push(&play.ack(true, 1, 1));
        play.wait(3);
        // The acknowledgement was lost behind the place of the capture.
        play.fin(false, 0, 1);
        play.wait(3);
        assert!(play.told().is_empty(), "both were here a moment ago");
        play.wait(2);
        assert_eq!(play.told(), ["ended Closed(ToServer)"]);
    }

    #[test]
    fn a_repeated_fin_is_told_once_and_keeps_its_first_mark() {
        let mut play = Play::established();
        play.fin(false, 0, 0);
        let first = play.mark();
        play.fin(false, 0, 0);
        assert_eq!(play.told(), ["< fin", "< finished"]);
        assert_eq!(play.current().from_server.fin.unwrap().mark, first);
    }

    #[test]
    fn the_other_side_may_go_on_after_a_fin() {
        let mut play = Play::established();
        play.client_says(0, b"GET", 0);
        play.fin(true, 3, 0);
        play.server_says(0, b"200", 4);
        play.wait(60);
        play.server_says(3, b" OK", 4);
        play.fin(false, 6, 4);
        assert_eq!(
            play.told(),
            [
                "> 0: GET",
                "> fin",
                "> finished",
                "< 0: 200",
                "< 3:  OK",
                "< fin",
                "< finished"
            ]
        );
        let fin = play.current().from_server.fin.unwrap();
        assert_eq!((fin.sent, fin.acknowledges, fin.peer_sent), (6, Some(3), 3));
    }

    #[test]
    fn a_fin_before_its_data_is_told_when_seen_and_finished_in_order() {
        let mut play = Play::established();
        play.fin(false, 3, 0);
        play.server_says(0, b"abc", 0);
        assert_eq!(play.told(), ["< fin", "< 0: abc", "< finished"]);
    }

    #[test]
    fn an_established_connection_is_forgotten_after_an_hour() {
        let mut play = Play::established();
        play.wait(3_599);
        assert_eq!(play.told(), [""; 0]);
        play.client_says(0, b"a", 0);
        play.wait(3_601);
        assert_eq!(play.told(), ["> 0: a", "ended Idle"]);
    }

    #[test]
    fn one_tick_after_a_long_silence_does_the_same_as_many() {
        let mut play = Play::established();
        play.server_says(3, b"def", 0);
        play.now += 5_000 * 1_000_000_000;
        play.wait(1);
        assert_eq!(play.told(), ["< 0 +3 lost", "< 3: def", "ended Idle"]);
    }

    #[test]
    fn ports_are_used_anew() {
        let mut play = Play::established();
        play.fin(true, 0, 0);
        play.fin(false, 0, 1);
        play.told();
        let first = play.current().id;
        play.client_isn = 77_777_777;
        play.server_isn = 12_345;
        play.handshake();
        play.client_says(0, b"GET", 0);
        assert_eq!(
            play.told(),
            [
                "ended Closed(ToServer)",
                "opened",
                "syn",
                "syn",
                "established",
                "> 0: GET"
            ]
        );
        assert_ne!(play.current().id, first);
    }

    #[test]
    fn ports_are_used_anew_though_the_old_connection_had_no_end() {
        let mut play = Play::established();
        play.client_isn = 5;
        play.syn();
        assert_eq!(play.told(), ["ended Idle", "opened", "syn"]);
    }

    #[test]
    fn a_stale_server_answers_a_new_syn_with_its_old_numbers() {
        // RFC 9293, figure 9: challenge ACK, RST, and the SYN again.
        let mut play = Play::established();
        let challenge = play.ack(false, 0, 0);
        play.client_isn = 5_555_555;
        play.syn();
        play.push(&challenge);
        let mut rst = play.seg(true, RST, 0, 0);
        rst.sequence = challenge.acknowledgement;
        play.push(&rst);
        assert!(play.facts.as_ref().unwrap().challenge.is_some());
        play.wait(1);
        play.server_isn = 333;
        play.handshake();
        play.server_says(0, b"abc", 0);
        assert_eq!(
            play.told(),
            [
                "ended Idle",
                "opened",
                "syn",
                "> reset",
                "syn",
                "syn",
                "established",
                "< 0: abc"
            ]
        );
    }

    #[test]
    fn both_numbers_jumping_is_a_new_connection_without_its_syn() {
        let mut play = Play::established();
        play.client_says(0, b"old", 0);
        play.client_isn = play.client_isn.wrapping_add(1 << 31);
        play.server_isn = play.server_isn.wrapping_add(1 << 29);
        play.client_says(0, b"new", 0);
        assert_eq!(
            play.told(),
            [
                "> 0: old",
                "ended Idle",
                "opened",
                "established",
                "joined",
                "> 0: new"
            ]
        );
    }
}

mod copies_and_probes {
    use super::*;

    #[test]
    fn a_copy_of_a_frame_is_dropped_and_counted() {
        let mut play = Play::established();
        let mut seg = play.data(true, 0, b"abc", 0);
        seg.ip_id = Some(77);
        play.push_at_once(&seg);
        play.now += 50_000;
        play.push_at_once(&seg);
        assert_eq!(play.current().from_client.retransmissions, 0);
        assert_eq!(play.table.loss().get("duplicate_frames"), 1);
        // No timer is so short: a card that cuts large packets gives each piece another IP id.
        seg.ip_id = Some(78);
        play.push_at_once(&seg);
        assert_eq!(play.current().from_client.retransmissions, 0);
        assert_eq!(play.table.loss().get("duplicate_frames"), 1);
        play.now += RTO_NANOS;
        play.push_at_once(&seg);
        assert_eq!(play.current().from_client.retransmissions, 1);
        assert_eq!(play.table.loss().get("duplicate_frames"), 0);
    }

    #[test]
    fn without_an_ip_id_a_copy_is_microseconds_away() {
        let mut play = Play::established();
        let mut seg = play.data(true, 0, b"abc", 0);
        seg.ip_id = Some(0);
        seg.timestamps = Some((1, 1));
        play.push_at_once(&seg);
        play.now -= 10_000;
        play.push_at_once(&seg);
        assert_eq!(play.table.loss().get("duplicate_frames"), 1);
        play.now += 6_000_000;
        play.push_at_once(&seg);
        seg.timestamps = Some((2, 1));
        play.push_at_once(&seg);
        assert_eq!(play.table.loss().get("duplicate_frames"), 0);
        assert_eq!(play.current().from_client.retransmissions, 2);
    }

    #[test]
    fn copies_of_a_burst_and_of_a_syn_are_known() {
        let mut play = Play::new();
        let mut syn = play.seg(true, SYN, -1, 0);
        syn.ip_id = Some(5);
        play.push_at_once(&syn);
        play.push_at_once(&syn);
        assert_eq!(play.told(), ["opened", "syn"]);
        let burst: Vec<_> = (0..6)
            .map(|index| {
                let mut seg = play.data(true, index, b"x", 0);
                seg.ip_id = Some(100 + index as u16);
                seg
            })
            .collect();
        for seg in burst.iter().chain(&burst) {
            play.push_at_once(seg);
        }
        assert_eq!(play.told().len(), 7);
        assert_eq!(play.table.loss().get("duplicate_frames"), 7);
    }

    #[test]
    fn keep_alive_probes_are_neither_data_nor_retransmissions() {
        let mut play = Play::established();
        play.push(&play.data(true, -1, b"\0", 0));
        play.client_says(0, b"abc", 0);
        play.push(&play.ack(false, 0, 3));
        play.told();
        play.push(&play.ack(true, 2, 0));
        play.push(&play.data(true, 2, b"\0", 0));
        play.push(&play.ack(false, 0, 3));
        assert_eq!(play.told(), [""; 0]);
        let half = play.current().from_client;
        assert_eq!(half.retransmissions, 0);
        assert_eq!(half.sent, 3);
    }

    #[test]
    fn one_byte_again_without_an_acknowledgement_is_a_retransmission() {
        let mut play = Play::established();
        play.client_says(0, b"a", 0);
        play.now += RTO_NANOS;
        play.client_says(0, b"a", 0);
        assert_eq!(play.current().from_client.retransmissions, 1);
    }

    #[test]
    fn probes_of_a_shut_window_are_no_retransmissions() {
        let mut play = Play::established();
        play.client_says(0, b"ab", 0);
        let mut shut = play.ack(false, 0, 2);
        shut.window = 0;
        play.push(&shut);
        let since = play.mark();
        assert_eq!(play.current().from_server.zero_window, Some(since));
        // BSD probes with the next byte, Linux with the number before it.
        for _ in 0..3 {
            play.client_says(2, b"c", 0);
            play.push(&shut);
            play.push(&play.ack(true, 1, 0));
        }
        assert_eq!(play.current().from_server.zero_window, Some(since));
        play.push(&play.ack(false, 0, 2));
        assert_eq!(play.current().from_server.zero_window, None);
        play.client_says(2, b"cde", 0);
        assert_eq!(play.told(), ["> 0: ab", "> 2: c", "> 3: de"]);
        assert_eq!(play.current().from_client.retransmissions, 0);
    }
}

mod silences {
    use super::*;

    /// Lets enough time pass that the next payload is a retransmission.
    fn wait(play: &mut Play) {
        play.now += RTO_NANOS;
    }

    #[test]
    fn repetitions_are_counted_until_something_new_is_acknowledged() {
        let mut play = Play::established();
        for _ in 0..4 {
            play.client_says(0, b"request", 0);
            wait(&mut play);
        }
        let facts = play.current().from_client.clone();
        assert_eq!((facts.unanswered_repeats, facts.repeated_len), (3, 7));
        assert!(facts.first_unanswered < facts.last_retransmission);
        play.push(&play.ack(false, 0, 7));
        let facts = play.current().from_client.clone();
        assert_eq!(facts.unanswered_repeats, 0);
        assert_eq!(facts.first_unanswered, None);
        assert_eq!(facts.retransmissions, 3);
        assert_eq!(facts.delivered_max, 7);
    }

    #[test]
    fn acknowledgements_that_bring_nothing_new_are_counted() {
        let mut play = Play::established();
        play.client_says(0, b"abc", 0);
        play.push(&play.ack(false, 0, 3));
        // Of the next three one is lost: the two behind it are acknowledged as what was there before.
        for offset in [3, 6, 9] {
            play.client_says(offset, b"xyz", 0);
        }
        for _ in 0..2 {
            play.push(&play.ack(false, 0, 3));
        }
        let facts = play.current().from_client.clone();
        assert_eq!((facts.duplicate_acks, facts.delivered_max), (2, 3));
        play.push(&play.ack(false, 0, 12));
        assert_eq!(play.current().from_client.duplicate_acks, 0);
    }

    #[test]
    fn a_rst_keeps_the_ids_beside_it_and_what_comes_after() {
        let mut play = Play::established();
        play.server_says(0, b"220", 0);
        let before = play.ip_id;
        play.rst(false, 3, Some(0));
        let facts = play.current().clone();
        let reset = facts.from_server.reset.unwrap();
        assert_eq!(reset.ip_id_before, Some(before));
        assert_eq!(reset.ip_id, Some(before + 1));
        assert!(facts.server_alive.unwrap() < reset.mark);
        wait(&mut play);
        play.server_says(3, b"221", 0);
        let facts = play.current().clone();
        assert!(facts.server_alive.unwrap() > reset.mark);
        assert_eq!(facts.from_server.ttls, Some((64, 64)));
    }
}

mod limits;
