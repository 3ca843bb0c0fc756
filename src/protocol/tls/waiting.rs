//! Records that wait for their secrets. In: sealed records of a connection whose key log lines have not come yet. Out: the same
//! records, in order, once they have, or once the wait was long enough.
//!
//! The rule: a process writes its key log beside the network, so that a line may come a moment after the first record that
//! it opens. Nobody waits for lines that never come: what can be seen from outside is told late then, and not lost.

use crate::capture::Keys;
use crate::flow::Direction;
use crate::protocol::tls::record::Record;
use crate::time::NANOS_PER_SECOND;

/// Most bytes that wait for one connection: a server's handshake with a long chain, and a few requests behind it.
const BYTES_MAX: usize = 32 * 1024;
/// Longest time that passes between the first record that waits and the last, nanoseconds: logs are written within
/// milliseconds, and read at least ten times a second.
const WAIT_NANOS: i64 = NANOS_PER_SECOND;

/// Records that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    records: Vec<(Direction, Record)>,
    bytes: usize,
    /// The revision of the secrets that were asked in vain.
    asked: u64,
}

impl Waiting {
    /// Whether none waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether secrets have come since the last time that they were asked.
    pub(super) const fn may_end(&self, keys: &Keys) -> bool {
        self.asked != keys.revision()
    }

    /// Takes a record, for which the secrets of `keys` were asked in vain; gives it back where it has been too long or too
    /// much.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        record: Record,
        keys: &Keys,
    ) -> Result<(), Record> {
        let since = self.records.first().map_or(&record, |(_, first)| first);
        let waited = record.last.time.nanos_since(since.last.time);
        let bytes = self.bytes.saturating_add(record.payload.len());
        if !keys.may_grow() || waited > WAIT_NANOS || bytes > BYTES_MAX {
            return Err(record);
        }
        self.bytes = bytes;
        self.asked = keys.revision();
        self.records.push((direction, record));
        Ok(())
    }

    /// All of them; none waits any more.
    pub(super) fn end(&mut self) -> Vec<(Direction, Record)> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}
