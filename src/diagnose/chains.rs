//! Chains of certificates, each kept once. In: steps of handshakes. Out: the same steps, sharing what is the same, and
//! which certificates end soon.
//!
//! The rule: a hundred thousand connections show the same few chains. What no connection shows any more is forgotten
//! first; beyond the limit a chain is left out and counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::diagnose::certificate;
use crate::diagnose::finding::Warning;
use crate::flow::{Direction, Endpoint};
use crate::frame::Mark;
use crate::loss::Loss;
use crate::protocol::observation::{Chain, TlsStep};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most bytes of certificates that are kept: 10,000 usual chains. Clients with certificates have one each.
pub const CHAINS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most servers of which it is told that their certificate ends soon.
pub const EXPIRING_MAX: usize = 256;
/// A certificate that ends within this is told, nanoseconds: two weeks, when automatic renewal has failed for some time.
pub const SOON_NANOS: i64 = 14 * 24 * 3_600 * NANOS_PER_SECOND;

/// The chains that were seen.
#[derive(Debug, Default)]
pub struct Chains {
    /// Each with the last day of its first certificate, where that can be read.
    known: HashMap<Arc<Chain>, Option<Timestamp>>,
    bytes: usize,
    expiring: BTreeMap<Endpoint, (Timestamp, Mark, Arc<Chain>)>,
}

impl Chains {
    /// The step as it is remembered; `None` where its chain is left out.
    pub(super) fn kept(
        &mut self,
        step: &TlsStep,
        server: Endpoint,
        at: Mark,
        loss: &mut Loss,
    ) -> Option<TlsStep> {
        let TlsStep::Certificate { direction, chain } = step else {
            return Some(step.clone());
        };
        let Some((chain, last_day)) = self.shared(chain) else {
            loss.add("tls_chains_not_kept", 1);
            return None;
        };
        if let (Direction::ToClient, Some(last_day)) = (*direction, last_day) {
            let left = last_day.nanos_since(at.time);
            let room = self.expiring.len() < EXPIRING_MAX;
            if (0..=SOON_NANOS).contains(&left) && room {
                self.expiring
                    .entry(server)
                    .or_insert((last_day, at, Arc::clone(&chain)));
            }
        }
        Some(TlsStep::Certificate {
            direction: *direction,
            chain,
        })
    }

    fn shared(&mut self, chain: &Arc<Chain>) -> Option<(Arc<Chain>, Option<Timestamp>)> {
        if let Some((known, last_day)) = self.known.get_key_value(chain) {
            return Some((Arc::clone(known), *last_day));
        }
        let len = len_of(chain);
        if self.bytes.saturating_add(len) > CHAINS_BYTES_MAX {
            self.known.retain(|chain, _| Arc::strong_count(chain) > 1);
            self.bytes = self.known.keys().map(|chain| len_of(chain)).sum();
        }
        if self.bytes.saturating_add(len) > CHAINS_BYTES_MAX {
            return None;
        }
        self.bytes += len;
        let first = chain.certificates.first();
        let last_day = first.and_then(|der| Some(certificate::read(der)?.not_after));
        self.known.insert(Arc::clone(chain), last_day);
        Some((Arc::clone(chain), last_day))
    }

    /// Warns of certificates that end soon after the capture.
    pub(super) fn warn(&self, warnings: &mut Vec<Warning>) {
        const DAY_NANOS: i64 = 24 * 3_600 * NANOS_PER_SECOND;
        for (server, (last_day, at, chain)) in &self.expiring {
            let first = chain.certificates.first();
            let Some(first) = first.and_then(|der| certificate::read(der)) else {
                continue;
            };
            let days = last_day.nanos_since(at.time) / DAY_NANOS;
            warnings.push(Warning {
                code: "certificate-expires-soon",
                message: format!(
                    "the certificate of {server} ({}) expires at {}, {days} days after frame {} that shows it",
                    first.subject,
                    last_day.rfc3339().get(..19).unwrap_or_default(),
                    at.frame.number()
                ),
                remedy: "renew it, and reload what serves it; every gateway that verifies will refuse it then".to_owned(),
            });
        }
    }
}

/// What a chain takes, bytes; never 0, so that empty ones are bounded too.
fn len_of(chain: &Chain) -> usize {
    const OVERHEAD: usize = 64;
    let bytes: usize = chain.certificates.iter().map(|der| der.len()).sum();
    bytes + OVERHEAD * (1 + chain.certificates.len())
}
