//! `header-too-large`. In: an attempt whose response head exceeds what the gateway takes. Out: the
//! verdict, with the sizes.
//!
//! The rule: judged by the limit of the product that was recognised; without a product, only with
//! reservation.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::cause::model::{Cause, Examine};
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
        "closed-mid-head: there the upstream ended the head early.",
        "A request that is too large gets 400, 413, 414 or 431, not this.",
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

/// Looks for the signature in one attempt.
fn examine(_attempt: &Attempt<'_>) -> Option<Verdict> {
    None
}
