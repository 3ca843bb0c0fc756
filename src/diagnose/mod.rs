//! From observations to findings: what happened upstream of each gateway error.
//!
//! In: observations in order, and the ticks between them. Out: a [`Diagnosis`]. The rule:
//! an error is judged when what follows it has been seen; later facts may only revise what was missing.

mod accounted;
mod agenda;
pub mod assign;
pub mod attempt;
mod auxiliary;
pub mod backlog;
pub mod candidate;
pub mod cause;
pub mod certificate;
mod chains;
mod checks;
mod client;
pub mod clock;
pub mod clocks;
pub mod conclusion;
pub mod contrast;
mod due;
mod early;
pub mod events;
pub mod finding;
pub mod fit;
mod forget;
pub mod fragments;
pub mod gateway;
pub mod group;
pub mod habits;
pub mod hands;
pub mod handshake;
pub mod hidden;
pub mod host;
pub mod identity;
pub mod idle_habit;
pub mod incident;
mod inferred;
pub mod lookup;
mod machines;
pub mod names;
mod naming;
pub mod neighbour;
mod nested;
mod newcomers;
pub mod nothing;
mod ocsp;
pub mod order;
mod page;
pub mod reason;
pub mod recent;
pub mod record;
pub mod refine;
pub mod restarts;
mod retry;
pub mod rewrites;
pub mod rhythm;
pub mod role;
mod scene;
mod sealed;
mod services;
mod shown;
mod sidecar;
mod sight;
mod silent;
pub mod suspect;
pub mod timeline;
pub mod trust;
pub mod turns;
pub mod undecrypted;
pub mod unresolved;
pub mod verdict;
mod views;
pub mod warnings;
pub mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::decode::LostPieces;
use crate::diagnose::clocks::Clocks;
use crate::diagnose::conclusion::Member;
use crate::diagnose::due::{Groups, add, dedup};
use crate::diagnose::finding::{Diagnosis, Finding, News, Standing};
use crate::diagnose::fragments::LostFragments;
use crate::diagnose::hands::Hands;
use crate::diagnose::role::{Role, Told, role};
use crate::diagnose::suspect::{Outcome, Suspect};
use crate::diagnose::timeline::Timeline;
use crate::diagnose::trust::Trust;
use crate::flow::Endpoint;
use crate::frame::Mark;
use crate::loss::{Loss, LossName};
use crate::protocol::observation::{Completion, ExchangeId, Observation, Seen};
use crate::time::Timestamp;

/// How long after an error it is judged: a gateway closes its upstream connection within milliseconds, and
/// frames of two interfaces may be written out of order by as much. Nanoseconds.
const SETTLE_NANOS: i64 = 2_000_000_000;
/// How much of what follows is assigned together with what is due, nanoseconds. Less than [`SETTLE_NANOS`],
/// so that it has settled too.
const RIVALS_NANOS: i64 = 1_000_000_000;
/// Errors of one gateway that are judged at once.
const PIECE_MAX: usize = 4_096;
/// Errors after a piece that compete for attempts with it.
const PIECE_RIVALS_MAX: usize = 512;
/// Most errors that wait for a sign that their host is a gateway; further ones are judged without.
const WAITING_MAX: usize = 100_000;
/// Most findings that are kept with their evidence, about 3 KB each; further ones are counted.
pub const FINDINGS_MAX: usize = 200_000;

/// The diagnosis of one capture, as it walks by.
#[derive(Debug, Default)]
pub struct Diagnose {
    told: Told,
    timeline: Timeline,
    /// Errors that are not judged yet, in order of time.
    due: Vec<Suspect>,
    /// Errors of hosts that have shown no sign of a gateway so far.
    waiting: Vec<Suspect>,
    /// Findings that say that the upstream leg was not captured, by their place: looked at again at the end.
    bare: Vec<(usize, Suspect)>,
    events: events::Events,
    sealed: sealed::Sealed,
    habits: habits::Register,
    restarts: restarts::Register,
    out: Diagnosis,
    /// Findings of this tick, with the suspects of those that are looked at again at the end.
    fresh: Vec<(Finding, Option<Suspect>)>,
    /// Findings by code, as they were judged first.
    counts: BTreeMap<&'static str, u64>,
    /// Errors that were told before they had settled.
    early: early::Early,
    /// Findings of `out` that were handed over as news.
    told_of: usize,
    seen: warnings::SeenProtocols,
    lost: LostFragments,
    unanswered: warnings::Unanswered,
    /// Set from elsewhere when nobody waits any longer: errors that are not judged yet are counted.
    hurry: Arc<AtomicBool>,
    hands: Hands,
}

/// Errors that nobody waited for.
pub const NOT_JUDGED: LossName = "errors_not_judged";

impl Diagnose {
    /// A diagnosis that knows what the user told.
    #[must_use]
    pub fn new(told: Told) -> Self {
        Self {
            told,
            ..Self::default()
        }
    }

    /// The same, and how far the times of the inputs may be apart.
    #[must_use]
    pub fn with_clocks(mut self, clocks: Clocks) -> Self {
        self.timeline.clocks = clocks;
        self
    }

    /// The same, and which roots judge certificates.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.timeline.trust = trust;
        self
    }

    /// The same, and a flag that ends judging: what is then not judged is counted as [`NOT_JUDGED`].
    #[must_use]
    pub fn that_hurries(mut self, hurry: Arc<AtomicBool>) -> Self {
        self.hurry = hurry;
        self
    }

    /// The same, and who works on what is the same for each of many errors.
    #[must_use]
    pub fn with_hands(mut self, hands: Hands) -> Self {
        self.hands = hands;
        self
    }

    /// Takes the next observation.
    pub fn observe(&mut self, observation: &Observation) {
        self.timeline.observe(observation);
        self.seen.note(&observation.what);
        self.restarts.note(&self.timeline, &observation.what);
        let loss = &mut self.timeline.loss;
        names::note(&mut self.out.names, &observation.what, loss);
        if let Seen::ResponseEnd { exchange, end, .. } = &observation.what {
            self.count_exchange(*exchange);
            self.habits.note(&self.timeline, &self.restarts, *exchange);
            self.timeline.learn(*exchange);
            if end.how == Completion::CaptureEnded {
                self.note_unanswered(*exchange, end.at);
            }
        }
        self.due.extend(suspect::suspect(
            &self.timeline,
            &observation.what,
            &self.told.statuses,
        ));
        self.events.note(&self.timeline, &observation.what);
        self.sealed.note(&self.timeline, &observation.what);
    }

    /// A fragment of a packet was seen.
    pub fn saw_fragment(&mut self, time: Timestamp) {
        self.lost.saw(time);
    }

    /// Packets came in fragments that could not be put together.
    pub fn note_lost(&mut self, lost: &[LostPieces]) {
        for pieces in lost {
            self.lost.note(pieces, &mut self.timeline.loss);
        }
    }

    /// Time passes: judges what has settled, forgets what is old.
    pub fn tick(&mut self, now: Timestamp) {
        let settled = now.plus_nanos(-SETTLE_NANOS);
        self.judge_until(settled);
        // The error that a failed attempt led to may have come later than the failure: it is judged first.
        let explained = settled.plus_nanos(-RIVALS_NANOS);
        self.judge_sealed(explained);
        self.events
            .settle(&mut self.timeline, explained, &mut self.out, &self.hurry);
        self.timeline.tick(now);
    }

    /// Where it stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut by_cause: Vec<_> = self
            .counts
            .iter()
            .map(|(code, count)| (*code, *count))
            .collect();
        by_cause.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
        Standing {
            exchanges: self.out.health.exchanges,
            connections: self.timeline.opened,
            findings: self.counts.values().sum::<u64>() + self.early.open(),
            by_cause,
            application_errors: self.out.health.application_errors,
            client_aborts: self.out.health.client_aborts,
        }
    }

    /// Upstreams of gateways of which the capture shows that something was said, and not what: a filter keeps it out.
    #[must_use]
    pub fn hidden_servers(&self, until: Mark) -> BTreeSet<Endpoint> {
        self.timeline.hidden_servers(until)
    }

    /// What was found since the last call, in the order in which it was judged; and, where it is known how late it is,
    /// first verdicts on errors that have not settled.
    pub fn news(&mut self, now: Option<Timestamp>) -> Vec<News> {
        let first = self.told_of;
        self.told_of = self.out.findings.len();
        let fresh = self.out.findings.get(first..).unwrap_or_default();
        let open = |place: usize| self.bare.iter().any(|(bare, _)| *bare == place);
        let mut news: Vec<News> = (first..)
            .zip(fresh)
            .map(|(place, finding)| {
                // What comes later may show that nothing is filtered, or that a fragment was lost.
                let last = !open(place)
                    && !self.lost.may_concern(finding)
                    && !warnings::depends_on_filter(&self.seen, finding);
                let told = self.early.had(early::exchange_of(finding));
                News {
                    finding: finding.clone(),
                    revision: u32::from(told),
                    settled: true,
                    last,
                }
            })
            .collect();
        let early = now.map(|now| self.early.judge(&self.timeline, &self.told, &self.due, now));
        for finding in early.unwrap_or_default() {
            let incident = incident::id_of(&finding);
            news.push(News {
                finding: Finding {
                    incident,
                    ..finding
                },
                revision: 0,
                settled: false,
                last: false,
            });
        }
        for news in &mut news {
            warnings::weigh_filter(&self.seen, std::slice::from_mut(&mut news.finding));
        }
        news
    }

    /// The capture is over: judges all that is open. Nothing is to be asked of it afterwards.
    #[must_use]
    pub fn finish(&mut self) -> (Diagnosis, Loss) {
        let end = Timestamp(i64::MAX);
        self.judge_until(end);
        let waiting = std::mem::take(&mut self.waiting);
        self.judge_last(&waiting);
        self.judge_sealed(end);
        self.revise();
        self.events
            .settle(&mut self.timeline, end, &mut self.out, &self.hurry);
        self.events.count(&mut self.out);
        let out = &mut self.out;
        self.lost.weigh(&mut out.findings);
        out.findings
            .sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        warnings::weigh_filter(&self.seen, &mut out.findings);
        out.incidents = incident::fold(&mut out.findings);
        incident::compare(
            &mut out.incidents,
            &out.findings,
            &self.habits,
            &self.restarts,
        );
        let not_followed = self.restarts.not_followed;
        self.timeline
            .loss
            .add("upstreams_not_followed", not_followed);
        let not_counted = self.habits.not_counted;
        self.timeline.loss.add("attempts_not_compared", not_counted);
        out.health.connections = self.timeline.opened;
        out.health.retransmissions = self.timeline.retransmissions;
        warnings::add(&self.seen, out);
        self.timeline.chains.warn(&mut out.warnings);
        self.timeline.undecrypted.warn(&mut out.warnings);
        warnings::ended_early(&self.unanswered, out);
        self.timeline.clock.warn(out);
        out.clocks = std::mem::take(&mut self.timeline.clocks);
        let loss = std::mem::take(&mut self.timeline.loss);
        (std::mem::take(out), loss)
    }

    /// Notes whether there was anything that no decoder knew: of the kinds that were seen depends what a filter may have dropped.
    pub fn note_skipped(&mut self, any: bool) {
        self.seen.others |= any;
    }

    /// Notes a client's request of HTTP/1 without a byte of an answer.
    fn note_unanswered(&mut self, id: ExchangeId, end: Mark) {
        if let Some((_, exchange)) = self.timeline.exchange(id)
            && exchange.request.is_some()
            && exchange.response_at.is_none()
            && !self.is_of_gateway(id)
        {
            self.unanswered.note(exchange.request_at, end);
        }
    }

    fn count_exchange(&mut self, id: ExchangeId) {
        if !self.is_of_gateway(id) && self.timeline.counts(id.connection) {
            self.out.health.exchanges += 1;
        }
    }

    /// Whether the client of an exchange is itself asked: then it is an attempt of a gateway, unless clients and upstream are one
    /// host.
    fn is_of_gateway(&self, id: ExchangeId) -> bool {
        let timeline = &self.timeline;
        timeline.connection(id.connection).is_some_and(|record| {
            let (vantage, client) = (record.facts.vantage, record.facts.client.addr);
            let server = record.facts.server.addr;
            client != server
                && timeline.is_asked(vantage, client)
                && !timeline.is_behind(vantage, client, server)
        })
    }

    /// Judges the errors up to `settled`. Those of the second that follows are assigned with them, so that no
    /// error takes an attempt that fits a later one better, and are judged at the next tick.
    fn judge_until(&mut self, settled: Timestamp) {
        let rivals_until = settled.plus_nanos(RIVALS_NANOS);
        let all = dedup(std::mem::take(&mut self.due));
        if !all.iter().any(|suspect| suspect.at.time <= settled) {
            self.due = all;
            return;
        }
        let (mut failed, mut left) = (Vec::new(), Vec::new());
        for suspect in all {
            let due = suspect.at.time <= settled;
            if !due {
                self.due.push(suspect);
            }
            if suspect.at.time > rivals_until {
                continue;
            }
            match suspect::settle(&self.timeline, suspect) {
                Outcome::Failed(suspect) => failed.push((suspect, due)),
                Outcome::ClientLeft if due => left.push(suspect),
                Outcome::ClientLeft | Outcome::Fine => {}
            }
        }
        let failed = sight::one_of_each(&self.timeline, &self.told, failed);
        let groups = self.place(&failed);
        for (suspect, _) in failed.iter().filter(|(_, due)| *due) {
            self.timeline.tell(suspect.exchange);
        }
        self.judge_groups(groups);
        // Now it is known which of them were a gateway's attempts.
        for suspect in left {
            self.client_left(&suspect);
        }
    }

    /// Judges the encrypted answers up to `until`: when each error that was seen has had its attempt, so that what is
    /// inferred takes none of them.
    fn judge_sealed(&mut self, until: Timestamp) {
        let found = self.sealed.settle(&mut self.timeline, &self.told, until);
        let found = found.into_iter().map(|suspect| (suspect, true)).collect();
        let found = sight::one_of_each(&self.timeline, &self.told, found);
        let groups = self.place(&found);
        self.judge_groups(groups);
    }

    fn client_left(&mut self, suspect: &Suspect) {
        let exchange = self.timeline.exchange(suspect.exchange);
        if exchange.is_some_and(|(_, exchange)| !exchange.told && !exchange.claimed) {
            self.events.client_left(&self.timeline, suspect);
            self.timeline.tell(suspect.exchange);
        }
    }

    /// Puts suspects into the groups of their gateways, as far as their hosts are gateways.
    fn place(&mut self, suspects: &[sight::Due]) -> Groups {
        let (timeline, told) = (&self.timeline, &self.told);
        let roles = self
            .hands
            .map(suspects, |(suspect, _)| role(timeline, told, suspect));
        let mut groups = Groups::new();
        for ((suspect, due), role) in suspects.iter().zip(roles) {
            match role {
                Some(Role::Gateway(identified)) => add(&mut groups, *suspect, *identified, *due),
                Some(Role::Application) if *due => self.wait(*suspect),
                Some(Role::Application | Role::UpstreamOfGateway) | None => {}
            }
        }
        groups
    }

    /// Judges each group, a large one in pieces: each piece with the errors right after it as rivals, so that
    /// an outage costs what it holds and no more.
    fn judge_groups(&mut self, groups: Groups) {
        for mut members in groups.into_values() {
            members.sort_by_key(|member| (!member.due, member.suspect.at, member.suspect.exchange));
            let due = members.iter().filter(|member| member.due).count();
            let mut judged = 0;
            while judged < due {
                if self.hurry.load(Ordering::Relaxed) {
                    let left = due.saturating_sub(judged);
                    self.timeline.loss.add(NOT_JUDGED, left as u64);
                    break;
                }
                let until = (judged + PIECE_MAX).min(due);
                for (index, member) in members.iter_mut().enumerate() {
                    member.due = (judged..until).contains(&index);
                }
                let rivals = members.len().min(until + PIECE_RIVALS_MAX);
                let piece: Vec<Member> = members.get(judged..rivals).unwrap_or_default().to_vec();
                self.judge_group(&piece);
                judged = until;
            }
        }
        self.keep_fresh();
    }

    /// Connects the findings of this tick with each other and keeps them.
    fn keep_fresh(&mut self) {
        let (mut findings, suspects): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.fresh).into_iter().unzip();
        nested::connect(&self.out.findings, &mut findings);
        for (finding, suspect) in findings.into_iter().zip(suspects) {
            let place = self.out.findings.len();
            self.bare.extend(suspect.map(|suspect| (place, suspect)));
            let incident = incident::id_of(&finding);
            *self.counts.entry(finding.code).or_default() += 1;
            self.out.findings.push(Finding {
                incident,
                ..finding
            });
        }
    }

    fn wait(&mut self, suspect: Suspect) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(suspect);
        } else {
            self.events.application_error(&suspect);
        }
    }

    /// Errors whose host never showed a sign of a gateway.
    fn judge_last(&mut self, waiting: &[Suspect]) {
        let mut groups = Groups::new();
        for (index, suspect) in waiting.iter().enumerate() {
            let suspect = *suspect;
            if self.hurry.load(Ordering::Relaxed) {
                let left = waiting.len().saturating_sub(index);
                self.timeline.loss.add(NOT_JUDGED, left as u64);
                break;
            }
            match role(&self.timeline, &self.told, &suspect) {
                Some(Role::Gateway(identified)) => add(&mut groups, suspect, *identified, true),
                Some(Role::Application) => match role::unnamed(&self.timeline, &suspect) {
                    Some(identified) => add(&mut groups, suspect, identified, true),
                    None => self.events.application_error(&suspect),
                },
                Some(Role::UpstreamOfGateway) | None => {}
            }
        }
        self.judge_groups(groups);
    }

    fn judge_group(&mut self, members: &[Member]) {
        for finding in group::judge(&mut self.timeline, members, &self.hands) {
            if self.out.findings.len() + self.fresh.len() >= FINDINGS_MAX {
                self.timeline.loss.add("findings_not_kept", 1);
                continue;
            }
            let id = ExchangeId {
                connection: finding.exchange.connection.id,
                index: finding.exchange.index,
            };
            let mut suspects = members.iter().map(|member| member.suspect);
            let suspect = nothing::leg_is_missing(&finding)
                .then(|| suspects.find(|suspect| suspect.exchange == id))
                .flatten();
            self.fresh.push((finding, suspect));
        }
    }

    /// Looks again at findings that said that the upstream leg was not captured: later it may have been seen.
    fn revise(&mut self) {
        for (place, suspect) in std::mem::take(&mut self.bare) {
            // What was said stays as true as it was.
            if self.hurry.load(Ordering::Relaxed) {
                return;
            }
            let Some(Role::Gateway(identified)) = role(&self.timeline, &self.told, &suspect) else {
                continue;
            };
            if !identified.asks {
                continue;
            }
            let member = Member {
                suspect,
                identified: *identified,
                due: true,
            };
            let members = std::slice::from_ref(&member);
            let again = group::judge(&mut self.timeline, members, &self.hands);
            for finding in again {
                if let Some(old) = self.out.findings.get_mut(place) {
                    *old = finding;
                }
            }
        }
    }
}
