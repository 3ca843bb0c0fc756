//! Keeps the floors: a room imports only rooms below it, members never import their roof, and the library
//! neither prints nor reads a clock, nor opens files outside `capture`.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, top first. Rooms of one floor do not import each other.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["run"],
    &["cli"],
    &["analyzer"],
    &["report"],
    &["diagnose"],
    &["protocol"],
    &["tcp"],
    &["decode", "capture"],
    &["frame"],
    &["flow", "time", "loss"],
];

/// What only the binary may do.
const OF_THE_BINARY: &[&str] = &[
    "println!",
    "eprintln!",
    "print!(",
    "eprint!(",
    "dbg!",
    "process::exit",
];

/// What of the library only `capture` may do: its time is the machine's, its files are the user's.
const OF_CAPTURE: &[&str] = &[
    "std::fs",
    "File::open",
    "SystemTime",
    "Instant::now",
    "std::net::Tcp",
];

/// A source file: its path below `src`, and its lines without comments and tests.
struct Source {
    path: PathBuf,
    lines: Vec<String>,
}

impl Source {
    fn room(&self) -> String {
        let first = self.path.components().next().unwrap();
        let name = Path::new(first.as_os_str()).file_stem().unwrap();
        name.to_string_lossy().into_owned()
    }

    fn is_member(&self) -> bool {
        self.path.components().count() > 1 && !self.path.ends_with("mod.rs")
    }

    fn is_of_library(&self) -> bool {
        !["main", "run", "cli"].contains(&self.room().as_str())
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut texts) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push((fs::read_to_string(&path).unwrap(), path));
            }
        }
    }
    let of_tests: Vec<PathBuf> = texts
        .iter()
        .flat_map(|(text, path)| files_of_tests(path, text))
        .collect();
    let kept = texts
        .iter()
        .filter(|(_, path)| !of_tests.contains(path) && *path != root.join("lib.rs"));
    let sources: Vec<Source> = kept
        .map(|(text, path)| Source {
            lines: code(text),
            path: path.strip_prefix(&root).unwrap().to_owned(),
        })
        .collect();
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

/// Lines up to the tests, which stand at the end of a file, without comments and without modules of tests that
/// are files of their own.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            if lines.next().is_some_and(|module| module.ends_with(';')) {
                continue;
            }
            break;
        }
        let comment = line.trim_start().starts_with("//");
        code.push(if comment {
            String::new()
        } else {
            line.to_owned()
        });
    }
    code
}

/// The files of modules that exist for tests alone, as their folder's roof declares them.
fn files_of_tests(roof: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match roof.file_stem() {
        Some(name) if name != "mod" && name != "lib" && name != "main" => roof.with_extension(""),
        _ => roof.parent().unwrap().to_owned(),
    };
    let pairs = text.lines().zip(text.lines().skip(1));
    pairs
        .filter(|(attribute, _)| *attribute == "#[cfg(test)]")
        .filter_map(|(_, module)| module.strip_suffix(';')?.rsplit(' ').next())
        .map(|name| folder.join(format!("{name}.rs")))
        .collect()
}

fn floor(room: &str) -> usize {
    let found = FLOORS.iter().position(|floor| floor.contains(&room));
    found.unwrap_or_else(|| panic!("{room} has no floor in tests/layers.rs"))
}

/// The words that follow `prefix` in a line: `crate::tcp::event` gives `tcp`.
fn names_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

fn fail_on(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn no_arrow_runs_up() {
    let mut complaints = Vec::new();
    for source in sources() {
        let room = source.room();
        let mine = floor(&room);
        for line in &source.lines {
            let library = names_after(line, "gwcap::");
            for name in names_after(line, "crate::")
                .chain(library)
                .filter(|name| *name != room)
            {
                // An empty name is a group, which would hide the arrow.
                if name.is_empty() || floor(name) <= mine {
                    complaints.push(format!("{}: {}", source.path.display(), line.trim()));
                }
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn no_member_imports_its_roof() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.is_member()) {
        let room = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(source.room());
        let is_module =
            |name: &str| room.join(name).is_dir() || room.join(format!("{name}.rs")).is_file();
        let own = format!("crate::{}::", source.room());
        let in_room = source.path.components().count() == 2;
        for line in &source.lines {
            let through_super =
                names_after(line, "use super::").filter(|_| in_room && line.starts_with("use"));
            for name in names_after(line, &own)
                .chain(through_super)
                .filter(|name| !is_module(name))
            {
                complaints.push(format!(
                    "{}: {} ({name})",
                    source.path.display(),
                    line.trim()
                ));
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn the_library_keeps_its_hands_still() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.is_of_library()) {
        let in_capture = source.room() == "capture";
        let for_others = OF_CAPTURE.iter().filter(|_| !in_capture);
        let forbidden: Vec<_> = OF_THE_BINARY.iter().chain(for_others).collect();
        for line in &source.lines {
            if forbidden.iter().any(|word| line.contains(**word)) {
                complaints.push(format!("{}: {}", source.path.display(), line.trim()));
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn every_room_has_a_roof_that_says_what_it_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources() {
        let text = fs::read_to_string(root.join(&source.path)).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} opens without a word",
            source.path.display()
        );
    }
}
