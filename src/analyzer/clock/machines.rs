//! Which inputs come from one machine. In: when each input was captured, what it is called, and which inputs hold the
//! same packets. Out: a number a machine.
//!
//! The rule: inputs that hold the same packets, or that were captured at the same time, are different machines; files
//! of a rotated set follow each other. Where a file may follow several sets, its name and the gap before it decide.

use std::path::Path;

use crate::time::Timestamp;

/// How much files of one rotated set may overlap, nanoseconds: the writer takes what several queues hand over.
const OVERLAP_MAX_NANOS: i64 = 1_000_000_000;

/// What is known of an input before machines are told apart.
#[derive(Clone, Debug)]
pub struct Span {
    /// When it began and ended, by its own clock; `None` when it holds nothing.
    pub time: Option<(Timestamp, Timestamp)>,
    /// Its name without digits: the same for all files of a rotated set.
    pub stem: String,
}

/// What two inputs say of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same packets with the same stamps: pieces of one capture.
    Same,
    /// The same packets or exchanges seen elsewhere, or by another clock.
    Elsewhere,
    /// Compared with a third input, both go by one clock.
    OneClock,
    /// Nothing in common.
    Nothing,
}

/// The name of a file without its digits.
#[must_use]
pub fn stem(path: &Path) -> String {
    let name = path.display().to_string();
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
    let file: String = file.chars().filter(|c| !c.is_ascii_digit()).collect();
    format!("{folder}/{file}")
}

/// The machine of each input. The first input's is 0, the others count up as they are named.
#[must_use]
pub fn machines(spans: &[Span], relation: impl Fn(usize, usize) -> Relation) -> Vec<u16> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    // What holds nothing comes last: it fits anywhere.
    let began = |input: &usize| spans.get(*input).and_then(|span| span.time);
    order.sort_by_key(|input| (began(input).is_none(), began(input), *input));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for input in order {
        let Some(span) = spans.get(input) else {
            continue;
        };
        let best = (0..)
            .zip(&groups)
            .filter_map(|(at, group)| {
                let kin = kinship(spans, group, span, |other| relation(input, other))?;
                Some((kin, at))
            })
            .min();
        match best.and_then(|(_, at): (_, usize)| groups.get_mut(at)) {
            Some(group) => group.push(input),
            None => groups.push(vec![input]),
        }
    }
    numbered(spans.len(), groups)
}

/// How well an input goes with a group, the least being best: pieces of one capture, then one clock, then names alike,
/// then the smallest gap before it. `None` when they are different machines.
fn kinship(
    spans: &[Span],
    group: &[usize],
    span: &Span,
    relation: impl Fn(usize) -> Relation,
) -> Option<(bool, bool, bool, i64, usize)> {
    let (mut same, mut one_clock) = (false, false);
    let mut gap = i64::MAX;
    for other in group {
        let theirs = spans.get(*other)?;
        match relation(*other) {
            Relation::Same => same = true,
            Relation::Elsewhere => return None,
            Relation::OneClock | Relation::Nothing if overlap(span, theirs) => return None,
            Relation::OneClock => one_clock = true,
            Relation::Nothing => {}
        }
        if let (Some((begins, _)), Some((_, ended))) = (span.time, theirs.time) {
            gap = gap.min(begins.nanos_since(ended).saturating_abs());
        }
    }
    let named_alike = group
        .iter()
        .filter_map(|other| spans.get(*other))
        .any(|theirs| theirs.stem == span.stem);
    let first = group.iter().min().copied()?;
    Some((!same, !one_clock, !named_alike, gap, first))
}

/// Whether two inputs were captured at one time.
fn overlap(one: &Span, other: &Span) -> bool {
    let (Some(one), Some(other)) = (one.time, other.time) else {
        return false;
    };
    let shared = one.1.min(other.1).nanos_since(one.0.max(other.0));
    let shorter = one.1.nanos_since(one.0).min(other.1.nanos_since(other.0));
    let inside = |inner: (Timestamp, Timestamp), outer: (Timestamp, Timestamp)| {
        inner.0 > outer.0 && inner.1 < outer.1
    };
    inside(one, other) || inside(other, one) || shared > OVERLAP_MAX_NANOS.min(shorter / 4).max(0)
}

/// Numbers groups by the first of their inputs.
fn numbered(inputs: usize, mut groups: Vec<Vec<usize>>) -> Vec<u16> {
    groups.sort_by_key(|group| group.iter().min().copied());
    let mut machines = vec![0; inputs];
    for (number, group) in (0..).zip(groups) {
        for input in group {
            if let Some(machine) = machines.get_mut(input) {
                *machine = number;
            }
        }
    }
    machines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, from: i64, to: i64) -> Span {
        let second = |second: i64| Timestamp(second * 1_000_000_000);
        Span {
            time: Some((second(from), second(to))),
            stem: stem(Path::new(name)),
        }
    }

    fn nothing(_: usize, _: usize) -> Relation {
        Relation::Nothing
    }

    #[test]
    fn a_rotated_set_is_one_machine_in_any_order() {
        let mut set: Vec<Span> = (0..100)
            .map(|file| span(&format!("/t/dump.pcap{file}"), file * 60, file * 60 + 60))
            .collect();
        assert_eq!(machines(&set, nothing), vec![0; 100]);
        set.reverse();
        assert_eq!(machines(&set, nothing), vec![0; 100]);
    }

    #[test]
    fn what_was_captured_at_one_time_is_two_machines() {
        let spans = [span("a", 0, 60), span("b", 10, 70)];
        assert_eq!(machines(&spans, nothing), [0, 1]);
        // One moment inside the other.
        let spans = [span("a", 0, 60), span("b", 10, 10)];
        assert_eq!(machines(&spans, nothing), [0, 1]);
    }

    #[test]
    fn files_that_touch_or_nearly_are_a_set() {
        let spans = [span("a1", 60, 120), span("a0", 0, 61), span("b", 121, 121)];
        assert_eq!(machines(&spans, nothing), [0, 0, 0]);
        let fast = [span("a1", 1, 2), span("a0", 0, 2)];
        assert_eq!(machines(&fast, nothing), [0, 1]);
    }

    #[test]
    fn two_sets_of_two_machines_are_told_apart() {
        // The gateway's clock is hours behind, so that only shared packets and names tell.
        let late = -7_200;
        let spans = [
            span("client.pcap0", 0, 60),
            span("gateway_01.pcap", late, late + 65),
            span("client.pcap1", 60, 120),
            span("gateway_02.pcap", late + 65, late + 120),
            span("client.pcap2", 120, 180),
        ];
        let shared = [(0, 1), (1, 2), (2, 3)];
        let relation = |one: usize, other: usize| {
            let pair = (one.min(other), one.max(other));
            match shared.contains(&pair) {
                true => Relation::Elsewhere,
                false => Relation::Nothing,
            }
        };
        assert_eq!(machines(&spans, relation), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn without_telling_names_the_gap_decides() {
        let spans = [
            span("1", 0, 60),
            span("2", 1, 90),
            span("3", 60, 120),
            span("4", 90, 150),
        ];
        assert_eq!(machines(&spans, nothing), [0, 1, 0, 1]);
    }

    #[test]
    fn pieces_of_one_capture_are_one_machine_though_they_overlap() {
        let spans = [span("a", 0, 60), span("b", 30, 90), span("c", 10, 20)];
        let relation = |one: usize, other: usize| match (one.min(other), one.max(other)) {
            (0, 1) => Relation::Same,
            _ => Relation::Nothing,
        };
        assert_eq!(machines(&spans, relation), [0, 0, 1]);
    }

    #[test]
    fn one_clock_tells_more_than_names() {
        let spans = [
            span("1", 0, 60),
            span("b", 1, 61),
            span("2", 61, 90),
            span("b", 60, 90),
        ];
        let relation = |one: usize, other: usize| match (one.min(other), one.max(other)) {
            (0, 3) | (1, 2) => Relation::OneClock,
            _ => Relation::Nothing,
        };
        assert_eq!(machines(&spans, relation), [0, 1, 1, 0]);
    }

    #[test]
    fn an_empty_input_is_the_machine_of_its_name() {
        let empty = Span {
            time: None,
            stem: stem(Path::new("b.pcap7")),
        };
        let spans = [span("a", 0, 60), span("b.pcap6", 10, 50), empty.clone()];
        assert_eq!(machines(&spans, nothing), [0, 1, 1]);
        assert_eq!(machines(&[empty], nothing), [0]);
        assert!(machines(&[], nothing).is_empty());
    }
}
