//! TLS secrets by connection. In: lines of key logs (SSLKEYLOGFILE: draft-ietf-tls-keylogfile) and private keys. Out: the
//! secrets of one connection, asked for by its client random.
//!
//! The rule: nothing of a secret is ever printed, not by Debug either. A line that is broken or unknown is counted and
//! passed over. Of two lines that contradict each other the first holds: whoever decrypts finds out by authentication
//! which one was right, and a file that somebody appended to cannot take back what worked.

use std::collections::HashMap;
use std::fmt;

use crate::capture::secrets::private::PrivateKey;
use crate::loss::{Loss, LossName};

/// Most connections whose secrets are kept: at 400 bytes each 100 MB, six hours of a server with ten handshakes a second.
pub const SESSIONS_MAX: usize = 250_000;

/// Longest secret: a hash of 64 bytes. Those of today have 32 or 48.
const SECRET_MAX: usize = 64;
/// Longest line: a label, a random of 32 bytes and a secret of 64 in hexadecimal, with room to spare.
pub const LINE_MAX: usize = 512;
/// Longest label of an unknown line that is named.
const LABEL_MAX: usize = 40;

/// Secrets of connections beyond [`SESSIONS_MAX`].
const NOT_KEPT: LossName = "tls_secrets_not_kept";
/// Lines of a key log that hold no secret and are no comment.
const BROKEN: LossName = "tls_key_log_lines_broken";
/// Lines that say otherwise than an earlier one of the same connection.
const CONFLICTING: LossName = "tls_secrets_conflicting";

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The master secret of TLS 1.2 and older (`CLIENT_RANDOM`).
    Master,
    /// Early data of the client (0-RTT).
    ClientEarly,
    /// Handshake messages of the client.
    ClientHandshake,
    /// Handshake messages of the server.
    ServerHandshake,
    /// Application data of the client, until its first KeyUpdate.
    ClientTraffic,
    /// Application data of the server, until its first KeyUpdate.
    ServerTraffic,
}

/// How many labels there are.
const LABELS: usize = 6;

/// The labels that decrypt records, as the files spell them.
const NAMES: [(&[u8], Label); LABELS] = [
    (b"CLIENT_RANDOM", Label::Master),
    (b"CLIENT_EARLY_TRAFFIC_SECRET", Label::ClientEarly),
    (b"CLIENT_HANDSHAKE_TRAFFIC_SECRET", Label::ClientHandshake),
    (b"SERVER_HANDSHAKE_TRAFFIC_SECRET", Label::ServerHandshake),
    (b"CLIENT_TRAFFIC_SECRET_0", Label::ClientTraffic),
    (b"SERVER_TRAFFIC_SECRET_0", Label::ServerTraffic),
];

/// Labels that are right and of no use here: exporters, and the secrets of ECH.
const OF_NO_USE: [&[u8]; 4] = [
    b"EXPORTER_SECRET",
    b"EARLY_EXPORTER_SECRET",
    b"ECH_SECRET",
    b"ECH_CONFIG",
];

/// One secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    len: u8,
    bytes: [u8; SECRET_MAX],
}

impl fmt::Debug for Secret {
    /// Its length and nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret of {} bytes", self.len)
    }
}

impl Secret {
    /// A secret of these bytes; `None` where they are none or too many.
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; SECRET_MAX];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        let len = u8::try_from(from.len()).ok().filter(|len| *len > 0)?;
        Some(Self { len, bytes })
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The secrets of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    secrets: [Option<Secret>; LABELS],
}

impl Session {
    /// A session of TLS 1.2 whose master secret was computed.
    #[must_use]
    pub fn with_master(master: Secret) -> Self {
        let mut session = Self::default();
        if let Some(place) = session.secrets.get_mut(Label::Master as usize) {
            *place = Some(master);
        }
        session
    }

    /// The secret of a label.
    #[must_use]
    pub fn get(&self, label: Label) -> Option<&Secret> {
        self.secrets.get(label as usize)?.as_ref()
    }
}

/// All secrets that were given.
#[derive(Clone, Default)]
pub struct Keys {
    sessions: HashMap<[u8; 32], Box<Session>>,
    private: Vec<PrivateKey>,
    given: bool,
    grows: bool,
    revision: u64,
}

impl fmt::Debug for Keys {
    /// How many, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("sessions", &self.sessions.len())
            .field("private", &self.private.len())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Whether secrets were given at all, by a key log (even an empty one), a capture or a private key.
    #[must_use]
    pub const fn are_given(&self) -> bool {
        self.given
    }

    /// Says that more may come: a key log that is read while it grows.
    pub fn grow(&mut self) {
        self.given = true;
        self.grows = true;
    }

    /// Whether a connection's secrets may come later than its records.
    #[must_use]
    pub const fn may_grow(&self) -> bool {
        self.grows
    }

    /// Grows by one each time that secrets come.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How many connections' secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no connection's secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The secrets of the connection that began with this client random.
    #[must_use]
    pub fn session(&self, client_random: &[u8; 32]) -> Option<&Session> {
        self.sessions.get(client_random).map(Box::as_ref)
    }

    /// The secrets of the connection that began with this client random, as lines of a key log; none where nobody gave any.
    #[must_use]
    pub fn lines_of(&self, client_random: &[u8; 32]) -> Option<String> {
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let session = self.session(client_random)?;
        let random = hex(client_random);
        let lines = NAMES.iter().filter_map(|(name, label)| {
            let secret = session.get(*label)?;
            let name = String::from_utf8_lossy(name);
            Some(format!("{name} {random} {}\n", hex(secret.bytes())))
        });
        Some(lines.collect())
    }

    /// The private keys of servers.
    #[must_use]
    pub fn private_keys(&self) -> &[PrivateKey] {
        &self.private
    }

    /// Takes a server's private key.
    pub fn add_private(&mut self, key: PrivateKey) {
        self.given = true;
        self.private.push(key);
    }

    /// Takes the lines of a key log, each of them whole. What they hold and cannot be used is counted in `loss`.
    pub fn add_log(&mut self, log: &[u8], loss: &mut Loss) {
        self.given = true;
        for line in log.split(|byte| matches!(byte, b'\n' | b'\r')) {
            self.add_line(line.trim_ascii(), loss);
        }
        self.revision = self.revision.saturating_add(1);
    }

    fn add_line(&mut self, line: &[u8], loss: &mut Loss) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let (label, random, secret, more) =
            (words.next(), words.next(), words.next(), words.next());
        let (Some(label), Some(random), Some(secret), None) = (label, random, secret, more) else {
            loss.add(BROKEN, 1);
            return;
        };
        let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == label) else {
            if !OF_NO_USE.contains(&label) {
                loss.skip(&unknown(label));
            }
            return;
        };
        let mut random_bytes = [0; 32];
        let mut secret_bytes = [0; SECRET_MAX];
        let random_len = from_hex(random, &mut random_bytes);
        let secret = from_hex(secret, &mut secret_bytes)
            .and_then(|len| Secret::new(secret_bytes.get(..len)?));
        match secret {
            Some(secret) if random_len == Some(32) && fits(*kind, &secret) => {
                self.add(random_bytes, *kind, secret, loss);
            }
            _ => loss.add(BROKEN, 1),
        }
    }

    fn add(&mut self, random: [u8; 32], label: Label, secret: Secret, loss: &mut Loss) {
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&random) {
            loss.add(NOT_KEPT, 1);
            return;
        }
        let session = self.sessions.entry(random).or_default();
        let Some(place) = session.secrets.get_mut(label as usize) else {
            return;
        };
        match place {
            Some(known) if *known != secret => loss.add(CONFLICTING, 1),
            Some(_) => {}
            None => *place = Some(secret),
        }
    }
}

/// Whether a secret has a length that its kind can have: the master secret 48 bytes (RFC 5246, section 8.1), the others
/// that of a hash (RFC 8446, section 7.1).
fn fits(label: Label, secret: &Secret) -> bool {
    match label {
        Label::Master => secret.len == 48,
        _ => matches!(secret.len, 32 | 48),
    }
}

/// Reads hexadecimal digits; gives the number of bytes, `None` where it is none or does not fit.
fn from_hex(digits: &[u8], to: &mut [u8]) -> Option<usize> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    for (index, pair) in pairs.iter().enumerate() {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *to.get_mut(index)? = u8::try_from(high << 4 | low).ok()?;
    }
    Some(pairs.len())
}

/// The name of a line that nobody here uses. A label that is none may be anything, a secret too: it is not shown.
fn unknown(label: &[u8]) -> String {
    let is_label = label.len() <= LABEL_MAX
        && label
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
        && label.first().is_some_and(u8::is_ascii_uppercase)
        && label.contains(&b'_');
    if is_label {
        format!("key log lines: {}", String::from_utf8_lossy(label))
    } else {
        "key log lines: no label".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: u8, len: usize) -> String {
        let hex = |byte: u8, len| format!("{byte:02x}").repeat(len);
        format!("{label} {} {}\n", hex(random, 32), hex(secret, len))
    }

    #[test]
    fn secrets_are_found_by_the_client_random() {
        let (mut keys, mut loss) = (Keys::default(), Loss::default());
        assert!(!keys.are_given());
        let log = [
            "# a comment\n\n".to_owned(),
            line("CLIENT_RANDOM", 1, 0xaa, 48).replace('\n', "\r\n"),
            line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 2, 3, 32),
            line("SERVER_TRAFFIC_SECRET_0", 2, 4, 48).to_uppercase(),
            line("EXPORTER_SECRET", 2, 5, 32),
        ]
        .concat();
        keys.add_log(log.as_bytes(), &mut loss);
        assert_eq!(loss, Loss::default());
        assert_eq!(keys.len(), 2);
        let old = keys.session(&[1; 32]).unwrap();
        assert_eq!(old.get(Label::Master).unwrap().bytes(), [0xaa; 48]);
        let new = keys.session(&[2; 32]).unwrap();
        assert_eq!(new.get(Label::ClientHandshake).unwrap().bytes(), [3; 32]);
        assert_eq!(new.get(Label::ServerTraffic).unwrap().bytes(), [4; 48]);
        assert_eq!(new.get(Label::ClientTraffic), None);
        assert_eq!(keys.session(&[3; 32]), None);
    }

    #[test]
    fn broken_and_unknown_lines_are_counted_and_named() {
        let (mut keys, mut loss) = (Keys::default(), Loss::default());
        let secret = "55".repeat(32);
        let log = [
            "CLIENT_RANDOM\n".to_owned(),
            line("CLIENT_RANDOM", 1, 2, 32),
            line("CLIENT_TRAFFIC_SECRET_0", 1, 2, 48).replace("01 ", "0 "),
            line("CLIENT_TRAFFIC_SECRET_0", 1, 2, 48).replace("0202\n", "02xx\n"),
            format!("{} extra\n", line("CLIENT_RANDOM", 1, 2, 48).trim_end()),
            line("QUIC_CLIENT_TRAFFIC_SECRET_0", 1, 2, 32),
            format!("{secret} {secret} {secret}\n"),
        ]
        .concat();
        keys.add_log(log.as_bytes(), &mut loss);
        assert_eq!((keys.len(), loss.get(BROKEN)), (0, 5));
        let kinds: Vec<_> = loss.skipped_kinds().collect();
        assert_eq!(
            kinds,
            [
                ("key log lines: QUIC_CLIENT_TRAFFIC_SECRET_0", 1),
                ("key log lines: no label", 1)
            ]
        );
        assert!(keys.are_given());
    }

    #[test]
    fn of_two_secrets_the_first_holds_and_the_other_is_counted() {
        let (mut keys, mut loss) = (Keys::default(), Loss::default());
        for secret in [1, 1, 2] {
            let line = line("CLIENT_RANDOM", 9, secret, 48);
            keys.add_log(line.as_bytes(), &mut loss);
        }
        let session = keys.session(&[9; 32]).unwrap();
        assert_eq!(session.get(Label::Master).unwrap().bytes(), [1; 48]);
        assert_eq!((loss.get(CONFLICTING), keys.revision()), (1, 3));
        assert_eq!(format!("{session:?}").matches("48 bytes").count(), 1);
        assert_eq!(format!("{keys:?}"), "Keys { sessions: 1, private: 0, .. }");
    }

    #[test]
    fn noise_is_no_secret() {
        let (mut keys, mut loss) = (Keys::default(), Loss::default());
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .take(200_000)
        .collect();
        keys.add_log(&noise, &mut loss);
        assert!(keys.is_empty());
        assert!(loss.get(BROKEN) > 0);
    }
}
