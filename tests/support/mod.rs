//! What several test modules need: the cases, and one analysis in this process.

pub mod frames;
pub mod packet;
pub mod pcap;
pub mod random;
pub mod repeat;
pub mod tls;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gwcap::analyzer::clock::{Look, Watch, first_look};
use gwcap::analyzer::{Analysis, Analyzer, Options};
use gwcap::capture::{self, CaptureError, Fill, InputFacts, Merge};
use gwcap::frame::Batch;
use gwcap::loss::Loss;
use gwcap::report::{self, Report, View};
use serde::Deserialize;

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

/// The recordings of a case in the order in which they are to be read. A case that names none has one: pcapng or
/// classic pcap.
pub fn inputs_of(folder: &Path) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        inputs: Vec<String>,
    }
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let named: Named = serde_json::from_str(&text).unwrap();
    if !named.inputs.is_empty() {
        return named.inputs.iter().map(|name| folder.join(name)).collect();
    }
    let pcapng = folder.join("capture.pcapng");
    if pcapng.is_file() {
        vec![pcapng]
    } else {
        vec![folder.join("capture.pcap")]
    }
}

/// The capture of a case, for tests of one file: the first of its recordings.
pub fn capture_of(folder: &Path) -> PathBuf {
    inputs_of(folder).swap_remove(0)
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
) -> Result<Analysis, CaptureError> {
    Run::of(path, threads, batch_bytes).map(|run| run.analysis)
}

/// What one analysis gave, with the facts and losses of its input: what the program makes its report of.
pub struct Run {
    /// Findings and losses, those of the input included.
    pub analysis: Analysis,
    /// The facts of the inputs, in the order in which they were named.
    pub inputs: Vec<InputFacts>,
}

impl Run {
    /// Analyses one file, or says why it cannot be read.
    pub fn of(path: &Path, threads: usize, batch_bytes: usize) -> Result<Self, CaptureError> {
        Self::of_all(&[path], threads, batch_bytes)
    }

    /// Analyses several files of one run together, as the program does, or says why one cannot be read.
    pub fn of_all(
        paths: &[impl AsRef<Path>],
        threads: usize,
        batch_bytes: usize,
    ) -> Result<Self, CaptureError> {
        Self::filtered(paths, None, threads, batch_bytes)
    }

    /// The same with a filter.
    pub fn filtered(
        paths: &[impl AsRef<Path>],
        filter: Option<&str>,
        threads: usize,
        batch_bytes: usize,
    ) -> Result<Self, CaptureError> {
        let open =
            |(input, path): (u16, &_)| capture::open_file(AsRef::as_ref(path), input, filter);
        let sources: Result<Vec<_>, _> = (0..).zip(paths).map(open).collect();
        let look = match paths {
            [_] => Look::default(),
            paths => {
                let files: Vec<_> = paths
                    .iter()
                    .map(|path| Some(path.as_ref().into()))
                    .collect();
                first_look(&files, threads, &Watch::default())
            }
        };
        let mut source = Merge::new(sources?).corrected(&look.clocks.errors());
        let mut analyzer = Analyzer::new(Options {
            threads,
            clocks: look.clocks,
            ..Options::default()
        });
        let (mut batch, mut lost) = (Batch::default(), Loss::default());
        loop {
            let fill = source.fill(&mut batch, batch_bytes)?;
            lost.merge(source.loss());
            analyzer.feed(&batch);
            if matches!(fill, Fill::End) {
                break;
            }
        }
        let mut analysis = analyzer.finish();
        analysis.loss.merge(lost);
        analysis.diagnosis.warnings.splice(0..0, look.warnings);
        Ok(Self {
            analysis,
            inputs: source.describe(),
        })
    }

    /// Analyses one file with the lines of a TLS key log.
    pub fn with_key_log(path: &Path, log: &[u8]) -> Self {
        let mut source = Merge::new(vec![capture::open_file(path, 0, None).unwrap()]);
        let mut analyzer = Analyzer::new(Options::default());
        analyzer.add_key_log(log);
        let mut batch = Batch::default();
        while source.fill(&mut batch, 1 << 20).unwrap() != Fill::End || !batch.records.is_empty() {
            analyzer.feed(&batch);
        }
        let mut analysis = analyzer.finish();
        analysis.loss.merge(source.loss());
        Self {
            analysis,
            inputs: source.describe(),
        }
    }

    /// Frames that were read from all inputs.
    pub fn frames(&self) -> u64 {
        self.inputs.iter().map(|input| input.frames).sum()
    }

    /// The report as the program makes it.
    pub fn report(&self, show_secrets: bool) -> Report<'_> {
        Report::from(&report::Analysis {
            diagnosis: &self.analysis.diagnosis,
            inputs: &self.inputs,
            hashes: &[],
            loss: &self.analysis.loss,
            gwcap_version: env!("CARGO_PKG_VERSION"),
            show_secrets,
            show_names: true,
        })
    }
}

/// A report in one of the formats.
pub fn written(report: &Report, format: &str) -> String {
    let format = report::format_by_name(format).unwrap();
    let mut bytes = Vec::new();
    (format.write)(report, &View::default(), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Fails where a JSON report breaks the schema that gwcap publishes.
pub fn assert_schema(json: &str, name: &str) {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let schema = serde_json::from_str(&report::schema()).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    });
    let value = serde_json::from_str(json).unwrap();
    let errors: Vec<String> = schema
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{name}: {}", errors.join("; "));
}
