//! The record layer of TLS (RFC 8446, section 5.1). In: bytes of one direction. Out: records.
//!
//! The rule: of application data only lengths are kept. After bytes that are no record, the next segment
//! that starts like one is the next one.

use crate::frame::Mark;
use crate::protocol::parser::Data;

/// Record type: the cipher changes.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// Record type: an alert.
pub const ALERT: u8 = 21;
/// Record type: handshake messages.
pub const HANDSHAKE: u8 = 22;
/// Record type: application data, and everything encrypted in TLS 1.3.
pub const APPLICATION_DATA: u8 = 23;

/// Longest payload of a record: 2^14 and what TLS 1.2 allows a cipher to add (RFC 5246, section 6.2.3).
pub const PAYLOAD_MAX: usize = 16_384 + 2_048;

const HEADER_LEN: usize = 5;

/// One record.
#[derive(Debug)]
pub struct Record {
    /// Its type.
    pub kind: u8,
    /// Bytes of its payload that were seen or are known to exist.
    pub len: u64,
    /// Stream offset of its header.
    pub offset: u64,
    /// The frame of its first byte.
    pub first: Mark,
    /// The frame of its last byte seen.
    pub last: Mark,
    /// The payload of an alert or of handshake messages, and where it may be decrypted all payload; else empty.
    pub payload: Vec<u8>,
    /// The header as it was sent.
    pub header: [u8; HEADER_LEN],
    /// Where all payload is kept: how much of it had come with each frame.
    pub places: Vec<(usize, Mark)>,
    /// Whether bytes of the payload are missing.
    pub torn: bool,
}

/// What reading came to.
#[derive(Debug)]
pub enum Found {
    /// A record is complete.
    Record(Record),
    /// The bytes are no record.
    NoRecord,
    /// All bytes were taken.
    Nothing,
}

/// Cuts one direction into records.
#[derive(Debug, Default)]
pub struct Reader {
    header: [u8; HEADER_LEN],
    have: usize,
    open: Option<(Record, usize)>,
    lost: bool,
    keeps: bool,
}

/// Most frames of a record that are told apart: those of 16 kB come in twelve full segments.
const PLACES_MAX: usize = 64;

/// Shortest payload of an encrypted record: a byte and a tag.
const SEALED_MIN: usize = 17;

/// Where, in a segment, the header of an encrypted record may lie.
fn sealed_header(bytes: &[u8]) -> Option<usize> {
    bytes.windows(HEADER_LEN).position(|window| {
        matches!(window, [APPLICATION_DATA, 3, 3, high, low]
            if (SEALED_MIN..=PAYLOAD_MAX).contains(&usize::from(u16::from_be_bytes([*high, *low]))))
    })
}

/// Whether a segment starts with the header of a record.
#[must_use]
pub fn looks_like_record(bytes: &[u8]) -> bool {
    matches!(bytes, [CHANGE_CIPHER_SPEC..=APPLICATION_DATA, 3, 0..=4, high, low, ..]
        if (1..=PAYLOAD_MAX).contains(&usize::from(u16::from_be_bytes([*high, *low]))))
}

impl Reader {
    /// A reader that joins in the middle.
    #[must_use]
    pub fn joined() -> Self {
        Self {
            lost: true,
            ..Self::default()
        }
    }

    /// To be called with each new segment: after a loss it may be where records start again.
    pub fn segment(&mut self, bytes: &[u8]) {
        if self.lost && looks_like_record(bytes) {
            self.lost = false;
        }
    }

    /// Takes bytes off `data` up to the end of a record.
    pub fn next(&mut self, data: &mut Data<'_>) -> Found {
        while let Some(byte) = data.bytes.first() {
            if self.lost {
                // What is decrypted proves that it was a record; what is not could not be told from chance.
                match sealed_header(data.bytes).filter(|_| self.keeps) {
                    Some(at) => {
                        self.lost = false;
                        *data = data.after(at);
                    }
                    None => *data = data.after(data.bytes.len()),
                }
            } else if self.open.is_some() {
                if let Some(record) = self.payload(data) {
                    return Found::Record(record);
                }
            } else if self.header_byte(*byte, data) {
                *data = data.after(1);
                if let Some((record, 0)) = self.open.take_if(|(_, left)| *left == 0) {
                    return Found::Record(record);
                }
            } else {
                self.lose();
                return Found::NoRecord;
            }
        }
        Found::Nothing
    }

    /// Takes one byte of a header. False when it cannot be one.
    fn header_byte(&mut self, byte: u8, data: &Data<'_>) -> bool {
        let fits = match self.have {
            0 => (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&byte),
            1 => byte == 3,
            2 => byte <= 4,
            _ => true,
        };
        if let Some(place) = self.header.get_mut(self.have) {
            *place = byte;
        }
        if !fits {
            return false;
        }
        self.have += 1;
        if self.have < HEADER_LEN {
            return true;
        }
        self.have = 0;
        let [kind, _, _, high, low] = self.header;
        let left = usize::from(u16::from_be_bytes([high, low]));
        let record = Record {
            kind,
            len: 0,
            offset: data.offset.saturating_sub(HEADER_LEN as u64 - 1),
            first: data.carried,
            last: data.carried,
            payload: Vec::new(),
            header: self.header,
            places: Vec::new(),
            torn: false,
        };
        self.open = Some((record, left));
        left <= PAYLOAD_MAX
    }

    fn payload(&mut self, data: &mut Data<'_>) -> Option<Record> {
        let (record, left) = self.open.as_mut()?;
        let count = (*left).min(data.bytes.len());
        if (self.keeps || matches!(record.kind, ALERT | HANDSHAKE)) && !record.torn {
            let bytes = data.bytes.get(..count).unwrap_or_default();
            if self.keeps {
                if record.payload.is_empty() {
                    record.payload.reserve_exact(*left);
                }
                if record.places.len() >= PLACES_MAX {
                    record.places.pop();
                }
                let end = record.payload.len().saturating_add(count);
                record.places.push((end, data.carried));
            }
            record.payload.extend_from_slice(bytes);
        }
        record.len += count as u64;
        record.last = data.carried;
        *left -= count;
        *data = data.after(count);
        self.open
            .take_if(|(_, left)| *left == 0)
            .map(|(record, _)| record)
    }

    /// Missing bytes. `Some`: they complete a record. Where they do not lie inside one, the reader is lost.
    pub fn gap(&mut self, len: u64, seen: Mark) -> Option<Record> {
        match &mut self.open {
            Some((record, left)) if *left as u64 >= len => {
                record.torn = true;
                record.len += len;
                record.last = seen;
                *left -= len as usize;
                self.open
                    .take_if(|(_, left)| *left == 0)
                    .map(|(record, _)| record)
            }
            _ => {
                let cut = self.cut();
                self.lose();
                cut
            }
        }
    }

    /// Gives up the record that is open: what was seen of it.
    pub fn cut(&mut self) -> Option<Record> {
        let (mut record, _) = self.open.take()?;
        record.torn = true;
        Some(record)
    }

    fn lose(&mut self) {
        *self = Self {
            keeps: self.keeps,
            ..Self::joined()
        };
    }

    /// All payload is kept from here on, to be decrypted; or no more.
    pub fn keep(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    /// Whether records cannot be found at the moment.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }
}
