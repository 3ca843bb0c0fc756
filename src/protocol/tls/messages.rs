//! Handshake messages out of records (RFC 8446, section 4). In: payloads of handshake records, in order.
//! Out: whole messages, however they were cut and joined.
//!
//! The rule: a message up to a limit is kept until it is whole; a longer one is skipped as it passes and
//! told as skipped. After missing bytes nothing is read any more, since no message tells where it starts.

use crate::protocol::tls::bytes::Bytes;

/// Longest message that is kept, bytes without its header. OpenSSL refuses certificate lists beyond 100 KB, rustls
/// any message beyond 64 KB; the format allows 16 MB.
pub(crate) const MESSAGE_MAX: usize = 128 * 1024;

/// Length of a message's header.
pub(crate) const MESSAGE_HEADER_LEN: usize = 4;

/// Message type: the server asks for a new handshake (TLS 1.2 and below).
pub(crate) const HELLO_REQUEST: u8 = 0;
/// Message type: ClientHello.
pub(crate) const CLIENT_HELLO: u8 = 1;
/// Message type: ServerHello, or HelloRetryRequest.
pub(crate) const SERVER_HELLO: u8 = 2;
/// Message type: NewSessionTicket.
pub(crate) const NEW_SESSION_TICKET: u8 = 4;
/// Message type: EncryptedExtensions (TLS 1.3).
pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
/// Message type: Certificate.
pub(crate) const CERTIFICATE: u8 = 11;
/// Message type: CertificateRequest.
pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
/// Message type: ServerHelloDone (TLS 1.2 and below).
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
/// Message type: ClientKeyExchange (TLS 1.2 and below).
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
/// Message type: Finished.
pub(crate) const FINISHED: u8 = 20;
/// Message type: CertificateStatus (TLS 1.2 and below).
pub(crate) const CERTIFICATE_STATUS: u8 = 22;
/// Message type: KeyUpdate (TLS 1.3).
pub(crate) const KEY_UPDATE: u8 = 24;
/// Message type: CompressedCertificate (RFC 8879).
pub(crate) const COMPRESSED_CERTIFICATE: u8 = 25;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its type.
    pub(crate) kind: u8,
    /// The message as it enters the transcript: header of four bytes, and body.
    pub(crate) raw: Vec<u8>,
}

impl Message {
    /// What follows the header.
    pub(crate) fn body(&self) -> &[u8] {
        self.raw.get(MESSAGE_HEADER_LEN..).unwrap_or_default()
    }
}

/// What taking bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A message is whole.
    Message(Message),
    /// A message is longer than what is kept: told when its header was read.
    Skipped {
        /// Its type.
        kind: u8,
        /// The length that its header announces, without the header.
        len: usize,
    },
}

/// Puts the messages of one direction together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    buffer: Vec<u8>,
    skip: usize,
    deaf: bool,
}

impl Messages {
    /// Takes the payload of a record and gives what it completes, in order.
    pub(crate) fn take(&mut self, payload: &[u8], mut found: impl FnMut(Taken)) {
        let mut payload = Bytes(payload);
        while !payload.is_empty() && !self.deaf {
            let skipped = self.skip.min(payload.0.len());
            self.skip -= skipped;
            payload.take(skipped);
            let missing = self.wanted().saturating_sub(self.buffer.len());
            let new = payload.take(missing.min(payload.0.len()));
            self.buffer.extend_from_slice(new.unwrap_or_default());
            if let Some(taken) = self.look() {
                found(taken);
            }
        }
    }

    /// Bytes are missing: where the next message starts is not known any more.
    pub(crate) fn lose(&mut self) {
        *self = Self {
            deaf: true,
            ..Self::default()
        };
    }

    /// A record was decrypted after missing bytes: messages are heard again where it holds whole ones and nothing else. The
    /// middle of a message that looks like that to the byte is as good as none, and what is read of it is authentic.
    pub(crate) fn hear_again(&mut self, payload: &[u8]) {
        let mut rest = Bytes(payload);
        while self.deaf && rest.byte().is_some() {
            let body = rest.number24().and_then(|len| rest.take(len));
            if body.is_none() {
                return;
            }
            self.deaf = !rest.is_empty();
        }
    }

    /// Whether a message has begun and is not whole.
    #[cfg(test)]
    pub(crate) fn is_inside(&self) -> bool {
        !self.buffer.is_empty() || self.skip > 0
    }

    /// How long the buffer must be for the next step.
    fn wanted(&self) -> usize {
        MESSAGE_HEADER_LEN + self.announced().unwrap_or_default()
    }

    /// The length that the header announces, once it is there.
    fn announced(&self) -> Option<usize> {
        let mut header = Bytes(&self.buffer);
        header.byte()?;
        header.number24()
    }

    fn look(&mut self) -> Option<Taken> {
        let len = self.announced()?;
        let kind = self.buffer.first().copied()?;
        if len > MESSAGE_MAX {
            self.skip = len;
            self.buffer = Vec::new();
            return Some(Taken::Skipped { kind, len });
        }
        (self.buffer.len() >= self.wanted()).then(|| {
            let raw = std::mem::take(&mut self.buffer);
            Taken::Message(Message { kind, raw })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        [&[kind, len[1], len[2], len[3]][..], body].concat()
    }

    fn all(pieces: &[&[u8]]) -> (Vec<Taken>, Messages) {
        let (mut messages, mut taken) = (Messages::default(), Vec::new());
        for piece in pieces {
            messages.take(piece, |one| taken.push(one));
        }
        (taken, messages)
    }

    #[test]
    fn messages_are_whole_however_they_are_cut() {
        let bytes = [
            message(CLIENT_HELLO, &[7; 300]),
            message(SERVER_HELLO_DONE, &[]),
            message(CERTIFICATE, &[9; 5]),
        ]
        .concat();
        let (whole, _) = all(&[&bytes]);
        assert_eq!(whole.len(), 3);
        for size in 1..bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (taken, left) = all(&pieces);
            assert_eq!(taken, whole, "in pieces of {size}");
            assert!(!left.is_inside());
        }
        let (taken, left) = all(&[&bytes[..307]]);
        assert_eq!(taken.len(), 1);
        assert!(left.is_inside());
    }

    #[test]
    fn sixteen_megabytes_are_skipped_and_what_follows_is_read() {
        let len = (1 << 24) - 1;
        let mut messages = Messages::default();
        let mut taken = Vec::new();
        messages.take(&[CERTIFICATE, 0xff, 0xff, 0xff], |one| taken.push(one));
        assert_eq!(
            taken,
            [Taken::Skipped {
                kind: CERTIFICATE,
                len
            }]
        );
        let mut left = len;
        while left > 0 {
            let count = left.min(16_384);
            messages.take(&vec![1; count], |one| taken.push(one));
            assert!(messages.buffer.capacity() < 64);
            left -= count;
        }
        assert!(!messages.is_inside());
        messages.take(&message(FINISHED, &[3; 12]), |one| taken.push(one));
        assert!(matches!(&taken[1], Taken::Message(last) if last.body() == [3; 12]));
    }

    #[test]
    fn nothing_is_read_after_a_loss() {
        let mut messages = Messages::default();
        messages.lose();
        messages.take(&message(FINISHED, &[3; 12]), |_| unreachable!());
        assert!(!messages.is_inside());
    }
}
