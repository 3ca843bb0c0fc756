//! The causes. Growth: a file `cause/x.rs` and a row in `CAUSES`.
pub mod model;
