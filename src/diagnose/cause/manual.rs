//! The manual as text. In: causes and what the products say of them. Out: pages in 80 columns.
//!
//! The rule: nothing stands here that is not in the values; a page is only their arrangement.

use std::fmt::Write as _;

use crate::diagnose::cause::model::Cause;
use crate::diagnose::gateway::product::{Family, Product, Row, Source, Wait};
use crate::diagnose::gateway::{GATEWAYS, ORIGIN_SERVERS};

/// Columns of a page: what every terminal has.
const COLUMNS: usize = 80;

/// The headings of a page, in order. A page has them all but the timers, and something under each.
const WHAT: &str = "What it is";
const WIRE: &str = "On the wire";
const NOT: &str = "What it is not";
const CONTRIBUTING: &str = "What may contribute";
const WHY: &str = "Why it happens (the most common first)";
const NEXT: &str = "What to do";
const LOGS: &str = "What each product answers and logs";
const TIMERS: &str = "Default timers that end such a wait";
const PRODUCTS: &str = "Where to look, by product";

/// What the mark at a product's name says.
const DOCUMENTED: &str =
    "* Not run: written from its documentation or source, not from recordings.";

/// The families in the order in which a request meets them.
const FAMILIES: &[Family] = &[
    Family::NameResolution,
    Family::Connect,
    Family::Tls,
    Family::ProtocolMismatch,
    Family::SendingRequest,
    Family::WaitingForHead,
    Family::MalformedHead,
    Family::Body,
    Family::Path,
    Family::NoUpstreamPackets,
    Family::Relayed,
    Family::ClientSide,
    Family::Silent,
    Family::CouldNotTell,
];

/// The page of one cause.
#[must_use]
pub fn page(cause: &Cause) -> String {
    let mut page = String::new();
    paragraph(&mut page, "", cause.code);
    paragraph(&mut page, "", cause.title);
    paragraph(&mut page, "", &format!("Family: {}", cause.family.title()));
    section(&mut page, WHAT);
    paragraph(&mut page, "  ", cause.explanation);
    section(&mut page, WIRE);
    paragraph(&mut page, "  ", cause.signature);
    section(&mut page, NOT);
    for text in cause.is_not {
        paragraph(&mut page, "  - ", text);
    }
    section(&mut page, CONTRIBUTING);
    for text in cause.contributing {
        paragraph(&mut page, "  - ", text);
    }
    section(&mut page, WHY);
    for text in cause.root_causes {
        paragraph(&mut page, "  - ", text);
    }
    section(&mut page, NEXT);
    for (number, text) in (1_u32..).zip(cause.next_steps) {
        paragraph(&mut page, &format!("  {number}. "), text);
    }
    products(&mut page, cause);
    timers(&mut page, cause.code);
    advice(&mut page, cause.family);
    page
}

/// One line for each code, by family.
#[must_use]
pub fn index(causes: &[&Cause]) -> String {
    let mut index = String::new();
    let of = |family| causes.iter().filter(move |cause| cause.family == family);
    let widest = causes.iter().map(|cause| cause.code.len()).max();
    for family in FAMILIES.iter().filter(|family| of(**family).count() > 0) {
        if !index.is_empty() {
            index.push('\n');
        }
        let _ = writeln!(index, "{}", family.title());
        for cause in of(*family) {
            let width = widest.unwrap_or(0);
            let _ = writeln!(index, "  {:width$}  {}", cause.code, cause.title);
        }
    }
    index
}

/// What each product answers and logs.
fn products(page: &mut String, cause: &Cause) {
    section(page, LOGS);
    for product in GATEWAYS {
        let Some(row) = product.rows.iter().find(|row| row.code == cause.code) else {
            continue;
        };
        let said: Vec<_> = [answers(row), logs(row)].into_iter().flatten().collect();
        paragraph(
            page,
            "  - ",
            &format!("{}: {}", marked(product), said.join("; ")),
        );
    }
    for server in ORIGIN_SERVERS {
        let own = server.logs.iter().find(|(code, _)| *code == cause.code);
        if let Some((_, log)) = own {
            let line = format!("{}, as the upstream*: log: {log}", server.name);
            paragraph(page, "  - ", &line);
        }
    }
}

/// The codes of a wait that a timer of the gateway ends, and which it is.
const WAITS: &[(&str, Wait)] = &[
    ("dns-timeout", Wait::Resolve),
    ("connect-timeout", Wait::Connect),
    ("connect-half-open", Wait::Connect),
    ("connect-stale-tuple", Wait::Connect),
    ("listen-queue-overflow", Wait::Connect),
    ("tls-handshake-timeout", Wait::Connect),
    ("response-timeout", Wait::Response),
    ("head-timeout", Wait::Response),
    ("stall-mid-response", Wait::Response),
    ("loss-stall", Wait::Response),
    ("no-upstream-attempt", Wait::Queue),
];

/// The defaults that a measured wait may be compared with, where a timer ends it.
fn timers(page: &mut String, code: &str) {
    let Some((_, wait)) = WAITS.iter().find(|(of, _)| *of == code) else {
        return;
    };
    section(page, TIMERS);
    for product in GATEWAYS {
        for timer in product.timers.iter().filter(|timer| timer.wait == *wait) {
            let seconds = f64::from(timer.millis) / 1e3;
            let late = match timer.tick_millis {
                0 => String::new(),
                tick => format!(", and up to {} s later", f64::from(tick) / 1e3),
            };
            let line = format!("{}: {}: {seconds} s{late}", marked(product), timer.name);
            paragraph(page, "  - ", &line);
        }
    }
}

/// The name of a product, with a mark where it was never run.
fn marked(product: &Product) -> String {
    match product.source {
        Source::Recorded => product.name.to_owned(),
        Source::Documented => format!("{}*", product.name),
    }
}

/// The statuses of a row in words; nothing where none is known.
fn answers(row: &Row) -> Option<String> {
    let words: Vec<_> = row
        .statuses
        .iter()
        .map(|status| match status {
            0 => "no status (a close, or bytes without a head)".to_owned(),
            200 => "the upstream's own status".to_owned(),
            status => status.to_string(),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(" or "))
}

/// What to search for in the product's log; nothing where it is not known.
fn logs(row: &Row) -> Option<String> {
    (!row.log.is_empty()).then(|| format!("log: {}", row.log))
}

/// What the products' own settings offer for the family.
fn advice(page: &mut String, family: Family) {
    section(page, PRODUCTS);
    for product in GATEWAYS {
        for (_, text) in product.advice.iter().filter(|(of, _)| *of == family) {
            paragraph(page, "  - ", &format!("{}: {text}", marked(product)));
        }
    }
    for server in ORIGIN_SERVERS {
        for (_, text) in server.advice.iter().filter(|(of, _)| *of == family) {
            let line = format!("{}, as the upstream*: {text}", server.name);
            paragraph(page, "  - ", &line);
        }
    }
    if page.contains("*: ") {
        let _ = writeln!(page, "\n{DOCUMENTED}");
    }
}

fn section(page: &mut String, title: &str) {
    let _ = write!(page, "\n{title}\n");
}

/// Appends `text` behind `lead`, wrapped; further lines are indented to where the text began.
fn paragraph(page: &mut String, lead: &str, text: &str) {
    let indent = lead.len();
    let room = COLUMNS.saturating_sub(indent);
    page.push_str(lead);
    let mut used = 0;
    for atom in atoms(text, room) {
        let len = atom.chars().count();
        if used > 0 && used + 1 + len > room {
            let _ = write!(page, "\n{:indent$}", "");
            used = 0;
        }
        if used > 0 {
            page.push(' ');
            used += 1;
        }
        page.push_str(&atom);
        used += len;
    }
    page.push('\n');
}

/// The words of `text`; a command in backticks stays together, to be copied, where it fits in `room`.
fn atoms(text: &str, room: usize) -> Vec<String> {
    let mut atoms: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    for word in text.split_whitespace() {
        let odd = word.matches('`').count() % 2 == 1;
        let joined = match open.take() {
            Some(begun) => format!("{begun} {word}"),
            None if odd => {
                open = Some(word.to_owned());
                continue;
            }
            None => {
                atoms.push(word.to_owned());
                continue;
            }
        };
        if !odd {
            open = Some(joined);
        } else if joined.chars().count() <= room {
            atoms.push(joined);
        } else {
            atoms.extend(joined.split_whitespace().map(str::to_owned));
        }
    }
    if let Some(begun) = open {
        atoms.extend(begun.split_whitespace().map(str::to_owned));
    }
    atoms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::cause::CAUSES;

    fn wrapped(lead: &str, text: &str) -> String {
        let mut page = String::new();
        paragraph(&mut page, lead, text);
        page
    }

    /// What stands on a page under a heading, up to the next one.
    fn under<'p>(page: &'p str, heading: &str) -> &'p str {
        let (_, rest) = page
            .split_once(&format!("\n{heading}\n"))
            .unwrap_or_else(|| panic!("no {heading}: {page}"));
        rest.split("\n\n").next().unwrap()
    }

    /// Each page has its six parts, and something in each: signature, what it is not, what contributes, root causes, next
    /// steps for several products, and log wording of more than one.
    #[test]
    fn no_part_of_a_page_is_empty() {
        for cause in CAUSES {
            let page = page(cause);
            for heading in [WHAT, WIRE, NOT, CONTRIBUTING, WHY, NEXT, LOGS, PRODUCTS] {
                assert!(!under(&page, heading).trim().is_empty(), "{}", cause.code);
            }
            let logs = under(&page, LOGS).matches("log: ").count();
            assert!(logs >= LOGS_MIN, "{}: {logs} logs", cause.code);
            let names: Vec<_> = GATEWAYS
                .iter()
                .filter(|product| product.advice.iter().any(|(of, _)| *of == cause.family))
                .collect();
            assert!(names.len() >= PRODUCTS_MIN, "{}: {names:?}", cause.code);
        }
    }

    /// Products that word a code in their logs: nginx alone passes bytes on without a head.
    const LOGS_MIN: usize = 1;
    /// Products whose settings a page names.
    const PRODUCTS_MIN: usize = 5;

    #[test]
    fn a_product_that_was_not_run_is_marked() {
        let refused = CAUSES.iter().find(|cause| cause.code == "connect-refused");
        let page = page(refused.unwrap());
        assert!(page.contains("- Cloudflare*: 521"), "{page}");
        assert!(page.contains("- nginx: 502"), "{page}");
        assert!(page.ends_with(&format!("{DOCUMENTED}\n")), "{page}");
    }

    #[test]
    fn a_wait_has_the_timers_that_may_end_it() {
        for (code, _) in WAITS {
            let cause = CAUSES.iter().find(|cause| cause.code == *code).unwrap();
            assert!(!under(&page(cause), TIMERS).is_empty(), "{code}");
        }
        let cause = CAUSES.iter().find(|cause| cause.code == "response-timeout");
        let page = page(cause.unwrap());
        let lines = under(&page, TIMERS);
        assert!(
            lines.contains("- nginx: proxy_read_timeout: 60 s"),
            "{lines}"
        );
        assert!(
            lines.contains("- Cloudflare*: proxy read timeout (524): 100 s, and up to 1 s later")
        );
        assert!(!lines.contains("proxy_connect_timeout"));
    }

    #[test]
    fn lines_hang_under_their_text() {
        let text = "word ".repeat(20);
        let page = wrapped("  1. ", &text);
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], format!("  1. {}", "word ".repeat(15).trim_end()));
        assert_eq!(lines[1], format!("     {}", "word ".repeat(5).trim_end()));
    }

    #[test]
    fn a_command_is_not_broken() {
        let page = wrapped("", &format!("{} `ss -ltnp sport` now", "x".repeat(70)));
        assert_eq!(page, format!("{}\n`ss -ltnp sport` now\n", "x".repeat(70)));
    }

    #[test]
    fn a_command_longer_than_a_line_is_broken_at_spaces() {
        let page = wrapped("", &format!("`{}`", ["abcdefghi"; 20].join(" ")));
        assert!(page.lines().all(|line| line.len() <= COLUMNS));
        assert_eq!(page.lines().count(), 3);
    }
}
