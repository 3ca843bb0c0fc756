//! From observations to findings: what happened upstream of each gateway error.

pub mod attempt;
pub mod cause;
pub mod finding;
pub mod gateway;
pub mod lookup;
pub mod suspect;
pub mod timeline;
