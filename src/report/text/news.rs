//! One finding in one line, while the capture goes on. In: a finding. Out: a line.
//!
//! The rule: when, what the client got, why and how sure, where, and the frames of the client's exchange; the report at
//! the end tells the rest.

use std::io::{self, Write};

use crate::report::model::Finding;
use crate::report::text::clock::moment;
use crate::report::text::detail::{request, what};
use crate::report::text::page::{FAILURE, PLAIN, Page};
use crate::report::view::{Revision, View};

/// Writes the line.
///
/// # Errors
/// Those of `out`.
pub fn write(
    finding: &Finding,
    revision: Revision,
    view: &View,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(view.color);
    let upstream = match &finding.upstream {
        Some(upstream) => upstream.address.as_str(),
        None => "no upstream",
    };
    let detail = match &finding.cause.detail {
        Some(detail) => format!(" ({detail})"),
        None => String::new(),
    };
    page.put(PLAIN, &format!("{}  ", moment(&finding.time, view)))
        .put(FAILURE, &what(finding))
        .put(
            PLAIN,
            &format!(
                " to {}  {}{}{detail}, {}  {} -> {upstream}  frames {} and {}",
                request(finding),
                if revision.number > 0 { "now " } else { "" },
                finding.cause.code,
                finding.cause.confidence,
                finding.exchange.gateway,
                finding.exchange.frames.request,
                finding.exchange.frames.response,
            ),
        )
        .end();
    out.write_all(page.into_text().as_bytes())
}
