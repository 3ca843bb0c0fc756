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
    /// Findings that this reader was told of while the capture went on, by id, and whether that was the last word.
    pub told: BTreeMap<String, bool>,
}
