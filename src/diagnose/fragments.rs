//! IP fragments that never became packets, as a doubt about findings. In: which hosts they were between, and when. Out:
//! findings that are one step less sure, with the reason.
//!
//! The rule: what lay in them is not known; it may have been the answer, the RST, or the request. They are known to be lost
//! only when they have waited in vain, so findings are weighed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::decode::LostPieces;
use crate::diagnose::finding::Finding;
use crate::loss::{Loss, LossName};
use crate::time::Timestamp;

/// Most spans of time that are kept, about 60 bytes each.
pub const SPANS_MAX: usize = 65_536;
/// Packets in fragments whose place in time was not kept, because of [`SPANS_MAX`].
const NOT_PLACED: LossName = "lost_fragments_not_placed";
/// Lost fragments of two hosts are one span when less than this lies between them; as near they are to a finding that they
/// may concern. Milliseconds.
const NEAR_MILLIS: i64 = 1_000;

/// Most seconds with fragments that are remembered, the latest: findings are told within minutes.
const SECONDS_MAX: usize = 4_096;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Two hosts in order, and the protocol.
type Pair = (IpAddr, IpAddr, u8);

/// From the first to the last piece.
type Span = (Timestamp, Timestamp);

/// Lost fragments by hosts and time.
#[derive(Debug, Default)]
pub struct LostFragments {
    spans: BTreeMap<Pair, Vec<Span>>,
    count: usize,
    /// Seconds in which fragments were seen, whatever became of them.
    seconds: BTreeSet<i64>,
}

impl LostFragments {
    /// Notes that a fragment was seen.
    pub fn saw(&mut self, time: Timestamp) {
        self.seconds.insert(time.second());
        if self.seconds.len() > SECONDS_MAX {
            self.seconds.pop_first();
        }
    }

    /// Whether a finding may still be weakened at the end: fragments were seen near it.
    #[must_use]
    pub fn may_concern(&self, finding: &Finding) -> bool {
        let (from, until) = window(finding);
        let (from, until) = (from.second(), until.second());
        from <= until && self.seconds.range(from..=until).next().is_some()
    }

    /// Notes the pieces of a packet that was given up.
    pub fn note(&mut self, lost: &LostPieces, loss: &mut Loss) {
        let pair = pair(lost.source, lost.destination, lost.protocol);
        let near = |span: &&mut Span| {
            span.0 <= lost.last.plus_millis(NEAR_MILLIS)
                && lost.first <= span.1.plus_millis(NEAR_MILLIS)
        };
        let latest = self.spans.get_mut(&pair).and_then(|spans| spans.last_mut());
        if let Some(span) = latest.filter(near) {
            *span = (span.0.min(lost.first), span.1.max(lost.last));
        } else if self.count < SPANS_MAX {
            let spans = self.spans.entry(pair).or_default();
            spans.push((lost.first, lost.last));
            self.count += 1;
        } else {
            loss.add(NOT_PLACED, 1);
        }
    }

    /// Takes a step off each finding near which fragments were lost between two hosts that it speaks of.
    pub fn weigh(&mut self, findings: &mut [Finding]) {
        if self.spans.is_empty() {
            return;
        }
        let mut by_host: BTreeMap<(IpAddr, u8), Vec<Span>> = BTreeMap::new();
        for ((one, other, protocol), spans) in &mut self.spans {
            *spans = joined(std::mem::take(spans));
            for host in [one, other] {
                let of_host = by_host.entry((*host, *protocol)).or_default();
                of_host.extend_from_slice(spans);
            }
        }
        for spans in by_host.values_mut() {
            *spans = joined(std::mem::take(spans));
        }
        for finding in findings {
            let reason = self
                .on_a_leg(finding)
                .or_else(|| of_the_gateway(&by_host, finding));
            if let Some(reason) = reason {
                finding.confidence = finding.confidence.weakened();
                finding.confidence_reasons.insert(0, reason);
            }
        }
    }

    /// Fragments of TCP that were lost near a finding between the two ends of one of its connections.
    fn on_a_leg(&self, finding: &Finding) -> Option<String> {
        let attempts = finding.attempts.iter();
        let upstream = attempts.filter_map(|attempt| attempt.connection.as_ref());
        let legs = upstream
            .chain(&finding.upstream_connection)
            .chain([&finding.exchange.connection]);
        let mut legs = legs.flat_map(|leg| std::iter::once(leg).chain(&leg.views));
        let leg = legs.find(|leg| {
            let spans = self.spans.get(&pair(leg.client.addr, leg.server.addr, TCP));
            spans.is_some_and(|spans| overlaps(spans, window(finding)))
        })?;
        Some(format!(
            "IP fragments between {} and {} could not be put together around the failure",
            leg.client.addr, leg.server.addr
        ))
    }
}

/// Where no connection was found upstream, fragments of the gateway that were lost near a finding, with whomever.
fn of_the_gateway(
    by_host: &BTreeMap<(IpAddr, u8), Vec<Span>>,
    finding: &Finding,
) -> Option<String> {
    if finding.upstream_connection.is_some() {
        return None;
    }
    let gateway = finding.exchange.connection.server.addr;
    let protocol = if finding.code.starts_with("dns-") {
        UDP
    } else {
        TCP
    };
    let spans = by_host.get(&(gateway, protocol))?;
    overlaps(spans, window(finding)).then(|| {
        format!("IP fragments from or to {gateway} could not be put together around the failure")
    })
}

/// From shortly before the request to shortly after the error.
fn window(finding: &Finding) -> Span {
    (
        finding.exchange.request.time.plus_millis(-NEAR_MILLIS),
        finding.exchange.response.time.plus_millis(NEAR_MILLIS),
    )
}

fn pair(one: IpAddr, other: IpAddr, protocol: u8) -> Pair {
    (one.min(other), one.max(other), protocol)
}

/// The spans in order, those that touch as one.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(before) if span.0 <= before.1 => before.1 = before.1.max(span.1),
            _ => joined.push(span),
        }
    }
    joined
}

/// Whether one of the spans, which are in order and apart, reaches into the window.
fn overlaps(spans: &[Span], (from, until): Span) -> bool {
    let first = spans.partition_point(|span| span.1 < from);
    spans.get(first).is_some_and(|span| span.0 <= until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Vantage;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(0).plus_millis(seconds * 1_000)
    }

    fn lost(from: u8, to: u8, first: i64, last: i64) -> LostPieces {
        LostPieces {
            vantage: Vantage::default(),
            source: IpAddr::from([10, 0, 0, from]),
            destination: IpAddr::from([10, 0, 0, to]),
            protocol: TCP,
            first: at(first),
            last: at(last),
        }
    }

    #[test]
    fn spans_of_either_direction_join() {
        let (mut all, mut loss) = (LostFragments::default(), Loss::default());
        for pieces in [
            lost(1, 2, 10, 11),
            lost(2, 1, 12, 20),
            lost(1, 2, 30, 31),
            lost(1, 2, 5, 29),
        ] {
            all.note(&pieces, &mut loss);
        }
        let spans = all.spans.values().next().unwrap().clone();
        let spans = joined(spans);
        assert_eq!(all.spans.len(), 1);
        assert_eq!(spans, [(at(5), at(31))]);
        assert!(overlaps(&spans, (at(0), at(5))) && overlaps(&spans, (at(31), at(40))));
        assert!(!overlaps(&spans, (at(0), at(4))) && !overlaps(&spans, (at(32), at(40))));
    }

    #[test]
    fn memory_is_bounded_and_that_is_counted() {
        let (mut all, mut loss) = (LostFragments::default(), Loss::default());
        for second in 0..SPANS_MAX as i64 + 2 {
            all.note(&lost(1, 2, second * 10, second * 10), &mut loss);
        }
        assert_eq!((all.count, loss.get(NOT_PLACED)), (SPANS_MAX, 2));
    }
}
