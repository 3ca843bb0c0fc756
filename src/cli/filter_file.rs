//! The file of -F. In: its path. Out: the filter that stands in it, as tcpdump reads one.
//!
//! The rule: what follows a `#` on a line is a comment; lines are words of one filter.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a filter: libpcap's own programs are far smaller, and the file may be named by mistake.
const FILTER_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the filter in a file; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, that is too long, or that is no text.
pub fn read(path: &Path) -> Result<String, String> {
    let refused = |why: &dyn std::fmt::Display| {
        format!("cannot read the filter in {}: {why}", path.display())
    };
    let from: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| refused(&error))?)
    };
    let mut text = String::new();
    from.take(FILTER_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| refused(&error))?;
    if text.len() as u64 > FILTER_BYTES_MAX || text.contains('\0') {
        return Err(refused(&"it is no filter"));
    }
    Ok(without_comments(&text))
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_filter_and_comments_are_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        std::fs::write(
            &path,
            "# the shop\nport 80 # clients\n\n  or\tport 8080\r\n",
        )
        .unwrap();
        assert_eq!(read(&path).unwrap(), "port 80 or\tport 8080");
        std::fs::write(&path, "# nothing\n").unwrap();
        assert_eq!(read(&path).unwrap(), "");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filter");
        for bytes in [&b"\xff\xfe"[..], b"port\0 80", &vec![b' '; 1024 * 1024 + 1]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).is_err());
        }
        assert!(read(&folder.path().join("nosuch")).is_err());
    }
}
