//! One test binary whose modules mirror the rooms.

mod cli;
mod docs;
mod layers;
