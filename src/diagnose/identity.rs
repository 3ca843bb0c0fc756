//! Whether two requests are the same one, seen on both sides of a gateway. In: two exchanges. Out: a weight
//! with its reasons.
//!
//! The rule (causes.md B.3): ids decide; what gateways rewrite by design weighs little; credentials are
//! compared by hash and never shown.

use crate::diagnose::gateway::product::header;
use crate::diagnose::record::{ExchangeRecord, REQUEST_IDS};
use crate::diagnose::rewrites;
use crate::diagnose::timeline::Timeline;
use crate::protocol::observation::RequestHead;

/// Reasons as they gather, or nothing where only the weight is asked for: most comparisons lose, and their
/// words would cost more than they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Option<Vec<String>>);

impl Words {
    /// Words are kept when `wanted`.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self(wanted.then(Vec::new))
    }

    /// Whether they are kept.
    #[must_use]
    pub const fn wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a clause.
    pub fn say(&mut self, clause: impl FnOnce() -> String) {
        if let Some(list) = &mut self.0 {
            list.push(clause());
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        if let (Some(list), Some(more)) = (&mut self.0, other.0) {
            list.extend(more);
        }
    }

    /// The clauses.
    #[must_use]
    pub fn into_list(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}

/// How alike two requests are.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    /// Weight; negative speaks against.
    pub score: f64,
    /// One clause each.
    pub reasons: Words,
    /// Whether an id that belongs to one request only is equal.
    pub decisive: bool,
}

/// Compares the request of a client with one that the gateway sent. `None` when they cannot be the same: an
/// id that both carry differs.
#[must_use]
pub fn likeness(
    timeline: &Timeline,
    client: &ExchangeRecord,
    upstream: &ExchangeRecord,
    words: bool,
) -> Option<Likeness> {
    let mut like = Likeness {
        score: 0.0,
        reasons: Words::new(words),
        decisive: false,
    };
    let (Some(asked), Some(sent)) = (&client.request, &upstream.request) else {
        // An encrypted request tells nothing, but the gateway may tell whose it was.
        if let Some(sent) = &upstream.request {
            compare_forwarded(timeline, client, sent, &mut like);
        }
        return Some(like);
    };
    compare_ids(asked, sent, &mut like)?;
    compare_targets(timeline, client, (asked, sent), &mut like);
    compare_credentials(asked, sent, &mut like);
    compare_forwarded(timeline, client, sent, &mut like);
    compare_bodies(client, upstream, &mut like);
    compare_agents(asked, sent, &mut like);
    Some(like)
}

fn compare_ids(asked: &RequestHead, sent: &RequestHead, like: &mut Likeness) -> Option<()> {
    for name in REQUEST_IDS {
        if let (Some(one), Some(other)) = (header(&asked.kept, name), header(&sent.kept, name)) {
            if one == other {
                like.score += 10.0;
                like.decisive = true;
                like.reasons.say(|| format!("the same {name} on both legs"));
            } else {
                // A gateway that writes its own id replaces the client's: then it is another one each time.
                like.score -= 3.0;
            }
        }
    }
    let trace = |head: &RequestHead| {
        header(&head.kept, "traceparent").and_then(|v| v.split('-').nth(1).map(str::to_owned))
    };
    if let (Some(one), Some(other)) = (trace(asked), trace(sent)) {
        if one != other {
            return None;
        }
        like.score += 10.0;
        like.decisive = true;
        like.reasons
            .say(|| "the same trace id on both legs".to_owned());
    }
    Some(())
}

fn compare_targets(
    timeline: &Timeline,
    client: &ExchangeRecord,
    (asked, sent): (&RequestHead, &RequestHead),
    like: &mut Likeness,
) {
    if asked.method != sent.method {
        like.score -= 6.0;
    } else if asked.target == sent.target {
        like.score += 2.0;
        like.reasons.say(|| {
            format!(
                "same method and target ({} {})",
                sent.method,
                excerpt(&sent.target)
            )
        });
    } else if let Some(seen) = rewrites::seen(timeline, client, asked, sent) {
        like.score += 2.0;
        like.reasons.say(|| {
            format!(
                "same method, and the target as this gateway rewrites it: {} to {}, as in {seen} exchanges that went well",
                excerpt(&asked.target),
                excerpt(&sent.target)
            )
        });
    } else {
        let query = |target: &str| target.split_once('?').map(|(_, query)| query.to_owned());
        let tail = |target: &str| {
            target
                .split('?')
                .next()
                .and_then(|path| path.rsplit('/').next().map(str::to_owned))
        };
        let same_tail = tail(&asked.target) == tail(&sent.target)
            && query(&asked.target) == query(&sent.target);
        like.score += if same_tail { 0.5 } else { -3.0 };
    }
    let host = asked.kept.get("host");
    if host.is_some() && host == sent.kept.get("host") {
        like.score += 0.5;
    }
}

/// The path of a target, short, for a sentence; the query may hold secrets and is left out.
fn excerpt(target: &str) -> String {
    target
        .split('?')
        .next()
        .unwrap_or_default()
        .chars()
        .take(60)
        .collect()
}

fn compare_credentials(asked: &RequestHead, sent: &RequestHead, like: &mut Likeness) {
    match (asked.credentials_hash, sent.credentials_hash) {
        (Some(one), Some(other)) if one == other => {
            like.score += 3.0;
            like.reasons
                .say(|| "the same credentials on both legs (compared by hash)".to_owned());
        }
        (Some(_), Some(_)) => like.score -= 4.0,
        _ => {}
    }
}

fn compare_forwarded(
    timeline: &Timeline,
    client: &ExchangeRecord,
    sent: &RequestHead,
    like: &mut Likeness,
) {
    let Some(record) = timeline.connection(client.id.connection) else {
        return;
    };
    let addr = record.facts.client.addr.to_string();
    let Some(value) =
        header(&sent.kept, "x-forwarded-for").or_else(|| header(&sent.kept, "x-real-ip"))
    else {
        return;
    };
    if value.split(',').any(|part| part.trim() == addr) {
        like.score += 2.0;
        like.reasons
            .say(|| "X-Forwarded-For names the client".to_owned());
    } else {
        like.score -= 4.0;
    }
}

fn compare_bodies(client: &ExchangeRecord, upstream: &ExchangeRecord, like: &mut Likeness) {
    let (Some(asked), Some(sent)) = (client.request_end, upstream.request_end) else {
        return;
    };
    if !asked.how.is_complete() || asked.body_len == 0 {
        return;
    }
    if asked.body_hash == sent.body_hash && sent.body_len > 0 {
        like.score += 3.0;
        like.reasons
            .say(|| format!("the same body of {} bytes", asked.body_len));
    } else if sent.how.is_complete() {
        like.score -= 4.0;
    }
}

fn compare_agents(asked: &RequestHead, sent: &RequestHead, like: &mut Likeness) {
    let agent =
        |head: &RequestHead| header(&head.kept, "user-agent").map(|value| value.into_owned());
    match (agent(asked), agent(sent)) {
        (Some(one), Some(other)) if one == other => like.score += 0.5,
        (Some(_), Some(_)) => like.score -= 3.0,
        _ => {}
    }
}
