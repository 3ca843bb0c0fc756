//! Exchanges that ended without a proper answer, where nothing upstream explains it. In: how the exchange failed. Out: the
//! conclusion that names the form.
//!
//! The rule: the form is a fact of the client's leg and stands beside every finding; it is the cause only where the capture
//! has no better one.

use crate::diagnose::attempt::{default_words, millis};
use crate::diagnose::candidate::{CLEAN_UP_MILLIS, Candidate};
use crate::diagnose::conclusion::{Chain, Conclusion, Member};
use crate::diagnose::finding::{Confidence, Evidence, Failure, Leg, RuledOut};
use crate::diagnose::gateway::product::Wait;
use crate::diagnose::record::{ConnectionRecord, ExchangeRecord};
use crate::diagnose::timeline::Timeline;
use crate::flow::Direction;
use crate::protocol::observation::Completion;
use crate::tcp::event::Closing;

/// How long a gateway that has given an answer up may keep its client's connection open, nanoseconds: Envoy waits for a second
/// (`delayed_close_timeout`) before it closes.
const HELD_OPEN_NANOS: i64 = 1_500_000_000;

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

/// Where the gateway ended the attempt itself, while its answer was still coming: then it cut both. Of an answer that it held
/// back for a while its client may have got nothing.
///
/// An upstream that had fallen silent before is `stall-mid-response`, and never comes here.
#[must_use]
pub fn cut_by_gateway(
    timeline: &Timeline,
    member: &Member,
    asked: &ExchangeRecord,
    chain: &Chain,
    candidate: &Candidate,
) -> Option<Conclusion> {
    let (code, confidence) = match member.suspect.failure {
        Failure::TruncatedRelay => ("gateway-truncated-relay", Confidence::Certain),
        Failure::SilentClose => ("gateway-silent-close", Confidence::Likely),
        _ => return None,
    };
    let (record, closing) = cut(timeline, member, asked, candidate)?;
    let head = candidate.answered?;
    let server = candidate.upstream;
    let mut conclusion = Conclusion::new(code, confidence);
    let others = chain
        .unread
        .iter()
        .filter(|other| other.id != candidate.id)
        .any(|other| cut(timeline, member, asked, other).is_some());
    if others {
        conclusion.at_most(
            Confidence::Likely,
            "the gateway cut the answers to several requests like this one at the same time",
        );
    } else {
        conclusion.reasons.push(
            "the gateway closed towards the client and towards the upstream, whose answer was still coming"
                .to_owned(),
        );
    }
    if !record.facts.roles_known || timeline.is_cut_view(record) {
        conclusion.at_most(
            Confidence::Likely,
            "the upstream connection is not in the capture in full",
        );
    }
    let waited = closing.mark.time.nanos_since(candidate.start.time);
    let product = member.identified.gateway.product;
    let mut proof = |mark, summary| {
        conclusion.evidence.push(Evidence {
            mark,
            leg: Leg::Upstream,
            summary,
        });
    };
    let status = candidate.status.unwrap_or_default();
    proof(head, format!("{server} answers {status}"));
    if let Some(last) = closing.peer_last {
        proof(last, format!("{server} sends another part of the body"));
    }
    proof(
        closing.mark,
        format!(
            "the gateway ends the connection {} after its request{}, inside the answer",
            millis(waited),
            default_words(product, Wait::Response, waited)
        ),
    );
    conclusion.ruled_out.extend([
        RuledOut {
            code: "truncated-body",
            reason: "the gateway ended the upstream connection, not the upstream".to_owned(),
        },
        RuledOut {
            code: "stall-mid-response",
            reason: "the upstream was sending until then".to_owned(),
        },
    ]);
    Some(conclusion)
}

/// The gateway's own end of an attempt inside an answer that is the client's: the same request, the same status if it came to
/// that, and both legs ended at once.
fn cut<'t>(
    timeline: &'t Timeline,
    member: &Member,
    asked: &ExchangeRecord,
    candidate: &Candidate,
) -> Option<(&'t ConnectionRecord, Closing)> {
    let record = timeline.connection(candidate.id.connection)?;
    let attempt = candidate
        .id
        .index
        .and_then(|index| record.exchange(index))?;
    let asked_the_same = match (&asked.request, &attempt.request) {
        (Some(one), Some(other)) => one.method == other.method && one.target == other.target,
        _ => false,
    };
    let unfinished = attempt.response_end.is_none_or(|end| {
        matches!(
            end.how,
            Completion::BodyClosed | Completion::BodyReset | Completion::CaptureEnded
        )
    });
    let of = |direction: Direction| {
        let half = record.facts.half(direction);
        let closings = [half.fin, half.reset].into_iter().flatten();
        closings.min_by_key(|closing| closing.mark)
    };
    let own = of(Direction::ToServer)?;
    let first = of(Direction::ToClient).is_none_or(|theirs| own.mark < theirs.mark);
    let gap = own.mark.time.nanos_since(member.suspect.at.time);
    let at_once = (-HELD_OPEN_NANOS..=CLEAN_UP_MILLIS.saturating_mul(1_000_000)).contains(&gap);
    let relays = candidate.status.is_some()
        && (candidate.status == member.suspect.status || member.suspect.status.is_none());
    (asked_the_same && unfinished && first && at_once && relays).then_some((record, own))
}
