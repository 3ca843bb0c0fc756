//! What happens to connections and to the hosts at their ends. In: observations. Out: the timeline's records of them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{DETAILS_MAX, QUOTED_LOOKED_AT_MAX, QUOTED_STREAMS_MAX, STRAY_ICMP_MAX, Timeline};
use super::{FAILED_KEPT_NANOS, SETTLED_KEPT_NANOS};
use crate::decode::segment::{IcmpError, Resolution, Step};
use crate::diagnose::host::{Accepted, HIDDEN_SERVERS_MAX, whose};
use crate::diagnose::lookup::LookupRecord;
use crate::diagnose::record::{AttemptId, ConnectionRecord};
use crate::diagnose::rhythm::Habitual;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{ConnectionEvent, TlsStep};
use crate::tcp::event::{Connection, ConnectionId};

impl Timeline {
    pub(super) fn on_connection(&mut self, event: ConnectionEvent, facts: &Arc<Connection>) {
        if event == ConnectionEvent::Opened {
            self.open(facts);
        }
        let Some(record) = self.connections.get_mut(&facts.id) else {
            return;
        };
        let was_open = record.ended.is_none();
        let answered = facts.from_server.last_seen.is_some();
        if answered && !std::mem::replace(&mut record.answered, true) {
            self.unanswered_now = self.unanswered_now.saturating_sub(1);
        }
        if !Arc::ptr_eq(&record.facts, facts) {
            record.facts = Arc::clone(facts);
        }
        if answered && let Some(host) = self.hosts.get_mut(&whose(facts.vantage, facts.client.addr))
        {
            host.answered = true;
        }
        let closes = matches!(event, ConnectionEvent::Fin(_) | ConnectionEvent::Reset(_));
        let hidden = closes && record.is_hidden();
        self.hidden_seen |= hidden;
        if hidden
            && !facts.from_client.syns.is_empty()
            && let Some(host) = self.hosts.get_mut(&whose(facts.vantage, facts.client.addr))
            && host.hidden.len() < HIDDEN_SERVERS_MAX
        {
            host.seldom().hidden.insert(facts.server);
        }
        let idle = match event {
            ConnectionEvent::Fin(Direction::ToClient) => record.closed_while_idle(),
            _ => None,
        };
        if matches!(
            event,
            ConnectionEvent::Fin(_) | ConnectionEvent::Reset(_) | ConnectionEvent::Ended(_)
        ) && facts.from_server.last_seen.is_some()
            && let Some(service) = self
                .services
                .entry(facts.vantage, facts.server, &mut self.loss)
        {
            service.note(facts, idle);
        }
        if !facts.flags_only
            && let Some(number) = record.newcomer.take()
        {
            self.newcomers.came_into_view(number);
            record.scheduled = false;
        }
        if !record.scheduled && record.needs_a_look() {
            record.scheduled = true;
            self.due.insert(self.second + 1, facts.id);
        }
        if let ConnectionEvent::Ended(ending) = event {
            record.ended = Some(ending);
            let kept = if record.settled() {
                SETTLED_KEPT_NANOS
            } else {
                FAILED_KEPT_NANOS
            };
            let over = record.last_at().time.plus_nanos(kept).second() + 1;
            self.due.insert(over.max(self.second + 1), facts.id);
            if was_open && self.views.counts(facts.id) {
                self.retransmissions +=
                    facts.from_client.retransmissions + facts.from_server.retransmissions;
            }
        }
        // Nearly all connections are seen once: they are compared when they have a new mark, and no more.
        let marks = facts.birthmarks.len();
        let compared = std::mem::replace(&mut record.marks_compared, marks) == marks;
        let joined = (!compared || self.views.is_contested(facts.id)) && self.fold(facts);
        if joined {
            self.opened = self.opened.saturating_sub(1);
            self.share_stream_number(facts);
        }
        // A SYN that comes behind other segments bears a mark of its own: it may show who only passes the connection on.
        if joined || event == ConnectionEvent::Syn {
            self.mark_passed_on(facts.id);
        }
    }

    /// Folds a connection with another of which it is a view, if that shows now.
    fn fold(&mut self, facts: &Connection) -> bool {
        let connections = &self.connections;
        let look = |id: ConnectionId| connections.get(&id).map(|record| &*record.facts);
        let joined = self.views.note(facts, look).is_some();
        let not_folded = std::mem::take(&mut self.views.not_folded);
        self.loss.add("views_not_folded", not_folded);
        joined
    }

    /// Wireshark does not tell tunnels apart: views between the same ends are one stream to it.
    fn share_stream_number(&mut self, facts: &Connection) {
        let input = facts.id.0.input();
        let shared = self.views.of(facts.id).iter().find_map(|id| {
            let other = self.connections.get(id)?;
            let same_ends =
                (other.facts.client, other.facts.server) == (facts.client, facts.server);
            (*id != facts.id && id.0.input() == input && same_ends).then_some(other.stream_number)
        });
        let (Some(shared), Some(record)) = (shared, self.connections.get_mut(&facts.id)) else {
            return;
        };
        let given = std::mem::replace(&mut record.stream_number, shared);
        if let Some(next) = self.streams_by_input.get_mut(&input)
            && given.saturating_add(1) == *next
        {
            *next = given;
        }
    }

    /// A view whose opener only passes it on was not opened by that host.
    fn mark_passed_on(&mut self, id: ConnectionId) {
        for view in self.views.of(id).to_vec() {
            if !self.began_elsewhere(view) {
                continue;
            }
            let Some(record) = self.connections.get_mut(&view) else {
                continue;
            };
            if !std::mem::replace(&mut record.passed_on, true) {
                let key = whose(record.facts.vantage, record.facts.client.addr);
                if let Some(host) = self.hosts.get_mut(&key) {
                    host.opened = host.opened.saturating_sub(1);
                }
            }
        }
    }

    fn open(&mut self, facts: &Arc<Connection>) {
        self.make_room();
        let answered = facts.from_server.last_seen.is_some();
        if !answered {
            self.unanswered.push_back(facts.id);
            self.unanswered_now += 1;
        }
        let input = facts.id.0.input();
        let quoted = self
            .quoted_streams
            .remove(&(input, facts.client, facts.server));
        let stream_number = quoted.unwrap_or_else(|| self.next_stream(input));
        self.opened += 1;
        let look = facts.opened.time.second() + 2;
        let newcomer = facts.flags_only.then(|| {
            if let Some(early) = self.newcomers.crowded_out() {
                self.due.insert(self.second + 1, early);
            }
            self.newcomers.add(look, facts.id)
        });
        let record = ConnectionRecord {
            facts: Arc::clone(facts),
            stream_number,
            protocol: None,
            exchanges: VecDeque::new(),
            tls: Vec::new(),
            icmp: Vec::new(),
            proxy_header: None,
            unsolicited: None,
            ended: None,
            responses: 0,
            idle_since: None,
            answered,
            claimed: false,
            passed_on: false,
            marks_compared: 0,
            scheduled: newcomer.is_some(),
            newcomer,
        };
        self.connections.insert(facts.id, Box::new(record));
        let opening = Habitual::opening(facts.server);
        self.note_habit(facts.vantage, facts.client.addr, opening, facts.opened);
        let id = AttemptId {
            connection: facts.id,
            index: None,
        };
        if let Some(host) = self.host_entry(facts.vantage, facts.client.addr) {
            host.turns_to(facts.server.addr);
            host.uses.insert((facts.opened, id));
        }
        if let Some(host) = self.host_entry(facts.vantage, facts.server.addr) {
            let first = host.ports.is_empty();
            host.ports.insert(facts.server.port);
            if let Some(machine) = host.local.filter(|_| first) {
                self.machines.asks(machine);
            }
        }
    }

    /// Wireshark's number of the next stream of an input.
    fn next_stream(&mut self, input: u16) -> u32 {
        let next = self.streams_by_input.entry(input).or_default();
        let number = *next;
        *next = number.saturating_add(1);
        number
    }

    /// Wireshark counts a stream of which only an ICMP error's quote was captured: that of a SYN which a host's own firewall
    /// keeps from leaving.
    fn number_quoted(&mut self, error: &IcmpError) {
        let ends = (error.quoted_source, error.quoted_destination);
        let uses = self.host(error.vantage, ends.0.addr);
        let uses = uses.into_iter().flat_map(|host| host.uses.iter().rev());
        let was_seen = uses.take(QUOTED_LOOKED_AT_MAX).any(|(_, id)| {
            let record = self.connection(id.connection);
            record.is_some_and(|record| (record.facts.client, record.facts.server) == ends)
        });
        let input = error.mark.frame.input();
        let key = (input, ends.0, ends.1);
        if was_seen || self.quoted_streams.contains_key(&key) {
            return;
        }
        let number = self.next_stream(input);
        if self.quoted_streams.len() < QUOTED_STREAMS_MAX {
            self.quoted_streams.insert(key, number);
        } else {
            self.loss.add("quoted_streams_not_remembered", 1);
        }
    }

    pub(super) fn on_icmp(&mut self, connection: Option<ConnectionId>, error: &IcmpError) {
        if connection.is_none() && error.quoted_tcp {
            self.number_quoted(error);
        }
        let service = self
            .services
            .entry(error.vantage, error.quoted_destination, &mut self.loss);
        if let Some(service) = service.filter(|_| error.quoted_tcp) {
            service.icmp_errors += 1;
        }
        match connection.and_then(|id| self.connections.get_mut(&id)) {
            Some(record) => {
                if record.icmp.len() < DETAILS_MAX {
                    record.icmp.push(*error);
                }
            }
            None => {
                if let Some(host) = self.host_entry(error.vantage, error.quoted_source.addr) {
                    let seldom = host.seldom();
                    let known =
                        !error.quoted_tcp && LookupRecord::unreachable(&mut seldom.lookups, error);
                    if !known {
                        seldom.stray_icmp.push_back(*error);
                        if seldom.stray_icmp.len() > STRAY_ICMP_MAX {
                            seldom.stray_icmp.pop_front();
                        }
                    }
                }
            }
        }
    }

    pub(super) fn on_resolution(&mut self, resolution: &Resolution) {
        let (vantage, target, at) = (resolution.vantage, resolution.target, resolution.mark);
        if resolution.step == Step::Tells
            && let Some(seldom) = resolution
                .listener
                .and_then(|listener| self.hosts.get_mut(&(vantage, listener)))
                .and_then(|host| host.seldom_so_far())
        {
            seldom.questions.answer(target, at);
        }
        let Some(host) = self.host_entry(vantage, resolution.speaker) else {
            return;
        };
        let seldom = host.seldom();
        seldom.heard = Some(at);
        let room = resolution.step == Step::Tells || seldom.questions.ask(target, at);
        if !room {
            self.loss.add("questions_for_neighbours_forgotten", 1);
        }
    }

    pub(super) fn on_tls(&mut self, id: ConnectionId, step: &TlsStep, at: Mark) {
        let Some(record) = self.connections.get_mut(&id) else {
            return;
        };
        if record.tls.len() < DETAILS_MAX
            && let Some(step) = self
                .chains
                .kept(step, record.facts.server, at, &mut self.loss)
        {
            record.tls.push((step, at));
        }
        let by_name = record
            .tls
            .iter()
            .any(|(step, _)| matches!(step, TlsStep::ClientHello(offer) if offer.sni.is_some()));
        let client = record.facts.client;
        let (vantage, server) = (record.facts.vantage, record.facts.server);
        if let TlsStep::NotDecrypted { why } = *step {
            self.undecrypted.note(why, client, server, at);
        }
        let after_header = record.proxy_header.is_some();
        if let TlsStep::ServerHello { version, suite, .. } = *step
            && let Some(service) = self.services.entry(vantage, server, &mut self.loss)
        {
            service.tls_handshakes += 1;
            service.chose(Accepted {
                version,
                suite,
                by_name,
                client,
                at,
            });
            service.answered(after_header);
        }
    }
}
