//! Connections that the secrets at hand do not open. In: what the TLS reader tells. Out: a warning for each reason, with the
//! connections that it concerns.
//!
//! The rule: who gives secrets expects clear text, and is told where there is none, and why.

use std::collections::BTreeMap;

use crate::diagnose::finding::Warning;
use crate::flow::Endpoint;
use crate::frame::Mark;
use crate::protocol::observation::NotDecrypted;
use crate::protocol::tls::open::suite_name;

/// Most connections that are named for a reason: what fits a glance; the loss counts all of them.
const NAMED_MAX: usize = 8;
/// Most reasons that are told apart: six kinds, and the suites and versions that real servers choose.
const REASONS_MAX: usize = 32;

/// Connections that were not decrypted, by the reason.
#[derive(Debug, Default)]
pub(super) struct Undecrypted {
    reasons: BTreeMap<NotDecrypted, Concerned>,
}

#[derive(Debug, Default)]
struct Concerned {
    count: u64,
    named: Vec<(Endpoint, Endpoint, Mark)>,
}

impl Undecrypted {
    /// Notes a connection of `client` and `server`, and the frame that shows it.
    pub(super) fn note(&mut self, why: NotDecrypted, client: Endpoint, server: Endpoint, at: Mark) {
        if self.reasons.len() >= REASONS_MAX && !self.reasons.contains_key(&why) {
            return;
        }
        let concerned = self.reasons.entry(why).or_default();
        concerned.count = concerned.count.saturating_add(1);
        if concerned.named.len() < NAMED_MAX {
            concerned.named.push((client, server, at));
        }
    }

    /// Adds the warnings.
    pub(super) fn warn(&self, warnings: &mut Vec<Warning>) {
        for (why, concerned) in &self.reasons {
            let named = concerned.named.iter().map(|(client, server, at)| {
                format!("{client} -> {server} (frame {})", at.frame.number())
            });
            let mut named: Vec<String> = named.collect();
            let more = concerned.count.saturating_sub(named.len() as u64);
            if more > 0 {
                named.push(format!("{more} more"));
            }
            warnings.push(Warning {
                code: "not-decrypted",
                message: format!("not decrypted, {}: {}", words(*why), named.join(", ")),
                remedy: remedy(*why).to_owned(),
            });
        }
    }
}

/// Why a connection was not decrypted.
#[must_use]
pub fn words(why: NotDecrypted) -> String {
    match why {
        NotDecrypted::NoSecret => "no secret of it was given".to_owned(),
        NotDecrypted::Incomplete => "some of its secrets were given, others are missing".to_owned(),
        NotDecrypted::Suite(suite) => format!("the suite {} cannot be read", suite_name(suite)),
        NotDecrypted::Version(version) => {
            format!("version 0x{version:04x} of TLS cannot be read")
        }
        NotDecrypted::NotAuthentic => {
            "the secrets that were given for it do not fit its records".to_owned()
        }
        NotDecrypted::Joined => "its handshake is not, or not whole, in the capture".to_owned(),
    }
}

fn remedy(why: NotDecrypted) -> &'static str {
    match why {
        NotDecrypted::NoSecret => {
            "let the process at one of the two ends write its key log (SSLKEYLOGFILE) while you capture, and give that"
        }
        NotDecrypted::Incomplete => {
            "give the whole key log: TLS 1.3 needs four lines of each connection"
        }
        NotDecrypted::Suite(_) | NotDecrypted::Version(_) => {
            "capture where the traffic is in clear; TLS 1.2 and 1.3 with AES-GCM, ChaCha20 or AES-CBC are read"
        }
        NotDecrypted::NotAuthentic => {
            "give the key log that was written during this very capture, and look whether frames are missing"
        }
        NotDecrypted::Joined => {
            "begin the capture before the connections do: restart the gateway's workers, or lower its keep-alive, while it runs"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::frame::FrameId;

    fn end(port: u16) -> Endpoint {
        Endpoint {
            addr: IpAddr::from([10, 0, 0, 1]),
            port,
        }
    }

    #[test]
    fn each_reason_names_its_connections_and_counts_the_rest() {
        let mut undecrypted = Undecrypted::default();
        for port in 1..=10 {
            let at = Mark {
                frame: FrameId::new(0, u64::from(port)),
                ..Mark::default()
            };
            undecrypted.note(NotDecrypted::NoSecret, end(port), end(443), at);
        }
        undecrypted.note(NotDecrypted::Joined, end(20), end(443), Mark::default());
        let mut warnings = Vec::new();
        undecrypted.warn(&mut warnings);
        let [none, joined] = warnings.as_slice() else {
            panic!("{warnings:?}");
        };
        assert!(
            none.message
                .contains("10.0.0.1:8 -> 10.0.0.1:443 (frame 8), 2 more")
        );
        assert!(joined.message.contains("its handshake"));
    }

    #[test]
    fn reasons_are_bounded() {
        let mut undecrypted = Undecrypted::default();
        for suite in 0..1_000 {
            undecrypted.note(
                NotDecrypted::Suite(suite),
                end(1),
                end(443),
                Mark::default(),
            );
        }
        assert_eq!(undecrypted.reasons.len(), REASONS_MAX);
    }
}
