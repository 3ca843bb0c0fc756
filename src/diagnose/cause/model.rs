//! What a cause is. In: the product room's families. Out: the type of a row of `CAUSES`.
//!
//! The rule: the text of a cause is its manual: `--explain`, the docs page and the report are made from
//! this one value.

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::gateway::product::Family;

/// A named reason for which an attempt of a gateway failed.
pub struct Cause {
    /// Stable identifier, `connect-refused`.
    pub code: &'static str,
    /// Its family.
    pub family: Family,
    /// One line, no full stop: `The upstream refused the connection`.
    pub title: &'static str,
    /// Two or three sentences: what the wire shows and what it means.
    pub explanation: &'static str,
    /// The wire signature that is examined, in order.
    pub signature: &'static str,
    /// What it is not: neighbours, and what separates them.
    pub is_not: &'static [&'static str],
    /// What may contribute: codes that a finding names beside this one, and when; or why nothing does.
    pub contributing: &'static [&'static str],
    /// Root causes, the most common first.
    pub root_causes: &'static [&'static str],
    /// What to do next, on any product.
    pub next_steps: &'static [&'static str],
    /// How it is recognised.
    pub examine: Examine,
}

/// Where a cause is looked for.
#[derive(Clone, Copy)]
pub enum Examine {
    /// In one attempt on an upstream connection.
    Attempt(fn(&Attempt<'_>) -> Option<Verdict>),
    /// In the absence or the doubt of attempts, decided where attempts are assigned to exchanges
    /// (`assign.rs`, `verdict.rs`): lookups, nothing upstream, loss, encryption; and what only contributes, or happens
    /// to the client.
    Whole,
}
