//! `header-too-large`. In: an attempt whose response head exceeds what the gateway takes. Out: the
//! verdict, with the sizes.
//!
//! The rule: judged by the limit of the product that was recognised; without a product, only with
//! reservation.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::limits;
use crate::diagnose::cause::model::{Cause, Examine};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Family;

/// The manual of this cause.
pub const CAUSE: Cause = Cause {
    code: "header-too-large",
    family: Family::MalformedHead,
    title: "The response head is too large for the gateway",
    explanation: "The upstream answered in correct HTTP, but its head, or one line of it, exceeds \
     the buffer that the gateway has for it. The gateway threw the response away and wrote an \
     error. It usually hits the few users with the largest cookies.",
    signature: "Request; a response head whose bytes, longest line or number of lines exceed the \
     limit of the gateway's product; the gateway closes and answers with an error.",
    is_not: &[
        "bad-header: there the size is fine and the syntax is not.",
        "too-many-headers: there the bytes would fit and the lines are too many.",
        "closed-mid-head: there the upstream ended the head early.",
        "A request that is too large gets 400, 413, 414 or 431, not this.",
    ],
    contributing: &[
        "loss-stall, zero-window-stall: they may delay such an answer; the bytes themselves \
         are the cause.",
    ],
    root_causes: &[
        "Many or large Set-Cookie headers: sessions, tokens or claims kept in cookies.",
        "A long Location with state in its query, as in single sign-on.",
        "A large Content-Security-Policy, Link or debugging header.",
        "An application that sets the same header again in a loop.",
    ],
    next_steps: &[
        "Measure: `curl -s -D - -o /dev/null http://UPSTREAM:PORT/PATH -H 'Cookie: ...' | wc -c`, \
         and `| awk '{print length, $1}' | sort -rn | head` for the longest lines.",
        "Make the head smaller at its source: keep sessions on the server, send no debugging \
         headers.",
        "Raise the gateway's limit on response heads if the size is legitimate.",
    ],
    examine: Examine::Attempt(examine),
};

/// The smallest limit of a product: one page, nginx's default buffer for a head, bytes.
const SMALLEST_LIMIT: u64 = 4_096;
/// A gateway that runs out of buffer closes at once, not after a wait, nanoseconds.
const AT_ONCE_NANOS: i64 = 150_000_000;

/// Looks for the signature in one attempt.
fn examine(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let begun = attempt.response_start()?;
    let server = attempt.connection.facts.server;
    let (size, line, at) = match &exchange.response {
        Some(head) if attempt.rejected => (
            u64::from(head.head_len),
            u64::from(head.longest_line),
            head.at,
        ),
        Some(_) => return None,
        None => {
            attempt.head_begun()?;
            let close = attempt.closed_by_gateway()?.closing;
            let last = attempt.connection.facts.from_server.last_data?;
            if close.mark.time.nanos_since(last.time) > AT_ONCE_NANOS {
                return None;
            }
            (attempt.head_bytes(), 0, last.min(close.mark))
        }
    };
    let limit = attempt
        .product
        .and_then(|product| product.response_head_max)
        .map(u64::from);
    let line_limit = attempt
        .product
        .and_then(|product| product.response_line_max)
        .map(u64::from);
    let over =
        limit.is_some_and(|limit| size > limit) || line_limit.is_some_and(|limit| line > limit);
    let guessed = limit.or(line_limit).is_none() && size > SMALLEST_LIMIT;
    let unfinished = size >= SMALLEST_LIMIT && exchange.response.is_none();
    // Limits are often set lower than their default: a plain head that the gateway hung up on at once was too large.
    let hung_up = size >= SMALLEST_LIMIT
        && exchange
            .response
            .as_ref()
            .is_some_and(|head| head.oddities.is_empty())
        && attempt
            .closed_by_gateway()
            .is_some_and(|close| close.closing.mark.time.nanos_since(at.time) < AT_ONCE_NANOS);
    if !(over || guessed || unfinished || hung_up) {
        return None;
    }
    let passed = match limit {
        Some(limit) if size > limit => {
            format!(", beyond the {limit} that it takes: the limit lies at byte {limit}")
        }
        _ => String::new(),
    };
    let verdict = attempt
        .asked(Verdict::gave_up(at))
        .proof(begun, format!("{server} begins its answer"))
        .proof(
            at,
            format!("{size} bytes of head have come when the gateway stops reading{passed}"),
        )
        .proof(at, limits::of_bytes(size, line))
        .not(
            "closed-mid-head",
            "the gateway ended the connection, not the upstream",
        )
        .not("head-timeout", "the gateway did not wait before it closed");
    Some(match over {
        true => verdict,
        false => verdict.at_most(
            Confidence::Likely,
            "the limit that this gateway is configured with is not known",
        ),
    })
}
