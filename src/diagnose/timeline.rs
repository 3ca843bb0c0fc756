//! Recent observations, by connection and by host. In: observations in order. Out: records that are
//! looked up by the moment.
//!
//! The rule: bounded by number and by time; what is dropped before it was needed is counted.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::decode::segment::{IcmpError, Resolution, Step};
use crate::diagnose::agenda::Agenda;
use crate::diagnose::chains::Chains;
use crate::diagnose::clock::Clock;
use crate::diagnose::clocks::Clocks;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::header;
use crate::diagnose::host::{Accepted, HIDDEN_SERVERS_MAX, Host, Service, whose};
use crate::diagnose::lookup::LookupRecord;
use crate::diagnose::machines::Machines;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::rhythm::Habitual;
use crate::diagnose::services::Services;
use crate::diagnose::trust::Trust;
use crate::diagnose::undecrypted::Undecrypted;
use crate::diagnose::views::Views;
use crate::flow::{Direction, Endpoint, Vantage};
use crate::frame::{FrameId, Mark};
use crate::loss::Loss;
use crate::protocol::observation::{ConnectionEvent, ExchangeId, Observation, Seen, TlsStep};
use crate::tcp::event::{Connection, ConnectionId};

/// Most connections that are remembered, about 1 KB each: as many as fail in the longest time for which they are kept, at
/// 800 a second. Who leaves first is told in `forget.rs`.
pub const CONNECTIONS_MAX: usize = 131_072;
/// Most connections that nobody has answered which are remembered: those of a minute (nginx's `proxy_connect_timeout`) at
/// 1,000 a second. A flood of SYNs must not use up the room of the others.
pub const UNANSWERED_MAX: usize = 65_536;
/// Most hosts that are remembered, and most server endpoints: more than there are connections, so that it is a matter of
/// hosts of which much else was seen. Who is forgotten is told in `forget.rs`.
pub const HOSTS_MAX: usize = CONNECTIONS_MAX + UNANSWERED_MAX;
/// Most exchanges that are remembered of one connection.
pub const EXCHANGES_PER_CONNECTION_MAX: usize = 4_096;
/// Most TLS steps, ICMP errors and interim responses that are kept of one connection or exchange.
pub const DETAILS_MAX: usize = 24;
/// Most exchanges of a host that one look back goes through.
const SERVED_LOOKED_AT_MAX: usize = 4_096;
/// Most ICMP errors without their segment that are remembered of one host.
const STRAY_ICMP_MAX: usize = 256;
/// Most uses of upstreams that are looked through for one whose payload was kept out.
pub const HIDDEN_LOOKED_AT_MAX: usize = 1_024;
/// Most streams that are remembered of which only quotes were seen; a firewall that refuses more than that gives each SYN
/// another port, and each is a stream of its own.
const QUOTED_STREAMS_MAX: usize = 4_096;
/// Uses of a host that are looked through for the connection that an ICMP error quotes, the latest first.
const QUOTED_LOOKED_AT_MAX: usize = 256;
/// What a server answers to what it cannot read (RFC 9110, section 15.5.1).
const BAD_REQUEST: u16 = 400;
/// How long something that ended well is remembered: a gateway relays within milliseconds, and a retry
/// follows its failure within about a second. Nanoseconds.
pub const SETTLED_KEPT_NANOS: i64 = 6_000_000_000;
/// How long something that failed is remembered: the longest usual timer of a gateway is 100 s (Cloudflare),
/// and Linux gives a SYN up after 127 s. Nanoseconds.
pub const FAILED_KEPT_NANOS: i64 = 150_000_000_000;

/// The memory of diagnosis.
#[derive(Debug, Default)]
pub struct Timeline {
    pub(super) connections: HashMap<ConnectionId, Box<ConnectionRecord>>,
    pub(super) hosts: HashMap<(Vantage, IpAddr), Host>,
    pub(super) services: Services,
    machines: Machines,
    /// Connections in order of the second in which they are to be looked at again.
    pub(super) due: Agenda<ConnectionId>,
    /// Connections in the order of their opening, as long as they may be unanswered: see `make_room`.
    pub(super) unanswered: VecDeque<ConnectionId>,
    /// How many there are that nobody has answered.
    pub(super) unanswered_now: usize,
    /// The second in which hosts were last looked through for those that may go.
    pub(super) swept: i64,
    /// Second of the latest tick.
    pub(super) second: i64,
    streams_by_input: HashMap<u16, u32>,
    /// Numbers of streams of which only quotes in ICMP errors were seen, by input and ends.
    quoted_streams: HashMap<(u16, Endpoint, Endpoint), u32>,
    /// Certificates of servers and clients.
    pub(super) chains: Chains,
    /// Connections that the secrets at hand do not open.
    pub(super) undecrypted: Undecrypted,
    /// Which roots judge them.
    pub(super) trust: Trust,
    /// The capture's clock.
    pub clock: Clock,
    /// How far the times of the inputs may be apart.
    pub clocks: Clocks,
    pub(super) views: Views,
    /// Whether any connection looked as if a filter had let only its flags pass: elsewhere nobody need search for one.
    pub hidden_seen: bool,
    /// What had to be forgotten too early.
    pub loss: Loss,
    /// Retransmissions of connections that are over.
    pub retransmissions: u64,
    /// All connections.
    pub opened: u64,
}

impl Timeline {
    /// The record of a connection.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<&ConnectionRecord> {
        self.connections.get(&id).map(Box::as_ref)
    }

    /// The record of an exchange and of its connection.
    #[must_use]
    pub fn exchange(&self, id: ExchangeId) -> Option<(&ConnectionRecord, &ExchangeRecord)> {
        let record = self.connection(id.connection)?;
        Some((record, record.exchange(id.index)?))
    }

    /// How far apart two frames of one instant may stand here, nanoseconds: 0 where one machine captured both, `None`
    /// where the clocks of their machines could not be compared.
    #[must_use]
    pub fn clock_tolerance(&self, one: FrameId, other: FrameId) -> Option<i64> {
        self.clocks.tolerance(one.input(), other.input())
    }

    /// What is known of an address.
    #[must_use]
    pub fn host(&self, vantage: Vantage, addr: IpAddr) -> Option<&Host> {
        self.hosts.get(&whose(vantage, addr))
    }

    /// Hosts that opened connections, in no order.
    pub fn askers(&self) -> impl Iterator<Item = (&(Vantage, IpAddr), &Host)> {
        self.hosts.iter().filter(|(_, host)| host.opened > 0)
    }

    /// Servers that gateways (hosts that are themselves asked) turned to while a filter kept out what was said, in order.
    /// `until` is the latest mark: a connection that is open counts once an acknowledgement would have been seen.
    #[must_use]
    pub fn hidden_servers(&self, until: Mark) -> BTreeSet<Endpoint> {
        if !self.hidden_seen {
            return BTreeSet::new();
        }
        let gateways = self.hosts.values().filter(|host| !host.ports.is_empty());
        let mut servers = BTreeSet::new();
        for host in gateways {
            servers.extend(host.hidden.iter().copied());
            let uses = host.uses.iter().rev().take(HIDDEN_LOOKED_AT_MAX);
            let open = uses
                .filter_map(|(_, id)| self.connection(id.connection))
                .filter(|record| record.was_hidden(until, until));
            servers.extend(open.map(|record| record.facts.server));
        }
        servers
    }

    /// Addresses of the capturing machine that opened connections, or asked for neighbours to do so, in order.
    pub fn local_askers(&self, machine: Vantage) -> impl Iterator<Item = (IpAddr, &Host)> {
        self.machines.addrs(machine).filter_map(|key| {
            let host = self.hosts.get(key)?;
            let asks = host.opened > 0 || host.questions.any();
            asks.then_some((key.1, host))
        })
    }

    /// Whether anyone asked the host at this address anything; for an address of the capturing machine,
    /// whether anyone asked that machine at any of its addresses.
    #[must_use]
    pub fn is_asked(&self, vantage: Vantage, addr: IpAddr) -> bool {
        let Some(host) = self.host(vantage, addr) else {
            return false;
        };
        !host.ports.is_empty()
            || host
                .local
                .is_some_and(|machine| self.machines.is_asked(machine))
    }

    /// Whether `behind` is an upstream that `front` asks, though its host asks `front` too: of two hosts that ask each other, and
    /// where `behind` asks nobody else, the one that was asked first is in front, because an attempt follows its request.
    #[must_use]
    pub fn is_behind(&self, vantage: Vantage, behind: IpAddr, front: IpAddr) -> bool {
        let (Some(back), Some(gateway)) = (self.host(vantage, behind), self.host(vantage, front))
        else {
            return false;
        };
        let first = |host: &Host| host.first_asked;
        behind != front
            && back.may_turn_to(front)
            && !back.asks_others_than(front)
            && gateway.may_turn_to(behind)
            && first(gateway)
                .zip(first(back))
                .is_some_and(|(gateway, back)| gateway < back)
    }

    /// Exchanges that the machine at `addr` served, by the request's first byte between two marks, the latest
    /// first: at that address, or at any address of the capturing machine when it is one of them.
    pub fn served_on(
        &self,
        vantage: Vantage,
        addr: IpAddr,
        from: Mark,
        until: Mark,
    ) -> impl Iterator<Item = ExchangeId> + '_ {
        let machine = self.host(vantage, addr).and_then(|host| host.local);
        let mut hosts: Vec<(&IpAddr, &Host)> = if let Some(machine) = machine {
            let ours = self.machines.addrs(machine);
            ours.filter_map(|key| Some((&key.1, self.hosts.get(key)?)))
                .collect()
        } else {
            self.hosts
                .get_key_value(&whose(vantage, addr))
                .map(|((_, addr), host)| (addr, host))
                .into_iter()
                .collect()
        };
        hosts.sort_unstable_by_key(|(addr, _)| **addr);
        hosts.into_iter().flat_map(move |(_, host)| {
            let first = (
                from,
                ExchangeId {
                    connection: ConnectionId::default(),
                    index: 0,
                },
            );
            let last = (
                until,
                ExchangeId {
                    connection: ConnectionId::default(),
                    index: 0,
                },
            );
            let range = if first <= last {
                Some(host.served.range(first..last))
            } else {
                None
            };
            range
                .into_iter()
                .flatten()
                .rev()
                .take(SERVED_LOOKED_AT_MAX)
                .map(|(_, id)| *id)
                .filter(move |id| self.is_best_server_view(id.connection, vantage))
        })
    }

    /// What is known of a server endpoint.
    #[must_use]
    pub fn service(&self, vantage: Vantage, endpoint: Endpoint) -> Option<&Service> {
        self.services.get(vantage, endpoint)
    }

    /// Marks an attempt as given to an exchange, in all views of it.
    pub fn claim(&mut self, id: AttemptId) {
        for view in self.attempt_views(id) {
            let Some(record) = self.connections.get_mut(&view.connection) else {
                continue;
            };
            match view.index {
                None => record.claimed = true,
                Some(index) => {
                    if let Some(exchange) = record.exchange_mut(index) {
                        exchange.claimed = true;
                    }
                }
            }
        }
    }

    /// Marks a failed exchange as told, in all views of it.
    pub fn tell(&mut self, id: ExchangeId) {
        for view in self.exchange_views(id) {
            let record = self.connections.get_mut(&view.connection);
            if let Some(exchange) = record.and_then(|record| record.exchange_mut(view.index)) {
                exchange.told = true;
            }
        }
    }

    /// Takes one observation.
    pub fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            Seen::Connection { event, facts } => self.on_connection(*event, facts),
            Seen::Query(query) => {
                if let Some(host) = self.host_entry(query.vantage, query.client.addr) {
                    LookupRecord::asked(&mut host.lookups, query);
                    host.answer_overtaken(query.client, query.at);
                }
            }
            Seen::Answer(answer) => {
                if let Some(host) = self.host_entry(answer.vantage, answer.client.addr) {
                    LookupRecord::answered(&mut host.lookups, answer);
                }
            }
            Seen::Local { vantage, addr, own } => {
                if self.host_entry(*vantage, *addr).is_some() {
                    let machine = (*own || addr.is_loopback()).then_some(*vantage);
                    self.settle(whose(*vantage, *addr), machine);
                }
            }
            Seen::ClockStep { at, nanos } => self.clock.stepped(*at, *nanos),
            Seen::Icmp { connection, error } => self.on_icmp(*connection, error),
            Seen::Resolution(resolution) => self.on_resolution(resolution),
            Seen::Protocol {
                connection,
                protocol,
            } => {
                if let Some(record) = self.connections.get_mut(connection) {
                    record.protocol = Some(*protocol);
                }
            }
            Seen::Unsolicited {
                connection,
                prefix,
                at,
            } => {
                if let Some(record) = self.connections.get_mut(connection) {
                    record
                        .unsolicited
                        .get_or_insert_with(|| (*at, prefix.clone()));
                }
            }
            Seen::ProxyHeader {
                connection,
                version,
                at,
            } => {
                if let Some(record) = self.connections.get_mut(connection) {
                    record.proxy_header = Some((*version, *at));
                }
            }
            Seen::Tls {
                connection,
                step,
                at,
            } => self.on_tls(*connection, step, *at),
            Seen::RequestStart {
                exchange,
                offset,
                at,
            } => self.on_request_start(*exchange, *offset, *at),
            _ => self.on_message(&observation.what),
        }
    }

    /// An address is known to be a capturing machine's, or to be none's.
    fn settle(&mut self, key: (Vantage, IpAddr), machine: Option<Vantage>) {
        if let Some(host) = self.hosts.get_mut(&key)
            && host.local != machine
        {
            let before = std::mem::replace(&mut host.local, machine);
            self.machines
                .moved(key, before, machine, !host.ports.is_empty());
        }
    }

    fn host_entry(&mut self, vantage: Vantage, addr: IpAddr) -> Option<&mut Host> {
        let key = whose(vantage, addr);
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&key) && !self.sweep_hosts() {
            self.loss.add("hosts_not_remembered", 1);
            return None;
        }
        let host = self.hosts.entry(key).or_default();
        host.last = self.second;
        if addr.is_loopback() && host.local != Some(vantage) {
            // Nobody else's loopback traffic can be captured.
            self.settle(key, Some(vantage));
        }
        self.hosts.get_mut(&key)
    }

    fn on_connection(&mut self, event: ConnectionEvent, facts: &Arc<Connection>) {
        if event == ConnectionEvent::Opened {
            self.open(facts);
        }
        let Some(record) = self.connections.get_mut(&facts.id) else {
            return;
        };
        let was_open = record.ended.is_none();
        let answered = facts.from_server.last_seen.is_some();
        if answered && record.facts.from_server.last_seen.is_none() {
            self.unanswered_now = self.unanswered_now.saturating_sub(1);
        }
        record.facts = Arc::clone(facts);
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
            host.hidden.insert(facts.server);
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
        // The mark of a SYN is among the facts only when the SYN is told.
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
        if facts.from_server.last_seen.is_none() {
            self.unanswered.push_back(facts.id);
            self.unanswered_now += 1;
        }
        let input = facts.id.0.input();
        let quoted = self
            .quoted_streams
            .remove(&(input, facts.client, facts.server));
        let stream_number = quoted.unwrap_or_else(|| self.next_stream(input));
        self.opened += 1;
        self.due.insert(facts.opened.time.second() + 2, facts.id);
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
            claimed: false,
            passed_on: false,
            marks_compared: 0,
            scheduled: true,
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

    fn on_icmp(&mut self, connection: Option<ConnectionId>, error: &IcmpError) {
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
                    let known =
                        !error.quoted_tcp && LookupRecord::unreachable(&mut host.lookups, error);
                    if !known {
                        host.stray_icmp.push_back(*error);
                        if host.stray_icmp.len() > STRAY_ICMP_MAX {
                            host.stray_icmp.pop_front();
                        }
                    }
                }
            }
        }
    }

    fn on_resolution(&mut self, resolution: &Resolution) {
        let (vantage, target, at) = (resolution.vantage, resolution.target, resolution.mark);
        if resolution.step == Step::Tells
            && let Some(host) = resolution
                .listener
                .and_then(|listener| self.hosts.get_mut(&(vantage, listener)))
        {
            host.questions.answer(target, at);
        }
        let Some(host) = self.host_entry(vantage, resolution.speaker) else {
            return;
        };
        host.heard = Some(at);
        let room = resolution.step == Step::Tells || host.questions.ask(target, at);
        if !room {
            self.loss.add("questions_for_neighbours_forgotten", 1);
        }
    }

    fn on_tls(&mut self, id: ConnectionId, step: &TlsStep, at: Mark) {
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

    fn on_request_start(&mut self, id: ExchangeId, offset: u64, at: Mark) {
        let Some(record) = self.connections.get_mut(&id.connection) else {
            return;
        };
        let exchange = ExchangeRecord::new(id, offset, at, record);
        if !std::mem::replace(&mut record.scheduled, true) {
            self.due.insert(self.second + 2, id.connection);
        }
        let (flags_only, server_endpoint) = (record.facts.flags_only, record.facts.server);
        if record.exchanges.capacity() == 0 {
            // Most connections carry one.
            record.exchanges.reserve_exact(1);
        }
        record.exchanges.push_back(exchange);
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
            if !flags_only {
                host.hidden.remove(&server_endpoint);
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

    fn on_message(&mut self, what: &Seen) {
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
        if let Seen::RequestHead { head, .. } = what {
            let what = Habitual::request(server, &head.method, &head.target);
            let client = record.facts.client.addr;
            self.note_habit(vantage, client, what, head.at);
        }
        if let Seen::ResponseHead { head, .. } = what {
            self.clock.dated(server.addr, head);
        }
        let record = self.connections.get_mut(&id.connection);
        let Some(exchange) = record.and_then(|record| record.exchange_mut(id.index)) else {
            return;
        };
        match what {
            Seen::RequestHead { head, .. } => exchange.request = Some(head.clone()),
            Seen::RequestEnd { end, .. } => exchange.request_end = Some(*end),
            Seen::ResponseStart { at, .. } => {
                exchange.response_at = Some(*at);
                if let Some(service) = self.services.entry(vantage, server, &mut self.loss) {
                    service.last_answer = Some(*at);
                }
            }
            Seen::Interim { status, at, .. } => {
                if exchange.interim.len() < DETAILS_MAX {
                    exchange.interim.push((*status, *at));
                }
                exchange.interims = (exchange.interims.0.saturating_add(1), Some(*at));
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

/// The exchange that an observation of a message speaks of.
#[must_use]
pub fn exchange_of(what: &Seen) -> Option<ExchangeId> {
    match what {
        Seen::RequestStart { exchange, .. }
        | Seen::RequestHead { exchange, .. }
        | Seen::RequestEnd { exchange, .. }
        | Seen::ResponseStart { exchange, .. }
        | Seen::Interim { exchange, .. }
        | Seen::ResponseHead { exchange, .. }
        | Seen::ResponseFault { exchange, .. }
        | Seen::ResponseEnd { exchange, .. } => Some(*exchange),
        _ => None,
    }
}
