//! Starts an errand and speaks to it. In: words. Out: a process that takes requests.
//!
//! The rule: nobody waits for an errand: requests stand in a short queue, and what does not fit is counted.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use crate::run::errands::wire::{self, Request};
use crate::run::failure::{Failure, exit};
use crate::run::sandbox::person::Person;

/// The first word that asks for the server of metrics.
pub const SERVE: &str = ":serve-metrics";
/// The first word that asks for the runner of programs.
pub const RUN: &str = ":run-programs";

/// What an errand answers once it is ready.
pub const READY: &str = "ready";

/// Most bytes of what an errand answers at once: a line.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Most requests on their way to an errand: findings of a second of a bad day; each has a few kilobytes.
const REQUESTS_WAITING_MAX: usize = 256;

/// An errand that has started and is spoken to by nobody yet, so that there is still one thread.
pub struct Started {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// An errand at work.
pub struct AtWork {
    child: Child,
    requests: SyncSender<Request>,
    from: BufReader<ChildStdout>,
}

/// Starts an errand as `person`, and waits until it is ready.
///
/// # Errors
/// When it cannot be started, and what it says instead of being ready.
pub fn start(errand: &str, person: &Person, words: &[&str]) -> Result<Started, Failure> {
    let failed = |message: String| Failure {
        code: exit::INPUT,
        message,
    };
    let mut child = Command::new("/proc/self/exe")
        .args([errand, &person.uid.to_string(), &person.gid.to_string()])
        .arg(person.name.as_deref().unwrap_or(""))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C on the terminal is for the capture; the errand ends after it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(format!("cannot start a second process: {error}")))?;
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("cannot speak to the second process".to_owned()));
    };
    let mut from = BufReader::new(from);
    let answer = line(&mut from).unwrap_or_default();
    if answer == READY {
        return Ok(Started { child, to, from });
    }
    drop(to);
    // It has ended, or is about to.
    let _ = child.wait();
    Err(failed(match answer.as_str() {
        "" => "the second process ended at once".to_owned(),
        answer => answer.to_owned(),
    }))
}

impl Started {
    /// Begins to speak to it, in a thread of its own.
    pub fn work(self) -> AtWork {
        let (requests, waiting) = mpsc::sync_channel::<Request>(REQUESTS_WAITING_MAX);
        let mut to = self.to;
        thread::spawn(move || {
            while let Ok(request) = waiting.recv() {
                if wire::write(&request, &mut to).is_err() {
                    return;
                }
            }
        });
        AtWork {
            child: self.child,
            requests,
            from: self.from,
        }
    }
}

impl AtWork {
    /// Asks for something; false when too much waits already, or the errand has gone.
    pub fn ask(&self, request: Request) -> bool {
        !matches!(
            self.requests.try_send(request),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }

    /// Lets it finish what it was asked for, for so long, and gives what it answers.
    pub fn finish(self, patience: Duration) -> Option<String> {
        let Self {
            mut child,
            requests,
            mut from,
        } = self;
        let (send, answer) = mpsc::sync_channel(1);
        let end = requests.clone();
        // Its pipe may be full, and its answer may never come: neither is waited for longer than that.
        thread::spawn(move || {
            if end.send(Request::End).is_ok() {
                let _ = send.send(line(&mut from));
            }
        });
        let answer = answer.recv_timeout(patience).ok();
        drop(requests);
        // It ends with its pipe; where it does not, it is ended.
        if answer.is_none() {
            let _ = child.kill();
        }
        let _ = child.wait();
        answer.and_then(Result::ok).filter(|line| !line.is_empty())
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// An errand ends with its pipe and not by a signal, which may come to the whole group: it has work to finish.
///
/// # Errors
/// When signals cannot be listened for.
pub fn outlive_signals() -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map_err(|error| {
            Failure {
                code: exit::INPUT,
                message: format!("cannot listen for signals: {error}"),
            }
        })?;
    }
    Ok(())
}
