//! `bad-content-coding`. In: an attempt whose body does not begin as its coding must. Out: the verdict, with the
//! bytes.
//!
//! The rule: only the first bytes of gzip are judged (RFC 1952, section 2.3); a fault further inside needs the
//! upstream's own bytes.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::cause::strictness::shown;
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "bad-content-coding",
    family: Family::Body,
    title: "The body is not what its Content-Encoding says",
    explanation: "The head says that the body is packed with gzip, and the body does not begin as \
     gzip does. Gateways that pass it on do not notice; one that unpacks it, to cache, to rewrite \
     or for a client that cannot, fails and writes an error or cuts the body.",
    signature: "Complete response head with Content-Encoding gzip; a body that does not begin \
     with 1f 8b; the gateway answers with an error or cuts the response.",
    is_not: &[
        "bad-chunking: there the framing is broken, whatever the content.",
        "truncated-body: there the body ends early.",
        "A body that is packed twice begins with 1f 8b all the same.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "The application sets Content-Encoding and leaves the packing to a layer that is switched \
         off.",
        "An error page in plain text under the headers of the packed page.",
        "A cache holds the unpacked body with the headers of the packed one.",
    ],
    next_steps: &[
        "`curl -s --raw -H 'Accept-Encoding: gzip' http://UPSTREAM:PORT/PATH | xxd | head -2`: \
         gzip begins with 1f 8b.",
        "Let the same layer pack the body and set the header.",
        "Until then switch unpacking off in the gateway: Varnish `set beresp.do_gunzip = false`, \
         nginx `gunzip off`.",
    ],
    examine: Examine::Attempt(examine),
};

/// What gzip begins with (RFC 1952, section 2.3.1).
const GZIP_MARK: [u8; 2] = [0x1f, 0x8b];
/// Products that unpack, depending on their settings.
const UNPACK: &[&str] = &["Varnish"];

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange.filter(|_| attempt.rejected)?;
    let head = exchange
        .response
        .as_ref()
        .filter(|head| head.status < 400 && head.at.time <= attempt.until)?;
    let coding = head.content_encoding()?.trim_ascii();
    let gzip = [&b"gzip"[..], b"x-gzip"];
    if !gzip.iter().any(|name| coding.eq_ignore_ascii_case(name)) {
        return None;
    }
    let body = &exchange.body_prefix;
    let first = body.get(..GZIP_MARK.len())?;
    if first == GZIP_MARK {
        return None;
    }
    let server = attempt.connection.facts.server;
    let verdict = attempt
        .asked(Verdict::seen(head.at))
        .detail("gzip")
        .proof(
            head.at,
            format!(
                "{server} answers {} with Content-Encoding gzip, and its body begins with `{}` \
                 instead of 1f 8b",
                head.status,
                shown(body)
            ),
        )
        .not("bad-chunking", "the framing of the body is sound");
    let unpacks = attempt
        .product
        .is_some_and(|product| UNPACK.contains(&product.name));
    Some(if unpacks {
        verdict
    } else {
        verdict.at_most(
            Confidence::Likely,
            "whether this gateway unpacks bodies is not known",
        )
    })
}
