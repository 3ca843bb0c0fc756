//! In whose turn an answer went out. In: when the answers and failures of upstreams came to a gateway, and when its
//! own answers went to clients. Out: for one of each how far they are from being each other's.
//!
//! The rule: an event loop takes what came in its turn, so that the n-th answer belongs to the n-th event, counted
//! from a moment at which nothing was left to do. A busy gateway lets everything wait, and the gap alone misleads.

use crate::time::Timestamp;

/// The count is taken anew from the least that was left to do within this on either side, nanoseconds: what comes and
/// never goes out (a retry, a check), or goes out unasked, is forgotten after so long.
pub const RECOUNT_NANOS: i64 = 250_000_000;

/// With fewer than this around, one frame that is missing would be taken for a turn; and who has little to do lets
/// nothing wait.
const COUNTED_MIN: usize = 16;

/// Where more than one in so many came and never went out, or went out unasked, nothing is known of turns.
const UNEVEN_SHARE: usize = 4;

/// What came and what went, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    came: Vec<Timestamp>,
    went: Vec<Timestamp>,
    /// For each that went: what came and never goes out, as far as is known around that moment.
    stays: Vec<i64>,
}

/// How far an event and an answer are from being each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distance {
    /// Events between the one and the one whose turn it was.
    pub places: u64,
    /// Whether the event came before the one whose turn it was.
    pub before: bool,
    /// The time between those, nanoseconds.
    pub nanos: i64,
    /// How long the one whose turn it was had waited, nanoseconds.
    pub waited: i64,
}

impl Distance {
    /// The same where up to `count` earlier ones may not have been counted yet: the event may come so much after its turn.
    #[must_use]
    pub fn less_what_waits(self, count: u64) -> Self {
        let off = if self.before { 0 } else { count };
        Self {
            places: self.places.saturating_sub(off),
            ..self
        }
    }
}

impl Backlog {
    /// Counts, in any order, what `came` and what `went`.
    #[must_use]
    pub fn new(mut came: Vec<Timestamp>, mut went: Vec<Timestamp>) -> Self {
        came.sort_unstable();
        went.sort_unstable();
        let left: Vec<i64> = went
            .iter()
            .zip(1_i64..)
            .map(|(at, gone)| signed(came.partition_point(|other| other <= at)) - gone)
            .collect();
        let stays = least_around(&went, &left);
        Self { came, went, stays }
    }

    /// Whose turn it was when an answer went out at `went`; `None` where nothing is known.
    #[must_use]
    pub fn turn(&self, went: Timestamp) -> Option<Turn> {
        let answer = self.went.partition_point(|other| *other < went);
        let around = |times: &[Timestamp]| {
            let (from, until) = (
                went.plus_nanos(-RECOUNT_NANOS),
                went.plus_nanos(RECOUNT_NANOS),
            );
            let before = times.partition_point(|other| *other < from);
            times.partition_point(|other| *other < until) - before
        };
        let (all_came, all_went) = (around(&self.came), around(&self.went));
        if all_went < COUNTED_MIN || all_came.abs_diff(all_went) > all_went / UNEVEN_SHARE {
            return None;
        }
        let place = signed(answer) + self.stays.get(answer)?;
        let due = *self.came.get(usize::try_from(place).ok()?)?;
        Some(Turn { place, due, went })
    }

    /// How far the event that came at `came` is from the one whose turn it was.
    #[must_use]
    pub fn distance(&self, came: Timestamp, turn: Turn) -> Distance {
        let place = signed(self.came.partition_point(|other| *other < came));
        Distance {
            places: turn.place.abs_diff(place),
            before: place < turn.place,
            nanos: turn.due.nanos_since(came).saturating_abs(),
            waited: turn.went.nanos_since(turn.due).max(0),
        }
    }
}

/// The event whose turn it was when an answer went out.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Its number, by the order in which they came.
    place: i64,
    /// When it came.
    due: Timestamp,
    went: Timestamp,
}

/// For each moment the least of `values` within [`RECOUNT_NANOS`] of it.
fn least_around(at: &[Timestamp], values: &[i64]) -> Vec<i64> {
    // Indices whose values rise: the first is the least of those in reach.
    let mut rising: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
    let mut next = 0;
    let mut least = Vec::with_capacity(at.len());
    let value = |index: usize| values.get(index).copied().unwrap_or(i64::MAX);
    for now in at {
        let in_reach = |index: usize| {
            at.get(index)
                .is_some_and(|other| other.nanos_since(*now).saturating_abs() <= RECOUNT_NANOS)
        };
        while next < at.len() && in_reach(next) {
            while rising
                .back()
                .is_some_and(|last| value(*last) >= value(next))
            {
                rising.pop_back();
            }
            rising.push_back(next);
            next += 1;
        }
        while rising.front().is_some_and(|first| !in_reach(*first)) {
            rising.pop_front();
        }
        least.push(rising.front().map_or(0, |first| value(*first)));
    }
    least
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: impl IntoIterator<Item = i64>) -> Vec<Timestamp> {
        millis
            .into_iter()
            .map(|millis| Timestamp(millis * 1_000_000))
            .collect()
    }

    fn places(backlog: &Backlog, came: i64, went: i64) -> Option<u64> {
        let [came, went] = [came, went].map(|millis| Timestamp(millis * 1_000_000));
        Some(backlog.distance(came, backlog.turn(went)?).places)
    }

    /// A crowd that is served at once, an event and its answer every millisecond from `from` on.
    fn crowd(from: i64) -> (Vec<i64>, Vec<i64>) {
        let came: Vec<i64> = (0..20).map(|turn| from + turn).collect();
        (came.clone(), came)
    }

    /// The same, and what else came and went.
    fn with_crowd(from: i64, came: &[i64], went: &[i64]) -> Backlog {
        let (mut all_came, mut all_went) = crowd(from);
        all_came.extend(came);
        all_went.extend(went);
        Backlog::new(at(all_came), at(all_went))
    }

    #[test]
    fn what_waits_is_taken_in_its_turn() {
        // Idle at 120; then four come while the gateway is busy, and go out together.
        let backlog = with_crowd(100, &[130, 131, 132, 133], &[150, 151, 152, 153]);
        for (came, went) in [(110, 110), (130, 150), (131, 151), (132, 152), (133, 153)] {
            assert_eq!(places(&backlog, came, went), Some(0));
        }
        assert_eq!(
            places(&backlog, 133, 150),
            Some(3),
            "the latest is not its own"
        );
        let apart = |came: i64, went: i64| {
            let turn = backlog.turn(Timestamp(went))?;
            Some(backlog.distance(Timestamp(came), turn))
        };
        let late = apart(133_000_000, 150_000_000);
        let late = late.map(|apart| (apart.before, apart.nanos, apart.waited));
        assert_eq!(late, Some((false, 3_000_000, 20_000_000)));
        let early = apart(130_000_000, 153_000_000);
        assert_eq!(early.map(|apart| apart.before), Some(true));
        let before = early.map(|apart| apart.less_what_waits(2).places);
        assert_eq!(before, Some(3), "nothing that waits makes it come earlier");
    }

    #[test]
    fn what_never_goes_out_is_counted_out() {
        // The event at 50 is a retry's: nothing goes out for it, then or later.
        let backlog = with_crowd(100, &[50, 130, 131], &[150, 151]);
        for (came, went) in [(110, 110), (130, 150), (131, 151)] {
            assert_eq!(places(&backlog, came, went), Some(0));
        }
        // What goes out without an event shifts the count only while it is near.
        let late = 1_000;
        let backlog = with_crowd(late, &[late + 30, late + 31], &[3, late + 50, late + 51]);
        assert_eq!(places(&backlog, late + 30, late + 50), Some(0));
        assert_eq!(places(&backlog, late + 31, late + 51), Some(0));
    }

    #[test]
    fn nothing_is_known_of_a_few_or_beyond_what_was_seen() {
        let backlog = Backlog::new(at([1, 2]), at([1, 3]));
        assert_eq!(places(&backlog, 2, 3), None, "a few prove no order");
        let backlog = with_crowd(100, &[], &[]);
        assert_eq!(places(&backlog, 119, 130), None, "nothing went out then");
        assert_eq!(places(&Backlog::default(), 1, 2), None);
    }
}
