//! What the binary does around the library: the first look, reading ahead, progress, hashes, outputs, exit codes.

pub mod absences;
pub mod companions;
pub mod confine;
pub mod create;
pub mod dump;
pub mod errands;
pub mod failure;
pub mod feed;
pub mod folder;
pub mod hash;
pub mod hurry;
pub mod incidents;
pub mod keys;
pub mod look;
pub mod memory;
pub mod metrics;
pub mod open;
pub mod output;
pub mod progress;
pub mod recording;
pub mod sandbox;
pub mod secrets;
pub mod signals;
pub mod slice;
pub mod status;
pub mod upstreams;
