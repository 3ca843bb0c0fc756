//! Conversations for tests. In: a play, line by line. Out: what a [`Conversation`] tells of it, as text.

use std::net::{IpAddr, Ipv4Addr};

use crate::capture::Keys;
use crate::flow::{Direction, Endpoint};
use crate::frame::{FrameId, Mark};
use crate::loss::Loss;
use crate::protocol::conversation::Conversation;
use crate::protocol::observation::{Observation, Seen, TlsStep};
use crate::tcp::event::{Closing, Connection, ConnectionId, Ending, GapReason, StreamEvent};
use crate::time::Timestamp;

use Direction::{ToClient, ToServer};

/// One connection under test.
pub(super) struct Play {
    conversation: Conversation,
    pub(super) connection: Connection,
    pub(super) told: Vec<Observation>,
    pub(super) loss: Loss,
    pub(super) keys: Keys,
    frame: u64,
    offsets: [u64; 2],
    /// Largest segment; 1 feeds byte by byte.
    pub(super) segment_max: usize,
}

impl Play {
    pub(super) fn new() -> Self {
        let endpoint = |last, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port);
        Self {
            conversation: Conversation::default(),
            connection: Connection::between(
                ConnectionId(FrameId::new(0, 1)),
                endpoint(1, 40_000),
                endpoint(2, 80),
            ),
            told: Vec::new(),
            loss: Loss::default(),
            keys: Keys::default(),
            frame: 0,
            offsets: [0; 2],
            segment_max: usize::MAX,
        }
    }

    /// A connection whose beginning was not captured.
    pub(super) fn joined() -> Self {
        let mut play = Self::new();
        play.connection.roles_known = false;
        play
    }

    pub(super) fn bytewise() -> Self {
        Self {
            segment_max: 1,
            ..Self::new()
        }
    }

    pub(super) fn event(&mut self, event: StreamEvent<'_>) -> &mut Self {
        let seen = self.mark();
        self.conversation.on_event(
            &self.connection,
            seen,
            event,
            &self.keys,
            &mut self.told,
            &mut self.loss,
        );
        self
    }

    fn mark(&self) -> Mark {
        Mark {
            time: Timestamp(self.frame as i64 * 1_000_000),
            frame: FrameId::new(0, self.frame),
        }
    }

    fn offset(&mut self, direction: Direction) -> &mut u64 {
        &mut self.offsets[usize::from(direction == ToClient)]
    }

    pub(super) fn says(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        for bytes in bytes.chunks(self.segment_max.max(1)) {
            self.frame += 1;
            let offset = *self.offset(direction);
            *self.offset(direction) += bytes.len() as u64;
            // The other side has acknowledged all that it answers.
            let sent = self.offsets;
            self.connection.from_client.sent = sent[0];
            self.connection.from_server.sent = sent[1];
            if direction == ToClient {
                self.connection.from_client.acknowledged = Some(sent[0]);
            } else {
                self.connection.from_server.acknowledged = Some(sent[1]);
            }
            let carried = self.mark();
            self.event(StreamEvent::Data {
                direction,
                offset,
                bytes,
                carried,
            });
        }
        self
    }

    pub(super) fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.says(ToServer, bytes.as_ref())
    }

    pub(super) fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.says(ToClient, bytes.as_ref())
    }

    pub(super) fn gap(&mut self, direction: Direction, len: u64) -> &mut Self {
        self.frame += 1;
        let offset = *self.offset(direction);
        *self.offset(direction) += len;
        self.event(StreamEvent::Gap {
            direction,
            offset,
            len,
            reason: GapReason::Lost,
        })
    }

    pub(super) fn fin(&mut self, direction: Direction) -> &mut Self {
        self.frame += 1;
        self.event(StreamEvent::Fin { direction });
        self.event(StreamEvent::Finished { direction })
    }

    pub(super) fn reset(&mut self, direction: Direction) -> &mut Self {
        self.reset_with(direction, true)
    }

    pub(super) fn reset_with(&mut self, direction: Direction, in_sequence: bool) -> &mut Self {
        self.frame += 1;
        let closing = Closing {
            mark: self.mark(),
            sent: 0,
            acknowledges: None,
            peer_sent: 0,
            peer_last: None,
            with_ack: false,
            in_sequence,
            ttl: 64,
            ip_id: None,
            ip_id_before: None,
        };
        match direction {
            ToServer => self.connection.from_client.trouble().reset = Some(closing),
            ToClient => self.connection.from_server.trouble().reset = Some(closing),
        }
        self.event(StreamEvent::Reset { direction })
    }

    pub(super) fn ends(&mut self, ending: Ending) -> &mut Self {
        self.event(StreamEvent::Ended(ending))
    }

    /// What was told, one short line each, without frames and without connection events.
    pub(super) fn lines(&self) -> Vec<String> {
        self.told
            .iter()
            .filter_map(|told| line(&told.what))
            .collect()
    }

    /// Compares with lines; leading blanks and empty lines do not count.
    #[track_caller]
    pub(super) fn tells(&self, expected: &str) {
        let expected: Vec<_> = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(self.lines(), expected);
    }
}

/// Plays the same twice, with whole segments and byte by byte, and expects the same lines.
#[track_caller]
pub(super) fn both(play: impl Fn(&mut Play), expected: &str) {
    for mut stage in [Play::new(), Play::bytewise()] {
        play(&mut stage);
        stage.tells(expected);
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .escape_debug()
        .take(40)
        .collect()
}

fn line(seen: &Seen) -> Option<String> {
    Some(match seen {
        Seen::Connection { .. } => return None,
        Seen::Protocol { protocol, .. } => format!("{protocol:?}"),
        Seen::RequestStart {
            exchange, offset, ..
        } => {
            format!("{} request at {offset}", exchange.index)
        }
        Seen::RequestHead { exchange, head } => {
            format!("{} {} {}", exchange.index, head.method, head.target)
        }
        Seen::RequestEnd { exchange, end } => format!(
            "{} request {:?} {} to {}",
            exchange.index, end.how, end.body_len, end.end_offset
        ),
        Seen::ResponseStart { exchange, .. } => format!("{} response", exchange.index),
        Seen::Interim {
            exchange, status, ..
        } => format!("{} interim {status}", exchange.index),
        Seen::ResponseHead { exchange, head } => {
            let rules: Vec<_> = head.oddities.iter().map(|fault| fault.rule).collect();
            if rules.is_empty() {
                format!("{} status {}", exchange.index, head.status)
            } else {
                format!("{} status {} {rules:?}", exchange.index, head.status)
            }
        }
        Seen::ResponseFault {
            exchange, fault, ..
        } => {
            format!(
                "{} fault {:?} at {}",
                exchange.index, fault.rule, fault.offset
            )
        }
        Seen::ResponseEnd {
            exchange,
            end,
            prefix,
        } => {
            let prefix = if prefix.is_empty() {
                String::new()
            } else {
                format!(" {}", show(prefix))
            };
            format!(
                "{} response {:?} {} to {}{prefix}",
                exchange.index, end.how, end.body_len, end.end_offset
            )
        }
        Seen::Unsolicited { prefix, .. } => format!("unsolicited {}", show(prefix)),
        Seen::ProxyHeader { version, .. } => format!("proxy header {version}"),
        Seen::Tls { step, .. } => match step {
            TlsStep::ClientHello(offer) => {
                let (sni, alpn, versions) = (&offer.sni, &offer.alpn, &offer.versions);
                format!(
                    "tls ClientHello {{ sni: {sni:?}, alpn: {alpn:?}, versions: {versions:?} }}"
                )
            }
            TlsStep::ServerHello { version, .. } => {
                format!("tls ServerHello {{ version: {version} }}")
            }
            TlsStep::NotTls { prefix } => format!("not tls {}", show(prefix)),
            step => format!("tls {step:?}"),
        },
        other => format!("{other:?}"),
    })
}
