//! The tests of gwcap, in modules that mirror the rooms.
mod captures;
mod support;
