//! From secrets to keys. In: a secret of a key log and what the hellos say. Out: an opener for each direction.
//!
//! The rule: this is the key schedule from its logged secrets on (RFC 8446, section 7.3; RFC 5246, section 6.3); the
//! agreement before it is not repeated, but for static RSA, where the server's private key gives the premaster secret.

use rustls::crypto::tls13::{Hkdf, OkmBlock};

#[cfg(feature = "tls12-cbc")]
use super::cbc::Cbc;
use super::opener::Opener;
use super::suite::{Cipher, Suite};
use crate::capture::{PREMASTER, Secret};

/// Length of a master secret.
const MASTER: usize = 48;
/// Most bytes of a key block: twice a MAC key of 48, a key of 32.
const KEY_BLOCK_MAX: usize = 2 * (48 + 32);
/// Length of a nonce.
const NONCE: usize = 12;
/// Length of its part that TLS 1.2 derives where the rest is in each record (RFC 5288, section 3; RFC 6655, section 3).
const SALT: usize = 4;

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand(hkdf: &dyn Hkdf, secret: &[u8], label: &[u8], to: &mut [u8]) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let len = u16::try_from(to.len()).ok()?.to_be_bytes();
    let label_len = [u8::try_from(PREFIX.len().checked_add(label.len())?).ok()?];
    hkdf.expander_for_okm(&OkmBlock::new(secret))
        .expand_slice(&[&len, &label_len, PREFIX, label, &[0]], to)
        .ok()
}

/// An opener for TLS 1.3 from a traffic secret; `None` where the secret is of another hash.
#[must_use]
pub fn tls13(suite: Suite, secret: &Secret) -> Option<Opener> {
    if secret.bytes().len() != suite.hash_len() {
        return None;
    }
    let hkdf = suite.hkdf()?;
    let mut room = [0; 32];
    let key = room.get_mut(..suite.key_len())?;
    let mut iv = [0; NONCE];
    expand(hkdf, secret.bytes(), b"key", key)?;
    expand(hkdf, secret.bytes(), b"iv", &mut iv)?;
    Opener::tls13(suite.cipher, key, iv)
}

/// The traffic secret after a KeyUpdate (RFC 8446, section 7.2).
#[must_use]
pub fn updated(suite: Suite, secret: &Secret) -> Option<Secret> {
    let mut room = [0; 48];
    let next = room.get_mut(..suite.hash_len())?;
    expand(suite.hkdf()?, secret.bytes(), b"traffic upd", next)?;
    Secret::new(next)
}

/// What the hellos of TLS 1.2 say of the keys.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// The suite.
    pub suite: Suite,
    /// The client's random.
    pub client: [u8; 32],
    /// The server's random.
    pub server: [u8; 32],
    /// Both sides encrypt, then MAC (RFC 7366).
    pub encrypt_then_mac: bool,
}

/// Openers for client and server of TLS 1.2 from the master secret.
#[must_use]
pub fn tls12(agreed: &Agreed, master: &[u8]) -> Option<(Opener, Opener)> {
    let suite = agreed.suite;
    let key_len = suite.key_len();
    let (mac_len, iv_len) = match suite.cipher {
        Cipher::AesGcm(_) => (0, SALT),
        Cipher::ChaCha20 => (0, NONCE),
        #[cfg(feature = "tls-ccm")]
        Cipher::AesCcm(..) => (0, SALT),
        #[cfg(feature = "tls12-cbc")]
        Cipher::AesCbc(_, mac) => (mac_len(mac), 0),
    };
    let mut room = [0; KEY_BLOCK_MAX];
    let wanted = mac_len + key_len + iv_len;
    let block = room.get_mut(..wanted.checked_mul(2)?)?;
    let seed = [agreed.server, agreed.client].concat();
    suite
        .prf()?
        .for_secret(block, master, b"key expansion", &seed);
    let (macs, rest) = block.split_at_checked(mac_len.checked_mul(2)?)?;
    let (keys, ivs) = rest.split_at_checked(key_len.checked_mul(2)?)?;
    let (client_mac, server_mac) = macs.split_at_checked(mac_len)?;
    let (client_key, server_key) = keys.split_at_checked(key_len)?;
    let (client_iv, server_iv) = ivs.split_at_checked(iv_len)?;
    let outside = agreed.encrypt_then_mac;
    Some((
        opener12(suite, client_key, client_iv, client_mac, outside)?,
        opener12(suite, server_key, server_iv, server_mac, outside)?,
    ))
}

#[cfg(feature = "tls12-cbc")]
const fn mac_len(mac: super::suite::Mac) -> usize {
    match mac {
        super::suite::Mac::Sha1 => 20,
        super::suite::Mac::Sha256 => 32,
        super::suite::Mac::Sha384 => 48,
    }
}

#[cfg(feature = "tls12-cbc")]
fn opener12(suite: Suite, key: &[u8], iv: &[u8], mac_key: &[u8], outside: bool) -> Option<Opener> {
    match suite.cipher {
        Cipher::AesCbc(_, mac) => Cbc::new(key, mac, mac_key, outside).map(Opener::cbc),
        cipher => Opener::tls12(cipher, key, iv),
    }
}

#[cfg(not(feature = "tls12-cbc"))]
fn opener12(suite: Suite, key: &[u8], iv: &[u8], _: &[u8], _: bool) -> Option<Opener> {
    Opener::tls12(suite.cipher, key, iv)
}

/// The master secret of TLS 1.2 from a premaster secret. `transcript` are the handshake messages up to and with
/// ClientKeyExchange, where both sides agreed on the extended master secret (RFC 7627, section 4).
#[must_use]
pub fn master(
    agreed: &Agreed,
    premaster: &[u8; PREMASTER],
    transcript: Option<&[u8]>,
) -> Option<Secret> {
    let mut master = [0; MASTER];
    let prf = agreed.suite.prf()?;
    match transcript {
        Some(messages) => {
            let algorithm = match agreed.suite.hash_len() {
                48 => &ring::digest::SHA384,
                _ => &ring::digest::SHA256,
            };
            let hash = ring::digest::digest(algorithm, messages);
            prf.for_secret(
                &mut master,
                premaster,
                b"extended master secret",
                hash.as_ref(),
            );
        }
        None => {
            let seed = [agreed.client, agreed.server].concat();
            prf.for_secret(&mut master, premaster, b"master secret", &seed);
        }
    }
    Secret::new(&master)
}
