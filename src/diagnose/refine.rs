//! What the rest of the capture says of a failed connect. In: the conclusion of an attempt. Out: the same, or the more
//! specific cause that the moment around it shows.
//!
//! The rule: never certain: it rests on what other connections and older answers of DNS show, not on this attempt.

use crate::diagnose::attempt::{default_words, millis};
use crate::diagnose::candidate::Candidate;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, Evidence, Leg, RuledOut};
use crate::diagnose::gateway::product::Wait;
use crate::diagnose::host::Host;
use crate::diagnose::lookup::LookupRecord;
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::timeline::Timeline;
use crate::frame::Mark;

/// Exchanges at the upstream that one look back goes through: enough to know whether it holds any.
const HELD_LOOKED_AT_MAX: usize = 64;
/// How far back a request may have begun that the upstream still holds, seconds: the longest usual timer of a gateway.
const HELD_FROM_SECONDS: i64 = 130;
/// A request is stuck in the upstream's queue, and not merely being served, when it has waited this long, nanoseconds.
const HELD_MIN_NANOS: i64 = 300_000_000;
/// Answers of DNS that are looked at, the latest first.
const ANSWERS_LOOKED_AT_MAX: usize = 512;

/// Connects that fail because nobody is there, or not the right one.
const NOBODY_THERE: &[&str] = &[
    "connect-refused",
    "connect-timeout",
    "icmp-host-unreachable",
    "icmp-net-unreachable",
    "icmp-port-unreachable",
    "icmp-admin-prohibited",
];

/// Takes the more specific cause where the capture shows one, and says how long a connect was waited for.
pub fn refine(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    if conclusion.code == "connect-timeout" {
        let waited = member.suspect.at.time.nanos_since(last.start.time);
        let product = member.identified.gateway.product;
        conclusion.reasons.push(format!(
            "the gateway gave up {} after the first SYN{}",
            millis(waited),
            default_words(product, Wait::Connect, waited)
        ));
    }
    if !NOBODY_THERE.contains(&conclusion.code) || conclusion.confidence < Confidence::Likely {
        return;
    }
    if conclusion.code == "connect-timeout" {
        full_queue(timeline, member, last, conclusion);
    }
    if conclusion.code != "listen-queue-overflow" {
        stale_address(timeline, member, last, conclusion);
    }
}

/// Requests that the same port holds unanswered, on connections that it has taken in, while it takes in no more.
fn full_queue(timeline: &Timeline, member: &Member, last: &Candidate, conclusion: &mut Conclusion) {
    let gateway = &member.identified.gateway;
    let from = last.start.back_seconds(HELD_FROM_SECONDS);
    let held = timeline
        .served_on(gateway.vantage, last.upstream.addr, from, last.start)
        .take(HELD_LOOKED_AT_MAX)
        .filter_map(|id| timeline.exchange(id))
        .find(|(record, exchange)| {
            record.facts.server == last.upstream
                && record
                    .facts
                    .from_client
                    .acknowledged
                    .is_some_and(|bytes| bytes > exchange.request_offset)
                && was_held(exchange, last.start)
                && record
                    .facts
                    .from_server
                    .fin
                    .is_none_or(|fin| fin.mark > last.start)
                && record
                    .facts
                    .from_server
                    .reset
                    .is_none_or(|reset| reset.mark > last.start)
        });
    let Some((record, exchange)) = held else {
        return;
    };
    let waits = last.start.time.nanos_since(exchange.request_at.time);
    conclusion.evidence.push(Evidence {
        mark: exchange.request_at,
        leg: Leg::Upstream,
        summary: format!(
            "{} has taken this request on another connection, from {}, and had not answered it {} later, when the SYN came",
            last.upstream, record.facts.client, millis(waits)
        ),
    });
    conclusion.at_most(
        Confidence::Likely,
        "only the upstream's own counters prove a full queue: packets that are dropped on the way look the same",
    );
    conclusion.ruled_out.push(RuledOut {
        code: "connect-timeout",
        reason: "the port holds other connections, and answers none of them".to_owned(),
    });
    conclusion.code = "listen-queue-overflow";
}

/// Whether the upstream had taken the request and not answered it when the SYN came.
fn was_held(exchange: &ExchangeRecord, syn: Mark) -> bool {
    syn.time.nanos_since(exchange.request_at.time) >= HELD_MIN_NANOS
        && exchange.response_at.is_none_or(|answered| answered > syn)
}

/// An address that was in an earlier answer for a name, and is not in the latest before the connect.
fn stale_address(
    timeline: &Timeline,
    member: &Member,
    last: &Candidate,
    conclusion: &mut Conclusion,
) {
    let gateway = &member.identified.gateway;
    let hosts = gateway.addrs.iter();
    let stale = hosts
        .filter_map(|addr| timeline.host(gateway.vantage, *addr))
        .find_map(|host| replaced(host, last));
    let Some((old, new)) = stale else {
        return;
    };
    let (Some((before, ..)), Some((after, ..))) = (old.answer, new.answer) else {
        return;
    };
    let say = |mark: Mark, summary: String| Evidence {
        mark,
        leg: Leg::Dns,
        summary,
    };
    let addr = last.upstream.addr;
    conclusion.evidence.push(say(
        before,
        format!("{} answers {addr} for {}", old.resolver, old.name),
    ));
    let now: Vec<String> = new.addresses.iter().map(ToString::to_string).collect();
    conclusion.evidence.push(say(
        after,
        format!(
            "{} answers {} for {}: {addr} is no longer among them",
            new.resolver,
            now.join(", "),
            new.name
        ),
    ));
    conclusion.contributing.push(conclusion.code);
    conclusion.detail = Some(conclusion.code.to_owned());
    conclusion.at_most(
        Confidence::Likely,
        format!(
            "the connect failed as {}; that the address is stale rests on the answers of DNS",
            conclusion.code
        ),
    );
    conclusion.code = "dns-stale-address";
}

/// The answer that had the upstream's address, and the later one that had none of the old addresses any more. A name of
/// which each answer gives a part shares some between them, or gives an old one again.
fn replaced<'h>(host: &'h Host, last: &Candidate) -> Option<(&'h LookupRecord, &'h LookupRecord)> {
    let answered = |record: &&LookupRecord| {
        record
            .answer
            .is_some_and(|(at, rcode, _)| rcode == 0 && at < last.start)
            && !record.addresses.is_empty()
    };
    let recent = || {
        host.lookups
            .iter()
            .rev()
            .take(ANSWERS_LOOKED_AT_MAX)
            .filter(answered)
    };
    let old = recent().find(|record| record.addresses.contains(&last.upstream.addr))?;
    let new = recent().find(|record| record.name == old.name && record.kind == old.kind)?;
    let later = new.answer.map(|(at, ..)| at) > old.answer.map(|(at, ..)| at);
    let shared = new
        .addresses
        .iter()
        .any(|addr| old.addresses.contains(addr));
    (later && !shared).then_some((old, new))
}
