//! The errand that runs --on-finding. In: findings. Out: a program for each, one at a time, and in the end how it went.
//!
//! The rule: `sh -c` gets the user's own words and nothing else; what comes from the wire goes to its standard input, and a
//! few values of known shape to its environment. What it prints is thrown away: the terminal is the report's.

use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::run::errands::commands::Tally;
use crate::run::errands::start::READY;
use crate::run::errands::wire::{self, Program, Request};
use crate::run::failure::{Failure, exit};
use crate::run::sandbox;
use crate::run::sandbox::limits::{Errand, Limits};
use crate::run::sandbox::person::Person;

/// Most findings that wait for the program: an outage brings more than anybody wants to be called for.
const WAITING_MAX: usize = 100;

/// How long all that still waits may take when the capture is over.
pub const END_PATIENCE: Duration = Duration::from_secs(10);

/// Between SIGTERM and SIGKILL to a program that ran out of time.
const TERM_PATIENCE: Duration = Duration::from_secs(1);

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs programs until the pipe ends.
///
/// # Errors
/// A request of another kind.
pub fn programs(command: &str, seconds: u64, person: Person) -> Result<(), Failure> {
    let limits = Limits {
        person: Some(person).filter(|_| nix::unistd::geteuid().is_root()),
        errand: Errand::RunsPrograms,
        ..Limits::default()
    };
    sandbox::enter(&limits)?;
    if writeln!(io::stdout(), "{READY}").is_err() {
        return Ok(());
    }
    let (send, waiting) = mpsc::sync_channel(WAITING_MAX);
    let state = Arc::new(State::default());
    let heard = Arc::clone(&state);
    thread::spawn(move || hear(&mut io::stdin().lock(), &send, &heard));
    let runner = Runner {
        command,
        patience: Duration::from_secs(seconds),
        state: &state,
    };
    let tally = runner.run(&waiting);
    if state.strange.load(Ordering::Relaxed) {
        return Err(Failure {
            code: exit::INPUT,
            message: "programs are run here, and nothing else is done".to_owned(),
        });
    }
    // Where nobody reads it any more there is nothing to tell.
    let _ = serde_json::to_writer(io::stdout(), &tally).map(|()| writeln!(io::stdout()));
    Ok(())
}

/// What was heard at the pipe.
#[derive(Default)]
struct State {
    /// The other end has gone: nothing is to be left behind.
    gone: AtomicBool,
    /// Something that is no finding.
    strange: AtomicBool,
    /// When it was heard that nothing more comes.
    ending: OnceLock<Instant>,
    dropped: AtomicU64,
}

/// What the runner waits for.
enum Heard {
    Program(Program),
    End,
}

fn hear(from: &mut impl Read, send: &SyncSender<Heard>, state: &State) {
    loop {
        match wire::read(from) {
            Ok(Some(Request::Program(program))) => {
                if let Err(TrySendError::Full(_)) = send.try_send(Heard::Program(program)) {
                    state.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(Some(Request::End)) => {
                state.ending.get_or_init(Instant::now);
                // Waits until there is room; the runner makes some.
                if send.send(Heard::End).is_err() {
                    return;
                }
            }
            Ok(Some(Request::Page(_))) | Err(_) => {
                state.strange.store(true, Ordering::Relaxed);
                state.gone.store(true, Ordering::Relaxed);
                return;
            }
            Ok(None) => {
                state.gone.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}

struct Runner<'a> {
    command: &'a str,
    patience: Duration,
    state: &'a State,
}

impl Runner<'_> {
    fn run(&self, waiting: &Receiver<Heard>) -> Tally {
        let mut tally = Tally::default();
        while !self.is_left_alone() {
            match waiting.recv_timeout(LOOK) {
                // What is not begun in time is not begun.
                Ok(Heard::Program(_)) if self.is_late() => {
                    tally.dropped = tally.dropped.saturating_add(1);
                }
                Ok(Heard::Program(program)) => self.one(&program, &mut tally),
                Ok(Heard::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        tally.dropped = tally.dropped.saturating_add(dropped);
        tally
    }

    fn is_left_alone(&self) -> bool {
        self.state.gone.load(Ordering::Relaxed)
    }

    /// Whether the capture has been over for too long.
    fn is_late(&self) -> bool {
        let ending = self.state.ending.get();
        ending.is_some_and(|since| since.elapsed() >= END_PATIENCE)
    }

    fn one(&self, program: &Program, tally: &mut Tally) {
        tally.ran = tally.ran.saturating_add(1);
        match spawn(self.command, program) {
            Ok(child) => self.watch(child, tally),
            Err(_) => tally.failed = tally.failed.saturating_add(1),
        }
    }

    fn watch(&self, mut child: Child, tally: &mut Tally) {
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return,
                Ok(Some(_)) | Err(_) => {
                    tally.failed = tally.failed.saturating_add(1);
                    return;
                }
                Ok(None) => {}
            }
            if self.is_left_alone() {
                end(&mut child, Duration::ZERO);
                return;
            }
            if begun.elapsed() >= self.patience || self.is_late() {
                tally.timed_out = tally.timed_out.saturating_add(1);
                end(&mut child, TERM_PATIENCE);
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// Starts `sh -c command` in a group of its own, with the finding as a file, so that nobody waits for it to be read.
fn spawn(command: &str, program: &Program) -> io::Result<Child> {
    let mut input = std::fs::File::from(memfd_create("finding", MFdFlags::MFD_CLOEXEC)?);
    input.write_all(program.input.as_bytes())?;
    input.rewind()?;
    Command::new("/bin/sh")
        .args(["-c", command])
        .envs(&program.environment)
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Ends a program and all that it has started, as far as it stayed in its group.
fn end(child: &mut Child, patience: Duration) {
    let Ok(group) = i32::try_from(child.id()).map(Pid::from_raw) else {
        return;
    };
    let begun = Instant::now();
    // A group that has gone already is what is wanted.
    let _ = killpg(group, Signal::SIGTERM);
    while begun.elapsed() < patience && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK);
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn run(command: &str, patience: Duration, inputs: &[&str]) -> Tally {
        let (send, waiting) = mpsc::sync_channel(WAITING_MAX);
        for input in inputs {
            let program = Program {
                environment: [("GWCAP_CAUSE".to_owned(), "x-y".to_owned())].into(),
                input: (*input).to_owned(),
            };
            send.send(Heard::Program(program)).unwrap();
        }
        send.send(Heard::End).unwrap();
        let state = State::default();
        let runner = Runner {
            command,
            patience,
            state: &state,
        };
        runner.run(&waiting)
    }

    fn written(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn each_has_its_finding_and_they_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let command = format!("cat >> {0}; echo $GWCAP_CAUSE >> {0}", path.display());
        // More than a pipe holds.
        let long = "z".repeat(200_000);
        let tally = run(&command, Duration::from_secs(20), &["one;`id`\n", &long]);
        assert_eq!((tally.ran, tally.failed, tally.timed_out), (2, 0, 0));
        assert_eq!(written(&path), format!("one;`id`\nx-y\n{long}x-y\n"));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pids");
        let command = format!(
            "sleep 600 & echo $! > {}; trap '' TERM; sleep 600",
            path.display()
        );
        let tally = run(&command, Duration::from_millis(300), &[""]);
        assert_eq!((tally.ran, tally.failed, tally.timed_out), (1, 0, 1));
        let started: i32 = written(&path).trim().parse().unwrap();
        let gone = || match fs::read_to_string(format!("/proc/{started}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        assert!((0..100).any(|_| {
            thread::sleep(LOOK);
            gone()
        }));
    }

    #[test]
    fn failures_are_counted() {
        let tally = run("exit 3", Duration::from_secs(20), &["", ""]);
        assert_eq!((tally.ran, tally.failed, tally.timed_out), (2, 2, 0));
    }

    #[test]
    fn a_request_of_another_kind_ends_it() {
        let mut bytes = Vec::new();
        wire::write(&Request::Page("a 1\n".to_owned()), &mut bytes).unwrap();
        let (send, _waiting) = mpsc::sync_channel(1);
        let state = State::default();
        hear(&mut bytes.as_slice(), &send, &state);
        assert!(state.strange.into_inner() && state.gone.into_inner());
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut bytes = Vec::new();
        for _ in 0..3 {
            wire::write(&Request::Program(Program::default()), &mut bytes).unwrap();
        }
        let (send, _waiting) = mpsc::sync_channel(1);
        let state = State::default();
        hear(&mut bytes.as_slice(), &send, &state);
        assert_eq!(state.dropped.into_inner(), 2);
        assert!(!state.strange.into_inner());
    }
}
