//! An interface that goes away and comes back. In: the capture whose interface is gone. Out: the same capture, on the interface
//! that bears the name again.
//!
//! The rule: a watch of weeks outlives a restart of the network. While the interface is away nothing passes it; what passes
//! between its return and the next look, a tick at most, is not seen.

use pcap::{Active, Capture};

use crate::capture::rebind::{self, Known};

/// An interface that may come back.
pub(super) struct Absence {
    name: String,
    promiscuous: bool,
    known: Known,
    away: bool,
}

/// Whether it is there.
#[derive(Debug)]
pub(super) enum Now {
    /// It is, and is heard.
    Here,
    /// It is away.
    Away,
    /// It will not be heard again, and why.
    Lost(String),
}

impl Absence {
    /// Notes what the capture hears; `None` where that is no single interface.
    pub(super) fn of(capture: &Capture<Active>, name: &str, promiscuous: bool) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            promiscuous,
            known: rebind::look(capture, name).ok()?,
            away: false,
        })
    }

    /// Whether it is away, as far as was looked.
    pub(super) const fn is_away(&self) -> bool {
        self.away
    }

    /// Looks for it after libpcap has said `error`, or when it is away.
    pub(super) fn look(&mut self, capture: &Capture<Active>, error: &str) -> Now {
        let Ok(now) = rebind::look(capture, &self.name) else {
            self.away = true;
            return Now::Away;
        };
        if !self.away && now == self.known {
            return Now::Lost(error.to_owned());
        }
        match rebind::bind(capture, self.known, now, self.promiscuous) {
            Ok(()) => {
                self.known = now;
                self.away = false;
                Now::Here
            }
            Err(error) => Now::Lost(error.to_string()),
        }
    }
}
