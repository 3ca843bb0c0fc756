//! What --on-finding hands over. In: a finding. Out: the environment and the standard input of the program.
//!
//! The rule: the environment holds codes, numbers and addresses, in letters that mean nothing to a shell; words of the wire
//! are on standard input alone, redacted and escaped as NDJSON is.

use std::collections::BTreeMap;

use gwcap::report::{Finding, Revision, View, format_by_name};
use serde::{Deserialize, Serialize};

use crate::run::errands::wire::Program;

/// Most bytes of a value of the environment: an address with its port has at most 47.
const VALUE_BYTES_MAX: usize = 128;

/// How the programs went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Begun.
    pub ran: u64,
    /// Could not be begun, or ended with an error.
    pub failed: u64,
    /// Ended because they took too long.
    pub timed_out: u64,
    /// Not begun, because too many waited.
    pub dropped: u64,
}

impl Tally {
    /// What the user should know; nothing where all went well.
    pub fn complaint(&self) -> Option<String> {
        let parts: Vec<String> = [
            (self.failed, "failed"),
            (self.timed_out, "ran out of time"),
            (self.dropped, "were not run, because too many waited"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        (!parts.is_empty())
            .then(|| format!("--on-finding ran {} times: {}", self.ran, parts.join(", ")))
    }
}

/// What the program is given for a finding.
pub fn program(finding: &Finding, last: bool) -> Program {
    Program {
        environment: environment(finding),
        input: input(finding, last),
    }
}

fn input(finding: &Finding, last: bool) -> String {
    let revision = Revision {
        last,
        ..Revision::default()
    };
    let mut line = Vec::new();
    if let Some(write) = format_by_name("ndjson").and_then(|format| format.news) {
        // A vector takes whatever is written.
        let _ = write(finding, revision, &View::default(), &mut line);
    }
    String::from_utf8(line).unwrap_or_default()
}

fn environment(finding: &Finding) -> BTreeMap<String, String> {
    let upstream = finding.upstream.as_ref();
    [
        ("GWCAP_ID", Some(finding.id.clone())),
        ("GWCAP_INCIDENT", Some(finding.incident.clone())),
        ("GWCAP_TIME", Some(finding.time.clone())),
        ("GWCAP_CAUSE", Some(finding.cause.code.to_owned())),
        ("GWCAP_DETAIL", finding.cause.detail.clone()),
        (
            "GWCAP_CONFIDENCE",
            Some(finding.cause.confidence.to_owned()),
        ),
        (
            "GWCAP_STATUS",
            finding.status.map(|status| status.to_string()),
        ),
        ("GWCAP_CLIENT", Some(finding.exchange.client.clone())),
        ("GWCAP_GATEWAY", Some(finding.exchange.gateway.clone())),
        (
            "GWCAP_UPSTREAM",
            upstream.map(|upstream| upstream.address.clone()),
        ),
    ]
    .into_iter()
    // A value that is missing is empty, so that none is inherited.
    .map(|(name, value)| (name.to_owned(), plain(&value.unwrap_or_default())))
    .collect()
}

/// Letters, digits and what addresses and times are written with; anything else becomes `_`.
fn plain(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]+/".contains(c);
    value
        .chars()
        .take(VALUE_BYTES_MAX)
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_nothing_to_a_shell() {
        assert_eq!(plain("[2001:db8::1]:443"), "[2001:db8::1]:443");
        assert_eq!(
            plain("$(id);`id`\n\u{1b}[2J'\"&|<>*?~é"),
            "__id___id___[2J__________"
        );
        assert_eq!(plain(&"x".repeat(1_000)).len(), VALUE_BYTES_MAX);
    }

    #[test]
    fn only_what_went_wrong_is_told() {
        let mut tally = Tally {
            ran: 3,
            ..Tally::default()
        };
        assert_eq!(tally.complaint(), None);
        (tally.failed, tally.dropped) = (1, 2);
        assert_eq!(
            tally.complaint().unwrap(),
            "--on-finding ran 3 times: 1 failed, 2 were not run, because too many waited"
        );
    }
}
