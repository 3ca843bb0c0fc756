//! Why a gateway answered without asking an upstream. In: the exchange, its page, and the attempts before it. Out:
//! `no-upstream-attempt` with its detail, and the failures that took the upstream out of service.
//!
//! The rule: packets show that nothing was asked; the reason is the gateway's own, told by its page or guessed from what
//! failed before. Nothing of both is `unknown`.

use crate::diagnose::attempt::millis;
use crate::diagnose::candidate::{Candidate, Standing, candidates};
use crate::diagnose::checks;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, RuledOut};
use crate::diagnose::gateway::product::Wait;
use crate::diagnose::gateway::timer_that_equals;
use crate::diagnose::hands::Hands;
use crate::diagnose::record::ExchangeRecord;
use crate::diagnose::timeline::Timeline;
use crate::diagnose::unresolved;

/// How far back failures are looked for that put an upstream on the bench: nginx's fail_timeout is 10 s,
/// Apache's retry 60 s. Milliseconds.
const BENCH_MILLIS: i64 = 60_000;
/// An answer as prompt as this was given without asking anybody, nanoseconds.
const PROMPT_NANOS: i64 = 20_000_000;
/// Most earlier attempts that are looked at for each error: the latest ones put the upstream on the bench.
const EARLIER_LOOKED_AT_MAX: usize = 256;
/// Most earlier failures that are shown.
const EARLIER_SHOWN_MAX: usize = 6;
/// Most uses of upstreams that are looked at for one of which only one direction was captured.
const USES_LOOKED_AT_MAX: usize = 64;
/// Lookups that are looked at for one that failed, the latest first.
const LOOKUPS_LOOKED_AT_MAX: usize = 64;

/// What is known of the moment.
struct Scene<'a> {
    timeline: &'a Timeline,
    member: &'a Member,
    exchange: &'a ExchangeRecord,
    /// Attempts of the gateway within [`BENCH_MILLIS`].
    tried: Vec<Candidate>,
    /// From the request to the answer, nanoseconds.
    waited: i64,
}

/// Concludes that no upstream was asked, and why.
#[must_use]
pub fn no_attempt(timeline: &Timeline, member: &Member, exchange: &ExchangeRecord) -> Conclusion {
    let at = member.suspect.at;
    let from = exchange.request_at.time.plus_millis(-BENCH_MILLIS);
    let gateway = &member.identified.gateway;
    let scene = Scene {
        timeline,
        member,
        exchange,
        tried: candidates(
            timeline,
            gateway,
            (from, at.time),
            EARLIER_LOOKED_AT_MAX,
            &Hands::default(),
        ),
        waited: at.time.nanos_since(exchange.asked_at().time),
    };
    if let Some(conclusion) = scene.told_local_error() {
        return conclusion;
    }
    scene.conclude()
}

impl Scene<'_> {
    fn page(&self) -> (Option<&'static str>, Option<&'static str>) {
        let recognised = self.member.identified.recognised.as_ref();
        recognised.map_or((None, None), |page| (page.page_cause, page.page_detail))
    }

    fn product_name(&self) -> Option<&'static str> {
        let product = self.member.identified.gateway.product;
        product.map(|product| product.name)
    }

    fn own_page(&self) -> bool {
        let recognised = self.member.identified.recognised.as_ref();
        recognised.is_some_and(|page| page.own_page)
    }

    /// The page itself says that the gateway's host refused the connect.
    fn told_local_error(&self) -> Option<Conclusion> {
        if self.page().0 != Some("local-connect-error") {
            return None;
        }
        let mut conclusion = Conclusion::new("local-connect-error", Confidence::Likely);
        conclusion.reasons.push(
            "the error page tells of an immediate connect error, and no packet left for an upstream"
                .to_owned(),
        );
        conclusion.ruled_out.push(RuledOut {
            code: "no-upstream-attempt",
            reason: "the page says that a connect was tried".to_owned(),
        });
        Some(conclusion)
    }

    /// Requests of the gateway that its upstreams were still working on when it answered.
    fn under_way(&self) -> usize {
        let at = self.member.suspect.at;
        let open = |candidate: &&Candidate| {
            let exchange = candidate.id.index.and_then(|index| {
                self.timeline
                    .connection(candidate.id.connection)?
                    .exchange(index)
            });
            candidate.start < self.exchange.request_at
                && exchange.is_some_and(|exchange| {
                    exchange.response_end.is_none_or(|end| end.at > at)
                        && exchange.response_at.is_some_and(|answered| answered > at)
                })
        };
        self.tried.iter().filter(open).count()
    }

    /// Attempts that failed before and were not the upstream's own answers to clients, in order.
    fn earlier(&self) -> Vec<&Candidate> {
        let failed = |candidate: &&Candidate| {
            // A wait that nothing has ended yet is no failure.
            let over = candidate.end.is_some() || candidate.code == Some("connect-timeout");
            candidate.standing == Standing::Failed
                && over
                && (candidate.code != Some("upstream-returned-5xx")
                    || checks::is_check(self.timeline, candidate.id))
        };
        self.tried.iter().filter(failed).collect()
    }

    /// Whether none of the gateway's other upstream connections moved meanwhile: else one of them may have been this
    /// exchange's.
    fn alone(&self) -> bool {
        let since = self.exchange.request_at;
        let moved = |candidate: &Candidate| {
            let facts = self
                .timeline
                .connection(candidate.id.connection)
                .map(|record| &record.facts);
            let seen = facts
                .and_then(|facts| facts.from_client.last_seen.max(facts.from_server.last_seen));
            candidate.start >= since || seen.is_some_and(|seen| seen >= since)
        };
        !self.tried.iter().any(moved)
    }

    /// Whether the capture shows what upstreams send to the gateway and not what it sends: then an absence proves nothing.
    fn is_one_way(&self) -> bool {
        let gateway = &self.member.identified.gateway;
        let hosts = gateway.addrs.iter();
        hosts
            .filter_map(|addr| self.timeline.host(gateway.vantage, *addr))
            .flat_map(|host| host.uses.iter().rev().take(USES_LOOKED_AT_MAX))
            .filter_map(|(_, id)| self.timeline.connection(id.connection))
            .any(|record| {
                let facts = &record.facts;
                facts.from_client.last_seen.is_none() && facts.from_server.last_seen.is_some()
            })
    }

    /// The latest lookup of the gateway before the request, where it failed.
    fn failed_lookup(&self) -> Option<&str> {
        let gateway = &self.member.identified.gateway;
        let before = self.exchange.request_at;
        let hosts = gateway.addrs.iter();
        let latest = hosts
            .filter_map(|addr| self.timeline.host(gateway.vantage, *addr))
            .flat_map(|host| host.lookups.iter().rev().take(LOOKUPS_LOOKED_AT_MAX))
            .filter(|record| record.asked < before)
            .max_by_key(|record| record.asked)?;
        let good = |(_, rcode, addresses): (_, u16, usize)| rcode == 0 && addresses > 0;
        let failed = latest.unreachable.is_some() || !latest.answer.is_some_and(good);
        let recent = before.time.nanos_since(latest.asked.time) / 1_000_000 <= BENCH_MILLIS;
        (failed && recent).then_some(&latest.name)
    }

    /// The timer of a queue that the wait equals.
    fn queue_timer(&self) -> Option<String> {
        let product = self.member.identified.gateway.product?;
        let waited = self.waited as f64 / 1e6;
        let timers = timer_that_equals(Some(product), Wait::Queue, waited);
        let (product, timer) = timers.first()?;
        Some(format!("{}'s {}", product.name, timer.name))
    }

    fn conclude(&self) -> Conclusion {
        let mut conclusion = Conclusion::new("no-upstream-attempt", Confidence::Possible);
        conclusion.reasons.push(
            "other exchanges of this gateway show attempts in the capture, this one none"
                .to_owned(),
        );
        let earlier = self.earlier();
        self.blame(&earlier, &mut conclusion);
        let page_says = self.page().0 == Some("no-upstream-attempt");
        if page_says {
            let words = match self.page().1 {
                Some("no-live-upstream") | None => {
                    "the error page itself says that no upstream was available".to_owned()
                }
                Some(reason) => format!("the error page itself gives the reason: {reason}"),
            };
            conclusion.detail = Some(self.page().1.unwrap_or("no-live-upstream").to_owned());
            conclusion.reasons.push(words);
        }
        if conclusion.detail.is_none() {
            self.guess(&mut conclusion);
        }
        let prompt = self.waited <= PROMPT_NANOS;
        let own = prompt && self.own_page();
        // Another attempt may have been this exchange's, seen in one direction only, whatever the page says.
        let clear = own && self.alone() && !self.is_one_way();
        conclusion.confidence = match (clear, own && page_says, earlier.is_empty()) {
            (true, true, _) | (true, _, false) => Confidence::Certain,
            (true, _, true) | (_, true, _) | (_, _, false) => Confidence::Likely,
            (_, _, true) => Confidence::Possible,
        };
        conclusion.reasons.push(format!(
            "the gateway answered after {}",
            millis(self.waited)
        ));
        conclusion.not_observable.push("an upstream behind a Unix socket leaves no packets: look at the gateway's own log, or at `ss -x`".to_owned());
        conclusion
    }

    /// The failures before that took the upstream out of service.
    fn blame(&self, earlier: &[&Candidate], conclusion: &mut Conclusion) {
        if let Some(last) = earlier.last()
            && let Some(code) = last.code
        {
            conclusion.detail = Some("no-live-upstream".to_owned());
            conclusion.contributing.push(code);
            conclusion.blamed = Some(last.id.connection);
            conclusion.reasons.push(format!(
                "{} earlier attempts failed, the last by {code}: they put the upstream on the bench",
                earlier.len()
            ));
            for candidate in earlier.iter().rev().take(EARLIER_SHOWN_MAX) {
                conclusion.evidence.extend(
                    candidate
                        .verdict
                        .iter()
                        .flat_map(|verdict| verdict.evidence.iter().take(3).cloned()),
                );
            }
        }
        let gateway = &self.member.identified.gateway;
        let from = self.exchange.request_at.time.plus_millis(-BENCH_MILLIS);
        let until = self.member.suspect.at.time;
        if let Some(question) = unresolved::in_vain(self.timeline, gateway, from, until) {
            conclusion.contributing.push(unresolved::CODE);
            conclusion.reasons.push(format!(
                "the gateway's host asks for {} in vain: checks of that upstream may have failed by it",
                question.target
            ));
        }
    }

    /// What timing and DNS suggest, where neither the page nor an earlier failure tells more.
    fn guess(&self, conclusion: &mut Conclusion) {
        let under_way = self.under_way();
        if under_way > 0 {
            let queues = self.waited > PROMPT_NANOS && self.product_name() == Some("HAProxy");
            let detail = if queues {
                "queue-timeout"
            } else {
                "pool-overflow"
            };
            conclusion.detail = Some(detail.to_owned());
            conclusion.reasons.push(format!(
                "{under_way} of the gateway's requests were under way to upstreams at that moment: a limit of connections may have been reached"
            ));
        } else if let Some(timer) = self.queue_timer() {
            conclusion.detail = Some("queue-timeout".to_owned());
            conclusion.reasons.push(format!(
                "the wait equals the default of {timer}: the request may have waited in a queue"
            ));
        } else if let Some(name) = self.failed_lookup() {
            conclusion.detail = Some("dns-cached-failure".to_owned());
            conclusion.reasons.push(format!(
                "the gateway's latest lookup before, of {name}, failed: it may remember that"
            ));
        } else {
            conclusion.detail = Some("unknown".to_owned());
            conclusion.reasons.push(
                "the page gives no reason, and nothing failed before: a limit, a rule, an empty pool, or the gateway's own host"
                    .to_owned(),
            );
        }
    }
}
