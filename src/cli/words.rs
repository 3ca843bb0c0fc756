//! Sorts the trailing words. In: words, and what names a file. Out: inputs and the filter.
//!
//! The rule: leading words that name existing files are inputs, up to the first that does not; the rest is
//! the filter, as tcpdump takes it.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Splits the words. Without any input a first word that can only be meant as a file is one, so that its
/// absence is told and not a syntax error.
pub fn split(
    words: Vec<OsString>,
    names_file: impl Fn(&Path) -> bool,
) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut filter) = (Vec::new(), Vec::new());
    for word in words {
        let is_file =
            filter.is_empty() && (names_file(Path::new(&word)) || is_meant_as_file(&word));
        if is_file {
            files.push(PathBuf::from(word));
        } else {
            filter.push(word.to_string_lossy().into_owned());
        }
    }
    (files, filter)
}

/// No filter has a word that ends so.
fn is_meant_as_file(word: &OsString) -> bool {
    let extension = Path::new(word).extension();
    extension
        .is_some_and(|extension| extension == "pcap" || extension == "pcapng" || extension == "cap")
}

/// Whether a path names something that can be read as a file.
pub fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| !facts.is_dir())
}

/// The files of a rotated set: a path that names no file and whose last part holds `*` or `?` stands for
/// the files that match it, in the order of their numbers. What matches nothing stays as it is.
pub fn expanded(path: PathBuf) -> Vec<PathBuf> {
    let pattern = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let Some(pattern) = pattern.filter(|name| name.contains(['*', '?']) && !path.exists()) else {
        return vec![path];
    };
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries
        .filter(|entry| exists(&entry.path()))
        .map(|entry| entry.file_name())
        .filter(|name| matches(&pattern, &name.to_string_lossy()))
        .collect();
    if names.is_empty() {
        return vec![path];
    }
    names.sort_by(|one, other| natural(&one.to_string_lossy(), &other.to_string_lossy()));
    names
        .into_iter()
        .map(|name| path.with_file_name(name))
        .collect()
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and where in the name what follows it was last tried.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, tried)) = retry else {
                    return false;
                };
                retry = Some((star, tried + 1));
                (p, n) = (star + 1, tried + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// Order in which `dump2` stands before `dump10`.
fn natural(one: &str, other: &str) -> Ordering {
    let key = |text: &str| -> Vec<(u128, String)> {
        let mut parts = vec![(0_u128, String::new())];
        let mut in_number = false;
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                if !in_number {
                    parts.push((0, String::new()));
                }
                if let Some((number, _)) = parts.last_mut() {
                    *number = number.saturating_mul(10).saturating_add(u128::from(digit));
                }
            } else if let Some((_, text)) = parts.last_mut() {
                text.push(c);
            }
            in_number = c.is_ascii_digit();
        }
        parts
    };
    key(one).cmp(&key(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_words(words: &[&str]) -> (Vec<PathBuf>, Vec<String>) {
        split(words.iter().map(OsString::from).collect(), |path| {
            path.starts_with("a") || path.starts_with("port")
        })
    }

    #[test]
    fn leading_files_are_inputs_and_the_rest_is_the_filter() {
        let (files, filter) = split_words(&["a", "a", "tcp", "port", "a"]);
        assert_eq!(files, [PathBuf::from("a"), PathBuf::from("a")]);
        assert_eq!(filter, ["tcp", "port", "a"]);
        assert_eq!(split_words(&["tcp port 80"]).0, Vec::<PathBuf>::new());
        assert_eq!(
            split_words(&["missing.pcap", "icmp"]).0,
            [PathBuf::from("missing.pcap")]
        );
    }

    #[test]
    fn rotated_sets_are_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["dump.pcap10", "dump.pcap", "dump.pcap2", "other"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = expanded(folder.path().join("dump.pcap*"));
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["dump.pcap", "dump.pcap2", "dump.pcap10"]);
        let nothing = folder.path().join("x*");
        assert_eq!(expanded(nothing.clone()), [nothing]);
    }

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*", ""),
            ("a*c", "abc"),
            ("a*b*c", "aXbbYc"),
            ("?b", "ab"),
            ("a**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a*c", "ab"), ("?", ""), ("a", "ab"), ("*a", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
