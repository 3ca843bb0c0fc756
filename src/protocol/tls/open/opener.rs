//! One direction of a connection under one key. In: records as they were sent. Out: what they hold, proved by their
//! authentication.
//!
//! The rule: no byte comes out that its tag or MAC does not bear out; a record that does not fit leaves the state as it was.
//! Records are numbered from 0 under each key (RFC 8446, section 5.3; RFC 5246, section 6.1).

use rustls::crypto::cipher::{Iv, Nonce, make_tls13_aad};

use super::aead::{Aead, NONCE};

#[cfg(feature = "tls12-cbc")]
use super::cbc::Cbc;
use super::suite::Cipher;

/// Length of a record's header.
const HEADER: usize = 5;
/// Bytes of the nonce that each record of TLS 1.2 with AES-GCM or AES-CCM carries (RFC 5288, section 3; RFC 6655, section 3).
const EXPLICIT: usize = 8;

/// The keys of one direction, and the number of its next record.
pub struct Opener {
    key: Key,
    sequence: u64,
}

enum Key {
    /// TLS 1.3: the type of the content is inside.
    Inner { key: Aead, iv: Iv },
    /// TLS 1.2 with ChaCha20.
    Whole { key: Aead, iv: Iv },
    /// TLS 1.2 with AES-GCM or AES-CCM: part of the nonce is in the record.
    Explicit { key: Aead, salt: [u8; 4] },
    #[cfg(feature = "tls12-cbc")]
    Cbc(Box<Cbc>),
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The type of the content.
    pub kind: u8,
    /// Where it starts in the record's payload.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl std::fmt::Debug for Opener {
    /// How far it is, and nothing of its key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Opener {
    /// An opener for TLS 1.3; `None` where the key does not fit the cipher.
    #[must_use]
    pub fn tls13(cipher: Cipher, key: &[u8], iv: [u8; NONCE]) -> Option<Self> {
        let key = Aead::new(cipher, key)?;
        let iv = Iv::new(iv);
        Some(Self::new(Key::Inner { key, iv }))
    }

    /// An opener for TLS 1.2 with an AEAD cipher. `iv` is its implicit part: 4 bytes for AES, 12 for ChaCha20.
    #[must_use]
    pub fn tls12(cipher: Cipher, key: &[u8], iv: &[u8]) -> Option<Self> {
        let key = Aead::new(cipher, key)?;
        Some(Self::new(match cipher {
            Cipher::ChaCha20 => Key::Whole {
                key,
                iv: Iv::new(iv.try_into().ok()?),
            },
            _ => Key::Explicit {
                key,
                salt: iv.try_into().ok()?,
            },
        }))
    }

    /// An opener for TLS 1.2 with a CBC cipher.
    #[cfg(feature = "tls12-cbc")]
    #[must_use]
    pub fn cbc(cbc: Cbc) -> Self {
        Self::new(Key::Cbc(Box::new(cbc)))
    }

    fn new(key: Key) -> Self {
        Self { key, sequence: 0 }
    }

    /// How many bytes a record of `payload` bytes (without its header) holds at most, and at least where nothing pads it.
    #[must_use]
    pub fn room(&self, payload: u64) -> u64 {
        payload.saturating_sub(match &self.key {
            Key::Inner { key, .. } => key.tag() as u64 + 1,
            Key::Whole { key, .. } => key.tag() as u64,
            Key::Explicit { key, .. } => (key.tag() + EXPLICIT) as u64,
            #[cfg(feature = "tls12-cbc")]
            Key::Cbc(cbc) => cbc.overhead_min(),
        })
    }

    /// Opens a record in place. When it does not fit its bytes are spoilt, and `None` comes.
    pub fn open(&mut self, header: [u8; HEADER], payload: &mut [u8]) -> Option<Plain> {
        let plain = self.at(self.sequence, header, payload)?;
        self.sequence = self.sequence.saturating_add(1);
        Some(plain)
    }

    /// Tries the numbers from the next one on, `tries` of them; gives how many were passed over. `payload` is as it was
    /// where none fits.
    pub fn search(
        &mut self,
        header: [u8; HEADER],
        payload: &mut [u8],
        tries: u64,
    ) -> Option<(u64, Plain)> {
        let sealed = payload.to_vec();
        for skipped in 0..tries {
            let sequence = self.sequence.checked_add(skipped)?;
            if let Some(plain) = self.at(sequence, header, payload) {
                self.sequence = sequence.saturating_add(1);
                return Some((skipped, plain));
            }
            payload.copy_from_slice(&sealed);
        }
        None
    }

    fn at(&self, sequence: u64, header: [u8; HEADER], payload: &mut [u8]) -> Option<Plain> {
        let [kind, major, minor, ..] = header;
        match &self.key {
            Key::Inner { key, iv } => {
                let aad = make_tls13_aad(payload.len());
                let len = key.open(Nonce::new(iv, sequence).0, &aad, payload)?;
                let inner = payload.get(..len)?;
                // Zeros pad it; the last byte that is none is the type (RFC 8446, section 5.2).
                let end = inner.iter().rposition(|byte| *byte != 0)?;
                let kind = *inner.get(end)?;
                let start = 0;
                Some(Plain { kind, start, end })
            }
            Key::Whole { key, iv } => {
                let len = payload.len().checked_sub(key.tag())?;
                let aad = header12(sequence, kind, [major, minor], len)?;
                let end = key.open(Nonce::new(iv, sequence).0, &aad, payload)?;
                let start = 0;
                Some(Plain { kind, start, end })
            }
            Key::Explicit { key, salt } => {
                let len = payload.len().checked_sub(EXPLICIT + key.tag())?;
                let (explicit, sealed) = payload.split_at_mut_checked(EXPLICIT)?;
                let mut bytes = [0; NONCE];
                let (fixed, rest) = bytes.split_at_mut(salt.len());
                fixed.copy_from_slice(salt);
                rest.copy_from_slice(explicit);
                let aad = header12(sequence, kind, [major, minor], len)?;
                let opened = key.open(bytes, &aad, sealed)?;
                Some(Plain {
                    kind,
                    start: EXPLICIT,
                    end: EXPLICIT.saturating_add(opened),
                })
            }
            #[cfg(feature = "tls12-cbc")]
            Key::Cbc(cbc) => {
                let (start, end) = cbc.open(sequence, kind, [major, minor], payload)?;
                Some(Plain { kind, start, end })
            }
        }
    }
}

/// What the tag of TLS 1.2 covers beside the content: number, type, version, length (RFC 5246, section 6.2.3.3).
pub(super) fn header12(sequence: u64, kind: u8, version: [u8; 2], len: usize) -> Option<[u8; 13]> {
    let [a, b, c, d, e, f, g, h] = sequence.to_be_bytes();
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    let [major, minor] = version;
    Some([a, b, c, d, e, f, g, h, kind, major, minor, high, low])
}
