//! A hand-made diagnosis for the tests of the formats: two refused connections behind nginx.

use std::sync::LazyLock;

use crate::capture::InputFacts;
use crate::diagnose::contrast::Common;
use crate::diagnose::finding::{
    AttemptReport, Confidence, ConnectionName, Diagnosis, Evidence, FailedExchange, Failure,
    Finding, GatewayName, Health, Incident, Leg, Origin, RuledOut, UpstreamEvent, Warning,
};
use crate::flow::Endpoint;
use crate::frame::{FrameId, LinkType, Mark};
use crate::loss::Loss;
use crate::report::assemble::Analysis;
use crate::report::model::Report;
use crate::tcp::event::ConnectionId;
use crate::time::Timestamp;

/// 2026-11-20T13:04:05.123456789Z.
const START: Timestamp = Timestamp(1_795_179_845_123_456_789);

/// Frame `number`, `micros` after the start.
pub(super) fn mark(number: u64, micros: i64) -> Mark {
    Mark {
        time: START.plus_nanos(micros * 1000),
        frame: FrameId::new(0, number),
    }
}

fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint::new(address.ip(), address.port())
}

fn connection(first: u64, client: &str, server: &str) -> ConnectionName {
    ConnectionName {
        id: ConnectionId(FrameId::new(0, first)),
        client: endpoint(client),
        server: endpoint(server),
        tcp_stream: Some(first as u32 / 4),
        views: Vec::new(),
    }
}

fn evidence(number: u64, micros: i64, leg: Leg, summary: &str) -> Evidence {
    Evidence {
        mark: mark(number, micros),
        leg,
        summary: summary.to_owned(),
    }
}

fn attempt() -> AttemptReport {
    AttemptReport {
        cause: Some("connect-refused"),
        detail: None,
        upstream: Some(endpoint("10.2.0.3:8080")),
        connection: Some(connection(5, "10.2.0.2:45001", "10.2.0.3:8080")),
        start: mark(5, 300).time,
        end: Some(mark(6, 340).time),
        matched_by: vec!["the only attempt in the window".to_owned()],
        frames: vec![mark(5, 300), mark(6, 340)],
    }
}

/// The finding whose error is in frame 7.
pub(super) fn finding() -> Finding {
    Finding {
        id: "f-0-7".to_owned(),
        at: mark(7, 512),
        failure: Failure::Status,
        status: Some(502),
        origin: Origin::Generated,
        exchange: FailedExchange {
            connection: connection(1, "10.1.0.9:41234", "10.1.0.2:80"),
            index: 0,
            method: Some("GET".to_owned()),
            target: Some("/orders?token=hunter2&page=2".to_owned()),
            host: Some("shop.example".to_owned()),
            http_version: Some("1.1"),
            request: mark(4, 0),
            response: mark(7, 512),
        },
        gateway: GatewayName {
            product: Some("nginx"),
            version: Some("1.22.1".to_owned()),
            identified_by: vec!["Server: nginx/1.22.1".to_owned()],
        },
        code: "connect-refused",
        detail: None,
        confidence: Confidence::Certain,
        confidence_reasons: vec!["the RST was seen".to_owned()],
        contributing: vec![],
        caused_by: None,
        blames: None,
        upstream: Some(endpoint("10.2.0.3:8080")),
        upstream_connection: Some(connection(5, "10.2.0.2:45001", "10.2.0.3:8080")),
        interchangeable: false,
        attempts: vec![attempt()],
        evidence: vec![
            evidence(5, 300, Leg::Upstream, "SYN to 10.2.0.3:8080"),
            evidence(6, 340, Leg::Upstream, "RST answers the SYN"),
            evidence(
                7,
                512,
                Leg::Client,
                "502 Bad Gateway, 0.172 ms after the RST",
            ),
        ],
        ruled_out: vec![RuledOut {
            code: "connect-timeout",
            reason: "the SYN was answered".to_owned(),
        }],
        not_observable: vec!["Why nobody listens: look at the upstream's host.".to_owned()],
        incident: "i-0-7".to_owned(),
        traits: Default::default(),
        handshake: None,
    }
}

/// Two findings, one incident, one upstream event, one warning.
pub(super) fn diagnosis() -> Diagnosis {
    let first = finding();
    let second = Finding {
        id: "f-0-15".to_owned(),
        at: mark(15, 900_100),
        confidence: Confidence::Likely,
        ..first.clone()
    };
    Diagnosis {
        incidents: vec![Incident {
            id: first.incident.clone(),
            code: first.code,
            gateway: first.exchange.connection.server,
            upstream: first.upstream,
            first: first.at.time,
            last: second.at.time,
            findings: vec![first.id.clone(), second.id.clone()],
            clients: 1,
            targets: 1,
            went_well: Some(38),
            failed_there: Some(2),
            in_common: vec![Common {
                words: "were POST requests".to_owned(),
                failures: 2,
                successes: 1,
                successes_total: 40,
            }],
        }],
        findings: vec![first, second],
        upstream_events: vec![UpstreamEvent {
            attempt: attempt(),
            gateway: endpoint("[2001:db8::1]:45001"),
        }],
        warnings: vec![Warning {
            code: "icmp-not-captured",
            message: "No ICMP was seen and the filter would have dropped it.".to_owned(),
            remedy: "Capture with `port 80 or port 8080 or icmp`.".to_owned(),
        }],
        health: Health {
            exchanges: 12,
            connections: 9,
            retransmissions: 1,
            application_errors: 0,
            client_aborts: 2,
            ..Health::default()
        },
        ..Diagnosis::default()
    }
}

/// What `report_of` reads.
pub(super) fn inputs() -> Vec<InputFacts> {
    vec![InputFacts {
        path: "capture.pcapng".to_owned(),
        format: "pcapng",
        link_types: vec![LinkType::ETHERNET],
        frames: 40,
        bytes: 9_617,
        first_time: Some(mark(1, -2_000).time),
        last_time: Some(mark(40, 2_331_000).time),
        snap_length: Some(262_144),
        filter: None,
        ..InputFacts::default()
    }]
}

/// The report of a diagnosis, with fixed words in the place of the registers' own.
pub(super) fn report_of(diagnosis: &Diagnosis, show_secrets: bool) -> Report<'_> {
    static INPUTS: LazyLock<Vec<InputFacts>> = LazyLock::new(inputs);
    static LOSS: LazyLock<Loss> = LazyLock::new(|| {
        let mut loss = Loss::default();
        loss.add("frames_cut", 3);
        loss.skip("QUIC");
        loss
    });
    let mut report = Report::from(&Analysis {
        diagnosis,
        inputs: &INPUTS,
        hashes: &[],
        loss: &LOSS,
        gwcap_version: "0.1.0",
        show_secrets,
        show_names: true,
    });
    report.findings = report.findings.changed(|finding| {
        finding.cause.title = "The upstream refused the connection";
        finding.cause.explanation =
            "The upstream answered the SYN with RST: nobody listens on that port, or a \
            firewall rejects. It was decided by the upstream's host, before any HTTP.";
        finding.next_steps = vec!["Check that it listens: `ss -ltn 'sport = :8080'`.".to_owned()];
    });
    report
}
