//! How the reader wants it. In: nothing. Out: the settings that formats obey.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

/// What a format may take into account. Machine formats ignore it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether to use colours.
    pub color: bool,
    /// Whether only the lines of the summary are wanted.
    pub quiet: bool,
    /// The reader's time zone, shown beside UTC; `None` shows UTC alone.
    pub zone: Option<TimeZone>,
    /// Findings that this reader was told of while the capture went on, by id: the latest revision.
    pub told: BTreeMap<String, Revision>,
}

/// A finding's place among its revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// How often it was told before: 0 the first time.
    pub number: u32,
    /// Whether it is the last word.
    pub last: bool,
    /// Whether it says another cause, or says it with another confidence, than the one before.
    pub changed: bool,
}
