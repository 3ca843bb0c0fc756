//! Tests of what the table does where much comes at once: who leaves, what waits in little room, what noise leaves behind.
//! In: more than there is room for. Out: checked events.
//!
//! The rule: a limit is reached for real, and what is told of a connection does not depend on how full the table is.

use super::*;

#[test]
fn a_flood_of_syns_evicts_the_oldest_handshake_first() {
    let mut play = Play::established();
    play.told();
    let known = play.key();
    for index in 0..HANDSHAKES_MAX + 10 {
        play.client = endpoint(9, 1_024 + index as u16);
        play.client_isn = index as u32;
        play.syn();
    }
    assert_eq!(play.table.len(), HANDSHAKES_MAX + 1);
    assert_eq!(play.table.loss().get("connections_evicted"), 10);
    let ended = play
        .told()
        .iter()
        .filter(|l| *l == "ended Unanswered")
        .count();
    assert_eq!(ended, 10);
    assert!(
        play.table
            .lookup(&known, endpoint(1, 40_000), None)
            .is_some()
    );
    play.client = endpoint(9, 1_024 + 9);
    let oldest = play.key();
    assert!(play.table.lookup(&oldest, play.client, None).is_none());
}

#[test]
fn a_full_table_evicts_what_would_expire_first() {
    let mut play = Play::new();
    for index in 0..CONNECTIONS_MAX {
        play.client = endpoint(9, 1_024 + index as u16);
        play.push(&play.ack(true, 0, 0));
    }
    // The first one becomes active again, the second is due.
    play.wait(1);
    play.client = endpoint(9, 1_024);
    play.push(&play.ack(true, 0, 0));
    play.client = endpoint(8, 1);
    play.push(&play.ack(true, 0, 0));
    assert_eq!(play.table.len(), CONNECTIONS_MAX);
    play.client = endpoint(9, 1_024);
    assert!(play.table.entries.contains_key(&play.key()));
    play.client = endpoint(9, 1_025);
    assert!(!play.table.entries.contains_key(&play.key()));
}

/// What is told of a connection that `seed` makes up, in a table where so many SYNs wait already, and its facts.
fn made_up(seed: u64, crowd: u16) -> (Vec<String>, Option<Connection>) {
    let mut dice = Dice(seed);
    let mut play = Play::new();
    let client = play.client;
    for index in 0..crowd {
        play.client = endpoint(9, 10_000 + index);
        play.syn();
    }
    play.client = client;
    (play.frame, play.ip_id) = (500, 500);
    play.now += i64::from(500 - crowd) * 1_000_000;
    play.told();
    let mut syn = play.seg(true, 0x02, -1, 0);
    syn.ip_id = Some(7);
    play.push(&syn);
    for _ in 0..dice.roll(5) {
        let at = dice.roll(3) as i64;
        match dice.roll(7) {
            0 => play.push(&syn),
            1 => play.push_at_once(&syn),
            2 => play.syn_ack(),
            3 => play.push(&play.ack(true, at, at)),
            4 => play.rst(dice.roll(2) == 0, at, (dice.roll(2) == 0).then_some(at)),
            5 => play.client_says(at, b"GET", at),
            _ => play.wait(dice.roll(140) as i64),
        }
    }
    let key = play.key();
    play.table.lookup(&key, play.client, Some(play.client_isn));
    let told = play.told();
    let told = told.into_iter().filter(|line| line != "ended Unanswered");
    let slot = play.table.entries.get(&key);
    (told.collect(), slot.map(|slot| slot.facts().clone()))
}

#[test]
fn a_connection_in_a_crowd_is_as_one_by_itself() {
    for seed in 0..2_000 {
        let (told, facts) = made_up(seed, 100);
        assert_eq!((told, facts), made_up(seed, 0), "seed {seed}");
    }
}

#[test]
fn what_waits_in_a_crowd_takes_little_room() {
    let mut play = Play::new();
    for index in 0..100 {
        play.client = endpoint(9, 10_000 + index);
        play.syn();
    }
    let waits = |slot: &&Slot<_>| matches!(slot, Slot::Waiting(_));
    let waiting = play.table.entries.values().filter(waits).count();
    assert_eq!(waiting, 100 - HANDSHAKES_CROWD);
    assert!(size_of::<Waiting<()>>() * 5 < size_of::<Entry<()>>());
    play.told();
    play.syn_ack();
    assert_eq!(play.told(), ["syn"]);
    play.finish();
    assert_eq!(play.told().len(), 100);
    assert!(play.table.is_empty() && play.table.half_open == 0);
}

#[test]
fn finish_goes_by_connection_id() {
    let mut play = Play::new();
    for index in 0..200_u16 {
        play.client = endpoint(9, 60_000 - index * 7);
        play.syn();
    }
    let mut ids = Vec::new();
    let mark = play.mark();
    play.table
        .finish(mark, &mut |_, facts: &Connection, _, event| {
            assert!(matches!(event, StreamEvent::Ended(Ending::Unanswered)));
            ids.push(facts.id);
        });
    assert_eq!(ids.len(), 200);
    assert!(ids.is_sorted());
    assert!(play.table.is_empty() && play.table.due.is_empty());
}

#[test]
fn an_entry_is_as_small_as_the_limits_assume() {
    assert!(
        size_of::<Entry<()>>() <= 2_048,
        "{}",
        size_of::<Entry<()>>()
    );
}

#[test]
fn lookup_asks_for_a_number_that_was_sent() {
    let mut play = Play::established();
    play.client_says(0, b"abc", 0);
    let key = play.key();
    let isn = play.client_isn;
    for (number, found) in [
        (isn, true),
        (isn + 1, true),
        (isn + 4, true),
        (isn + 90, false),
    ] {
        let hit = play.table.lookup(&key, play.client, Some(number));
        assert_eq!(hit.is_some(), found, "{number}");
    }
    assert_eq!(play.current().half(Direction::ToServer).sent, 3);
}

#[test]
fn noise_never_breaks_the_rules_of_the_events() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut play = Play::new();
        for _ in 0..400 {
            play.client = endpoint(1, 40_000 + dice.roll(2) as u16);
            let mut seg = play.seg(dice.roll(2) == 0, dice.roll(64) as u8, 0, 0);
            let shift = [0, 8, 16, 31][dice.roll(4)];
            let noise = |dice: &mut Dice| dice.roll(1 << 32) as u32 >> (31 - shift);
            seg.sequence = seg.sequence.wrapping_add(noise(&mut dice)).wrapping_sub(2);
            seg.acknowledgement = seg.acknowledgement.wrapping_add(noise(&mut dice));
            seg.payload = vec![b'x'; dice.roll(40)];
            seg.payload_len = dice.roll(60) as u32;
            seg.window = dice.roll(2) as u16;
            play.now += dice.roll(3_000_000_000) as i64 - 1_000_000_000;
            play.push(&seg);
            if dice.roll(10) == 0 {
                play.wait(dice.roll(20) as i64);
            }
        }
        play.finish();
        let opened = play.log.iter().filter(|line| *line == "opened").count();
        let ended = play.log.iter().filter(|line| line.starts_with("ended"));
        assert_eq!(opened, ended.count(), "seed {seed}");
        assert_eq!(play.table.shared.buffered, 0, "seed {seed}");
        assert_eq!((play.table.half_open, play.table.due.len()), (0, 0));
    }
}

#[test]
fn offsets_are_contiguous_whatever_comes() {
    for seed in 0..200 {
        let mut dice = Dice(1_000 + seed);
        let mut play = Play::established();
        for _ in 0..300 {
            let at = dice.roll(5_000) as i64;
            let bytes = vec![b'x'; dice.roll(200)];
            let mut seg = play.data(dice.roll(2) == 0, at, &bytes, dice.roll(5_000) as i64);
            seg.payload_len += dice.roll(2) as u32 * dice.roll(50) as u32;
            play.push(&seg);
            if dice.roll(30) == 0 {
                play.wait(5);
            }
        }
        play.finish();
        for sign in ["> ", "< "] {
            let mut next = 0;
            for line in play.log.iter().filter_map(|line| line.strip_prefix(sign)) {
                let (offset, len) = if let Some((offset, bytes)) = line.split_once(": ") {
                    (offset, bytes.len())
                } else if let Some((offset, rest)) = line.split_once(" +") {
                    let len = rest.split_once(' ').unwrap().0;
                    (offset, len.parse().unwrap())
                } else {
                    continue;
                };
                assert_eq!(offset.parse::<usize>().unwrap(), next, "seed {seed}");
                next += len;
            }
        }
    }
}
