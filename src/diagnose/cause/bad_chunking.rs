//! `bad-chunking`. In: an attempt whose chunked body cannot be read on. Out: the verdict, with the byte and
//! the rule.
//!
//! The rule: RFC 9112, section 7.1; the first broken byte counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::place;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "bad-chunking",
    family: Family::Body,
    title: "The chunked body breaks its coding",
    explanation: "The head announced a chunked body, and the bytes of the body break the coding: \
     a chunk size that is no hexadecimal number, or data that is longer than its size. If it \
     breaks at once, the gateway can still answer with an error; later the client sees the \
     original status and a broken body.",
    signature: "Complete response head with Transfer-Encoding chunked; a byte that the coding \
     does not allow.",
    is_not: &[
        "truncated-chunked: there the chunks are well-formed and end early.",
        "unknown-transfer-coding: there the header itself names another coding.",
        "conflicting-framing: there a Content-Length contradicts the coding; the body may be \
         sound.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The application writes the chunks itself and counts characters instead of bytes.",
        "The header says chunked and the body is written as it is, by a proxy or filter that \
         copied the header.",
        "Two threads write into the same response.",
        "A body that was compressed or rewritten after the sizes were computed.",
    ],
    next_steps: &[
        "The finding names the byte and its offset: look at what stands there.",
        "`curl -sv --raw http://UPSTREAM:PORT/PATH | xxd | head` shows sizes and data as they \
         come; without `--raw` curl says error 56.",
        "Let the server or framework write the chunks; never set Transfer-Encoding by hand.",
    ],
    examine: Examine::Attempt(examine),
};

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange.response.as_ref()?;
    let (fault, at, _) = exchange
        .fault
        .as_deref()
        .filter(|(fault, at, _)| fault.rule.is_of_chunks() && at.time <= attempt.until)?;
    let (name, rule) = match fault.rule {
        Rule::ChunkTooLarge => ("size-too-large", "a chunk size beyond 64 bits"),
        Rule::ChunkEnd => ("no-end-of-chunk", "no CRLF where the data of a chunk ends"),
        _ => ("size", "a chunk size that is no hexadecimal number"),
    };
    let server = attempt.connection.facts.server;
    Some(
        attempt
            .asked(Verdict::seen(*at))
            .detail(name)
            .proof(
                head.at,
                format!("{server} answers {} with a chunked body", head.status),
            )
            .proof(
                *at,
                format!(
                    "the body breaks the coding {}: {rule} (RFC 9112, section 7.1)",
                    place(fault)
                ),
            )
            .not(
                "truncated-chunked",
                "the upstream did not end the body early",
            )
            .not("bad-header", "the head is well-formed"),
    )
}
