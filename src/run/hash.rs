//! SHA-256 of the inputs, for --hash. In: paths. Out: hexadecimal.
//!
//! It uses the hash of the TLS provider that is compiled in anyway, instead of one more dependency.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The hash of each file; `None` for standard input, whose bytes are gone once they are read.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn of_files(files: &[PathBuf]) -> Result<Vec<Option<String>>, (PathBuf, io::Error)> {
    files
        .iter()
        .map(|path| match path.as_os_str() == "-" {
            true => Ok(None),
            false => of_file(path).map_err(|error| (path.clone(), error)),
        })
        .collect()
}

fn of_file(path: &Path) -> io::Result<Option<String>> {
    // A device or a pipe would not come again for the analysis.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() else {
        return Ok(None);
    };
    let mut hash = suite.common.hash_provider.start();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(chunk.get(..read).unwrap_or_default()),
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finish().as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(Some(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            of_file(&path).unwrap().unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(of_files(&["-".into()]).unwrap(), [None]);
    }
}
