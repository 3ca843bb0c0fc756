//! Tries what the sandbox must forbid. In: nothing. Out: a line for each attempt, with what came of it.
//!
//! The rule: tried for real, in the process that is restricted; what succeeds is undone or harmless.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::{io, thread};

/// Whether everything was refused, and what to print.
pub fn tried() -> (bool, String) {
    let attempts = attempts();
    let mut all_refused = true;
    let lines = attempts.into_iter().map(|(what, outcome)| {
        let refused =
            matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
        all_refused &= refused;
        let word = if refused { "refused" } else { "POSSIBLE" };
        let told = outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        format!("{word}  {what}: {told}\n")
    });
    let lines = lines.collect();
    (all_refused, lines)
}

/// Also from a thread that starts afterwards, because that is who parses.
fn attempts() -> Vec<(&'static str, io::Result<()>)> {
    let shadow = || File::open("/etc/shadow").map(drop);
    let later = thread::spawn(move || (shadow(), UdpSocket::bind("127.0.0.1:0").map(drop)));
    let (file, socket) = later.join().unwrap_or((Ok(()), Ok(())));
    let kept_out = Path::new("/var/tmp").join(format!("gwcap-trial-{}", std::process::id()));
    let made = File::create_new(&kept_out).and_then(|_| std::fs::remove_file(&kept_out));
    vec![
        ("open /etc/shadow", shadow()),
        ("open /etc/shadow in a thread", file),
        ("open /etc/passwd", File::open("/etc/passwd").map(drop)),
        ("make a file in /var/tmp", made),
        ("a UDP socket", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("a UDP socket in a thread", socket),
        ("a TCP listener", TcpListener::bind("127.0.0.1:0").map(drop)),
        (
            "a TCP connection",
            TcpStream::connect("127.0.0.1:9").map(drop),
        ),
        ("a pair of sockets", UnixStream::pair().map(drop)),
        (
            "run a program",
            Command::new("/bin/true").status().map(drop),
        ),
    ]
}
