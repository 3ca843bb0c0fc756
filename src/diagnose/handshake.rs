//! The handshake of an attempt, put together from its steps. In: an attempt. Out: who offered, chose, showed and refused
//! what, and the words for it.
//!
//! The rule: the first refusal decides; an alert that follows the other side's is a consequence. What TLS 1.3 encrypts is
//! a guess from sizes, and marked as one.

use std::sync::Arc;

use crate::diagnose::attempt::{Attempt, Verdict, alert_name};
use crate::diagnose::certificate::{self, Problem};
use crate::diagnose::finding::Confidence;
use crate::diagnose::host::Accepted;
use crate::flow::{Direction, Endpoint};
use crate::frame::Mark;
use crate::protocol::observation::{Chain, TlsStep};

/// The version number of TLS 1.3.
pub const TLS13: u16 = 0x0304;
/// The alert level that ends a connection (RFC 8446, section 6).
const FATAL: u8 = 2;
/// A gateway that refuses after the handshake does so at once, nanoseconds: it has all it needs to verify.
pub const AT_ONCE_NANOS: i64 = 250_000_000;
/// Most names of a certificate that are told in a sentence.
const NAMES_TOLD_MAX: usize = 4;

/// What the gateway offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Server name asked for.
    pub sni: Option<&'a str>,
    /// Application protocols.
    pub alpn: &'a [Box<str>],
    /// Versions, highest first.
    pub versions: &'a [u16],
    /// Cipher suites.
    pub suites: &'a [u16],
    /// Its frame.
    pub at: Mark,
}

/// What the upstream chose.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Version.
    pub version: u16,
    /// Cipher suite.
    pub suite: u16,
    /// Application protocol, where it is in clear.
    pub alpn: Option<&'a str>,
    /// Its frame.
    pub at: Mark,
}

/// A fatal alert.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Its number (RFC 8446, section 6).
    pub alert: u8,
    /// Its frame.
    pub at: Mark,
}

/// A handshake as far as it went by the time of the gateway's answer.
#[derive(Clone, Debug)]
pub struct Story<'a> {
    /// The upstream.
    pub server: Endpoint,
    /// What the gateway offered.
    pub offer: Offer<'a>,
    /// What the upstream chose.
    pub choice: Option<Choice<'a>>,
    /// The upstream's certificates, where they can be read.
    pub chain: Option<(&'a Arc<Chain>, Mark)>,
    /// The upstream asked for a certificate.
    pub requested: Option<Mark>,
    /// The gateway's certificates, where they can be read; an empty chain: it has none.
    pub own: Option<(&'a Arc<Chain>, Mark)>,
    /// A record of the size of an empty Certificate message came from the gateway.
    pub none_like: Option<Mark>,
    /// The handshake was complete, as far as can be seen.
    pub done: Option<Mark>,
    /// The gateway's first application data.
    pub asked: Option<Mark>,
    /// The upstream's first application data.
    pub answered: Option<Mark>,
    /// The upstream's fatal alert, where it came first.
    pub refused: Option<Refusal>,
    /// The gateway's fatal alert, where it came first.
    pub rejected: Option<Refusal>,
    /// What looks like an alert of the gateway, encrypted.
    pub sealed_rejection: Option<Mark>,
    /// What looks like an alert of the upstream, encrypted.
    pub sealed_refusal: Option<Mark>,
}

impl<'a> Story<'a> {
    /// The handshake of an attempt; `None` where no ClientHello was seen.
    #[must_use]
    pub fn of(attempt: &Attempt<'a>) -> Option<Self> {
        let steps = &attempt.connection.tls;
        let (offer, rest) = steps.iter().enumerate().find_map(|(place, (step, at))| {
            let TlsStep::ClientHello(offered) = step else {
                return None;
            };
            let offer = Offer {
                sni: offered.sni.as_deref(),
                alpn: &offered.alpn,
                versions: &offered.versions,
                suites: &offered.suites,
                at: *at,
            };
            Some((offer, steps.get(place + 1..).unwrap_or_default()))
        })?;
        let mut story = Self {
            server: attempt.connection.facts.server,
            offer,
            choice: None,
            chain: None,
            requested: None,
            own: None,
            none_like: None,
            done: None,
            asked: None,
            answered: None,
            refused: None,
            rejected: None,
            sealed_rejection: None,
            sealed_refusal: None,
        };
        for (step, at) in rest.iter().filter(|(_, at)| at.time <= attempt.until) {
            story.add(step, *at);
        }
        story.only_the_first(attempt);
        Some(story)
    }

    fn add(&mut self, step: &'a TlsStep, at: Mark) {
        let first = |place: &mut Option<Mark>| {
            place.get_or_insert(at);
        };
        match step {
            TlsStep::ServerHello {
                version,
                suite,
                alpn,
                ..
            } => {
                self.choice = Some(Choice {
                    version: *version,
                    suite: *suite,
                    alpn: alpn.as_deref(),
                    at,
                });
            }
            TlsStep::Certificate {
                direction: Direction::ToClient,
                chain,
            } => self.chain = self.chain.or(Some((chain, at))),
            TlsStep::Certificate { chain, .. } => self.own = self.own.or(Some((chain, at))),
            TlsStep::CertificateRequested => first(&mut self.requested),
            TlsStep::NoCertificateLike => first(&mut self.none_like),
            TlsStep::Finished => first(&mut self.done),
            TlsStep::ApplicationData {
                direction: Direction::ToServer,
            } => first(&mut self.asked),
            TlsStep::ApplicationData { .. } => first(&mut self.answered),
            TlsStep::EncryptedAlertLike {
                direction: Direction::ToServer,
                ..
            } => first(&mut self.sealed_rejection),
            TlsStep::EncryptedAlertLike { .. } => first(&mut self.sealed_refusal),
            TlsStep::Alert {
                direction,
                level: FATAL,
                description,
                ..
            } => {
                let place = match direction {
                    Direction::ToClient => &mut self.refused,
                    Direction::ToServer => &mut self.rejected,
                };
                place.get_or_insert(Refusal {
                    alert: *description,
                    at,
                });
            }
            _ => {}
        }
    }

    /// Of two alerts, and of an alert and a close of the other side, the earlier one counts.
    fn only_the_first(&mut self, attempt: &Attempt<'_>) {
        if let (Some(theirs), Some(own)) = (self.refused, self.rejected) {
            if theirs.at <= own.at {
                self.rejected = None;
            } else {
                self.refused = None;
            }
        }
        let closed = attempt.closed_by_upstream().map(|close| close.closing.mark);
        let late = |at: Mark| closed.is_some_and(|closed| closed < at);
        self.rejected = self.rejected.filter(|alert| !late(alert.at));
        self.sealed_rejection = self.sealed_rejection.filter(|at| !late(*at));
    }

    /// Whether all after the hellos is encrypted.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.choice.is_some_and(|choice| choice.version == TLS13) && self.chain.is_none()
    }

    /// The upstream's fatal alert, when it is one of these.
    #[must_use]
    pub fn refused_by(&self, alerts: &[u8]) -> Option<Refusal> {
        self.refused.filter(|alert| alerts.contains(&alert.alert))
    }

    /// The gateway's fatal alert, when it is one of these.
    #[must_use]
    pub fn rejected_by(&self, alerts: &[u8]) -> Option<Refusal> {
        self.rejected.filter(|alert| alerts.contains(&alert.alert))
    }

    /// A verdict that the upstream's alert ended it: the hello and the alert.
    #[must_use]
    pub fn refusal(&self, alert: Refusal) -> Verdict {
        let name = alert_name(alert.alert);
        self.told(Verdict::seen(alert.at))
            .proof(
                alert.at,
                format!(
                    "{} answers with the fatal alert {} ({name})",
                    self.server, alert.alert
                ),
            )
            .not("tls-handshake-closed", "an alert came before the close")
    }

    /// A verdict that the gateway's alert ended it: the hello, the certificates and the alert.
    #[must_use]
    pub fn rejection(&self, alert: Refusal) -> Verdict {
        let name = alert_name(alert.alert);
        self.shown(self.told(Verdict::gave_up(alert.at)))
            .proof(
                alert.at,
                format!(
                    "the gateway answers with the fatal alert {} ({name})",
                    alert.alert
                ),
            )
            .not("tls-alert-from-upstream", "the alert is the gateway's own")
    }

    /// When the gateway refused what the upstream had shown without a word in clear: an encrypted alert in the handshake,
    /// or a close right after it without a request.
    #[must_use]
    pub fn silent_rejection(&self, attempt: &Attempt<'_>) -> Option<Mark> {
        self.choice?;
        if self.asked.is_some() || self.rejected.is_some() || self.refused.is_some() {
            return None;
        }
        match self.done {
            // Later it is patience that ended.
            None => self.sealed_rejection.filter(|at| {
                let flight = attempt.connection.facts.from_server.last_data;
                flight.is_some_and(|flight| at.time.nanos_since(flight.time) <= AT_ONCE_NANOS)
            }),
            // Its close_notify may be all that it says before the other side's FIN.
            Some(done) => attempt
                .closed_by_gateway()
                .map(|close| close.closing.mark)
                .into_iter()
                .chain(self.sealed_rejection)
                .min()
                .filter(|at| at.time.nanos_since(done.time) <= AT_ONCE_NANOS),
        }
    }

    /// The verdict for it, where `at` is what [`Story::silent_rejection`] gave.
    #[must_use]
    pub fn rejected_in_silence(&self, at: Mark) -> Verdict {
        let what = match self.done {
            Some(_) => "the gateway completes the handshake and closes at once, without a request",
            None => {
                "the gateway answers the upstream's flight with an encrypted record of the size of an alert"
            }
        };
        self.shown(self.told(Verdict::gave_up(at)))
            .proof(at, what)
            .not("tls-handshake-closed", "the gateway ended it")
    }

    /// The offer as proof.
    #[must_use]
    pub fn told(&self, verdict: Verdict) -> Verdict {
        let verdict = verdict.proof(
            self.offer.at,
            format!(
                "the gateway sends a TLS ClientHello to {}: {}",
                self.server,
                self.offer.words()
            ),
        );
        match self.choice {
            Some(choice) => verdict.proof(
                choice.at,
                format!(
                    "{} chooses {} with {}",
                    self.server,
                    version_name(choice.version),
                    suite_name(choice.suite)
                ),
            ),
            None => verdict,
        }
    }

    /// The upstream's certificate as proof, and what is wrong with it.
    #[must_use]
    pub fn shown(&self, verdict: Verdict) -> Verdict {
        let Some((chain, at)) = self.chain else {
            return verdict;
        };
        let mut words = match chain.certificates.first().map(|der| certificate::read(der)) {
            Some(Some(first)) => format!(
                "{} shows a certificate for {}, issued by {}",
                self.server,
                names_in_words(&first),
                first.issuer
            ),
            Some(None) => format!("{} shows a certificate that cannot be read", self.server),
            None => format!("{} shows no certificate", self.server),
        };
        for problem in self.problems() {
            words.push_str("; ");
            words.push_str(&problem.words());
        }
        verdict.proof(at, words)
    }

    /// What is wrong with the upstream's certificates at the moment of the capture, against the name asked for.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.chain.map_or_else(Vec::new, |(chain, at)| {
            certificate::problems(chain, at.time, self.offer.sni)
        })
    }

    /// The problems for which every client that verifies refuses.
    #[must_use]
    pub fn fatal_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems();
        problems.retain(Problem::is_fatal);
        problems
    }

    /// The verdict where the gateway refused the certificate, without a word or with one that does not say why, and exactly
    /// this problem explains it: likely, since only the gateway knows what it verifies.
    #[must_use]
    pub fn rejected_for(
        &self,
        attempt: &Attempt<'_>,
        is_it: fn(&Problem) -> bool,
    ) -> Option<Verdict> {
        let problems = self.fatal_problems();
        let problem = problems.iter().find(|problem| is_it(problem))?;
        let verdict = match self.rejected_by(UNTOLD) {
            Some(alert) => self.rejection(alert),
            None => self.rejected_in_silence(self.silent_rejection(attempt)?),
        };
        // One chain may be wrong in the same way at two places; another problem is another explanation.
        let sole = problems.iter().all(is_it);
        let confidence = if sole {
            Confidence::Likely
        } else {
            Confidence::Possible
        };
        let verdict = verdict.at_most(
            confidence,
            format!(
                "the gateway does not say in clear why it refused: {}",
                problem.words()
            ),
        );
        if sole {
            return Some(verdict);
        }
        Some(verdict.at_most(
            Confidence::Possible,
            "the certificate has more than one fault, and the gateway may have minded the other",
        ))
    }
}

/// Alerts of a client that mean its peer's certificate and do not say what is wrong with it: 42, 43, 46; and 80, which
/// OpenSSL sends where the name does not fit.
const UNTOLD: &[u8] = &[42, 43, 46, 80];

impl Offer<'_> {
    /// The offer in words.
    #[must_use]
    pub fn words(&self) -> String {
        let highest = self.versions.first().copied().unwrap_or_default();
        let mut words = format!("at most {}", version_name(highest));
        match self.sni {
            Some(name) => words.push_str(&format!(", for the name {name}")),
            None => words.push_str(", for no name"),
        }
        if !self.alpn.is_empty() {
            words.push_str(&format!(", to speak {}", self.alpn.join(" or ")));
        }
        words
    }

    /// A version above that the server took from others, with its frame and in words.
    #[must_use]
    pub fn falls_short_of(&self, accepted: &[Accepted]) -> Option<(Mark, String)> {
        let highest = self.versions.first().copied()?;
        let version = accepted.iter().find(|other| other.version > highest)?;
        let words = format!(
            "the same upstream chose {} with {}; this gateway offers at most {}",
            version_name(version.version),
            version.client.addr,
            version_name(highest)
        );
        Some((version.at, words))
    }

    /// The same for suites: none of those that the server chose elsewhere is offered.
    #[must_use]
    pub fn shares_no_suite_of(&self, accepted: &[Accepted]) -> Option<(Mark, String)> {
        let other = accepted.first()?;
        let none = accepted
            .iter()
            .all(|other| !self.suites.contains(&other.suite));
        (none && !self.suites.is_empty()).then(|| {
            let words = format!(
                "the same upstream chose {} with {}, which this gateway does not offer",
                suite_name(other.suite),
                other.client.addr
            );
            (other.at, words)
        })
    }
}

fn names_in_words(first: &certificate::Facts) -> String {
    let names = match (first.names.as_slice(), &first.common_name) {
        ([], Some(name)) => return format!("{name} (in the common name alone)"),
        ([], None) => return first.subject.clone(),
        (names, _) => names,
    };
    let told = names.get(..NAMES_TOLD_MAX).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NAMES_TOLD_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// `TLS 1.2`.
#[must_use]
pub fn version_name(version: u16) -> String {
    match version {
        0x0002 => "SSL 2.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        other => format!("version {other:#06x}"),
    }
}

/// The registered name of a cipher suite, as far as rustls knows it.
#[must_use]
pub fn suite_name(suite: u16) -> String {
    let name = format!("{:?}", rustls::CipherSuite::from(suite));
    if name.starts_with("Unknown") {
        format!("suite {suite:#06x}")
    } else {
        name
    }
}
