//! An upstream of the lab that speaks TLS by rustls, as Rust services do: other alerts, tickets and ends than OpenSSL's.
//!
//! In: an address, a certificate, what it demands, and an answer for each request. Out: a line of JSON for each event, on
//! the standard output, with rustls's own words where a handshake fails.
//!
//! The rule: what ends a connection is what rustls and the kernel do when a service lets go of it; nothing is made up.

#![allow(missing_docs)]

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream, SupportedProtocolVersion};
use serde_json::{Value, json};

/// Longer than any gateway of the lab waits.
const LONGEST_SILENCE: Duration = Duration::from_secs(6);
/// A recording needs a handful; whoever wants more has found the wrong program.
const MOST_CONNECTIONS: usize = 10_000;
/// The requests of the lab's clients have a few hundred bytes.
const LONGEST_HEAD: usize = 64 << 10;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

#[derive(Parser)]
#[command(about = "An HTTP/1.1 upstream inside of TLS, by rustls, for the lab of captures/")]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The certificate that is shown, with its chain (PEM)
    #[arg(long)]
    certificate: PathBuf,
    /// Its key (PEM)
    #[arg(long)]
    key: PathBuf,
    /// The versions that are taken
    #[arg(long, value_delimiter = ',', default_value = "1.2,1.3")]
    versions: Vec<Version>,
    /// Demand a certificate of the client, of an issuer in this file
    #[arg(long)]
    client_ca: Option<PathBuf>,
    /// Speak these application protocols alone
    #[arg(long, value_delimiter = ',')]
    alpn: Vec<String>,
    /// Show the certificate only to who asks for this name
    #[arg(long)]
    only_named: Option<String>,
    /// What the requests get, in the order in which they come; "ok" is what all further ones get
    #[arg(long, value_delimiter = ',', default_value = "ok")]
    answers: Vec<Answer>,
}

#[derive(Clone, Copy)]
struct Version(&'static SupportedProtocolVersion);

impl FromStr for Version {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "1.2" => Ok(Self(&TLS12)),
            "1.3" => Ok(Self(&TLS13)),
            _ => Err("1.2 or 1.3".to_owned()),
        }
    }
}

/// What is done with a request. The words are those of `captures/lab/steps.py`.
#[derive(Clone, Copy)]
enum Answer {
    Ok,
    Status(u16),
    /// The connection is dropped: a FIN, and no word of TLS before it.
    Close,
    /// As a service does that shuts its TLS down before it leaves.
    CloseNotify,
    Reset,
    Hang,
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.split_once(':') {
            None if word == "ok" => Ok(Self::Ok),
            None if word == "close" => Ok(Self::Close),
            None if word == "close-notify" => Ok(Self::CloseNotify),
            None if word == "reset" => Ok(Self::Reset),
            None if word == "hang" => Ok(Self::Hang),
            Some(("status", status)) => status
                .parse()
                .map(Self::Status)
                .map_err(|error| format!("status: {error}")),
            _ => Err("ok, status:N, close, close-notify, reset or hang".to_owned()),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => out.write_str("ok"),
            Self::Status(status) => write!(out, "status:{status}"),
            Self::Close => out.write_str("close"),
            Self::CloseNotify => out.write_str("close-notify"),
            Self::Reset => out.write_str("reset"),
            Self::Hang => out.write_str("hang"),
        }
    }
}

/// What all connections share.
struct Service {
    config: Arc<ServerConfig>,
    answers: Vec<Answer>,
    asked: AtomicUsize,
}

/// One accepted connection, by the names that the lab's book has for it.
struct Peer {
    number: usize,
    local: SocketAddr,
    peer: SocketAddr,
}

fn main() -> ExitCode {
    match listen(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this cannot be said, the exit code says it.
            let _ = writeln!(io::stderr(), "tls_upstream: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn listen(arguments: Arguments) -> anyhow::Result<()> {
    let config = Arc::new(config(&arguments)?);
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let service = Arc::new(Service {
        config,
        answers: arguments.answers,
        asked: AtomicUsize::new(0),
    });
    for (number, accepted) in listener.incoming().take(MOST_CONNECTIONS).enumerate() {
        // A connection that is gone before it is taken is no reason to end.
        let Ok(stream) = accepted else { continue };
        let service = Arc::clone(&service);
        thread::spawn(move || serve(&service, stream, number));
    }
    Ok(())
}

fn config(arguments: &Arguments) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<_> = arguments.versions.iter().map(|version| version.0).collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?;
    let builder = match &arguments.client_ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for issuer in certificates(path)? {
                roots.add(issuer)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            builder.with_client_cert_verifier(verifier.build()?)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&arguments.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key)
        .with_context(|| arguments.key.display().to_string())?;
    let mut config = match &arguments.only_named {
        Some(name) => {
            let mut named = ResolvesServerCertUsingSni::new();
            named.add(name, CertifiedKey::from_der(chain, key, &provider)?)?;
            builder.with_cert_resolver(Arc::new(named))
        }
        None => builder.with_single_cert(chain, key)?,
    };
    config.alpn_protocols = arguments
        .alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect();
    Ok(config)
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| path.display().to_string())
}

fn serve(service: &Service, stream: TcpStream, number: usize) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else {
        return;
    };
    let peer = Peer {
        number,
        local,
        peer,
    };
    // Without a reader of the book there is nobody left to serve for.
    let _ = converse(service, stream, &peer);
}

/// A connection from its handshake to its end.
fn converse(service: &Service, mut stream: TcpStream, peer: &Peer) -> io::Result<()> {
    peer.note("accept", json!({}))?;
    stream.set_read_timeout(Some(LONGEST_SILENCE))?;
    stream.set_write_timeout(Some(LONGEST_SILENCE))?;
    // An answer is one small record: it shall not wait for the acknowledgement of the tickets.
    stream.set_nodelay(true)?;
    let mut tls = ServerConnection::new(Arc::clone(&service.config)).map_err(io::Error::other)?;
    // One call reads and writes until the handshake is over, and sends the alert where it fails.
    if let Err(error) = tls.complete_io(&mut stream) {
        return peer.note("handshake-failed", json!({ "error": error.to_string() }));
    }
    let version = tls.protocol_version().and_then(|version| version.as_str());
    peer.note("handshake-done", json!({ "version": version }))?;
    for request in 0.. {
        let head = match read_head(&mut Stream::new(&mut tls, &mut stream)) {
            Ok(Some(head)) => head,
            Ok(None) => return peer.note("peer-closed", json!({})),
            Err(error) => return peer.note("peer-ended", json!({ "how": error.to_string() })),
        };
        let answer = service.next_answer();
        let (method, target) = asked_for(&head);
        peer.note(
            "request",
            json!({ "request": request, "method": method, "target": target, "step": answer.to_string() }),
        )?;
        if !give(answer, &mut tls, &mut stream, peer)? {
            break;
        }
        peer.note("answered", json!({ "request": request }))?;
    }
    Ok(())
}

/// Does what the plan says with a request. False when the connection is over.
fn give(
    answer: Answer,
    tls: &mut ServerConnection,
    stream: &mut TcpStream,
    peer: &Peer,
) -> io::Result<bool> {
    match answer {
        Answer::Ok => send(
            tls,
            stream,
            "200 OK",
            "The quick brown fox jumps over the lazy dog.\n",
        ),
        Answer::Status(status) => send(
            tls,
            stream,
            &format!("{status} Of The Application"),
            &format!("the application says {status}\n"),
        ),
        Answer::Close => peer.note("closed", json!({ "how": "fin" })).map(|()| false),
        Answer::CloseNotify => {
            peer.note("closed", json!({ "how": "close_notify, fin" }))?;
            tls.send_close_notify();
            tls.complete_io(stream)?;
            Ok(false)
        }
        Answer::Reset => {
            peer.note("reset", json!({ "how": "rst" }))?;
            // A linger of zero makes the reset when the socket is closed.
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Answer::Hang => {
            // The gateway leaves, or the timeout of the socket ends this.
            let _ = Stream::new(tls, stream).read(&mut [0; 64]);
            peer.note("peer-closed", json!({})).map(|()| false)
        }
    }
}

fn send(
    tls: &mut ServerConnection,
    stream: &mut TcpStream,
    status: &str,
    body: &str,
) -> io::Result<bool> {
    let length = body.len();
    let message = format!(
        "HTTP/1.1 {status}\r\nServer: shop\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = Stream::new(tls, stream);
    stream.write_all(message.as_bytes())?;
    stream.flush().map(|()| true)
}

/// The next head, or nothing where the peer left before it began one.
fn read_head(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head
        .windows(END_OF_HEAD.len())
        .any(|four| four == END_OF_HEAD)
    {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        head.extend(buffer.iter().take(length));
        if head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(Some(head))
}

/// Method and target, as far as there are any.
fn asked_for(head: &[u8]) -> (String, String) {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line
        .split(|&byte| byte == b' ')
        .map(String::from_utf8_lossy);
    let mut next = || words.next().unwrap_or_default().into_owned();
    (next(), next())
}

impl Service {
    fn next_answer(&self) -> Answer {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers.get(number).copied().unwrap_or(Answer::Ok)
    }
}

impl Peer {
    /// A line of the book. The standard output is flushed with each, so that none is lost when the lab ends this process.
    fn note(&self, event: &str, facts: Value) -> io::Result<()> {
        let mut line = json!({
            "time": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            "event": event,
            "local": self.local.to_string(),
            "peer": self.peer.to_string(),
            "connection": self.number,
        });
        if let (Value::Object(line), Value::Object(facts)) = (&mut line, facts) {
            line.extend(facts);
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
