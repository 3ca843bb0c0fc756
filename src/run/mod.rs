//! What the binary does around the library: reading ahead, progress, hashes, outputs, exit codes.

pub mod failure;
pub mod feed;
pub mod hash;
pub mod open;
pub mod output;
pub mod progress;
