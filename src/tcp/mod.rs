//! From segments to streams: order, gaps, beginnings and endings.
//!
//! [`ConnectionTable`] takes the segments of one shard and tells what happens on each connection, when it
//! happens: a SYN that nobody answers is told at its first frame. Data in order is passed on from where it
//! lies. What is held back, and for how long, is limited by the constants named `_MAX` in these files.

mod arrival;
pub mod birthmark;
mod connection;
mod copies;
pub mod event;
mod gap;
mod half_stream;
mod life;
mod outlet;
mod pace;
#[cfg(test)]
mod playbook;
mod reorder;
mod repeats;
mod seq;
mod table;
mod waiting;

pub use connection::{
    CLOSED_LINGER_MAX, ESTABLISHED_IDLE_MAX, HANDSHAKE_IDLE_MAX, QUIET_LINGER_MAX,
};
pub use gap::{
    ACKNOWLEDGED_BYTES_MAX, ACKNOWLEDGED_PIECES_MAX, GAP_PATIENCE_MAX, UNACKNOWLEDGED_PATIENCE_MAX,
};
pub use reorder::{REORDER_BYTES_MAX, REORDER_PIECES_MAX, REORDER_TABLE_BYTES_MAX};
pub use repeats::RETRANSMISSION_NANOS_MIN;
pub use table::{CONNECTIONS_MAX, ConnectionTable, HANDSHAKES_MAX};
