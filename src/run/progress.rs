//! A bar on standard error while a long file is read on a terminal.
//!
//! The rule: it is shown only after a second, and leaves nothing behind.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A shorter wait needs no bar.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// The bar.
pub struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    bytes_total: u64,
}

impl Progress {
    /// The bar of these files. On an interface, on a pipe and away from a terminal there is none.
    pub fn new(files: &[PathBuf]) -> Self {
        let lengths = files.iter().map(std::fs::metadata);
        let bytes_total = lengths
            .map(|facts| facts.map_or(0, |facts| facts.len()))
            .sum();
        let wanted = bytes_total > 0 && io::stderr().is_terminal();
        Self {
            bar: wanted.then(ProgressBar::hidden),
            begun: Instant::now(),
            bytes_total,
        }
    }

    /// Shows how many bytes were taken from the files.
    pub fn show(&mut self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() && self.begun.elapsed() >= SHOWN_AFTER {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_length(self.bytes_total);
            let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        }
        bar.set_position(bytes);
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
