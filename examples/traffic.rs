//! Writes a capture of gateway traffic of any size, the same for the same words: see `--help`.

#![allow(clippy::print_stderr, missing_docs)]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use traffic::{Bodies, Format, Kind, Link, Plan};

const USAGE: &str = "\
usage: traffic KIND [--size 300M] [--errors N] [--seed N] [--link sll|sll2|ethernet] [--format pcap|pcapng]
               [--bodies text|binary|capture] [--slow-gateway]
               [-o FILE] [--failures FILE]

KIND is mixed, short, bulk, flood or disturbed. A size is in bytes, or with k, M or G; without one the capture has the
usual size of its kind. Without -o it goes to standard output. What was written is told on
standard error; --failures lists each exchange that fails: client, path, status, cause.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match parse(&words) {
        Some((plan, paths)) => run(&plan, &paths),
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traffic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan, paths: &Paths<'_>) -> io::Result<()> {
    let to: Box<dyn Write> = match paths.capture {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let written = traffic::write(plan, to)?;
    eprintln!(
        "{} bytes, {} frames, {} connections, {} exchanges, {} errors",
        written.bytes,
        written.frames,
        written.connections,
        written.exchanges,
        written.failures.len()
    );
    if let Some(path) = paths.failures {
        let mut list = io::BufWriter::new(File::create(path)?);
        for failure in &written.failures {
            let [a, b, c, d] = failure.client.address;
            let (port, path) = (failure.client.port, failure.path);
            let (status, cause) = (failure.status, failure.cause);
            writeln!(
                list,
                "{a}.{b}.{c}.{d}:{port}\t/api/items/{path}\t{status}\t{cause}"
            )?;
        }
        list.flush()?;
    }
    Ok(())
}

/// Where to write.
#[derive(Default)]
struct Paths<'w> {
    capture: Option<&'w str>,
    failures: Option<&'w str>,
}

fn parse(words: &[String]) -> Option<(Plan, Paths<'_>)> {
    let (kind, mut rest) = words.split_first()?;
    let (_, kind) = Kind::ALL.into_iter().find(|(name, _)| name == kind)?;
    let mut plan = Plan::new(kind);
    let mut paths = Paths::default();
    while let Some((name, after)) = rest.split_first() {
        if name == "--slow-gateway" {
            plan.slow_gateway = true;
            rest = after;
            continue;
        }
        let (value, after) = after.split_first()?;
        match (name.as_str(), value.as_str()) {
            ("--size", size) => plan.bytes = bytes(size)?,
            ("--errors", count) => plan.errors = count.parse().ok()?,
            ("--seed", seed) => plan.seed = seed.parse().ok()?,
            ("--link", "sll") => plan.link = Link::Sll,
            ("--link", "sll2") => plan.link = Link::Sll2,
            ("--link", "ethernet") => plan.link = Link::Ethernet,
            ("--format", "pcap") => plan.format = Format::Pcap,
            ("--format", "pcapng") => plan.format = Format::Pcapng,
            ("--bodies", "text") => plan.bodies = Bodies::Text,
            ("--bodies", "binary") => plan.bodies = Bodies::Binary,
            ("--bodies", "capture") => plan.bodies = Bodies::Capture,
            ("-o", file) => paths.capture = Some(file),
            ("--failures", file) => paths.failures = Some(file),
            _ => return None,
        }
        rest = after;
    }
    Some((plan, paths))
}

/// A size as it is written: 300M.
fn bytes(size: &str) -> Option<u64> {
    let (number, unit) = match size.char_indices().last()? {
        (at, 'k') => (size.get(..at)?, 1_000),
        (at, 'M') => (size.get(..at)?, 1_000_000),
        (at, 'G') => (size.get(..at)?, 1_000_000_000),
        _ => (size, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}
