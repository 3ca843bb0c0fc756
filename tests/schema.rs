//! The report of every case keeps the published schema and the names that are fixed for ever.

use serde_json::Value;

use crate::support::{Run, assert_schema, case_folders, inputs_of, written};

/// Names that scripts of users depend on, as JSON pointers; `*` stands for each element of a list.
const FIXED: &[&str] = &[
    "/schema_version",
    "/gwcap/version",
    "/capture/inputs/*/path",
    "/capture/inputs/*/sha256",
    "/capture/inputs/*/format",
    "/capture/inputs/*/link_types",
    "/capture/inputs/*/frames",
    "/capture/inputs/*/bytes",
    "/capture/inputs/*/first_time",
    "/capture/inputs/*/last_time",
    "/capture/inputs/*/snap_length",
    "/capture/inputs/*/filter",
    "/capture/inputs/*/tls_secrets",
    "/capture/loss",
    "/capture/names",
    "/summary/exchanges",
    "/summary/findings",
    "/summary/incidents",
    "/summary/application_errors",
    "/summary/client_aborts",
    "/summary/upstream_events",
    "/summary/by_cause",
    "/findings/*/id",
    "/findings/*/time",
    "/findings/*/failure",
    "/findings/*/status",
    "/findings/*/origin",
    "/findings/*/exchange/client",
    "/findings/*/exchange/gateway",
    "/findings/*/exchange/method",
    "/findings/*/exchange/target",
    "/findings/*/exchange/host",
    "/findings/*/exchange/http_version",
    "/findings/*/exchange/request_time",
    "/findings/*/exchange/response_time",
    "/findings/*/exchange/input",
    "/findings/*/exchange/tcp_stream",
    "/findings/*/exchange/frames/request",
    "/findings/*/exchange/frames/response",
    "/findings/*/gateway/product",
    "/findings/*/gateway/version",
    "/findings/*/gateway/identified_by",
    "/findings/*/cause/code",
    "/findings/*/cause/detail",
    "/findings/*/cause/title",
    "/findings/*/cause/explanation",
    "/findings/*/cause/confidence",
    "/findings/*/contributing",
    "/findings/*/caused_by",
    "/findings/*/upstream",
    "/findings/*/attempts/*/cause",
    "/findings/*/attempts/*/upstream",
    "/findings/*/attempts/*/start",
    "/findings/*/attempts/*/end",
    "/findings/*/attempts/*/matched_by",
    "/findings/*/attempts/*/frames",
    "/findings/*/evidence/*/input",
    "/findings/*/evidence/*/frame",
    "/findings/*/evidence/*/time",
    "/findings/*/evidence/*/offset_ms",
    "/findings/*/evidence/*/leg",
    "/findings/*/evidence/*/summary",
    "/findings/*/ruled_out/*/code",
    "/findings/*/ruled_out/*/reason",
    "/findings/*/not_observable",
    "/findings/*/log_wording/*/product",
    "/findings/*/log_wording/*/text",
    "/findings/*/next_steps",
    "/findings/*/wireshark_filter",
    "/findings/*/incident",
    "/incidents/*/id",
    "/incidents/*/cause",
    "/incidents/*/gateway",
    "/incidents/*/upstream",
    "/incidents/*/count",
    "/incidents/*/first_time",
    "/incidents/*/last_time",
    "/incidents/*/findings",
    "/upstream_events",
    "/warnings/*/code",
    "/warnings/*/message",
    "/warnings/*/remedy",
];

/// How often a fixed name was found, or `None` where it is missing.
fn count(value: &Value, path: &str) -> Option<usize> {
    let Some((name, rest)) = path.trim_start_matches('/').split_once('/') else {
        return match value {
            _ if path.is_empty() => Some(1),
            value => value.get(path.trim_start_matches('/')).map(|_| 1),
        };
    };
    match (name, value) {
        ("*", Value::Array(list)) => list.iter().map(|item| count(item, rest)).sum(),
        (name, value) => count(value.get(name)?, rest),
    }
}

#[test]
fn every_report_keeps_the_schema_and_the_fixed_names() {
    let mut found = vec![0; FIXED.len()];
    for folder in case_folders() {
        let name = folder.display().to_string();
        let json = written(
            &Run::of_all(&inputs_of(&folder), 1, 1 << 20)
                .unwrap()
                .report(false),
            "json",
        );
        assert_schema(&json, &name);
        let value: Value = serde_json::from_str(&json).unwrap();
        for (path, found) in FIXED.iter().zip(&mut found) {
            *found += count(&value, path).unwrap_or_else(|| panic!("{name}: {path} is missing"));
        }
    }
    // A list that is empty everywhere would have proved nothing.
    let untested = FIXED.iter().zip(&found).filter(|(_, found)| **found == 0);
    let untested: Vec<_> = untested.map(|(path, _)| path).collect();
    assert!(untested.is_empty(), "never seen: {untested:?}");
}

#[test]
fn each_line_of_ndjson_is_an_event_and_holds_the_same_objects() {
    for folder in case_folders() {
        let run = Run::of_all(&inputs_of(&folder), 1, 1 << 20).unwrap();
        let report = run.report(false);
        let lines: Vec<Value> = written(&report, "ndjson")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
        let name = folder.display();
        assert_eq!(of("finding"), report.findings.len(), "{name}");
        assert_eq!(of("incident"), report.incidents.len(), "{name}");
        assert_eq!(of("summary"), 1, "{name}");
    }
}
