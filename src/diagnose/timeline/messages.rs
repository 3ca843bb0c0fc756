//! What is said on connections. In: observations of messages. Out: the timeline's records of exchanges.

use super::{BAD_REQUEST, EXCHANGES_PER_CONNECTION_MAX, SETTLED_KEPT_NANOS, Timeline, exchange_of};
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::header;
use crate::diagnose::record::{AttemptId, ExchangeRecord, Interims};
use crate::diagnose::rhythm::Habitual;
use crate::frame::Mark;
use crate::protocol::observation::{ExchangeId, Seen};

impl Timeline {
    pub(super) fn on_request_start(&mut self, id: ExchangeId, offset: u64, at: Mark) {
        let Some(record) = self.connections.get_mut(&id.connection) else {
            return;
        };
        let exchange = ExchangeRecord::new(id, offset, at, record);
        if !std::mem::replace(&mut record.scheduled, true) {
            // Before that it cannot be forgotten.
            let over = at.time.plus_nanos(SETTLED_KEPT_NANOS).second() + 1;
            self.due.insert(over.max(self.second + 2), id.connection);
        }
        let (flags_only, server_endpoint) = (record.facts.flags_only, record.facts.server);
        if record.exchanges.capacity() == 0 {
            // Most connections carry one.
            record.exchanges.reserve_exact(1);
        }
        record.exchanges.push_back(Box::new(exchange));
        let crowded = record.exchanges.len() > EXCHANGES_PER_CONNECTION_MAX;
        let oldest = if crowded {
            record.exchanges.pop_front()
        } else {
            None
        };
        let (vantage, client, server) = (
            record.facts.vantage,
            record.facts.client.addr,
            record.facts.server.addr,
        );
        if let Some(oldest) = oldest {
            self.drop_exchange((vantage, client, server), oldest.request_at, oldest.id);
            self.loss.add("exchanges_forgotten_early", 1);
        }
        if let Some(host) = self.host_entry(vantage, client) {
            if !flags_only && let Some(seldom) = host.seldom_so_far() {
                seldom.hidden.remove(&server_endpoint);
            }
            host.uses.insert((
                at,
                AttemptId {
                    connection: id.connection,
                    index: Some(id.index),
                },
            ));
        }
        if let Some(host) = self.host_entry(vantage, server) {
            host.served.insert((at, id));
            host.first_asked.get_or_insert(at);
        }
    }

    pub(super) fn on_message(&mut self, what: &Seen) {
        let Some(id) = exchange_of(what) else { return };
        let Some(record) = self.connections.get_mut(&id.connection) else {
            return;
        };
        if let Seen::ResponseEnd { end, .. } = what
            && end.how.is_complete()
        {
            record.responses = record.responses.saturating_add(1);
            record.idle_since = Some(end.at);
        }
        let (vantage, server) = (record.facts.vantage, record.facts.server);
        let after_header = record.proxy_header.is_some();
        if let Seen::ResponseHead { head, .. } = what {
            self.clock.dated(server.addr, head);
        }
        let client = record.facts.client.addr;
        let exchange = record.exchange_mut(id.index);
        if let Seen::RequestHead { head, .. } = what {
            if let Some(exchange) = exchange {
                exchange.request = Some(head.clone());
            }
            let what = Habitual::request(server, &head.method, &head.target);
            return self.note_habit(vantage, client, what, head.at);
        }
        let Some(exchange) = exchange else { return };
        match what {
            Seen::RequestEnd { end, .. } => exchange.request_end = Some(*end),
            Seen::ResponseStart { at, .. } => {
                exchange.response_at = Some(*at);
                if let Some(service) = self.services.entry(vantage, server, &mut self.loss) {
                    service.last_answer = Some(*at);
                }
            }
            Seen::Interim { status, at, .. } => {
                let interims = exchange.interims.get_or_insert_with(|| {
                    Box::new(Interims {
                        first: (*status, *at),
                        count: 0,
                        latest: *at,
                    })
                });
                interims.count = interims.count.saturating_add(1);
                interims.latest = *at;
            }
            Seen::ResponseHead { head, .. } => {
                exchange.response = Some(head.clone());
                if let Some(service) = self.services.entry(vantage, server, &mut self.loss) {
                    if head.status != BAD_REQUEST {
                        service.answered(after_header);
                    }
                    if let Some(value) = header(&head.kept, "keep-alive") {
                        let habit = service.habit.get_or_insert_default();
                        habit.announces(&value, head.at);
                    }
                }
            }
            Seen::ResponseFault {
                fault, at, prefix, ..
            } => {
                exchange
                    .fault
                    .get_or_insert_with(|| Box::new((fault.clone(), *at, prefix.clone())));
            }
            Seen::ResponseEnd { end, prefix, .. } => {
                exchange.response_end = Some(*end);
                exchange.body_prefix.clone_from(prefix);
                let page = exchange
                    .response
                    .as_ref()
                    .filter(|head| head.status >= 500)
                    .and_then(|head| gateway::recognise(head, prefix))
                    .filter(|(_, recognised)| recognised.own_page);
                if let Some(page) = page
                    && let Some(service) = self.services.entry(vantage, server, &mut self.loss)
                {
                    service.page = Some(page);
                }
            }
            _ => {}
        }
    }
}
