//! What the binary does around the library: the first look, reading ahead, progress, hashes, outputs, exit codes.

pub mod companions;
pub mod failure;
pub mod feed;
pub mod hash;
pub mod look;
pub mod open;
pub mod output;
pub mod progress;
pub mod upstreams;
