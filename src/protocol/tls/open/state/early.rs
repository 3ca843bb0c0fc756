//! Early data of the client (RFC 8446, sections 2.3 and 4.2.10). In: records of the client before its Finished. Out: what
//! those hold that are under keys of the earlier session.
//!
//! The rule: a record that is no early data is left as it was, for the keys of the handshake. A server that refuses early
//! data passes over what does not open, and so does this.

use crate::capture::{Keys, Label};

use super::super::opener::Opener;
use super::super::schedule;
use super::super::suite::{Suite, TLS13};
use super::{HEADER, Opened, Opening, SEQUENCE_TRIES_MAX};

/// The suites of TLS 1.3 that may have been those of the earlier session.
const SUITES: [u16; 5] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305];

/// How far early data are.
#[derive(Debug, Default)]
pub(super) enum Early {
    /// None, or no more.
    #[default]
    Over,
    /// Announced.
    Announced,
    /// Under one of these keys: the suite is that of an earlier session.
    Keys(Vec<Opener>),
}

impl Early {
    /// Whether records of early data may still come.
    pub(super) const fn may_come(&self) -> bool {
        !matches!(self, Self::Over)
    }
}

impl Opening {
    /// The server asks the client to say hello again: that refuses early data (RFC 8446, section 4.2.10).
    pub fn retry(&mut self) {
        self.early_data(false);
    }

    /// The server says whether it takes early data.
    pub fn early_data(&mut self, taken: bool) {
        self.early_taken = Some(taken);
    }

    /// What the server said of early data; `None` before it has.
    #[must_use]
    pub const fn early_taken(&self) -> Option<bool> {
        self.early_taken
    }

    /// How many bytes a record of early data of `payload` bytes holds at most.
    #[must_use]
    pub fn early_room(&self, payload: u64) -> u64 {
        match &self.early {
            Early::Keys(openers) => openers
                .first()
                .map_or(payload, |opener| opener.room(payload)),
            _ => payload,
        }
    }

    /// Tries a record of the client as early data; `None` where it is none.
    pub(super) fn open_early(
        &mut self,
        header: [u8; HEADER],
        payload: &mut [u8],
        keys: &Keys,
    ) -> Option<Opened> {
        if let Early::Announced = self.early {
            let session = keys.session(&self.client_random);
            let Some(secret) = session.and_then(|session| session.get(Label::ClientEarly)) else {
                // Before the server has chosen they are nothing else.
                let wait = keys.may_grow() && session.is_none();
                return self.hello.is_none().then_some(match wait {
                    true => Opened::Wait,
                    false => Opened::Unlogged,
                });
            };
            let openers = SUITES
                .into_iter()
                .filter_map(|number| schedule::tls13(Suite::of(TLS13, number)?, secret))
                .collect();
            self.early = Early::Keys(openers);
        }
        let Early::Keys(mut openers) = std::mem::take(&mut self.early) else {
            return None;
        };
        let mut found = None;
        for index in 0..openers.len() {
            let Some(opener) = openers.get_mut(index) else {
                break;
            };
            found = match self.client.lost {
                true => self.search(opener, header, payload, SEQUENCE_TRIES_MAX),
                false => opener.search(header, payload, 1),
            };
            if found.is_some() {
                openers.swap(0, index);
                openers.truncate(1);
                break;
            }
        }
        self.early = Early::Keys(openers);
        let Some((skipped, plain)) = found else {
            // They are over, or of a session that nobody logged.
            return self.hello.is_none().then_some(Opened::Unlogged);
        };
        self.client.lost = false;
        Some(Opened::Plain {
            plain,
            skipped,
            early: true,
        })
    }
}
