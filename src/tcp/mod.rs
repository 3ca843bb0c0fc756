//! From segments to streams: order, gaps, beginnings and endings.
pub mod event;
