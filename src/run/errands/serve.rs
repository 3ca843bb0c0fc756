//! The errand that serves metrics. In: pages. Out: the latest one, to whoever asks.
//!
//! The rule: it can accept, read and write, and nothing else; clients, bytes and time are bounded. While no page has come
//! it says so with 503.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::run::errands::http;
use crate::run::errands::start::READY;
use crate::run::errands::wire::{self, Request};
use crate::run::failure::{Failure, exit};
use crate::run::sandbox;
use crate::run::sandbox::limits::{Errand, Limits};
use crate::run::sandbox::person::Person;

/// Clients that are served at once; others wait in the kernel's queue.
const CLIENTS_MAX: usize = 4;

/// After a failure to accept, for want of file handles perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// The latest page.
pub type Page = Arc<Mutex<Option<Arc<String>>>>;

/// Serves until the pipe ends.
///
/// # Errors
/// An address that cannot be listened on; a request of another kind.
pub fn metrics(address: SocketAddr, person: Person) -> Result<(), Failure> {
    let failed = |message: String| Failure {
        code: exit::INPUT,
        message,
    };
    let listener = TcpListener::bind(address)
        .map_err(|error| failed(format!("--metrics {address}: {error}")))?;
    let limits = Limits {
        person: Some(person).filter(|_| nix::unistd::geteuid().is_root()),
        errand: Errand::Accepts,
        ..Limits::default()
    };
    // What cannot be applied here cannot be applied to the capture either, which tells.
    sandbox::enter(&limits)?;
    let page = Page::default();
    for _ in 0..CLIENTS_MAX {
        let listener = listener
            .try_clone()
            .map_err(|error| failed(format!("--metrics {address}: {error}")))?;
        let page = Arc::clone(&page);
        thread::spawn(move || accept(&listener, &page));
    }
    let ready = writeln!(io::stdout(), "{READY}").and_then(|()| io::stdout().flush());
    if ready.is_err() {
        return Ok(());
    }
    let mut requests = io::stdin().lock();
    loop {
        match wire::read(&mut requests) {
            Ok(Some(Request::Page(latest))) => {
                *page.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(latest));
            }
            Ok(Some(Request::Program(_))) => {
                return Err(failed(
                    "metrics are served here, programs are not run".to_owned(),
                ));
            }
            Ok(Some(Request::End) | None) => return Ok(()),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

fn accept(listener: &TcpListener, page: &Page) {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                let latest = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A client that is gone or too slow is its own affair.
                let _ = http::answer(&client, latest.as_deref().map(String::as_str));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
