//! The numbers of a running capture for Prometheus. In: findings, and the state of a run. Out: its text format 0.0.4.
//!
//! The rule: counters never fall. A gateway error is therefore counted when its cause has settled, some seconds after it was
//! told; how many were told at all is counted at once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gwcap::capture::InputFacts;
use gwcap::diagnose::finding::{Finding, News};
use gwcap::time::{NANOS_PER_SECOND, Timestamp};

use crate::run::memory;

/// Most rows of one counter: each is a time series that somebody's server keeps. Errors of further gateways and upstreams
/// are counted under `other`.
const LABEL_SETS_MAX: usize = 500;

/// How long a first verdict waits for the second, which comes about three seconds after the error as long as frames come.
const SETTLING: Duration = Duration::from_secs(6);

/// Most first verdicts that wait; further ones are counted as they were told.
const SETTLING_MAX: usize = 10_000;

/// The value of a label that has none.
const NONE: &str = "none";
/// The value of labels beyond [`LABEL_SETS_MAX`].
const OTHER: &str = "other";

/// Cause, gateway and upstream.
type Labels = (&'static str, String, String);

/// What is counted over a run.
#[derive(Debug, Default)]
pub struct Metrics {
    errors: BTreeMap<Labels, u64>,
    settling: VecDeque<(Instant, String, Labels)>,
    findings: u64,
}

/// The state of a run at one moment.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// The inputs.
    pub inputs: &'a [InputFacts],
    /// Complete exchanges.
    pub exchanges: u64,
    /// Time of the latest frame.
    pub latest: Option<Timestamp>,
    /// The machine's time.
    pub now: Option<Timestamp>,
    /// Runs of --on-finding that there was no room for.
    pub programs_dropped: u64,
}

impl Metrics {
    /// Takes what was told.
    pub fn note(&mut self, news: &News) {
        if news.revision == 0 {
            self.findings = self.findings.saturating_add(1);
        }
        let labels = labels(&news.finding);
        let waiting = |(_, id, _): &(Instant, String, Labels)| *id == news.finding.id;
        match self.settling.iter().position(waiting) {
            Some(place) if news.settled => {
                self.settling.remove(place);
                self.count(labels);
            }
            Some(_) => {}
            None if news.settled && news.revision == 0 => self.count(labels),
            // It waited too long and was counted.
            None if news.settled => {}
            None if self.settling.len() >= SETTLING_MAX => self.count(labels),
            None => {
                let id = news.finding.id.clone();
                self.settling.push_back((Instant::now(), id, labels));
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some((since, ..)) = self.settling.front()
            && now.saturating_duration_since(*since) >= SETTLING
            && let Some((.., labels)) = self.settling.pop_front()
        {
            self.count(labels);
        }
    }

    fn count(&mut self, labels: Labels) {
        let known = self.errors.contains_key(&labels) || self.errors.len() < LABEL_SETS_MAX;
        let labels = match known {
            true => labels,
            false => (labels.0, OTHER.to_owned(), OTHER.to_owned()),
        };
        let count = self.errors.entry(labels).or_default();
        *count = count.saturating_add(1);
    }

    /// The page.
    pub fn page(&mut self, state: &State<'_>, now: Instant) -> String {
        self.settle(now);
        let mut page = String::new();
        let sum = |of: fn(&InputFacts) -> u64| state.inputs.iter().map(of).sum::<u64>();
        row(
            &mut page,
            "gwcap_build_info",
            "gauge",
            "The version of gwcap that runs.",
        );
        sample(
            &mut page,
            "gwcap_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1,
        );
        for (name, help, value) in [
            (
                "gwcap_exchanges_total",
                "Complete HTTP exchanges of clients.",
                state.exchanges,
            ),
            (
                "gwcap_findings_total",
                "Gateway errors that were told, their cause settled or not.",
                self.findings,
            ),
            (
                "gwcap_frames_total",
                "Frames that were captured.",
                sum(|input| input.frames),
            ),
            (
                "gwcap_captured_bytes_total",
                "Bytes of frames that were captured.",
                sum(|input| input.bytes),
            ),
            (
                "gwcap_kernel_drops_total",
                "Frames that the kernel dropped because gwcap was slow.",
                sum(|input| input.kernel_drops),
            ),
            (
                "gwcap_interface_drops_total",
                "Frames that network interfaces dropped.",
                sum(|input| input.interface_drops),
            ),
            (
                "gwcap_on_finding_dropped_total",
                "Runs of the --on-finding program that there was no room for.",
                state.programs_dropped,
            ),
        ] {
            row(&mut page, name, "counter", help);
            sample(&mut page, name, &[], value);
        }
        self.write_errors(&mut page);
        write_gauges(&mut page, state);
        page
    }

    fn write_errors(&self, page: &mut String) {
        let name = "gwcap_gateway_errors_total";
        let help = "Gateway errors by cause, gateway and upstream, once their cause has settled.";
        row(page, name, "counter", help);
        for ((cause, gateway, upstream), count) in &self.errors {
            let labels = [
                ("cause", *cause),
                ("gateway", gateway),
                ("upstream", upstream),
            ];
            sample(page, name, &labels, count);
        }
    }
}

fn write_gauges(page: &mut String, state: &State<'_>) {
    if let Some(bytes) = memory::resident() {
        let name = "gwcap_resident_memory_bytes";
        row(page, name, "gauge", "Memory of the process that captures.");
        sample(page, name, &[], bytes);
    }
    if let (Some(latest), Some(now)) = (state.latest, state.now) {
        let name = "gwcap_behind_seconds";
        let help = "Seconds from the latest frame that was analysed to now; also grows while nothing is sent.";
        row(page, name, "gauge", help);
        let behind = now.nanos_since(latest).max(0) as f64 / NANOS_PER_SECOND as f64;
        sample(page, name, &[], format_args!("{behind:.3}"));
    }
}

fn labels(finding: &Finding) -> Labels {
    let upstream = finding.upstream.map(|upstream| upstream.to_string());
    (
        finding.code,
        finding.exchange.connection.server.to_string(),
        upstream.unwrap_or_else(|| NONE.to_owned()),
    )
}

/// The two lines before a metric. Writing to a string cannot fail.
fn row(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(page: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    let _ = match labels.as_slice() {
        [] => writeln!(page, "{name} {value}"),
        labels => writeln!(page, "{name}{{{}}} {value}", labels.join(",")),
    };
}

/// As the text format asks for in the value of a label.
fn escaped(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    escaped.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(gateway: &str) -> Labels {
        ("connect-refused", gateway.to_owned(), NONE.to_owned())
    }

    fn lines(metrics: &mut Metrics, state: &State<'_>, name: &str) -> Vec<String> {
        let page = metrics.page(state, Instant::now());
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn rows_beyond_the_limit_are_counted_as_others() {
        let mut metrics = Metrics::default();
        for number in 0..LABEL_SETS_MAX + 3 {
            metrics.count(row_of(&format!("10.0.0.1:{number}")));
        }
        metrics.count(row_of("10.0.0.1:7"));
        let rows = lines(
            &mut metrics,
            &State::default(),
            "gwcap_gateway_errors_total{",
        );
        assert_eq!(rows.len(), LABEL_SETS_MAX + 1);
        let labels = |gateway: &str, upstream: &str| {
            format!(
                "gwcap_gateway_errors_total{{cause=\"connect-refused\",gateway=\"{gateway}\",upstream=\"{upstream}\"}}"
            )
        };
        assert!(rows.contains(&format!("{} 3", labels("other", "other"))));
        assert!(rows.contains(&format!("{} 2", labels("10.0.0.1:7", "none"))));
    }

    #[test]
    fn a_first_verdict_counts_when_no_second_comes() {
        let mut metrics = Metrics::default();
        let now = Instant::now();
        let waiting = (now, "id".to_owned(), row_of("10.0.0.1:80"));
        metrics.settling.push_back(waiting);
        metrics.settle(now + SETTLING / 2);
        assert!(metrics.errors.is_empty());
        metrics.settle(now + SETTLING);
        assert_eq!(metrics.errors.get(&row_of("10.0.0.1:80")), Some(&1));
    }

    #[test]
    fn numbers_stand_in_the_page() {
        let input = InputFacts {
            frames: 7,
            kernel_drops: 2,
            ..InputFacts::default()
        };
        let state = State {
            inputs: &[input.clone(), input],
            exchanges: 5,
            latest: Some(Timestamp(1_500_000_000)),
            now: Some(Timestamp(4_000_000_000)),
            programs_dropped: 1,
        };
        for (name, expected) in [
            ("gwcap_frames_total", "gwcap_frames_total 14"),
            ("gwcap_kernel_drops_total", "gwcap_kernel_drops_total 4"),
            ("gwcap_exchanges_total", "gwcap_exchanges_total 5"),
            ("gwcap_on_finding", "gwcap_on_finding_dropped_total 1"),
            ("gwcap_behind_seconds", "gwcap_behind_seconds 2.500"),
        ] {
            assert_eq!(lines(&mut Metrics::default(), &state, name), [expected]);
        }
        // Without a frame there is nothing to be behind of.
        let none = lines(&mut Metrics::default(), &State::default(), "gwcap_behind");
        assert!(none.is_empty());
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }
}
