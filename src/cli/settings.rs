//! What the user wants. In: nothing. Out: the types that `cli` makes.

use std::net::IpAddr;
use std::path::PathBuf;

use gwcap::report::Format;

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
    /// Exit with 1 when there are findings.
    pub exit_code: bool,
    /// Names are shown beside addresses.
    pub names: bool,
    /// Secrets stay.
    pub show_secrets: bool,
    /// SHA-256 of the files is wanted.
    pub hash: bool,
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
    /// Whether an input ends when somebody else ends it: an interface or a pipe.
    pub fn ends_elsewhere(&self) -> bool {
        match self {
            Self::Files(files) => files.iter().any(|file| file.as_os_str() == "-"),
            Self::Interfaces(_) => true,
        }
    }
}

/// A report that is wanted.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its format.
    pub format: &'static Format,
    /// Its file; `None` for standard output.
    pub path: Option<PathBuf>,
}
