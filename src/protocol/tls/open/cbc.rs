//! Records of TLS 1.2 with AES in CBC mode (RFC 5246, section 6.2.3.2) and HMAC. In: a record. Out: what it holds.
//!
//! The rule: the MAC decides; of the padding the last byte says how much it is, and all its bytes must say the same. With
//! encrypt-then-MAC (RFC 7366) the MAC covers what was sent, without it what is inside. Left out: hiding from who
//! measures how long that takes; nobody waits for an answer.

use aes::cipher::{BlockModeDecrypt as _, InnerIvInit as _, KeyInit as _};
use aes::{Aes128, Aes256, Block};
use ring::hmac;

use super::opener::header12;
use super::suite::Mac;

/// Length of a block, and of the vector that each record begins with.
const BLOCK: usize = 16;

/// The keys of one direction.
pub struct Cbc {
    cipher: Aes,
    mac: hmac::Key,
    /// Encrypt, then MAC.
    outside: bool,
}

enum Aes {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Cbc {
    /// `key` of 16 or 32 bytes, `mac_key` as long as the hash; `outside` where both sides agreed on encrypt-then-MAC.
    #[must_use]
    pub fn new(key: &[u8], mac: Mac, mac_key: &[u8], outside: bool) -> Option<Self> {
        let cipher = match key.len() {
            16 => Aes::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            32 => Aes::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        };
        let algorithm = match mac {
            Mac::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Mac::Sha256 => hmac::HMAC_SHA256,
            Mac::Sha384 => hmac::HMAC_SHA384,
        };
        Some(Self {
            cipher,
            mac: hmac::Key::new(algorithm, mac_key),
            outside,
        })
    }

    /// Vector, MAC and the least padding.
    pub(super) fn overhead_min(&self) -> u64 {
        (BLOCK + self.mac_len() + 1) as u64
    }

    fn mac_len(&self) -> usize {
        self.mac.algorithm().digest_algorithm().output_len()
    }

    /// Opens a record in place: where its content starts and ends.
    pub(super) fn open(
        &self,
        sequence: u64,
        kind: u8,
        version: [u8; 2],
        payload: &mut [u8],
    ) -> Option<(usize, usize)> {
        let end = if self.outside {
            let end = payload.len().checked_sub(self.mac_len())?;
            let (sealed, mac) = payload.split_at_checked(end)?;
            self.check(sequence, kind, version, sealed, mac)?;
            end
        } else {
            payload.len()
        };
        let (vector, blocks) = payload.get_mut(..end)?.split_at_mut_checked(BLOCK)?;
        self.decrypt(vector, blocks)?;
        let padding = usize::from(*blocks.last()?).checked_add(1)?;
        let (content, padding) = blocks.split_at_checked(blocks.len().checked_sub(padding)?)?;
        let says = padding.len().checked_sub(1)?;
        if padding.iter().any(|byte| usize::from(*byte) != says) {
            return None;
        }
        let mut len = content.len();
        if !self.outside {
            len = len.checked_sub(self.mac_len())?;
            let (content, mac) = content.split_at_checked(len)?;
            self.check(sequence, kind, version, content, mac)?;
        }
        Some((BLOCK, BLOCK.checked_add(len)?))
    }

    fn check(
        &self,
        sequence: u64,
        kind: u8,
        version: [u8; 2],
        covered: &[u8],
        mac: &[u8],
    ) -> Option<()> {
        let mut sum = hmac::Context::with_key(&self.mac);
        sum.update(&header12(sequence, kind, version, covered.len())?);
        sum.update(covered);
        (sum.sign().as_ref() == mac).then_some(())
    }

    fn decrypt(&self, vector: &[u8], bytes: &mut [u8]) -> Option<()> {
        let (blocks, rest) = Block::slice_as_chunks_mut(bytes);
        if !rest.is_empty() {
            return None;
        }
        let vector = vector.try_into().ok()?;
        match &self.cipher {
            Aes::Short(cipher) => {
                cbc::Decryptor::inner_iv_init(cipher.as_ref(), vector).decrypt_blocks(blocks);
            }
            Aes::Long(cipher) => {
                cbc::Decryptor::inner_iv_init(cipher.as_ref(), vector).decrypt_blocks(blocks);
            }
        }
        Some(())
    }
}
