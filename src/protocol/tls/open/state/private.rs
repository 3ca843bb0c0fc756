//! The master secret by a server's private key (static RSA; RFC 5246, section 8.1.1, and RFC 7627, section 4). In: handshake
//! messages. Out: a session, at ClientKeyExchange.
//!
//! The rule: messages are kept only where a private key was given, and only up to a limit.

use crate::capture::{Keys, Session};

use super::super::schedule;
use super::Opening;

/// Most bytes of handshake messages that are kept for the extended master secret, which only a private key asks for: two
/// certificate chains of the largest kind.
const TRANSCRIPT_MAX: usize = 256 * 1024;

/// Type of a handshake message (RFC 5246, section 7.4).
const CLIENT_KEY_EXCHANGE: u8 = 16;

impl Opening {
    /// With a private key: keeps the messages that the master secret may depend on, and makes it at ClientKeyExchange.
    pub(super) fn keep(&mut self, kind: u8, raw: &[u8], keys: &Keys, body: &[u8]) {
        let Some(transcript) = &mut self.transcript else {
            return;
        };
        if transcript.len().saturating_add(raw.len()) > TRANSCRIPT_MAX {
            self.transcript = None;
            return;
        }
        transcript.extend_from_slice(raw);
        if kind == CLIENT_KEY_EXCHANGE {
            let transcript = self.transcript.take().unwrap_or_default();
            if let Some(session) = self.by_private_key(&transcript, keys, body) {
                self.session.get_or_insert(session);
            }
        }
    }

    fn by_private_key(&self, transcript: &[u8], keys: &Keys, body: &[u8]) -> Option<Session> {
        if keys.session(&self.client_random).is_some() {
            return None;
        }
        let hello = self.hello?;
        let suite = self.suite().ok()?;
        let ([high, low], encrypted) = body.split_first_chunk()?;
        if usize::from(u16::from_be_bytes([*high, *low])) != encrypted.len() {
            return None;
        }
        let mut keys = keys.private_keys().iter();
        let premaster = keys.find_map(|key| key.premaster(encrypted))?;
        let agreed = self.agreed(hello, suite);
        let messages = hello.extended_master_secret.then_some(transcript);
        let master = schedule::master(&agreed, &premaster, messages)?;
        Some(Session::with_master(master))
    }
}
