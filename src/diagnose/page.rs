//! What the gateway itself says in its error page. In: a conclusion from the wire and the cause that the page names. Out:
//! a reason for it, or a doubt.
//!
//! The rule: a page is the gateway's own word, and coarser than the wire: of one failure it knows the kind. Where the kind
//! is another, one of the two is about another attempt, and nothing is certain.

use crate::diagnose::cause;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway;
use crate::diagnose::gateway::product::{Family, Kind, Recognised};
use crate::diagnose::record::ExchangeRecord;

/// Holds the page against what the wire tells.
pub fn compare(member: &Member, conclusion: &mut Conclusion) {
    let recognised = member.identified.recognised.as_ref();
    let Some(page) = recognised.filter(|page| page.own_page) else {
        return;
    };
    if page.page_cause == Some(conclusion.code) {
        conclusion
            .reasons
            .push("the gateway's own error page says the same".to_owned());
        return;
    }
    let (Some((said, words)), Some(wire)) = (said(page), kinds(conclusion.code)) else {
        return;
    };
    if wire.contains(&said) {
        conclusion.reasons.push(format!(
            "the gateway's own error page agrees: it says {words}"
        ));
    } else {
        conclusion.at_most(
            Confidence::Likely,
            format!("the gateway's own error page says {words}"),
        );
    }
}

/// Whether the page tells another kind of failure than `code`; `None` where either tells none.
#[must_use]
pub fn contradicts(member: &Member, code: &str) -> Option<bool> {
    let recognised = member.identified.recognised.as_ref();
    let page = recognised.filter(|page| page.own_page)?;
    let (kind, _) = said(page)?;
    Some(page.page_cause != Some(code) && !kinds(code)?.contains(&kind))
}

/// Says which application server wrote the upstream's answer, where it shows: the error was made there, and by no proxy.
pub fn author(answered: &ExchangeRecord, conclusion: &mut Conclusion) {
    let written = answered
        .response
        .as_ref()
        .and_then(|head| gateway::recognise_origin(head, &answered.body_prefix));
    if let Some((server, found)) = written {
        conclusion.reasons.push(format!(
            "{} wrote the upstream's answer ({})",
            server.name,
            found.identified_by.join(", ")
        ));
    }
}

/// The kind of what a page says, and its words. A failed lookup is one whether it was asked anew or remembered.
fn said(page: &Recognised) -> Option<(Kind, &'static str)> {
    let Some(code) = page.page_cause else {
        return page.page_kind.map(|kind| (kind, kind.words()));
    };
    let kind = match page.page_detail {
        Some("dns-cached-failure") => Kind::Name,
        _ => *kinds(code)?.first()?,
    };
    Some((kind, code))
}

/// The kinds that pages name for a code, the usual one first; none where no page tells it.
fn kinds(code: &str) -> Option<&'static [Kind]> {
    use Kind::{Broken, Content, Ended, Handshake, Name, Nothing, Timer, Unconnected};
    match code {
        "tls-handshake-timeout" => {
            return Some(&[Timer, Handshake, Ended, Unconnected, Broken]);
        }
        "connect-timeout" => return Some(&[Timer, Unconnected]),
        // Where a connection hangs, what ends the wait is a timer, or the kernel's word that it failed.
        "connect-half-open"
        | "connect-stale-tuple"
        | "listen-queue-overflow"
        | "neighbor-unresolved" => return Some(&[Unconnected, Ended, Broken, Timer]),
        // The connection was made, and ended before it was of use.
        "connect-reset-after-accept" => return Some(&[Unconnected, Ended, Broken]),
        // A head that breaks off is not valid either.
        "closed-mid-head" | "reset-mid-head" => return Some(&[Ended, Broken, Content]),
        "tls-on-http-port" => return Some(&[Handshake, Ended, Unconnected, Broken]),
        // What is whole may be refused for what it says, and for no other reason.
        "attempt-succeeded-but-error" => return Some(&[Content]),
        // What came was content, and what failed was the end: products say either.
        "bad-interim-response" | "unsolicited-response" => return None,
        _ => {}
    }
    if code.ends_with("-timeout") && !code.starts_with("dns-") {
        return Some(&[Timer]);
    }
    match cause::by_code(code)?.family {
        Family::NameResolution => Some(&[Name]),
        Family::NoUpstreamPackets => Some(&[Nothing]),
        Family::MalformedHead => Some(&[Content]),
        Family::Tls => Some(&[Ended, Handshake, Unconnected, Broken]),
        Family::Connect => Some(&[Unconnected, Broken]),
        Family::WaitingForHead => Some(&[Ended, Broken]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(code: &str) -> Option<Kind> {
        kinds(code).and_then(|kinds| kinds.first().copied())
    }

    #[test]
    fn a_close_is_no_timer_and_a_refusal_no_name() {
        assert_eq!(
            usual("stale-keepalive-reuse"),
            usual("closed-before-response")
        );
        assert_ne!(usual("closed-before-response"), usual("connect-refused"));
        assert_ne!(usual("response-timeout"), usual("reset-before-response"));
        assert_ne!(usual("connect-timeout"), usual("connect-refused"));
        assert_ne!(usual("dns-timeout"), usual("connect-timeout"));
        assert_eq!(kinds("capture-gap"), None);
    }

    /// Envoy calls a head that breaks off a protocol error; Apache and Cloudflare speak of the handshake alone.
    #[test]
    fn words_for_several_causes_agree_with_each() {
        let agrees = |kind, code| kinds(code).unwrap().contains(&kind);
        assert!(agrees(Kind::Content, "closed-mid-head"));
        assert!(agrees(Kind::Content, "bad-header"));
        assert!(!agrees(Kind::Content, "closed-before-response"));
        assert!(agrees(Kind::Handshake, "tls-alert-from-upstream"));
        assert!(!agrees(Kind::Handshake, "connect-refused"));
        assert!(agrees(Kind::Timer, "connect-half-open"));
        assert!(agrees(Kind::Unconnected, "tls-handshake-reset"));
        assert!(!agrees(Kind::Ended, "connect-refused"));
    }
}
