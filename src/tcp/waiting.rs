//! Connections of which one SYN was seen. In: that SYN. Out: the connection, once there is more.
//!
//! The rule: until then they take a fifth of the room, because a flood of SYNs fills the table with such. What comes later
//! finds the connection as if it had been whole from the beginning.

use std::sync::Arc;

use crate::decode::segment::Segment;
use crate::frame::Mark;
use crate::tcp::connection::{Entry, HANDSHAKE_IDLE_MAX};
use crate::tcp::event::{Connection, Ending, StreamEvent};
use crate::tcp::outlet::Shared;

/// A SYN that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting<S> {
    /// The facts that were told of the opening.
    pub facts: Arc<Connection>,
    pub state: S,
    syn: Segment<'static>,
    /// The table's second of the SYN.
    seen: i64,
    /// The second under which the table will look at it again.
    pub due: i64,
}

/// A connection in the table.
#[derive(Debug)]
pub(super) enum Slot<S> {
    Waiting(Box<Waiting<S>>),
    Open(Box<Entry<S>>),
}

impl<S: Default> Slot<S> {
    /// The whole connection, from now on.
    #[inline]
    pub fn open(&mut self) -> &mut Entry<S> {
        loop {
            match self {
                Self::Open(entry) => return entry,
                Self::Waiting(waiting) => *self = Self::Open(Box::new(waiting.replay())),
            }
        }
    }
}

impl<S> Slot<S> {
    /// The facts as of now.
    #[inline]
    pub fn facts(&self) -> &Connection {
        match self {
            Self::Waiting(waiting) => &waiting.facts,
            Self::Open(entry) => &entry.facts,
        }
    }

    /// Whether the handshake is not over yet.
    #[inline]
    pub fn is_half_open(&self) -> bool {
        match self {
            Self::Waiting(_) => true,
            Self::Open(entry) => entry.is_half_open(),
        }
    }

    /// The second under which the table will look at it again.
    #[inline]
    pub fn due(&self) -> i64 {
        match self {
            Self::Waiting(waiting) => waiting.due,
            Self::Open(entry) => entry.due,
        }
    }

    /// Sets that second.
    #[inline]
    pub fn set_due(&mut self, due: i64) {
        match self {
            Self::Waiting(waiting) => waiting.due = due,
            Self::Open(entry) => entry.due = due,
        }
    }

    /// The second at which something is to be done about it if nothing comes.
    #[inline]
    pub fn deadline(&self) -> i64 {
        match self {
            Self::Waiting(waiting) => waiting.seen.saturating_add(HANDSHAKE_IDLE_MAX),
            Self::Open(entry) => entry.deadline(),
        }
    }
}

impl<S: Default> Waiting<S> {
    /// What waits after `segment`, which opens a connection. `None` where it is more than a SYN: then nothing was told.
    pub fn of<F>(
        segment: &Segment<'_>,
        second: i64,
        shared: &mut Shared,
        sink: &mut F,
    ) -> Option<Box<Self>>
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let syn = syn_of(segment)?;
        let mut entry = Entry::open(&syn);
        let mut told = None;
        entry.push(
            &syn,
            second,
            shared,
            &mut |state, connection, mark, event| {
                if let StreamEvent::Opened { facts, .. } = &event {
                    told = Some(Arc::clone(facts));
                }
                sink(state, connection, mark, event);
            },
        );
        Some(Box::new(Self {
            facts: told.unwrap_or_else(|| Arc::new(entry.facts)),
            state: entry.state,
            syn,
            seen: second,
            due: i64::MAX,
        }))
    }

    /// The connection as it would be if it had not waited. What its SYN brought about has been told.
    #[cold]
    fn replay(&mut self) -> Entry<S> {
        let mut entry = Entry::open(&self.syn);
        entry.is_copy(&self.syn);
        let counted = &mut Shared::default();
        entry.push(&self.syn, self.seen, counted, &mut |_, _, _, _| {});
        entry.state = std::mem::take(&mut self.state);
        entry.due = self.due;
        entry
    }

    /// Tells its end.
    pub fn end<F>(mut self, now: Mark, sink: &mut F)
    where
        F: FnMut(&mut S, &Connection, Mark, StreamEvent<'_>),
    {
        let event = StreamEvent::Ended(Ending::Unanswered);
        sink(&mut self.state, &self.facts, now, event);
    }
}

/// A segment that is a SYN and nothing else.
fn syn_of(segment: &Segment<'_>) -> Option<Segment<'static>> {
    let flags = segment.flags;
    let bare = flags.syn() && !flags.ack() && !flags.fin() && !flags.rst();
    (bare && segment.payload_len == 0 && segment.payload.is_empty()).then_some(Segment {
        source: segment.source,
        destination: segment.destination,
        overlay: segment.overlay,
        vantage: segment.vantage,
        sequence: segment.sequence,
        acknowledgement: segment.acknowledgement,
        flags,
        window: segment.window,
        window_scale: segment.window_scale,
        timestamps: segment.timestamps,
        multipath: segment.multipath,
        ip_id: segment.ip_id,
        ttl: segment.ttl,
        payload: &[],
        payload_len: 0,
        mark: segment.mark,
    })
}
