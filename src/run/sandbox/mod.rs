//! What this process may still do while it reads what strangers sent. In: limits. Out: a process that keeps to them.
//!
//! The rule: entered when all handles are open, before the first packet is parsed and while there is one thread:
//! Landlock restricts only the thread that asks, and those that it starts. What could not be applied is told, never hidden.

mod calls;
mod files;
pub mod limits;
pub mod person;
mod privileges;
pub mod trial;

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::run::failure::{Failure, exit};
use limits::Limits;
use person::Person;

/// How long threads that have ended are waited for: the kernel lists them a moment longer than they can be joined.
const THREADS_GONE: Duration = Duration::from_secs(1);

/// Enters the sandbox for good. Gives what could not be applied, a line each.
///
/// # Errors
/// When the user cannot be changed: going on as root is not what was asked for.
pub fn enter(limits: &Limits) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    missing.extend(other_threads());
    missing.extend(privileges::give_up(limits)?);
    missing.extend(files::restrict(limits));
    missing.extend(calls::forbid(limits));
    Ok(missing)
}

/// Does something as `person` and becomes who it was again.
///
/// # Errors
/// When the user cannot be changed, or not back.
pub fn as_person<T>(person: &Person, work: impl FnOnce() -> T) -> Result<T, Failure> {
    let refused = |error: io::Error| Failure {
        code: exit::INPUT,
        message: format!("cannot become {}: {error}", person.called()),
    };
    let before = privileges::be_for_now(person).map_err(refused)?;
    let done = work();
    privileges::be_again(before).map_err(refused)?;
    Ok(done)
}

/// Threads that would stay outside.
fn other_threads() -> Option<String> {
    let pause = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        let threads = Path::new("/proc/self/task")
            .read_dir()
            .map_or(0, Iterator::count);
        match threads {
            0 => return Some("/proc does not tell whether all threads are inside".to_owned()),
            1 => return None,
            others if waited >= THREADS_GONE => {
                return Some(format!("{} threads stay outside", others.saturating_sub(1)));
            }
            _ => {
                thread::sleep(pause);
                waited = waited.saturating_add(pause);
            }
        }
    }
}
