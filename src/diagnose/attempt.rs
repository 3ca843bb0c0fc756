//! One use of an upstream connection by a gateway. In: the timeline's records. Out: a view that causes
//! examine, and the verdict type that they return.
//!
//! The rule: order and direction decide blame. What a gateway does after it gave up is a consequence.

use crate::decode::segment::{IcmpError, IcmpReason};
use crate::diagnose::finding::{Confidence, Evidence, Leg, RuledOut};
use crate::diagnose::gateway::product::{Product, Wait, may_hand_over};
use crate::diagnose::gateway::timer_that_equals;
use crate::diagnose::handshake::TLS13;
use crate::diagnose::host::Accepted;
use crate::diagnose::idle_habit::Habit;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{Completion, Protocol, TlsStep};
use crate::tcp::event::Closing;
use crate::time::Timestamp;

/// Most products that are named for a wait that equals a default of each.
const DEFAULTS_NAMED_MAX: usize = 3;

/// What a cause says of an attempt that it explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What refines the code.
    pub detail: Option<String>,
    /// The event that made the attempt fail; `None` where it is an absence (nobody answered).
    pub at: Option<Mark>,
    /// Whether `at` is the gateway's own reaction (it gave up) and not the upstream's doing: then it may be
    /// seen a little after the gateway's answer.
    pub by_gateway: bool,
    /// The most that may be said of it: `Certain` when the event was seen.
    pub confidence: Confidence,
    /// Why not more, one clause each.
    pub reservations: Vec<String>,
    /// Proof.
    pub evidence: Vec<Evidence>,
    /// Neighbours and why it is not them.
    pub ruled_out: Vec<RuledOut>,
    /// Codes that contributed.
    pub contributing: Vec<&'static str>,
}

impl Verdict {
    /// A verdict whose event was seen at `at`.
    #[must_use]
    pub fn seen(at: Mark) -> Self {
        Self {
            detail: None,
            at: Some(at),
            by_gateway: false,
            confidence: Confidence::Certain,
            reservations: Vec::new(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            contributing: Vec::new(),
        }
    }

    /// A verdict whose event, seen at `at`, is that the gateway gave up.
    #[must_use]
    pub fn gave_up(at: Mark) -> Self {
        Self {
            by_gateway: true,
            ..Self::seen(at)
        }
    }

    /// A verdict from an absence.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            at: None,
            ..Self::seen(Mark::default())
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a frame on the upstream leg and what it proves.
    #[must_use]
    pub fn proof(self, mark: Mark, summary: impl Into<String>) -> Self {
        self.proof_on(Leg::Upstream, mark, summary)
    }

    /// Adds a frame on any leg and what it proves.
    #[must_use]
    pub fn proof_on(mut self, leg: Leg, mark: Mark, summary: impl Into<String>) -> Self {
        self.evidence.push(Evidence {
            mark,
            leg,
            summary: summary.into(),
        });
        self
    }

    /// Adds a neighbour that it is not.
    #[must_use]
    pub fn not(mut self, code: &'static str, reason: impl Into<String>) -> Self {
        self.ruled_out.push(RuledOut {
            code,
            reason: reason.into(),
        });
        self
    }

    /// Adds a code that contributed to `code`, once.
    #[must_use]
    pub fn contributes(mut self, code: &'static str, contributing: &'static str) -> Self {
        if code != contributing && !self.contributing.contains(&contributing) {
            self.contributing.push(contributing);
        }
        self
    }

    /// Says at most `confidence`, and why.
    #[must_use]
    pub fn at_most(mut self, confidence: Confidence, reservation: impl Into<String>) -> Self {
        if self.confidence > confidence {
            self.confidence = confidence;
        }
        self.reservations.push(reservation.into());
        self
    }
}

/// Who ended a connection first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstClose {
    /// Whose direction: `ToClient` is the upstream, `ToServer` the gateway.
    pub by: Direction,
    /// RST, else FIN or the goodbye of TLS (close_notify).
    pub reset: bool,
    /// The goodbye of TLS, before any FIN or RST.
    pub goodbye: bool,
    /// The segment.
    pub closing: Closing,
}

impl FirstClose {
    fn of(by: Direction, reset: bool, closing: Closing) -> Self {
        Self {
            by,
            reset,
            goodbye: false,
            closing,
        }
    }
}

/// One use of an upstream connection. The gateway is the connection's client.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The upstream connection.
    pub connection: &'a ConnectionRecord,
    /// The request on it; `None` when the connection never carried one.
    pub exchange: Option<&'a ExchangeRecord>,
    /// Facts later than this are no causes: the moment at which the gateway answered its client, with
    /// tolerance.
    pub until: Timestamp,
    /// Whether other connections to the same upstream endpoint spoke TLS.
    pub server_speaks_tls: bool,
    /// Whether the same upstream endpoint answered connections that began with a PROXY header.
    pub server_answers_after_header: bool,
    /// Whether it answered connections that began without one.
    pub server_answers_without_header: bool,
    /// Whether ICMP errors answered SYNs to the same upstream endpoint.
    pub server_unreachable: bool,
    /// Whether anything that servers send to the gateway is in the capture: else an absence proves nothing.
    pub gateway_hears: bool,
    /// Whether the gateway answered with an error although this attempt's answer is whole: then causes that
    /// a strict gateway sees in a readable answer are asked too.
    pub rejected: bool,
    /// The gateway's product, where known.
    pub product: Option<&'static Product>,
    /// How the upstream treats idle connections, as far as seen.
    pub habit: Option<&'a Habit>,
    /// When the upstream last answered anything, and last took a connection with payload, on any connection.
    pub server_active: Option<Mark>,
    /// Lowest and highest time to live of what the upstream sends on other connections.
    pub server_ttls: Option<(u8, u8)>,
    /// What the upstream chose in TLS handshakes with anybody.
    pub server_took: &'a [Accepted],
}

impl Attempt<'_> {
    /// When the attempt began: its SYN when the connection was opened for it, else its request.
    #[must_use]
    pub fn started(&self) -> Mark {
        match self.exchange {
            Some(exchange) if exchange.id.index > 0 || !self.connection.opened_for_first_use() => {
                exchange.request_at
            }
            _ => self.connection.facts.opened,
        }
    }

    /// The latest moment at which the exchange that `product` made it for can have been asked: when it began, or when its
    /// request went out, where a pool may have dialled for another.
    #[must_use]
    pub fn sent_by(&self, product: Option<&Product>) -> Mark {
        match self.exchange.filter(|_| may_hand_over(product)) {
            Some(exchange) => exchange.request_at.max(self.started()),
            None => self.started(),
        }
    }

    /// Responses that were complete on this connection before this use.
    #[must_use]
    pub fn prior_responses(&self) -> u32 {
        self.exchange.map_or(0, |exchange| exchange.prior_responses)
    }

    /// Whether the server answered the SYN, or anything else shows that the handshake was done.
    #[must_use]
    pub fn connected(&self) -> bool {
        let facts = &self.connection.facts;
        !facts.from_server.syns.is_empty()
            || facts.established.is_some()
            || facts.from_server.sent > 0
            || facts.from_server.acknowledged.is_some()
            || facts.from_client.sent > 0
    }

    /// The first FIN, RST or goodbye under TLS of either side up to `until`.
    #[must_use]
    pub fn first_close(&self) -> Option<FirstClose> {
        let mut first: Option<FirstClose> = None;
        let mut note = |close: FirstClose| {
            if first.is_none_or(|first| close.closing.mark < first.closing.mark) {
                first = Some(close);
            }
        };
        for by in [Direction::ToClient, Direction::ToServer] {
            let half = self.connection.facts.half(by);
            let fin = half.fin.map(|closing| FirstClose::of(by, false, closing));
            let reset = half.reset.map(|closing| FirstClose::of(by, true, closing));
            for close in [reset, fin].into_iter().flatten() {
                if close.closing.mark.time <= self.until && !self.was_ignored(&close) {
                    note(close);
                }
            }
            if !self.connection.tls.is_empty()
                && let Some(end) = fin.or(reset)
                && let Some(close) = self.goodbye(end)
            {
                note(close);
            }
        }
        first
    }

    /// Whether a RST had a number that its receiver does not accept, and the receiver went on as if nothing had
    /// happened (RFC 5961, section 3.2): then it closed nothing.
    fn was_ignored(&self, close: &FirstClose) -> bool {
        /// What was on its way when the RST came is over within this, nanoseconds.
        const CROSSED_NANOS: i64 = 10_000_000;
        let receiver = self.connection.facts.half(close.by.opposite());
        let went_on = receiver
            .last_seen
            .is_some_and(|last| last.time.nanos_since(close.closing.mark.time) > CROSSED_NANOS);
        close.reset && !close.closing.in_sequence && went_on
    }

    /// Under TLS a side that ends says goodbye first (close_notify). Its FIN may come only after the other's, or after the
    /// gateway has answered its client, and may be a RST where the other's own goodbye was left unread.
    ///
    /// In TLS 1.3 a sealed alert is told from its size alone, and a small frame of another protocol looks the same: there the
    /// FIN must have been seen too.
    fn goodbye(&self, end: FirstClose) -> Option<FirstClose> {
        /// Its alert's number (RFC 8446, section 6.1).
        const CLOSE_NOTIFY: u8 = 0;
        let steps = &self.connection.tls;
        let (mark, acknowledges, told) = steps.iter().find_map(|(step, at)| match step {
            TlsStep::EncryptedAlertLike {
                direction,
                acknowledges,
            } if *direction == end.by => {
                let marked = |(step, _): &(TlsStep, Mark)| {
                    matches!(step, TlsStep::ServerHello { version, .. } if *version < TLS13)
                };
                Some((*at, *acknowledges, steps.iter().any(marked)))
            }
            TlsStep::Alert {
                direction,
                acknowledges,
                description: CLOSE_NOTIFY,
                ..
            } if *direction == end.by => Some((*at, *acknowledges, true)),
            _ => None,
        })?;
        let seen = !end.reset && end.closing.mark.time <= self.until;
        let counts = mark.time <= self.until && mark < end.closing.mark && (told || seen);
        counts.then_some(FirstClose {
            reset: false,
            goodbye: told,
            closing: Closing {
                mark,
                acknowledges,
                ..end.closing
            },
            ..end
        })
    }

    /// The first close, when the upstream made it.
    #[must_use]
    pub fn closed_by_upstream(&self) -> Option<FirstClose> {
        self.first_close()
            .filter(|close| close.by == Direction::ToClient)
    }

    /// The first close, when the gateway made it.
    #[must_use]
    pub fn closed_by_gateway(&self) -> Option<FirstClose> {
        self.first_close()
            .filter(|close| close.by == Direction::ToServer)
    }

    /// Whether the gateway let go of the connection only much later than `until`: then it was still waiting
    /// there, and what it answered by `until` was another exchange.
    #[must_use]
    pub fn outlived(&self) -> bool {
        /// A busy gateway may close an upstream connection this much after it gave up on it, nanoseconds.
        const LATE_CLEAN_UP_NANOS: i64 = 250_000_000;
        let facts = &self.connection.facts;
        // A socket that was closed with a FIN may answer what comes late with a RST.
        let own = [facts.from_client.fin, facts.from_client.reset]
            .into_iter()
            .flatten()
            .map(|closing| closing.mark.time)
            .min();
        let syn = facts.from_client.syns.last().map(|syn| syn.time);
        [own, syn]
            .into_iter()
            .flatten()
            .any(|time| time.nanos_since(self.until) > LATE_CLEAN_UP_NANOS)
    }

    /// First byte of the upstream's response to this request, up to `until`.
    #[must_use]
    pub fn response_start(&self) -> Option<Mark> {
        self.exchange
            .and_then(|exchange| exchange.response_at)
            .filter(|at| at.time <= self.until)
    }

    /// When bytes that came at `at` made the request fail: a greeting before it is read only after it.
    #[must_use]
    pub fn moment_of_refusal(&self, at: Mark) -> Mark {
        self.exchange
            .map_or(at, |exchange| at.max(exchange.request_at))
    }

    /// Whether the gateway was still sending its request at `at`.
    #[must_use]
    pub fn was_sending_at(&self, at: Mark) -> bool {
        self.exchange
            .is_some_and(|exchange| exchange.was_sent_at(at))
    }

    /// Takes a step off where the capture does not tell whether the whole request was sent: its head was cut, and
    /// it may have had a body.
    #[must_use]
    pub fn with_whole_request(&self, verdict: Verdict) -> Verdict {
        let bodiless = |method: &str| matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS");
        let cut = self.exchange.is_some_and(|exchange| {
            let lost = exchange
                .request_end
                .is_some_and(|end| end.how == Completion::LostInGap);
            lost && exchange
                .request
                .as_ref()
                .is_none_or(|head| !bodiless(&head.method))
        });
        if cut {
            verdict.at_most(
                Confidence::Likely,
                "the request's head was cut by the capture: whether all of its body was sent is not known",
            )
        } else {
            verdict
        }
    }

    /// Bytes of the request's body that its head announces, and those that were seen, in words.
    #[must_use]
    pub fn sent_of_body(&self, until: Option<u64>) -> String {
        let Some(exchange) = self.exchange else {
            return String::new();
        };
        let head_len = exchange.request.as_ref().map_or(0, |head| head.head_len);
        let start = exchange.request_offset.saturating_add(u64::from(head_len));
        let sent = until
            .unwrap_or(self.connection.facts.from_client.sent)
            .saturating_sub(start);
        match exchange
            .request
            .as_ref()
            .and_then(|head| head.content_length)
        {
            Some(len) => format!("{sent} of {len} bytes of the request's body"),
            None => format!("{sent} bytes of a request body that had not ended"),
        }
    }

    /// Stream offset after the request's last byte.
    #[must_use]
    pub fn request_end_offset(&self) -> u64 {
        let sent = self.connection.facts.from_client.sent;
        self.exchange
            .and_then(|exchange| exchange.request_end)
            .map_or(sent, |end| end.end_offset)
    }

    /// A FIN or RST, when it was seen by `until`.
    #[must_use]
    pub fn by_now(&self, closing: Option<Closing>) -> Option<Closing> {
        closing.filter(|closing| closing.mark.time <= self.until)
    }

    /// Adds the SYN as proof.
    #[must_use]
    pub fn syns(&self, verdict: Verdict) -> Verdict {
        let facts = &self.connection.facts;
        match facts.from_client.syns.first() {
            Some(syn) => {
                verdict.proof(*syn, format!("the gateway sends a SYN to {}", facts.server))
            }
            None => verdict,
        }
    }

    /// Adds the request as proof, with the age of the connection it is sent on.
    #[must_use]
    pub fn asked(&self, verdict: Verdict) -> Verdict {
        let Some(exchange) = self.exchange else {
            return verdict;
        };
        let facts = &self.connection.facts;
        if self.connection.is_hidden() {
            let (asked, server) = (facts.from_client.hidden, facts.server);
            return verdict
                .proof(
                    exchange.request_at,
                    format!(
                        "{server} accepts the gateway's connection, on which the gateway sends {asked} bytes that a filter kept out of the capture"
                    ),
                )
                .at_most(
                    Confidence::Likely,
                    "only segments with SYN, FIN or RST of this connection are in the capture: sequence numbers tell how much was said, and not what",
                );
        }
        let connection = match exchange.prior_responses {
            0 if facts.roles_known => "a new connection".to_owned(),
            0 => "a connection that began before the capture".to_owned(),
            1 => "a connection that had served 1 request before".to_owned(),
            count => format!("a connection that had served {count} requests before"),
        };
        let what = exchange
            .request
            .as_ref()
            .map_or("its request", |head| head.method.as_ref());
        verdict.proof(
            exchange.request_at,
            format!(
                "the gateway sends {what} to {} on {connection}",
                facts.server
            ),
        )
    }

    /// The first close in words: `FIN`, `close_notify`, `RST+ACK` or `a bare RST`.
    #[must_use]
    pub fn close_words(&self) -> &'static str {
        match self.first_close() {
            Some(FirstClose { goodbye: true, .. }) => "close_notify",
            Some(FirstClose { reset: false, .. }) | None => "FIN",
            Some(FirstClose { closing, .. }) if closing.with_ack => "RST+ACK",
            Some(_) => "a bare RST",
        }
    }

    /// Why it is not an idle connection that was taken back.
    #[must_use]
    pub fn why_not_stale(&self) -> &'static str {
        match self.exchange.map_or(0, |exchange| exchange.id.index) {
            0 => "the connection was new",
            _ => "the close acknowledges the request: the upstream's host had received it",
        }
    }

    /// Takes a step off when a RST's sequence number is not what the gateway expects (RFC 5961).
    #[must_use]
    pub fn in_sequence(&self, verdict: Verdict, close: FirstClose) -> Verdict {
        if close.closing.in_sequence {
            verdict
        } else {
            verdict.at_most(
                Confidence::Likely,
                "the sequence number of the RST is not the expected one",
            )
        }
    }

    /// The verdict of an ICMP error of that kind that quotes the SYN.
    #[must_use]
    pub fn icmp(&self, reason: IcmpReason, words: &str) -> Option<Verdict> {
        // The latest counts: a first error while the socket is busy is soft, and the gateway fails only at
        // the one that answers the SYN sent again (causes.md A.6).
        let by_now = |error: &&IcmpError| error.mark.time <= self.until;
        let error = self.connection.icmp.iter().rev().find(by_now)?;
        if error.reason != reason || self.connected() {
            return None;
        }
        let server = self.connection.facts.server;
        let by = if error.reporter == server.addr {
            "the upstream's own host".to_owned()
        } else {
            error.reporter.to_string()
        };
        let verdict = self
            .syns(Verdict::seen(error.mark))
            .proof_on(
                Leg::Icmp,
                error.mark,
                format!(
                    "{by} answers with ICMP: {words} (type {}, code {})",
                    error.type_code.0, error.type_code.1
                ),
            )
            .not("connect-refused", "the answer is an ICMP error, not a RST")
            .not("connect-timeout", "the SYN was answered by an ICMP error");
        Some(verdict)
    }

    /// The ClientHello, on a connection that speaks TLS or tries to.
    #[must_use]
    pub fn client_hello(&self) -> Option<Mark> {
        self.connection
            .tls
            .iter()
            .find(|(step, _)| matches!(step, TlsStep::ClientHello(_)))
            .map(|(_, at)| *at)
    }

    /// Whether the handshake was complete by `until`, as far as can be seen.
    #[must_use]
    pub fn handshake_done(&self) -> bool {
        self.connection.tls.iter().any(|(step, at)| {
            matches!(step, TlsStep::Finished | TlsStep::ApplicationData { .. })
                && at.time <= self.until
        })
    }

    /// A fatal alert that the gateway sent in clear.
    #[must_use]
    pub fn alert_of_gateway(&self) -> Option<u8> {
        self.connection.tls.iter().find_map(|(step, _)| match step {
            TlsStep::Alert {
                direction: Direction::ToServer,
                level: 2,
                description,
                ..
            } => Some(*description),
            _ => None,
        })
    }

    /// First byte of an HTTP/1 head that never became complete.
    #[must_use]
    pub fn head_begun(&self) -> Option<Mark> {
        let exchange = self.exchange?;
        let readable =
            self.connection.protocol == Some(Protocol::Http1) && exchange.fault.is_none();
        let complete = exchange
            .response
            .as_ref()
            .is_some_and(|head| head.at.time <= self.until);
        self.response_start().filter(|_| readable && !complete)
    }

    /// Bytes that the upstream sent for this response, head and all, as far as seen.
    #[must_use]
    pub fn head_bytes(&self) -> u64 {
        let sent = self.connection.facts.from_server.sent;
        let before = self.exchange.and_then(|exchange| {
            let previous = self
                .connection
                .exchange(exchange.id.index.checked_sub(1)?)?;
            previous.response_end.map(|end| end.end_offset)
        });
        sent.saturating_sub(before.unwrap_or(0))
    }

    /// Takes a step off where the upstream had sent bytes before its close that the capture does not show as an answer.
    #[must_use]
    pub fn nothing_before(&self, close: &Closing, verdict: Verdict) -> Verdict {
        let index = self.exchange.map_or(0, |exchange| exchange.id.index);
        let before = match index.checked_sub(1) {
            // What came before the capture counts too where the beginning is not in it.
            None => self.connection.facts.roles_known.then_some(0),
            Some(previous) => self
                .connection
                .exchange(previous)
                .and_then(|exchange| exchange.response_end)
                .map(|end| end.end_offset),
        };
        let readable = self.connection.protocol == Some(Protocol::Http1);
        // A 100 that was asked for is no answer, and nothing is missing.
        let interim = self.exchange.is_some_and(|exchange| {
            exchange.interims.is_some() && exchange.expects_continue() == Some(true)
        }) && self.connection.facts.from_server.snapped == 0;
        if !readable || interim || before.is_none_or(|before| close.sent <= before) {
            return verdict;
        }
        verdict.at_most(
            Confidence::Likely,
            "the upstream had sent bytes before its close that the capture does not show",
        )
    }

    /// A time between two frames, in words.
    #[must_use]
    pub fn waited(&self, from: Mark, until: Mark) -> String {
        millis(until.time.nanos_since(from.time))
    }

    /// Names the defaults that a wait equals: evidence, never proof (causes.md, principle 7).
    #[must_use]
    pub fn equal_timers(&self, wait: Wait, from: Mark, until: Mark) -> String {
        default_words(self.product, wait, until.time.nanos_since(from.time))
    }
}

/// The defaults that a wait of so many nanoseconds equals, in words to be put after it; empty where it equals none.
#[must_use]
pub fn default_words(product: Option<&'static Product>, wait: Wait, nanos: i64) -> String {
    let equal = timer_that_equals(product, wait, nanos as f64 / 1e6);
    let names: Vec<String> = equal
        .iter()
        .map(|(product, timer)| format!("{}'s {}", product.name, timer.name))
        .collect();
    match (product, names.as_slice()) {
        (_, []) => String::new(),
        (Some(_), [name, ..]) => format!(" (equals the default of {name})"),
        // Without the product a round number fits many: it is told as that.
        (None, names) if names.len() <= DEFAULTS_NAMED_MAX => {
            format!(" (equals the default of {})", names.join(" or "))
        }
        (None, names) => format!(" (a default of {} products)", names.len()),
    }
}

/// A duration in words.
#[must_use]
pub fn millis(nanos: i64) -> String {
    let millis = nanos as f64 / 1e6;
    match millis.abs() {
        small if small < 10.0 => format!("{millis:.2} ms"),
        medium if medium < 1_000.0 => format!("{millis:.1} ms"),
        _ => format!("{:.3} s", millis / 1e3),
    }
}

/// The name of a TLS alert (RFC 8446, section 6.2, and the registry of TLS alerts).
#[must_use]
pub const fn alert_name(description: u8) -> &'static str {
    match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "unknown_alert",
    }
}
