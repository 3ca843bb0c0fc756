//! The tests of gwcap, in modules that mirror the rooms.
mod captures;
mod cli;
mod docs;
mod layers;
mod support;
