//! Memory of this process. In: what the kernel tells. Out: bytes.
//!
//! The rule: the file is opened once, before the sandbox, and read again and again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Most bytes that are read; the line stands within the first 2,000.
const STATUS_BYTES_MAX: usize = 8 * 1024;

static STATUS: OnceLock<Option<File>> = OnceLock::new();

/// Opens what [`resident`] reads: in the sandbox it cannot be opened any more.
pub fn open() {
    let _ = status();
}

/// Bytes of this process that are in memory (`VmRSS` of /proc/self/status, proc(5)); `None` where the system does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    let mut bytes = vec![0; STATUS_BYTES_MAX];
    let read = status()?.read_at(&mut bytes, 0).ok()?;
    let status = String::from_utf8_lossy(bytes.get(..read)?);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn status() -> Option<&'static File> {
    STATUS
        .get_or_init(|| File::open("/proc/self/status").ok())
        .as_ref()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_some_and_more_later() {
        if cfg!(target_os = "linux") {
            let before = super::resident().unwrap();
            assert!(before > 100_000);
            let more = std::hint::black_box(vec![1_u8; 64 << 20]);
            assert!(super::resident().unwrap() > before + (32 << 20));
            drop(more);
        }
    }
}
