//! Endpoints with the names of their addresses. In: an endpoint as the report writes it. Out: `10.0.0.2:80 (db1)`.
//!
//! The rule: the address stands first and whole; a name is an addition, cut where it is long.

use crate::report::model::{Attempt, Report};
use crate::report::names::address;
use crate::report::text::page::shortened;

/// Most characters of a name.
const NAME_SHOWN_MAX: usize = 48;

/// The endpoint, with the name of its address where there is one.
#[must_use]
pub fn named(report: &Report, endpoint: &str) -> String {
    let names = &report.capture.names;
    let name = address(endpoint).and_then(|addr| names.get(&addr.to_string()));
    match name {
        Some(name) => format!("{endpoint} ({})", shortened(name, NAME_SHOWN_MAX)),
        None => endpoint.to_owned(),
    }
}

/// Where an attempt went: an upstream, a neighbour that did not answer, or a resolver.
#[must_use]
pub fn target(report: &Report, attempt: &Attempt) -> String {
    let neighbour = attempt
        .detail
        .as_deref()
        .filter(|detail| address(detail).is_some());
    match (&attempt.upstream, neighbour) {
        (Some(upstream), _) => named(report, upstream),
        (None, Some(neighbour)) => named(report, neighbour),
        (None, None) => "a lookup".to_owned(),
    }
}
