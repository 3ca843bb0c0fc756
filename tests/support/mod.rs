//! What several test modules need: the cases, and one analysis in this process.

use std::path::{Path, PathBuf};

use gwcap::analyzer::{Analysis, Analyzer, Options};
use gwcap::capture::{self, Fill};
use gwcap::frame::Batch;

/// The folder of the recorded cases.
pub fn cases_root() -> PathBuf {
    match std::env::var_os("GWCAP_CASES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("captures"),
    }
}

/// Whether the cases are others than the committed ones: recorded a moment ago.
pub fn fresh() -> bool {
    std::env::var_os("GWCAP_CASES").is_some()
}

/// All folders with an `expected.json`, in order of name.
pub fn case_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(cases_root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").is_file())
        .collect();
    folders.sort();
    folders
}

/// The capture of a case: pcapng or classic pcap.
pub fn capture_of(folder: &Path) -> PathBuf {
    let pcapng = folder.join("capture.pcapng");
    if pcapng.is_file() {
        pcapng
    } else {
        folder.join("capture.pcap")
    }
}

/// Analyses one file. `threads` 0 takes one a core; `batch_bytes` is the size of a batch.
pub fn analyse(path: &Path, threads: usize, batch_bytes: usize) -> Analysis {
    try_analyse(path, threads, batch_bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Analyses one file, or says why it cannot be read.
pub fn try_analyse(
    path: &Path,
    threads: usize,
    batch_bytes: usize,
) -> Result<Analysis, capture::CaptureError> {
    let mut source = capture::open_file(path, 0, None)?;
    let mut analyzer = Analyzer::new(Options {
        threads,
        ..Options::default()
    });
    let mut batch = Batch::default();
    loop {
        let fill = source.fill(&mut batch, batch_bytes)?;
        analyzer.feed(&batch);
        if matches!(fill, Fill::End) {
            return Ok(analyzer.finish());
        }
    }
}
