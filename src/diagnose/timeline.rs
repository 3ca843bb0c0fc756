//! Recent observations, by connection and by host. In: observations in order. Out: records that are
//! looked up by the moment.
//!
//! The rule: bounded by number and by time; what is dropped before it was needed is counted.

mod connections;
mod messages;

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::diagnose::agenda::Agenda;
use crate::diagnose::chains::Chains;
use crate::diagnose::clock::Clock;
use crate::diagnose::clocks::Clocks;
use crate::diagnose::host::{Host, Service, whose};
use crate::diagnose::lookup::LookupRecord;
use crate::diagnose::machines::Machines;
use crate::diagnose::newcomers::Newcomers;
use crate::diagnose::record::{AttemptId, ConnectionRecord, ExchangeRecord};
use crate::diagnose::services::Services;
use crate::diagnose::trust::Trust;
use crate::diagnose::undecrypted::Undecrypted;
use crate::diagnose::views::Views;
use crate::flow::{Endpoint, Vantage};
use crate::frame::{FrameId, Mark};
use crate::loss::Loss;
use crate::protocol::observation::{ExchangeId, Observation, Seen};
use crate::tcp::event::ConnectionId;

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
/// Most TLS steps and ICMP errors that are kept of one connection.
pub const DETAILS_MAX: usize = 24;
/// Most exchanges of a host that one look back goes through.
pub(super) const SERVED_LOOKED_AT_MAX: usize = 4_096;
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
    /// Each apart: most tables are half empty, and a flood comes from as many hosts as there are packets.
    pub(super) hosts: HashMap<(Vantage, IpAddr), Box<Host>>,
    pub(super) services: Services,
    machines: Machines,
    /// Connections in order of the second in which they are to be looked at again.
    pub(super) due: Agenda<ConnectionId>,
    /// Connections that were opened in the last seconds.
    pub(super) newcomers: Newcomers,
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

    /// The request that an attempt carries.
    #[must_use]
    pub fn attempt(&self, id: AttemptId) -> Option<&ExchangeRecord> {
        self.connection(id.connection)?.exchange(id.index?)
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
        self.hosts.get(&whose(vantage, addr)).map(Box::as_ref)
    }

    /// Hosts that opened connections, in no order.
    pub fn askers(&self) -> impl Iterator<Item = (&(Vantage, IpAddr), &Host)> {
        let hosts = self.hosts.iter().map(|(key, host)| (key, host.as_ref()));
        hosts.filter(|(_, host)| host.opened > 0)
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
            let host = self.hosts.get(key)?.as_ref();
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
            ours.filter_map(|key| Some((&key.1, self.hosts.get(key)?.as_ref())))
                .collect()
        } else {
            self.hosts
                .get_key_value(&whose(vantage, addr))
                .map(|((_, addr), host)| (addr, host.as_ref()))
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
                    LookupRecord::asked(&mut host.seldom().lookups, query);
                    host.answer_overtaken(query.client, query.at);
                }
            }
            Seen::Answer(answer) => {
                if let Some(host) = self.host_entry(answer.vantage, answer.client.addr) {
                    LookupRecord::answered(&mut host.seldom().lookups, answer);
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
        let known = self.hosts.get(&key);
        let is_its_own = known.is_some_and(|host| host.local == Some(vantage));
        if addr.is_loopback() && !is_its_own {
            // Nobody else's loopback traffic can be captured.
            self.hosts.entry(key).or_default();
            self.settle(key, Some(vantage));
        }
        let host = self.hosts.entry(key).or_default();
        host.last = self.second;
        Some(host)
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
