//! Follows upstreams while a capture runs. In: what the analyzer knows of gateways. Out: upstreams that the capture is to
//! see, and a line on standard error for each.
//!
//! The rule: what is seen beside what the user asked for is said. Only captures whose filter is widened follow.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use gwcap::analyzer::Analyzer;
use gwcap::capture::{self, FOLLOWED_MAX, Follow};

use crate::cli::{Inputs, Settings};
use crate::run::status::Status;

/// How often upstreams are looked for.
const EVERY: Duration = Duration::from_millis(500);

/// The upstreams that one run follows.
pub struct Upstreams {
    follow: Follow,
    looked: Instant,
    full: bool,
    quiet: bool,
}

impl Upstreams {
    /// Follows the upstreams of a live run with a filter that may be widened; says by what it is.
    pub fn of(settings: &Settings, follow: Follow) -> Option<Self> {
        let live = matches!(settings.inputs, Inputs::Interfaces(_));
        if !live || settings.strict_filter || settings.filter.is_none() {
            return None;
        }
        let upstreams = Self {
            follow,
            looked: Instant::now(),
            full: false,
            quiet: settings.quiet,
        };
        upstreams.say(&format!(
            "seen beside the filter: {}, and upstreams on other ports once they are known (--strict-filter turns this off)",
            capture::added_to_filter()
        ));
        Some(upstreams)
    }

    /// Looks for upstreams that the filter hides.
    pub fn look(&mut self, analyzer: &mut Analyzer, status: &mut Option<Status>) {
        if self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        for end in analyzer.hidden_servers() {
            if self.follow.add(end) {
                status.iter_mut().for_each(Status::clear);
                self.say(&format!(
                    "the gateway asks {end}, which the filter hides: seen from now on"
                ));
            } else if self.follow.count() >= FOLLOWED_MAX && !self.full {
                self.full = true;
                self.say(&format!(
                    "more than {FOLLOWED_MAX} upstreams are hidden by the filter: the others stay so"
                ));
            }
        }
    }

    fn say(&self, words: &str) {
        if !self.quiet {
            // Where standard error is closed nobody wants to know.
            let _ = writeln!(io::stderr(), "gwcap: {words}");
        }
    }
}
