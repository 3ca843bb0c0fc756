//! Exchanges that ended without a proper answer, where nothing upstream explains it. In: how the exchange failed. Out: the
//! conclusion that names the form.
//!
//! The rule: the form is a fact of the client's leg and stands beside every finding; it is the cause only where the capture
//! has no better one.

use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::{Confidence, Failure};

/// Where the upstream leg is not in the capture: bytes that are no HTTP, and a response that ends in the middle, tell
/// their form all the same.
#[must_use]
pub fn not_captured(member: &Member) -> Option<Conclusion> {
    let code = match member.suspect.failure {
        Failure::Raw => "gateway-raw-passthrough",
        Failure::TruncatedRelay => "gateway-truncated-relay",
        _ => return None,
    };
    let mut conclusion = Conclusion::new(code, Confidence::Possible);
    conclusion.reasons.push(format!(
        "{} sends nothing to anybody in this capture: what its upstream did is not to be seen",
        member.identified.gateway.endpoint.addr
    ));
    conclusion.not_observable.push(
        "what the upstream sent: capture on the gateway's host, without a filter for ports"
            .to_owned(),
    );
    Some(conclusion)
}

/// Where the upstream leg is in the capture and holds no attempt for the exchange.
#[must_use]
pub fn no_attempt(member: &Member) -> Option<Conclusion> {
    let code = match member.suspect.failure {
        Failure::SilentClose => "gateway-silent-close",
        Failure::Raw => "gateway-raw-passthrough",
        Failure::TruncatedRelay => "gateway-truncated-relay",
        _ => return None,
    };
    let mut conclusion = Conclusion::new(code, Confidence::Likely);
    conclusion.reasons.push(
        "other exchanges of this gateway show attempts in the capture, this one none".to_owned(),
    );
    conclusion.not_observable.push(
        "what the gateway decided by itself, and an upstream behind a Unix socket: look at the gateway's own log"
            .to_owned(),
    );
    Some(conclusion)
}

/// Where the attempt went well.
#[must_use]
pub fn although_well(member: &Member) -> Option<Conclusion> {
    let code = match member.suspect.failure {
        Failure::SilentClose => "gateway-silent-close",
        Failure::TruncatedRelay => "gateway-truncated-relay",
        _ => return None,
    };
    Some(Conclusion::new(code, Confidence::Likely))
}
