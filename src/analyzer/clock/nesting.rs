//! Exchanges that two machines may both have seen, each on its own leg. In: observations of one input. Out: what
//! identifies each request, when it began, and when its answer did.
//!
//! The rule: an identity counts where it is one request's alone. Left out: what failed, because a gateway that gives
//! up answers before its upstream does.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::analyzer::clock::bounds::Nested;
use crate::analyzer::clock::estimate::PAIRS_MIN;
use crate::analyzer::clock::sample::{Sample, hash_of, hash_of_bytes};
use crate::diagnose::record::REQUEST_IDS;
use crate::protocol::observation::{ConnectionEvent, ExchangeId, Observation, RequestHead, Seen};
use crate::tcp::event::{Connection, ConnectionId};
use crate::time::Timestamp;

/// Most identities that are kept of one input, about 100 bytes each.
pub const IDENTITIES_MAX: usize = 32_768;
/// Most exchanges and connections that are followed at once; further ones are not compared.
const OPEN_MAX: usize = 65_536;
/// Most servers at which one request is looked for: a chain of gateways passes it on.
const SERVERS_MAX: usize = 4;

/// Where a request passed, by hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leg {
    /// Address of the client.
    from: u64,
    /// Address of the server.
    to: u64,
    /// Address and port of the server.
    server: u64,
}

/// One request at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passage {
    leg: Leg,
    /// Its first byte.
    asked: Timestamp,
    /// The first byte of its answer, once that was complete and a success.
    answered: Option<Timestamp>,
    /// Whether another request at this server has the same identity.
    spoiled: bool,
}

/// One identity: an id, or method and target.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Whether it is an id, made to be unique.
    id: bool,
    passages: Vec<Passage>,
}

/// The exchanges of one input.
#[derive(Debug)]
pub struct Exchanges {
    known: Sample<Known>,
    legs: HashMap<ConnectionId, Leg>,
    open: HashMap<ExchangeId, Open>,
}

/// An exchange that is not over yet.
#[derive(Debug, Default)]
struct Open {
    leg: Leg,
    asked: Timestamp,
    answered: Option<Timestamp>,
    success: bool,
    identities: Vec<u64>,
}

/// What one input holds, by identity.
pub type Passages = Vec<(u64, Known)>;

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            known: Sample::new(IDENTITIES_MAX),
            legs: HashMap::new(),
            open: HashMap::new(),
        }
    }
}

impl Exchanges {
    /// Takes the next observation.
    pub fn note(&mut self, observation: &Observation) {
        match &observation.what {
            Seen::Connection { event, facts } => match event {
                ConnectionEvent::Opened if self.legs.len() < OPEN_MAX => {
                    self.legs.insert(facts.id, Leg::of(facts));
                }
                ConnectionEvent::Ended(_) => {
                    self.legs.remove(&facts.id);
                }
                _ => {}
            },
            Seen::RequestStart { exchange, at, .. } if self.open.len() < OPEN_MAX => {
                if let Some(leg) = self.legs.get(&exchange.connection) {
                    let open = Open {
                        leg: *leg,
                        asked: at.time,
                        ..Open::default()
                    };
                    self.open.insert(*exchange, open);
                }
            }
            Seen::RequestHead { exchange, head } => self.identify(*exchange, head),
            Seen::ResponseStart { exchange, at } => {
                if let Some(open) = self.open.get_mut(exchange) {
                    open.answered = Some(at.time);
                }
            }
            Seen::ResponseHead { exchange, head } => {
                if let Some(open) = self.open.get_mut(exchange) {
                    open.success = (200..400).contains(&head.status);
                }
            }
            Seen::ResponseEnd { exchange, end, .. } => {
                if let Some(open) = self.open.remove(exchange)
                    && open.success
                    && end.how.is_complete()
                {
                    self.complete(&open);
                }
            }
            _ => {}
        }
    }

    /// The input is over.
    #[must_use]
    pub fn into_passages(self) -> Passages {
        self.known.into_sorted()
    }

    fn identify(&mut self, exchange: ExchangeId, head: &RequestHead) {
        let Some(open) = self.open.get_mut(&exchange) else {
            return;
        };
        let passage = Passage {
            leg: open.leg,
            asked: open.asked,
            answered: None,
            spoiled: false,
        };
        for (identity, id) in identities(head) {
            open.identities.push(identity);
            match self.known.of(identity) {
                Some(known) => known.add(passage),
                None => {
                    let passages = vec![passage];
                    self.known.keep(identity, Known { id, passages });
                }
            }
        }
    }

    fn complete(&mut self, open: &Open) {
        for identity in &open.identities {
            let Some(known) = self.known.of(*identity) else {
                continue;
            };
            let mine = |passage: &&mut Passage| passage.leg.server == open.leg.server;
            if let Some(passage) = known.passages.iter_mut().find(mine) {
                passage.answered = open.answered;
            }
        }
    }
}

impl Known {
    /// Adds a request; a second one at the same server spoils both.
    fn add(&mut self, passage: Passage) {
        let same = |known: &&mut Passage| known.leg.server == passage.leg.server;
        if let Some(known) = self.passages.iter_mut().find(same) {
            known.spoiled = true;
        } else if self.passages.len() < SERVERS_MAX {
            self.passages.push(passage);
        }
    }

    /// Where the request passed, when it began and when it was answered: at the outermost server, where several passed
    /// an id on.
    fn interval(&self) -> Option<(Leg, Timestamp, Timestamp)> {
        if self.passages.len() > 1 && !self.id {
            return None;
        }
        let whole = self.passages.iter().filter(|passage| !passage.spoiled);
        whole
            .filter_map(|passage| Some((passage.leg, passage.asked, passage.answered?)))
            .max_by_key(|(_, asked, answered)| (answered.nanos_since(*asked), *asked))
    }
}

/// The exchanges of one machine, by identity.
#[derive(Debug, Default)]
pub struct MachineExchanges(BTreeMap<u64, Known>);

impl MachineExchanges {
    /// Adds what one more input of the machine holds.
    pub fn add(&mut self, passages: &Passages) {
        for (identity, found) in passages {
            let known = self.0.entry(*identity).or_insert_with(|| Known {
                id: found.id,
                passages: Vec::new(),
            });
            found.passages.iter().for_each(|one| known.add(*one));
        }
    }

    /// Exchanges that `other` saw too.
    #[must_use]
    pub fn pairs(&self, other: &Self) -> Vec<Nested> {
        let pairs = |ids: bool| -> Vec<Nested> {
            let mine = self.0.iter().filter(|(_, known)| known.id == ids);
            mine.filter_map(|(identity, known)| {
                let (leg, asked, answered) = known.interval()?;
                let (other_leg, at, then) = other.0.get(identity)?.interval()?;
                // One leg at two times is no exchange inside another.
                let apart = leg.server != other_leg.server;
                apart.then(|| Nested {
                    linked: leg.to == other_leg.from || leg.from == other_leg.to,
                    at,
                    request_later: at.nanos_since(asked),
                    response_later: then.nanos_since(answered),
                })
            })
            .collect()
        };
        let by_id = pairs(true);
        // Targets are only asked where nothing better is there.
        if by_id.len() >= PAIRS_MIN {
            by_id
        } else {
            pairs(false)
        }
    }
}

/// What identifies a request on every leg, and whether it was made for that.
fn identities(head: &RequestHead) -> Vec<(u64, bool)> {
    let mut found = Vec::new();
    for header in head.kept.iter() {
        let value: Option<&[u8]> = if header.name == "traceparent" {
            // The trace id stays the same; the parent id is each leg's own (W3C Trace Context, section 3.2.2).
            header.value.split(|byte| *byte == b'-').nth(1)
        } else {
            REQUEST_IDS.contains(&header.name).then_some(header.value)
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let name = hash_of_bytes(header.name.as_bytes());
            found.push((hash_of(&[name, hash_of_bytes(value)]), true));
        }
    }
    let line = [
        hash_of_bytes(head.method.as_bytes()),
        hash_of_bytes(head.target.as_bytes()),
    ];
    found.push((hash_of(&line), false));
    found
}

impl Leg {
    fn of(facts: &Connection) -> Self {
        let hash = |text: String| hash_of_bytes(text.as_bytes());
        Self {
            from: hash(facts.client.addr.to_string()),
            to: hash(facts.server.addr.to_string()),
            server: hash(facts.server.to_string()),
        }
    }
}
