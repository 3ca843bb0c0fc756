//! Roots by which certificates are judged. In: a file that the user names, else what this machine trusts. Out: certificates.
//!
//! The rule: read once, before anything is analysed; whose roots they are is told with every judgement.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Most roots that are kept; a machine trusts about 150.
pub const ROOTS_MAX: usize = 10_000;
/// Largest bundle that is read, bytes.
pub const BUNDLE_MAX: u64 = 64 * 1024 * 1024;

/// Certificates of issuers that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// DER, at most [`ROOTS_MAX`].
    pub certificates: Vec<Vec<u8>>,
    /// Whose they are, as it ends "the roots of ..": a file's name, or this machine.
    pub described: String,
}

impl Roots {
    /// Those of a bundle: PEM, one certificate after the other, or one in DER.
    ///
    /// # Errors
    /// Why it cannot be read, in words; also when it holds no certificate.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let len = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if len > BUNDLE_MAX {
            return Err(format!("it is larger than {BUNDLE_MAX} bytes"));
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&bytes).take(ROOTS_MAX) {
            let certificate = certificate.map_err(|error| format!("no PEM: {error}"))?;
            certificates.push(certificate.to_vec());
        }
        if certificates.is_empty() && bytes.first() == Some(&0x30) {
            certificates.push(bytes);
        }
        if certificates.is_empty() {
            return Err("it holds no certificate".to_owned());
        }
        Ok(Self {
            certificates,
            described: path.display().to_string(),
        })
    }

    /// Those that this machine trusts; none where they cannot be read.
    #[must_use]
    pub fn of_machine() -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        Self {
            certificates: found
                .into_iter()
                .take(ROOTS_MAX)
                .map(|certificate| certificate.to_vec())
                .collect(),
            described: "this machine".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        assert!(Roots::of_file(&path).is_err());
        for text in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&path, text).unwrap();
            assert!(Roots::of_file(&path).is_err(), "{text:?}");
        }
        fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert_eq!(Roots::of_file(&path).unwrap().certificates, [[0x30, 0]]);
    }
}
