use std::fs;
use std::path::Path;

use super::*;
use crate::diagnose::finding::Diagnosis;
use crate::report::escape;
use crate::report::sample;

/// GOLDEN=write in the environment writes the files instead of comparing with them.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "differs from {}", path.display());
}

#[test]
fn a_report_reads_as_its_golden() {
    let diagnosis = sample::diagnosis();
    let report = sample::report_of(&diagnosis, false);
    golden("report.txt", &render(&report, &View::default()));
}

#[test]
fn names_stand_beside_addresses_and_cannot_act() {
    let mut diagnosis = sample::diagnosis();
    let addr = "10.2.0.3".parse().unwrap();
    diagnosis.names.insert(addr, "db1\u{1b}[2J".to_owned());
    let text = render(&sample::report_of(&diagnosis, false), &View::default());
    assert!(text.contains("-> 10.2.0.3:8080 (db1\\x1b[2J)"), "{text}");
    assert!(!text.contains('\u{1b}'));
    diagnosis.names.insert(addr, "x".repeat(253));
    let text = render(&sample::report_of(&diagnosis, false), &View::default());
    assert!(!text.contains(&"x".repeat(60)));
}

#[test]
fn quiet_is_the_summary_alone() {
    let diagnosis = sample::diagnosis();
    let report = sample::report_of(&diagnosis, false);
    let view = View {
        quiet: true,
        ..View::default()
    };
    golden("report-quiet.txt", &render(&report, &view));
}

#[test]
fn healthy_traffic_has_one_line_of_health() {
    let mut diagnosis = Diagnosis::default();
    diagnosis.health.exchanges = 120;
    diagnosis.health.connections = 14;
    let text = render(&sample::report_of(&diagnosis, false), &View::default());
    assert!(
        text.contains("\nNo gateway errors: 120 exchanges on 14 connections, 0 retransmissions, "),
        "{text}"
    );
}

#[test]
fn a_capture_without_http_is_not_called_healthy() {
    let text = render(
        &sample::report_of(&Diagnosis::default(), false),
        &View::default(),
    );
    assert!(text.contains("nothing can be said"), "{text}");
}

#[test]
fn warnings_stand_before_details() {
    let text = render(
        &sample::report_of(&sample::diagnosis(), false),
        &View::default(),
    );
    assert!(text.find("! icmp-not-captured").unwrap() < text.find("1. connect-refused").unwrap());
}

#[test]
fn many_findings_are_counted_and_not_listed() {
    let mut diagnosis = sample::diagnosis();
    for number in 100..150 {
        let mut finding = sample::finding();
        finding.id = format!("f-0-{number}");
        diagnosis.incidents[0].findings.push(finding.id.clone());
        diagnosis.findings.push(finding);
    }
    let text = render(&sample::report_of(&diagnosis, false), &View::default());
    assert!(text.contains("51 more of the same"), "{text}");
    assert!(text.contains("and 43 more: use -f json"), "{text}");
    assert!(text.lines().count() < 80, "{text}");
}

#[test]
fn no_line_of_prose_is_wider_than_the_page() {
    let text = render(
        &sample::report_of(&sample::diagnosis(), false),
        &View::default(),
    );
    for line in text.lines().filter(|line| !line.contains("tcp.port")) {
        assert!(line.chars().count() <= page::WIDTH_MAX, "{line}");
    }
}

#[test]
fn only_line_ends_and_own_colours_act_on_the_terminal() {
    let diagnosis = sample::diagnosis();
    let report = sample::report_of(&diagnosis, false);
    let view = View {
        color: true,
        ..View::default()
    };
    let coloured = render(&report, &view);
    let plain = render(&report, &View::default());
    assert!(coloured.contains('\x1b'));
    assert!(!plain.chars().any(|c| c != '\n' && escape::acts(c)));
}
