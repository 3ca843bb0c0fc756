//! One shard: the flows whose key hashes to it. In: packets and ticks in order. Out: observations.
//!
//! The rule: a shard shares nothing with another, so no lock is needed and order inside a flow holds.

use crate::capture::Keys;
use crate::decode::segment::Packet;
use crate::frame::Mark;
use crate::loss::Loss;
use crate::protocol::observation::{Observation, Seen};
use crate::protocol::{Conversation, IcmpErrors, Lookups};
use crate::tcp::ConnectionTable;

/// What a shard takes.
pub enum Step<'s, 'a> {
    /// A packet of one of its flows.
    Packet(&'s Packet<'a>),
    /// A whole second of capture time begins before this frame.
    Tick(Mark),
}

/// The state of one shard.
#[derive(Default)]
pub struct Shard {
    table: ConnectionTable<Conversation>,
    lookups: Lookups,
    icmp: IcmpErrors,
    loss: Loss,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("connections", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Takes the next packet or tick; what is seen is added to `observations`.
    pub fn take(&mut self, step: Step<'_, '_>, keys: &Keys, observations: &mut Vec<Observation>) {
        let Self {
            table,
            lookups,
            icmp,
            loss,
        } = self;
        match step {
            Step::Packet(Packet::Segment(segment)) => {
                table.push(
                    segment,
                    &mut |conversation: &mut Conversation, connection, seen, event| {
                        conversation.on_event(connection, seen, event, keys, observations, loss);
                    },
                );
            }
            Step::Packet(Packet::Datagram(datagram)) => {
                lookups.on_datagram(datagram, observations, loss)
            }
            Step::Packet(Packet::Icmp(error)) => {
                let found = if error.quoted_tcp {
                    table.lookup(
                        &Packet::Icmp(*error).flow(),
                        error.quoted_source,
                        error.quoted_sequence,
                    )
                } else {
                    None
                };
                let connection = found.map(|(_, connection)| connection.id);
                icmp.on_error(error, connection, observations, loss);
            }
            Step::Packet(Packet::Resolution(resolution)) => observations.push(Observation {
                seen: resolution.mark,
                what: Seen::Resolution(Box::new(*resolution)),
            }),
            Step::Tick(now) => {
                table.tick(now, &mut |conversation: &mut Conversation,
                                      connection,
                                      seen,
                                      event| {
                    conversation.on_event(connection, seen, event, keys, observations, loss);
                });
                lookups.tick(now.time);
            }
        }
    }

    /// The capture is over at `last`: ends what is open.
    pub fn finish(&mut self, last: Mark, keys: &Keys, observations: &mut Vec<Observation>) {
        let Self { table, loss, .. } = self;
        table.finish(last, &mut |conversation: &mut Conversation,
                                 connection,
                                 seen,
                                 event| {
            conversation.on_event(connection, seen, event, keys, observations, loss);
        });
    }

    /// What was lost here, taken.
    pub fn take_loss(&mut self) -> Loss {
        self.loss.merge(self.table.loss());
        std::mem::take(&mut self.loss)
    }
}
