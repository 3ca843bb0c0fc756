//! Private RSA keys of servers (PKCS#8 or PKCS#1, PEM). In: a file. Out: the premaster secret of a connection whose key exchange
//! was static RSA (RFC 5246, section 7.4.7.1).
//!
//! The rule: the key stays in here. With any other key exchange (all of TLS 1.3, ECDHE, DHE) it decrypts nothing. Left
//! out: guarding against who measures how long a decryption takes; the ciphertext comes from a capture, and nobody waits for
//! an answer.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::capture::error::CaptureError;

/// Largest file of a private key: a key of 16,384 bits takes 13 kB.
const FILE_MAX: u64 = 64 * 1024;

/// Length of a premaster secret.
pub const PREMASTER: usize = 48;

/// One private key.
#[derive(Clone)]
pub struct PrivateKey {
    #[cfg(feature = "rsa-keys")]
    key: Arc<rsa::PrivateKey>,
    #[cfg(not(feature = "rsa-keys"))]
    key: Arc<std::convert::Infallible>,
}

impl fmt::Debug for PrivateKey {
    /// That there is one, and nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// Reads a key from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no RSA key; and always where gwcap was built without `rsa-keys`.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
            .map_err(|error| CaptureError::Secrets {
                path: name.clone(),
                error,
            })?;
        Self::from_pem(&text).map_err(|what| CaptureError::NotAKey { path: name, what })
    }

    /// The key in a PEM text.
    ///
    /// # Errors
    /// What is wrong with it, without a word of its content.
    #[cfg(feature = "rsa-keys")]
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        use rsa::pkcs1::DecodeRsaPrivateKey as _;
        use rsa::pkcs8::DecodePrivateKey as _;
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err("the key is encrypted: decrypt it first (openssl rsa -in KEY -out PLAIN)");
        }
        let begins = text.find("-----BEGIN").ok_or("it is not in PEM form")?;
        let text = text.get(begins..).unwrap_or_default();
        let key = if text.starts_with("-----BEGIN RSA PRIVATE KEY") {
            rsa::PrivateKey::from_pkcs1_pem(text).ok()
        } else if text.starts_with("-----BEGIN PRIVATE KEY") {
            rsa::PrivateKey::from_pkcs8_pem(text).ok()
        } else {
            return Err("no RSA key decrypts TLS but one in PKCS#8 or PKCS#1 form");
        };
        let key = key.ok_or("it holds no RSA key that can be read")?;
        Ok(Self { key: Arc::new(key) })
    }

    /// The key in a PEM text.
    ///
    /// # Errors
    /// Always: gwcap was built without `rsa-keys`.
    #[cfg(not(feature = "rsa-keys"))]
    pub fn from_pem(_: &str) -> Result<Self, &'static str> {
        Err("this gwcap was built without the feature rsa-keys")
    }

    /// The premaster secret that a client encrypted for this key; `None` where it was meant for another.
    #[must_use]
    #[cfg(feature = "rsa-keys")]
    pub fn premaster(&self, encrypted: &[u8]) -> Option<[u8; PREMASTER]> {
        self.key
            .decrypt(rsa::Pkcs1v15Encrypt, encrypted)
            .ok()?
            .try_into()
            .ok()
    }

    /// The premaster secret that a client encrypted for this key: there is no key without `rsa-keys`.
    #[must_use]
    #[cfg(not(feature = "rsa-keys"))]
    pub fn premaster(&self, _: &[u8]) -> Option<[u8; PREMASTER]> {
        match *self.key {}
    }
}

#[cfg(all(test, feature = "rsa-keys"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told_without_its_content() {
        for (text, what) in [
            ("", "PEM"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
                "can be read",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "can be read",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
                "PKCS#8",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
                "decrypt it first",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
                "decrypt it first",
            ),
        ] {
            let told = PrivateKey::from_pem(text).unwrap_err();
            assert!(told.contains(what), "{text}: {told}");
        }
    }
}
