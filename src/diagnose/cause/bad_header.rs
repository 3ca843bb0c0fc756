//! `bad-header`. In: an attempt whose response head breaks the syntax. Out: the verdict, with byte
//! and offset.
//!
//! The rule: RFC 9110 section 5 and RFC 9112 section 5; gateways differ in strictness, so the
//! product counts.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::Rule;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "bad-header",
    family: Family::MalformedHead,
    title: "A response header breaks the HTTP syntax",
    explanation: "The head was complete, and one of its lines breaks a rule: a forbidden byte, a \
     space where none may be, a missing colon, or framing headers that contradict each other. \
     Strict gateways refuse the whole response; a browser or curl may accept it, so it seems to \
     work without the gateway.",
    signature: "Request; a complete response head with a good status line and at least one line \
     that breaks RFC 9110 or RFC 9112; the gateway closes and answers with an error.",
    is_not: &[
        "malformed-status-line: there the first line is broken.",
        "header-too-large: there the syntax is good and the size is not.",
        "Line ends of LF alone: all products accept them.",
    ],
    root_causes: &[
        "The application puts unchecked text into a header: a line break, NUL or control byte.",
        "A space in a field name or before the colon, from a hand-written header.",
        "Content-Length twice or together with Transfer-Encoding, added by two layers.",
        "A header folded onto a second line by an old framework.",
    ],
    next_steps: &[
        "The finding names the byte and its offset: search the application for that header.",
        "`curl -sv --raw -o /dev/null http://UPSTREAM:PORT/PATH 2>&1 | cat -A` shows hidden bytes.",
        "Fix the header at its source; loosen the gateway's parser only for the time until then.",
    ],
    examine: Examine::Attempt(examine),
};

/// Which products refuse a head that breaks a rule (causes.md A.10); bare line feeds are taken by all.
const REFUSED_BY: &[(Rule, &str, &[&str])] = &[
    (
        Rule::Nul,
        "nul",
        &["nginx", "Envoy", "Apache httpd", "Varnish", "Squid"],
    ),
    (
        Rule::ControlCharacter,
        "control-char",
        &["Envoy", "Varnish", "Apache httpd"],
    ),
    (
        Rule::SpaceInName,
        "space-in-name",
        &[
            "nginx",
            "HAProxy",
            "Envoy",
            "Varnish",
            "Squid",
            "Apache httpd",
        ],
    ),
    (
        Rule::SpaceBeforeColon,
        "space-before-colon",
        &["nginx", "HAProxy", "Envoy", "Varnish", "Apache httpd"],
    ),
    (
        Rule::NoColon,
        "no-colon",
        &[
            "HAProxy",
            "Envoy",
            "Apache httpd",
            "Caddy",
            "Varnish",
            "Squid",
        ],
    ),
    (
        Rule::EmptyName,
        "empty-name",
        &["nginx", "HAProxy", "Envoy", "Apache httpd", "Varnish"],
    ),
    (
        Rule::NameCharacter,
        "non-ascii-name",
        &["HAProxy", "Envoy", "Apache httpd", "Varnish"],
    ),
    (Rule::ObsFold, "obs-fold", &["nginx"]),
    (Rule::BareCr, "bare-cr", &["HAProxy", "Envoy", "Varnish"]),
];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange
        .response
        .as_ref()
        .filter(|head| attempt.rejected && head.at.time <= attempt.until)?;
    let product = attempt.product.map(|product| product.name);
    let refused = |rule: Rule| {
        REFUSED_BY
            .iter()
            .find(|row| row.0 == rule)
            .map(|row| (row.1, row.2))
    };
    let named = head
        .oddities
        .iter()
        .filter_map(|fault| refused(fault.rule).map(|(name, by)| (fault, name, by)));
    let (fault, name, by) = named
        .clone()
        .find(|(_, _, by)| product.is_some_and(|product| by.contains(&product)))
        .or_else(|| named.clone().next())?;
    let shown: String = fault
        .excerpt
        .iter()
        .take(40)
        .map(|byte| byte.escape_ascii().to_string())
        .collect();
    let server = attempt.connection.facts.server;
    let verdict = attempt
        .asked(Verdict::seen(head.at))
        .detail(name)
        .proof(
            head.at,
            format!(
                "{server} answers {} with a head that breaks a rule at byte {}: `{shown}`",
                head.status, fault.offset
            ),
        )
        .not("malformed-status-line", "the status line is well-formed");
    Some(match product {
        Some(product) if by.contains(&product) => verdict,
        Some(product) => verdict.at_most(
            Confidence::Possible,
            format!("{product} is known to accept such a head"),
        ),
        None => verdict.at_most(
            Confidence::Likely,
            "which product judged the head is not known",
        ),
    })
}
