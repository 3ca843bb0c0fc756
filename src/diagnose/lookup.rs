//! DNS lookups of a host. In: queries, answers, ICMP errors. Out: one record for each name that was asked.
//!
//! The rule: a lookup fails only when every query for the name failed; a good A outweighs an empty AAAA.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::decode::segment::IcmpError;
use crate::diagnose::attempt::Verdict;
use crate::diagnose::finding::{Confidence, Leg};
use crate::flow::Endpoint;
use crate::frame::Mark;
use crate::protocol::observation::{Answer, Query};
use crate::time::Timestamp;

/// The shortest patience of a resolver that is believed, nanoseconds: answers from across the world take
/// 300 ms.
const PATIENCE_MIN_NANOS: i64 = 500_000_000;

/// The type that asks for the name of an address (RFC 1035, section 3.2.2): for logs and rules about clients, never on
/// the way to an upstream.
const PTR: u16 = 12;

/// Within this an error may as well follow an ICMP error that the capture lost as silence, nanoseconds: resolvers ask
/// again after one to five seconds.
const ASKED_ONCE_NANOS: i64 = 3_000_000_000;

/// Most lookups that are remembered of one host.
pub const LOOKUPS_PER_HOST_MAX: usize = 4_096;

/// One query and what became of it.
#[derive(Clone, Debug)]
pub struct LookupRecord {
    /// The name, lower case.
    pub name: Box<str>,
    /// Query type: 1 A, 28 AAAA.
    pub kind: u16,
    /// Transaction id.
    pub id: u16,
    /// Who asked, with the port.
    pub client: Endpoint,
    /// Who was asked.
    pub resolver: Endpoint,
    /// First query frame.
    pub asked: Mark,
    /// Latest repetition of the query.
    pub last_asked: Mark,
    /// How often it was repeated.
    pub repeats: u32,
    /// The answer: frame, RCODE and number of addresses.
    pub answer: Option<(Mark, u16, usize)>,
    /// The addresses of the answer.
    pub addresses: Box<[IpAddr]>,
    /// An ICMP error instead of an answer, and who sent it.
    pub unreachable: Option<(Mark, IpAddr)>,
}

impl LookupRecord {
    /// Remembers a query.
    pub fn asked(lookups: &mut VecDeque<Self>, query: &Query) {
        if query.kind == PTR {
            return;
        }
        let same = |record: &&mut Self| {
            record.id == query.id
                && record.client == query.client
                && record.name == query.name
                && record.kind == query.kind
        };
        if query.repeated
            && let Some(record) = lookups.iter_mut().rev().find(same)
        {
            record.last_asked = query.at;
            record.repeats += 1;
            return;
        }
        if lookups.len() >= LOOKUPS_PER_HOST_MAX {
            lookups.pop_front();
        }
        lookups.push_back(Self {
            name: query.name.clone(),
            kind: query.kind,
            id: query.id,
            client: query.client,
            resolver: query.resolver,
            asked: query.at,
            last_asked: query.at,
            repeats: 0,
            answer: None,
            addresses: Box::default(),
            unreachable: None,
        });
    }

    /// Remembers an answer.
    pub fn answered(lookups: &mut VecDeque<Self>, answer: &Answer) {
        let same = |record: &&mut Self| {
            record.id == answer.id
                && record.client == answer.client
                && record.kind == answer.kind
                && record.name == answer.name
        };
        if let Some(record) = lookups.iter_mut().rev().find(same)
            && record.answer.is_none()
        {
            record.answer = Some((answer.at, answer.rcode, answer.addresses.len()));
            record.addresses = answer.addresses.as_slice().into();
        }
    }

    /// Remembers that the resolver could not be reached. False when the query is not known: it may come later, where frames
    /// were written in another order.
    pub fn unreachable(lookups: &mut VecDeque<Self>, error: &IcmpError) -> bool {
        let same = |record: &&mut Self| {
            record.client == error.quoted_source && record.resolver == error.quoted_destination
        };
        let Some(record) = lookups.iter_mut().rev().find(same) else {
            return false;
        };
        record
            .unreachable
            .get_or_insert((error.mark, error.reporter));
        true
    }
}

/// The failed lookup of one name inside a window.
#[derive(Clone, Debug)]
pub struct FailedLookup {
    /// The name.
    pub name: Box<str>,
    /// The cause's code.
    pub code: &'static str,
    /// First query.
    pub started: Mark,
    /// The last answer, where there was one.
    pub ended: Option<Mark>,
    /// The verdict with its proof.
    pub verdict: Verdict,
}

/// The lookups between `from` and `until` whose every query failed, by name in order of time. `heard`: whether the
/// capture shows what is sent to the host.
#[must_use]
pub fn failed_lookups(
    lookups: &VecDeque<LookupRecord>,
    from: Timestamp,
    until: Timestamp,
    heard: bool,
) -> Vec<FailedLookup> {
    let inside: Vec<&LookupRecord> = lookups
        .iter()
        .filter(|record| record.last_asked.time >= from && record.asked.time <= until)
        .collect();
    let mut names: Vec<&str> = inside.iter().map(|record| record.name.as_ref()).collect();
    names.dedup();
    let mut failed: Vec<FailedLookup> = Vec::new();
    for name in names {
        if failed.iter().any(|known| known.name.as_ref() == name) {
            continue;
        }
        let of_name: Vec<&LookupRecord> = inside
            .iter()
            .copied()
            .filter(|record| record.name.as_ref() == name)
            .collect();
        failed.extend(judge(name, &of_name, until, heard));
    }
    failed
}

fn judge(
    name: &str,
    records: &[&LookupRecord],
    until: Timestamp,
    heard: bool,
) -> Option<FailedLookup> {
    let answer = |record: &LookupRecord| record.answer.filter(|(at, ..)| at.time <= until);
    if records.iter().any(|record| {
        answer(record).is_some_and(|(_, rcode, addresses)| rcode == 0 && addresses > 0)
    }) {
        return None;
    }
    let first = records.first()?;
    let worst = records
        .iter()
        .filter_map(|record| answer(record))
        .max_by_key(|(at, ..)| *at);
    let query = format!("{} asks {} for {name}", first.client.addr, first.resolver);
    let mut verdict = match worst {
        Some((at, ..)) => Verdict::seen(at).proof_on(Leg::Dns, first.asked, query),
        None => Verdict::absent().proof_on(Leg::Dns, first.asked, query),
    };
    let code = match worst {
        Some((at, rcode, _)) => {
            let (code, words) = match rcode {
                3 => ("dns-nxdomain", "the name does not exist (NXDOMAIN)"),
                2 => ("dns-servfail", "the resolver failed (SERVFAIL)"),
                5 => ("dns-refused", "the resolver refuses to answer (REFUSED)"),
                0 => (
                    "dns-nodata",
                    "the name exists but has no address of the type asked (NODATA)",
                ),
                _ => return None,
            };
            verdict = verdict.proof_on(Leg::Dns, at, format!("{}: {words}", first.resolver));
            code
        }
        None if let Some((at, reporter)) = unreachable(records, until) => {
            return Some(FailedLookup {
                name: name.into(),
                code: "dns-unreachable",
                started: first.asked,
                ended: Some(at),
                verdict: not_reached(verdict, records, (at, reporter), until),
            });
        }
        None => {
            let last = records.iter().map(|record| record.last_asked).max()?;
            if last != first.asked {
                verdict = verdict.proof_on(
                    Leg::Dns,
                    last,
                    format!("the query for {name} is repeated, no answer so far"),
                );
            }
            if let Some(late) = records
                .iter()
                .filter_map(|record| record.answer)
                .map(|(at, ..)| at)
                .min()
            {
                verdict = verdict.proof_on(
                    Leg::Dns,
                    late,
                    "the answer comes after the gateway had given up",
                );
            }
            if until.nanos_since(last.time) < PATIENCE_MIN_NANOS && last == first.asked {
                verdict = verdict.at_most(
                    Confidence::Possible,
                    "the error came sooner than a resolver gives up: the answer may be missing from the capture",
                );
            }
            // Only who got no answer asks again.
            if last == first.asked && until.nanos_since(last.time) < ASKED_ONCE_NANOS {
                verdict = verdict.at_most(
                    Confidence::Likely,
                    "it asked only once and soon gave up: what answered it may be missing from the capture",
                );
            }
            if last == first.asked && !heard {
                verdict = verdict.at_most(
                    Confidence::Likely,
                    "nothing that is sent to this gateway from behind is in the capture: it may show one direction only",
                );
            }
            verdict = verdict.not("dns-nxdomain", "no answer of any kind came back");
            "dns-timeout"
        }
    };
    Some(FailedLookup {
        name: name.into(),
        code,
        started: first.asked,
        ended: worst.map(|(at, ..)| at),
        verdict,
    })
}
/// The latest ICMP error about one of these queries.
fn unreachable(records: &[&LookupRecord], until: Timestamp) -> Option<(Mark, IpAddr)> {
    records
        .iter()
        .filter_map(|record| record.unreachable)
        .filter(|(at, _)| at.time <= until)
        .max_by_key(|(at, _)| *at)
}

/// The verdict that the resolver cannot be reached.
fn not_reached(
    verdict: Verdict,
    records: &[&LookupRecord],
    (at, reporter): (Mark, IpAddr),
    until: Timestamp,
) -> Verdict {
    let mut verdict = Verdict {
        at: Some(at),
        ..verdict
    }
    .proof_on(
        Leg::Dns,
        at,
        format!("{reporter} reports the resolver unreachable by ICMP"),
    )
    .not("dns-timeout", "an ICMP error answers the query");
    // One error for a resolver is enough: hosts send few of them (RFC 1812, section 4.3.2.8).
    let reported = |resolver: Endpoint| {
        records
            .iter()
            .filter(|record| record.resolver == resolver)
            .any(|record| record.unreachable.is_some_and(|(at, _)| at.time <= until))
    };
    let silent = |record: &&LookupRecord| !reported(record.resolver);
    if let Some(other) = records.iter().copied().find(silent) {
        verdict = verdict.at_most(
            Confidence::Likely,
            format!(
                "another query, to {}, has neither an answer nor an ICMP error",
                other.resolver
            ),
        );
    }
    verdict
}
