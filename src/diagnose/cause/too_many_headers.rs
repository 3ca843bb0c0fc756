//! `too-many-headers`. In: an attempt whose response head has more lines than the gateway takes. Out: the
//! verdict, with both numbers.
//!
//! The rule: judged by the limit of the product that was recognised; without a product, only with
//! reservation.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::limits;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;
use crate::protocol::observation::ResponseHead;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "too-many-headers",
    family: Family::MalformedHead,
    title: "The response has too many header lines",
    explanation: "The upstream answered in correct HTTP with more header lines than the gateway \
     has room for. The gateway threw the response away and wrote an error, though the head may be \
     small in bytes.",
    signature: "Request; a complete response head with more lines than the limit of the gateway's \
     product; the gateway closes and answers with an error.",
    is_not: &[
        "header-too-large: there the bytes are too many, whatever the number of lines.",
        "bad-header: there a line is broken.",
        "A request with too many lines gets 400 or 431, not this.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "Set-Cookie once for every entry of a session or of a cart.",
        "An application or a filter that adds the same header in a loop, or once for each retry.",
        "Debugging or metrics headers, one for each query or component.",
    ],
    next_steps: &[
        "Count: `curl -s -D - -o /dev/null http://UPSTREAM:PORT/PATH | sort | uniq -c | sort -rn \
         | head`.",
        "Join what can be joined into one line, and set cookies once.",
        "Raise the gateway's limit on the number of headers if it is legitimate (HAProxy \
         `tune.http.maxhdr`, Envoy `max_headers_count`, Varnish `http_max_hdr`).",
    ],
    examine: Examine::Attempt(examine),
};

/// The smallest number of lines that some gateway refuses, with its status line.
const SMALLEST_LIMIT: u32 = 64;
/// Server errors begin here (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// The smallest limit on the bytes of a head, where that of the product is not known.
const SMALLEST_BYTES: u32 = 4_096;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange.response.as_ref().filter(|head| {
        attempt.rejected && head.at.time <= attempt.until && head.status < SERVER_ERROR
    })?;
    let limit = attempt
        .product
        .and_then(|product| product.response_lines_max);
    if head.header_lines <= limit.unwrap_or(SMALLEST_LIMIT) || is_large(attempt, head) {
        return None;
    }
    let server = attempt.connection.facts.server;
    let verdict = attempt
        .asked(Verdict::seen(head.at))
        .proof(
            head.at,
            format!(
                "{server} answers {} with {} header lines",
                head.status, head.header_lines
            ),
        )
        .proof(head.at, limits::of_lines(head.header_lines))
        .not("bad-header", "the lines are well-formed");
    Some(match (limit, attempt.product) {
        (Some(_), _) => verdict,
        (None, Some(product)) => verdict.at_most(
            Confidence::Possible,
            format!("{} is not known to limit the number of lines", product.name),
        ),
        (None, None) => verdict.at_most(
            Confidence::Likely,
            "which product judged the head is not known",
        ),
    })
}

/// Whether the head is too large in bytes too: then that is the cause that is named.
fn is_large(attempt: &Attempt<'_>, head: &ResponseHead) -> bool {
    let (head_max, line_max) = attempt.product.map_or((None, None), |product| {
        (product.response_head_max, product.response_line_max)
    });
    let lines_limited = attempt
        .product
        .is_some_and(|product| product.response_lines_max.is_some());
    let unknown = !lines_limited && head_max.is_none() && head.head_len > SMALLEST_BYTES;
    unknown
        || head_max.is_some_and(|max| head.head_len > max)
        || line_max.is_some_and(|max| head.longest_line > max)
}
