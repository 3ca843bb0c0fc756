//! TLS from inside. In: records, and secrets that were given. Out: what the records hold.
//!
//! The rule: keys come from logged secrets and no other way; whatever authentication does not bear out stays unread.

mod aead;
#[cfg(feature = "tls12-cbc")]
mod cbc;
mod opener;
#[cfg(test)]
pub mod rfc8448;
mod schedule;
mod state;
mod suite;
#[cfg(test)]
mod tests;

pub use opener::Plain;
pub use state::{Hello, Opened, Opening};
pub use suite::name as suite_name;
