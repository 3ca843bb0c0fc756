//! What holds for every format: nothing of the wire acts on a terminal, no secret gets through, and JSON is
//! what the schema says.

use serde_json::Value;

use super::*;
use crate::diagnose::finding::{ClientEvent, Diagnosis, Evidence, Finding};

/// Secrets in every shape in which the wire carries them; none may be seen.
const CANARY: &str = "c4n4ry";

/// Characters that act: ESC, C1 CSI, BEL, a bidi override, a zero width space, a line end, a tag.
const HOSTILE: &str = "\x1b[2J\u{9b}31m\x07\u{202e}\u{200b}\r\n\u{e0041}\x7f\0";

/// A clause from the wire with secrets and hostile characters.
fn planted() -> String {
    format!(
        "{HOSTILE} GET /a?token={CANARY}&x=1 http://u:{CANARY}@h/ \"Cookie: a={CANARY}\" \
         \"Authorization: Bearer {CANARY}\" eyJ{CANARY}.eyJ{CANARY}.{CANARY}"
    )
}

fn hostile_finding() -> Finding {
    let mut finding = sample::finding();
    finding.id.push_str(HOSTILE);
    finding.exchange.method = Some(planted());
    finding.exchange.target = Some(format!(
        "http://u:{CANARY}@h/a{HOSTILE};jsessionid={CANARY}?api_key={CANARY}&a=eyJ{CANARY}.eyJ{CANARY}.x#{HOSTILE}"
    ));
    finding.exchange.host = Some(planted());
    finding.gateway.version = Some(planted());
    finding.gateway.identified_by = vec![planted()];
    finding.detail = Some(planted());
    finding.confidence_reasons = vec![planted()];
    finding.caused_by = Some(HOSTILE.to_owned());
    for attempt in &mut finding.attempts {
        attempt.detail = Some(planted());
        attempt.matched_by = vec![planted()];
    }
    for evidence in &mut finding.evidence {
        evidence.summary = planted();
    }
    for out in &mut finding.ruled_out {
        out.reason = planted();
    }
    finding.not_observable = vec![planted()];
    finding.incident.push_str(HOSTILE);
    finding
}

fn hostile_diagnosis() -> Diagnosis {
    let mut diagnosis = sample::diagnosis();
    let finding = hostile_finding();
    diagnosis.incidents[0].id.clone_from(&finding.incident);
    diagnosis.incidents[0].findings = vec![finding.id.clone()];
    diagnosis.upstream_events[0].attempt.detail = Some(planted());
    diagnosis.client_events = vec![ClientEvent {
        code: "client-aborted",
        at: finding.at,
        client: finding.exchange.connection.client,
        gateway: finding.exchange.connection.server,
        tcp_stream: None,
        status: None,
        waited_nanos: 1,
        patience_seconds: None,
        evidence: finding
            .evidence
            .iter()
            .map(|evidence| Evidence {
                summary: planted(),
                ..evidence.clone()
            })
            .collect(),
    }];
    diagnosis.warnings[0].message = planted();
    diagnosis.warnings[0].remedy = planted();
    diagnosis.findings = vec![finding];
    diagnosis
}

fn written(format: &Format, report: &Report) -> String {
    let mut out = Vec::new();
    (format.write)(report, &View::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn no_format_lets_the_wire_act_on_a_terminal() {
    for show_secrets in [false, true] {
        let diagnosis = hostile_diagnosis();
        let report = sample::report_of(&diagnosis, show_secrets);
        for format in FORMATS {
            let text = written(format, &report);
            let acting = text.chars().find(|c| *c != '\n' && escape::acts(*c));
            assert_eq!(acting, None, "{}: {text}", format.name);
        }
    }
}

#[test]
fn no_format_shows_a_secret() {
    let diagnosis = hostile_diagnosis();
    let report = sample::report_of(&diagnosis, false);
    for format in FORMATS {
        let text = written(format, &report);
        assert!(!text.contains(CANARY), "{}: {text}", format.name);
        assert!(text.contains("<redacted:"), "{}", format.name);
    }
}

#[test]
fn show_secrets_shows_them_and_says_so() {
    let diagnosis = hostile_diagnosis();
    let report = sample::report_of(&diagnosis, true);
    assert_eq!(report.redaction, "off");
    for format in FORMATS {
        assert!(written(format, &report).contains(CANARY), "{}", format.name);
    }
}

#[test]
fn json_keeps_hostile_values_exact() {
    let diagnosis = hostile_diagnosis();
    let report = sample::report_of(&diagnosis, true);
    let json: Value = serde_json::from_str(&json_of(&report)).unwrap();
    assert_eq!(
        json["findings"][0]["evidence"][0]["summary"],
        Value::String(planted())
    );
}

#[test]
fn the_fixed_names_are_there() {
    let json: Value =
        serde_json::from_str(&json_of(&sample::report_of(&sample::diagnosis(), false))).unwrap();
    for pointer in [
        "/schema_version",
        "/gwcap/version",
        "/capture/inputs/0/path",
        "/capture/inputs/0/sha256",
        "/capture/inputs/0/format",
        "/capture/inputs/0/link_types/0",
        "/capture/inputs/0/frames",
        "/capture/inputs/0/bytes",
        "/capture/inputs/0/first_time",
        "/capture/inputs/0/last_time",
        "/capture/inputs/0/snap_length",
        "/capture/inputs/0/filter",
        "/capture/loss",
        "/summary/exchanges",
        "/summary/findings",
        "/summary/incidents",
        "/summary/application_errors",
        "/summary/client_aborts",
        "/summary/upstream_events",
        "/summary/by_cause/connect-refused",
        "/findings/0/id",
        "/findings/0/time",
        "/findings/0/failure",
        "/findings/0/status",
        "/findings/0/origin",
        "/findings/0/exchange/client",
        "/findings/0/exchange/gateway",
        "/findings/0/exchange/method",
        "/findings/0/exchange/target",
        "/findings/0/exchange/host",
        "/findings/0/exchange/http_version",
        "/findings/0/exchange/request_time",
        "/findings/0/exchange/response_time",
        "/findings/0/exchange/input",
        "/findings/0/exchange/tcp_stream",
        "/findings/0/exchange/frames/request",
        "/findings/0/exchange/frames/response",
        "/findings/0/gateway/product",
        "/findings/0/gateway/version",
        "/findings/0/gateway/identified_by",
        "/findings/0/cause/code",
        "/findings/0/cause/detail",
        "/findings/0/cause/title",
        "/findings/0/cause/explanation",
        "/findings/0/cause/confidence",
        "/findings/0/contributing",
        "/findings/0/caused_by",
        "/findings/0/upstream/address",
        "/findings/0/upstream/connection/client",
        "/findings/0/upstream/connection/server",
        "/findings/0/upstream/connection/tcp_stream",
        "/findings/0/attempts/0/cause",
        "/findings/0/attempts/0/upstream",
        "/findings/0/attempts/0/start",
        "/findings/0/attempts/0/end",
        "/findings/0/attempts/0/matched_by",
        "/findings/0/attempts/0/frames",
        "/findings/0/evidence/0/input",
        "/findings/0/evidence/0/frame",
        "/findings/0/evidence/0/time",
        "/findings/0/evidence/0/offset_ms",
        "/findings/0/evidence/0/leg",
        "/findings/0/evidence/0/summary",
        "/findings/0/ruled_out/0/code",
        "/findings/0/ruled_out/0/reason",
        "/findings/0/not_observable",
        "/findings/0/log_wording",
        "/findings/0/next_steps",
        "/findings/0/wireshark_filter",
        "/findings/0/incident",
        "/incidents/0/id",
        "/incidents/0/cause",
        "/incidents/0/gateway",
        "/incidents/0/upstream",
        "/incidents/0/count",
        "/incidents/0/first_time",
        "/incidents/0/last_time",
        "/incidents/0/findings",
        "/upstream_events/0",
        "/warnings/0/code",
        "/warnings/0/message",
        "/warnings/0/remedy",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
    }
    assert_eq!(
        json["findings"][0]["time"],
        "2026-11-20T13:04:05.123968789Z"
    );
    assert_eq!(json["upstream_events"][0]["gateway"], "[2001:db8::1]:45001");
    assert_eq!(
        json["findings"][0]["wireshark_filter"],
        "(ip.addr == 10.1.0.9 && ip.addr == 10.1.0.2 && tcp.port == 41234 && tcp.port == 80) || \
         (ip.addr == 10.2.0.2 && ip.addr == 10.2.0.3 && tcp.port == 45001 && tcp.port == 8080)"
    );
}

#[test]
fn json_obeys_the_schema() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut bare = sample::diagnosis();
    bare.findings[0].upstream = None;
    bare.findings[0].status = None;
    bare.findings[0].exchange.method = None;
    for diagnosis in [sample::diagnosis(), bare, Diagnosis::default()] {
        let json: Value =
            serde_json::from_str(&json_of(&sample::report_of(&diagnosis, false))).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    assert!(!validator.is_valid(&serde_json::json!({})));
}

#[test]
fn every_line_of_ndjson_is_an_event() {
    let diagnosis = sample::diagnosis();
    let report = sample::report_of(&diagnosis, false);
    let text = written(format_by_name("ndjson").unwrap(), &report);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "finding",
            "finding",
            "incident",
            "upstream_event",
            "warning",
            "summary"
        ]
    );
    assert_eq!(lines[0]["id"], "f-0-7");
    assert_eq!(lines[0]["final"], true);
    assert_eq!(lines[5]["findings"], 2);
}

fn json_of(report: &Report) -> String {
    written(format_by_name("json").unwrap(), report)
}
