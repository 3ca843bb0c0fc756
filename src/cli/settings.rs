//! What the user wants. In: nothing. Out: the types that `cli` makes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use gwcap::report::Format;
use gwcap::report::evidence::Reach;

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// Analyse a capture.
    Analyse(Box<Settings>),
    /// Print a manual page.
    Explain(String),
    /// List the causes.
    ListCauses,
    /// List the interfaces.
    ListInterfaces,
    /// Print the JSON Schema.
    Schema,
}

/// How to analyse.
#[derive(Debug)]
pub struct Settings {
    /// Where frames come from.
    pub inputs: Inputs,
    /// A BPF expression.
    pub filter: Option<String>,
    /// Where reports go, at least one.
    pub outputs: Vec<Output>,
    /// Where the frames go that the filter matches.
    pub write: Option<Write>,
    /// Where all captured frames go.
    pub write_all: Option<PathBuf>,
    /// Where the frames go that findings rest on.
    pub evidence: Option<Evidence>,
    /// Frames after which reading stops.
    pub count_max: Option<u64>,
    /// Live: bytes kept of a frame; 0 for all.
    pub snap_length: u32,
    /// Live: frames for other machines are wanted.
    pub promiscuous: bool,
    /// Live: KiB of the kernel's buffer; 0 for the usual.
    pub buffer_kib: u32,
    /// Live: the filter is taken literally.
    pub strict_filter: bool,
    /// Only the summary.
    pub quiet: bool,
    /// Addresses that are gateways.
    pub gateways: Vec<IpAddr>,
    /// Addresses that are upstreams.
    pub upstreams: Vec<IpAddr>,
    /// Statuses that are gateway errors too.
    pub statuses: Vec<u16>,
    /// One machine captured all files.
    pub one_machine: bool,
    /// TLS key logs.
    pub key_logs: Vec<PathBuf>,
    /// Private keys of servers.
    pub private_keys: Vec<PathBuf>,
    /// Roots that judge certificates; `None` for those of this machine.
    pub ca_bundle: Option<PathBuf>,
    /// Exit with 1 when there are findings.
    pub exit_code: bool,
    /// Names are shown beside addresses.
    pub names: bool,
    /// Secrets stay.
    pub show_secrets: bool,
    /// SHA-256 of the files is wanted.
    pub hash: bool,
    /// Whom to become once the inputs are open.
    pub user: Option<String>,
    /// What of the sandbox cannot be had is an error.
    pub require_sandbox: bool,
    /// Try the sandbox and end.
    pub check_sandbox: bool,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// What is run for each finding.
    pub on_finding: Option<OnFinding>,
    /// Threads; `None` for as many as there are processors.
    pub threads: Option<usize>,
    /// Bytes read at once; `None` for the usual.
    pub batch_bytes: Option<usize>,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Files; `-` is standard input.
    Files(Vec<PathBuf>),
    /// Interfaces.
    Interfaces(Vec<String>),
}

impl Inputs {
    /// The files; none where interfaces are read.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Files(files) => files,
            Self::Interfaces(_) => &[],
        }
    }

    /// Whether an input ends when somebody else ends it: an interface or a pipe.
    pub fn ends_elsewhere(&self) -> bool {
        match self {
            Self::Files(files) => files.iter().any(|file| file.as_os_str() == "-"),
            Self::Interfaces(_) => true,
        }
    }
}

/// A file for frames, and when the next one begins: as in tcpdump(8).
#[derive(Clone, Debug)]
pub struct Write {
    /// Its name, for strftime where `seconds` are given; `-` for standard output.
    pub path: PathBuf,
    /// Seconds after which a new file begins.
    pub seconds: Option<u32>,
    /// Bytes after which a new file begins.
    pub bytes: Option<u64>,
    /// Files.
    pub count: Option<u32>,
}

impl Write {
    /// Whether it goes to standard output.
    pub fn is_stdout(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Whether it begins further files later.
    pub const fn rotates(&self) -> bool {
        self.seconds.is_some() || self.bytes.is_some()
    }
}

/// Frames of findings that are wanted.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// A folder where the input ends elsewhere, else a file.
    pub path: PathBuf,
    /// What belongs to a failure.
    pub reach: Reach,
    /// Memory for the last frames.
    pub ring_bytes: usize,
    /// Most files.
    pub keep: usize,
    /// Whether the files hold the secrets of their connections.
    pub with_secrets: bool,
}

/// A program that is run for each finding.
#[derive(Clone, Debug)]
pub struct OnFinding {
    /// For `sh -c`.
    pub command: String,
    /// Seconds after which it is ended.
    pub seconds: u64,
}

/// A report that is wanted.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its format.
    pub format: &'static Format,
    /// Its file; `None` for standard output.
    pub path: Option<PathBuf>,
}
