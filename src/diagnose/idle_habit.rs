//! How a server treats idle connections. In: closes of connections on which nothing was outstanding, and what the
//! server announces. Out: after how long it closes them, after how many requests, and whose default that is.
//!
//! The rule: counted, never kept: a few rows for each server. A habit explains a close; it proves none.

use crate::frame::Mark;

/// Idle times that are told apart for one server; the rarest makes room for a new one.
const IDLE_KINDS_MAX: usize = 16;
/// Numbers of requests that are told apart for one server.
const LIMIT_KINDS_MAX: usize = 8;
/// A close this soon after an answer follows the answer and no idle timer, nanoseconds.
const IDLE_MIN_NANOS: i64 = 300_000_000;
/// Two idle times that differ less than this, or by a fiftieth, are one habit, nanoseconds.
const SAME_NANOS: i64 = 150_000_000;
/// Longest announced timeout that is believed, seconds: a day.
const ANNOUNCED_MAX_SECONDS: u32 = 86_400;

/// Servers and the seconds after which they close an idle connection by default (causes.md E.3).
const IDLE_DEFAULTS: &[(u32, &str)] = &[
    (2, "gunicorn"),
    (5, "Node http, Apache httpd, uvicorn or lighttpd"),
    (6, "Node http with its buffer of a second"),
    (20, "Tomcat's server.xml or Puma"),
    (30, "Jetty"),
    (60, "Tomcat, Spring Boot or Cowboy"),
    (65, "Node http or Puma of today"),
    (75, "nginx or aiohttp"),
    (120, "IIS"),
    (130, "Kestrel"),
    (180, "Traefik"),
    (300, "Caddy"),
    (3_600, "Envoy or Tornado"),
];

/// Servers and the requests after which they close a connection by default.
const LIMIT_DEFAULTS: &[(u32, &str)] = &[
    (100, "Apache httpd or Tomcat"),
    (1_000, "nginx or lighttpd"),
];

/// Devices on the way and the seconds after which they forget an idle connection (causes.md A.14).
const FORGETFUL: &[(u32, &str)] = &[
    (240, "Azure's load balancer"),
    (300, "many firewalls"),
    (350, "AWS's NAT gateway and network load balancer"),
    (600, "Google Cloud's connection tracking"),
    (900, "many firewalls"),
    (1_800, "many firewalls"),
    (3_600, "many firewalls"),
];

/// An idle time at which a server closed, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleClose {
    /// The latest such idle time, nanoseconds.
    pub nanos: i64,
    /// How many connections.
    pub count: u32,
}

/// What is known of one server endpoint.
#[derive(Clone, Debug, Default)]
pub struct Habit {
    idle: Vec<IdleClose>,
    limits: Vec<(u32, u32)>,
    announced: Option<(u32, Mark)>,
}

impl Habit {
    /// Notes that the server closed a connection on which nothing was outstanding, `idle_nanos` after its answer number
    /// `responses`.
    pub fn closed(&mut self, idle_nanos: i64, responses: u32) {
        if idle_nanos < IDLE_MIN_NANOS {
            if responses > 1 {
                let room = self.limits.len() < LIMIT_KINDS_MAX;
                let row = self
                    .limits
                    .iter_mut()
                    .find(|(limit, _)| *limit == responses);
                match row {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None if room => self.limits.push((responses, 1)),
                    None => {}
                }
            }
            return;
        }
        if let Some(known) = self
            .idle
            .iter_mut()
            .find(|known| same(known.nanos, idle_nanos))
        {
            known.count = known.count.saturating_add(1);
            known.nanos = idle_nanos;
            return;
        }
        if self.idle.len() >= IDLE_KINDS_MAX {
            let rarest = (0..self.idle.len())
                .min_by_key(|index| self.idle.get(*index).map(|known| known.count));
            if let Some(index) = rarest {
                self.idle.swap_remove(index);
            }
        }
        self.idle.push(IdleClose {
            nanos: idle_nanos,
            count: 1,
        });
    }

    /// Notes a `Keep-Alive: timeout=5, max=100` of the server.
    pub fn announces(&mut self, value: &str, at: Mark) {
        let seconds = value
            .split(',')
            .find_map(|part| part.trim().strip_prefix("timeout="))
            .and_then(|seconds| seconds.trim().parse::<u32>().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds <= ANNOUNCED_MAX_SECONDS) {
            self.announced = Some((seconds, at));
        }
    }

    /// The announced timeout, seconds, where the latest announcement was seen.
    #[must_use]
    pub fn announced(&self) -> Option<(u32, Mark)> {
        self.announced
    }

    /// How often the server closed after about this idle time.
    #[must_use]
    pub fn closes_after(&self, idle_nanos: i64) -> Option<IdleClose> {
        self.idle
            .iter()
            .copied()
            .find(|known| same(known.nanos, idle_nanos))
    }

    /// How often the server closed right after this many answers.
    #[must_use]
    pub fn closes_at_request(&self, responses: u32) -> Option<u32> {
        let row = self.limits.iter().find(|(limit, _)| *limit == responses)?;
        Some(row.1)
    }
}

fn same(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= SAME_NANOS.max(one / 50).unsigned_abs()
}

/// The servers that close an idle connection after this long by default.
#[must_use]
pub fn idle_default(idle_nanos: i64) -> Option<&'static str> {
    named(IDLE_DEFAULTS, idle_nanos)
}

/// The servers that close a connection after this many requests by default.
#[must_use]
pub fn limit_default(responses: u32) -> Option<&'static str> {
    let row = LIMIT_DEFAULTS
        .iter()
        .find(|(limit, _)| *limit == responses)?;
    Some(row.1)
}

/// The devices that have forgotten a connection after this long: those of the longest limit that is over.
#[must_use]
pub fn forgetful(idle_nanos: i64) -> Option<(u32, &'static str)> {
    let over = |(seconds, _): &&(u32, &str)| i64::from(*seconds) * 1_000_000_000 <= idle_nanos;
    FORGETFUL.iter().rev().find(over).copied()
}

fn named(table: &[(u32, &'static str)], nanos: i64) -> Option<&'static str> {
    let equals = |(seconds, _): &&(u32, &str)| same(i64::from(*seconds) * 1_000_000_000, nanos);
    table.iter().find(equals).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn closes_of_one_habit_are_counted_together() {
        let mut habit = Habit::default();
        for idle in [5_000_000_000, 5_003_000_000, 4_990_000_000] {
            habit.closed(idle, 3);
        }
        habit.closed(60 * SECOND, 1);
        assert_eq!(habit.closes_after(5_010_000_000).unwrap().count, 3);
        assert_eq!(habit.closes_after(59_500_000_000).unwrap().count, 1);
        assert_eq!(habit.closes_after(7 * SECOND), None);
        assert_eq!(habit.closes_at_request(3), None);
    }

    #[test]
    fn a_close_at_once_is_a_limit_of_requests() {
        let mut habit = Habit::default();
        habit.closed(1_000_000, 100);
        habit.closed(2_000_000, 100);
        habit.closed(2_000_000, 1);
        assert_eq!(habit.closes_at_request(100), Some(2));
        assert_eq!(habit.closes_at_request(1), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut habit = Habit::default();
        for second in 1..1_000 {
            habit.closed(second * 7 * SECOND, 1);
            habit.closed(0, u32::try_from(second).unwrap());
        }
        assert_eq!(habit.idle.len(), IDLE_KINDS_MAX);
        assert_eq!(habit.limits.len(), LIMIT_KINDS_MAX);
    }

    #[test]
    fn announcements_are_read() {
        let mut habit = Habit::default();
        habit.announces("max=3", Mark::default());
        habit.announces("timeout=99999999999", Mark::default());
        assert_eq!(habit.announced(), None);
        habit.announces("timeout=5, max=100", Mark::default());
        assert_eq!(habit.announced().unwrap().0, 5);
    }

    /// Values of the products' own documentation (causes.md E.3 and A.14).
    #[test]
    fn defaults_are_named() {
        assert!(idle_default(5_002_000_000).unwrap().contains("Node"));
        assert!(idle_default(74_200_000_000).unwrap().contains("nginx"));
        assert_eq!(idle_default(9 * SECOND), None);
        assert!(limit_default(100).unwrap().contains("Tomcat"));
        assert_eq!(forgetful(360 * SECOND).unwrap().0, 350);
        assert_eq!(forgetful(200 * SECOND), None);
    }
}
