//! The tests of gwcap, in modules that mirror the rooms.

// Clippy spares test functions by its configuration; what helps them stands beside them and may fail too.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod beside;
mod captures;
mod causes;
mod causes_path;
mod certificates;
mod cli;
mod clocks;
mod coverage;
mod decrypted;
mod determinism;
mod docs;
mod evidence;
mod fragments;
#[path = "../fuzz/src/lib.rs"]
mod fuzz_targets;
mod fuzzed;
mod generated;
mod hostile;
mod incidents;
mod layers;
mod live;
mod load;
mod mutations;
mod neighbours;
mod pipes;
mod pitfalls;
mod pools;
mod recording;
mod rewrites;
mod roles;
mod safety;
mod saturated;
mod schema;
mod sealed;
mod secrets;
mod support;
#[allow(dead_code)]
#[path = "../benches/traffic/mod.rs"]
mod traffic;
mod tshark;
mod views;
mod watch;
mod weeks;
mod wrapped;
