//! The secrets of connections whose frames are written as evidence. In: key logs, and frames as they are written. Out: the lines
//! of a key log that belong before a frame.
//!
//! The rule: only with --with-secrets, and only of connections that the file shows from their first message on: without that
//! message nobody can use them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use gwcap::capture::Keys;
use gwcap::decode::decode;
use gwcap::decode::segment::Packet;
use gwcap::flow::Vantage;
use gwcap::frame::Frame;
use gwcap::loss::Loss;

/// A record of a handshake (type 22) of any version 3.x, with a ClientHello (type 1): then come its length (3 bytes), its
/// version (2) and the client's random (RFC 8446, sections 4.1.2 and 5.1).
const RECORD_TYPE: u8 = 22;
const MAJOR_VERSION: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const MESSAGE_AT: usize = 5;
const RANDOM_AT: usize = 11;

/// The secrets that evidence is written with; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Lent(Rc<RefCell<Keys>>);

impl Lent {
    /// Takes lines of a key log.
    pub fn add(&self, lines: &[u8]) {
        // What cannot be used was counted where it was used.
        self.0.borrow_mut().add_log(lines, &mut Loss::default());
    }
}

/// The secrets of one file.
#[derive(Debug, Default)]
pub struct OfFile {
    lent: Option<Lent>,
    /// Client randoms of which the file has the secrets already.
    written: BTreeSet<[u8; 32]>,
}

impl OfFile {
    /// Those of a file that is to hold any of `lent`; none holds nothing.
    #[must_use]
    pub fn new(lent: Option<&Lent>) -> Self {
        Self {
            lent: lent.cloned(),
            written: BTreeSet::new(),
        }
    }

    /// The lines that are to be written before a frame.
    pub fn before(&mut self, frame: &Frame<'_>) -> Option<String> {
        let lent = self.lent.as_ref()?;
        let random = client_random(frame)?;
        let lines = lent.0.borrow().lines_of(&random)?;
        self.written.insert(random).then_some(lines)
    }
}

/// The client's random, where the frame begins a TLS connection.
fn client_random(frame: &Frame<'_>) -> Option<[u8; 32]> {
    let decoded = decode(*frame, Vantage::default(), &mut Loss::default())?;
    let Packet::Segment(segment) = decoded.packet()? else {
        return None;
    };
    let payload = segment.payload;
    let is_hello = payload.first() == Some(&RECORD_TYPE)
        && payload.get(1) == Some(&MAJOR_VERSION)
        && payload.get(MESSAGE_AT) == Some(&CLIENT_HELLO);
    let random = payload.get(RANDOM_AT..)?.first_chunk()?;
    is_hello.then_some(*random)
}
