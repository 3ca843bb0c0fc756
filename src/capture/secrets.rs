//! Decryption secrets that a capture brings along. In: the bodies of pcapng decryption secrets blocks (section 4.7 of the
//! draft). Out: the TLS key logs among them, and how many secrets of what kind there are.
//!
//! The rule: a secret is handed on and never shown: not in a report, not in a log, not by Debug. What is kept is bounded,
//! what is not kept is counted. Left out: what the secrets say; whoever decrypts reads them.

mod file;
mod keys;
mod private;

use std::fmt;
use std::sync::Arc;

use crate::capture::window::Order;
use crate::loss::{Loss, LossName};

pub use file::{KEY_LOG_BYTES_MAX, KeyLogFile};
pub use keys::{Keys, Label, SESSIONS_MAX, Secret, Session};
pub use private::{PREMASTER, PrivateKey};

/// Most bytes of TLS key logs that are kept: about 20,000 sessions of TLS 1.3, which log five lines of 170 bytes each.
pub const SECRETS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a key log takes beside its bytes, so that empty ones are bounded too.
const LOG_OVERHEAD: usize = 64;

/// TLS secrets beyond [`SECRETS_BYTES_MAX`].
pub const SECRETS_NOT_KEPT: LossName = "tls_secrets_not_kept";

/// The type of a TLS key log (`TLSK`).
pub(super) const TLS_KEY_LOG: u32 = 0x544c_534b;

/// Fields of a line of a key log: label, client random, secret.
const FIELDS: usize = 3;

/// TLS key logs of one input, in the format of NSS (SSLKEYLOGFILE), in order of appearance.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Shared, so that a copy of the facts of an input copies no secret.
    logs: Vec<Arc<[u8]>>,
    bytes: usize,
    count: u64,
}

impl fmt::Debug for Secrets {
    /// How many, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// The key logs but for the first `known`, in order of appearance.
    pub fn key_logs(&self, known: usize) -> impl Iterator<Item = &[u8]> {
        self.logs.iter().skip(known).map(AsRef::as_ref)
    }

    /// How many secrets they hold: lines that look like one.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Takes a block's body; `None` when it contradicts itself.
    pub(super) fn read(&mut self, order: Order, body: &[u8], loss: &mut Loss) -> Option<()> {
        let kind = order.u32_at(body, 0)?;
        let length = order.u32_at(body, 4)? as usize;
        let secrets = body.get(8..length.saturating_add(8))?;
        if kind == TLS_KEY_LOG {
            self.add(secrets, loss);
        } else {
            loss.skip(&name(kind));
        }
        Some(())
    }

    fn add(&mut self, log: &[u8], loss: &mut Loss) {
        let found = log
            .split(|byte| *byte == b'\n')
            .filter(|line| is_secret(line));
        let found = found.count() as u64;
        let taken = log.len().saturating_add(LOG_OVERHEAD);
        if taken > SECRETS_BYTES_MAX.saturating_sub(self.bytes) {
            loss.add(SECRETS_NOT_KEPT, found);
            return;
        }
        self.count = self.count.saturating_add(found);
        self.bytes = self.bytes.saturating_add(taken);
        self.logs.push(Arc::from(log));
    }
}

/// Whether a line of a key log holds a secret: a label and two words of hexadecimal; no comment.
fn is_secret(line: &[u8]) -> bool {
    let mut words = line
        .trim_ascii()
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let label = words.next().is_some_and(|label| !label.starts_with(b"#"));
    let (mut fields, mut hexadecimal) = (1, true);
    for word in words {
        fields += 1;
        hexadecimal &= word.iter().all(u8::is_ascii_hexdigit);
    }
    label && hexadecimal && fields == FIELDS
}

/// Secrets that nobody here uses, by the names of the draft.
fn name(kind: u32) -> String {
    let what = match kind {
        0x5353_484b => "SSH keys",
        0x5747_4b4c => "WireGuard keys",
        0x5a4e_574b => "ZigBee network keys",
        0x5a41_5053 => "ZigBee APS keys",
        0x5541_4b4c => "OPC UA keys",
        other => return format!("decryption secrets of type 0x{other:08x}"),
    };
    format!("decryption secrets: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::samples::w32;

    const LOG: &str = "# made by a test\nCLIENT_RANDOM 00ff 0123456789abcdef\r\nSERVER_TRAFFIC_SECRET_0 00ff ab cd\nCLIENT_RANDOM 11 22";

    fn body(order: Order, kind: u32, log: &[u8]) -> Vec<u8> {
        let mut body = w32(order, kind).to_vec();
        body.extend(w32(order, log.len() as u32));
        body.extend_from_slice(log);
        body.resize(body.len().next_multiple_of(4), 0);
        body
    }

    #[test]
    fn key_logs_are_kept_counted_and_never_shown() {
        for order in [Order::Little, Order::Big] {
            let (mut secrets, mut loss) = (Secrets::default(), Loss::default());
            for _ in 0..2 {
                let body = body(order, TLS_KEY_LOG, LOG.as_bytes());
                secrets.read(order, &body, &mut loss).unwrap();
            }
            assert_eq!(secrets.count(), 4);
            assert!(secrets.key_logs(0).eq([LOG.as_bytes(); 2]));
            assert_eq!(secrets.key_logs(1).count(), 1);
            assert_eq!(loss, Loss::default());
            assert_eq!(format!("{secrets:?}"), "Secrets { count: 4, .. }");
        }
    }

    #[test]
    fn other_secrets_are_named_and_what_is_cut_is_told() {
        let (mut secrets, mut loss) = (Secrets::default(), Loss::default());
        for kind in [0x5747_4b4c, 7] {
            let body = body(Order::Little, kind, b"key");
            secrets.read(Order::Little, &body, &mut loss).unwrap();
        }
        let skipped: Vec<_> = loss.skipped_kinds().map(|(name, _)| name).collect();
        let named = [
            "decryption secrets of type 0x00000007",
            "decryption secrets: WireGuard keys",
        ];
        assert_eq!(skipped, named);
        assert_eq!(secrets, Secrets::default());
        let short = [w32(Order::Little, TLS_KEY_LOG), w32(Order::Little, 9)].concat();
        assert!(secrets.read(Order::Little, &short, &mut loss).is_none());
        assert!(
            secrets
                .read(Order::Little, &short[..7], &mut loss)
                .is_none()
        );
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let (mut secrets, mut loss) = (Secrets::default(), Loss::default());
        let line = b"CLIENT_RANDOM 00 11\n";
        secrets.add(&line.repeat(SECRETS_BYTES_MAX / line.len() - 4), &mut loss);
        let kept = secrets.count();
        secrets.add(&line.repeat(9), &mut loss);
        assert_eq!((secrets.count(), loss.get(SECRETS_NOT_KEPT)), (kept, 9));
        assert!(secrets.bytes <= SECRETS_BYTES_MAX);
    }
}
