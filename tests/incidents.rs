//! Incidents: how often, which share, and what their failures have in common. Written conversations of what the lab does
//! not record: a few failures among many successes.

use gwcap::analyzer::Analysis;
use gwcap::diagnose::finding::Incident;

use crate::support::analyse;
use crate::support::wire::{Leg, Listener, Opener, Wire};

const GATEWAY: &str = "10.0.0.1:80";
const UPSTREAM: &str = "10.0.0.3:8080";
const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const HAPROXY_503: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";

fn judged(wire: &Wire) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    analyse(&wire.write(folder.path()), 1, 1 << 20)
}

/// The one incident of a conversation.
fn only(analysis: &Analysis) -> &Incident {
    let incidents = &analysis.diagnosis.incidents;
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    &incidents[0]
}

/// A gateway with a client and a pool of connections.
struct Stage {
    wire: Wire,
    client: Leg,
    port: u16,
}

impl Stage {
    fn new() -> Self {
        let mut wire = Wire::new();
        let client = wire.connects("10.0.0.9:40000", GATEWAY);
        Self {
            wire,
            client,
            port: 50_000,
        }
    }

    fn outgoing(&mut self) -> String {
        self.port += 1;
        format!("10.0.0.1:{}", self.port)
    }

    /// New connections of the pool, each of which has served once.
    fn pool(&mut self, size: usize) -> Vec<Leg> {
        let opened: Vec<Leg> = (0..size)
            .map(|_| {
                let from = self.outgoing();
                self.wire.connects(&from, UPSTREAM)
            })
            .collect();
        for leg in &opened {
            self.serves(*leg);
        }
        opened
    }

    fn serves(&mut self, upstream: Leg) {
        let client = self.client;
        self.wire
            .says(client, Opener, GET)
            .says(upstream, Opener, GET);
        self.wire
            .says(upstream, Listener, OK)
            .says(client, Listener, OK);
        self.wire.waits_ms(20);
    }

    /// The upstream ends these connections, and the gateway follows.
    fn ends(&mut self, pool: &[Leg]) {
        for leg in pool {
            self.wire.closes(*leg, Listener);
        }
        for leg in pool {
            self.wire.closes(*leg, Opener).acks(*leg, Listener);
        }
    }

    fn refused(&mut self, count: usize) {
        for _ in 0..count {
            let (client, from) = (self.client, self.outgoing());
            self.wire.says(client, Opener, GET);
            let upstream = self.wire.syn(&from, UPSTREAM);
            self.wire
                .resets(upstream, Listener)
                .says(client, Listener, HAPROXY_503);
            self.wire.waits_ms(500);
        }
    }
}

fn told_of_restart(incident: &Incident) -> bool {
    let common = incident.in_common.iter();
    common
        .clone()
        .any(|common| common.words.contains("as in a restart"))
}

#[test]
fn failures_after_a_restart_are_told_by_it() {
    let mut stage = Stage::new();
    let pool = stage.pool(4);
    (0..60).for_each(|turn| stage.serves(pool[turn % 4]));
    stage.ends(&pool);
    stage.refused(5);
    let again = stage.pool(2);
    stage.wire.waits_ms(3_000);
    (0..20).for_each(|turn| stage.serves(again[turn % 2]));
    let analysis = judged(&stage.wire);
    let incident = only(&analysis);
    assert_eq!(
        (incident.code, incident.findings.len()),
        ("connect-refused", 5)
    );
    assert!(told_of_restart(incident), "{:#?}", incident.in_common);
    // Five of the gateway's requests failed, and 4 + 60 + 2 + 20 went well.
    assert_eq!(
        (incident.failed_there, incident.went_well),
        (Some(5), Some(86))
    );
    let share = incident.share_failed_there().unwrap();
    assert!((share - 5.0 / 91.0).abs() < 1e-9);
    // Four more in two seconds after the first.
    let rate = incident.rate_per_minute().unwrap();
    assert!((rate - 120.0).abs() < 2.0, "{rate}");
    assert_eq!((incident.clients, incident.targets), (1, 1));
}

#[test]
fn idle_connections_that_time_out_together_are_no_restart() {
    let mut stage = Stage::new();
    let pool = stage.pool(4);
    (0..60).for_each(|turn| stage.serves(pool[turn % 4]));
    stage.wire.waits_ms(5_000);
    stage.ends(&pool);
    // It takes new connections at once, and fails otherwise.
    let again = stage.pool(2);
    for _ in 0..5 {
        let (client, from) = (stage.client, stage.outgoing());
        stage.wire.says(client, Opener, GET);
        let upstream = stage.wire.connects(&from, UPSTREAM);
        stage
            .wire
            .says(upstream, Opener, GET)
            .resets(upstream, Listener);
        stage.wire.says(client, Listener, HAPROXY_503).waits_ms(100);
    }
    (0..20).for_each(|turn| stage.serves(again[turn % 2]));
    let analysis = judged(&stage.wire);
    assert!(!told_of_restart(only(&analysis)));
}

#[test]
fn an_upstream_that_never_came_back_was_not_restarted() {
    let mut stage = Stage::new();
    let pool = stage.pool(4);
    (0..60).for_each(|turn| stage.serves(pool[turn % 4]));
    stage.ends(&pool);
    stage.refused(5);
    let analysis = judged(&stage.wire);
    assert!(!told_of_restart(only(&analysis)));
}

#[test]
fn errors_of_one_moment_have_no_rate() {
    let mut stage = Stage::new();
    stage.refused(2);
    let analysis = judged(&stage.wire);
    assert_eq!(only(&analysis).rate_per_minute(), None);
}
