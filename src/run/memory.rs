//! Memory of this process. In: what the kernel tells. Out: bytes.

/// Bytes of this process that are in memory (`VmRSS` of /proc/self/status, proc(5)); `None` where the system does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_some() {
        if cfg!(target_os = "linux") {
            assert!(super::resident().is_some_and(|bytes| bytes > 100_000));
        }
    }
}
