//! The keys of one connection through its life. In: what the hellos say, the secrets that were given, records and messages. Out:
//! what each record holds, or why it cannot be read.
//!
//! The rule: secrets are looked up when the first sealed record comes, not before; what does not authenticate is never
//! handed on. In TLS 1.3 keys change after Finished, EndOfEarlyData and KeyUpdate (RFC 8446, sections 4.4.4, 4.5 and
//! 4.6.3), in TLS 1.2 after ChangeCipherSpec, in a renegotiation too (RFC 5246, section 7.1).

use crate::capture::{Keys, Label, Secret, Session};
use crate::flow::Direction;
use crate::protocol::observation::NotDecrypted;

mod early;
mod private;

use super::opener::{Opener, Plain};
use super::schedule::{self, Agreed};
use super::suite::{Suite, TLS12, TLS13};

use early::Early;

/// Length of a record's header.
const HEADER: usize = 5;

/// Most records whose keys were not logged that are passed over while the first record under logged ones is looked for:
/// a server's handshake takes five messages, a client's three, and a long chain fills a few more.
const UNLOGGED_MAX: u8 = 16;

/// Most sequence numbers that are tried for a record after lost ones. A gap of 16 MB holds a thousand full records.
pub const SEQUENCE_TRIES_MAX: u64 = 1_024;
/// Most bytes of trial decryption that one connection is worth: a second's work of a slow core at the very most.
const TRIAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Type of a handshake message (RFC 8446, section 4).
const END_OF_EARLY_DATA: u8 = 5;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

/// What became of a record.
#[derive(Debug)]
pub enum Opened {
    /// It was read. Early data are told as such: the server may still refuse them.
    Plain {
        /// Its content.
        plain: Plain,
        /// Records before it that the capture lost.
        skipped: u64,
        /// Whether it is early data (0-RTT).
        early: bool,
    },
    /// It is of the handshake, whose keys were not logged.
    Unlogged,
    /// The secrets are not here yet.
    Wait,
    /// It did not authenticate, after others that did.
    Torn,
    /// It cannot be read, and nothing after it.
    Never(NotDecrypted),
}

/// The state of one connection.
#[derive(Debug)]
pub struct Opening {
    client_random: [u8; 32],
    hello: Option<Hello>,
    session: Option<Session>,
    client: Lane,
    server: Lane,
    early: Early,
    /// What the server said of early data.
    early_taken: Option<bool>,
    transcript: Option<Vec<u8>>,
    trial_bytes: u64,
}

/// What the server chose.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// The version.
    pub version: u16,
    /// The suite's number.
    pub suite: u16,
    /// The server's random.
    pub random: [u8; 32],
    /// Encrypt-then-MAC (RFC 7366).
    pub encrypt_then_mac: bool,
    /// Extended master secret (RFC 7627).
    pub extended_master_secret: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    opener: Option<Opener>,
    /// TLS 1.2: what follows its ChangeCipherSpec.
    next: Option<Opener>,
    /// TLS 1.3: the secret that the opener was made of.
    secret: Option<Secret>,
    stage: Stage,
    /// Records of which nothing is known.
    unlogged: u8,
    /// Whether a record of it was read.
    read: bool,
    /// Records may be missing before the next one.
    lost: bool,
    /// Keys changed in the hole that the latest record ended.
    changed: bool,
}

/// Which keys a direction uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// None.
    #[default]
    Clear,
    /// TLS 1.3: those of the handshake.
    Handshake,
    /// Those of application data.
    Application,
}

impl Opening {
    /// A connection whose client said hello. `early` where it announced early data; `keys` tell whether its messages are worth
    /// keeping.
    #[must_use]
    pub fn new(client_random: [u8; 32], early: bool, keys: &Keys) -> Self {
        let announced = if early { Early::Announced } else { Early::Over };
        Self {
            client_random,
            hello: None,
            session: None,
            client: Lane::default(),
            server: Lane::default(),
            early: announced,
            early_taken: None,
            transcript: (!keys.private_keys().is_empty()).then(Vec::new),
            trial_bytes: 0,
        }
    }

    /// A client said hello again on the same connection: after a HelloRetryRequest, or in a renegotiation of TLS 1.2, whose
    /// secrets are logged under its own random.
    pub fn client_hello(&mut self, client_random: [u8; 32]) {
        if client_random != self.client_random {
            self.early = Early::Over;
            self.client_random = client_random;
            self.session = None;
            // What the server chose before holds until it chooses again: until then both seal as before.
            self.transcript = self.transcript.take().map(|_| Vec::new());
        }
    }

    /// The server chose.
    pub fn server_hello(&mut self, hello: Hello) {
        self.hello = Some(hello);
        if hello.version == TLS13 {
            self.client.stage = Stage::Handshake;
            self.server.stage = Stage::Handshake;
        } else {
            self.early = Early::Over;
        }
    }

    /// A direction has sent ChangeCipherSpec; in TLS 1.3 that means nothing.
    pub fn change_cipher(&mut self, direction: Direction) {
        if self.hello.is_some_and(|hello| hello.version == TLS13) {
            return;
        }
        let lane = self.lane(direction);
        lane.stage = Stage::Application;
        lane.opener = lane.next.take();
        lane.lost = false;
    }

    /// Whether the records of a direction are sealed from here on. `kind` is the type of the record that comes next.
    #[must_use]
    pub fn is_sealed(&self, direction: Direction, kind: u8) -> bool {
        const APPLICATION_DATA: u8 = 23;
        let lane = match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        };
        match self.hello {
            Some(hello) if hello.version != TLS13 => lane.stage != Stage::Clear,
            _ => kind == APPLICATION_DATA,
        }
    }

    /// Records of a direction may be missing here.
    pub fn lose(&mut self, direction: Direction) {
        self.lane(direction).lost = true;
    }

    /// How many bytes a record of `payload` bytes holds in a direction at most.
    #[must_use]
    pub fn room(&self, direction: Direction, payload: u64) -> u64 {
        let lane = match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        };
        lane.opener
            .as_ref()
            .map_or(payload, |opener| opener.room(payload))
    }

    /// Whether a record was read of either direction.
    #[must_use]
    pub const fn has_read(&self) -> bool {
        self.client.read || self.server.read
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        }
    }

    /// Opens the next record of a direction in place.
    pub fn open(
        &mut self,
        direction: Direction,
        header: [u8; HEADER],
        payload: &mut [u8],
        keys: &Keys,
    ) -> Opened {
        if direction == Direction::ToServer
            && let Some(opened) = self.open_early(header, payload, keys)
        {
            return opened;
        }
        if let Err(why) = self.prepare(direction, keys) {
            return match why {
                NotDecrypted::NoSecret if keys.may_grow() => Opened::Wait,
                why => Opened::Never(why),
            };
        }
        let unlogged = self.unlogged(direction);
        // Those of a server that refuses them come among the client's first records.
        let early_may_come = direction == Direction::ToServer && self.early.may_come();
        let lane = self.lane(direction);
        let Some(opener) = lane.opener.as_mut() else {
            if early_may_come {
                lane.unlogged = 0;
            }
            let opened = unlogged.map_or(Opened::Never(NotDecrypted::Incomplete), |opener| {
                lane.first_of(opener, header, payload)
            });
            if early_may_come && self.client.read {
                self.early = Early::Over;
            }
            return opened;
        };
        let found = match lane.lost {
            true => self.open_lost(direction, header, payload),
            false => opener.open(header, payload).map(|plain| (0, plain)),
        };
        let lane = self.lane(direction);
        match found {
            Some((skipped, plain)) => {
                lane.read = true;
                lane.lost = false;
                let early = false;
                Opened::Plain {
                    plain,
                    skipped,
                    early,
                }
            }
            // Refused, or under secrets that nobody logged (RFC 8446, section 4.2.10).
            None if early_may_come && !lane.read => Opened::Unlogged,
            None if lane.read => {
                lane.lost = true;
                Opened::Torn
            }
            None => Opened::Never(NotDecrypted::NotAuthentic),
        }
    }

    /// Opens a record before which others may be missing: under the keys of then, or under those that follow them in TLS 1.3
    /// where the message that changes keys is among the missing.
    fn open_lost(
        &mut self,
        direction: Direction,
        header: [u8; HEADER],
        payload: &mut [u8],
    ) -> Option<(u64, Plain)> {
        let most = self.tries_max(direction);
        let mut now = self.lane(direction).opener.take()?;
        let found = self.search(&mut now, header, payload, most);
        let lane = self.lane(direction);
        lane.opener = Some(now);
        lane.changed = false;
        if found.is_some() {
            return found;
        }
        let (secret, mut next) = self.successor(direction)?;
        let found = self.search(&mut next, header, payload, most)?;
        if direction == Direction::ToServer {
            self.early = Early::Over;
        }
        let lane = self.lane(direction);
        lane.opener = Some(next);
        lane.secret = Some(secret);
        lane.stage = Stage::Application;
        lane.changed = true;
        // The record that changed keys is missing too.
        Some((found.0.saturating_add(1), found.1))
    }

    /// TLS 1.3: the secret that follows a direction's, and its opener.
    fn successor(&self, direction: Direction) -> Option<(Secret, Opener)> {
        if self.hello?.version != TLS13 {
            return None;
        }
        let suite = self.suite().ok()?;
        let lane = match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        };
        let secret = match lane.stage {
            Stage::Handshake => *self.session.as_ref()?.get(traffic(direction))?,
            _ => schedule::updated(suite, lane.secret.as_ref()?)?,
        };
        Some((secret, schedule::tls13(suite, &secret)?))
    }

    /// How many numbers are worth trying for a record: few where it may well be early data under other keys.
    fn tries_max(&self, direction: Direction) -> u64 {
        let in_handshake = self.client.stage == Stage::Handshake;
        match direction {
            Direction::ToServer if in_handshake && self.early.may_come() => u64::from(UNLOGGED_MAX),
            _ => SEQUENCE_TRIES_MAX,
        }
    }

    /// Tries the numbers that may be next, as long as the connection is worth it.
    fn search(
        &mut self,
        opener: &mut Opener,
        header: [u8; HEADER],
        payload: &mut [u8],
        most: u64,
    ) -> Option<(u64, Plain)> {
        let len = payload.len().max(1) as u64;
        let left = TRIAL_BYTES_MAX.saturating_sub(self.trial_bytes);
        let tries = most.min(left / len);
        let found = opener.search(header, payload, tries);
        // The first number would have been tried anyway.
        let tried = found.as_ref().map_or(tries, |(skipped, _)| *skipped);
        self.trial_bytes = self.trial_bytes.saturating_add(len.saturating_mul(tried));
        found
    }

    /// Whether keys changed among the records that were missing before the latest one.
    #[must_use]
    pub fn changed_in_hole(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.client.changed,
            Direction::ToClient => self.server.changed,
        }
    }

    /// TLS 1.3: the opener of application data of a direction whose handshake secret was not logged.
    fn unlogged(&mut self, direction: Direction) -> Option<Opener> {
        let (suite, label) = (self.suite().ok()?, traffic(direction));
        let secret = *self.session.as_ref()?.get(label)?;
        let lane = self.lane(direction);
        if lane.opener.is_some() || lane.stage != Stage::Handshake {
            return None;
        }
        lane.secret = Some(secret);
        schedule::tls13(suite, &secret)
    }

    /// Makes the opener of a direction, unless it is there.
    fn prepare(&mut self, direction: Direction, keys: &Keys) -> Result<(), NotDecrypted> {
        let lane = self.lane(direction);
        if lane.opener.is_some() {
            return Ok(());
        }
        let stage = lane.stage;
        let hello = self.hello.ok_or(NotDecrypted::Incomplete)?;
        let suite = self.suite()?;
        if self.session.is_none() {
            self.session = keys.session(&self.client_random).copied();
        }
        let session = self.session.as_ref().ok_or(NotDecrypted::NoSecret)?;
        if hello.version == TLS13 {
            let label = match (stage, direction) {
                (Stage::Application, _) => traffic(direction),
                (_, Direction::ToServer) => Label::ClientHandshake,
                (_, Direction::ToClient) => Label::ServerHandshake,
            };
            let Some(secret) = session.get(label).copied() else {
                // The keys of the handshake may be missing, those of what follows it not.
                if session.get(traffic(direction)).is_some() && stage == Stage::Handshake {
                    return Ok(());
                }
                // The other lines of it may be on their way.
                self.session = None;
                return Err(match keys.may_grow() {
                    true => NotDecrypted::NoSecret,
                    false => NotDecrypted::Incomplete,
                });
            };
            let opener = schedule::tls13(suite, &secret).ok_or(NotDecrypted::NotAuthentic)?;
            let lane = self.lane(direction);
            lane.secret = Some(secret);
            lane.opener = Some(opener);
            return Ok(());
        }
        let master = session.get(Label::Master).ok_or(NotDecrypted::NoSecret)?;
        let agreed = self.agreed(hello, suite);
        let openers = schedule::tls12(&agreed, master.bytes());
        let (client, server) = openers.ok_or(NotDecrypted::NotAuthentic)?;
        let (mine, other) = match direction {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
        };
        self.lane(direction).opener = Some(mine);
        let lane = self.lane(direction.opposite());
        // The other side may be ahead: then it waits for nothing but its keys.
        if lane.stage == Stage::Application && lane.opener.is_none() {
            lane.opener = Some(other);
        } else {
            lane.next = Some(other);
        }
        Ok(())
    }

    fn agreed(&self, hello: Hello, suite: Suite) -> Agreed {
        Agreed {
            suite,
            client: self.client_random,
            server: hello.random,
            encrypt_then_mac: hello.encrypt_then_mac,
        }
    }

    fn suite(&self) -> Result<Suite, NotDecrypted> {
        let hello = self.hello.ok_or(NotDecrypted::Incomplete)?;
        if !matches!(hello.version, TLS12 | TLS13) {
            return Err(NotDecrypted::Version(hello.version));
        }
        Suite::of(hello.version, hello.suite).ok_or(NotDecrypted::Suite(hello.suite))
    }

    /// A handshake message of a direction, in clear or out of a record: `raw` with its header of four bytes.
    pub fn message(&mut self, direction: Direction, raw: &[u8], keys: &Keys) {
        let [kind, _, _, _, body @ ..] = raw else {
            return;
        };
        self.keep(*kind, raw, keys, body);
        let tls13 = self.hello.is_some_and(|hello| hello.version == TLS13);
        if !tls13 {
            return;
        }
        match *kind {
            END_OF_EARLY_DATA => self.early = Early::Over,
            FINISHED => {
                if direction == Direction::ToServer {
                    self.early = Early::Over;
                }
                let lane = self.lane(direction);
                if lane.stage == Stage::Handshake {
                    lane.stage = Stage::Application;
                    lane.opener = None;
                }
            }
            KEY_UPDATE => self.update(direction),
            _ => {}
        }
    }

    /// The sender of a KeyUpdate goes on with the next keys.
    fn update(&mut self, direction: Direction) {
        let Ok(suite) = self.suite() else { return };
        let lane = self.lane(direction);
        let next = lane
            .secret
            .as_ref()
            .and_then(|secret| schedule::updated(suite, secret));
        lane.opener = next
            .as_ref()
            .and_then(|secret| schedule::tls13(suite, secret));
        lane.secret = next;
    }
}

impl Lane {
    /// Tries a record as the first of application data, where the keys before are unknown.
    fn first_of(&mut self, mut opener: Opener, header: [u8; HEADER], payload: &mut [u8]) -> Opened {
        if let Some((_, plain)) = opener.search(header, payload, 1) {
            self.opener = Some(opener);
            self.stage = Stage::Application;
            self.read = true;
            return Opened::Plain {
                plain,
                skipped: 0,
                early: false,
            };
        }
        self.unlogged = self.unlogged.saturating_add(1);
        if self.unlogged > UNLOGGED_MAX {
            return Opened::Never(NotDecrypted::Incomplete);
        }
        Opened::Unlogged
    }
}

const fn traffic(direction: Direction) -> Label {
    match direction {
        Direction::ToServer => Label::ClientTraffic,
        Direction::ToClient => Label::ServerTraffic,
    }
}
