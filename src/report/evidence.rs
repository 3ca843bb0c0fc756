//! The frames that findings rest on. In: findings, then frames. Out: whether a frame is among them, and what it proves.
//!
//! The rule: both legs of a failure with their surroundings, and nothing of others: the connections of the client and of
//! every attempt, errors of ICMP about them, and names or neighbours where the failure is about those. Remarks are
//! redacted as in every report; the frames themselves are what they are.

use std::collections::BTreeMap;

use crate::decode::segment::Packet;
use crate::decode::{Decoded, decode};
use crate::diagnose::finding::{ConnectionName, Finding, Leg};
use crate::flow::{Endpoint, Vantage};
use crate::frame::{Frame, FrameId};
use crate::loss::Loss;
use crate::report::assemble::one_finding;
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most findings that are told in words at the head of a file.
const FINDINGS_TOLD_MAX: usize = 32;

/// Most characters of a remark.
const REMARK_CHARS_MAX: usize = 1_000;

/// Most views of one connection that are followed: as many as a report lists.
const VIEWS_MAX: usize = 64;

/// Other connections of a gateway that are kept where silence or absence is the proof: they show that its upstream leg was
/// captured, both ways, and how they began. Few, because one would do.
const WITNESSES_MAX: usize = 4;

/// Frames that are kept of such a connection: its first exchange.
const WITNESS_FRAMES_MAX: usize = 64;

/// Longest time between two failures of one connection that is kept with them: a hole in a connection reads like loss, which
/// weakens what is said of the second. Nanoseconds.
const HOLE_NANOS_MAX: i64 = 60 * NANOS_PER_SECOND;

/// How long a question for a name may have waited for its answer: resolvers give up after 5 to 10 seconds. Nanoseconds.
const QUESTION_NANOS: i64 = 10 * NANOS_PER_SECOND;

/// How much of what surrounds a failure belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Before the request, or the first attempt where that was earlier, nanoseconds.
    pub before_nanos: i64,
    /// After the error, nanoseconds.
    pub after_nanos: i64,
}

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Span {
    fn joined(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// Stretches of time in order, none touching another.
#[derive(Clone, Debug, Default)]
struct Spans(Vec<Span>);

impl Spans {
    fn add(&mut self, span: Span) {
        self.add_near(span, 0);
    }

    /// Adds a span and what lies between it and others that are as near as `nanos`.
    fn add_near(&mut self, span: Span, nanos: i64) {
        let from = span.from.plus_nanos(nanos.saturating_neg());
        let until = span.until.plus_nanos(nanos);
        let first = self.0.partition_point(|old| old.until < from);
        let end = self.0.partition_point(|old| old.from <= until);
        let touched = self.0.get(first..end).unwrap_or_default();
        let joined = touched.iter().fold(span, |joined, old| joined.joined(*old));
        self.0.splice(first..end.max(first), [joined]);
    }

    fn hold(&self, time: Timestamp) -> bool {
        let first = self.0.partition_point(|span| span.until < time);
        self.0.get(first).is_some_and(|span| span.from <= time)
    }
}

/// What shows that silence was no filter's doing: connections of a gateway to others than its clients, from the first frame
/// that came back on them, and a few packets that are neither TCP nor UDP.
#[derive(Clone, Debug, Default)]
struct Witnesses {
    spans: Spans,
    /// Frames kept, by connection.
    flows: BTreeMap<(Endpoint, Endpoint), usize>,
    /// Other packets that were kept.
    others: usize,
}

/// What is looked for in a capture on behalf of findings.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    flows: BTreeMap<(Endpoint, Endpoint), Spans>,
    /// Connections that are wanted from their first frame on.
    openings: BTreeMap<FrameId, Span>,
    /// When names, and when neighbours, were at issue.
    names: Spans,
    neighbours: Spans,
    witnesses: BTreeMap<Endpoint, Witnesses>,
    /// Remarks by frame; a frame without one is wanted all the same.
    decisive: BTreeMap<FrameId, Vec<String>>,
    spans: Spans,
    told: Vec<String>,
    findings: usize,
}

impl Slice {
    /// Adds what a finding rests on.
    pub fn add(&mut self, finding: &Finding, reach: Reach, show_secrets: bool) {
        let span = span_of(finding, reach);
        self.spans.add_near(span, HOLE_NANOS_MAX);
        self.findings = self.findings.saturating_add(1);
        self.connection(&finding.exchange.connection, span);
        let attempts = finding.attempts.iter();
        let attempted = attempts.filter_map(|attempt| attempt.connection.as_ref());
        for connection in attempted.chain(&finding.upstream_connection) {
            self.connection(connection, span);
        }
        if needs_witnesses(finding) {
            let gateway = finding.exchange.connection.server;
            self.witnesses.entry(gateway).or_default().spans.add(span);
        }
        // A request that is the first of its connection is understood best with the connection's beginning.
        let first = (finding.exchange.index == 0).then_some(finding.exchange.connection.id);
        for id in finding.blames.into_iter().chain(first) {
            self.openings.insert(id.0, span);
        }
        if is_about(finding, Leg::Dns, "dns-") {
            // An answer is nothing without its question.
            let from = span.from.plus_nanos(-QUESTION_NANOS);
            self.names.add(Span { from, ..span });
            self.spans.add_near(Span { from, ..span }, HOLE_NANOS_MAX);
        }
        if is_about(finding, Leg::Link, "neighbor-") {
            self.neighbours.add(span);
        }
        let marks = finding.attempts.iter().flat_map(|attempt| &attempt.frames);
        for mark in marks {
            self.decisive.entry(mark.frame).or_default();
        }
        self.remark(finding, show_secrets);
    }

    /// From the earliest to the latest frame that can be wanted; `None` without a finding.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let (first, last) = (self.spans.0.first()?, self.spans.0.last()?);
        Some(first.joined(*last))
    }

    /// From when on frames must be shown: earlier than all spans where a connection is known by its first frame only.
    #[must_use]
    pub fn from(&self) -> Timestamp {
        let first = self.spans.0.first().map(|span| span.from);
        first
            .filter(|_| self.openings.is_empty())
            .unwrap_or(Timestamp::MIN)
    }

    /// The frames that findings name.
    pub fn decisive(&self) -> impl Iterator<Item = FrameId> + '_ {
        self.decisive.keys().copied()
    }

    /// One sentence a finding, and how many are not told.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut told = self.told.clone();
        let more = self.findings.saturating_sub(told.len());
        if more > 0 {
            told.push(format!("and {more} more findings"));
        }
        told
    }

    /// The remarks on a frame.
    #[must_use]
    pub fn remarks(&self, frame: FrameId) -> &[String] {
        self.decisive.get(&frame).map_or(&[], Vec::as_slice)
    }

    /// Whether a frame is wanted. Frames must be shown in their order, each once.
    #[must_use]
    pub fn wants(&mut self, frame: &Frame<'_>) -> bool {
        let (id, time) = (frame.mark.frame, frame.mark.time);
        let named = self.decisive.contains_key(&id);
        let opened = self.openings.remove(&id);
        if !named && opened.is_none() && !self.spans.hold(time) {
            return false;
        }
        // What cannot be decoded was counted when the frame was analysed.
        let decoded = decode(*frame, Vantage::default(), &mut Loss::default());
        if let (Some(span), Some(Decoded::Packet { packet, .. })) = (opened, &decoded) {
            let whole = Span { from: time, ..span };
            self.flow(ends(packet), whole);
            self.spans.add_near(whole, HOLE_NANOS_MAX);
        }
        named
            || opened.is_some()
            || match decoded {
                Some(decoded) => self.is_part(&decoded, time),
                None => self.is_other_witness(time),
            }
    }

    fn is_part(&mut self, decoded: &Decoded<'_>, time: Timestamp) -> bool {
        let packet = match decoded {
            Decoded::Packet { packet, .. } => packet,
            // Which flow it belongs to is known only with its other pieces; they are rare.
            Decoded::Fragment(_) => return self.spans.hold(time),
        };
        let (one, other) = ends(packet);
        let of_names = [one.port, other.port].contains(&DNS_PORT);
        self.flows
            .get(&sorted((one, other)))
            .is_some_and(|spans| spans.hold(time))
            || of_names && self.names.hold(time)
            || matches!(packet, Packet::Resolution(_)) && self.neighbours.hold(time)
            || match packet {
                Packet::Segment(_) => self.is_witness(one, other, time),
                Packet::Datagram(_) => false,
                Packet::Icmp(_) | Packet::Resolution(_) => self.is_other_witness(time),
            }
    }

    /// Whether a packet of another kind shows that no filter left TCP alone.
    fn is_other_witness(&mut self, time: Timestamp) -> bool {
        for witnesses in self.witnesses.values_mut() {
            if witnesses.spans.hold(time) && witnesses.others < WITNESSES_MAX {
                witnesses.others = witnesses.others.saturating_add(1);
                return true;
            }
        }
        false
    }

    /// Whether a segment belongs to a connection that shows that a gateway's other leg was captured.
    fn is_witness(&mut self, source: Endpoint, destination: Endpoint, time: Timestamp) -> bool {
        for (gateway, witnesses) in &mut self.witnesses {
            let is_own = |end: Endpoint| end.addr == gateway.addr && end.port != gateway.port;
            let others = source == *gateway || destination == *gateway;
            if others || !witnesses.spans.hold(time) {
                continue;
            }
            let flow = sorted((source, destination));
            if is_own(destination) && witnesses.flows.len() < WITNESSES_MAX {
                witnesses.flows.entry(flow).or_default();
            }
            if let Some(frames) = witnesses.flows.get_mut(&flow) {
                *frames = frames.saturating_add(1);
                return *frames <= WITNESS_FRAMES_MAX;
            }
        }
        false
    }

    fn connection(&mut self, connection: &ConnectionName, span: Span) {
        let views = connection.views.iter().take(VIEWS_MAX);
        for name in std::iter::once(connection).chain(views) {
            self.flow((name.client, name.server), span);
        }
    }

    fn flow(&mut self, ends: (Endpoint, Endpoint), span: Span) {
        let spans = self.flows.entry(sorted(ends)).or_default();
        spans.add_near(span, HOLE_NANOS_MAX);
    }

    fn remark(&mut self, finding: &Finding, show_secrets: bool) {
        let shown = one_finding(finding, show_secrets);
        let confidence = shown.cause.confidence;
        for evidence in &shown.evidence {
            let id = FrameId::new(evidence.input, evidence.frame);
            let remark = format!(
                "gwcap {}: {} ({confidence}): {}",
                shown.id, shown.cause.code, evidence.summary
            );
            self.decisive.entry(id).or_default().push(shortened(remark));
        }
        if self.told.len() < FINDINGS_TOLD_MAX {
            let status = shown
                .status
                .map_or_else(|| shown.failure.to_owned(), |status| status.to_string());
            let upstream = shown.upstream.map(|upstream| upstream.address);
            self.told.push(shortened(format!(
                "finding {} at {}: {} ({confidence}), {status} from {} to {}, upstream {}",
                shown.id,
                shown.time,
                shown.cause.code,
                shown.exchange.gateway,
                shown.exchange.client,
                upstream.as_deref().unwrap_or("unknown"),
            )));
        }
    }
}

/// The port of name servers (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// From before the request to after the error; what is earlier or later and decisive is inside.
fn span_of(finding: &Finding, reach: Reach) -> Span {
    let begun = finding.attempts.iter().map(|attempt| attempt.start);
    let ended = finding.attempts.iter().filter_map(|attempt| attempt.end);
    let request = finding.exchange.request.time;
    let from = begun.fold(request, Timestamp::min);
    let error = finding.at.time.max(finding.exchange.response.time);
    let until = ended.fold(error, Timestamp::max);
    let marks = finding.attempts.iter().flat_map(|attempt| &attempt.frames);
    let proofs = finding.evidence.iter().map(|evidence| &evidence.mark);
    let whole = Span {
        from: from.plus_nanos(reach.before_nanos.saturating_neg()),
        until: until.plus_nanos(reach.after_nanos),
    };
    marks.chain(proofs).fold(whole, |whole, mark| {
        whole.joined(Span {
            from: mark.time,
            until: mark.time,
        })
    })
}

/// Whether the proof is that nothing came, or that nothing was sent, or lies in what other connections have and this one has not.
fn needs_witnesses(finding: &Finding) -> bool {
    finding.code.starts_with("connect-")
        || matches!(
            finding.code,
            "proxy-protocol-missing" | "idle-drop-middlebox"
        )
        || finding
            .attempts
            .iter()
            .all(|attempt| attempt.connection.is_none())
}

/// Whether a failure, or what was considered for it, is about names or neighbours.
fn is_about(finding: &Finding, leg: Leg, prefix: &str) -> bool {
    finding.evidence.iter().any(|evidence| evidence.leg == leg)
        || finding.code.starts_with(prefix)
        || finding
            .attempts
            .iter()
            .any(|attempt| attempt.cause.is_some_and(|cause| cause.starts_with(prefix)))
}

fn ends(packet: &Packet<'_>) -> (Endpoint, Endpoint) {
    match packet {
        Packet::Segment(segment) => (segment.source, segment.destination),
        Packet::Datagram(datagram) => (datagram.source, datagram.destination),
        Packet::Icmp(error) => (error.quoted_source, error.quoted_destination),
        Packet::Resolution(step) => (
            Endpoint::new(step.speaker, 0),
            Endpoint::new(step.target, 0),
        ),
    }
}

fn sorted((one, other): (Endpoint, Endpoint)) -> (Endpoint, Endpoint) {
    (one.min(other), one.max(other))
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(REMARK_CHARS_MAX) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "...",
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, until: i64) -> Span {
        Span {
            from: Timestamp(from),
            until: Timestamp(until),
        }
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut spans = Spans::default();
        for (from, until) in [(10, 20), (40, 50), (60, 70), (0, 5), (45, 60), (12, 15)] {
            spans.add(span(from, until));
        }
        assert_eq!(spans.0, [span(0, 5), span(10, 20), span(40, 70)]);
        let held: Vec<i64> = [-1, 0, 5, 7, 10, 20, 30, 40, 55, 70, 71]
            .into_iter()
            .filter(|time| spans.hold(Timestamp(*time)))
            .collect();
        assert_eq!(held, [0, 5, 10, 20, 40, 55, 70]);
        spans.add(span(-9, 99));
        assert_eq!(spans.0, [span(-9, 99)]);
        spans.add_near(span(109, 110), 10);
        spans.add_near(span(121, 122), 10);
        assert_eq!(spans.0, [span(-9, 110), span(121, 122)]);
    }

    #[test]
    fn remarks_are_short() {
        let long = shortened("ä".repeat(REMARK_CHARS_MAX + 1));
        assert_eq!(long.chars().count(), REMARK_CHARS_MAX + 3);
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
