//! A connection that the upstream cut: by FIN or by RST, the story is the same. In: an attempt and which of the
//! two is looked for. Out: the verdict of the causes that come in such pairs.
//!
//! The rule: the first sign of the end decides; what follows it is a consequence.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::finding::Confidence;
use crate::protocol::observation::Completion;

/// One of a pair of causes.
pub struct Pair {
    /// Whether RST is looked for, else FIN.
    pub reset: bool,
    /// The other cause of the pair.
    pub other: &'static str,
}

impl Pair {
    const fn word(&self) -> &'static str {
        if self.reset { "RST" } else { "FIN" }
    }

    fn not_the_other(&self, verdict: Verdict) -> Verdict {
        verdict.not(
            self.other,
            format!("the first sign of the end is a {}", self.word()),
        )
    }

    /// Cut inside the TLS handshake.
    pub fn in_handshake(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        let (server, word) = (attempt.connection.facts.server, self.word());
        let hello = attempt.client_hello()?;
        let close = attempt
            .closed_by_upstream()
            .filter(|close| close.reset == self.reset)?;
        if attempt.handshake_done() {
            return None;
        }
        let at = close.closing.mark;
        let mut verdict = Verdict::seen(at)
            .proof(
                hello,
                format!("the gateway sends a TLS ClientHello to {server}"),
            )
            .proof(
                at,
                format!(
                    "{server} ends the connection with {word} before the handshake is complete"
                ),
            )
            .not(
                "tls-alert-from-upstream",
                format!("no alert in clear came before the {word}"),
            )
            .not(
                "tls-handshake-timeout",
                "the upstream ended it, not the gateway",
            );
        if attempt.alert_of_gateway().is_some() {
            verdict = verdict.at_most(
                Confidence::Possible,
                "the gateway itself had sent an alert before",
            );
        }
        // A RST with a later number than was seen may follow an alert that the capture lacks.
        Some(attempt.in_sequence(self.not_the_other(verdict), close))
    }

    /// Cut inside the head of the response. `before` is the cause of the same kind without a byte of a head.
    pub fn in_head(&self, attempt: &Attempt<'_>, before: &'static str) -> Option<Verdict> {
        let (server, word) = (attempt.connection.facts.server, self.word());
        let begun = attempt.head_begun()?;
        let close = attempt
            .closed_by_upstream()
            .filter(|close| close.reset == self.reset)?;
        let at = close.closing.mark;
        let ended = format!(
            "{server} ends the connection with {word} before the blank line that ends the head"
        );
        let verdict = attempt
            .asked(Verdict::seen(at))
            .proof(begun, format!("{server} begins its answer"))
            .proof(at, ended)
            .not(before, "part of the head had come");
        Some(self.not_the_other(verdict))
    }

    /// Cut inside the body of the response.
    pub fn in_body(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        let (server, word) = (attempt.connection.facts.server, self.word());
        let exchange = attempt.exchange?;
        let head = exchange.response.as_ref()?;
        let end = exchange
            .response_end
            .filter(|end| matches!(end.how, Completion::BodyClosed | Completion::BodyReset))?;
        let close = attempt
            .closed_by_upstream()
            .filter(|close| close.reset == self.reset)?;
        let promised = match head.content_length {
            Some(length) => format!("{} of {length} bytes of the body", end.body_len),
            None => format!("{} bytes of a body that had not ended", end.body_len),
        };
        let at = close.closing.mark;
        let verdict = attempt
            .asked(Verdict::seen(at))
            .proof(head.at, format!("{server} answers {}", head.status))
            .proof(
                at,
                format!("{server} ends the connection with {word} after {promised}"),
            );
        Some(self.not_the_other(verdict))
    }
}
