//! Findings that follow from other findings. In: those of one tick, and those before. Out: the same, each pointing to the
//! one that it follows from.
//!
//! The rule: an inner gateway's error comes before the outer's, so it is judged no later. A chain is as sure as its weakest
//! link; where the inner gateway's own upstream leg is not in the capture, the outer's upstream is all that is known.

use crate::diagnose::finding::Finding;

/// Findings that are looked at for the one that another follows from, the latest first: those of the same moment.
const LOOKED_AT_MAX: usize = 512;
/// Most gateways behind one another.
const DEPTH_MAX: usize = 8;

/// The code of an inner finding that shows no upstream leg: nothing is known of what lies behind the upstream.
const NOTHING_BEHIND: &str = "upstream-leg-not-captured";

/// Connects `fresh` findings with each other and with `before`.
pub fn connect(before: &[Finding], fresh: &mut [Finding]) {
    for index in 0..fresh.len() {
        let blamed = fresh.get(index).and_then(|finding| finding.blames);
        let earlier = blamed.and_then(|connection| {
            let failed = |finding: &&Finding| {
                finding
                    .upstream_connection
                    .as_ref()
                    .is_some_and(|name| name.id == connection)
            };
            let found = latest(before, fresh).find(failed);
            found.map(|finding| finding.id.clone())
        });
        if let (Some(id), Some(finding)) = (earlier, fresh.get_mut(index))
            && finding.id != id
        {
            finding.caused_by = Some(id);
        }
    }
    for _ in 0..DEPTH_MAX {
        if !deepen(before, fresh) {
            return;
        }
    }
}

fn latest<'f>(before: &'f [Finding], fresh: &'f [Finding]) -> impl Iterator<Item = &'f Finding> {
    fresh
        .iter()
        .rev()
        .take(LOOKED_AT_MAX)
        .chain(before.iter().rev().take(LOOKED_AT_MAX))
}

/// Gives each relayed error the cause of the inner finding, where that is known. Whether anything changed.
fn deepen(before: &[Finding], fresh: &mut [Finding]) -> bool {
    let mut changed = false;
    for index in 0..fresh.len() {
        let wanted = fresh
            .get(index)
            .filter(|finding| matches!(finding.code, "upstream-returned-5xx" | "relayed-nested"))
            .and_then(|finding| finding.caused_by.as_deref());
        let Some(inner) =
            wanted.and_then(|id| latest(before, fresh).find(|finding| finding.id == id))
        else {
            continue;
        };
        if inner.code == NOTHING_BEHIND {
            continue;
        }
        let cause = match inner.code {
            "relayed-nested" => inner.detail.clone(),
            code => Some(code.to_owned()),
        };
        let (confidence, words) = (
            inner.confidence,
            format!(
                "the inner gateway {} has a finding of its own: {} ({})",
                inner.exchange.connection.server,
                inner.code,
                inner.confidence.word()
            ),
        );
        let Some(outer) = fresh.get_mut(index) else {
            continue;
        };
        if outer.code == "relayed-nested" && outer.detail == cause {
            continue;
        }
        if outer.code != "relayed-nested" {
            outer.confidence_reasons.push(words);
        }
        outer.code = "relayed-nested";
        outer.detail = cause;
        outer.confidence = outer.confidence.min(confidence);
        changed = true;
    }
    changed
}
