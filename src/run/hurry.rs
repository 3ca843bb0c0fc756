//! The end of a run that somebody ended. In: the handle that Ctrl-C sets. Out: a flag that ends judging.
//!
//! The rule: whoever asks for the end gets a report in bounded time, however many errors wait to be judged; what was not judged is
//! counted and said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gwcap::capture::StopHandle;
use gwcap::diagnose::NOT_JUDGED;
use gwcap::diagnose::finding::Warning;
use gwcap::loss::Loss;

use crate::run::feed::LOOK;

/// How long errors are judged after Ctrl-C: some ten thousand of them, and well below the 90 s after which systemd kills.
const JUDGING: Duration = Duration::from_secs(10);

/// The flag: set some time after the end was asked for. Files are over by themselves, and are judged to the end.
pub fn after(stop: &StopHandle, ends_elsewhere: bool) -> Arc<AtomicBool> {
    let hurry = Arc::new(AtomicBool::new(false));
    if ends_elsewhere {
        let (stop, flag) = (stop.clone(), Arc::clone(&hurry));
        // It ends with the program.
        thread::spawn(move || {
            while !stop.is_stopped() {
                thread::sleep(LOOK);
            }
            thread::sleep(JUDGING);
            flag.store(true, Ordering::Relaxed);
        });
    }
    hurry
}

/// Says that errors were not judged, where that is so.
pub fn warning(loss: &Loss) -> Option<Warning> {
    let left = loss.get(NOT_JUDGED);
    (left > 0).then(|| Warning {
        code: "judging-ended-early",
        message: format!(
            "{left} errors were not judged: the run was ended, and they would have taken longer than {} s.",
            JUDGING.as_secs()
        ),
        remedy: "Record with --write-all, and read that file with -r.".to_owned(),
    })
}
