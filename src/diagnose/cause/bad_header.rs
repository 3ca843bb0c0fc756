//! `bad-header`. In: an attempt whose response head breaks the syntax. Out: the verdict, with byte
//! and offset.
//!
//! The rule: RFC 9110 section 5 and RFC 9112 section 5; gateways differ in strictness, so the
//! product counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::refused;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "bad-header",
    family: Family::MalformedHead,
    title: "A response header breaks the HTTP syntax",
    explanation: "The head was complete, and one of its lines breaks a rule: a forbidden byte, a \
     space where none may be, or a missing colon. \
     Strict gateways refuse the whole response; a browser or curl may accept it, so it seems to \
     work without the gateway.",
    signature: "Request; a complete response head with a good status line and at least one line \
     that breaks RFC 9110 or RFC 9112; the gateway closes and answers with an error.",
    is_not: &[
        "malformed-status-line: there the first line is broken.",
        "header-too-large: there the syntax is good and the size is not.",
        "conflicting-framing: there each line is good and two of them contradict each other.",
        "Line ends of LF alone: all products accept them.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The application puts unchecked text into a header: a line break, NUL or control byte.",
        "A space in a field name or before the colon, from a hand-written header.",
        "A header folded onto a second line by an old framework.",
    ],
    next_steps: &[
        "The finding names the byte and its offset: search the application for that header.",
        "`curl -sv --raw -o /dev/null http://UPSTREAM:PORT/PATH 2>&1 | cat -A` shows hidden bytes.",
        "Fix the header at its source; loosen the gateway's parser only for the time until then.",
    ],
    examine: Examine::Attempt(examine),
};

/// The rules of single lines.
const RULES: &[Rule] = &[
    Rule::Nul,
    Rule::ControlCharacter,
    Rule::SpaceInName,
    Rule::SpaceBeforeColon,
    Rule::NoColon,
    Rule::EmptyName,
    Rule::NameCharacter,
    Rule::ObsFold,
    Rule::BareCr,
];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let verdict = refused(attempt, RULES)?;
    Some(verdict.not("malformed-status-line", "the status line is well-formed"))
}
