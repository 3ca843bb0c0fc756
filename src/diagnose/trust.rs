//! Whether a chain is trusted. In: roots, a chain, a moment and a name. Out: what a client that trusts just these roots would
//! say (RFC 5280, section 6), in words.
//!
//! The rule: the gateway's own roots are not in the capture. So the words say which roots judged, and no verdict rests on
//! them alone unless the user named them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use crate::capture::Roots;
use crate::diagnose::certificate;
use crate::protocol::observation::Chain;
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Who judges.
#[derive(Clone, Default)]
pub struct Trust {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    described: String,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("described", &self.described)
            .finish_non_exhaustive()
    }
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is said of the chain.
    pub words: String,
    /// Which roots judged.
    pub by: String,
}

impl Trust {
    /// Trusts these roots; those that cannot be read are left out.
    #[must_use]
    pub fn of(roots: &Roots) -> Self {
        let mut store = RootCertStore::empty();
        let der = roots.certificates.iter().cloned().map(CertificateDer::from);
        let (taken, _) = store.add_parsable_certificates(der);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        Self {
            verifier: verifier.ok(),
            described: format!(
                "{taken} roots of {}; the gateway's own may differ",
                roots.described
            ),
        }
    }

    /// What a client says of a chain at a moment. `asked`: the name that it asked for; without one the chain alone is
    /// judged. `None`: there are no roots, or there is nothing to judge.
    #[must_use]
    pub fn judge(&self, chain: &Chain, at: Timestamp, asked: Option<&str>) -> Option<Judgement> {
        let verifier = self.verifier.as_ref()?;
        let (first, others) = chain.certificates.split_first()?;
        let own = certificate::read(first)?;
        let name = asked
            .or(own.names.first().map(String::as_str))
            .map(|name| name.trim_start_matches("*."))
            .and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let words = match name {
            None => "it has no name that could be verified".to_owned(),
            Some(name) => {
                let others: Vec<CertificateDer<'_>> = others
                    .iter()
                    .map(|der| CertificateDer::from(&**der))
                    .collect();
                let seconds = u64::try_from(at.0 / NANOS_PER_SECOND).unwrap_or_default();
                let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
                let first = CertificateDer::from(&**first);
                let verified = verifier.verify_server_cert(&first, &others, &name, &[], now);
                words(verified.err(), asked)
            }
        };
        Some(Judgement {
            words,
            by: self.described.clone(),
        })
    }
}

fn words(error: Option<Error>, asked: Option<&str>) -> String {
    let Some(error) = error else {
        return match asked {
            Some(name) => format!("valid for {name}"),
            None => "a valid chain; no name was asked for".to_owned(),
        };
    };
    match error {
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "not valid yet".to_owned()
            }
            CertificateError::UnknownIssuer => "from an unknown issuer".to_owned(),
            CertificateError::Revoked => "revoked".to_owned(),
            CertificateError::NotValidForName => "not valid for the name asked for".to_owned(),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "not valid for the name asked for, but for {}",
                presented.join(", ")
            ),
            other => format!("not valid: {other}"),
        },
        other => format!("not valid: {other}"),
    }
}
