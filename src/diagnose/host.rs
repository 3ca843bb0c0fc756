//! What is remembered of an address and of a server endpoint. In: nothing. Out: the records that the timeline keeps.
//!
//! The rule: an address is one host wherever it is seen; only what every machine has of its own is told apart.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::Deref;

use crate::decode::segment::IcmpError;
use crate::diagnose::gateway::product::{Product, Recognised};
use crate::diagnose::idle_habit::Habit;
use crate::diagnose::lookup::LookupRecord;
use crate::diagnose::neighbour::Questions;
use crate::diagnose::recent::Recent;
use crate::diagnose::record::AttemptId;
use crate::diagnose::rewrites::Rewrites;
use crate::diagnose::rhythm::Rhythms;
use crate::flow::{Endpoint, Vantage};
use crate::frame::Mark;
use crate::protocol::observation::ExchangeId;
use crate::tcp::event::Connection;

/// Frames of two interfaces are written this much out of order at most, nanoseconds.
const OVERTAKEN_NANOS: u64 = 20_000_000;

/// Most servers behind a filter that are remembered of a host: one is enough to doubt.
pub const HIDDEN_SERVERS_MAX: usize = 64;

/// What is remembered of one address.
#[derive(Debug, Default)]
pub struct Host {
    /// Connections that it opened, whole capture.
    pub opened: u64,
    /// To whom it opened the first of them, and whether it turned to anybody else since.
    pub turned_to: Option<(IpAddr, bool)>,
    /// Its recent uses as a client, by their beginning: the candidates for attempts.
    pub uses: Recent<(Mark, AttemptId)>,
    /// Recent exchanges that it served, by the request's first byte.
    pub served: Recent<(Mark, ExchangeId)>,
    /// First byte of the first request to it.
    pub first_asked: Option<Mark>,
    /// Ports on which it was asked.
    pub ports: BTreeSet<u16>,
    /// The capturing machine that itself sends from this address.
    pub local: Option<Vantage>,
    /// Whether the capture shows anything that was sent back to it on connections that it opened.
    pub answered: bool,
    /// What it does at regular times while nobody waits for it, where it is asked itself.
    pub rhythms: Option<Box<Rhythms>>,
    /// How it rewrites the targets of what it is asked for.
    pub rewrites: Option<Box<Rewrites>>,
    /// Second in which anything was last noted of it.
    pub last: i64,
    /// What few hosts do, once it has done any of it.
    seldom: Option<Box<Seldom>>,
}

/// What is remembered of few hosts: kept apart, because a flood of SYNs comes from as many hosts as there are packets.
/// [`Host`] gives these fields as its own.
#[derive(Debug, Default)]
pub struct Seldom {
    /// Servers that it turned to while a filter kept out what was said, and whose words were not seen since; at most
    /// [`HIDDEN_SERVERS_MAX`].
    pub hidden: BTreeSet<Endpoint>,
    /// Recent ICMP errors that quote packets of it which the capture does not hold.
    pub stray_icmp: VecDeque<IcmpError>,
    /// Its recent DNS lookups.
    pub lookups: VecDeque<LookupRecord>,
    /// Its recent questions for neighbours.
    pub questions: Questions,
    /// When it was heard last on its link, in ARP or neighbour discovery.
    pub heard: Option<Mark>,
}

/// Nothing of it.
static NOTHING: Seldom = Seldom {
    hidden: BTreeSet::new(),
    stray_icmp: VecDeque::new(),
    lookups: VecDeque::new(),
    questions: Questions::none(),
    heard: None,
};

impl Deref for Host {
    type Target = Seldom;

    fn deref(&self) -> &Seldom {
        self.seldom.as_deref().unwrap_or(&NOTHING)
    }
}

impl Host {
    /// What few hosts do, to be added to.
    pub fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// The same, where it has done any of it.
    pub fn seldom_so_far(&mut self) -> Option<&mut Seldom> {
        self.seldom.as_deref_mut()
    }

    /// Gives a query the ICMP error that was written before it though it answers it.
    pub fn answer_overtaken(&mut self, client: Endpoint, at: Mark) {
        let answers = |error: &&IcmpError| {
            let early = at.time.nanos_since(error.mark.time);
            !error.quoted_tcp
                && error.quoted_source == client
                && early.unsigned_abs() <= OVERTAKEN_NANOS
        };
        if let Some(error) = self.stray_icmp.iter().rev().find(answers).copied() {
            LookupRecord::unreachable(&mut self.seldom().lookups, &error);
        }
    }

    /// Whether nothing that it did lately is remembered any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.uses.is_empty() && self.served.is_empty() && self.local.is_none()
    }

    /// Whether it was a client of one connection, of which nothing is remembered any more: as good as never seen.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.is_idle()
            && self.opened <= 1
            && self.ports.is_empty()
            && self.rhythms.is_none()
            && self.rewrites.is_none()
            && self.seldom.as_deref().is_none_or(Seldom::is_nothing)
    }

    /// Notes that it opened a connection to an address.
    pub fn turns_to(&mut self, addr: IpAddr) {
        self.opened += 1;
        let (first, others) = self.turned_to.unwrap_or((addr, false));
        self.turned_to = Some((first, others || first != addr));
    }

    /// Whether it opened connections to anybody but this address.
    #[must_use]
    pub fn asks_others_than(&self, addr: IpAddr) -> bool {
        self.turned_to
            .is_some_and(|(first, others)| others || first != addr)
    }

    /// Whether it may have opened a connection to this address.
    #[must_use]
    pub fn may_turn_to(&self, addr: IpAddr) -> bool {
        self.turned_to
            .is_some_and(|(first, others)| others || first == addr)
    }

    /// Whether the capture shows what is sent to this host by those that it asks: else an absence proves nothing.
    #[must_use]
    pub fn hears(&self) -> bool {
        self.answered
            || self.local.is_some()
            || self.lookups.iter().any(|record| record.answer.is_some())
    }
}

impl Seldom {
    fn is_nothing(&self) -> bool {
        self.hidden.is_empty()
            && self.stray_icmp.is_empty()
            && self.lookups.is_empty()
            && !self.questions.any()
            && self.heard.is_none()
    }
}

/// What is remembered of one server endpoint.
#[derive(Debug, Default)]
pub struct Service {
    /// TLS handshakes that a server completed here.
    pub tls_handshakes: u64,
    /// ICMP errors that quote a segment to it.
    pub icmp_errors: u64,
    /// Connections that it answered in HTTP or TLS and that had begun with a PROXY header.
    pub answers_after_header: u64,
    /// The same without a PROXY header.
    pub answers_without_header: u64,
    /// The product whose own error page it sent latest.
    pub page: Option<(&'static Product, Recognised)>,
    /// Latest segment of a connection on which the server's host had acknowledged payload: it accepts connections.
    pub took: Option<Mark>,
    /// First byte of its latest answer.
    pub last_answer: Option<Mark>,
    /// Lowest and highest time to live of what it sent on connections that it accepted.
    pub ttls: Option<(u8, u8)>,
    /// How it treats idle connections, once it has closed one or announced a timeout.
    pub habit: Option<Box<Habit>>,
    /// What it chose in TLS handshakes, distinct choices only, at most [`ACCEPTED_MAX`].
    pub took_in_tls: Vec<Accepted>,
}

/// Most distinct choices of a server that are remembered: versions by suites by with or without a name.
pub const ACCEPTED_MAX: usize = 16;

/// What a server chose in a handshake with anybody: what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Version.
    pub version: u16,
    /// Cipher suite.
    pub suite: u16,
    /// Whether it was asked by name.
    pub by_name: bool,
    /// By whom.
    pub client: Endpoint,
    /// The frame of its ServerHello.
    pub at: Mark,
}

impl Service {
    /// Notes what a connection that ends shows of its server; `idle` when the server closed it while nothing was
    /// outstanding: for how long, and after how many answers.
    pub(super) fn note(&mut self, facts: &Connection, idle: Option<(i64, u32)>) {
        if facts
            .from_client
            .acknowledged
            .is_some_and(|bytes| bytes > 0)
        {
            self.took = self.took.max(facts.server_alive);
        }
        if let (Some((low, high)), Some(_)) = (facts.from_server.ttls, facts.established) {
            let (lowest, highest) = self.ttls.unwrap_or((low, high));
            self.ttls = Some((lowest.min(low), highest.max(high)));
        }
        if let Some((nanos, responses)) = idle {
            let habit = self.habit.get_or_insert_default();
            habit.closed(nanos, responses);
        }
    }
}

impl Service {
    /// Notes what it chose in a TLS handshake.
    pub(super) fn chose(&mut self, choice: Accepted) {
        let alike = |known: &Accepted| {
            (known.version, known.suite, known.by_name)
                == (choice.version, choice.suite, choice.by_name)
        };
        if self.took_in_tls.len() < ACCEPTED_MAX && !self.took_in_tls.iter().any(alike) {
            self.took_in_tls.push(choice);
        }
    }

    /// Notes an answer that shows whether a PROXY header is expected here.
    pub(super) fn answered(&mut self, after_header: bool) {
        if after_header {
            self.answers_after_header += 1;
        } else {
            self.answers_without_header += 1;
        }
    }
}

/// Under which name a host is remembered: an address is one host wherever it is seen, but each machine has a
/// loopback and link-local addresses of its own.
#[must_use]
pub fn whose(vantage: Vantage, addr: IpAddr) -> (Vantage, IpAddr) {
    let own = match addr {
        IpAddr::V4(addr) => addr.is_loopback() || addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_loopback() || addr.is_unicast_link_local(),
    };
    (if own { vantage } else { Vantage::default() }, addr)
}
