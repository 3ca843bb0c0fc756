//! How gateways rewrite the targets of requests. In: exchanges that went well and whose attempt is beyond doubt. Out: whether
//! one target becomes another at this gateway.
//!
//! The rule (causes.md B.3): a rule is the front of a path that is replaced by another, the rest left as it was, and it is
//! believed when two exchanges agree. A target that is replaced as a whole is no rule, for it tells no requests apart.

use std::net::IpAddr;

use crate::diagnose::gateway::product::header;
use crate::diagnose::host::{Host, whose};
use crate::diagnose::record::{ExchangeRecord, REQUEST_IDS};
use crate::diagnose::role::uses_inside;
use crate::diagnose::timeline::Timeline;
use crate::flow::Vantage;
use crate::frame::Mark;
use crate::protocol::observation::{ExchangeId, Protocol, RequestHead};

/// Most rules that are remembered of one gateway: more than any configuration of one host that people still read.
pub const RULES_MAX: usize = 64;
/// Exchanges that must agree on a rule before it is used.
const SEEN_MIN: u32 = 2;
/// Attempts within an exchange that are looked at; where there are more, nothing is beyond doubt.
const ATTEMPTS_MAX: usize = 8;
/// Exchanges of other clients that are looked at for one that was open too.
const BESIDE_MAX: usize = 64;
/// With more recent exchanges than this a gateway is busy; one that has shown no rule is then looked at less often.
const BUSY_MIN: usize = 512;
/// Of the exchanges of a busy one each so many is looked at.
const BUSY_PART: u64 = 8;
/// A body shorter than this is many requests' answer, bytes.
const BODY_MIN: u64 = 64;
/// Longest front of a path that is kept, bytes.
const FRONT_MAX: usize = 256;

/// A front of a path, and what the gateway puts in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    from: Box<str>,
    to: Box<str>,
}

/// The rules of one gateway, each with the number of exchanges that showed it.
#[derive(Clone, Debug, Default)]
pub struct Rewrites(Vec<(Rule, u32)>);

impl Rule {
    /// The rule by which a gateway made `sent` of `asked`; `None` where they are equal, or share no end.
    #[must_use]
    pub fn of(asked: &str, sent: &str) -> Option<Self> {
        let (asked, asked_query) = parts(asked);
        let (sent, sent_query) = parts(sent);
        if asked == sent || asked_query != sent_query {
            return None;
        }
        let alike = asked
            .bytes()
            .rev()
            .zip(sent.bytes().rev())
            .take_while(|(one, other)| one == other)
            .count();
        let end = asked.get(asked.len().checked_sub(alike)?..)?;
        // Only whole segments are left as they were.
        let rest = end.get(end.find('/')?..)?;
        let from = asked.strip_suffix(rest)?;
        let to = sent.strip_suffix(rest)?;
        (from.len() <= FRONT_MAX && to.len() <= FRONT_MAX).then(|| Self {
            from: from.into(),
            to: to.into(),
        })
    }

    fn makes(&self, asked: &str, sent: &str) -> bool {
        let (asked, asked_query) = parts(asked);
        let (sent, sent_query) = parts(sent);
        let rest = asked.strip_prefix(&*self.from);
        asked_query == sent_query
            && rest.is_some_and(|rest| {
                rest.starts_with('/') && sent.strip_prefix(&*self.to) == Some(rest)
            })
    }
}

/// Path and query of a target.
fn parts(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

impl Rewrites {
    /// Counts an exchange that showed a rule. False where there was no room for it.
    pub fn note(&mut self, rule: Rule) -> bool {
        if let Some((_, seen)) = self.0.iter_mut().find(|(known, _)| *known == rule) {
            *seen = seen.saturating_add(1);
            return true;
        }
        if self.0.len() < RULES_MAX {
            self.0.push((rule, 1));
            return true;
        }
        match self.0.iter_mut().find(|(_, seen)| *seen < SEEN_MIN) {
            Some(slot) => *slot = (rule, 1),
            None => return false,
        }
        false
    }

    /// In how many exchanges the rule was seen by which `asked` becomes `sent`; `None` where none is known.
    #[must_use]
    pub fn seen(&self, asked: &str, sent: &str) -> Option<u32> {
        self.0
            .iter()
            .filter(|(rule, seen)| *seen >= SEEN_MIN && rule.makes(asked, sent))
            .map(|(_, seen)| *seen)
            .max()
    }
}

/// In how many exchanges the gateway that a client asked has made one target of another like that.
#[must_use]
pub fn seen(
    timeline: &Timeline,
    client: &ExchangeRecord,
    asked: &RequestHead,
    sent: &RequestHead,
) -> Option<u32> {
    let facts = &timeline.connection(client.id.connection)?.facts;
    let host = timeline.host(facts.vantage, facts.server.addr)?;
    host.rewrites.as_ref()?.seen(&asked.target, &sent.target)
}

impl Timeline {
    /// Learns from an exchange that has ended how its gateway rewrites targets.
    pub fn learn(&mut self, id: ExchangeId) {
        let Some((vantage, addr, rule)) = learnt(self, id) else {
            return;
        };
        let kept = self
            .hosts
            .get_mut(&whose(vantage, addr))
            .is_none_or(|host| host.rewrites.get_or_insert_default().note(rule));
        self.loss.add("rewrites_forgotten", u64::from(!kept));
    }
}

/// The rule that an exchange of a client shows, and the gateway that it is of.
fn learnt(timeline: &Timeline, id: ExchangeId) -> Option<(Vantage, IpAddr, Rule)> {
    let (record, client) = timeline.exchange(id)?;
    let facts = &record.facts;
    let asked = client.request.as_ref()?;
    let answered = client.response_at?;
    let host = timeline.host(facts.vantage, facts.server.addr)?;
    let is_gateway = host.opened > 0 && !facts.server.addr.is_loopback();
    if !is_gateway || record.protocol != Some(Protocol::Http1) || !client.went_well() {
        return None;
    }
    let unknown = host.rewrites.is_none() && host.served.len() > BUSY_MIN;
    if unknown && !client.request_at.frame.number().is_multiple_of(BUSY_PART) {
        return None;
    }
    let mut inside: Vec<(&ExchangeRecord, &RequestHead)> = Vec::new();
    for attempt in uses_inside(host, client.request_at, answered) {
        let Some(index) = attempt.index else { continue };
        let found = timeline.connection(attempt.connection)?.exchange(index)?;
        let sent = found.request.as_deref()?;
        // A gateway that passes the target on as it is has nothing to teach here.
        if sent.target == asked.target || inside.len() >= ATTEMPTS_MAX {
            return None;
        }
        inside.push((found, sent));
    }
    let sent = by_id(asked, &inside)
        .or_else(|| alone(timeline, host, client, answered, &inside))
        .or_else(|| by_body(client, &inside))?;
    let rule = Rule::of(&asked.target, &sent.target).filter(|_| asked.method == sent.method)?;
    Some((facts.vantage, facts.server.addr, rule))
}

/// The attempt with the same request id.
fn by_id<'h>(
    asked: &RequestHead,
    inside: &[(&ExchangeRecord, &'h RequestHead)],
) -> Option<&'h RequestHead> {
    let same = |sent: &RequestHead| {
        REQUEST_IDS.iter().any(|name| {
            let (one, other) = (header(&asked.kept, name), header(&sent.kept, name));
            one.is_some() && one == other
        })
    };
    inside.iter().map(|(_, sent)| *sent).find(|sent| same(sent))
}

/// The only attempt within the only exchange of that time.
fn alone<'h>(
    timeline: &Timeline,
    host: &Host,
    client: &ExchangeRecord,
    answered: Mark,
    inside: &[(&ExchangeRecord, &'h RequestHead)],
) -> Option<&'h RequestHead> {
    let [(attempt, sent)] = inside else {
        return None;
    };
    let open_too = |(at, id): &(Mark, ExchangeId)| {
        *id != client.id
            && *at <= answered
            && timeline.exchange(*id).is_some_and(|(_, other)| {
                other.response_at.is_none_or(|at| at >= client.request_at)
            })
    };
    let others = host.served.iter().rev().take(BESIDE_MAX);
    (is_relayed(client, attempt) && !others.into_iter().any(open_too)).then_some(*sent)
}

/// The only attempt whose answer has the body that the client got.
fn by_body<'h>(
    client: &ExchangeRecord,
    inside: &[(&ExchangeRecord, &'h RequestHead)],
) -> Option<&'h RequestHead> {
    let long = client
        .response_end
        .is_some_and(|end| end.body_len >= BODY_MIN);
    let mut same = inside
        .iter()
        .filter(|(attempt, _)| long && is_relayed(client, attempt));
    let (_, sent) = same.next()?;
    same.next().is_none().then_some(*sent)
}

/// Whether the client's answer has the status and the body of the attempt's.
fn is_relayed(client: &ExchangeRecord, attempt: &ExchangeRecord) -> bool {
    let same_body = match (client.response_end, attempt.response_end) {
        (Some(one), Some(other)) => {
            (one.body_len, one.body_hash) == (other.body_len, other.body_hash)
        }
        _ => false,
    };
    same_body && client.status().is_some() && client.status() == attempt.status()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(asked: &str, sent: &str) -> Option<(String, String)> {
        Rule::of(asked, sent).map(|rule| (rule.from.to_string(), rule.to.to_string()))
    }

    fn pair(from: &str, to: &str) -> Option<(String, String)> {
        Some((from.to_owned(), to.to_owned()))
    }

    #[test]
    fn the_front_of_a_path_is_replaced() {
        assert_eq!(rule("/shop/cart/7", "/app/cart/7"), pair("/shop", "/app"));
        assert_eq!(rule("/cart/7?x=1", "/inner/cart/7?x=1"), pair("", "/inner"));
        assert_eq!(rule("/api/v1/users", "/users"), pair("/api/v1", ""));
        assert_eq!(rule("/", "/inner/"), pair("", "/inner"));
        // Half a segment is none.
        assert_eq!(
            rule("/one-cart/7", "/two-cart/7"),
            pair("/one-cart", "/two-cart")
        );
    }

    #[test]
    fn what_shares_no_end_is_no_rule() {
        assert_eq!(rule("/cart/7", "/cart/7"), None);
        assert_eq!(rule("/cart/7", "/index.php"), None);
        assert_eq!(rule("/cart?x=1", "/app/cart"), None);
        assert_eq!(rule("*", "/"), None);
        assert_eq!(rule("", ""), None);
    }

    #[test]
    fn a_rule_is_believed_when_two_agree() {
        let mut rewrites = Rewrites::default();
        let shown = |id: u32| Rule::of(&format!("/shop/{id}"), &format!("/app/{id}")).unwrap();
        rewrites.note(shown(1));
        assert_eq!(rewrites.seen("/shop/9", "/app/9"), None);
        rewrites.note(shown(2));
        assert_eq!(rewrites.seen("/shop/9", "/app/9"), Some(2));
        assert_eq!(rewrites.seen("/shop/9?q", "/app/9?q"), Some(2));
        assert_eq!(rewrites.seen("/shop/9", "/app/8"), None);
        assert_eq!(rewrites.seen("/shopping/9", "/apping/9"), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_what_was_seen_once_gives_way() {
        let mut rewrites = Rewrites::default();
        let shown = |number: usize| Rule::of(&format!("/{number}/x"), "/app/x").unwrap();
        rewrites.note(shown(0));
        for number in 0..RULES_MAX {
            assert!(rewrites.note(shown(number)));
        }
        assert!(!rewrites.note(shown(RULES_MAX)));
        assert_eq!(rewrites.0.len(), RULES_MAX);
        assert_eq!(rewrites.seen("/0/y", "/app/y"), Some(2));
    }
}
