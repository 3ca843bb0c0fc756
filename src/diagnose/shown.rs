//! What the report says of a handshake. In: the record of an upstream connection. Out: offer, choice, certificates and what
//! is wrong with them.
//!
//! The rule: facts for the reader; no verdict is made here.

use std::sync::Arc;

use crate::diagnose::certificate;
use crate::diagnose::finding::Handshake;
use crate::diagnose::handshake::{suite_name, version_name};
use crate::diagnose::ocsp;
use crate::diagnose::record::ConnectionRecord;
use crate::diagnose::trust::Trust;
use crate::diagnose::undecrypted;
use crate::flow::Direction;
use crate::frame::Mark;
use crate::protocol::observation::{Chain, TlsStep};

/// Most cipher suites of an offer that are told.
pub const SUITES_TOLD_MAX: usize = 64;

/// The handshake of a connection; `None` where no ClientHello was seen.
#[must_use]
pub fn handshake(record: &ConnectionRecord, trust: &Trust) -> Option<Handshake> {
    let mut found: Option<Handshake> = None;
    let mut chain: Option<(&Arc<Chain>, Mark)> = None;
    for (step, at) in &record.tls {
        if let Some(offer) = offer(step) {
            found.get_or_insert(offer);
        }
        if let TlsStep::Certificate {
            direction: Direction::ToClient,
            chain: shown,
        } = step
        {
            chain.get_or_insert((shown, *at));
        }
        if let Some(found) = &mut found {
            add(found, step, *at);
        }
    }
    let mut found = found?;
    if let Some((chain, at)) = chain {
        let asked = found.server_name.as_deref();
        found.problems = certificate::problems(chain, at.time, asked)
            .iter()
            .map(certificate::Problem::words)
            .collect();
        let judged = trust.judge(chain, at.time, asked);
        found.certificates = facts(chain);
        if let Some(judged) = judged {
            found.judged = Some(judged.words);
            found.judged_by = Some(judged.by);
        }
    }
    Some(found)
}

fn facts(chain: &Chain) -> Vec<certificate::Facts> {
    chain
        .certificates
        .iter()
        .filter_map(|der| certificate::read(der))
        .collect()
}

fn offer(step: &TlsStep) -> Option<Handshake> {
    let TlsStep::ClientHello(offer) = step else {
        return None;
    };
    Some(Handshake {
        server_name: offer.sni.as_deref().map(str::to_owned),
        offered_versions: offer.versions.iter().map(|it| version_name(*it)).collect(),
        offered_protocols: offer.alpn.iter().map(|it| it.to_string()).collect(),
        offered_suites: offer
            .suites
            .iter()
            .take(SUITES_TOLD_MAX)
            .map(|it| suite_name(*it))
            .collect(),
        ja4: (!offer.ja4.is_empty()).then(|| offer.ja4.to_string()),
        resumption_offered: offer.resumes,
        early_data: offer.early_data,
        ..Handshake::default()
    })
}

fn add(found: &mut Handshake, step: &TlsStep, at: Mark) {
    match step {
        TlsStep::Retry => found.retried = true,
        TlsStep::ServerHello {
            version,
            suite,
            alpn,
            resumed,
        } => {
            found.version = Some(version_name(*version));
            found.suite = Some(suite_name(*suite));
            found.protocol = alpn.as_deref().map(str::to_owned);
            found.resumed = *resumed;
        }
        TlsStep::CertificateRequested => found.certificate_requested = true,
        TlsStep::Certificate {
            direction: Direction::ToServer,
            chain,
        } => found.client_certificates = facts(chain),
        TlsStep::OcspResponse { der } => found.ocsp = Some(ocsp::words(der, at.time)),
        TlsStep::Renegotiation => found.renegotiated = true,
        TlsStep::NotDecrypted { why } => found.not_decrypted = Some(undecrypted::words(*why)),
        _ => {}
    }
}
