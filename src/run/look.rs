//! The first look over several files. In: the files. Out: their machines and clocks.
//!
//! The rule: only files are looked at, and only where there are two or more: what a pipe or an interface says is said
//! once. Ctrl-C ends the look, and then the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use gwcap::analyzer::clock::{Look, Watch, first_look};
use gwcap::capture::StopHandle;

use crate::run::feed::LOOK;
use crate::run::progress::Progress;

/// Looks over `files` in `threads` threads; nothing is learnt from fewer than two regular files.
pub fn look(files: &[PathBuf], threads: usize, stop: &StopHandle) -> Look {
    let regular = |path: &&PathBuf| is_regular(path);
    if files.iter().filter(regular).count() < 2 {
        return Look::default();
    }
    let watch = Arc::new(Watch {
        stop: stop.clone(),
        ..Watch::default()
    });
    let paths: Vec<Option<PathBuf>> = files
        .iter()
        .map(|path| is_regular(path).then(|| path.clone()))
        .collect();
    let (send, looked) = mpsc::sync_channel(1);
    let watched = Arc::clone(&watch);
    thread::spawn(move || send.send(first_look(&paths, threads, &watched)));
    let mut progress = Progress::new(files);
    loop {
        match looked.recv_timeout(LOOK) {
            Ok(look) => {
                progress.clear();
                return look;
            }
            // The thread is not waited for: a file on a dead network never answers.
            Err(RecvTimeoutError::Timeout) if stop.is_stopped() => return Look::default(),
            Err(RecvTimeoutError::Timeout) => progress.show(watch.bytes.load(Ordering::Relaxed)),
            Err(RecvTimeoutError::Disconnected) => return Look::default(),
        }
    }
}

fn is_regular(path: &Path) -> bool {
    path.as_os_str() != "-" && std::fs::metadata(path).is_ok_and(|facts| facts.is_file())
}
