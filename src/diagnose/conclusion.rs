//! What is known of a failed exchange when it is judged, and what is concluded of it. In: nothing. Out: the types
//! that `group`, `verdict` and `nothing` hand to each other.
//!
//! The rule: a conclusion is never stronger than its weakest reservation.

use crate::diagnose::assign::Assignment;
use crate::diagnose::candidate::Candidate;
use crate::diagnose::finding::{AttemptReport, Confidence, Evidence, RuledOut};
use crate::diagnose::role::Identified;
use crate::diagnose::suspect::Suspect;
use crate::flow::Endpoint;
use crate::tcp::event::ConnectionId;

/// A suspect whose server is a gateway.
#[derive(Clone, Debug)]
pub struct Member {
    /// The failed exchange.
    pub suspect: Suspect,
    /// Its gateway.
    pub identified: Identified,
    /// Whether it is to be judged now; else it only competes for attempts.
    pub due: bool,
}

/// The attempts of one exchange, in order; the last one carries the cause.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Failed attempts in order of time.
    pub attempts: Vec<Candidate>,
    /// How the last one was chosen.
    pub assignment: Option<Assignment>,
    /// The next best, when it would tell another story.
    pub runner_up: Option<Candidate>,
    /// Whether frames are missing from connections of other exchanges of the moment, so that attempts may
    /// have been exchanged.
    pub unsettled: bool,
    /// An attempt that began at once when the last one had failed, and whose end is not in the capture.
    pub dangling: Option<Candidate>,
    /// An attempt inside the exchange whose end was not read because frames of it are missing.
    pub torn: Option<Candidate>,
    /// What else lies in the window: attempts that did not fail, as far as seen.
    pub unread: Vec<Candidate>,
}

/// What is concluded, before it is put beside the exchange.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// The code.
    pub code: &'static str,
    /// What refines it.
    pub detail: Option<String>,
    /// How sure.
    pub confidence: Confidence,
    /// Why so, or why not more.
    pub reasons: Vec<String>,
    /// Frames.
    pub evidence: Vec<Evidence>,
    /// What it is not.
    pub ruled_out: Vec<RuledOut>,
    /// What the capture cannot show.
    pub not_observable: Vec<String>,
    /// Contributing codes.
    pub contributing: Vec<&'static str>,
    /// Attempts for the report.
    pub attempts: Vec<AttemptReport>,
    /// Whether the last attempt could be exchanged for another like it.
    pub interchangeable: bool,
    /// The attempt that carries the cause.
    pub last: Option<Candidate>,
    /// The upstream of an attempt without a connection.
    pub upstream: Option<Endpoint>,
    /// The connection of an earlier failed attempt that took the upstream out of service.
    pub blamed: Option<ConnectionId>,
}

impl Conclusion {
    /// A conclusion without evidence yet.
    #[must_use]
    pub fn new(code: &'static str, confidence: Confidence) -> Self {
        Self {
            code,
            detail: None,
            confidence,
            reasons: Vec::new(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            not_observable: Vec::new(),
            contributing: Vec::new(),
            attempts: Vec::new(),
            interchangeable: false,
            last: None,
            upstream: None,
            blamed: None,
        }
    }

    /// Says at most `confidence`, and why.
    pub fn at_most(&mut self, confidence: Confidence, reason: impl Into<String>) {
        if self.confidence > confidence {
            self.confidence = confidence;
        }
        self.reasons.push(reason.into());
    }
}
