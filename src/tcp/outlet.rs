//! The way out of a connection. In: events of its two halves. Out: calls of the sink.
//!
//! The rule: facts are brought up to date before the event that they belong to is told.

use std::sync::Arc;

use crate::flow::Direction;
use crate::frame::Mark;
use crate::loss::Loss;
use crate::tcp::event::{Connection, HalfFacts, StreamEvent};

/// Bytes of connections of which a filter let only segments with SYN, FIN or RST pass: sequence numbers tell how many.
pub const HIDDEN_BYTES: &str = "tcp_bytes_behind_filter";

/// What all connections of a table share: counts of what was lost, and the room left for reordering.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Bytes (with overhead) that all reorder buffers of the table hold.
    pub buffered: usize,
    pub duplicate_frames: u64,
    pub overlapping_bytes_differ: u64,
    pub reorder_buffer_full: u64,
    pub lost_bytes: u64,
    pub snapped_bytes: u64,
    pub hidden_bytes: u64,
    pub segments_out_of_window: u64,
    pub bytes_before_pick_up: u64,
    pub bytes_after_fin: u64,
    pub connections_evicted: u64,
    pub multipath_connections: u64,
}

impl Shared {
    /// Takes the counts as rows of the loss table.
    pub(super) fn take_loss(&mut self) -> Loss {
        let counts = std::mem::replace(
            self,
            Self {
                buffered: self.buffered,
                ..Self::default()
            },
        );
        let mut loss = Loss::default();
        for (name, count) in [
            ("duplicate_frames", counts.duplicate_frames),
            ("overlapping_bytes_differ", counts.overlapping_bytes_differ),
            ("tcp_reorder_buffer_full", counts.reorder_buffer_full),
            ("tcp_lost_bytes", counts.lost_bytes),
            ("tcp_snapped_bytes", counts.snapped_bytes),
            (HIDDEN_BYTES, counts.hidden_bytes),
            ("tcp_segments_out_of_window", counts.segments_out_of_window),
            ("tcp_bytes_before_pick_up", counts.bytes_before_pick_up),
            ("tcp_bytes_after_fin", counts.bytes_after_fin),
            ("connections_evicted", counts.connections_evicted),
            ("multipath_tcp_connections", counts.multipath_connections),
        ] {
            loss.add(name, count);
        }
        loss
    }
}

/// Where the events of one connection go while one segment (or tick) is processed.
pub(super) struct Outlet<'o, S, F> {
    pub facts: &'o mut Connection,
    pub state: &'o mut S,
    pub sink: &'o mut F,
    pub shared: &'o mut Shared,
    /// The frame being processed.
    pub now: Mark,
    /// The table's clock in whole seconds; it never runs backwards, unlike the times of frames.
    pub second: i64,
}

impl<S, F> Outlet<'_, S, F>
where
    F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
{
    /// Tells one event.
    pub(super) fn emit(&mut self, event: StreamEvent<'_>) {
        (self.sink)(self.state, self.facts, self.now, event);
    }

    /// Tells the opening.
    pub(super) fn open(&mut self, syn: bool) {
        let facts = Arc::new(self.facts.clone());
        self.emit(StreamEvent::Opened { syn, facts });
    }

    /// The facts of what travels in `direction`.
    pub(super) fn half(&mut self, direction: Direction) -> &mut HalfFacts {
        half_mut(self.facts, direction)
    }
}

/// The facts of what travels in `direction`.
pub(super) fn half_mut(facts: &mut Connection, direction: Direction) -> &mut HalfFacts {
    match direction {
        Direction::ToServer => &mut facts.from_client,
        Direction::ToClient => &mut facts.from_server,
    }
}
