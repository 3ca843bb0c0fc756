//! DNS questions and their answers. In: UDP datagrams of one shard. Out: queries, and answers with the
//! query that they answer.
//!
//! The rule: the table is bounded and forgets in the order in which it learned, at ticks only. A copy of a
//! datagram, as a capture of all interfaces holds, is no repetition.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::decode::segment::Datagram;
use crate::flow::{Endpoint, Overlay, Vantage};
use crate::frame::Mark;
use crate::loss::Loss;
use crate::protocol::dns;
use crate::protocol::observation::{Answer, Observation, Query, Seen};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// The port of DNS.
pub const DNS_PORT: u16 = 53;
/// Most queries of one shard that are remembered: 64 shards hold half a million.
pub const QUERIES_MAX: usize = 8_192;
/// How long a query is remembered: longer than any resolver's last retry (nginx gives up after 30 s).
pub const QUERY_LIFE_SECONDS_MAX: i64 = 60;
/// Two equal datagrams within this time are one, captured twice: resolvers retry after a second or more.
pub const COPY_NANOS_MAX: i64 = 20_000_000;

/// DNS pairing of one shard.
#[derive(Default)]
pub struct Lookups {
    table: HashMap<Key, Asked>,
    /// The order in which the table learned.
    order: VecDeque<(Timestamp, Key)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    client: Endpoint,
    resolver: Endpoint,
    overlay: Overlay,
    vantage: Vantage,
    id: u16,
}

struct Asked {
    first: Mark,
    last: Timestamp,
    name: Box<str>,
    kind: u16,
    answered: Option<Timestamp>,
}

impl Asked {
    fn is(&self, question: &dns::Message) -> bool {
        self.kind == question.kind && self.name == question.name
    }
}

impl Lookups {
    /// Takes one datagram; those of other ports than [`DNS_PORT`] are left alone.
    pub fn on_datagram(
        &mut self,
        datagram: &Datagram<'_>,
        out: &mut Vec<Observation>,
        loss: &mut Loss,
    ) {
        let (source, destination) = (datagram.source, datagram.destination);
        if source.port != DNS_PORT && destination.port != DNS_PORT {
            return;
        }
        let whole = datagram.payload.len() as u64 >= u64::from(datagram.payload_len);
        let Some(message) = dns::read(datagram.payload, whole, loss) else {
            return;
        };
        let (client, resolver) = if message.response {
            (destination, source)
        } else {
            (source, destination)
        };
        let key = Key {
            client,
            resolver,
            overlay: datagram.overlay,
            vantage: datagram.vantage,
            id: message.id,
        };
        let what = if message.response {
            self.answer(key, message, datagram.mark, loss)
        } else {
            self.query(key, message, datagram.mark, loss)
        };
        if let Some(what) = what {
            out.push(Observation {
                seen: datagram.mark,
                what,
            });
        }
    }

    fn query(
        &mut self,
        key: Key,
        message: dns::Message,
        at: Mark,
        loss: &mut Loss,
    ) -> Option<Seen> {
        let mut repeated = false;
        match self.table.get_mut(&key) {
            Some(asked) if asked.is(&message) && asked.answered.is_none() => {
                let since = at.time.nanos_since(asked.last);
                asked.last = at.time;
                if since.abs() <= COPY_NANOS_MAX {
                    loss.add("dns_copies_dropped", 1);
                    return None;
                }
                repeated = true;
            }
            Some(asked) if asked.is(&message) && is_near(at, asked.last) => {
                loss.add("dns_copies_dropped", 1);
                return None;
            }
            _ => self.remember(key, &message, at, loss),
        }
        Some(Seen::Query(Box::new(Query {
            client: key.client,
            resolver: key.resolver,
            id: key.id,
            name: message.name,
            kind: message.kind,
            vantage: key.vantage,
            at,
            repeated,
        })))
    }

    fn remember(&mut self, key: Key, message: &dns::Message, at: Mark, loss: &mut Loss) {
        let asked = Asked {
            first: at,
            last: at.time,
            name: message.name.clone(),
            kind: message.kind,
            answered: None,
        };
        if self.order.len() >= QUERIES_MAX {
            loss.add("dns_queries_forgotten_early", 1);
            self.forget_oldest();
        }
        self.order.push_back((at.time, key));
        self.table.insert(key, asked);
    }

    fn answer(
        &mut self,
        key: Key,
        mut message: dns::Message,
        at: Mark,
        loss: &mut Loss,
    ) -> Option<Seen> {
        // Some resolvers leave the question out of a refusal.
        let unasked = message.kind == 0;
        let asked = self
            .table
            .get_mut(&key)
            .filter(|asked| unasked || asked.is(&message));
        let mut query_at = None;
        if let Some(asked) = asked {
            if asked.answered.is_some_and(|last| is_near(at, last)) {
                loss.add("dns_copies_dropped", 1);
                return None;
            }
            asked.answered = Some(at.time);
            query_at = Some(asked.first);
            if unasked {
                message.name = asked.name.clone();
                message.kind = asked.kind;
            }
        }
        Some(Seen::Answer(Box::new(Answer {
            query_at,
            client: key.client,
            resolver: key.resolver,
            id: key.id,
            name: message.name,
            kind: message.kind,
            rcode: message.rcode,
            addresses: message.addresses,
            vantage: key.vantage,
            at,
        })))
    }

    /// Forgets what is too old at `now`. To be called at each whole second of capture time.
    pub fn tick(&mut self, now: Timestamp) {
        let life = QUERY_LIFE_SECONDS_MAX * NANOS_PER_SECOND;
        while let Some((learned, _)) = self.order.front()
            && now.nanos_since(*learned) > life
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((learned, key)) = self.order.pop_front() else {
            return;
        };
        // The same sockets and id may have asked something else since.
        if self
            .table
            .get(&key)
            .is_some_and(|asked| asked.first.time == learned)
        {
            self.table.remove(&key);
        }
    }
}

fn is_near(at: Mark, other: Timestamp) -> bool {
    at.time.nanos_since(other).abs() <= COPY_NANOS_MAX
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::frame::FrameId;

    const MILLI: i64 = 1_000_000;

    struct Wire {
        lookups: Lookups,
        told: Vec<Observation>,
        loss: Loss,
        frame: u64,
    }

    impl Wire {
        fn new() -> Self {
            Self {
                lookups: Lookups::default(),
                told: Vec::new(),
                loss: Loss::default(),
                frame: 0,
            }
        }

        fn send(&mut self, ms: i64, to_resolver: bool, payload: &[u8]) {
            let endpoint =
                |last, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port);
            let (client, resolver) = (endpoint(1, 5000), endpoint(9, DNS_PORT));
            let (source, destination) = if to_resolver {
                (client, resolver)
            } else {
                (resolver, client)
            };
            self.frame += 1;
            let frame = FrameId::new(0, self.frame);
            let mark = Mark {
                time: Timestamp(ms * MILLI),
                frame,
            };
            let datagram = Datagram {
                source,
                destination,
                overlay: Overlay::default(),
                vantage: Vantage::default(),
                payload,
                payload_len: payload.len() as u32,
                mark,
            };
            self.lookups
                .on_datagram(&datagram, &mut self.told, &mut self.loss);
        }

        fn last_answer(&self) -> &Answer {
            match &self.told.last().unwrap().what {
                Seen::Answer(answer) => answer,
                other => panic!("{other:?}"),
            }
        }

        fn last_query(&self) -> &Query {
            match &self.told.last().unwrap().what {
                Seen::Query(query) => query,
                other => panic!("{other:?}"),
            }
        }
    }

    fn query() -> Vec<u8> {
        dns::tests::query(7, "Api.Test", 1)
    }

    fn answer() -> Vec<u8> {
        dns::tests::answer(7, "api.test", 1, 0, &[[10, 1, 2, 3]])
    }

    #[test]
    fn pairs_an_answer_with_the_first_query() {
        let mut wire = Wire::new();
        wire.send(0, true, &query());
        assert!(!wire.last_query().repeated);
        assert_eq!(&*wire.last_query().name, "api.test");
        wire.send(5000, true, &query());
        assert!(wire.last_query().repeated);
        wire.send(5001, false, &answer());
        let answer = wire.last_answer();
        assert_eq!(answer.query_at.unwrap().frame.number(), 1);
        assert_eq!(answer.addresses, [IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))]);
    }

    #[test]
    fn copies_are_dropped_and_counted() {
        let mut wire = Wire::new();
        wire.send(0, true, &query());
        wire.send(1, true, &query());
        wire.send(2, false, &answer());
        wire.send(3, false, &answer());
        assert_eq!(
            (wire.told.len(), wire.loss.get("dns_copies_dropped")),
            (2, 2)
        );
        wire.send(4000, true, &query());
        assert!(!wire.last_query().repeated, "the first one was answered");
    }

    #[test]
    fn an_answer_to_nothing_seen_or_to_something_else() {
        let mut wire = Wire::new();
        wire.send(0, false, &answer());
        assert_eq!(wire.last_answer().query_at, None);
        wire.send(100, true, &dns::tests::query(7, "other.test", 1));
        wire.send(200, false, &answer());
        assert_eq!(wire.last_answer().query_at, None);
    }

    #[test]
    fn forgets_at_ticks_and_stays_bounded() {
        let mut wire = Wire::new();
        wire.send(0, true, &query());
        wire.lookups.tick(Timestamp(60 * NANOS_PER_SECOND));
        assert_eq!(wire.lookups.table.len(), 1);
        wire.lookups.tick(Timestamp(61 * NANOS_PER_SECOND));
        assert_eq!((wire.lookups.table.len(), wire.lookups.order.len()), (0, 0));
        for at in 0..20_000 {
            let name = format!("n{at}.test");
            wire.send(at, true, &dns::tests::query(at as u16 % 10_000, &name, 1));
        }
        assert_eq!(wire.lookups.order.len(), QUERIES_MAX);
        assert!(wire.lookups.table.len() <= QUERIES_MAX);
        assert!(wire.loss.get("dns_queries_forgotten_early") > 0);
    }

    #[test]
    fn other_ports_are_left_alone() {
        let mut wire = Wire::new();
        let endpoint = |port| Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let bytes = query();
        let datagram = Datagram {
            source: endpoint(5353),
            destination: endpoint(5353),
            overlay: Overlay::default(),
            vantage: Vantage::default(),
            payload: &bytes,
            payload_len: bytes.len() as u32,
            mark: Mark::default(),
        };
        wire.lookups
            .on_datagram(&datagram, &mut wire.told, &mut wire.loss);
        assert!(wire.told.is_empty());
    }
}
