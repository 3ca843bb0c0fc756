//! Cipher suites that can be read. In: a version and a suite's number. Out: its cipher and its hash.
//!
//! The rule: a suite that stands here is read whole or not at all. Numbers are those of the registry of TLS cipher suites;
//! how keys are agreed upon makes no difference to who has the secrets, so the suites that rustls lacks for that reason (DHE,
//! static RSA, PSK) stand here too.

use rustls::CipherSuite;
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::ring::ALL_CIPHER_SUITES;
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::Hkdf;

/// TLS 1.2 on the wire.
pub const TLS12: u16 = 0x0303;
/// TLS 1.3 on the wire.
pub const TLS13: u16 = 0x0304;

/// How records are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES in Galois counter mode with a key of so many bytes (RFC 5288).
    AesGcm(usize),
    /// ChaCha20-Poly1305 (RFC 7905).
    ChaCha20,
    /// AES in counter mode with CBC-MAC, with a key and a tag of so many bytes (RFC 6655).
    #[cfg(feature = "tls-ccm")]
    AesCcm(usize, usize),
    /// AES in CBC mode with a key of so many bytes, and a MAC (RFC 5246, section 6.2.3.2).
    #[cfg(feature = "tls12-cbc")]
    AesCbc(usize, Mac),
}

/// The hash of a MAC.
#[cfg(feature = "tls12-cbc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// HMAC-SHA1, 20 bytes.
    Sha1,
    /// HMAC-SHA256, 32 bytes.
    Sha256,
    /// HMAC-SHA384, 48 bytes.
    Sha384,
}

/// One suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// How records are sealed.
    pub cipher: Cipher,
    /// The hash of its key schedule.
    pub hash: HashAlgorithm,
}

use Cipher::{AesGcm, ChaCha20};
use HashAlgorithm::{SHA256, SHA384};

/// Suites of TLS 1.3 (RFC 8446, appendix B.4).
const OF_TLS13: &[(u16, Cipher, HashAlgorithm)] = &[
    (0x1301, AesGcm(16), SHA256),
    (0x1302, AesGcm(32), SHA384),
    (0x1303, ChaCha20, SHA256),
];

/// Suites of TLS 1.2 with authenticated encryption.
const OF_TLS12: &[(u16, Cipher, HashAlgorithm)] = &[
    // RSA, DHE with RSA and DSS (RFC 5288).
    (0x009c, AesGcm(16), SHA256),
    (0x009d, AesGcm(32), SHA384),
    (0x009e, AesGcm(16), SHA256),
    (0x009f, AesGcm(32), SHA384),
    (0x00a2, AesGcm(16), SHA256),
    (0x00a3, AesGcm(32), SHA384),
    // PSK, DHE with PSK, RSA with PSK (RFC 5487).
    (0x00a8, AesGcm(16), SHA256),
    (0x00a9, AesGcm(32), SHA384),
    (0x00aa, AesGcm(16), SHA256),
    (0x00ab, AesGcm(32), SHA384),
    (0x00ac, AesGcm(16), SHA256),
    (0x00ad, AesGcm(32), SHA384),
    // ECDHE and ECDH (RFC 5289).
    (0xc02b, AesGcm(16), SHA256),
    (0xc02c, AesGcm(32), SHA384),
    (0xc02d, AesGcm(16), SHA256),
    (0xc02e, AesGcm(32), SHA384),
    (0xc02f, AesGcm(16), SHA256),
    (0xc030, AesGcm(32), SHA384),
    (0xc031, AesGcm(16), SHA256),
    (0xc032, AesGcm(32), SHA384),
    // ChaCha20-Poly1305 (RFC 7905).
    (0xcca8, ChaCha20, SHA256),
    (0xcca9, ChaCha20, SHA256),
    (0xccaa, ChaCha20, SHA256),
    (0xccab, ChaCha20, SHA256),
    (0xccac, ChaCha20, SHA256),
    (0xccad, ChaCha20, SHA256),
    (0xccae, ChaCha20, SHA256),
];

/// Suites with AES in CCM mode: of TLS 1.3 (RFC 8446, appendix B.4), and of TLS 1.2 with RSA, DHE, PSK (RFC 6655) and ECDHE
/// (RFC 7251).
#[cfg(feature = "tls-ccm")]
const WITH_CCM: [&[(u16, Cipher, HashAlgorithm)]; 2] = {
    const A: Cipher = Cipher::AesCcm(16, 16);
    const B: Cipher = Cipher::AesCcm(32, 16);
    const C: Cipher = Cipher::AesCcm(16, 8);
    const D: Cipher = Cipher::AesCcm(32, 8);
    [
        &[(0x1304, A, SHA256), (0x1305, C, SHA256)],
        &[
            (0xc09c, A, SHA256),
            (0xc09d, B, SHA256),
            (0xc09e, A, SHA256),
            (0xc09f, B, SHA256),
            (0xc0a0, C, SHA256),
            (0xc0a1, D, SHA256),
            (0xc0a2, C, SHA256),
            (0xc0a3, D, SHA256),
            (0xc0a4, A, SHA256),
            (0xc0a5, B, SHA256),
            (0xc0a6, A, SHA256),
            (0xc0a7, B, SHA256),
            (0xc0a8, C, SHA256),
            (0xc0a9, D, SHA256),
            (0xc0aa, C, SHA256),
            (0xc0ab, D, SHA256),
            (0xc0ac, A, SHA256),
            (0xc0ad, B, SHA256),
            (0xc0ae, C, SHA256),
            (0xc0af, D, SHA256),
        ],
    ]
};
#[cfg(not(feature = "tls-ccm"))]
const WITH_CCM: [&[(u16, Cipher, HashAlgorithm)]; 2] = [&[], &[]];

/// Suites of TLS 1.2 with AES in CBC mode.
#[cfg(feature = "tls12-cbc")]
const WITH_CBC: &[(u16, Cipher, HashAlgorithm)] = {
    const A: Cipher = Cipher::AesCbc(16, Mac::Sha1);
    const B: Cipher = Cipher::AesCbc(32, Mac::Sha1);
    const C: Cipher = Cipher::AesCbc(16, Mac::Sha256);
    const D: Cipher = Cipher::AesCbc(32, Mac::Sha256);
    const E: Cipher = Cipher::AesCbc(32, Mac::Sha384);
    &[
        // RSA, DHE with DSS and RSA (RFC 5246, appendix A.5).
        (0x002f, A, SHA256),
        (0x0032, A, SHA256),
        (0x0033, A, SHA256),
        (0x0035, B, SHA256),
        (0x0038, B, SHA256),
        (0x0039, B, SHA256),
        (0x003c, C, SHA256),
        (0x003d, D, SHA256),
        (0x0040, C, SHA256),
        (0x0067, C, SHA256),
        (0x006a, D, SHA256),
        (0x006b, D, SHA256),
        // ECDH and ECDHE (RFC 8422 and RFC 5289).
        (0xc004, A, SHA256),
        (0xc005, B, SHA256),
        (0xc009, A, SHA256),
        (0xc00a, B, SHA256),
        (0xc00e, A, SHA256),
        (0xc00f, B, SHA256),
        (0xc013, A, SHA256),
        (0xc014, B, SHA256),
        (0xc023, C, SHA256),
        (0xc024, E, SHA384),
        (0xc025, C, SHA256),
        (0xc026, E, SHA384),
        (0xc027, C, SHA256),
        (0xc028, E, SHA384),
        (0xc029, C, SHA256),
        (0xc02a, E, SHA384),
    ]
};
#[cfg(not(feature = "tls12-cbc"))]
const WITH_CBC: &[(u16, Cipher, HashAlgorithm)] = &[];

impl Suite {
    /// The suite of a version; `None` where it cannot be read.
    #[must_use]
    pub fn of(version: u16, number: u16) -> Option<Self> {
        let [ccm13, ccm12] = WITH_CCM;
        let tables: [&[_]; 3] = match version {
            TLS13 => [OF_TLS13, ccm13, &[]],
            TLS12 => [OF_TLS12, ccm12, WITH_CBC],
            _ => return None,
        };
        let rows = tables.into_iter().flatten();
        let (_, cipher, hash) = rows.into_iter().find(|(known, ..)| *known == number)?;
        Some(Self {
            cipher: *cipher,
            hash: *hash,
        })
    }

    /// Length of its key, bytes.
    #[must_use]
    pub const fn key_len(&self) -> usize {
        match self.cipher {
            AesGcm(len) => len,
            ChaCha20 => 32,
            #[cfg(feature = "tls-ccm")]
            Cipher::AesCcm(len, _) => len,
            #[cfg(feature = "tls12-cbc")]
            Cipher::AesCbc(len, _) => len,
        }
    }

    /// Length of the hash, which is that of a secret of TLS 1.3.
    #[must_use]
    pub const fn hash_len(&self) -> usize {
        match self.hash {
            HashAlgorithm::SHA384 => 48,
            _ => 32,
        }
    }

    /// The key derivation of TLS 1.3 with this suite's hash.
    #[must_use]
    pub fn hkdf(&self) -> Option<&'static dyn Hkdf> {
        ALL_CIPHER_SUITES
            .iter()
            .filter_map(rustls::SupportedCipherSuite::tls13)
            .find(|suite| suite.common.hash_provider.algorithm() == self.hash)
            .map(|suite| suite.hkdf_provider)
    }

    /// The pseudorandom function of TLS 1.2 with this suite's hash.
    #[must_use]
    pub fn prf(&self) -> Option<&'static dyn Prf> {
        ALL_CIPHER_SUITES
            .iter()
            .filter_map(|suite| match suite {
                rustls::SupportedCipherSuite::Tls12(suite) => Some(suite),
                rustls::SupportedCipherSuite::Tls13(_) => None,
            })
            .find(|suite| suite.common.hash_provider.algorithm() == self.hash)
            .map(|suite| suite.prf_provider)
    }
}

/// What a suite is called, for who reads that it cannot be read.
#[must_use]
pub fn name(number: u16) -> String {
    let name = format!("{:?}", CipherSuite::from(number));
    // rustls has no names for suites that it would never choose.
    match name.starts_with("TLS") {
        true => name,
        false => format!("0x{number:04x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_of_rustls_are_here_with_the_same_cipher_and_hash() {
        let mut seen = 0;
        for suite in ALL_CIPHER_SUITES {
            let number = u16::from(suite.suite());
            let version = u16::from(suite.version().version);
            let ours = Suite::of(version, number).unwrap();
            let name = name(number);
            let hash = match suite {
                rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
                rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
            };
            assert_eq!(ours.hash, hash.algorithm(), "{name}");
            assert_eq!(ours.cipher == ChaCha20, name.contains("CHACHA20"), "{name}");
            assert_eq!(ours.cipher == AesGcm(16), name.contains("AES_128_GCM"));
            assert_eq!(ours.cipher == AesGcm(32), name.contains("AES_256_GCM"));
            seen += 1;
        }
        assert!(seen >= 9);
    }

    #[test]
    fn names_of_the_registry_bear_out_each_row() {
        let of_both = OF_TLS13.iter().chain(OF_TLS12).chain(WITH_CBC);
        for (number, cipher, hash) in of_both.chain(WITH_CCM.into_iter().flatten()) {
            let known = tls_parser::TlsCipherSuite::from_id(*number).unwrap();
            let name = known.name;
            let words = match cipher {
                AesGcm(16) => "AES_128_GCM",
                AesGcm(_) => "AES_256_GCM",
                ChaCha20 => "CHACHA20_POLY1305",
                #[cfg(feature = "tls-ccm")]
                Cipher::AesCcm(16, _) => "AES_128_CCM",
                #[cfg(feature = "tls-ccm")]
                Cipher::AesCcm(..) => "AES_256_CCM",
                #[cfg(feature = "tls12-cbc")]
                Cipher::AesCbc(16, _) => "AES_128_CBC",
                #[cfg(feature = "tls12-cbc")]
                Cipher::AesCbc(..) => "AES_256_CBC",
            };
            assert!(name.contains(words), "{number:04x} {name}");
            let ends_in_384 = name.ends_with("SHA384");
            assert_eq!(*hash == SHA384, ends_in_384, "{number:04x} {name}");
            #[cfg(feature = "tls-ccm")]
            if let Cipher::AesCcm(_, tag) = cipher {
                assert_eq!(*tag == 8, name.contains("CCM_8"), "{number:04x} {name}");
            }
            #[cfg(feature = "tls12-cbc")]
            if let Cipher::AesCbc(_, mac) = cipher {
                let ending = match mac {
                    Mac::Sha1 => "_SHA",
                    Mac::Sha256 => "_SHA256",
                    Mac::Sha384 => "_SHA384",
                };
                assert!(name.ends_with(ending), "{number:04x} {name}");
            }
        }
        assert_eq!(Suite::of(0x0302, 0x002f), None);
        assert_eq!(Suite::of(TLS12, 0x1301), None);
        assert_eq!(super::name(0xfafa), "0xfafa");
        assert_eq!(super::name(0xc013), "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA");
    }
}
