//! gwcap names the cause of every gateway error in a packet capture, and proves it with frame numbers.
//!
//! A packet walks once through the rooms, in one direction:
//! [`capture`] → [`decode`] → [`tcp`] → [`protocol`] → [`diagnose`] → [`report`]; [`analyzer`] is the
//! corridor between them. Nothing here prints, reads a clock, or opens a file outside [`capture`].

pub mod analyzer;
pub mod capture;
pub mod decode;
pub mod diagnose;
pub mod flow;
pub mod frame;
pub mod loss;
pub mod protocol;
pub mod report;
pub mod tcp;
pub mod time;
