//! First verdicts on errors that are not settled yet. In: the timeline and what is due. Out: findings that may change.
//!
//! The rule: nobody waits for a verdict longer than it takes to see the gateway's own close; what later frames add is told
//! by the last verdict. Nothing is claimed here, so that the last verdict is the same whether there was a first one or not.

use std::collections::BTreeSet;

use crate::diagnose::conclusion::Member;
use crate::diagnose::due::{self, Groups};
use crate::diagnose::finding::Finding;
use crate::diagnose::group;
use crate::diagnose::role::{Role, Told, role};
use crate::diagnose::sight;
use crate::diagnose::suspect::{self, Outcome, Suspect};
use crate::diagnose::timeline::Timeline;
use crate::protocol::observation::ExchangeId;
use crate::time::Timestamp;

/// How long after an error a first verdict is given: a gateway closes its side upstream within milliseconds, and frames of
/// two interfaces are written out of order by as much. Nanoseconds.
const FIRST_NANOS: i64 = 300_000_000;

/// Least time between two looks for errors without a verdict, nanoseconds: with [`FIRST_NANOS`] less than a second.
const LOOK_NANOS: i64 = 300_000_000;

/// Most errors that are open at once and still get a first verdict: in a worse outage the last ones come soon enough, and
/// judging twice would cost what the capture needs.
const OPEN_MAX: usize = 512;

/// Which errors had their first verdict.
#[derive(Debug, Default)]
pub struct Early {
    told: BTreeSet<ExchangeId>,
    looked: Timestamp,
}

impl Early {
    /// Whether an error had a first verdict, which is forgotten by the question: it has its last one now.
    pub fn had(&mut self, exchange: ExchangeId) -> bool {
        self.told.remove(&exchange)
    }

    /// Errors that had their first verdict and not yet their last.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.told.len() as u64
    }

    /// First verdicts on the errors of `open` that have none and are old enough at `now`.
    pub fn judge(
        &mut self,
        timeline: &Timeline,
        told: &Told,
        open: &[Suspect],
        now: Timestamp,
    ) -> Vec<Finding> {
        // What was told of and is open no more was taken back.
        if !self.told.is_empty() {
            let ids: BTreeSet<ExchangeId> = open.iter().map(|suspect| suspect.exchange).collect();
            self.told.retain(|id| ids.contains(id));
        }
        let since = now.nanos_since(self.looked);
        if open.is_empty() || open.len() > OPEN_MAX || (0..LOOK_NANOS).contains(&since) {
            return Vec::new();
        }
        self.looked = now;
        let old = now.plus_nanos(-FIRST_NANOS);
        let is_new =
            |suspect: &Suspect| suspect.at.time <= old && !self.told.contains(&suspect.exchange);
        if !open.iter().any(is_new) {
            return Vec::new();
        }
        let failed = due::dedup(open.to_vec()).into_iter().filter_map(|suspect| {
            let new = is_new(&suspect);
            match suspect::settle(timeline, suspect) {
                Outcome::Failed(suspect) => Some((suspect, new)),
                Outcome::ClientLeft | Outcome::Fine => None,
            }
        });
        let mut groups = Groups::new();
        for (suspect, new) in sight::one_of_each(timeline, told, failed.collect()) {
            if let Some(Role::Gateway(identified)) = role(timeline, told, &suspect) {
                due::add(&mut groups, suspect, *identified, new);
            }
        }
        let mut findings = Vec::new();
        for mut members in groups.into_values() {
            members.sort_by_key(|member: &Member| {
                (!member.due, member.suspect.at, member.suspect.exchange)
            });
            findings.extend(group::preview(timeline, &members));
        }
        self.told.extend(findings.iter().map(exchange_of));
        findings
    }
}

/// The exchange of a finding.
#[must_use]
pub fn exchange_of(finding: &Finding) -> ExchangeId {
    ExchangeId {
        connection: finding.exchange.connection.id,
        index: finding.exchange.index,
    }
}
