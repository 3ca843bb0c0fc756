//! The flags and their help. In: the words of the command line. Out: [`Flags`], as they were typed.
//!
//! The rule: a letter that tcpdump has means here what it means there. What is not there yet is refused by
//! name, so that nobody waits for a file that is never written.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use crate::cli::{address, amount};

/// What people type. Lines of at most 100 columns: clap wraps longer ones.
pub const EXAMPLES: &str = "\
Examples:
  gwcap capture.pcap                         why did the gateway in this capture fail?
  gwcap -i any port 80 or 443                watch live; Ctrl-C prints the report
  gwcap -r capture.pcap -f json -o out.json  for programs (--schema tells the format)
  gwcap -i any --evidence failures/          the frames of each incident, while disk stays untouched otherwise
  tcpdump -i any -U -w - | gwcap -r -        read a pipe
  gwcap --explain connect-refused            the manual page of a cause; without a code, the list

Capture on the gateway's host: the ports that clients use, the ports of the upstreams, and ICMP.";

/// After the examples of the long help.
const EXIT_CODES: &str = "\
Exit codes:
  0 analysed, whatever was found             3 the input cannot be read (or no --require-sandbox)
  1 findings (only with --exit-code)         4 analysed in part; the report says where
  2 wrong usage                              5 the output cannot be written";

/// Names the cause of every gateway error (502, 503, 504 and their kin) in a packet capture, and proves it
/// with frame numbers.
#[derive(Debug, Parser)]
#[command(
    name = "gwcap",
    version,
    max_term_width = 100,
    after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    override_usage = "gwcap [OPTIONS] [FILE]... [FILTER]...\n       gwcap [OPTIONS] -i IFACE [FILTER]..."
)]
pub struct Flags {
    /// Read this capture file (pcap, pcapng); may repeat; `-` reads standard input
    #[arg(
        short = 'r',
        long = "read",
        value_name = "FILE",
        conflicts_with = "interfaces"
    )]
    pub files: Vec<PathBuf>,

    /// Capture on this interface (`any` for all of Linux's); may repeat
    #[arg(short = 'i', long = "interface", value_name = "IFACE")]
    pub interfaces: Vec<String>,

    /// Capture files, up to the first word that names none; then a filter as in tcpdump (`port 80 or icmp`)
    #[arg(value_name = "FILE or FILTER")]
    pub words: Vec<OsString>,

    /// After `--` every word belongs to the filter
    #[arg(last = true, value_name = "FILTER", hide = true)]
    pub filter: Vec<String>,

    /// Format of the report: text, json or ndjson; repeats in pairs with -o
    #[arg(
        short = 'f',
        long = "format",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub formats: Vec<String>,

    /// Write the report to this file instead of standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,

    /// Stop after this many frames
    #[arg(short = 'c', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Live: keep at most this many bytes of a frame; 0 keeps all
    #[arg(short = 's', value_name = "SNAPLEN", default_value_t = 0)]
    pub snap_length: u32,

    /// Write the frames that the filter matches to this file (pcapng); `-` is standard output, the report then goes to
    /// standard error
    #[arg(short = 'w', value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// With -w: begin a new file every so many seconds; FILE may hold a time as in strftime (`%H%M%S`)
    #[arg(short = 'G', value_name = "SECONDS", requires = "write", value_parser = clap::value_parser!(u32).range(1..))]
    pub rotate_seconds: Option<u32>,

    /// With -w: begin a new file (FILE1, FILE2, ..) beyond so many million bytes; K, M and G are powers of 1024
    #[arg(short = 'C', value_name = "SIZE", requires = "write", value_parser = amount::millions)]
    pub rotate_bytes: Option<u64>,

    /// With -C: write at most so many files and begin again with the first; with -G alone: stop after so many
    #[arg(short = 'W', value_name = "COUNT", requires = "write", value_parser = clap::value_parser!(u32).range(1..))]
    pub rotate_count: Option<u32>,

    /// With -w: write frames as soon as they are seen, ten times a second; it is always so
    #[arg(short = 'U')]
    pub unbuffered: bool,

    /// Live: write all frames that were captured, those too that only the analysis asked for (pcapng)
    #[arg(long, value_name = "FILE")]
    pub write_all: Option<PathBuf>,

    /// The frames that the findings rest on, with comments: live or from a pipe one file an incident in this folder,
    /// else one file
    #[arg(long, value_name = "DIR or FILE")]
    pub evidence: Option<PathBuf>,

    /// With --evidence: from how long before the request frames are kept (`10s`, `500ms`, `2m`)
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "evidence", value_parser = amount::nanos)]
    pub before: i64,

    /// With --evidence: until how long after the error
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "evidence", value_parser = amount::nanos)]
    pub after: i64,

    /// With --evidence: the files hold the TLS secrets of their connections (of --keylog, and of pcapng inputs), so that others
    /// can read them
    #[arg(long, requires = "evidence")]
    pub with_secrets: bool,

    /// With --evidence, live or from a pipe: memory for the last frames (`64M`, `1G`)
    #[arg(long, value_name = "BYTES", default_value = "64M", requires = "evidence", value_parser = amount::ring_bytes)]
    pub ring: usize,

    /// With --evidence, live or from a pipe: keep at most so many files; the oldest is removed
    #[arg(long, value_name = "N", default_value_t = 100, requires = "evidence", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keep: u32,

    /// Show addresses and no names (else those of the file, and of DNS answers in the capture; nobody is asked)
    #[arg(short = 'n', action = clap::ArgAction::Count)]
    pub no_names: u8,

    /// Print only the lines of the summary
    #[arg(short = 'q', long)]
    pub quiet: bool,

    /// Live: do not put the interface into promiscuous mode
    #[arg(short = 'p')]
    pub not_promiscuous: bool,

    /// Live: size of the kernel's buffer in KiB [default: 16384]
    #[arg(short = 'B', value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..=2_097_151))]
    pub buffer_kib: Option<u32>,

    /// Live: take the filter literally; else what diagnosis needs is added to it, and said
    #[arg(long)]
    pub strict_filter: bool,

    /// Read the filter from FILE, `#` begins a comment; as in tcpdump, a filter among the words is then ignored
    #[arg(short = 'F', value_name = "FILE")]
    pub filter_file: Option<PathBuf>,

    /// As root: become this user once the inputs are open [default, live: who called sudo, else nobody]
    #[arg(short = 'Z', value_name = "USER")]
    pub user: Option<String>,

    /// End with 3 where the kernel cannot confine gwcap as it should (live, what is missing is said in any case)
    #[arg(long)]
    pub require_sandbox: bool,

    /// Enter the sandbox, try what it must refuse, print the outcome and end
    #[arg(long)]
    pub check_sandbox: bool,

    /// Live or from a pipe: serve Prometheus metrics at /metrics (`9100` or `127.0.0.1:9100`: to this machine alone)
    #[arg(long, value_name = "ADDR", value_parser = address::listening)]
    pub metrics: Option<SocketAddr>,

    /// Live or from a pipe: run `sh -c CMD` once for each finding, with the finding as JSON on standard input and
    /// GWCAP_CAUSE, GWCAP_STATUS, GWCAP_GATEWAY, GWCAP_UPSTREAM and others in the environment
    #[arg(long, value_name = "CMD")]
    pub on_finding: Option<String>,

    /// With --on-finding: end a program that takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "on_finding", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub on_finding_timeout: u64,

    /// List the interfaces
    #[arg(short = 'D', long = "list-interfaces")]
    pub list_interfaces: bool,

    /// This address is a gateway; may repeat
    #[arg(long, value_name = "ADDR")]
    pub gateway: Vec<IpAddr>,

    /// This address is an upstream; may repeat
    #[arg(long, value_name = "ADDR")]
    pub upstream: Vec<IpAddr>,

    /// One machine captured all files: read them by one clock, without comparing them
    #[arg(long)]
    pub one_machine: bool,

    /// Treat these statuses as gateway errors too: `--status 500,520`
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(100..=999))]
    pub status: Vec<u16>,

    /// Decrypt TLS with this key log (as browsers and OpenSSL write it for SSLKEYLOGFILE); live it may grow; may repeat
    #[arg(long, value_name = "FILE")]
    pub keylog: Vec<PathBuf>,

    /// Decrypt TLS 1.2 of a server whose key exchange is static RSA with its private key (PEM); may repeat
    #[arg(long, value_name = "FILE")]
    pub private_key: Vec<PathBuf>,

    /// Judge certificates by the roots in this file (PEM), best the gateway's own; else by those of this machine
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,

    /// Exit with 1 when there are findings
    #[arg(long)]
    pub exit_code: bool,

    /// Do not take secrets out of the report
    #[arg(long)]
    pub show_secrets: bool,

    /// Put the SHA-256 of the files into the report
    #[arg(long)]
    pub hash: bool,

    /// Threads for the analysis; the report does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// The manual page of a cause; without a code, the list of causes
    #[arg(long, value_name = "CODE", num_args = 0..=1)]
    pub explain: Option<Option<String>>,

    /// Print the JSON Schema of the report
    #[arg(long)]
    pub schema: bool,

    /// Bytes that are read at once; the report does not depend on it
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(4096..=1 << 30))]
    pub batch_bytes: Option<u64>,
}
