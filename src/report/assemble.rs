//! From what the rooms concluded to the report. In: diagnosis, inputs, loss. Out: [`Report`].
//!
//! The rule: every string that may hold bytes of the wire passes [`redact`] here, once, for all formats.
//! The words of a cause and of a product come from their own values and from nowhere else.

use std::collections::{BTreeMap, HashMap};

use crate::capture::InputFacts;
use crate::diagnose::cause;
use crate::diagnose::certificate::Facts;
use crate::diagnose::clocks::EstimatedFrom;
use crate::diagnose::contrast;
use crate::diagnose::finding as found;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::{Product, Row};
use crate::loss;
use crate::report::model::{
    Attempt, Capture, Cause, Certificate, ClientEvent, Common, Connection, Damage, Evidence,
    Exchange, ExchangeFrames, Finding, Findings, FrameRef, Gateway, Incident, Input, LogWording,
    Loss, Program, Report, RuledOut, SCHEMA_VERSION, Sighting, Summary, Tls, Upstream,
    UpstreamEvent, Warning,
};
use crate::report::names;
use crate::report::redact;
use crate::time::Timestamp;

/// Most log wordings of products when the gateway's own is not known: more would hide the likely ones.
pub const LOG_WORDINGS_MAX: usize = 6;

/// Most upstream connections in a display filter: a longer one is unreadable, and the last ones decide.
pub const FILTER_CONNECTIONS_MAX: usize = 8;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Analysis<'a> {
    /// What diagnosis concluded.
    pub diagnosis: &'a found::Diagnosis,
    /// Facts of the inputs, in the order of the command line.
    pub inputs: &'a [InputFacts],
    /// SHA-256 of the inputs in hexadecimal, by index; empty without --hash.
    pub hashes: &'a [Option<String>],
    /// What was not seen or not decoded.
    pub loss: &'a loss::Loss,
    /// The program's version.
    pub gwcap_version: &'a str,
    /// Whether secrets stay in the report.
    pub show_secrets: bool,
    /// Whether names are shown beside addresses.
    pub show_names: bool,
}

impl<'a> Report<'a> {
    /// Makes the report of an analysis.
    #[must_use]
    pub fn from(analysis: &Analysis<'a>) -> Self {
        let words = Words {
            show_secrets: analysis.show_secrets,
        };
        let diagnosis = analysis.diagnosis;
        let findings = diagnosis.findings.as_slice();
        let sure = confidences(findings);
        Self {
            schema_version: SCHEMA_VERSION,
            gwcap: Program {
                version: analysis.gwcap_version.to_owned(),
            },
            redaction: if analysis.show_secrets { "off" } else { "on" },
            capture: Capture {
                inputs: inputs(analysis),
                loss: words.loss(analysis.loss),
                names: words.names(analysis),
            },
            summary: summary(diagnosis),
            findings: Findings::new(findings, move |finding| words.finding(finding)),
            incidents: diagnosis
                .incidents
                .iter()
                .map(|incident| {
                    let sure = sure.get(incident.id.as_str()).cloned();
                    words.incident(incident, sure.unwrap_or_default())
                })
                .collect(),
            upstream_events: diagnosis
                .upstream_events
                .iter()
                .map(|event| words.upstream_event(event))
                .collect(),
            client_events: diagnosis
                .client_events
                .iter()
                .map(|event| words.client_event(event))
                .collect(),
            warnings: diagnosis
                .warnings
                .iter()
                .map(|warning| words.warning(warning))
                .collect(),
        }
    }
}

/// One finding for the report, before there is a report.
#[must_use]
pub fn one_finding(finding: &found::Finding, show_secrets: bool) -> Finding {
    Words { show_secrets }.finding(finding)
}

/// How many findings of each incident there are of each confidence.
fn confidences(findings: &[found::Finding]) -> HashMap<&str, BTreeMap<&'static str, u64>> {
    let mut sure: HashMap<&str, BTreeMap<_, _>> = HashMap::new();
    for finding in findings {
        let counts = sure.entry(finding.incident.as_str()).or_default();
        *counts.entry(finding.confidence.word()).or_default() += 1;
    }
    sure
}

fn inputs(analysis: &Analysis<'_>) -> Vec<Input> {
    let input = |(index, facts): (usize, &InputFacts)| {
        let clock = analysis
            .diagnosis
            .clocks
            .of(u16::try_from(index).unwrap_or(u16::MAX));
        Input {
            path: facts.path.clone(),
            sha256: analysis.hashes.get(index).cloned().flatten(),
            format: facts.format.to_owned(),
            link_types: facts.link_types.iter().map(|link| link.0).collect(),
            frames: facts.frames,
            bytes: facts.bytes,
            first_time: facts.first_time.map(Timestamp::rfc3339),
            last_time: facts.last_time.map(Timestamp::rfc3339),
            snap_length: facts.snap_length,
            filter: facts.filter.clone(),
            kernel_filter: facts.widened.clone(),
            tls_secrets: facts.secrets.count(),
            vantage: clock.vantage.0,
            clock_offset_ms: millis(clock.error.ahead_nanos),
            clock_uncertainty_ms: clock.uncertainty_nanos.map(millis),
            clock_drift_ppm: (clock.error.drift_ppb != 0)
                .then(|| clock.error.drift_ppb as f64 / 1e3),
            clock_estimated_from: clock.estimated_from.map(estimated_from),
        }
    };
    analysis.inputs.iter().enumerate().map(input).collect()
}

fn millis(nanos: i64) -> f64 {
    nanos as f64 / 1e6
}

fn estimated_from(source: EstimatedFrom) -> String {
    match source {
        EstimatedFrom::SharedPackets(count) => format!("shared packets ({count})"),
        EstimatedFrom::NestedExchanges(count) => format!("nested exchanges ({count})"),
    }
}

fn summary(diagnosis: &found::Diagnosis) -> Summary {
    let mut by_cause = BTreeMap::new();
    for finding in &diagnosis.findings {
        *by_cause.entry(finding.code.to_owned()).or_default() += 1;
    }
    Summary {
        exchanges: diagnosis.health.exchanges,
        findings: diagnosis.findings.len() as u64,
        incidents: diagnosis.incidents.len() as u64,
        application_errors: diagnosis.health.application_errors,
        client_aborts: diagnosis.health.client_aborts,
        client_request_timeouts: diagnosis.health.client_request_timeouts,
        client_bad_requests: diagnosis.health.client_bad_requests,
        upstream_events: diagnosis.upstream_events.len() as u64,
        connections: diagnosis.health.connections,
        retransmissions: diagnosis.health.retransmissions,
        by_cause,
    }
}

/// How text that may quote the wire is taken into the report.
#[derive(Clone, Copy)]
struct Words {
    show_secrets: bool,
}

impl Words {
    fn sentence(self, text: &str) -> String {
        if self.show_secrets {
            text.to_owned()
        } else {
            redact::sentence(text)
        }
    }

    fn target(self, text: &str) -> String {
        if self.show_secrets {
            text.to_owned()
        } else {
            redact::target(text)
        }
    }

    fn sentences(self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.sentence(text)).collect()
    }

    fn optional(self, text: Option<&String>) -> Option<String> {
        text.map(|text| self.sentence(text))
    }

    fn names(self, analysis: &Analysis<'_>) -> BTreeMap<String, String> {
        if !analysis.show_names {
            return BTreeMap::new();
        }
        names::of(analysis.diagnosis, analysis.inputs)
            .into_iter()
            .map(|(addr, name)| (addr.to_string(), self.sentence(&name)))
            .collect()
    }

    fn loss(self, loss: &loss::Loss) -> Loss {
        let damage = |damage: &loss::Damage| Damage {
            input: damage.input,
            offset: damage.offset,
            what: self.sentence(&damage.what),
        };
        Loss {
            counters: loss
                .counters()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            skipped: loss
                .skipped_kinds()
                .map(|(name, count)| (self.sentence(name), count))
                .collect(),
            damage: loss.damage().iter().map(damage).collect(),
            truncated: loss.truncations().iter().map(damage).collect(),
        }
    }

    fn incident(
        self,
        incident: &found::Incident,
        confidences: BTreeMap<&'static str, u64>,
    ) -> Incident {
        let common = |common: &contrast::Common| Common {
            words: self.sentence(&common.words),
            failures: common.failures,
            successes: common.successes,
            successes_total: common.successes_total,
        };
        Incident {
            id: incident.id.clone(),
            cause: incident.code,
            gateway: incident.gateway.to_string(),
            upstream: incident.upstream.map(|upstream| upstream.to_string()),
            count: incident.findings.len() as u64,
            first_time: incident.first.rfc3339(),
            last_time: incident.last.rfc3339(),
            findings: incident.findings.clone(),
            clients: incident.clients,
            targets: incident.targets,
            went_well: incident.went_well,
            rate_per_minute: incident.rate_per_minute().map(rounded),
            upstream_failed: incident.failed_there,
            upstream_failed_share: incident.share_failed_there().map(rounded),
            in_common: incident.in_common.iter().map(common).collect(),
            confidences,
        }
    }

    fn finding(self, finding: &found::Finding) -> Finding {
        let product = finding.gateway.product.and_then(gateway::by_name);
        Finding {
            id: finding.id.clone(),
            time: finding.at.time.rfc3339(),
            failure: finding.failure.word(),
            status: finding.status,
            origin: finding.origin.word(),
            exchange: self.exchange(&finding.exchange),
            gateway: self.gateway(&finding.gateway),
            cause: self.cause(finding),
            confidence_reasons: self.sentences(&finding.confidence_reasons),
            contributing: finding.contributing.clone(),
            caused_by: finding.caused_by.clone(),
            upstream: finding.upstream.map(|address| Upstream {
                address: address.to_string(),
                connection: finding.upstream_connection.as_ref().map(connection),
                interchangeable: finding.interchangeable,
            }),
            tls: finding.handshake.as_deref().map(|it| self.tls(it)),
            attempts: finding
                .attempts
                .iter()
                .map(|attempt| self.attempt(attempt))
                .collect(),
            evidence: self.evidence(&finding.evidence, finding.exchange.request.time),
            ruled_out: self.ruled_out(&finding.ruled_out),
            not_observable: self.sentences(&finding.not_observable),
            log_wording: log_wording(product, finding.code, finding.status),
            next_steps: next_steps(product, finding.code),
            wireshark_filter: wireshark_filter(finding),
            incident: finding.incident.clone(),
        }
    }

    fn exchange(self, exchange: &found::FailedExchange) -> Exchange {
        Exchange {
            client: exchange.connection.client.to_string(),
            gateway: exchange.connection.server.to_string(),
            method: self.optional(exchange.method.as_ref()),
            target: exchange.target.as_ref().map(|target| self.target(target)),
            host: self.optional(exchange.host.as_ref()),
            http_version: exchange.http_version,
            request_time: exchange.request.time.rfc3339(),
            response_time: exchange.response.time.rfc3339(),
            input: exchange.request.frame.input(),
            response_input: exchange.response.frame.input(),
            tcp_stream: exchange.connection.tcp_stream,
            views: views(&exchange.connection),
            frames: ExchangeFrames {
                request: exchange.request.frame.number(),
                response: exchange.response.frame.number(),
            },
        }
    }

    fn gateway(self, gateway: &found::GatewayName) -> Gateway {
        Gateway {
            product: gateway.product,
            version: self.optional(gateway.version.as_ref()),
            identified_by: self.sentences(&gateway.identified_by),
        }
    }

    fn cause(self, finding: &found::Finding) -> Cause {
        let known = cause::by_code(finding.code);
        Cause {
            code: finding.code,
            detail: self.optional(finding.detail.as_ref()),
            title: known.map_or(finding.code, |cause| cause.title),
            explanation: known.map_or("", |cause| cause.explanation),
            confidence: finding.confidence.word(),
        }
    }

    fn attempt(self, attempt: &found::AttemptReport) -> Attempt {
        let frame = |mark: &crate::frame::Mark| FrameRef {
            input: mark.frame.input(),
            frame: mark.frame.number(),
        };
        Attempt {
            cause: attempt.cause,
            detail: self.optional(attempt.detail.as_ref()),
            upstream: attempt.upstream.map(|upstream| upstream.to_string()),
            connection: attempt.connection.as_ref().map(connection),
            start: attempt.start.rfc3339(),
            end: attempt.end.map(Timestamp::rfc3339),
            matched_by: self.sentences(&attempt.matched_by),
            frames: attempt.frames.iter().map(frame).collect(),
        }
    }

    fn tls(self, handshake: &found::Handshake) -> Tls {
        let certificates =
            |list: &[Facts]| list.iter().map(|facts| self.certificate(facts)).collect();
        Tls {
            server_name: self.optional(handshake.server_name.as_ref()),
            offered_versions: handshake.offered_versions.clone(),
            offered_protocols: self.sentences(&handshake.offered_protocols),
            offered_suites: handshake.offered_suites.clone(),
            ja4: handshake.ja4.clone(),
            resumption_offered: handshake.resumption_offered,
            early_data: handshake.early_data,
            retried: handshake.retried,
            version: handshake.version.clone(),
            suite: handshake.suite.clone(),
            protocol: self.optional(handshake.protocol.as_ref()),
            resumed: handshake.resumed,
            certificate_requested: handshake.certificate_requested,
            client_certificates: certificates(&handshake.client_certificates),
            renegotiated: handshake.renegotiated,
            certificates: certificates(&handshake.certificates),
            problems: self.sentences(&handshake.problems),
            ocsp: handshake.ocsp.clone(),
            judged: self.optional(handshake.judged.as_ref()),
            judged_by: self.optional(handshake.judged_by.as_ref()),
            not_decrypted: handshake.not_decrypted.clone(),
        }
    }

    fn certificate(self, facts: &Facts) -> Certificate {
        Certificate {
            subject: self.sentence(&facts.subject),
            names: self.sentences(&facts.names),
            issuer: self.sentence(&facts.issuer),
            not_before: facts.not_before.rfc3339(),
            not_after: facts.not_after.rfc3339(),
            key: facts.key.clone(),
            signature: facts.signature.clone(),
            self_signed: facts.self_issued,
        }
    }

    fn client_event(self, event: &found::ClientEvent) -> ClientEvent {
        let asked = event.at.time.plus_nanos(-event.waited_nanos);
        ClientEvent {
            cause: event.code,
            time: event.at.time.rfc3339(),
            client: event.client.to_string(),
            gateway: event.gateway.to_string(),
            tcp_stream: event.tcp_stream,
            status: event.status,
            waited_ms: event.at.time.millis_since(asked),
            patience_seconds: event.patience_seconds,
            evidence: self.evidence(&event.evidence, asked),
        }
    }

    fn evidence(self, evidence: &[found::Evidence], asked: Timestamp) -> Vec<Evidence> {
        let one = |evidence: &found::Evidence| Evidence {
            input: evidence.mark.frame.input(),
            frame: evidence.mark.frame.number(),
            time: evidence.mark.time.rfc3339(),
            offset_ms: evidence.mark.time.millis_since(asked),
            leg: evidence.leg.word(),
            summary: self.sentence(&evidence.summary),
        };
        evidence.iter().map(one).collect()
    }

    fn ruled_out(self, ruled_out: &[found::RuledOut]) -> Vec<RuledOut> {
        let one = |out: &found::RuledOut| RuledOut {
            code: out.code,
            reason: self.sentence(&out.reason),
        };
        ruled_out.iter().map(one).collect()
    }

    fn upstream_event(self, event: &found::UpstreamEvent) -> UpstreamEvent {
        UpstreamEvent {
            gateway: event.gateway.to_string(),
            attempt: self.attempt(&event.attempt),
        }
    }

    fn warning(self, warning: &found::Warning) -> Warning {
        Warning {
            code: warning.code,
            message: self.sentence(&warning.message),
            remedy: self.sentence(&warning.remedy),
        }
    }
}

fn connection(name: &found::ConnectionName) -> Connection {
    Connection {
        client: name.client.to_string(),
        server: name.server.to_string(),
        tcp_stream: name.tcp_stream,
        views: views(name),
    }
}

fn views(name: &found::ConnectionName) -> Vec<Sighting> {
    name.views
        .iter()
        .map(|view| Sighting {
            client: view.client.to_string(),
            server: view.server.to_string(),
            tcp_stream: view.tcp_stream,
            input: view.id.0.input(),
            frame: view.id.0.number(),
        })
        .collect()
}

/// The product's advice for the family of the cause, then the cause's own.
fn next_steps(product: Option<&Product>, code: &str) -> Vec<String> {
    let Some(cause) = cause::by_code(code) else {
        return Vec::new();
    };
    let advice = product
        .into_iter()
        .flat_map(|product| product.advice)
        .filter(|(family, _)| *family == cause.family)
        .map(|(_, advice)| *advice);
    advice
        .chain(cause.next_steps.iter().copied())
        .map(str::to_owned)
        .collect()
}

/// What the log of the product says; of every product when it is not known.
fn log_wording(
    product: Option<&'static Product>,
    code: &str,
    status: Option<u16>,
) -> Vec<LogWording> {
    match product {
        Some(product) => wordings_of(product, code, status),
        None => gateway::GATEWAYS
            .iter()
            .flat_map(|product| wordings_of(product, code, status))
            .take(LOG_WORDINGS_MAX)
            .collect(),
    }
}

/// The rows of a product for a cause: those that give the status that was seen, or all when none does.
fn wordings_of(product: &'static Product, code: &str, status: Option<u16>) -> Vec<LogWording> {
    let rows = || {
        product
            .rows
            .iter()
            .filter(|row| row.code == code && !row.log.is_empty())
    };
    // A row says 0 for a close without a status.
    let seen = status.unwrap_or(0);
    let gives_status = |row: &&'static Row| row.statuses.is_empty() || row.statuses.contains(&seen);
    let any_gives = rows().any(|row| gives_status(&row));
    rows()
        .filter(|row| !any_gives || gives_status(row))
        .map(|row| LogWording {
            product: product.name,
            text: row.log,
        })
        .collect()
}

/// A display filter by addresses and ports, because stream numbers differ between programs and files.
fn wireshark_filter(finding: &found::Finding) -> String {
    let mut parts = vec![connection_filter(&finding.exchange.connection)];
    let attempts = finding
        .attempts
        .iter()
        .rev()
        .filter_map(|attempt| attempt.connection.as_ref());
    for name in finding.upstream_connection.iter().chain(attempts) {
        let part = connection_filter(name);
        if parts.len() <= FILTER_CONNECTIONS_MAX && !parts.contains(&part) {
            parts.push(part);
        }
    }
    let on = |leg: found::Leg| finding.evidence.iter().any(|evidence| evidence.leg == leg);
    if on(found::Leg::Dns) {
        parts.push("dns".to_owned());
    }
    if on(found::Leg::Link) {
        parts.push("arp || icmpv6.type == 135 || icmpv6.type == 136".to_owned());
    }
    parts.join(" || ")
}

fn connection_filter(name: &found::ConnectionName) -> String {
    let field = if name.client.addr.is_ipv6() {
        "ipv6"
    } else {
        "ip"
    };
    let (client, server) = (name.client, name.server);
    let addresses = if client.addr == server.addr {
        format!("{field}.addr == {}", client.addr)
    } else {
        format!(
            "{field}.addr == {} && {field}.addr == {}",
            client.addr, server.addr
        )
    };
    format!(
        "({addresses} && tcp.port == {} && tcp.port == {})",
        client.port, server.port
    )
}

/// A number to three decimals.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
