//! Authenticated encryption under one key. In: a nonce, what the tag covers beside the content, and what is sealed. Out: the
//! content, in place.

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};

use super::suite::Cipher;

/// Length of a nonce.
pub(super) const NONCE: usize = 12;

/// A key and its algorithm.
pub(super) enum Aead {
    /// One of ring's.
    Ring(Box<LessSafeKey>),
    /// AES in CCM mode.
    #[cfg(feature = "tls-ccm")]
    Ccm(Box<ccm_modes::Key>),
}

impl Aead {
    /// `None` where the key does not fit, or the cipher is no AEAD.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        let algorithm = match cipher {
            Cipher::AesGcm(16) => &AES_128_GCM,
            Cipher::AesGcm(_) => &AES_256_GCM,
            Cipher::ChaCha20 => &CHACHA20_POLY1305,
            #[cfg(feature = "tls-ccm")]
            Cipher::AesCcm(_, tag) => {
                return ccm_modes::Key::new(key, tag).map(|key| Self::Ccm(Box::new(key)));
            }
            #[cfg(feature = "tls12-cbc")]
            Cipher::AesCbc(..) => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self::Ring(Box::new(key)))
    }

    /// Length of its tag, which stands behind the content.
    pub(super) fn tag(&self) -> usize {
        match self {
            Self::Ring(key) => key.algorithm().tag_len(),
            #[cfg(feature = "tls-ccm")]
            Self::Ccm(key) => key.tag(),
        }
    }

    /// Opens in place; gives how long the content is. What does not fit is spoilt.
    pub(super) fn open(&self, nonce: [u8; NONCE], aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        match self {
            Self::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place(nonce, Aad::from(aad), sealed).ok()?;
                Some(opened.len())
            }
            #[cfg(feature = "tls-ccm")]
            Self::Ccm(key) => key.open(nonce, aad, sealed),
        }
    }
}

#[cfg(feature = "tls-ccm")]
mod ccm_modes {
    use aes::{Aes128, Aes256};
    use ccm::Ccm;
    use ccm::aead::{AeadInOut, KeyInit};
    use ccm::consts::{U8, U12, U16};

    use super::NONCE;

    /// The keys and tags of the suites there are (RFC 6655, sections 3 and 4).
    pub(in crate::protocol::tls::open) enum Key {
        Aes128(Ccm<Aes128, U16, U12>),
        Aes256(Ccm<Aes256, U16, U12>),
        Aes128Short(Ccm<Aes128, U8, U12>),
        Aes256Short(Ccm<Aes256, U8, U12>),
    }

    impl Key {
        pub(super) fn new(key: &[u8], tag: usize) -> Option<Self> {
            match (key.len(), tag) {
                (16, 16) => Ccm::new_from_slice(key).map(Self::Aes128),
                (32, 16) => Ccm::new_from_slice(key).map(Self::Aes256),
                (16, 8) => Ccm::new_from_slice(key).map(Self::Aes128Short),
                (32, 8) => Ccm::new_from_slice(key).map(Self::Aes256Short),
                _ => return None,
            }
            .ok()
        }

        pub(super) const fn tag(&self) -> usize {
            match self {
                Self::Aes128(_) | Self::Aes256(_) => 16,
                Self::Aes128Short(_) | Self::Aes256Short(_) => 8,
            }
        }

        pub(super) fn open(
            &self,
            nonce: [u8; NONCE],
            aad: &[u8],
            sealed: &mut [u8],
        ) -> Option<usize> {
            let len = sealed.len().checked_sub(self.tag())?;
            let (content, tag) = sealed.split_at_mut_checked(len)?;
            let content = content.into();
            let nonce = &nonce.into();
            match self {
                Self::Aes128(key) => {
                    key.decrypt_inout_detached(nonce, aad, content, (&*tag).try_into().ok()?)
                }
                Self::Aes256(key) => {
                    key.decrypt_inout_detached(nonce, aad, content, (&*tag).try_into().ok()?)
                }
                Self::Aes128Short(key) => {
                    key.decrypt_inout_detached(nonce, aad, content, (&*tag).try_into().ok()?)
                }
                Self::Aes256Short(key) => {
                    key.decrypt_inout_detached(nonce, aad, content, (&*tag).try_into().ok()?)
                }
            }
            .ok()?;
            Some(len)
        }
    }
}
