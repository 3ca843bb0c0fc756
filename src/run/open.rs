//! Opens the inputs. In: what the user named. Out: sources, ready to be read.
//!
//! The rule: opening a pipe waits for its first bytes, and Ctrl-C must end that wait too.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use gwcap::capture::{self, CaptureError, LiveOptions, Merge};

use crate::cli::Inputs;
use crate::run::failure::{Failure, exit};
use crate::run::feed::{GRACE, LOOK};

/// Opens all inputs, in the order in which they were named.
///
/// # Errors
/// The first input that cannot be opened; Ctrl-C before a pipe has said anything.
pub fn open(inputs: Inputs, filter: Option<String>, live: LiveOptions) -> Result<Merge, Failure> {
    let stop = live.stop.clone();
    let (send, opened) = mpsc::sync_channel(1);
    let opener = thread::spawn(move || {
        // Where nobody waits any more the program is about to end.
        let _ = send.send(open_all(&inputs, filter.as_deref(), &live));
    });
    let mut asked_to_stop = None;
    loop {
        match opened.recv_timeout(LOOK) {
            Ok(sources) => {
                // It has nothing more to do; the sandbox is entered by a process of one thread.
                let _ = opener.join();
                return Ok(sources?);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(nothing_read()),
            Err(RecvTimeoutError::Timeout) if stop.is_stopped() => {
                let since = *asked_to_stop.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    return Err(nothing_read());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn open_all(
    inputs: &Inputs,
    filter: Option<&str>,
    live: &LiveOptions,
) -> Result<Merge, CaptureError> {
    let sources: Result<Vec<_>, CaptureError> = match inputs {
        Inputs::Files(files) => (0..)
            .zip(files)
            .map(|(input, path)| capture::open_file(path, input, filter))
            .collect(),
        Inputs::Interfaces(names) => (0..)
            .zip(names)
            .map(|(input, name)| capture::open_live(name, live, filter, input))
            .collect(),
    };
    let sources = Merge::new(sources?);
    Ok(match inputs {
        Inputs::Files(_) => sources,
        // Frames have no numbers before they are written: theirs are those of the file of --write-all.
        Inputs::Interfaces(_) => sources.numbered_as_one(),
    })
}

fn nothing_read() -> Failure {
    Failure {
        code: exit::INPUT,
        message: "interrupted before the input had said anything".to_owned(),
    }
}
