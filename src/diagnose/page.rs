//! What the gateway itself says in its error page. In: a conclusion from the wire and the cause that the page names. Out:
//! a reason for it, or a doubt.
//!
//! The rule: a page is the gateway's own word, and coarser than the wire: of one failure it knows the kind. Where the kind
//! is another, one of the two is about another attempt, and nothing is certain.

use crate::diagnose::cause;
use crate::diagnose::conclusion::{Conclusion, Member};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The kinds of failure that no page takes for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Nothing,
    Timer,
    Content,
    Ended,
}

/// Holds the page against what the wire tells.
pub fn compare(member: &Member, conclusion: &mut Conclusion) {
    let recognised = member.identified.recognised.as_ref();
    let Some(said) = recognised
        .filter(|page| page.own_page)
        .and_then(|page| page.page_cause)
    else {
        return;
    };
    let detail = recognised.and_then(|page| page.page_detail);
    if said == conclusion.code {
        conclusion
            .reasons
            .push("the gateway's own error page says the same".to_owned());
        return;
    }
    let (Some(page), Some(wire)) = (kind_of_page(said, detail), kind(conclusion.code)) else {
        return;
    };
    if page == wire {
        conclusion.reasons.push(format!(
            "the gateway's own error page agrees: it says {said}"
        ));
    } else {
        conclusion.at_most(
            Confidence::Likely,
            format!("the gateway's own error page says {said}"),
        );
    }
}

/// The kind of what a page says. A failed lookup is one whether it was asked anew or remembered.
fn kind_of_page(said: &str, detail: Option<&str>) -> Option<Kind> {
    match detail {
        Some("dns-cached-failure") => Some(Kind::Name),
        _ => kind(said),
    }
}

/// The kind of a code; none where no page tells it.
fn kind(code: &str) -> Option<Kind> {
    if code.ends_with("-timeout") && !code.starts_with("dns-") {
        return Some(Kind::Timer);
    }
    // What came was content, and what failed was the end: products say either.
    if matches!(code, "bad-interim-response" | "unsolicited-response") {
        return None;
    }
    match cause::by_code(code)?.family {
        Family::NameResolution => Some(Kind::Name),
        Family::NoUpstreamPackets => Some(Kind::Nothing),
        Family::MalformedHead => Some(Kind::Content),
        Family::Connect | Family::Tls | Family::WaitingForHead => Some(Kind::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_no_timer_and_a_refusal_no_name() {
        assert_eq!(
            kind("stale-keepalive-reuse"),
            kind("closed-before-response")
        );
        assert_eq!(kind("tls-handshake-reset"), kind("connect-refused"));
        assert_ne!(kind("response-timeout"), kind("reset-before-response"));
        assert_ne!(kind("connect-timeout"), kind("connect-refused"));
        assert_ne!(kind("dns-timeout"), kind("connect-timeout"));
        assert_eq!(kind("capture-gap"), None);
    }
}
